"""Checks across the sections of a market description."""

from __future__ import annotations

import difflib
import functools
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from importlib.metadata import entry_points

import numpy as np
from numpy.typing import NDArray

from ..pricing import competitor
from ..pricing.choice_model import FAMILIES
from ..pricing.law import JURISDICTIONS, prior_periods
from ..pricing.price_rules.rule_formulas import PRIORITIES, is_firm
from .description import MarketDescription
from .fields import ScenarioError, check_words, shown
from .price_section import LawSection
from .sections import Express, Halves, Posterior, Stock

# Sections that need customers who compare offers.
_TOGETHER = ("competitors", "strategic", "recommendation")
_SUM_TOLERANCE = 1e-6
_LEAST_HALVES = 4
# Words joined by dashes; `:` and `@` appear in the names of sampled and stressed markets.
_NAME_PATTERN = re.compile(r"[a-z0-9]+(?:[-:@][a-z0-9]+)*")
Family = Callable[[NDArray[np.floating]], NDArray[np.floating]]
ChoiceFunction = Callable[[NDArray[np.floating], NDArray[np.intp]], NDArray[np.floating]]
BUILT_IN = FAMILIES
GROUPED = ("mnl", "nested-logit", "cheapest")
"""The built-in families for categories of several products."""


def scenario_name(text: str) -> str:
    """A valid scenario name made from any text.

    Example:
        >>> scenario_name("My Shop")
        'my-shop'
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return "-".join(re.findall(r"[a-z0-9]+", plain)) or "market"


def is_name(text: str) -> bool:
    """Whether the text is a valid scenario name."""
    return _NAME_PATTERN.fullmatch(text) is not None


def check_names(spec: MarketDescription) -> None:
    """Check that text is text, names differ, and lists that belong together are equally long."""
    check_words(spec, "")
    for section in fields(spec):
        part = getattr(spec, section.name)
        if is_dataclass(part):
            check_words(part, f"{section.name}.")
    if not is_name(spec.name):
        raise ScenarioError(
            f"name must be lower-case words joined by dashes; got {shown(spec.name)}; "
            f"write '{scenario_name(spec.name)}'"
        )
    if isinstance(spec.version, bool) or not isinstance(spec.version, int) or spec.version < 1:
        raise ScenarioError(f"version must be a whole number from 1; got {shown(spec.version)}; fix it")
    named = ("products", "competitors", "capacity", "regimes")
    lists = {f"{key}.names": part.names for key in named if (part := getattr(spec, key)) is not None}
    for key, names in (lists | {"arrivals.segments": spec.arrivals.segments}).items():
        if not names:
            raise ScenarioError(f"{key} must hold at least one name; got an empty list; add one")
        _check_list(key, names, len(names), "names")
        twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
        if twice is not None:
            raise ScenarioError(f"{key} must differ; got '{twice}' twice; rename one")
    if spec.fairness is not None:
        _check_list("fairness.groups", spec.fairness.groups, len(spec.fairness.groups), "groups")
        _check_list("fairness.attribute", spec.fairness.attribute, len(spec.fairness.groups), "groups")
    products = spec.products
    rivals = spec.competitors
    of_products = {"products.ids": products.ids, "products.category": products.category}
    for key, names in (of_products | {"demand.nest": spec.demand.nest}).items():
        _check_list(key, names, len(products.names), "products")
    if rivals is None:
        return
    count = len(rivals.names)
    _check_list("competitors.rule", rivals.rule, count if len(rivals.rule) > 1 else 1, "offers")
    _check_list("competitors.seller", rivals.seller, count, "offers")
    _check_list("competitors.product", rivals.product, count, "offers")
    if rivals.product is None and count > len(products.names):
        raise ScenarioError(
            f"competitors.product must say what each of {count} offers competes with, as there are only "
            f"{len(products.names)} products; got nothing; add it"
        )
    for name in rivals.product or ():
        _is_product("competitors.product", name, spec)


def _check_list(key: str, names: tuple[str, ...] | None, count: int, of: str) -> None:
    """Check that names are of one line, and as many as there must be."""
    for name in names or ():
        if name.splitlines() != [name]:
            raise ScenarioError(f"{key} must be names of one line; got {shown(name)}; fix the name")
    if names is not None and len(names) != count:
        what = key.rpartition(".")[2].removesuffix("s")
        raise ScenarioError(f"{key} must name one {what} for each of {count} {of}; got {len(names)}; complete the list")


def _is_product(key: str, name: str, spec: MarketDescription) -> None:
    if name not in spec.products.names:
        near = difflib.get_close_matches(name, spec.products.names, n=1, cutoff=0)
        raise ScenarioError(f"{key} must be one of products.names; got {shown(name)}; did you mean '{near[0]}'?")


def check_together(spec: MarketDescription) -> None:
    """Check everything that involves more than one field."""
    _check_arrivals(spec)
    _check_demand(spec)
    _check_excluded(spec)
    _check_stock(spec)
    _check_prices(spec)
    if spec.law is not None:
        _check_law(spec, spec.law)
    if spec.competitors is not None:
        _check_competitors(spec)
    if spec.regimes is not None:
        _sum_to_one("regimes.transition", spec.regimes.transition, spec.regimes.names)
        _sum_to_one("regimes.initial", spec.regimes.initial[None], ("the start",))
    if spec.capacity is not None:
        _check_capacity(spec)
    if spec.posterior is not None:
        _check_posterior(spec, spec.posterior, "posterior")
    if spec.halves is not None:
        _check_halves(spec, spec.halves)
    _check_fairness(spec)
    _check_calendar(spec)


def _check_calendar(spec: MarketDescription) -> None:
    market = spec.market
    if not market.first_day:
        return
    try:
        stated = date.fromisoformat(market.first_day).isoformat()
    except ValueError:
        stated = None
    if stated != market.first_day:
        raise ScenarioError(f"market.first_day must be a day, YYYY-MM-DD; got {market.first_day!r}; fix it")
    if spec.period_days is None:
        raise ScenarioError(
            f"market.period_days must be given beside first_day where a period is called '{market.period}'; got nothing; "
            "add the number of days"
        )


def _check_capacity(spec: MarketDescription) -> None:
    capacity = spec.capacity
    rivals = spec.competitors
    assert capacity is not None
    for key in ("units", "use", "added"):
        numbers = getattr(capacity, key)
        if (part := numbers[numbers != np.floor(numbers)]).size:
            raise ScenarioError(f"capacity.{key} must be whole numbers; got {part[0]:g}; round it")
    # At most one customer may come: who would be served first?
    one = spec.arrivals.process == "single" and len(spec.category_names) == 1
    if not one or (rivals is not None and rivals.answers_within_period):
        raise ScenarioError(
            "capacity needs one category, arrivals.process = 'single' and no competitors that answer within the period; "
            "got others; use more and shorter periods"
        )
    if np.isfinite(spec.stock.initial_units).any() or spec.returns is not None:
        raise ScenarioError(
            "capacity takes the place of stock, and units do not come back; got stock.initial_units or returns; "
            "give resources of their own to products with a stock"
        )


def _check_halves(spec: MarketDescription, halves: Halves) -> None:
    if spec.posterior is None:
        raise ScenarioError("halves must stand beside a section [posterior]; got none; add it, or leave [halves] out")
    if halves.draws % 2 or halves.draws < _LEAST_HALVES:
        raise ScenarioError(
            f"halves.draws must be an even number from {_LEAST_HALVES} on, as many of each half; got {halves.draws}; fit again"
        )
    _check_posterior(spec, halves, "halves")


def _check_posterior(spec: MarketDescription, posterior: Posterior, name: str) -> None:
    lifts = {"recommendation": "recommendation", "promotion": "promotion"}
    lifts |= dict.fromkeys(("reference", "reference_gain", "reference_units"), "reference_price")
    for key, section in lifts.items():
        neutral = 0 if key == "reference_gain" else 1
        if getattr(spec, section) is None and (getattr(posterior, key) != neutral).any():
            raise ScenarioError(
                f"{name}.{key} must be left out where there is no section [{section}]; got factors; remove one"
            )


def _check_fairness(spec: MarketDescription) -> None:
    if spec.fairness is None:
        if spec.prices.max_group_spread < 1:
            raise ScenarioError(
                f"prices.max_group_spread needs a section [fairness]; got {spec.prices.max_group_spread:g} without one; "
                "add it, with the groups and their shares of each segment"
            )
        return
    attribute_of_group = np.array(spec.fairness.attribute)
    for name in dict.fromkeys(spec.fairness.attribute):
        groups = attribute_of_group == name
        if groups.sum() < 2:
            raise ScenarioError(f"fairness.groups must be two or more of an attribute; got one of '{name}'; add others")
        _sum_to_one("fairness.share", spec.fairness.share[:, groups], spec.arrivals.segments)


def _sum_to_one(key: str, rows: np.ndarray, names: tuple[str, ...]) -> None:
    total = rows.sum(axis=1)
    bad = np.flatnonzero(np.abs(total - 1) > _SUM_TOLERANCE)
    if bad.size:
        raise ScenarioError(
            f"{key} must sum to one; got {total[bad[0]]:g} for '{names[bad[0]]}'; rescale the probabilities"
        )


def _check_arrivals(spec: MarketDescription) -> None:
    _sum_to_one("arrivals.segment_share", spec.arrivals.segment_share, spec.category_names)
    if spec.arrivals.process == "poisson":
        return
    if spec.stocks_up:
        raise ScenarioError(
            "reference_price.units_gain and units_loss must be 0 where arrivals.process = 'single', as each customer buys "
            "one unit; got others; use process = 'poisson'"
        )
    busiest = 1.0 if spec.regimes is None else spec.regimes.arrivals.max()
    if spec.arrivals.rate.max() * busiest > 1:
        raise ScenarioError(
            "arrivals.rate (times regimes.arrivals) must be at most 1 where process = 'single', being a probability; "
            f"got {spec.arrivals.rate.max() * busiest:g}; use more and shorter periods"
        )


def excluded_parts(family: str, process: str) -> dict[str, tuple[str, str]]:
    """Parts that a demand family or an arrival process rules out, with condition and fix."""
    excluded = {}
    if process == "single":
        for part in ("overdispersion", "loyalty", "strategic", "shocks"):
            excluded[part] = ("where arrivals.process = 'single'", "use process = 'poisson'")
    if family == "mnl":
        return excluded
    for part in ("strategic", "recommendation") if family == "cheapest" else _TOGETHER:
        excluded[part] = (f"with demand.family '{family}'", "use family = 'mnl'")
    return excluded


def _check_excluded(spec: MarketDescription) -> None:
    for part, (where, fix) in excluded_parts(spec.demand.family, spec.arrivals.process).items():
        spread = part == "overdispersion"
        if spec.arrivals.overdispersion.any() if spread else getattr(spec, part) is not None:
            key = f"arrivals.{part}" if spread else part
            raise ScenarioError(f"{key} must be left out {where}; got both; {fix}")


def _check_demand(spec: MarketDescription) -> None:
    family = spec.demand.family
    known = demand_families()
    if family not in known:
        raise ScenarioError(f"demand.family must be one of {', '.join(known)}; got {shown(family)}; choose one of them")
    for key, given in (("nest", spec.demand.nest is not None), ("nesting", spec.demand.nesting.any())):
        if given and family != "nested-logit":
            raise ScenarioError(
                f"demand.{key} must be left out with demand.family '{family}'; got both; use family = 'nested-logit'"
            )
    if spec.demand.price_curvature.any() and family != "mnl":
        raise ScenarioError(
            f"demand.price_curvature must be 0 with demand.family '{family}'; got "
            f"{spec.demand.price_curvature.max():g}; use family = 'mnl'"
        )
    if is_grouped(family):
        return
    counts = np.bincount(spec.category_index)
    if counts.max() > 1:
        raise ScenarioError(
            f"demand.family '{family}' allows one product per category; got {counts.max()} products in "
            f"'{spec.category_names[counts.argmax()]}'; use family = 'mnl'"
        )


def _check_stock(spec: MarketDescription) -> None:
    stock = spec.stock
    unlimited = np.isinf(stock.initial_units)
    needs = {key: getattr(stock, key) != 0 for key in ("holding_cost", "spoilage", "salvage_value")}
    needs["shortage = 'backlog'"] = np.array(stock.shortage == "backlog")
    needs[f"replenishment = '{stock.replenishment}'"] = np.array(stock.replenishment != "none")
    for key, on in needs.items():
        if (unlimited & on).any():
            raise ScenarioError(f"stock.{key} needs finite stock; got initial_units inf; give a number of units")
    if stock.replenishment == "action" and not stock.max_order_units.any():
        raise ScenarioError(
            "stock.max_order_units must be above 0 where the policy orders; got 0; give the largest order"
        )
    _check_largest_orders("stock", stock.max_order_units)
    lead = stock.lead_time_periods
    delay = stock.delay_probability
    if (lead != np.floor(lead)).any():
        raise ScenarioError(
            f"stock.lead_time_periods must be a whole number; got {lead[lead != np.floor(lead)][0]:g}; round it"
        )
    for key, longest in (("lead_time_periods", lead.max()), ("season_periods", stock.season_periods or 0)):
        if longest > spec.market.horizon_periods:
            raise ScenarioError(
                f"stock.{key} must be at most market.horizon_periods ({spec.market.horizon_periods}); got {longest:g}; "
                "shorten it"
            )
    if ((delay > 0) & (lead == 0)).any():
        raise ScenarioError(
            "stock.delay_probability needs a lead time of at least one period; got lead_time_periods 0; lengthen it"
        )
    if spec.express is not None:
        _check_express(spec.express, stock)


def _check_largest_orders(section: str, largest: NDArray[np.float64]) -> None:
    few = (largest > 0) & (largest < 1)
    if few.any():
        raise ScenarioError(
            f"{section}.max_order_units must be 0 or at least 1, as orders are whole units; got {largest[few][0]:g}; round it"
        )


def _check_express(express: Express, stock: Stock) -> None:
    if stock.replenishment != "action":
        raise ScenarioError(
            f"express needs a market whose policies order; got stock.replenishment = '{stock.replenishment}'; use 'action'"
        )
    if not express.max_order_units.any():
        raise ScenarioError(
            "express.max_order_units must be above 0; got 0; give the largest order, or leave express out"
        )
    _check_largest_orders("express", express.max_order_units)
    lead = express.lead_time_periods
    # A product that is never ordered from this supplier may have any lead time with the other one.
    wrong = (lead != np.floor(lead)) | ((lead >= stock.lead_time_periods) & (express.max_order_units > 0))
    if wrong.any():
        raise ScenarioError(
            f"express.lead_time_periods must be a whole number below stock.lead_time_periods "
            f"({stock.lead_time_periods[wrong][0]:g}); got {lead[wrong][0]:g}; shorten it"
        )


def _check_prices(spec: MarketDescription) -> None:
    prices = spec.prices
    named = {"frozen": (prices.frozen,), "bounds_from_sales": (prices.bounds_from_sales,)}
    _check_frozen(spec)
    pairs = {"price_gaps": prices.price_gaps, "packs": prices.packs}
    for key, pair in ((key, pair) for key, own in pairs.items() for pair in own):
        if len(pair) != 2:
            raise ScenarioError(f"prices.{key} must hold pairs of products; got {shown(pair)}; fix it")
    if not isinstance(prices.priority, Mapping | None):
        raise ScenarioError(f"prices.priority must be a table; got {shown(prices.priority)}; write floor = 1 in it")
    levels = PRIORITIES | dict(prices.priority or {})
    if (
        prices.floor is not None
        and prices.ceiling is not None
        and is_firm(levels["floor"])
        and is_firm(levels["ceiling"])
    ):
        _in_order("prices.floor", prices.floor, "prices.ceiling", prices.ceiling, spec.products.names)
    if prices.index_names and (prices.index_weights is None or prices.index_at_most is None):
        raise ScenarioError("prices.index_names needs index_weights and index_at_most; got one without; give all three")
    for key, lists in (named | pairs | {"line_order": prices.line_order}).items():
        for name in (name for names in lists for name in names):
            _is_product(f"prices.{key}", name, spec)
    for key in ("rival_at_least", "rival_at_most"):
        if getattr(prices, key) is not None and spec.competitors is None:
            raise ScenarioError(f"prices.{key} needs a section [competitors]; got none; add it or leave the key out")


def _check_frozen(spec: MarketDescription) -> None:
    prices = spec.prices
    if prices.frozen_as_planned and spec.plan is None:
        raise ScenarioError(
            "prices.frozen_as_planned needs a section [plan], which holds the planned prices; got none; add it, or leave the "
            "key out"
        )
    because = prices.frozen_because
    if not isinstance(because, Mapping | None) or not all(isinstance(why, str) for why in (because or {}).values()):
        raise ScenarioError(
            f'prices.frozen_because must be a table of texts; got {shown(because)}; write "NAME" = "its price hardly moves" in it'
        )
    for name in because or {}:
        _is_product("prices.frozen_because", name, spec)


def _check_law(spec: MarketDescription, law: LawSection) -> None:
    for name in law.jurisdictions:
        if name not in JURISDICTIONS:
            known = ", ".join(JURISDICTIONS)
            raise ScenarioError(f"law.jurisdictions must be of {known}; got {shown(name)}; choose from them")
    for name in law.perishable:
        _is_product("law.perishable", name, spec)
    if "EU" in law.jurisdictions:
        if spec.period_days is None:
            must = "market.period_days must be given where law.jurisdictions has EU, whose prior price is of 30 days"
            raise ScenarioError(f"{must}; got none; add the number of days")
        least = prior_periods(spec.period_days)
        given = spec.prices.prior_price_periods
        if given is not None and given < least:
            must = f"prices.prior_price_periods must be at least {least}, 30 days, where law.jurisdictions has EU"
            raise ScenarioError(f"{must}; got {given}; raise it or leave it out")
    if "CA" in law.jurisdictions and uses_competitors(spec) and law.competitor_source in ("not-stated", "shared"):
        must = "law.competitor_source must be public, own-observation or licensed where law.jurisdictions has CA and "
        must += "competitors' prices are used"
        fix = "do not use what competitors shared" if law.competitor_source == "shared" else "say where they come from"
        raise ScenarioError(f"{must}; got {law.competitor_source}; {fix}")


def uses_competitors(spec: MarketDescription) -> bool:
    """Whether prices of competitors are among what the market rests on."""
    return spec.competitors is not None or bool(spec.law and spec.law.competitor_table)


def _in_order(low_key: str, low: np.ndarray, high_key: str, high: np.ndarray, names: tuple[str, ...]) -> None:
    bad = np.flatnonzero(low > high)
    if bad.size:
        i = int(bad[0])
        raise ScenarioError(
            f"{low_key} must be at most {high_key}; got {low[i]:g} over {high[i]:g} for '{names[i]}'; fix one of them"
        )


def _check_competitors(spec: MarketDescription) -> None:
    rivals = spec.competitors
    assert rivals is not None
    _in_order("competitors.floor", rivals.floor, "competitors.ceiling", rivals.ceiling, rivals.names)
    for rule in rivals.rule:
        try:
            competitor(rule)
        except ValueError as error:
            raise ScenarioError(f"competitors.rule: {error}") from error


# Demand families: how utilities become choices; other packages add theirs by entry point.
#
# An extension registers, under `repricer.demand_families`, a function probability(utility). It maps an array of
# utilities (any shape; quality - price_sensitivity * price + effects) to purchase probabilities of the same shape,
# which fall with the utility. Like `linear`, it is for categories with one product. Under `repricer.choice_models` it
# registers a function probabilities(utility, category) for categories of several: from utilities (…, N), minus
# infinity for a sold-out product, and the category of each product (N,), to the probability of choosing each, (…, N),
# which add up to at most one in a category.


@functools.cache
def _extensions() -> dict[str, Family]:
    return {point.name: point.load() for point in entry_points(group="repricer.demand_families")}


@functools.cache
def _choice_models() -> dict[str, ChoiceFunction]:
    return {point.name: point.load() for point in entry_points(group="repricer.choice_models")}


def demand_families() -> tuple[str, ...]:
    """The allowed values of `demand.family`."""
    return (*BUILT_IN, *_extensions(), *_choice_models())


def is_grouped(name: str) -> bool:
    """Whether a family is for categories of several products."""
    return name in GROUPED or name in _choice_models()


def choice_function(name: str) -> ChoiceFunction | None:
    """The function of another package's choice model; None for any other family."""
    return _choice_models().get(name)


def family_function(name: str) -> Family | None:
    """The function of another package's family; None if the family is built in."""
    return _extensions().get(name)

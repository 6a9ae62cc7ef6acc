"""The validated market description, from which markets are simulated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..pricing import ActionLayout, Guardrails, PriceEndings, PriceLadder
from ..pricing.catalogue import Calendar
from ..pricing.law import Law, prior_periods
from ..pricing.planned_deals import deals_in
from .card import card, headline
from .checks import check_names, check_together
from .description import MarketDescription
from .fields import ScenarioError, nearest, validated, whole
from .price_section import Prices, ladder_of
from .sections import Array, Halves, Posterior


@dataclass(frozen=True, eq=False, repr=False)
class MarketSpec(MarketDescription):
    """One market, checked and ready to simulate.

    Each section (`MarketSection`, `Products`, `Arrivals`, …) is one table of the scenario file. An
    optional section that is None is switched off and costs nothing. Arrays are spread to their full
    shapes and are read-only. Printing a spec shows its card.

    Args:
        name: Registered name, lower-case words joined by dashes.
        version: Whole number that rises with every change of behaviour.
        summary: One or two sentences.
        sources: Where the market was published.
        traps: Mistakes that are easily made with it.
        assumptions: What was assumed rather than fitted.

    Raises:
        ScenarioError: Something is missing or inconsistent; one line names the key and says what is
            allowed.

    Example:
        >>> from repricer import load_scenario
        >>> load_scenario("stationary-logit")
        <MarketSpec stationary-logit, version 1: 1 product, 30 periods>
    """

    def __post_init__(self) -> None:
        check_names(self)
        # First of all T and M, which are among the sizes that the other sections are spread to.
        object.__setattr__(self, "market", validated(self.market, "market", {}))
        if self.posterior is not None:
            draws = whole(self.posterior, "draws", "posterior")
            object.__setattr__(self, "posterior", replace(self.posterior, draws=draws))
        for section in fields(self):
            part = getattr(self, section.name)
            if is_dataclass(part):
                # Halves have draws of their own number.
                own = {"M": whole(part, "draws", "halves")} if isinstance(part, Halves) else {}
                object.__setattr__(self, section.name, validated(part, section.name, self.sizes | own))
        check_together(self)
        object.__setattr__(self, "prices", self._lawful_prices())
        self.guardrails  # noqa: B018  an impossible set of price rules is refused here

    def __str__(self) -> str:
        return card(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {headline(self)}>"

    @property
    def _law(self) -> Law | None:
        """What the law says of the prices; None where the market names no jurisdiction."""
        law = self.law
        if law is None or not law.jurisdictions:
            return None
        perishable = np.isin(self.products.names, law.perishable) if law.perishable else None
        return Law(law.jurisdictions, law.food_store, law.progressive, perishable)

    def _lawful_prices(self) -> Prices:
        """The price rules as the law leaves them, for all who read them."""
        law = self._law
        prices = self.prices
        if law is not None and not law.personal_prices:
            prices = replace(prices, max_discount=0.0)
        if law is not None and law.states_prior and prices.prior_price_periods is None:
            assert self.period_days is not None, "it was checked"
            prices = replace(prices, prior_price_periods=prior_periods(self.period_days))
        return prices

    @property
    def is_decided(self) -> NDArray[np.bool_]:
        """(N,) products of which anything is decided: a price that does not follow the plan, or whether to recommend them."""
        decided = ~self.guardrails.follows_plan
        if self.recommendation is None:
            return decided
        return decided | (np.asarray(self.recommendation.candidates) > 0).any(axis=0)

    @cached_property
    def guardrails(self) -> Guardrails:
        """The price rules, as training, evaluation and the price service apply them."""
        low, high = self.price_bounds
        prices = self.prices
        names = self.products.names
        plan = self.plan
        known = zip(names, self.products.ids or names, strict=True)
        number = {name: n for n, name in enumerate(names)}

        def links(pairs: Sequence[tuple[str, ...]], shares: Array) -> tuple[tuple[int, int, float], ...]:
            return tuple((number[a], number[b], float(share)) for (a, b), share in zip(pairs, shares, strict=True))

        # What both call the same goes over as it is.
        same = {item.name for item in fields(Guardrails) if item.init} & vars(prices).keys()
        given: dict[str, Any] = {name: getattr(prices, name) for name in same}
        given |= {"floor": low, "ceiling": high, "unit_cost": self.products.shelf_cost, "law": self._law}
        given |= {"ladder": prices.price_ladder, "endings": prices.price_endings, "priority": prices.priority or {}}
        given |= {"gaps": links(prices.price_gaps, prices.gap_shares), "packs": links(prices.packs, prices.pack_shares)}
        given["lines"] = tuple(tuple(number[name] for name in line) for line in prices.line_order)
        for key in ("frozen", "bounds_from_sales"):
            given[key] = np.isin(names, given[key]) if given[key] else None
        given["past_price"] = self.past.price
        if plan is not None:
            given["planned_price"] = plan.price
            given["planned_regular"] = deals_in(plan.price, self.products.regular_price).regular
        because = prices.frozen_because or {}
        given["frozen_because"] = tuple(because.get(name, "") for name in names) if because else ()
        if not prices.index_names:
            given |= {"index_weights": None, "index_at_most": None}
        given["names"] = [
            name if name == own or name.endswith(f"({own})") else f"{name} ({own})" for name, own in known
        ]
        try:
            return Guardrails(group_contrasts=self.group_contrasts, **given)
        except ValueError as error:
            raise ScenarioError(f"prices: {error}") from error

    @property
    def past_periods(self) -> int:
        """How many prices before the current one the market keeps, for price rules and for what is observed."""
        seen = 0 if self.observed is None else self.observed.past_periods
        return max(self.guardrails.past_periods, seen)

    @property
    def prices_before(self) -> Array:
        """(P + 1, N) the list prices before the first period; see `Guardrails.prices_before`."""
        return self.guardrails.prices_before(self.products.regular_price, self.past_periods)

    @property
    def initial_price(self) -> Array:
        """(N,) the list prices before the first period, currency per unit; see `Guardrails.prices_before`."""
        return self.prices_before[-1]

    @property
    def calendar(self) -> Calendar | None:
        """The dates of the periods; None where the market has no first day.

        Example:
            >>> from repricer import load_scenario
            >>> weekly = {"first_day": "2018-01-01", "period": "week"}
            >>> load_scenario("stationary-logit").with_changes(market=weekly).calendar.label(1)
            '2018-01-08'
        """
        if not self.market.first_day or self.period_days is None:
            return None
        return Calendar(date.fromisoformat(self.market.first_day), self.period_days, self.market.horizon_periods)

    @property
    def visits(self) -> int:
        """How often a period brings the customers that `arrivals.rate` counts.

        Twice where at most one comes and rivals answer within the period, once for each half; other customers are split
        between the halves.
        """
        rivals = self.competitors
        single = self.arrivals.process == "single"
        return 2 if single and rivals is not None and rivals.answers_within_period else 1

    def regime_probabilities(self, periods: int | None = None) -> Array:
        """The probability of each regime in each period, before any regime is observed.

        Args:
            periods: How many periods, from the first on; by default all T of an episode.

        Returns:
            (periods, Z) probabilities; a single column of ones in a market without regimes.

        Example:
            >>> from repricer import load_scenario
            >>> load_scenario("stationary-logit").regime_probabilities(2)
            array([[1.],
                   [1.]])
        """
        periods = self.sizes["T"] if periods is None else periods
        if self.regimes is None:
            return np.ones((periods, 1))
        rows = [self.regimes.initial]
        while len(rows) < periods:
            rows.append(rows[-1] @ self.regimes.transition)
        return np.array(rows)

    @property
    def num_draws(self) -> int:
        """M, the number of posterior draws; 0 without a posterior."""
        return self.sizes["M"]

    @cached_property
    def searched(self) -> MarketSpec:
        """The market in which prices are searched and learned: with the draws of the first of its `halves`.

        The market itself where it has none.

        Example:
            >>> from repricer import load_scenario
            >>> spec = load_scenario("stationary-logit")
            >>> spec.searched is spec
            True
        """
        return self if self.halves is None else self._with(self.halves.part(slice(None, self.halves.draws // 2)))

    @cached_property
    def scored(self) -> MarketSpec:
        """The market in which prices that were found in `searched` are scored: with the draws of the other half.

        The market itself where it has no halves.

        Example:
            >>> from repricer import load_scenario
            >>> spec = load_scenario("stationary-logit")
            >>> spec.scored is spec
            True
        """
        return self if self.halves is None else self._with(self.halves.part(slice(self.halves.draws // 2, None)))

    @property
    def judged(self) -> MarketSpec:
        """The market with the draws of both of its `halves`, one after the other; itself where it has none."""
        return self if self.halves is None else self._with(self.halves)

    def _with(self, posterior: Posterior) -> MarketSpec:
        return replace(self, posterior=posterior, halves=None)

    def draw(self, m: int) -> MarketSpec:
        """The market under one draw of its posterior: same structure, other numbers.

        Price rules, regular prices, plan and past are those of this market: a minimum margin refers to
        the unit costs that the shop believes in.

        Args:
            m: Number of the draw, from 0.

        Returns:
            A market without a posterior, named `NAME@draw-m`.

        Raises:
            ScenarioError: There is no such draw.

        Example:
            >>> from dataclasses import replace
            >>> from repricer import load_scenario
            >>> from repricer.scenarios.sections import Posterior
            >>> spec = load_scenario("stationary-logit")
            >>> spec = replace(spec, posterior=Posterior(draws=2, arrivals=[[[0.75]], [[1.25]]]))
            >>> spec.draw(0).name, float(spec.draw(0).arrivals.rate[0, 0] / spec.arrivals.rate[0, 0])
            ('stationary-logit@draw-0', 0.75)
        """
        if not 0 <= m < self.num_draws or m != int(m):
            count = self.num_draws
            allowed = f"must be a whole number from 0 to {count - 1}" if count else "needs a market with a posterior"
            raise ScenarioError(
                f"draw of {self.name} {allowed}; got {m}; {'choose one of them' if count else 'add it'}"
            )
        made = object.__new__(type(self))
        # Nothing is checked again: the factors are in their bounds, and the structure is this
        # market's.
        made.__dict__.update({item.name: getattr(self, item.name) for item in fields(self)})
        made.__dict__.update(drawn_sections(self, int(m)))
        made.__dict__.update(name=f"{self.name}@draw-{int(m)}", posterior=None, halves=None)
        # What follows from the structure alone is not computed again.
        kept = ("guardrails", "category_names", "category_index", "nest_index", "competitor_product")
        kept += ("segment_of_customers",)
        made.__dict__.update({key: getattr(self, key) for key in kept}, sizes=self.sizes | {"M": 0})
        return made

    def action_layout(
        self, base_price: NDArray[np.floating] | None = None, *, reach: float = 0.0, rule_at_zero: bool = False
    ) -> ActionLayout:
        """The columns of a raw action, whose multipliers reach every product's price bounds.

        Args:
            base_price: (N,) prices that an action multiplies, currency per unit. None if they vary
                between the bounds.
            reach: As in `ActionLayout`.
            rule_at_zero: As in `ActionLayout`.

        Example:
            >>> from repricer import load_scenario
            >>> spec = load_scenario("stationary-logit")
            >>> spec.action_layout(spec.products.regular_price).size
            1
        """
        rules = self.guardrails
        lowest, highest = (rules.low, rules.high) if base_price is None else (base_price, base_price)
        low = float(np.min(rules.low / highest))
        high = float(np.max(rules.high / lowest))
        return ActionLayout(
            low_multiplier=min(low, 1.0),
            high_multiplier=max(high, 1.0),
            num_segments=len(self.arrivals.segments),
            max_discount=self.prices.max_discount,
            recommend=self.recommendation is not None,
            promote=self.promotion is not None,
            order=self.stock.replenishment == "action",
            express=self.express is not None,
            rule_at_zero=rule_at_zero,
            reach=reach,
        )

    def with_changes(self, **sections: dict[str, Any]) -> MarketSpec:
        """A copy in which some fields of some sections are replaced.

        Args:
            sections: The new values by section and field.

        Raises:
            ScenarioError: There is no such section or field, or a value is wrong.

        Example:
            >>> from repricer import load_scenario
            >>> load_scenario("stationary-logit").with_changes(market={"objective": "profit"}).market.objective
            'profit'
        """
        held = {item.name: getattr(self, item.name) for item in fields(self)}
        parts: dict[str, Any] = {name: part for name, part in held.items() if is_dataclass(part)}
        for name, values in sections.items():
            if name not in parts or not isinstance(values, Mapping):
                got = f"'{name}'" if name not in parts else f"{name}={values!r}"
                raise ScenarioError(
                    f"with_changes takes a dict for a section of {self.name}; got {got}; {nearest(name, list(parts))}"
                )
            known = [item.name for item in fields(parts[name])]
            for key in values.keys() - known:
                raise ScenarioError(f"{name}.{key} is no known key; {nearest(key, known, name + '.')}")
        changed = {name: dict(values) for name, values in sections.items()}
        if changed.get("prices", {}).get("price_ladder") is not None:
            changed["prices"]["price_ladder"] = ladder_of(changed["prices"]["price_ladder"])
        return replace(self, **{name: replace(parts[name], **values) for name, values in changed.items()})


def differing(one: MarketSpec, other: MarketSpec) -> list[str]:
    """The keys in which two markets differ; texts about them are left out.

    Example:
        >>> from repricer import load_scenario
        >>> spec = load_scenario("stationary-logit")
        >>> differing(spec, spec.with_changes(market={"objective": "profit"}))
        ['market.objective']
    """
    found = []
    for section in fields(one):
        first = getattr(one, section.name)
        second = getattr(other, section.name)
        if is_dataclass(first) and is_dataclass(second):
            keys = [item.name for item in fields(first)]
            changed = [key for key in keys if not _same(getattr(first, key), getattr(second, key))]
            found += [f"{section.name}.{key}" for key in changed]
        elif is_dataclass(first) or is_dataclass(second):
            found.append(section.name)  # only one of the two markets has it
    return found


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, PriceLadder) and isinstance(b, PriceLadder):
        a = a.steps
        b = b.steps
    if isinstance(a, PriceEndings) and isinstance(b, PriceEndings):
        a = a.fractions
        b = b.fractions
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(np.asarray(a), np.asarray(b))
    return a == b


# The sections of a market under one posterior draw, and the changes that stress tests share with it.


def price_term(spec: MarketDescription, price: Array) -> Array:
    """What price_sensitivity multiplies: the price or its logarithm."""
    return np.log(price) if spec.demand.family == "constant-elasticity" else price


def scaled_sensitivity(spec: MarketDescription, part: Any, price: Array, factor: Array | float) -> dict[str, Array]:
    """Scaled price sensitivities of a section's offers, with the utilities that stay at these prices."""
    more = (factor - 1) * part.price_sensitivity
    quality = part.quality + more * price_term(spec, price)
    return {"price_sensitivity": part.price_sensitivity + more, "quality": quality}


def scaled_rate(spec: MarketDescription, factor: Array | float) -> Array:
    """Scaled arrival rates; `single` arrivals stay at most one per period."""
    rate = spec.arrivals.rate * factor
    if spec.arrivals.process == "single":
        busiest = 1.0 if spec.regimes is None else max(spec.regimes.arrivals.max(), 1.0)
        rate = np.minimum(rate, 1 / busiest)
    return rate


def drawn_sections(spec: MarketDescription, m: int) -> dict[str, Any]:
    """The sections that draw m changes, complete and read-only."""
    posterior = spec.posterior
    products = spec.products
    assert posterior is not None
    demand = scaled_sensitivity(spec, spec.demand, products.regular_price, posterior.sensitivity[m].astype(np.float64))
    demand["quality"] = demand["quality"] + posterior.utility[m]
    changes: dict[str, dict[str, Any]] = {
        "arrivals": {"rate": scaled_rate(spec, posterior.arrivals[m])},
        "demand": demand,
        "products": {"unit_cost": products.unit_cost * posterior.unit_cost[m]},
    }
    if spec.recommendation is not None:
        changes["recommendation"] = {"lift": spec.recommendation.lift * posterior.recommendation[m]}
    if spec.promotion is not None:
        changes["promotion"] = {"lift": spec.promotion.lift * posterior.promotion[m]}
    if spec.reference_price is not None:
        reference = spec.reference_price
        changes["reference_price"] = {
            prefix + key: getattr(reference, prefix + key) * factor[m]
            for prefix, factor in (("", posterior.reference), ("units_", posterior.reference_units))
            for key in ("gain", "loss")
        }
        changes["reference_price"]["gain"] = changes["reference_price"]["gain"] + posterior.reference_gain[m]
    for values in changes.values():
        for numbers in values.values():
            numbers.setflags(write=False)
    sections = {name: replace(getattr(spec, name), **values) for name, values in changes.items()}
    return sections | {"prices": _believed_margin(spec)}


def _believed_margin(spec: MarketDescription) -> Prices:
    """The price rules with the minimum margin over the assumed unit costs written as a floor."""
    prices = spec.prices
    if prices.minimum_margin is None:
        return prices
    low = np.maximum(spec.price_bounds[0], spec.products.shelf_cost / (1 - prices.minimum_margin))
    low.setflags(write=False)
    return replace(prices, floor=low, minimum_margin=None)

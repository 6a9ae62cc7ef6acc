"""Random but plausible shops of any size, for tests over many markets and for training on many.

Prices and demand are lognormal, elasticities lie around -1.5 to -3.5, and unit costs are half to
three quarters of the price, as for groceries and in Bijmolt, van Heerde and Pieters (2005), New
Empirical Generalizations on the Determinants of Price Elasticity, Journal of Marketing Research
42(2).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.random import Generator

from ..pricing import PriceLadder, logit_utility
from .checks import excluded_parts, is_grouped
from .fields import ScenarioError
from .price_section import Prices
from .sections import (
    Array,
    Arrivals,
    Competitors,
    DemandSection,
    Loyalty,
    MarketSection,
    Products,
    PromotionSection,
    RecommendationSection,
    ReferencePrice,
    Regimes,
    Returns,
    Shocks,
    Stock,
    Strategic,
)
from .shop_sections import PastSection, PlanSection
from .spec import MarketSpec

DEFAULT_PARTS = frozenset({"stock", "competitors", "promotion", "reference_price", "season", "overdispersion"})
_RIVAL_RULES = ("fixed", "undercut:2%", "match", "edgeworth:0.1", "learning:0.05", "two-bound:4:9:0.1")
_MOST_PRODUCTS = 10_000
# How alike the products of a category are in a sampled nested logit.
_NESTING = 0.4


class _Shop:
    """What all parts of a shop share: sizes, prices, costs, demand, utilities.

    Attributes:
        price: (N,) regular price, currency per unit.
        cost: (N,) unit cost, currency per unit.
        units: (N,) mean units per period at regular prices without competitors.
        rate: (C,) mean arrivals per period.
        quality: (K, N) utility at a price of zero.
        sensitivity: (K, N) price sensitivity.
        nest: N names of the products' nests, None where every category is one.
        nesting: of all nests.
        utility: (N,) scale of utility: 1, or a purchase probability in the families where utility
            is a probability.
    """

    def __init__(self, generator: Generator, sizes: tuple[int, int, int], family: str, process: str, nests: bool):
        self.products, self.segments, self.periods = products, segments, _ = sizes
        self.family = family
        self.process = process
        grouped = is_grouped(family)
        self.categories = categories = (products + 5) // 6 if grouped else products
        more = generator.integers(categories, size=products - categories)
        self.category = np.sort(np.concatenate([np.arange(categories), more]))
        middle = generator.lognormal(2.0, 0.8, categories)[self.category]
        self.price = np.maximum(np.round(middle * generator.lognormal(0, 0.25, products), 2), 0.1)
        self.cost = np.round(self.price * generator.uniform(0.5, 0.75, products), 3)
        left = generator.uniform(0.4, 0.8, categories)[self.category]
        popularity = generator.lognormal(0, 0.5, products)
        bought = (1 - left) * popularity / np.bincount(self.category, popularity)[self.category]
        busy = generator.lognormal(3.5, 0.7, categories) * np.bincount(self.category)
        self.rate = generator.uniform(0.2, 0.7, categories) if process == "single" else busy
        self.units = self.rate[self.category] * bought
        elasticity = generator.uniform(1.5, 3.5, products) * generator.lognormal(0, 0.2, (segments, 1))
        self.utility = {"linear": bought, "cheapest": np.full(products, 0.5)}.get(family, np.ones(products))
        nest = 2 * self.category + (self.price > middle)
        self.nest = tuple(np.where(nest % 2, "premium", "budget").tolist()) if nests else None
        self.nesting = _NESTING * (family == "nested-logit")
        within = bought / (np.bincount(nest, bought)[nest] if nests else 1 - left)
        taste = generator.normal(0, 0.2, elasticity.shape)
        self._choose(np.minimum(elasticity, 5.0), bought, left, within, taste)

    def _choose(self, elasticity: Array, bought: Array, left: Array, within: Array, taste: Array) -> None:
        """Set utilities from purchase probabilities and elasticities at regular prices."""
        if self.family == "constant-elasticity":
            self.sensitivity = elasticity
            self.quality = np.log(bought) + elasticity * np.log(self.price)
            return
        if self.family in ("linear", "cheapest"):
            slope = elasticity * self.utility
            at_regular = self.utility
        elif self.family == "exponential":
            slope = elasticity
            at_regular = np.log(bought)
        else:
            # Berry (1994), with a nesting of zero for the multinomial logit.
            slope = elasticity / ((1 - self.nesting * within) / (1 - self.nesting) - bought)
            at_regular = logit_utility(bought, left) - self.nesting * np.log(within) + taste
        self.sensitivity = slope / self.price
        self.quality = at_regular + slope


def sample_catalogue(
    products: int,
    seed: int,
    *,
    segments: int = 2,
    parts: Iterable[str] | str = DEFAULT_PARTS,
    family: str = "mnl",
    process: str = "poisson",
    periods: int = 52,
    assortment: int = 0,
    nests: bool = False,
) -> MarketSpec:
    """A random but plausible shop; the same arguments give the same shop.

    With the defaults, `load_scenario("catalogue:N:SEED")` gives the same shop, and
    "catalogue:N:SEED:ASSORTMENT" the shop with another assortment.

    Args:
        products: N, from 1 to 10,000.
        seed: Selects the shop.
        segments: K, the number of customer segments.
        parts: What is switched on: names of `PARTS` (the optional sections, and season,
            overdispersion, discounts), or "all". Parts that the family or the process rules out are
            left out.
        family: Choice model, as `demand.family`.
        process: Arrival process, as `arrivals.process`.
        periods: T, the number of periods.
        assortment: Selects the products; the rest of the shop (objective, price rules, segment
            sizes, the effect of promotions) does not depend on it.
        nests: Whether the dearer and the cheaper products of a category are nests apart, in the nested logit.

    Raises:
        ScenarioError: A size is out of range, or a part, the family or the process is unknown.

    Example:
        >>> sample_catalogue(20, seed=7)
        <MarketSpec catalogue:20:7, version 1: 20 products, 2 segments, 52 weeks>
    """
    _check_sizes(products=products, segments=segments, periods=periods, seed=seed, assortment=assortment)
    chosen = _chosen(parts) - set(excluded_parts(family, process))
    generator = np.random.default_rng([seed, products])
    given = ((products, segments, periods), family, process, nests)
    shop = _Shop(generator, *given)
    if assortment:
        shop = _Shop(np.random.default_rng([seed, products, 0, assortment]), *given)
    # One generator per part: switching a part on does not change the others.
    drawn: dict[str, Any] = {
        name: draw(shop, np.random.default_rng([seed, products, i]))
        for i, (name, draw) in enumerate(PARTS.items(), start=1)
        if name in chosen
    }
    plain = chosen == DEFAULT_PARTS and (segments, family, process, periods) == (2, "mnl", "poisson", 52)
    inside = {key: drawn.pop(key, {}) for key in ("season", "overdispersion", "discounts")}
    share = generator.dirichlet(np.full(segments, 4.0), shop.categories)
    return MarketSpec(
        name=f"catalogue:{products}:{seed}" + (f":{assortment}" if assortment else "") + ("" if plain else ":custom"),
        version=1,
        summary=f"A sampled shop: {products} products in {shop.categories} categories.",
        sources=("sampled by repricer's sample_catalogue",),
        assumptions=("Every number is drawn at random from ranges that are usual in retail.",),
        market=_market(shop, generator),
        products=_products(shop),
        arrivals=Arrivals(
            rate=shop.rate,
            segments=tuple(f"segment {k + 1}" for k in range(segments)),
            segment_share=share,
            process=process,
            **inside["overdispersion"],
        ),
        demand=DemandSection(
            shop.quality, shop.sensitivity, family, nest=shop.nest, nesting=np.array(shop.nesting), **inside["season"]
        ),
        prices=_prices(shop, generator, inside["discounts"]),
        **drawn,
    )


def sample_by_name(name: str) -> MarketSpec | None:
    """The shop named `catalogue:N:SEED[:ASSORTMENT]`; None for a name of another form."""
    found = re.fullmatch(r"catalogue:(\d+):(\d+)(?::(\d+))?", name, flags=re.ASCII)
    return None if found is None else sample_catalogue(int(found[1]), int(found[2]), assortment=int(found[3] or 0))


def _check_sizes(*, seed: int, assortment: int, **sizes: int) -> None:
    for key, size in sizes.items():
        if not 1 <= size <= _MOST_PRODUCTS:
            raise ScenarioError(f"{key} of a sampled shop must lie in [1, {_MOST_PRODUCTS}]; got {size}; fix it")
    for key, number in (("seed", seed), ("assortment", assortment)):
        if number < 0:
            raise ScenarioError(f"{key} of a sampled shop must be 0 or more; got {number}; fix it")


def _chosen(parts: Iterable[str] | str) -> set[str]:
    if parts == "all":
        return set(PARTS)
    chosen = set([parts] if isinstance(parts, str) else parts)
    unknown = sorted(chosen - set(PARTS))
    if unknown:
        raise ScenarioError(f"parts must be 'all' or names of {', '.join(PARTS)}; got '{unknown[0]}'; choose from them")
    return chosen


def _market(shop: _Shop, generator: Generator) -> MarketSection:
    infinite_horizon = bool(generator.random() < 0.25)
    return MarketSection(
        horizon_periods=shop.periods,
        period="week",
        objective="profit" if generator.random() < 0.75 else "revenue",
        discount_factor=0.98 if infinite_horizon else 1.0,
        ending="truncated" if infinite_horizon else "terminated",
    )


def _products(shop: _Shop) -> Products:
    return Products(
        names=tuple(f"product {n + 1}" for n in range(shop.products)),
        regular_price=shop.price,
        category=tuple(f"category {c + 1}" for c in shop.category),
        unit_cost=shop.cost,
    )


def _prices(shop: _Shop, generator: Generator, discounts: dict[str, Any]) -> Prices:
    """Free prices, ticks, or one ladder for all products in steps of 4%."""
    kind = generator.integers(3)
    floor = np.round(0.5 * shop.price, 2)
    ceiling = np.round(1.6 * shop.price, 2)
    steps = int(np.log(ceiling.max() / floor.min()) / 0.04) + 2
    return Prices(
        price_ladder=PriceLadder(floor.min() * 1.04 ** np.arange(steps)) if kind == 2 else None,
        floor=floor,
        ceiling=ceiling,
        tick=0.01 if kind == 1 else None,
        minimum_margin=0.05 if generator.random() < 0.3 else None,
        max_change=np.array(0.3) if generator.random() < 0.5 else None,
        **discounts,
    )


def _season(shop: _Shop, generator: Generator) -> dict[str, Array]:
    """Yearly waves (T, C) of utility and price sensitivity; quarterly waves (T, N) of products."""
    phase = generator.uniform(0, 2 * np.pi, (2, shop.categories))
    wave = np.sin(2 * np.pi * np.arange(shop.periods)[:, None, None] / 52 + phase)
    usual = np.bincount(shop.category, shop.utility) / np.bincount(shop.category)
    own = np.sin(2 * np.pi * np.arange(shop.periods)[:, None] / 13 + generator.uniform(0, 2 * np.pi, shop.products))
    return {
        "season": 0.2 * usual * wave[:, 0],
        "sensitivity_path": 1 + 0.1 * wave[:, 1],
        "quality_path": 0.1 * shop.utility * own,
    }


def _overdispersion(shop: _Shop, generator: Generator) -> dict[str, Array]:
    return {"overdispersion": generator.uniform(0, 0.3, shop.products)}


def _discounts(shop: _Shop, generator: Generator) -> dict[str, float]:
    most = generator.uniform(0.05, 0.3)
    return {"max_discount": most, "max_segment_spread": most * generator.uniform(0.5, 1)}


def _stock(shop: _Shop, generator: Generator) -> Stock:
    replenishment = ("none", "order-up-to", "action")[generator.integers(3)]
    lead = int(min(generator.integers(4), shop.periods))
    level = np.ceil((lead + generator.uniform(2, 3)) * shop.units) + 1
    bought_once = np.ceil(shop.units * shop.periods * generator.uniform(0.5, 1.2)) + 1
    seasons = replenishment == "none" and shop.periods > 1 and generator.random() < 0.5
    return Stock(
        initial_units=bought_once if replenishment == "none" else level,
        replenishment=replenishment,
        order_up_to_units=level,
        max_order_units=level,
        lead_time_periods=np.array(float(lead)),
        shortage="backlog" if not seasons and generator.random() < 0.3 else "lost",
        cost_due="ordered" if generator.random() < 0.3 else "sold",
        order_cost=generator.uniform(0, 2, shop.products),
        holding_cost=0.003 * shop.cost,
        lost_sale_cost=0.05 * shop.price,
        backlog_cost=0.1 * shop.price,
        spoilage=np.where(generator.random(shop.products) < 0.3, generator.uniform(0, 0.15, shop.products), 0.0),
        season_periods=(shop.periods + 1) // 2 if seasons else None,
        salvage_value=0.3 * shop.cost,
    )


def _competitors(shop: _Shop, generator: Generator) -> Competitors:
    """One offer against the first product, and one against others with probability 1/3."""
    rivalled = generator.random(shop.products) < 1 / 3
    rivalled[0] = True
    product = np.flatnonzero(rivalled)
    price = np.round(shop.price[product] * generator.uniform(0.85, 1.15, product.size), 2)
    return Competitors(
        names=tuple(f"rival {r + 1}" for r in range(product.size)),
        seller=tuple(f"seller {r % 3 + 1}" for r in range(product.size)),
        product=tuple(f"product {n + 1}" for n in product),
        regular_price=price,
        unit_cost=shop.cost[product],
        quality=shop.quality[:, product] + generator.normal(0, 0.2, product.size) * shop.utility[product],
        price_sensitivity=shop.sensitivity[:, product],
        rule=tuple(_RIVAL_RULES[i] for i in generator.integers(len(_RIVAL_RULES), size=product.size)),
        floor=0.5 * price,
        ceiling=2 * price,
        answers_within_period=bool(generator.random() < 0.3),
    )


def _promotion(shop: _Shop, generator: Generator) -> PromotionSection:
    return PromotionSection(
        lift=generator.uniform(0.2, 1.0, (shop.segments, 1)) * shop.utility,
        cost=shop.price * shop.units * 0.05,
        max_products=1 + shop.products // 5,
    )


def _reference_price(shop: _Shop, generator: Generator) -> ReferencePrice:
    scale = ("log", "linear")[generator.integers(2)]
    gain = generator.uniform(0.2, 1.0, shop.products) * shop.utility / (shop.price if scale == "linear" else 1.0)
    return ReferencePrice(
        memory=generator.uniform(0.5, 0.95), gain=gain, loss=gain * generator.uniform(1, 2.5), scale=scale
    )


def _recommendation(shop: _Shop, generator: Generator) -> RecommendationSection:
    shape = (shop.segments, shop.products)
    return RecommendationSection(
        lift=generator.uniform(0.1, 0.6, shop.segments) * shop.utility.min(),
        candidates=(generator.random(shape) < 0.7).astype(np.float64),
        affinity=generator.normal(0, 1, shape),
    )


def _loyalty(shop: _Shop, generator: Generator) -> Loyalty:
    return Loyalty(
        memory=generator.uniform(0.7, 0.95),
        price_effect=generator.uniform(0, 1, shop.segments),
        stockout_effect=generator.uniform(0, 1, shop.segments),
    )


def _strategic(shop: _Shop, generator: Generator) -> Strategic:
    return Strategic(share=generator.uniform(0, 0.6, shop.segments), patience=generator.uniform(0, 1, shop.segments))


def _regimes(shop: _Shop, generator: Generator) -> Regimes:
    states = int(generator.integers(2, 4))
    arrivals = generator.uniform(0.6, 1.4, states)
    return Regimes(
        names=tuple(f"regime {z + 1}" for z in range(states)),
        transition=0.8 * np.eye(states) + 0.2 * generator.dirichlet(np.ones(states), states),
        initial=generator.dirichlet(np.ones(states)),
        utility=generator.normal(0, 0.2, states) * shop.utility.min(),
        sensitivity=generator.uniform(0.7, 1.4, states),
        arrivals=arrivals / arrivals.max() if shop.process == "single" else arrivals,
        observed=bool(generator.random() < 0.7),
    )


def _shocks(shop: _Shop, generator: Generator) -> Shocks:
    return Shocks(volatility=generator.uniform(0.05, 0.5), persistence=generator.uniform(0, 0.9))


def _returns(shop: _Shop, generator: Generator) -> Returns:
    return Returns(
        probability=generator.uniform(0, 0.3, shop.products), handling_cost=shop.price * generator.uniform(0, 0.1)
    )


def _plan(shop: _Shop, generator: Generator) -> PlanSection:
    """The shop's own prices: regular, or reduced by 20% in one period of five."""
    shape = (shop.periods, shop.products)
    return PlanSection(
        price=shop.price * np.where(generator.random(shape) < 0.2, 0.8, 1.0),
        units=generator.poisson(shop.units, shape).astype(np.float64),
    )


def _past(shop: _Shop, generator: Generator) -> PastSection:
    return PastSection(price=shop.price * generator.choice([0.8, 1.0], (3, shop.products)))


PARTS: dict[str, Callable[[_Shop, Generator], Any]] = {
    "season": _season,
    "overdispersion": _overdispersion,
    "discounts": _discounts,
    "stock": _stock,
    "competitors": _competitors,
    "promotion": _promotion,
    "reference_price": _reference_price,
    "recommendation": _recommendation,
    "loyalty": _loyalty,
    "strategic": _strategic,
    "regimes": _regimes,
    "shocks": _shocks,
    "returns": _returns,
    "plan": _plan,
    "past": _past,
}

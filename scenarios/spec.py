"""The frozen market description: everything that a simulated market is, validated once.

Shapes: T periods, C categories, N products, K segments. Every section is one table of the scenario file; a field's
metadata gives its shape (a scalar or a shorter row is spread to it), bounds and meaning, and is the only place where
they stand: the loader, the errors and the scenario card read them from here.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..pricing import ActionLayout, Guardrails, PriceLadder
from .errors import ScenarioError
from .fields import array, choice, scalar, validated, value

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Market:
    """What kind of market it is and what counts."""

    horizon_periods: int = scalar("T, periods in an episode; the end is a real end", low=1, high=100_000)
    period: str = value("what a period is", default="period")
    currency: str = value("the unit of money", default="currency")
    objective: str = choice("what the reward is", "revenue", "profit", default="revenue")
    discount_factor: float = scalar("of a period", low=0.0, high=1.0, default=1.0)


@dataclass(frozen=True)
class Products:
    """The products on sale."""

    names: tuple[str, ...] = value("N names")
    regular_price: Array = array("N", "currency per unit", low=1e-9, high=1e9)
    category: tuple[str, ...] | None = value("category of each product; one for all where left out", default=None)
    unit_cost: Array = array("N", "currency per unit", low=0, high=1e9, default=0.0)


@dataclass(frozen=True)
class Arrivals:
    """How many customers come to choose in a category in a period."""

    rate: Array = array("TC", "mean customers per period and category", low=0, high=1e9)
    segments: tuple[str, ...] = value("K segment names", default=("everyone",))
    segment_share: Array = array("CK", "shares of the segments among them, summing to one", low=0, high=1, default=1.0)
    overdispersion: Array = array(
        "N",
        "variance of the gamma multiplier of a product's rate (mean 1); 0 is Poisson",
        low=0,
        high=100,
        default=0.0,
    )


@dataclass(frozen=True)
class Demand:
    """How a customer chooses: utility = quality + season - price_sensitivity * price paid + lifts + reference effect.

    mnl: multinomial logit among the products in stock of the category and leaving. The other families are for one
    product a category: buys with probability exp(u) (exponential), u (linear), or exp(u) where the price enters as
    its logarithm (constant-elasticity); probabilities are cut to [0, 1].
    """

    quality: Array = array("KN", "utility at a price of zero", low=-1e3, high=1e3)
    price_sensitivity: Array = array("KN", "utility lost per unit of currency", low=0, high=1e6)
    family: str = choice("choice model", "mnl", "exponential", "linear", "constant-elasticity", default="mnl")
    season: Array = array("TC", "utility added by period", low=-1e2, high=1e2, default=0.0)
    sensitivity_path: Array = array("TC", "multiplies price_sensitivity by period", low=0, high=1e3, default=1.0)


@dataclass(frozen=True)
class ReferencePrice:
    """What customers remember of prices: r' = memory * r + (1 - memory) * price; utility moves with log(r / price)."""

    memory: float = scalar("share of the old reference price that is kept", low=0, high=1)
    gain: Array = array("N", "utility per log point that the price is below the reference", low=0, high=1e3)
    loss: Array = array("N", "utility lost per log point above it", low=0, high=1e3)


@dataclass(frozen=True)
class Recommendation:
    """One slot a segment: the shown product's utility rises for that segment."""

    lift: Array = array("K", "utility added to the product shown", low=0, high=20)
    candidates: Array = array("KN", "1 where the recommender allows the product for the segment", low=0, high=1)
    affinity: Array = array("KN", "the recommender's score; the highest candidate is its own choice", default=0.0)


@dataclass(frozen=True)
class Stock:
    """Units for sale; sales beyond them are lost. Customers are served in random order."""

    initial_units: Array = array("N", "on hand at the start; inf is unlimited", low=0, default=np.inf)
    replenishment: str = choice("rule of the market's own orders", "none", "order-up-to", default="none")
    order_up_to_units: Array = array("N", "on hand plus on order after ordering", low=0, high=1e9, default=0.0)
    lead_time_periods: int = scalar("periods from order to delivery", low=0, high=1000, default=1)
    holding_cost: Array = array("N", "currency per unit on hand at a period's end", low=0, high=1e9, default=0.0)
    lost_sale_cost: Array = array("N", "currency per unit of lost sales", low=0, high=1e9, default=0.0)


@dataclass(frozen=True)
class Prices:
    """What may be charged."""

    price_ladder: PriceLadder | None = value("allowed prices: a list, or {start, stop, step}", default=None)
    floor: Array | None = array("N", "currency per unit", low=1e-9, high=1e9, optional=True)
    ceiling: Array | None = array("N", "currency per unit", low=1e-9, high=1e9, optional=True)
    tick: float | None = scalar("prices are multiples of it", low=1e-6, high=1e6, optional=True)
    minimum_margin: float | None = scalar("least (price - cost) / price", low=0, high=0.999, optional=True)
    max_change: float | None = scalar("largest relative change a period", low=0, high=1e3, optional=True)
    max_discount: float = scalar("largest personal discount, a fraction; 0 is none", low=0, high=0.95, default=0.0)
    max_segment_spread: float = scalar("largest difference of two segments' discounts", low=0, high=1, default=1.0)


@dataclass(frozen=True)
class History:
    """What the shop itself did in the simulated periods: the benchmark to beat, and the check of the fit."""

    price: Array = array("TN", "currency per unit that was charged", low=1e-9, high=1e9)
    units: Array = array("TN", "units that were sold", low=0, high=1e12)
    first_day: str = value("first day of the first period, YYYY-MM-DD", default="2001-01-01")


@dataclass(frozen=True, eq=False)
class MarketSpec:
    """One market, ready to simulate. Sections that are None are off and cost nothing.

    name, version: identify the behaviour. summary, sources, traps, assumptions: for the reader of the card;
    `assumptions` lists what was assumed rather than fitted.
    """

    name: str = value("registered name, lower-case words joined by dashes")
    version: int = value("rises with every change of behaviour")
    market: Market = value("section")
    products: Products = value("section")
    arrivals: Arrivals = value("section")
    demand: Demand = value("section")
    prices: Prices = value("section")
    stock: Stock = value("section", default_factory=Stock)
    reference_price: ReferencePrice | None = value("section", default=None)
    recommendation: Recommendation | None = value("section", default=None)
    history: History | None = value("section", default=None)
    summary: str = value("one or two sentences", default="")
    sources: tuple[str, ...] = value("who published it", default=())
    traps: tuple[str, ...] = value("what goes wrong for the unwary", default=())
    assumptions: tuple[str, ...] = value("what was assumed, not fitted", default=())

    def __post_init__(self) -> None:
        self._check_names()
        sizes = {
            "T": int(self.market.horizon_periods),
            "C": len(self.category_names),
            "N": len(self.products.names),
            "K": len(self.arrivals.segments),
        }
        for section in fields(self):
            part = getattr(self, section.name)
            if hasattr(part, "__dataclass_fields__"):
                object.__setattr__(self, section.name, validated(part, section.name, sizes))
        self._check_together()

    def _check_names(self) -> None:
        names, category = self.products.names, self.products.category
        for key, listed in (("products.names", names), ("arrivals.segments", self.arrivals.segments)):
            twice = next((name for i, name in enumerate(listed) if name in listed[:i]), None)
            if twice is not None:
                raise ScenarioError(f"{key} must differ; got '{twice}' twice; rename one")
        if category is not None and len(category) != len(names):
            raise ScenarioError(
                f"products.category must name one category for each of {len(names)} products; got {len(category)}; "
                "complete the list"
            )

    def _check_together(self) -> None:
        if (np.isinf(self.stock.initial_units) & (self.stock.holding_cost > 0)).any():
            raise ScenarioError("stock.holding_cost needs finite stock; got initial_units inf; give a number of units")
        share = self.arrivals.segment_share.sum(axis=1)
        bad = np.flatnonzero(np.abs(share - 1) > 1e-6)
        if bad.size:
            raise ScenarioError(
                f"arrivals.segment_share must sum to one over the segments; got {share[bad[0]]:g} "
                f"for category '{self.category_names[bad[0]]}'; rescale the shares"
            )
        counts = np.bincount(self.category_index)
        if self.demand.family != "mnl" and counts.max() > 1:
            raise ScenarioError(
                f"demand.family '{self.demand.family}' is for one product a category; got {counts.max()} products in "
                f"'{self.category_names[counts.argmax()]}'; use family = 'mnl'"
            )
        if self.stock.lead_time_periods > self.market.horizon_periods:
            raise ScenarioError(
                f"stock.lead_time_periods must be at most market.horizon_periods ({self.market.horizon_periods}); "
                f"got {self.stock.lead_time_periods}; no order would ever arrive"
            )
        if self.history is not None:
            try:
                np.datetime64(self.history.first_day, "D")
            except ValueError as error:
                day = self.history.first_day
                raise ScenarioError(f"history.first_day must be a day, YYYY-MM-DD; got {day!r}; mend it") from error
        self.guardrails  # noqa: B018  an impossible set of price rules is refused here

    @cached_property
    def category_names(self) -> tuple[str, ...]:
        """The C categories in order of appearance."""
        return tuple(dict.fromkeys(self.products.category or ("all",)))

    @cached_property
    def category_index(self) -> NDArray[np.intp]:
        """(N,) index of each product's category."""
        if self.products.category is None:
            return np.zeros(len(self.products.names), dtype=np.intp)
        return np.array([self.category_names.index(c) for c in self.products.category], dtype=np.intp)

    @cached_property
    def price_bounds(self) -> tuple[Array, Array]:
        """Lowest and highest price that the scenario allows, (N,) each: ladder ends where no bound is given."""
        prices, regular = self.prices, self.products.regular_price
        ladder = prices.price_ladder
        low = (
            prices.floor
            if prices.floor is not None
            else (np.full_like(regular, ladder.steps[0]) if ladder else regular / 4)
        )
        high = (
            prices.ceiling
            if prices.ceiling is not None
            else (np.full_like(regular, ladder.steps[-1]) if ladder else regular * 4)
        )
        return low, high

    @cached_property
    def guardrails(self) -> Guardrails:
        """The price rules as the object that training, evaluation and the service apply."""
        low, high = self.price_bounds
        prices = self.prices
        try:
            return Guardrails(
                floor=low,
                ceiling=high,
                unit_cost=self.products.unit_cost,
                minimum_margin=prices.minimum_margin,
                max_change=prices.max_change,
                ladder=prices.price_ladder,
                tick=prices.tick,
                max_discount=prices.max_discount,
                max_segment_spread=prices.max_segment_spread,
            )
        except ValueError as error:
            raise ScenarioError(f"prices: {error}") from error

    def action_layout(self, base_price: NDArray[np.floating]) -> ActionLayout:
        """The columns of a raw action around these base prices (N,), wide enough for every product's bounds."""
        rules = self.guardrails
        low = float(np.min(rules.low / base_price))
        high = float(np.max(rules.high / base_price))
        return ActionLayout(
            low_multiplier=min(low, 1.0),
            high_multiplier=max(high, 1.0),
            num_segments=len(self.arrivals.segments),
            max_discount=self.prices.max_discount,
            recommend=self.recommendation is not None,
        )

    def with_changes(self, **sections: dict[str, Any]) -> MarketSpec:
        """A copy with some fields of some sections replaced: `spec.with_changes(market={"objective": "profit"})`."""
        changed = {name: replace(getattr(self, name), **values) for name, values in sections.items()}
        return replace(self, **changed)

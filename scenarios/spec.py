"""The frozen market description: everything that a simulated market is, validated once."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..pricing import ActionLayout, Guardrails
from .checks import check_names, check_together
from .errors import ScenarioError
from .fields import validated, value
from .sections import (
    Array,
    Arrivals,
    Competitors,
    Demand,
    History,
    Loyalty,
    Market,
    Prices,
    Products,
    Promotion,
    Recommendation,
    ReferencePrice,
    Regimes,
    Returns,
    Shocks,
    Stock,
    Strategic,
)


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
    competitors: Competitors | None = value("section", default=None)
    promotion: Promotion | None = value("section", default=None)
    reference_price: ReferencePrice | None = value("section", default=None)
    recommendation: Recommendation | None = value("section", default=None)
    loyalty: Loyalty | None = value("section", default=None)
    strategic: Strategic | None = value("section", default=None)
    regimes: Regimes | None = value("section", default=None)
    shocks: Shocks | None = value("section", default=None)
    returns: Returns | None = value("section", default=None)
    history: History | None = value("section", default=None)
    summary: str = value("one or two sentences", default="")
    sources: tuple[str, ...] = value("who published it", default=())
    traps: tuple[str, ...] = value("what goes wrong for the unwary", default=())
    assumptions: tuple[str, ...] = value("what was assumed, not fitted", default=())

    def __post_init__(self) -> None:
        check_names(self)
        # Before anything else: T is among the sizes that the other sections are spread to.
        object.__setattr__(self, "market", validated(self.market, "market", {}))
        for section in fields(self):
            part = getattr(self, section.name)
            if hasattr(part, "__dataclass_fields__"):
                object.__setattr__(self, section.name, validated(part, section.name, self.sizes))
        check_together(self)
        self.guardrails  # noqa: B018  an impossible set of price rules is refused here

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The number behind each shape letter."""
        return {
            "T": int(self.market.horizon_periods),
            "C": len(self.category_names),
            "N": len(self.products.names),
            "K": len(self.arrivals.segments),
            "R": 0 if self.competitors is None else len(self.competitors.names),
            "Z": 0 if self.regimes is None else len(self.regimes.names),
        }

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
    def competitor_product(self) -> NDArray[np.intp]:
        """(R,) index of the product that each rival offer competes with."""
        if self.competitors is None or self.competitors.product is None:
            return np.arange(self.sizes["R"], dtype=np.intp)
        return np.array([self.products.names.index(name) for name in self.competitors.product], dtype=np.intp)

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
        prices, number = self.prices, {name: n for n, name in enumerate(self.products.names)}
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
                endings=prices.price_endings,
                minimum_advertised_price=prices.minimum_advertised_price,
                frozen=np.isin(self.products.names, prices.frozen) if prices.frozen else None,
                max_changes=prices.max_changes,
                change_window_periods=prices.change_window_periods,
                lines=tuple(tuple(number[name] for name in line) for line in prices.line_order),
                prior_price_periods=prices.prior_price_periods,
            )
        except ValueError as error:
            raise ScenarioError(f"prices: {error}") from error

    def action_layout(self, base_price: NDArray[np.floating] | None = None, *, reach: float = np.inf) -> ActionLayout:
        """The columns of a raw action around these base prices (N,), wide enough for every product's bounds.

        base_price: None where it moves anywhere between the bounds. reach: or at most this factor away from the base price,
        either way.
        """
        rules = self.guardrails
        lowest, highest = (rules.low, rules.high) if base_price is None else (base_price, base_price)
        low = max(float(np.min(rules.low / highest)), 1 / reach)
        high = min(float(np.max(rules.high / lowest)), reach)
        return ActionLayout(
            low_multiplier=min(low, 1.0),
            high_multiplier=max(high, 1.0),
            num_segments=len(self.arrivals.segments),
            max_discount=self.prices.max_discount,
            recommend=self.recommendation is not None,
            promote=self.promotion is not None,
            order=self.stock.replenishment == "action",
        )

    def with_changes(self, **sections: dict[str, Any]) -> MarketSpec:
        """A copy with some fields of some sections replaced: `spec.with_changes(market={"objective": "profit"})`."""
        changed = {name: replace(getattr(self, name), **values) for name, values in sections.items()}
        return replace(self, **changed)

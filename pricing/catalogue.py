"""What a policy may know: the catalogue (fixed facts) and the market view (what is seen this period)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Facts about products and segments that hold for a whole episode (N products, K segments, T periods).

    products: names (N). segments: names (K). category: index of each product's category, (N,) int.
    regular_price, unit_cost: (N,) currency per unit.
    segment_elasticity: (K, N) own-price elasticity at the regular price, negative.
    segment_units: (K, N) expected units a period at the regular price, mean over periods.
    forecast_units: (T, N) expected units at the regular price in each period.
    endless: whether the market goes on after the T periods (an episode is then cut, and no period is the last).
    regimes: names of the Z market states that a policy sees, none where there are none or they are hidden.
    rivals: whether there are competitors' prices to see. loyal: whether segments' loyalty moves and is seen.
    max_order_units: (N,) the largest order, None where policies do not order.
    change_window_periods: window in which the price rules count a product's price changes, 0 where they do not.
    """

    products: tuple[str, ...]
    segments: tuple[str, ...]
    category: NDArray[np.intp]
    regular_price: NDArray[np.float32]
    unit_cost: NDArray[np.float32]
    segment_elasticity: NDArray[np.float32]
    segment_units: NDArray[np.float32]
    forecast_units: NDArray[np.float32]
    endless: bool = False
    regimes: tuple[str, ...] = ()
    rivals: bool = False
    loyal: bool = False
    max_order_units: NDArray[np.float32] | None = None
    change_window_periods: int = 0

    @property
    def num_products(self) -> int:
        """N."""
        return len(self.products)

    @property
    def num_segments(self) -> int:
        """K."""
        return len(self.segments)

    @property
    def horizon(self) -> int:
        """T, in periods."""
        return self.forecast_units.shape[0]


@dataclass(frozen=True)
class MarketView:
    """What is seen of E markets before the prices of a period are set.

    catalogue: the fixed facts. period: (E,) int, counted from 0.
    list_price: (E, N) the price charged last, before personal discount. reference_price: (E, N) what customers
    remember. Both currency per unit. on_hand: (E, N) units, inf where stock is unlimited. on_order: (E, N) units
    on the way. last_units: (E, N) units sold in the period before.
    competitor_price: (E, N) lowest price of a rival for the product, currency per unit, inf where there is none.
    regime: (E,) int, the state of the market among `catalogue.regimes`. loyalty: (E, K) multiplier of a segment's
    arrivals. memory: (E, N, 2) what a policy that learns in the market noted itself. changes: (E, N) price changes in
    the periods of `catalogue.change_window_periods` before this one. lowest_price_30_days: (E, N) lowest list price of
    the 30 days before, NaN where it is not known. None where a market has no such thing.
    """

    catalogue: Catalogue
    period: NDArray[np.intp]
    list_price: NDArray[np.float32]
    reference_price: NDArray[np.float32]
    on_hand: NDArray[np.float32]
    on_order: NDArray[np.float32]
    last_units: NDArray[np.float32]
    competitor_price: NDArray[np.float32] | None = None
    regime: NDArray[np.intp] | None = None
    loyalty: NDArray[np.float32] | None = None
    memory: NDArray[np.float32] | None = None
    changes: NDArray[np.intp] | None = None
    lowest_price_30_days: NDArray[np.float32] | None = None

    @property
    def num_markets(self) -> int:
        """E."""
        return self.period.shape[0]

    def take(self, markets: NDArray[np.intp]) -> MarketView:
        """The view of these markets, by number and in this order; a market may be taken several times."""
        arrays = {name: value[markets] for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return replace(self, **arrays)

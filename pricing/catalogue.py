"""What a policy may know: the catalogue (fixed facts) and the market view (what is seen this period)."""

from __future__ import annotations

from dataclasses import dataclass

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
    """

    products: tuple[str, ...]
    segments: tuple[str, ...]
    category: NDArray[np.intp]
    regular_price: NDArray[np.float32]
    unit_cost: NDArray[np.float32]
    segment_elasticity: NDArray[np.float32]
    segment_units: NDArray[np.float32]
    forecast_units: NDArray[np.float32]

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
    """

    catalogue: Catalogue
    period: NDArray[np.intp]
    list_price: NDArray[np.float32]
    reference_price: NDArray[np.float32]
    on_hand: NDArray[np.float32]
    on_order: NDArray[np.float32]
    last_units: NDArray[np.float32]

    @property
    def num_markets(self) -> int:
        """E."""
        return self.period.shape[0]

"""What a batch of markets is between two steps, and what one step brings. E markets, N products, K segments."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class MarketState:
    """A struct of arrays; copying it saves the markets in mid-episode.

    period, episode, market: (E,) int64, market being the market's own number, which keys its randomness.
    list_price, reference_price: (E, N) currency per unit. on_hand, last_units: (E, N) units.
    pipeline: (L, E, N) units ordered; slot t % L holds what was ordered in period t.
    """

    market: NDArray[np.int64]
    episode: NDArray[np.int64]
    period: NDArray[np.int64]
    list_price: Floats
    reference_price: Floats
    on_hand: Floats
    pipeline: Floats
    last_units: Floats

    @property
    def on_order(self) -> Floats:
        """(E, N) units on the way."""
        return self.pipeline.sum(axis=0)

    def arrays(self) -> dict[str, NDArray]:
        """Name to array, for saving."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


@dataclass(frozen=True)
class Outcome:
    """What one period brought; all (E, N) float32 unless said.

    list_price, paid: currency per unit before and after the mean personal discount of those who bought. units, lost:
    units sold and demanded beyond stock. revenue, profit: currency, as drawn; expected_revenue, expected_profit: their
    means given the action and the stock, before the draw. shown: (E, K) product in each segment's slot, -1 for none.
    charge: currency, what the product's price, discounts and slot took from the other products, for credit in
    product-wise learning (zero where nobody asked). segment_units: (E, N, K) or None. trail: (E, N) what the
    guardrails changed.
    """

    list_price: Floats
    paid: Floats
    units: Floats
    lost: Floats
    revenue: Floats
    profit: Floats
    expected_revenue: Floats
    expected_profit: Floats
    charge: Floats
    shown: NDArray[np.int64]
    segment_units: Floats | None
    trail: NDArray[np.uint16]

"""What customers remember of past prices, and how far a price lies from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RememberedPrice:
    """The shape of a reference price.

    Attributes:
        memory: Weight of the past after a period, in [0, 1).

    Example:
        >>> RememberedPrice(0.5).gap(np.array([[4.0], [2.0], [4.0]])).ravel().round(2).tolist()
        [0.0, 0.69, -0.29]
    """

    memory: float

    def price(self, charged: Array) -> Array:
        """(..., W, N) what customers remember of the prices charged (..., W, N) before each week."""
        remembered = np.empty_like(charged)
        remembered[..., 0, :] = charged[..., 0, :]
        for t in range(1, charged.shape[-2]):
            remembered[..., t, :] = self.memory * remembered[..., t - 1, :] + (1 - self.memory) * charged[..., t - 1, :]
        return remembered

    def gap(self, charged: Array, remembered: Array | None = None) -> Array:
        """(..., W, N) log(reference / price); the reference follows from the prices if not given."""
        reference = self.price(charged) if remembered is None else remembered
        return np.log(reference / charged)

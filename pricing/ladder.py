"""The price ladder: the finite set of prices that a shop uses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class PriceLadder:
    """Allowed prices in rising order.

    `steps`: (L,) float64, currency per unit. Raises ValueError unless they are positive, finite and rise strictly.
    """

    steps: NDArray[np.float64]

    def __post_init__(self) -> None:
        steps = np.array(self.steps, dtype=np.float64)
        if steps.ndim != 1 or steps.size == 0:
            raise ValueError(
                f"price_ladder must be a non-empty list of prices; got shape {steps.shape}; list the allowed prices"
            )
        bad = np.flatnonzero(~np.isfinite(steps) | (steps <= 0))
        if bad.size:
            raise ValueError(
                f"price_ladder must hold positive prices; got {steps[bad[0]]} (item {bad[0] + 1}); remove it"
            )
        falls = np.flatnonzero(np.diff(steps) <= 0)
        if falls.size:
            i = int(falls[0]) + 1
            raise ValueError(
                f"price_ladder must rise strictly; got {steps[i]} after {steps[i - 1]} (item {i + 1}); sort the prices"
            )
        steps.setflags(write=False)
        object.__setattr__(self, "steps", steps)

    @classmethod
    def from_range(cls, start: float, stop: float, step: float) -> PriceLadder:
        """Prices start, start + step, … up to and including stop (currency per unit)."""
        if not (step > 0 and stop >= start):
            raise ValueError(f"price_ladder needs step > 0 and stop >= start; got {start}, {stop}, {step}; mend them")
        count = int(np.floor((stop - start) / step + 1e-9)) + 1
        # Rounding undoes the drift of start + i * step, so that 0.5 + 12 * 0.1 is the price 1.7.
        return cls(np.round(start + step * np.arange(count, dtype=np.float64), 10))

    def __len__(self) -> int:
        return self.steps.size

    def nearest(self, price: ArrayLike) -> NDArray[np.intp]:
        """Index of the step nearest to each price (a tie goes to the lower step)."""
        middles = (self.steps[1:] + self.steps[:-1]) / 2
        return np.searchsorted(middles, np.asarray(price, dtype=np.float64), side="left")

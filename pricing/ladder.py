"""The prices that a shop uses: a price ladder, which is a finite set of them, or the endings that they have."""

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


@dataclass(frozen=True)
class PriceEndings:
    """What prices end in: 0.49 and 0.99 allow 0.49, 0.99, 1.49, 1.99, and so on.

    `fractions`: (L,) float64, of one unit of currency. Raises ValueError unless they lie in [0, 1) and rise strictly.
    """

    fractions: NDArray[np.float64]

    def __post_init__(self) -> None:
        fractions = np.array(self.fractions, dtype=np.float64)
        if fractions.ndim != 1 or fractions.size == 0:
            raise ValueError(
                f"price_endings must be a non-empty list of fractions; got shape {fractions.shape}; list the endings"
            )
        bad = np.flatnonzero(~((fractions >= 0) & (fractions < 1)))
        if bad.size:
            raise ValueError(
                f"price_endings must lie in [0, 1); got {fractions[bad[0]]} (item {bad[0] + 1}); write 1.99 as 0.99"
            )
        falls = np.flatnonzero(np.diff(fractions) <= 0)
        if falls.size:
            i = int(falls[0]) + 1
            raise ValueError(
                f"price_endings must rise strictly; got {fractions[i]} after {fractions[i - 1]} (item {i + 1}); sort them"
            )
        fractions.setflags(write=False)
        object.__setattr__(self, "fractions", fractions)

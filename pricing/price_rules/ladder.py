"""The price ladder: a finite set of allowed prices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class PriceLadder:
    """Allowed prices in rising order.

    Args:
        steps: (L,) currency per unit.

    Raises:
        ValueError: the steps are not positive and finite, or do not rise strictly.

    Example:
        >>> ladder = PriceLadder([0.99, 1.49, 1.99])
        >>> ladder.nearest([1.30, 5.00]).tolist()
        [1, 2]
    """

    steps: NDArray[np.float64]

    def __post_init__(self) -> None:
        steps = number_list(self.steps, "price_ladder", "prices", "list the allowed prices")
        bad = np.flatnonzero(~np.isfinite(steps) | (steps <= 0))
        if bad.size:
            raise ValueError(
                f"price_ladder must hold positive prices; got {steps[bad[0]]} (item {bad[0] + 1}); remove it"
            )
        object.__setattr__(self, "steps", rising(steps, "price_ladder", "sort the prices"))

    @classmethod
    def from_range(cls, start: float, stop: float, step: float) -> PriceLadder:
        """The ladder start, start + step, … up to and including stop, all in currency per unit.

        Example:
            >>> PriceLadder.from_range(1.0, 1.5, 0.25).steps.tolist()
            [1.0, 1.25, 1.5]
        """
        if not (step > 0 and stop >= start):
            raise ValueError(f"price_ladder needs step > 0 and stop >= start; got {start}, {stop}, {step}; fix them")
        count = int(np.floor((stop - start) / step + 1e-9)) + 1
        # Rounding undoes the drift of start + i * step, so that 0.5 + 12 * 0.1 is the price 1.7.
        return cls(np.round(start + step * np.arange(count, dtype=np.float64), 10))

    def __len__(self) -> int:
        return self.steps.size

    def nearest(self, price: ArrayLike) -> NDArray[np.intp]:
        """Index of the step nearest to each price (a tie goes to the lower step)."""
        middles = (self.steps[1:] + self.steps[:-1]) / 2
        return np.searchsorted(middles, np.asarray(price, dtype=np.float64), side="left")


def number_list(values: ArrayLike, name: str, what: str, remedy: str) -> NDArray[np.float64]:
    """A copy of a non-empty list of numbers; ValueError for anything else."""
    array = np.array(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must be a non-empty list of {what}; got shape {array.shape}; {remedy}")
    return array


def rising(values: NDArray[np.float64], name: str, remedy: str) -> NDArray[np.float64]:
    """The values, read-only; ValueError unless they rise strictly."""
    falls = np.flatnonzero(np.diff(values) <= 0)
    if falls.size:
        i = int(falls[0]) + 1
        raise ValueError(f"{name} must rise strictly; got {values[i]} after {values[i - 1]} (item {i + 1}); {remedy}")
    values.setflags(write=False)
    return values

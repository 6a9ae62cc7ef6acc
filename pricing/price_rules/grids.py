"""The prices that a shop uses: the steps of a ladder, multiples of a tick, or price endings; and rounding to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

SAME = 1e-6
"""Prices whose relative difference is no larger are the same price: they differ in their last bits."""


_TENS = np.array([float(f"1e{places}") for places in range(23)])
"""The powers of ten that double precision holds exactly."""


def seven_digits(prices: ArrayLike) -> NDArray[np.float64]:
    """Prices with all the digits that single precision holds, and no more; what is below 1e-16 or above 1e28, as no
    price is, stays as it is.

    Args:
        prices: (…) currency per unit.

    Example:
        >>> seven_digits([1.5500000715255737, 0.30000001192092896]).tolist()
        [1.55, 0.3]
    """
    wide = np.asarray(prices, np.float64)
    is_number = np.isfinite(wide) & (wide != 0)
    places = 6 - np.floor(np.log10(np.abs(wide), where=is_number, out=np.zeros_like(wide))).astype(int)
    inside = is_number & (np.abs(places) < len(_TENS))
    scale = _TENS[np.where(inside, np.abs(places), 0)]
    # A whole number times or over an exact power of ten is the number that these digits stand for.
    near = np.where(places > 0, np.rint(wide * scale) / scale, np.rint(wide / scale) * scale)
    return np.where(inside, near, wide)


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
        steps = rising_numbers(
            self.steps, "price_ladder", "positive prices", lambda price: (price > 0) & np.isfinite(price)
        )
        object.__setattr__(self, "steps", steps)

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


def rising_numbers(
    values: ArrayLike, name: str, what: str, allowed: Callable[[NDArray[np.float64]], NDArray[np.bool_]]
) -> NDArray[np.float64]:
    """A read-only copy of a non-empty list of numbers that rise strictly; ValueError for anything else."""
    found = np.array(values, dtype=np.float64)
    if found.ndim != 1 or found.size == 0:
        raise ValueError(f"{name} must be a non-empty list of {what}; got shape {found.shape}; list them")
    bad = np.flatnonzero(~allowed(found))
    falls = np.flatnonzero(np.diff(found) <= 0)
    if bad.size:
        raise ValueError(f"{name} must hold {what}; got {found[bad[0]]} (item {bad[0] + 1}); remove it")
    if falls.size:
        i = int(falls[0]) + 1
        raise ValueError(f"{name} must rise strictly; got {found[i]} after {found[i - 1]} (item {i + 1}); sort them")
    found.setflags(write=False)
    return found


@dataclass(frozen=True)
class PriceEndings:
    """Allowed fractions of a price: 0.49 and 0.99 allow 0.49, 0.99, 1.49, 1.99, and so on.

    Args:
        fractions: (L,) of one unit of currency.

    Raises:
        ValueError: the fractions do not lie in [0, 1), or do not rise strictly.

    Example:
        >>> rules = dict(floor=[0.5], ceiling=[9.0], unit_cost=[0.3])
        >>> from repricer import Guardrails
        >>> Guardrails(**rules, endings=PriceEndings([0.49, 0.99])).nearest([2.1]).tolist()
        [1.99]
    """

    fractions: NDArray[np.float64]

    def __post_init__(self) -> None:
        what = "fractions in [0, 1), such as 0.99"
        object.__setattr__(
            self,
            "fractions",
            rising_numbers(self.fractions, "price_endings", what, lambda part: (part >= 0) & (part < 1)),
        )


NO_GRID = 0
LADDER = 1
TICK = 2
ENDINGS = 3
CLOSE = 1.2e-7
"""A price that misses a price of the grid by this share is that price: it differs in the last bit of single precision."""


class PriceGrid(NamedTuple):
    """The set of prices that a shop uses, bounds apart.

    Args:
        kind: NO_GRID, LADDER, TICK or ENDINGS.
        steps: (L,) prices of the ladder, or the fractions of the endings, rising.
        tick: currency per unit.

    Example:
        >>> PriceGrid.of(None, 0.05, None).rounded([1.02], up=True).round(2).tolist()
        [1.05]
    """

    kind: int
    steps: NDArray[np.float64]
    tick: float

    @classmethod
    def of(cls, ladder: PriceLadder | None, tick: float | None, endings: PriceEndings | None) -> PriceGrid:
        """The grid of whichever argument is given, or no grid.

        Raises:
            ValueError: more than one is given.
        """
        given = {"price_ladder": ladder, "tick": tick, "price_endings": endings}
        names = [name for name, grid in given.items() if grid is not None]
        if len(names) > 1:
            raise ValueError(f"price rules take one of {', '.join(given)}; got {' and '.join(names)}; keep one")
        if ladder is not None:
            return cls(LADDER, ladder.steps, 1.0)
        if endings is not None:
            return cls(ENDINGS, endings.fractions, 1.0)
        return cls(NO_GRID, np.empty(0), 1.0) if tick is None else cls(TICK, np.empty(0), float(tick))

    @property
    def words(self) -> str:
        """The grid as an error message names it."""
        return ("", " on the price ladder", " in multiples of the tick", " with the price endings")[self.kind]

    def rounded(self, price: ArrayLike, *, up: bool) -> NDArray[np.float64]:
        """The grid price at or above (up), or at or below, each price; NaN where there is none."""
        price = np.asarray(price, dtype=np.float64)
        if self.kind == NO_GRID:
            return price
        near = price * (1 - CLOSE if up else 1 + CLOSE)
        if self.kind == TICK:
            found = (np.ceil if up else np.floor)(near / self.tick) * self.tick
        elif self.kind == LADDER:
            steps = np.concatenate([[np.nan], self.steps, [np.nan]])
            index = np.searchsorted(self.steps, near, side="left" if up else "right")
            found = steps[index + 1] if up else steps[index]
        else:
            finite = np.abs(near) < 1e12
            count = len(self.steps)
            near = np.where(finite, near, 1.0)
            whole = np.floor(near)
            place = np.searchsorted(self.steps, near - whole, side="left" if up else "right") - (not up)
            # All prices with an allowed ending are ranked upwards; zero is not a price.
            rank = whole.astype(np.int64) * count + place
            first = int(self.steps[0] == 0)
            found = np.maximum(rank, first) // count + self.steps[np.maximum(rank, first) % count]
            found = np.where(finite, found if up else np.where(rank < first, np.nan, found), price)
        return found

    def between(self, low: float, high: float) -> NDArray[np.float64] | None:
        """All grid prices in the closed interval, rising; None without a grid."""
        least = low * (1 - CLOSE)
        most = high * (1 + CLOSE)
        if self.kind == NO_GRID:
            return None
        if self.kind == TICK:
            first, last = np.round(np.array([low, high]) / self.tick)
            return np.arange(first, last + 1) * self.tick
        steps = self.steps
        if self.kind == ENDINGS:
            steps = (np.arange(np.floor(least), most + 1)[:, None] + steps).ravel()
        return steps[(steps >= least) & (steps <= most)]

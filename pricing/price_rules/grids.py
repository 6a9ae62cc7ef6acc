"""Rounding to the price grid: the steps of a ladder, multiples of a tick, or price endings (see `endings`)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..backend import ONE, clip, count_below, count_up_to, double, floor, single, where
from .endings import PriceEndings, rank_above, rank_below, ranked_price
from .ladder import PriceLadder

NO_GRID, LADDER, TICK, ENDINGS = 0, 1, 2, 3
_SLACK = np.float32(1e-6)
# Of the bounds, which are double precision.
_CLOSE = 1e-9


def on_ladder(price, soft_low, soft_high, current, steps):
    """The nearest step of the ladder in the soft range, else the one nearest to the current price."""
    first = count_below(steps, soft_low * (ONE - _SLACK))
    last = count_up_to(steps, soft_high * (ONE + _SLACK)) - 1
    inside = clip(nearest_step(steps, price), first, where(last < first, first, last))
    return single(steps[clip(where(first <= last, inside, nearest_step(steps, current)), 0, len(steps) - 1)])


def nearest_step(steps, price):
    """Index of the nearest step; a tie goes to the lower one."""
    above = clip(count_below(steps, price), 1, len(steps) - 1)
    below = where(len(steps) > 1, above - 1, 0 * above)
    return where(price > (steps[below] + steps[where(len(steps) > 1, above, below)]) / 2, above, below)


def on_tick(price, soft_low, soft_high, current, tick):
    """The nearest multiple of the tick in the soft range, else the one nearest to the current price."""
    first, last = -floor(-(double(soft_low) / tick - 1e-4)), floor(double(soft_high) / tick + 1e-4)
    inside = clip(floor(double(price) / tick + 0.5), first, last)
    return single(where(first <= last, inside, floor(double(current) / tick + 0.5)) * tick)


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
            raise ValueError(
                "price rules take one of price_ladder, tick and price_endings; "
                f"got {'both' if len(names) == 2 else 'all'} {' and '.join(names)}; keep one"
            )
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
        if self.kind == TICK:
            return (np.ceil(price / self.tick - _CLOSE) if up else np.floor(price / self.tick + _CLOSE)) * self.tick
        if self.kind == LADDER:
            steps = np.concatenate([[np.nan], self.steps, [np.nan]])
            index = np.searchsorted(self.steps, _loosened(price, up), side="left" if up else "right")
            return steps[index + 1] if up else steps[index]
        if self.kind == ENDINGS:
            rank = (rank_above if up else rank_below)(_loosened(price, up), self.steps)
            # Zero is not a price.
            first = int(self.steps[0] == 0)
            found = ranked_price(np.maximum(rank, first), self.steps)
            return found if up else np.where(rank < first, np.nan, found)
        return price

    def between(self, low: float, high: float) -> NDArray[np.float64] | None:
        """All grid prices in the closed interval, rising; None without a grid."""
        if self.kind == LADDER:
            inside = (self.steps >= low * (1 - _SLACK)) & (self.steps <= high * (1 + _SLACK))
            return self.steps[inside]
        if self.kind == TICK:
            first, last = np.round(np.array([low, high]) / self.tick)
            return np.arange(first, last + 1) * self.tick
        if self.kind == ENDINGS:
            bounds = (rank_above(low * (1 - _SLACK), self.steps), rank_below(high * (1 + _SLACK), self.steps))
            return ranked_price(np.arange(bounds[0], bounds[1] + 1), self.steps)
        return None


def _loosened(price: NDArray[np.float64], up: bool) -> NDArray[np.float64]:
    """A bound with tolerance, so that one that already is a grid price is kept."""
    return price * (1 - _CLOSE if up else 1 + _CLOSE)

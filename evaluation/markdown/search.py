"""The best falling price path of one product, given the units that customers want at each price.

Paths are searched locally: from a path, every change of level over any run of blocks is tried, with
the blocks before and after moved as far as prices must fall. A block is one period or a few, so
that long seasons have few.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Paths = NDArray[np.intp]
_AT_ONCE = 1 << 22
"""Numbers per array while paths are valued."""
_BETTER = 1e-9
_CHANGE = 0.001
"""Share of the money that a price change must bring at least: labels cost work."""


@dataclass(frozen=True, eq=False)
class Season:
    """What selling one product's stock brings, in S simulated seasons of B blocks at
    L price levels.

    Attributes:
        price: (L,) falling prices, currency per unit.
        wanted: (B, L, S) units that customers want in a block; fewer at no lower price of
            the same season.
        stock: Units on hand at the start.
        need: Units to sell.
        confidence: Share of the seasons in which they are to be sold.
        salvage: Value of a unit left over, currency.
        allowed: Which of (P, B) paths, as numbers of levels, the shop's rules allow.
    """

    price: NDArray[np.float64]
    wanted: NDArray[np.float32]
    stock: int
    need: int
    confidence: float
    salvage: float
    allowed: Callable[[Paths], NDArray[np.bool_]]

    def value(self, paths: Paths) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Of (P, B) paths, whether the target is met with confidence, and what they are chosen by.

        Where it is met that is the money, salvage included, less a little for each change;
        elsewhere the units sold, so that what cannot meet the target sells as much as it can.
        """
        size = max(1, _AT_ONCE // self.wanted[:, 0].size)
        parts = [self._value(paths[i : i + size]) for i in range(0, len(paths), size)]
        met, value = (np.concatenate(part) for part in zip(*parts, strict=True))
        return met, value

    def _value(self, paths: Paths) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        blocks = np.arange(paths.shape[1])
        total = np.cumsum(self.wanted[blocks, paths], axis=1)
        sold = np.minimum(total, np.float32(self.stock), out=total)
        mean = sold.mean(axis=2, dtype=np.float64)
        met = (sold[:, -1] >= self.need).mean(axis=1) >= self.confidence
        money = (self.price[paths] * np.diff(mean, axis=1, prepend=0)).sum(axis=1)
        money += self.salvage * (self.stock - mean[:, -1])
        money -= _CHANGE * abs(money) * (np.diff(paths, axis=1, prepend=0) != 0).sum(axis=1)
        return met, np.where(met, money, mean[:, -1])


def best_path(season: Season, start: Paths | None = None) -> tuple[Paths, bool]:
    """A path (B,) that no change over one run of blocks improves, and whether it meets the target.

    Args:
        season: What paths bring.
        start: The path to start from; by default the first price throughout.

    Example:
        >>> wanted = np.array([[[4.0], [6.0]], [[4.0], [6.0]]], np.float32)
        >>> keep = lambda paths: np.ones(len(paths), np.bool_)
        >>> best_path(Season(np.array([2.0, 1.0]), wanted, 10, 10, 0.9, 0.0, keep))
        (array([0, 1]), True)
    """
    blocks, levels, _ = season.wanted.shape
    path = np.zeros(blocks, np.intp) if start is None else start
    (met,), (value,) = season.value(path[None])
    while True:
        paths = _changed(path, levels)
        paths = paths[season.allowed(paths)]
        if not len(paths):
            return path, bool(met)
        meets, values = season.value(paths)
        best = np.lexsort((values, meets))[-1]
        if not (meets[best], values[best]) > (met, value + _BETTER * abs(value)):
            return path, bool(met)
        path, met, value = paths[best], meets[best], values[best]


def _changed(path: Paths, levels: int) -> Paths:
    """(P, B) all paths that take one level over a run of blocks; prices fall before and after it as they must."""
    level = np.arange(levels)[:, None]
    found: list[Any] = []
    for first in range(len(path)):
        before = np.minimum(path[:first], level)
        for end in range(first + 1, len(path) + 1):
            run = np.repeat(level, end - first, axis=1)
            found.append(np.hstack([before, run, np.maximum(path[end:], level)]))
    return np.unique(np.concatenate(found), axis=0)

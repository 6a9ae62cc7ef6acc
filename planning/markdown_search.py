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

from ..envs import expected_units, seed_for
from ..evaluation.uncertainty.draws import draw_numbers
from ..scenarios import MarketSpec
from ..scenarios.sections import Array

Paths = NDArray[np.intp]
_PATH_NUMBERS = 1 << 22
"""Numbers per array while paths are valued."""
_BETTER = 1e-9
_LEAST_CHANGE_GAIN = 0.001
"""Share of the money that a price change must bring at least: labels cost work."""
SEASONS = 1000
"""Simulated seasons, spread over the posterior draws; at least one for each."""


@dataclass(frozen=True, eq=False)
class Season:
    """What selling one product's stock brings, in S simulated seasons of B blocks at
    L price levels.

    Attributes:
        price: (L,) falling prices without VAT, currency per unit.
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
        numbers_per_path = self.wanted[:, 0].size  # B * S
        batch = max(1, _PATH_NUMBERS // numbers_per_path)
        parts = [self._value(paths[i : i + batch]) for i in range(0, len(paths), batch)]
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
        money -= _LEAST_CHANGE_GAIN * abs(money) * (np.diff(paths, axis=1, prepend=0) != 0).sum(axis=1)
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
        path = paths[best]
        met = meets[best]
        value = values[best]


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


# The units that customers want of a product at each price, over posterior draws and chance.


class SeasonDemand:
    """Demand with ample stock of everything, while reference prices have followed the prices.

    Both make demand rather too low than too high where prices fall: what a rival product in short
    stock loses, and what a fall itself adds, comes on top.

    Args:
        spec: The market of the season, with a posterior.
        seed: Seed of chance.

    Example:
        >>> from dataclasses import replace
        >>> from repricer import load_scenario
        >>> from repricer.scenarios.sections import Posterior
        >>> spec = replace(load_scenario("stationary-logit"), posterior=Posterior(draws=2, arrivals=[[[0.9]], [[1.1]]]))
        >>> SeasonDemand(spec, seed=0).wanted(0, np.array([9.0, 8.0]), np.full((30, 1), 9.0)).shape
        (30, 2, 1000)
    """

    def __init__(self, spec: MarketSpec, *, seed: int) -> None:
        self._spec = spec
        self._seed = seed
        self._draws = [spec.draw(m) for m in draw_numbers(spec)]
        self._each = -(-SEASONS // len(self._draws))
        self._shown = None if spec.recommendation is None else spec.shown_by_recommender
        self._promoted = None
        if spec.promotion is not None and spec.plan is not None:
            self._promoted = (spec.plan.promotion > 0.5).astype(np.float64)

    def wanted(self, product: int, levels: Array, price: Array) -> NDArray[np.float32]:
        """(T, L, S) units wanted of a product in S seasons; a lower price has no fewer
        in any season.

        Args:
            product: Number of the product.
            levels: (L,) its falling prices, currency per unit.
            price: (T, N) the prices of the others.
        """
        periods = len(price)
        count = len(levels)
        rows = np.repeat(price, count, axis=0)
        rows[:, product] = np.tile(levels, periods)
        given = {
            "reference": rows,
            "shown": None if self._shown is None else np.tile(self._shown, (len(rows), 1)),
            "promoted": None if self._promoted is None else np.repeat(self._promoted, count, axis=0),
        }
        period = np.repeat(np.arange(periods), count)
        mean = [expected_units(draw, period, rows, **given)[..., product].sum(axis=1) for draw in self._draws]
        rate = np.repeat(np.reshape(mean, (-1, periods, count)), self._each, axis=0)
        generator = np.random.default_rng([seed_for("tuning", self._seed), product])
        rate *= self._multiplier(product, periods, generator)[..., None]
        return _thinned(rate, generator).transpose(1, 2, 0)

    def _multiplier(self, product: int, periods: int, generator: np.random.Generator) -> Array:
        """(S, T) factors of demand with mean one: the market's shocks, and overdispersion."""
        spec = self._spec
        shape = (len(self._draws) * self._each, periods)
        variance = float(spec.arrivals.overdispersion[product])
        factor = np.ones(shape)
        if variance > 0:
            factor = generator.gamma(1 / variance, variance, shape)
        if spec.shocks is not None:
            volatility = spec.shocks.volatility
            memory = spec.shocks.persistence
            shock = volatility * generator.standard_normal(shape)
            for t in range(1, periods):
                shock[:, t] = memory * shock[:, t - 1] + np.sqrt(1 - memory**2) * shock[:, t]
            factor *= np.exp(shock - volatility**2 / 2)
        return factor


def _thinned(rate: Array, generator: np.random.Generator) -> NDArray[np.float32]:
    """(S, T, L) Poisson units at rates that rise with the level: of those who buy at a price, some
    do so at a higher.
    """
    units = np.empty(rate.shape, np.float32)
    left = generator.poisson(rate[..., -1])
    units[..., -1] = left
    for level in reversed(range(rate.shape[-1] - 1)):
        more = rate[..., level + 1]
        fewer = rate[..., level]
        left = generator.binomial(left, np.clip(np.divide(fewer, more, out=np.zeros_like(more), where=more > 0), 0, 1))
        units[..., level] = left
    return units

"""The units that customers want of a product at each price, over posterior draws and chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...envs import expected_units, seed_for
from ...scenarios import MarketSpec
from ...scenarios.sections import Array
from ..uncertainty.draws import draw_numbers

SEASONS = 1000
"""Simulated seasons, spread over the posterior draws; at least one for each."""


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
        self._spec, self._seed = spec, seed
        self._draws = [spec.draw(m) for m in draw_numbers(spec)]
        self._each = -(-SEASONS // len(self._draws))
        self._shown = None if spec.recommendation is None else spec.shown_by_recommender
        self._promoted = None
        if spec.promotion is not None and spec.history is not None:
            self._promoted = (spec.history.promotion > 0.5).astype(np.float64)

    def wanted(self, product: int, levels: Array, price: Array) -> NDArray[np.float32]:
        """(T, L, S) units wanted of a product in S seasons; a lower price has no fewer
        in any season.

        Args:
            product: Number of the product.
            levels: (L,) its falling prices, currency per unit.
            price: (T, N) the prices of the others.
        """
        periods, count = len(price), len(levels)
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
        spec, shape = self._spec, (len(self._draws) * self._each, periods)
        variance, factor = float(spec.arrivals.overdispersion[product]), np.ones(shape)
        if variance > 0:
            factor = generator.gamma(1 / variance, variance, shape)
        if spec.shocks is not None:
            volatility, memory = spec.shocks.volatility, spec.shocks.persistence
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
        more, fewer = rate[..., level + 1], rate[..., level]
        left = generator.binomial(left, np.clip(np.divide(fewer, more, out=np.zeros_like(more), where=more > 0), 0, 1))
        units[..., level] = left
    return units

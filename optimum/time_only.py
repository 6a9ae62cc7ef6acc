"""The best prices that depend on the period alone, where units on hand and a regime are
the whole state.

An open-loop problem: one price per period, whatever was sold. Given the prices before a period
(which determine the probabilities of its states) and after it (which determine the values of the
states that follow), the best price of the period is found exactly. Sweeps backwards through the
season raise the value until it settles: coordinate ascent from several starting paths. No single
price of the path that it returns can be improved.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..envs import expected_units, rollout
from ..pricing import PricePath
from ..scenarios import MarketSpec
from . import dynamic_program, fluid_policy, separate_periods
from .problem import Array, Costs, chain, demand_mass, is_infinite_horizon, is_stationary, price_grid, sections_on

_MOST_TIME_PRICES = 500
_STARTS = 12


def best_path(spec: MarketSpec) -> PricePath | None:
    """The best time-only path of a market of one product with stock, or of one with
    a deterministic state.

    None for every other market. Where the state is deterministic, the optimum itself is a path.

    Example:
        >>> from repricer.scenarios import load_scenario
        >>> best_path(load_scenario("scarce")).name
        'time-only'
    """
    optimum = separate_periods.solve(spec) if spec.prices.max_discount == 0 else None
    if optimum is None and sections_on(spec) == {"reference_price"} and np.isinf(spec.stock.initial_units).all():
        optimum = dynamic_program.solve(spec)
    if optimum is not None:
        path = rollout(spec, optimum.policy, episodes=1, seed=0).price_path
        return PricePath(path.astype(np.float32), name="time-only")
    if not fluid_policy.has_one_stock(spec) or is_infinite_horizon(spec):
        return None
    season = _Season(spec)
    starts = [np.full(season.periods, i) for i in np.linspace(0, season.prices.size - 1, _STARTS).astype(int)]
    found = [season.ascend(start) for start in starts]
    _, path = max(found, key=lambda pair: pair[0])
    return PricePath(season.prices[path].astype(np.float32)[:, None], name="time-only")


class _Season:
    """The periods of a market with one stock: demand at every price, and the transitions between states."""

    def __init__(self, spec: MarketSpec) -> None:
        self.spec = spec
        self.costs = Costs.of(spec)
        self.periods = int(spec.market.horizon_periods)
        self.prices = price_grid(spec, most=_MOST_TIME_PRICES)
        self.units = np.arange(int(spec.stock.initial_units[0]) + 1)
        self.transition, self.initial = chain(spec)
        # By period and regime, (P, D + 1) probability of each demand at each price; one object where all are alike.
        kinds = 1 if is_stationary(spec) else self.periods
        self.demand = [[self._mass(t, z) for z in range(self.initial.size)] for t in range(kinds)] * (
            self.periods // kinds
        )

    def _mass(self, period: int, regime: int) -> Array:
        units = expected_units(self.spec, period, self.prices[:, None], regime=np.full(self.prices.size, regime))
        return demand_mass(self.spec, units.sum(axis=(1, 2)))

    def ascend(self, path: NDArray[np.intp]) -> tuple[float, NDArray[np.intp]]:
        """Improve a path until no single price can be improved: its value and price indices (T,)."""
        discount = self.spec.market.discount_factor
        before = -np.inf
        while True:
            reached = self._forward(path)
            path = path.copy()
            values = np.tile(self.spec.stock.salvage_value[0] * self.units, (self.initial.size, 1))
            for t in reversed(range(self.periods)):
                ahead = self.transition @ (values * (discount if t < self.periods - 1 else 1.0))
                money = [
                    dynamic_program.period_money(self.costs, mass, self.prices, self.units, row[:, None])[..., 0]
                    for mass, row in zip(self.demand[t], ahead, strict=True)
                ]
                total = sum(table @ weight for table, weight in zip(money, reached[t], strict=True))
                path[t] = np.argmax(total)
                values = np.stack([table[path[t]] for table in money])
            value = float(self.initial @ values[:, -1])
            if value - before <= 1e-12 * abs(value):
                return value, path
            before = value

    def _forward(self, path: NDArray[np.intp]) -> list[Array]:
        """By period, (Z, S + 1) probability of each state under a path."""
        now = np.zeros((self.initial.size, self.units.size))
        now[:, -1] = self.initial
        reached = []
        for t, price in enumerate(path):
            reached.append(now)
            after = [self._sell(mass[price], row) for mass, row in zip(self.demand[t], now, strict=True)]
            now = self.transition.T @ np.stack(after)
        return reached

    def _sell(self, mass: Array, weight: Array) -> Array:
        """(S + 1,) probability of each number of units left, given the probabilities before and those of demand."""
        left = np.maximum(self.units - np.arange(mass.size)[:, None], 0)
        return np.bincount(left.ravel(), (mass[:, None] * weight).ravel(), self.units.size).astype(np.float64)

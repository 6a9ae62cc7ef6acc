"""Demand and money under each of the distinct draws of a market."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...envs import expected_units
from ...scenarios import MarketSpec
from ..dynamic_program import period_money
from ..one_stock import MOST_UNITS
from ..problem import (
    Array,
    Costs,
    Units,
    demand_mass,
    is_stationary,
    price_grid,
    prices_are_free,
    sections_on,
    stock_settings,
)

_MOST_DRAWS, _MOST_DISTINCT, _MOST_PRICES = 100, 4, 100


def covers(spec: MarketSpec) -> bool:
    """Whether belief and units on hand are the whole state: each episode follows one of few draws, and stock
    is unlimited or never replenished.
    """
    ample = np.isinf(spec.stock.initial_units).all()
    costs = set() if ample else {"initial_units", "holding_cost", "lost_sale_cost", "salvage_value"}
    return (
        len(spec.products.names) == 1
        and sections_on(spec) == {"posterior"}
        and spec.posterior is not None
        and spec.posterior.simulated
        and spec.num_draws <= _MOST_DRAWS
        and stock_settings(spec) <= {"lead_time_periods"} | costs
        and (ample or spec.stock.initial_units[0] <= MOST_UNITS)
        and not spec.arrivals.overdispersion.any()
        and spec.market.ending == "terminated"
        and prices_are_free(spec)
        and price_grid(spec).size <= _MOST_PRICES
    )


@dataclass(frozen=True, eq=False)
class DrawnDemand:
    """The M distinct draws of a market that `covers` admits, at P prices with S states of stock.

    Attributes:
        spec: The market.
        prices: (P,) currency per unit.
        prior: (M,) probability of each draw.
        draws: The M markets.
        units: (S,) units on hand in each state; a single state, of more than is ever sold, where stock is unlimited.
        mean: (T, M, P) mean demand, units per period; a single period where all are alike.
    """

    spec: MarketSpec
    prices: Array
    prior: Array
    draws: tuple[MarketSpec, ...]
    units: Units
    mean: Array

    @classmethod
    def of(cls, spec: MarketSpec) -> DrawnDemand | None:
        """The draws of a market; None where `covers` does not admit it, or more than a few are distinct."""
        if not covers(spec):
            return None
        parts = [getattr(spec.posterior, name) for name in ("arrivals", "utility", "sensitivity", "unit_cost")]
        rows = np.concatenate([part.reshape(spec.num_draws, -1) for part in parts], axis=1)
        _, first, count = np.unique(rows, axis=0, return_index=True, return_counts=True)
        if first.size > _MOST_DISTINCT:
            return None
        draws, prices = tuple(spec.draw(int(m)) for m in first), price_grid(spec)
        periods = 1 if all(map(is_stationary, draws)) else spec.market.horizon_periods
        mean = [[expected_units(draw, t, prices[:, None]).sum(axis=(1, 2)) for draw in draws] for t in range(periods)]
        return cls(spec, prices, count / spec.num_draws, draws, _units(spec, np.array(mean)), np.array(mean))

    @cached_property
    def mass(self) -> Array:
        """(T, M, P, D + 1) probability of each demand."""
        return demand_mass(self.spec, self.mean.ravel()).reshape(*self.mean.shape, -1)

    @cached_property
    def likelihood(self) -> Array:
        """(T, M, P, 2 (D + 1)) probability of each demand, then of at least as much.

        Sales that leave no stock say only that demand was at least as high.
        """
        at_least = np.cumsum(self.mass[..., ::-1], axis=-1)[..., ::-1]
        return np.concatenate([self.mass, at_least], axis=-1)

    @cached_property
    def money(self) -> Array:
        """(T, M, P, S) expected money of a period, currency."""
        costs = [Costs.of(draw) for draw in self.draws]
        pairs = [zip(costs, masses, strict=True) for masses in self.mass]
        money = [[_period_money(cost, mass, self) for cost, mass in pair] for pair in pairs]
        return np.array(money)

    def outcomes(self, state: int) -> tuple[Units, Units]:
        """Columns of `likelihood` that may be observed in a state of stock, and the states that follow."""
        most, units = self.mass.shape[-1], int(self.units[state])
        sold = np.arange(min(units + 1, most))
        if np.isinf(self.spec.stock.initial_units[0]):
            return sold, np.full(sold.size, state)
        return np.where(sold == units, most + sold, sold), units - sold

    def period(self, period: int) -> int:
        """The row of a period."""
        return min(period, len(self.mean) - 1)


def _units(spec: MarketSpec, mean: Array) -> Units:
    if np.isinf(spec.stock.initial_units[0]):
        return np.array([demand_mass(spec, mean.ravel()).shape[-1]])
    return np.arange(int(spec.stock.initial_units[0]) + 1)


def _period_money(costs: Costs, mass: Array, demand: DrawnDemand) -> Array:
    """(P, S) money of a period alone; with unlimited stock nothing runs out."""
    units = np.arange(demand.units[0], demand.units[-1] + 1)
    if units[0] > 0:
        units = np.arange(units[-1] + 1)
    return period_money(costs, mass, demand.prices, units, np.zeros((units.size, 1)))[:, demand.units, 0]

"""Several products that share one customer per period, each with a finite stock that
is never replenished.

Backward induction over the units left of every product. A sale costs the unit cost and the unit's
later value, so each state is a logit problem with opportunity costs: Zhang and Cooper (2009),
Pricing Substitutable Flights in Airline Revenue Management, European Journal of Operational
Research 197(3); Dong, Kouvelis and Tian (2009), Dynamic Pricing and Inventory Control of Substitute
Products, M&SOM 11(2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...pricing import Action, MarketView
from ...scenarios import MarketSpec
from .logit import LogitCustomer
from .problem import (
    Array,
    Costs,
    Optimum,
    has_horizon,
    is_infinite_horizon,
    method_of,
    optimise,
    prices_are_free,
    sections_on,
    stock_settings,
)

_MOST_STATES = 200_000
# Entries of the price table: periods times states times products.
_MOST_ENTRIES = 50_000_000


def covers(spec: MarketSpec) -> bool:
    """Whether units on hand are the whole state, at most one unit is sold per period, and the
    states are few.
    """
    return (
        spec.demand.family == "mnl"
        and spec.arrivals.process == "single"
        and len(spec.products.names) > 1
        and len(spec.category_names) == len(spec.arrivals.segments) == 1
        and _is_small(spec)
        and stock_settings(spec) <= {"initial_units", "lead_time_periods", "salvage_value"}
        and not sections_on(spec)
        and prices_are_free(spec)
        and has_horizon(spec)
    )


def _is_small(spec: MarketSpec) -> bool:
    states = float(np.prod(np.floor(spec.stock.initial_units) + 1))
    tables = 1 if is_infinite_horizon(spec) else spec.market.horizon_periods
    return states <= _MOST_STATES and states * tables * len(spec.products.names) <= _MOST_ENTRIES


@dataclass(frozen=True)
class StocksPrice:
    """A table of prices by period and the units on hand of every product.

    Attributes:
        table: (T, S, N), or (1, S, N) for all periods, currency per unit.
        shape: (N,) initial units of each product plus one; a state is the index of the units
            in C order.
        name: Name of the policy.
    """

    table: NDArray[np.float32]
    shape: tuple[int, ...]
    name: str = "optimum"

    def act(self, view: MarketView) -> Action:
        """Look the prices up."""
        units = np.clip(view.on_hand.astype(np.intp), 0, np.array(self.shape) - 1)
        state = np.ravel_multi_index(tuple(units.T), self.shape)
        return Action(self.table[np.minimum(view.period, len(self.table) - 1), state].astype(np.float32))


def solve(spec: MarketSpec) -> Optimum | None:
    """The optimum of a market that `covers` admits, else None. Prices may be continuous or
    on a ladder.
    """
    if not covers(spec):
        return None
    shape = tuple(int(units) + 1 for units in spec.stock.initial_units)
    units = np.stack(np.unravel_index(np.arange(np.prod(shape)), shape), axis=1)
    available = units > 0
    strides = np.array([math.prod(shape[n + 1 :]) for n in range(len(shape))])
    # The state after a sale of each product; the entry of a product that is sold out is never used.
    sold = np.maximum(np.arange(len(units))[:, None] - strides, 0)
    products, cost = np.arange(len(shape)), Costs.of(spec).sold

    def step(period: int, future: Array) -> tuple[Array, NDArray[np.float32]]:
        """Best value (S,) and prices (S, N) of every state."""
        customer = LogitCustomer.of(spec, period, products)
        prices, money = customer.best_prices(cost + future[:, None] - future[sold], available)
        return future + spec.arrivals.rate[period, 0] * money, prices.astype(np.float32)

    values, table = optimise(spec, step, units @ spec.stock.salvage_value)
    return Optimum(float(values[-1]), method_of(spec), StocksPrice(np.array(table), shape))

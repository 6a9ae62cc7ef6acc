"""Several products among which customers choose by a logit, each with a finite stock that is never replenished, or all
with shares in common resources (network revenue management); at most one customer comes per period.

Backward induction over the units left of every product or resource. A sale costs the unit cost and
the later value of what it uses, so each state is a logit problem with opportunity costs: Zhang and
Cooper (2009), Pricing Substitutable Flights in Airline Revenue Management, European Journal of
Operational Research 197(3); Dong, Kouvelis and Tian (2009), Dynamic Pricing and Inventory Control of
Substitute Products, M&SOM 11(2); Gallego and van Ryzin (1997), A Multiproduct Dynamic Pricing
Problem and Its Applications to Network Yield Management, Operations Research 45(1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..pricing import Action, MarketView, StockTable
from ..scenarios import MarketSpec
from .logit import LogitCustomer
from .problem import (
    Array,
    Costs,
    Optimum,
    has_horizon,
    method_of,
    optimise,
    prices_are_free,
    sections_on,
    stock_settings,
    table_periods,
)

# States, and entries of the price table: periods times states times products.
_MOST_STATES, _MOST_ENTRIES = 200_000, 50_000_000


def covers(spec: MarketSpec) -> bool:
    """Whether units left are the whole state, one segment chooses by a plain logit, and the states are few."""
    return (
        (len(spec.products.names) > 1 or spec.capacity is not None)
        and len(spec.category_names) == len(spec.arrivals.segments) == 1
        and (spec.arrivals.process, spec.demand.family) == ("single", "mnl")
        and _is_small(spec)
        and stock_settings(spec) <= {"initial_units", "lead_time_periods", "salvage_value"}
        and sections_on(spec) <= {"capacity"}
        and prices_are_free(spec)
        and has_horizon(spec)
    )


def _resources(spec: MarketSpec) -> tuple[Array, Array, Array]:
    """What sales use, the stock of each product or shared resources: units before the first period (H,), units that a unit
    of a product uses (H, N), and units added at the start of each period (T, H).
    """
    if spec.capacity is not None:
        return spec.capacity.units, spec.capacity.use, spec.capacity.added
    stock = np.floor(spec.stock.initial_units)
    return stock, np.eye(stock.size), np.zeros((1, stock.size))


def _levels(initial: Array, added: Array) -> Array:
    """(H,) number of levels of each resource: the most units that can be left, and one."""
    return initial + np.maximum(added, 0).sum(axis=0) + 1


def _is_small(spec: MarketSpec) -> bool:
    initial, _, added = _resources(spec)
    states = float(np.prod(_levels(initial, added)))
    return states <= _MOST_STATES and states * table_periods(spec) * len(spec.products.names) <= _MOST_ENTRIES


@dataclass(frozen=True)
class StocksPrice:
    """A table of prices by period and the units left of every product, or of every resource.

    Attributes:
        table: (T, S, N), periods of the season or of a cycle of an infinite horizon, currency per unit.
        shape: (H,) most units of each plus one; a state is the index of the units in C order.
        name: Name of the policy.
    """

    table: NDArray[np.float32]
    shape: tuple[int, ...]
    name: str = "optimum"

    def act(self, view: MarketView) -> Action:
        """Look the prices up."""
        left = view.on_hand if view.capacity is None else view.capacity
        units = np.clip(left.astype(np.intp), 0, np.array(self.shape) - 1)
        state = np.ravel_multi_index(tuple(units.T), self.shape)
        return Action(self.table[view.period % len(self.table), state].astype(np.float32))

    def stock_table(self) -> StockTable:
        """The prices by the units of every product, as a bundle holds them."""
        periods, _, products = self.table.shape
        return StockTable(
            (self.table.reshape(periods, 1, *self.shape, products),), (tuple(range(products)),), self.name
        )


def solve(spec: MarketSpec) -> Optimum | None:
    """The optimum of a market that `covers` admits, else None. Prices may be continuous or on a ladder."""
    if not covers(spec):
        return None
    initial, use, added = _resources(spec)
    shape = tuple(_levels(initial, added).astype(int).tolist())
    units = np.indices(shape).reshape(len(shape), -1).T
    # (S, N, H) units after a sale of each product; one that is sold out is never sold.
    after = units[:, None] - use.T
    available = np.asarray((after >= 0).all(axis=2))

    def state(left: Array) -> NDArray[np.intp]:
        """The number of the state with these units left (…, H)."""
        inside = np.clip(left, 0, np.array(shape) - 1).astype(np.intp)
        return np.asarray(np.ravel_multi_index(tuple(np.moveaxis(inside, -1, 0)), shape))

    sold, cost, products = state(after), Costs.of(spec).sold, np.arange(len(spec.products.names))

    def step(period: int, future: Array) -> tuple[Array, NDArray[np.float32]]:
        """Best value (S,) and prices (S, N) of every state."""
        if period + 1 < len(added):
            future = future[state(units + added[period + 1])]
        customer = LogitCustomer.of(spec, period, products)
        prices, money = customer.best_prices(cost + future[:, None] - future[sold], available)
        return future + spec.arrivals.rate[period, 0] * money, prices.astype(np.float32)

    last = np.zeros(len(units)) if spec.capacity is not None else units @ spec.stock.salvage_value
    values, table = optimise(spec, step, last)
    start = state(initial + added[0])
    return Optimum(float(values[start]), method_of(spec), StocksPrice(np.array(table), shape))

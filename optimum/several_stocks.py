"""Several products among which customers choose, each with a finite stock that is never
replenished; or, where at most one customer comes per period, all with shares in common resources (network revenue
management).

Backward induction over the units left of every product or resource. A sale costs the unit cost and
the later value of what it uses, so each state is a logit problem with opportunity costs: Zhang and
Cooper (2009), Pricing Substitutable Flights in Airline Revenue Management, European Journal of
Operational Research 197(3); Dong, Kouvelis and Tian (2009), Dynamic Pricing and Inventory Control of
Substitute Products, M&SOM 11(2); Gallego and van Ryzin (1997), A Multiproduct Dynamic Pricing
Problem and Its Applications to Network Yield Management, Operations Research 45(1). Of many customers per period, all
price vectors of a ladder are tried, as in Talluri and van Ryzin (2004), The Theory and Practice of Revenue Management,
section 5.3: demands are independent given prices, so that their joint expectation is taken one product at a time.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..envs import expected_units
from ..pricing import Action, MarketView, StockTable
from ..pricing.price_rules.grids import NO_GRID
from ..scenarios import MarketSpec
from .logit import LogitCustomer
from .nested_logit import NestedCustomer
from .problem import (
    Array,
    Costs,
    Optimum,
    demand_mass,
    has_horizon,
    is_infinite_horizon,
    method_of,
    optimise,
    prices_are_free,
    sections_on,
    stock_settings,
    table_periods,
)

_MOST_STATES = 200_000
_MOST_VECTORS = 50_000
# Entries of the price table: periods times states times products.
_MOST_ENTRIES = 50_000_000
# Of many customers: products of a probability and a value, rounds of value iteration times what the discount factor lacks
# to one, and values at once.
_MOST_WORK = 1e10
_VALUE_ITERATIONS = 25
_VALUES_AT_ONCE = 2_000_000


def covers(spec: MarketSpec) -> bool:
    """Whether units on hand are the whole state, products share customers, and the states are few."""
    single = spec.arrivals.process == "single"
    return (
        (single or spec.capacity is None)
        and (len(spec.products.names) > 1 or spec.capacity is not None)
        and len(spec.category_names) == 1
        and ((single and (is_logit(spec) or _is_nested(spec))) or JointPrices.are_few(spec))
        and _is_small(spec)
        and (single or _work(spec) <= _MOST_WORK)
        and stock_settings(spec) <= {"initial_units", "lead_time_periods", "salvage_value"}
        and sections_on(spec) <= {"capacity"}
        and prices_are_free(spec)
        and has_horizon(spec)
    )


def is_logit(spec: MarketSpec) -> bool:
    """Whether one segment chooses by a plain logit."""
    return spec.demand.family == "mnl" and len(spec.arrivals.segments) == 1


def _is_nested(spec: MarketSpec) -> bool:
    free = spec.guardrails.grid.kind == NO_GRID
    return spec.demand.family == "nested-logit" and len(spec.arrivals.segments) == 1 and free


@functools.lru_cache(maxsize=64)
def customer_of(spec: MarketSpec, period: int) -> LogitCustomer | NestedCustomer | JointPrices:
    """The customer of a period, in a market that `covers` accepts."""
    products = np.arange(len(spec.products.names))
    if spec.arrivals.process != "single":
        return JointPrices(spec, period)
    if is_logit(spec):
        return LogitCustomer.of(spec, period, products)
    if _is_nested(spec):
        return NestedCustomer.of(spec, period, 0, products, spec.guardrails.low.astype(np.float64))
    return JointPrices(spec, period)


class JointPrices:
    """All price vectors of a ladder, and the mean demand of customers of any choice model at each.

    Args:
        spec: The market.
        period: The period.
    """

    def __init__(self, spec: MarketSpec, period: int) -> None:
        steps = [spec.guardrails.allowed_prices(n) for n in range(len(spec.products.names))]
        self.prices = np.stack([part.ravel() for part in np.meshgrid(*cast(Any, steps), indexing="ij")], axis=1)
        self.rate = float(spec.arrivals.rate[period, 0])
        self.units = functools.cache(functools.partial(self._units, spec, period))

    @staticmethod
    def are_few(spec: MarketSpec) -> bool:
        """Whether the price vectors of a market can be listed."""
        steps = [spec.guardrails.allowed_prices(n) for n in range(len(spec.products.names))]
        return all(step is not None and step.size ** len(steps) <= _MOST_VECTORS for step in steps)

    def _units(self, spec: MarketSpec, period: int, there: tuple[bool, ...]) -> Array:
        """(P, N) mean units with these products in stock."""
        return expected_units(spec, period, self.prices, in_stock=np.array(there, float)).sum(axis=1)

    def best_prices(self, cost: Array, available: NDArray[np.bool_]) -> tuple[Array, Array]:
        """As `LogitCustomer.best_prices`."""
        best = np.empty(len(cost), np.intp)
        money = np.empty(len(cost))
        for there in np.unique(available, axis=0):
            rows = np.flatnonzero((available == there).all(axis=1))
            bought = self.units(tuple(there.tolist())) / self.rate
            earned = (bought * self.prices).sum(axis=1)[:, None] - bought @ cost[rows].T
            best[rows] = earned.argmax(axis=0)
            money[rows] = earned.max(axis=0)
        return self.prices[best], money


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


def _work(spec: MarketSpec) -> float:
    """Products of a probability and a value in all, where many customers come per period."""
    sizes = np.floor(spec.stock.initial_units) + 1
    steps = [spec.guardrails.allowed_prices(n) for n in range(sizes.size)]
    vectors = float(np.prod([1 if step is None else step.size for step in steps]))
    discount = spec.market.discount_factor
    periods = _VALUE_ITERATIONS / (1 - discount) if is_infinite_horizon(spec) else spec.market.horizon_periods
    return vectors * float(np.prod(sizes)) * float(sizes.sum()) * periods


def _of_many(spec: MarketSpec, joint: JointPrices, future: Array) -> tuple[Array, NDArray[np.float32]]:
    """Best value and prices (…, N) of every state of the stocks, from the values of the states that follow, where demands
    are Poisson or negative binomial.
    """
    cost = Costs.of(spec).sold
    best = np.full(future.shape, -np.inf)
    prices = np.empty((*future.shape, cost.size), np.float32)
    for there in itertools.product((False, True), repeat=cost.size):
        states = tuple(slice(1, None) if one else slice(0, 1) for one in there)
        means = joint.units(there)
        for first in range(0, len(means), max(1, _VALUES_AT_ONCE // future.size)):
            rows = slice(first, first + max(1, _VALUES_AT_ONCE // future.size))
            money = np.repeat(future[None], len(means[rows]), axis=0)
            for n in np.flatnonzero(there):
                units = np.arange(1, future.shape[n])
                left = _left_over(demand_mass(spec, means[rows, n], int(n)), units)
                margin = (joint.prices[rows, n] - cost[n])[:, None] * (units - left @ np.arange(future.shape[n]))
                moved = np.moveaxis(money, n + 1, 1)
                moved = (left @ moved.reshape(*moved.shape[:2], -1)).reshape(len(left), units.size, *moved.shape[2:])
                money = np.moveaxis(moved + margin.reshape(*margin.shape, *[1] * (moved.ndim - 2)), 1, n + 1)
            money = money[(slice(None), *(slice(None) if one else slice(0, 1) for one in there))]
            better = money.max(axis=0) > best[states]
            best[states] = np.where(better, money.max(axis=0), best[states])
            prices[states] = np.where(better[..., None], joint.prices[rows][money.argmax(axis=0)], prices[states])
    return best, prices


def _left_over(mass: Array, units: NDArray[np.intp]) -> Array:
    """(P, S, S + 1) probability of each number of units left, from probabilities of demands (P, D + 1)."""
    sold = units[:, None] - np.arange(units.size + 1)
    found = np.where(sold >= 0, np.pad(mass, ((0, 0), (0, units.size)))[:, np.maximum(sold, 0)], 0.0)
    found[:, :, 0] = np.maximum(1 - found[:, :, 1:].sum(axis=2), 0.0)
    return found


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

    sold = state(after)
    cost = Costs.of(spec).sold

    def step(period: int, future: Array) -> tuple[Array, NDArray[np.float32]]:
        """Best value (S,) and prices (S, N) of every state."""
        customer = customer_of(spec, period)
        if spec.arrivals.process != "single":
            best, prices = _of_many(spec, cast(JointPrices, customer), future.reshape(shape))
            return best.ravel(), prices.reshape(len(units), -1)
        if period + 1 < len(added):
            future = future[state(units + added[period + 1])]
        prices, money = customer.best_prices(cost + future[:, None] - future[sold], available)
        return future + spec.arrivals.rate[period, 0] * money, prices.astype(np.float32)

    last = np.zeros(len(units)) if spec.capacity is not None else units @ spec.stock.salvage_value
    values, table = optimise(spec, step, last)
    start = state(initial + added[0])
    return Optimum(float(values[start]), method_of(spec), StocksPrice(np.array(table), shape))

"""Several products that share one customer per period, each with a finite stock that is never
replenished, or all with shares in common resources (network revenue management).

Backward induction over the units left of every product or resource. A sale costs the unit cost and
the later value of what it uses, so each state is a logit problem with opportunity costs: Zhang and
Cooper (2009), Pricing Substitutable Flights in Airline Revenue Management, European Journal of
Operational Research 197(3); Dong, Kouvelis and Tian (2009), Dynamic Pricing and Inventory Control of
Substitute Products, M&SOM 11(2); Gallego and van Ryzin (1997), A Multiproduct Dynamic Pricing
Problem and Its Applications to Network Yield Management, Operations Research 45(1).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..envs import expected_units
from ..pricing import Action, MarketView
from ..pricing.price_rules.grids import NO_GRID
from ..scenarios import MarketSpec
from .logit import LogitCustomer
from .nested_logit import NestedCustomer
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

_MOST_STATES, _MOST_VECTORS = 200_000, 50_000
# Entries of the price table: periods times states times products.
_MOST_ENTRIES = 50_000_000


def covers(spec: MarketSpec) -> bool:
    """Whether units on hand are the whole state, at most one unit is sold per period, and the states are few."""
    return (
        spec.arrivals.process == "single"
        and (len(spec.products.names) > 1 or spec.capacity is not None)
        and len(spec.category_names) == 1
        and (is_logit(spec) or _is_nested(spec) or JointPrices.are_few(spec))
        and _is_small(spec)
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


@functools.lru_cache(maxsize=1)
def customer_of(spec: MarketSpec, period: int) -> LogitCustomer | NestedCustomer | JointPrices:
    """The customer of a period, in a market that `covers` accepts."""
    products = np.arange(len(spec.products.names))
    if is_logit(spec):
        return LogitCustomer.of(spec, period, products)
    if _is_nested(spec):
        return NestedCustomer.of(spec, period, 0, products, spec.guardrails.low.astype(np.float64))
    return JointPrices(spec, period)


class JointPrices:
    """All price vectors of a ladder, and the purchase probabilities of a customer of any choice model at each.

    Args:
        spec: The market.
        period: The period.
    """

    def __init__(self, spec: MarketSpec, period: int) -> None:
        steps = [spec.guardrails.allowed_prices(n) for n in range(len(spec.products.names))]
        self.prices = np.stack([part.ravel() for part in np.meshgrid(*cast(Any, steps), indexing="ij")], axis=1)
        self._bought = functools.cache(functools.partial(self._probabilities, spec, period))

    @staticmethod
    def are_few(spec: MarketSpec) -> bool:
        """Whether the price vectors of a market can be listed."""
        steps = [spec.guardrails.allowed_prices(n) for n in range(len(spec.products.names))]
        return all(step is not None and step.size ** len(steps) <= _MOST_VECTORS for step in steps)

    def _probabilities(self, spec: MarketSpec, period: int, there: tuple[bool, ...]) -> Array:
        """(P, N) with these products in stock."""
        rate = spec.arrivals.rate[period, 0]
        return expected_units(spec, period, self.prices, in_stock=np.array(there, float)).sum(axis=1) / rate

    def best_prices(self, cost: Array, available: NDArray[np.bool_]) -> tuple[Array, Array]:
        """As `LogitCustomer.best_prices`."""
        best, money = np.empty(len(cost), np.intp), np.empty(len(cost))
        for there in np.unique(available, axis=0):
            rows = np.flatnonzero((available == there).all(axis=1))
            bought = self._bought(tuple(there.tolist()))
            earned = (bought * self.prices).sum(axis=1)[:, None] - bought @ cost[rows].T
            best[rows], money[rows] = earned.argmax(axis=0), earned.max(axis=0)
        return self.prices[best], money


@dataclass(frozen=True)
class _Resources:
    """What sales use: the stock of each product, or shared resources.

    Attributes:
        initial: (H,) units before the first period.
        use: (H, N) units that a unit of a product uses.
        added: (T, H) units added at the start of each period.
    """

    initial: Array
    use: Array
    added: Array

    @classmethod
    def of(cls, spec: MarketSpec) -> _Resources:
        """The resources of a market."""
        if spec.capacity is not None:
            return cls(spec.capacity.units, spec.capacity.use, spec.capacity.added)
        stock = np.floor(spec.stock.initial_units)
        return cls(stock, np.eye(stock.size), np.zeros((1, stock.size)))

    @property
    def shape(self) -> Array:
        """(H,) number of levels of each resource: the most units that can be left, and one."""
        return self.initial + np.maximum(self.added, 0).sum(axis=0) + 1


def _is_small(spec: MarketSpec) -> bool:
    states = float(np.prod(_Resources.of(spec).shape))
    tables = 1 if is_infinite_horizon(spec) else spec.market.horizon_periods
    return states <= _MOST_STATES and states * tables * len(spec.products.names) <= _MOST_ENTRIES


@dataclass(frozen=True)
class StocksPrice:
    """A table of prices by period and the units left of every product, or of every resource.

    Attributes:
        table: (T, S, N), or (1, S, N) for all periods, currency per unit.
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
        return Action(self.table[np.minimum(view.period, len(self.table) - 1), state].astype(np.float32))


def solve(spec: MarketSpec) -> Optimum | None:
    """The optimum of a market that `covers` admits, else None. Prices may be continuous or on a ladder."""
    if not covers(spec):
        return None
    resources = _Resources.of(spec)
    shape = tuple(resources.shape.astype(int).tolist())
    units = np.stack(np.unravel_index(np.arange(np.prod(shape)), shape), axis=1)
    # (S, N, H) units after a sale of each product; one that is sold out is never sold.
    after = units[:, None] - resources.use.T
    available = np.asarray((after >= 0).all(axis=2))

    def state(left: Array) -> NDArray[np.intp]:
        """The number of the state with these units left (…, H)."""
        inside = np.clip(left, 0, np.array(shape) - 1).astype(np.intp)
        return np.asarray(np.ravel_multi_index(tuple(np.moveaxis(inside, -1, 0)), shape))

    sold, cost = state(after), Costs.of(spec).sold

    def step(period: int, future: Array) -> tuple[Array, NDArray[np.float32]]:
        """Best value (S,) and prices (S, N) of every state."""
        if period + 1 < len(resources.added):
            future = future[state(units + resources.added[period + 1])]
        customer = customer_of(spec, period)
        prices, money = customer.best_prices(cost + future[:, None] - future[sold], available)
        return future + spec.arrivals.rate[period, 0] * money, prices.astype(np.float32)

    last = np.zeros(len(units)) if spec.capacity is not None else units @ spec.stock.salvage_value
    values, table = optimise(spec, step, last)
    start = state(resources.initial + resources.added[0])
    return Optimum(float(values[start]), method_of(spec), StocksPrice(np.array(table), shape))

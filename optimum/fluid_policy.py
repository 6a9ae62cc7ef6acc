"""The certainty-equivalent policy: before each period the fluid problem for the stock left
is solved again.

In the fluid problem demand equals its mean, and the price response is known. A unit of stock then
has one dual value: the lowest at which the mean demand of all periods left, each at the price that
is best given that value, does not exceed the stock. Maglaras and Meissner (2006), Dynamic Pricing
Strategies for Multiproduct Revenue Management Problems, M&SOM 8(2), section 4 (the resolving
heuristic). Prices are found as if any price between the bounds could be charged; the guardrails
round them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..envs import expected_units
from ..pricing import Action, MarketView, Policy, StockTable
from ..scenarios import MarketSpec
from . import several_stocks
from .problem import (
    Array,
    Costs,
    chain,
    has_horizon,
    is_infinite_horizon,
    is_stationary,
    prices_are_free,
    sections_on,
    stock_settings,
)

_NAME = "certainty-equivalent"
_PRICES = 2001
_VALUES = 801
_TOLERANCE = 1e-9
# Rounds of a search for the dual values of several products, and the first ones of them with whole steps.
_MOST_ROUNDS, _WHOLE_STEPS = 200, 20
_LEAST = 1e-12
# Solved states that are kept.
_MOST_KEPT = 200_000
_MOST_UNITS = 2000


@functools.lru_cache(maxsize=16)
def certainty_equivalent(spec: MarketSpec) -> Policy | None:
    """The policy, or None for a market that it does not cover.

    It covers one product whose stock is never replenished, and several such products with stationary
    demand of at most one unit a period. Where stock is not the state, the myopic policy is
    certainty-equivalent, exactly or nearly.

    Example:
        >>> from repricer.scenarios import load_scenario
        >>> certainty_equivalent(load_scenario("scarce")).name
        'certainty-equivalent'
    """
    if is_infinite_horizon(spec):
        return None
    if has_one_stock(spec):
        table = _OneProduct(spec).table().astype(np.float32)
        return StockTable((table.reshape(len(table), -1, table.shape[-1], 1),), ((0,),), _NAME)
    if (
        spec.arrivals.process == "single"
        and several_stocks.covers(spec)
        and spec.capacity is None
        and is_stationary(spec)
        and spec.market.discount_factor == 1
    ):
        return FluidPrices(spec)
    return None


def has_one_stock(spec: MarketSpec) -> bool:
    """Whether units on hand and an observed regime are the whole state, and the states are few."""
    return (
        len(spec.products.names) == 1
        and spec.stock.initial_units[0] <= _MOST_UNITS
        and stock_settings(spec)
        <= {"initial_units", "lead_time_periods", "holding_cost", "lost_sale_cost", "salvage_value"}
        and sections_on(spec) <= {"regimes"}
        and (spec.regimes is None or spec.regimes.observed)
        and prices_are_free(spec)
        and has_horizon(spec)
    )


def initial_path(spec: MarketSpec) -> Array:
    """(T,) fluid prices from the initial state of a market with one stock; they ignore the regime."""
    return _OneProduct(spec).initial_path()


class _OneProduct:
    """Mean demand and best price by the dual value of a unit."""

    def __init__(self, spec: MarketSpec) -> None:
        self.spec, self.periods = spec, int(spec.market.horizon_periods)
        self.low, self.high = float(spec.guardrails.low[0]), float(spec.guardrails.high[0])
        self.price, self.cost = np.linspace(self.low, self.high, _PRICES), Costs.of(spec).sold[0]
        self.holding = Costs.of(spec).holding[0]
        self.least = self._unsold()
        self.values = np.linspace(min(self.least.min(), 0.0), max(self.high, self.least.max()), _VALUES)
        self.transition, self.initial = chain(spec)
        kinds = 1 if is_stationary(spec) else self.periods
        self.units = np.stack([self._units_of(t) for t in range(kinds)])  # (kinds, Z, P)

    def _unsold(self) -> Array:
        """(T,) value in each period of a unit that is never sold: its salvage value less the cost of holding it."""
        value = np.empty(self.periods)
        value[-1] = self.spec.stock.salvage_value[0] - self.holding
        for t in reversed(range(self.periods - 1)):
            value[t] = self.spec.market.discount_factor * value[t + 1] - self.holding
        return value

    def _units_of(self, period: int) -> Array:
        rows, regimes = self.price[:, None], range(self.initial.size)
        return np.stack([expected_units(self.spec, period, rows, regime=z).sum(axis=(1, 2)) for z in regimes])

    def _kind(self, period: int) -> int:
        return period if len(self.units) > 1 else 0

    def best(self, units: Array, value: Array) -> NDArray[np.intp]:
        """(W,) index of the best price for each dual value (W,), given mean units (P,) at each price."""
        return ((self.price - self.cost - value[:, None]) * units).argmax(axis=1)

    def value_of_stock(self) -> Array:
        """(T, Z, S + 1) dual value of a unit, in money of the period."""
        stock_units, discount = np.arange(int(self.spec.stock.initial_units[0]) + 1), self.spec.market.discount_factor
        # Mean units at the best price for each dual value: (kinds, Z, W).
        now = np.stack([np.stack([row[self.best(row, self.values)] for row in kind]) for kind in self.units])
        regimes = range(self.initial.size)
        table = np.empty((self.periods, self.initial.size, stock_units.size))
        left = np.zeros((self.initial.size, self.values.size))
        for t in reversed(range(self.periods)):
            # A unit of this value now has a higher value later: it was held, and money is
            # discounted.
            later = np.stack([np.interp((self.values + self.holding) / discount, self.values, row) for row in left])
            left = now[self._kind(t)] + self.transition @ later
            for z in regimes:
                # Demand falls as the dual value rises.
                found = np.interp(stock_units, left[z, ::-1], self.values[::-1])
                table[t, z] = np.maximum(found, self.least[t])
        return table

    def table(self) -> Array:
        """(T, Z, S + 1) prices."""
        value = self.value_of_stock()
        prices = np.empty_like(value)
        for t in range(self.periods):
            for z, units in enumerate(self.units[self._kind(t)]):
                prices[t, z] = self.price[self.best(units, value[t, z])]
        return prices

    def initial_path(self) -> Array:
        """See the function of this name."""
        value = float(self.initial @ self.value_of_stock()[0, :, -1])
        path = np.empty(self.periods)
        for t, chance in enumerate(self.spec.regime_probabilities(self.periods)):
            path[t] = self.price[self.best(chance @ self.units[self._kind(t)], np.array([value]))[0]]
            value = (value + self.holding) / self.spec.market.discount_factor
        return path


@dataclass(frozen=True)
class FluidPrices:
    """The fluid prices of several products that share their customers, for the stock and the time left."""

    spec: MarketSpec
    name: str = _NAME
    _solved: dict[tuple[float, ...], NDArray[np.float32]] = field(default_factory=dict, repr=False, compare=False)

    def act(self, view: MarketView) -> Action:
        """Solve once for every distinct state."""
        periods_left = np.maximum(self.spec.market.horizon_periods - view.period, 1)
        states = np.column_stack([periods_left, np.maximum(view.on_hand, 0)]).astype(np.float64)
        states, index = np.unique(states, axis=0, return_inverse=True)
        rows = [tuple(row) for row in states.tolist()]
        if new := [row for row in rows if row not in self._solved]:
            if len(self._solved) > _MOST_KEPT:
                self._solved.clear()
                new = rows
            left = np.array(new)
            prices = self.solve(left[:, 1:], self.spec.arrivals.rate[0, 0] * left[:, 0])
            self._solved.update(zip(new, prices.astype(np.float32), strict=True))
        return Action(np.stack([self._solved[row] for row in rows])[index.reshape(-1)])

    def solve(self, units: Array, customers: Array) -> Array:
        """Prices (B, N) for units left (B, N) and customers still expected (B,).

        The dual value of each product rises while its demand exceeds its stock, and falls, down to
        its salvage value, while demand is below; the step is the gap in logarithms over the
        sensitivity, which is Newton's step for one product of a plain logit. Where it overshoots, as
        from one step of a ladder to the next, steps become shorter round by round.
        """
        spec, there = self.spec, units > 0
        customer = several_stocks.customer_of(spec, 0)
        sensitivity = (spec.arrivals.segment_share[0][:, None] * spec.demand.price_sensitivity).sum(axis=0)
        cost, least = Costs.of(spec).sold, spec.stock.salvage_value
        value = np.broadcast_to(least, units.shape)
        for turn in range(_MOST_ROUNDS):
            prices, money = customer.best_prices(cost + value, there)
            wanted = customers[:, None] * self._bought(prices, there)
            gap = np.log(np.where(there, np.maximum(wanted, _LEAST), 1.0) / np.where(there, units, 1.0)) / sensitivity
            before, value = value, np.maximum(value + gap * min(1.0, _WHOLE_STEPS / (turn + 1)), least)
            if np.abs(value - before).max() <= _TOLERANCE * (1 + money.max()):
                break
        return customer.best_prices(cost + value, there)[0]

    def _bought(self, prices: Array, there: NDArray[np.bool_]) -> Array:
        """(B, N) purchase probabilities of a customer at the prices of the products that are there."""
        bought = np.zeros(prices.shape)
        for products in np.unique(there, axis=0):
            rows = np.flatnonzero((there == products).all(axis=1))
            units = expected_units(self.spec, 0, prices[rows], in_stock=products.astype(float))
            bought[rows] = units.sum(axis=1) / self.spec.arrivals.rate[0, 0]
        return bought

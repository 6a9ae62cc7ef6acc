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

import numpy as np
from numpy.typing import NDArray

from ..envs import expected_units
from ..pricing import Policy, StockTable
from ..scenarios import MarketSpec
from . import several_stocks
from .logit import LogitCustomer
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
from .several_stocks import StocksPrice

_POLICY_NAME = "certainty-equivalent"
_FLUID_PRICES = 2001
_VALUES = 801
_DUAL_TOLERANCE = 1e-9
# Rounds of a search for the dual values of several products, and the first ones of them with whole steps.
_DUAL_ROUNDS = 200
_WHOLE_STEPS = 20
_LEAST_UNITS_WANTED = 1e-12
# States of several stocks, over all periods, and units of one.
_MOST_FLUID_STATES = 1_000_000
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
        table = _table_of_one(spec).astype(np.float32)
        return StockTable((table.reshape(len(table), -1, table.shape[-1], 1),), ((0,),), _POLICY_NAME)
    if (
        spec.arrivals.process == "single"
        and several_stocks.is_logit(spec)
        and several_stocks.covers(spec)
        and spec.capacity is None
        and is_stationary(spec)
        and spec.market.discount_factor == 1
        and np.prod(spec.stock.initial_units + 1) * spec.market.horizon_periods <= _MOST_FLUID_STATES
    ):
        return _table_of_several(spec)
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


def _table_of_one(spec: MarketSpec) -> Array:
    """(T, Z, S + 1) fluid prices of one product, by period, regime and units left."""
    costs = Costs.of(spec)
    discount = spec.market.discount_factor
    periods = int(spec.market.horizon_periods)
    cost = costs.sold[0]
    holding = costs.holding[0]
    ages = np.arange(periods)[::-1]
    price = np.linspace(float(spec.guardrails.low[0]), float(spec.guardrails.high[0]), _FLUID_PRICES)
    # By period, what a unit is worth that is never sold: its salvage value less the cost of holding it.
    unsold = spec.stock.salvage_value[0] * discount**ages - holding * np.cumsum(discount ** np.arange(periods))[ages]
    values = np.linspace(min(unsold.min(), 0.0), max(price[-1], unsold.max()), _VALUES)
    transition, initial = chain(spec)
    stock = np.arange(int(spec.stock.initial_units[0]) + 1)
    regimes = range(initial.size)
    table = np.empty((periods, initial.size, stock.size))

    def best(units: Array, value: Array) -> NDArray[np.intp]:
        """(W,) index of the best price for each dual value (W,), given mean units (P,) at each price."""
        return ((price - cost - value[:, None]) * units).argmax(axis=1)

    # By regime, mean units at each price, and those at the best price for each dual value, now and in all periods left.
    units = []
    now = np.empty(0)
    left = np.zeros((initial.size, values.size))
    stationary = is_stationary(spec)
    for t in reversed(range(periods)):
        if not (units and stationary):
            units = [expected_units(spec, t, price[:, None], regime=z).sum(axis=(1, 2)) for z in regimes]
            now = np.stack([row[best(row, values)] for row in units])
        # A unit of this value now has a higher value later: it was held, and money is discounted.
        later = np.stack([np.interp((values + holding) / discount, values, row) for row in left])
        left = now + transition @ later
        for z in regimes:
            # Demand falls as the dual value rises.
            dual = np.maximum(np.interp(stock, left[z, ::-1], values[::-1]), unsold[t])
            table[t, z] = price[best(units[z], dual)]
    return table


def _table_of_several(spec: MarketSpec) -> StocksPrice:
    """The fluid prices of several products that share their customers, by the periods and the stock left."""
    shape = tuple((np.floor(spec.stock.initial_units) + 1).astype(int).tolist())
    units = np.indices(shape).reshape(len(shape), -1).T.astype(np.float64)
    customers = spec.arrivals.rate[0, 0] * np.arange(spec.market.horizon_periods, 0, -1)
    table = [fluid_prices(spec, units, np.full(len(units), count)) for count in customers]
    return StocksPrice(np.array(table, np.float32), shape, _POLICY_NAME)


def fluid_prices(spec: MarketSpec, units: Array, customers: Array) -> Array:
    """Prices (B, N) for units left (B, N) and customers still expected (B,).

    The dual value of each product rises while its demand exceeds its stock, and falls, down to
    its salvage value, while demand is below; the step is the gap in logarithms over the
    sensitivity, which is Newton's step for one product. Where it overshoots, as
    from one step of a ladder to the next, steps become shorter round by round.
    """
    there = units > 0
    customer = LogitCustomer.of(spec, 0, np.arange(units.shape[1]))
    sensitivity = spec.demand.price_sensitivity[0]
    cost = Costs.of(spec).sold
    least = spec.stock.salvage_value
    value = np.broadcast_to(least, units.shape)
    for turn in range(_DUAL_ROUNDS):
        prices, money = customer.best_prices(cost + value, there)
        wanted = customers[:, None] * customer.shares(prices, there).product
        gap = (
            np.log(np.where(there, np.maximum(wanted, _LEAST_UNITS_WANTED), 1.0) / np.where(there, units, 1.0))
            / sensitivity
        )
        before = value
        value = np.maximum(value + gap * min(1.0, _WHOLE_STEPS / (turn + 1)), least)
        if np.abs(value - before).max() <= _DUAL_TOLERANCE * (1 + money.max()):
            break
    return customer.best_prices(cost + value, there)[0]

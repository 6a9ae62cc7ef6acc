"""The exact optimum with an order: one product whose price and order are set together,
delivered at once.

Federgruen and Heching (1999), Combined Pricing and Inventory Control under Uncertainty, Operations
Research 47(3). In a period the order arrives, then demand at the price occurs. Units are paid for
when demanded (with a backlog, even those delivered later), and holding and backlog costs are due on
the units on hand or owed at the end. That number of units is the state.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..envs import expected_units
from ..pricing import Action, MarketView
from ..scenarios import MarketSpec
from .problem import (
    Array,
    Costs,
    Optimum,
    Units,
    demand_mass,
    has_horizon,
    is_infinite_horizon,
    method_of,
    most_demand,
    optimise,
    price_grid,
    prices_are_free,
    sections_on,
    stock_settings,
)

_MOST_REACH = 40_000
_MOST_PRICES = 500
_TOLERANCE = 1e-9

_Tables = TypeVar("_Tables")


def covers(spec: MarketSpec) -> bool:
    """Whether units on hand are the whole state: the policy orders, and orders arrive at once."""
    costs = {"cost_due", "order_cost", "holding_cost", "lost_sale_cost", "backlog_cost", "salvage_value"}
    settings = {"initial_units", "replenishment", "max_order_units", "lead_time_periods", "shortage"}
    return (
        len(spec.products.names) == 1
        and spec.stock.replenishment == "action"
        and spec.stock.lead_time_periods[0] == 0
        and stock_settings(spec) <= settings | costs
        and not sections_on(spec)
        and not spec.arrivals.overdispersion.any()
        and prices_are_free(spec)
        and has_horizon(spec)
    )


@dataclass(frozen=True)
class PriceAndOrder:
    """Tables of prices and orders by period and units on hand.

    Attributes:
        least: Units on hand of the first column, which fewer units read too.
        price: (T, S), or (1, S) for all periods, currency per unit.
        order: (T, S), or (1, S) for all periods, units.
        name: Name of the policy.
    """

    least: int
    price: Array
    order: Units
    name: str = "optimum"

    def act(self, view: MarketView) -> Action:
        """Look both up."""
        column = np.clip(view.on_hand[:, 0] - self.least, 0, self.price.shape[1] - 1).astype(np.intp)
        cell = np.minimum(view.period, len(self.price) - 1), column
        return Action(self.price[cell].astype(np.float32)[:, None], order=self.order[cell].astype(np.float32)[:, None])


def solve(spec: MarketSpec) -> Optimum | None:
    """The optimum of a market that `covers` admits, else None.

    Units on hand are limited to a range, which is widened until the value settles. Continuous
    prices are searched on a grid of 500.
    """
    if not covers(spec):
        return None
    prices = price_grid(spec, most=_MOST_PRICES)
    within = functools.partial(_within, spec, prices, kept_demand(spec, 0, prices))
    found = widened(within, least=lot(spec, 0), most=_MOST_REACH, tolerance=_TOLERANCE)
    return None if found is None else Optimum(found[0], method_of(spec), found[1])


def widened(
    within: Callable[[int], tuple[float, _Tables]], *, least: int, most: int, tolerance: float
) -> tuple[float, _Tables] | None:
    """The value and the tables within a range of units on hand that is wide enough: it holds `least` units, and one half
    as wide gives the same value. None where no range up to `most` is.
    """
    reach, narrow = 16, np.inf
    while reach <= most:
        found = within(reach)
        if reach >= least and abs(found[0] - narrow) <= tolerance * (1 + abs(found[0])):
            return found
        reach, narrow = 2 * reach, found[0]
    return None


def lot(spec: MarketSpec, n: int) -> int:
    """Units of product n that an order may have to bring to be worth its fixed cost, in ranges narrower than which none
    may pay; 0 without such a cost.
    """
    express, discount = spec.express, spec.market.discount_factor
    if not (Costs.of(spec).order[n] > 0 or (express is not None and express.order_cost[n] > 0)):
        return 0
    rows = np.tile(spec.products.regular_price, (spec.market.horizon_periods, 1))
    rows[:, n] = spec.guardrails.low[n]
    mean = expected_units(spec, np.arange(len(rows)), rows).sum(axis=1)[:, n]
    periods = 1 / (1 - discount) if is_infinite_horizon(spec) else len(rows)
    largest = max(spec.stock.max_order_units[n], 0 if express is None else express.max_order_units[n])
    return int(min(largest, periods * most_demand(spec, mean)))


def _within(spec: MarketSpec, prices: Array, mass: Callable[[int], Array], reach: int) -> tuple[float, PriceAndOrder]:
    """The value and the tables with at most `reach` units above the initial stock on hand, and at
    most `reach` owed.

    mass: the (P, D + 1) probability of each demand at each price of a period.
    """
    start = int(spec.stock.initial_units[0])
    least = -reach if spec.stock.shortage == "backlog" else 0
    units, costs = np.arange(least, start + reach + 1), Costs.of(spec)
    orders = np.arange(min(int(spec.stock.max_order_units[0]), units.size - 1) + 1)
    order_cost = costs.ordered[0] * orders + costs.order[0] * (orders > 0)

    def step(period: int, future: Array) -> tuple[Array, tuple[Array, Units]]:
        """Best value, price and order at each number of units, all (S,)."""
        money = period_money(spec, costs, mass(period), prices, units, future[:, None])[..., 0]
        after_order, best_price = money.max(axis=0), prices[money.argmax(axis=0)]
        # Row s: money after ordering 0, 1, … units at s units; no order goes beyond the range.
        padded = np.concatenate([after_order, np.full(orders.size - 1, -np.inf)])
        choice = sliding_window_view(padded, orders.size) - order_cost
        order = choice.argmax(axis=1)
        return choice.max(axis=1), (best_price[np.arange(units.size) + order], orders[order])

    values, tables = optimise(spec, step, spec.stock.salvage_value[0] * np.maximum(units, 0))
    price, order = (np.array(table) for table in zip(*tables, strict=True))
    return float(values[start - least]), PriceAndOrder(least, price, order)


def kept_demand(spec: MarketSpec, n: int, prices: Array) -> Callable[[int], Array]:
    """(P, D + 1) probability of each demand for product n at each of its prices in a period, which is kept until
    another is asked for.
    """
    rows = np.tile(spec.products.regular_price, (prices.size, 1))
    rows[:, n] = prices
    return functools.lru_cache(maxsize=1)(
        lambda period: demand_mass(spec, expected_units(spec, period, rows).sum(axis=1)[:, n])
    )


def period_money(spec: MarketSpec, costs: Costs, mass: Array, prices: Array, units: Units, future: Array) -> Array:
    """(P, S, F) money of a period and all later ones, by price and units on sale.

    Args:
        costs: The costs of the product, (1,) each.
        mass: (P, D + 1) probability of each demand at each price.
        prices: (P,) currency per unit.
        units: (S,) rising, the units on sale.
        future: (S, F) values by units left and F further properties of the state.
    """
    demand, backlog = np.arange(mass.shape[1])[:, None], spec.stock.shortage == "backlog"
    sold = demand + 0 * units if backlog else np.minimum(demand, units)
    # No customer chooses a product that is sold out, so no sale is lost then.
    lost = np.where(units > 0, demand - sold, 0)
    left = np.maximum(units - sold, units[0])
    spent = costs.lost[0] * lost + costs.holding[0] * np.maximum(units - sold, 0)
    spent = spent + costs.backlog[0] * np.maximum(sold - units, 0)
    now = (prices - costs.sold[0])[:, None] * (mass @ sold) - mass @ spent
    return now[:, :, None] + np.tensordot(mass, future[left - units[0]], 1)

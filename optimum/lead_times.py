"""Products that are priced and ordered each for itself, with orders that take one or two periods, and
express orders that arrive at once.

Dynamic programming over the units on hand and on order of one product after the other. Orders that
take one period may be late (see `delay_probability`): what is late is then on order too. Zipkin
(2008), Old and New Methods for Lost-Sales Inventory Systems, Operations Research 56(5), has the
states; Kaplan (1970), A Dynamic Inventory Model with Stochastic Lead Times, Management Science
16(7), has deliveries that never overtake one another. Fukuda (1964), Optimal Policies for the
Inventory Problem with Negotiable Leadtime, Management Science 10(4), has two suppliers: as what the
express order brings is on hand before the customers come, it is chosen first, among the best
continuations from more units.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import astuple, dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..pricing import Action, MarketView
from ..scenarios import MarketSpec
from .price_and_order import kept_demand, lot, period_money, widened
from .problem import (
    Array,
    Costs,
    Optimum,
    Units,
    has_horizon,
    method_of,
    optimise,
    price_grid,
    prices_are_free,
    sections_on,
    stock_settings,
)

_LONGEST = 2
_MOST_PRICES = 200
_MOST_REACH = 1024
_TOLERANCE = 1e-8


def covers(spec: MarketSpec) -> bool:
    """Whether the policy orders, and the units of a product on hand and on order are its whole state."""
    costs = {"cost_due", "order_cost", "holding_cost", "lost_sale_cost", "backlog_cost"}
    settings = {"initial_units", "replenishment", "max_order_units", "lead_time_periods", "delay_probability"}
    lead, late = spec.stock.lead_time_periods, spec.stock.delay_probability > 0
    return (
        spec.stock.replenishment == "action"
        and len(spec.category_names) == len(spec.products.names)
        and bool((lead >= 1).all() and (lead <= np.where(late, 1, _LONGEST)).all())
        and stock_settings(spec) <= settings | costs | {"shortage"}
        and sections_on(spec) <= {"express"}
        and (spec.express is None or not spec.express.lead_time_periods.any())
        and not spec.arrivals.overdispersion.any()
        and prices_are_free(spec)
        and has_horizon(spec)
    )


@dataclass(frozen=True)
class ProductTables:
    """Prices and orders of one product by period, units on hand and units on order.

    Attributes:
        least: Units on hand of the first row, which fewer units read too.
        express: (T, S, B), or (1, S, B) for all periods, express order, units.
        price: Likewise, by units on hand after the express order, currency per unit.
        order: Likewise, units.
    """

    least: int
    express: Units
    price: Array
    order: Units


@dataclass(frozen=True)
class PricesAndOrders:
    """The tables of every product.

    Attributes:
        products: The tables, product by product.
    """

    products: tuple[ProductTables, ...]
    name: str = "optimum"

    def act(self, view: MarketView) -> Action:
        """Look prices and orders up."""
        price, order, express = (np.empty_like(view.on_hand) for _ in range(3))
        for n, tables in enumerate(self.products):
            periods, rows, columns = tables.price.shape
            period = np.minimum(view.period, periods - 1)
            row = np.clip(view.on_hand[:, n] - tables.least, 0, rows - 1).astype(np.intp)
            column = np.clip(view.on_order[:, n], 0, columns - 1).astype(np.intp)
            soon = tables.express[period, row, column]
            cell = period, np.minimum(row + soon, rows - 1), column
            price[:, n], order[:, n], express[:, n] = tables.price[cell], tables.order[cell], soon
        return Action(price, order=order, express=None if view.catalogue.max_express_units is None else express)


def solve(spec: MarketSpec) -> Optimum | None:
    """The optimum of a market that `covers` admits, else None.

    Units on hand are limited to a range, which is widened until the value settles. Continuous
    prices are searched on a grid of 200.
    """
    if not covers(spec):
        return None
    value, tables = 0.0, []
    for n in range(len(spec.products.names)):
        prices = price_grid(spec, n, most=_MOST_PRICES)
        within = functools.partial(_within, spec, n, prices, kept_demand(spec, n, prices))
        found = widened(within, least=lot(spec, n), most=_MOST_REACH, tolerance=_TOLERANCE)
        if found is None:
            return None
        value += found[0]
        tables.append(found[1])
    return Optimum(value, method_of(spec), PricesAndOrders(tuple(tables)))


def _within(
    spec: MarketSpec, n: int, prices: Array, mass: Callable[[int], Array], reach: int
) -> tuple[float, ProductTables]:
    """The value and the tables with at most `reach` units more than at the start, and `reach` late."""
    stock, costs = spec.stock, Costs(*(each[n : n + 1] for each in astuple(Costs.of(spec))))
    least, start = -reach if stock.shortage == "backlog" else 0, int(stock.initial_units[n])
    units, late = np.arange(least, start + reach + 1), float(stock.delay_probability[n])
    orders, two = np.arange(int(stock.max_order_units[n]) + 1), stock.lead_time_periods[n] == 2
    cost = costs.ordered[0] * orders + costs.order[0] * (orders > 0)
    soon = _express_cost(spec, n, costs.ordered[0])
    waiting = np.arange((reach if late else orders[-1] if two else 0) + 1)  # on order before the new order
    due = waiting if two else np.arange(waiting[-1] + orders[-1] + 1)

    def later(future: Array) -> Array:
        """Values of the next state by units left (S,), units due (F,) and, with two periods, the new order."""
        arrived = np.minimum(np.arange(units.size)[:, None] + due, units.size - 1)
        if two:
            return future[arrived]
        kept = future[:, np.minimum(due, waiting[-1])] if late else 0.0
        return (1 - late) * future[arrived, 0] + late * kept

    def step(period: int, future: Array) -> tuple[Array, tuple[Units, Array, Units]]:
        """Best value, express order, price and order at each number of units on hand and on order, all (S, B)."""
        ahead = later(future)
        money = period_money(spec, costs, mass(period), prices, units, ahead.reshape(units.size, -1))
        money, price = money.max(axis=0), prices[money.argmax(axis=0)]
        # Column (b, q): b units on order before an order of q.
        pairs = np.arange(waiting.size * orders.size) if two else (waiting[:, None] + orders).ravel()
        shape = (units.size, waiting.size, orders.size)
        total, price = money[:, pairs].reshape(shape) - cost, price[:, pairs].reshape(shape)
        best = total.argmax(axis=2)
        take = functools.partial(np.take_along_axis, indices=best[:, :, None], axis=2)
        value, express = _expedited(take(total)[:, :, 0], soon)
        return value, (express, take(price)[:, :, 0], orders[best])

    values, tables = optimise(spec, step, np.zeros((units.size, waiting.size)))
    express, price, order = (np.array(table) for table in zip(*tables, strict=True))
    return float(values[start - least, 0]), ProductTables(least, express, price, order)


def _express_cost(spec: MarketSpec, n: int, unit_cost: float) -> Array:
    """(X,) cost of each express order of product n; of none alone, where there is no such supplier.

    unit_cost: Currency per unit where it is due on units ordered.
    """
    if spec.express is None:
        return np.zeros(1)
    units, counts = np.arange(int(spec.express.max_order_units[n]) + 1), float(spec.market.objective == "profit")
    return (unit_cost + counts * spec.express.extra_cost[n]) * units + counts * spec.express.order_cost[n] * (units > 0)


def _expedited(value: Array, cost: Array) -> tuple[Array, Units]:
    """The best value and express order, (S, B) both, given those by units on hand after it and its cost, (X,)."""
    padded = np.concatenate([value, np.full((cost.size - 1, value.shape[1]), -np.inf)])
    choice = sliding_window_view(padded, cost.size, axis=0) - cost
    return choice.max(axis=2), choice.argmax(axis=2)

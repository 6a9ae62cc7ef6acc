"""The general dynamic program of products that are priced, and perhaps ordered, each for itself.

The state of a product is the regime, what its prices leave behind (the current price, where rules allow only some after it;
the reference price; the last price of a competitor that answers), the units on hand, and those on order by the period they
are due in. Bertsekas (2017), Dynamic Programming and Optimal Control, volume 1, chapters 1 and 3. Its special cases:
Gallego and van Ryzin (1994), Management Science 40(8) (stock that is never replenished); Bitran and Mondschein (1997),
Management Science 43(1) (prices that only fall); Federgruen and Heching (1999), Operations Research 47(3) (price and order);
Zipkin (2008), Operations Research 56(5) (lost sales and lead times); Kaplan (1970), Management Science 16(7) (late
deliveries, which never overtake one another); Fukuda (1964), Management Science 10(4) (two suppliers: what the express
order brings is on hand before the customers come, so that it is chosen first, among the best continuations from more
units); Popescu and Wu (2007), Operations Research 55(3) (reference prices); Maskin and Tirole (1988), Econometrica 56(3)
(a competitor that answers).
"""

from __future__ import annotations

import functools
from dataclasses import astuple, dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ..envs import expected_units
from ..pricing import Action, MarketView, StockTable
from ..scenarios import MarketSpec
from .links import Links
from .policy_value import exact_value
from .problem import (
    Array,
    Costs,
    Optimum,
    Units,
    chain,
    demand_mass,
    has_horizon,
    is_infinite_horizon,
    method_of,
    most_demand,
    optimise,
    price_grid,
    sections_on,
    stock_settings,
    table_periods,
)

_LONGEST = 3
_MOST_UNITS = 2000
_MOST_REACH = 40_000
# Entries of a period's values and of all tables; products of a probability and a value in all, and those of a period.
_MOST_STOCK_STATES = 2_000_000
_MOST_ENTRIES = 50_000_000
_MOST_WORK = 3e10
_WORK = 2e7
# Rounds of value iteration, times what the discount factor lacks to one; products that a look-up, and one of gathered values, takes as long as.
_VALUE_ROUNDS = 25
_LOOK_UP = 60
_GATHERED = 10
_FEWEST_PRICES = 200
_MOST_PRICES = 10_000
_MOST_LINKED = 1000
# What a range of units on hand twice as wide may change, and that with a lead time.
_CAP_TOLERANCE = {False: 1e-9, True: 1e-8}
_SETTINGS = {"initial_units", "lead_time_periods", "holding_cost", "lost_sale_cost", "salvage_value", "cost_due"}
_ORDERING = {"replenishment", "max_order_units", "shortage", "order_cost", "backlog_cost", "delay_probability"}


def covers(spec: MarketSpec) -> bool:
    """Whether each product is a problem of its own with a state that this program knows."""
    stock = spec.stock
    orders = spec.stock.replenishment == "action"
    lead = stock.lead_time_periods
    late = stock.delay_probability > 0
    finite = stock.initial_units[np.isfinite(stock.initial_units)]
    return (
        len(spec.category_names) == len(spec.products.names)
        and sections_on(spec) <= {"regimes", "reference_price", "competitors"} | ({"express"} if orders else set())
        and (spec.regimes is None or spec.regimes.observed)
        and (spec.express is None or (not spec.express.lead_time_periods.any() and bool((lead > 0).all())))
        and stock_settings(spec) <= _SETTINGS | (_ORDERING if orders else set())
        and (not orders or bool((lead <= np.where(late, 1, _LONGEST)).all() and (lead >= late).all()))
        and (finite.size == 0 or finite.max() <= _MOST_UNITS)
        and (orders or finite.size in (0, len(stock.initial_units)))
        and spec.prices.max_discount == 0
        # What is still on its way when the season ends is worth nothing.
        and not (orders and lead.any() and stock.salvage_value.any())
        and Links.cover(spec)
        and has_horizon(spec)
    )


@dataclass(frozen=True)
class ProductTables:
    """Prices and orders of one product by period (of a cycle, for an infinite horizon), regime, link, units on hand and
    pipeline, (T, Z, Y, S, B).

    Attributes:
        links: What its prices leave behind.
        least: Units on hand of the first row, which fewer units read too.
        lead: Lead time, periods.
        at_once: Units that arrive before the customers come.
        price: By units on hand after them, currency per unit.
        order: Likewise, units.
    """

    links: Links
    least: int
    lead: int
    at_once: Units
    price: NDArray[np.float32]
    order: Units

    def act(self, view: MarketView, n: int) -> tuple[Array, Units, Units]:
        """Price, order and order that arrives at once of product n, (E,) each."""
        periods, _, _, units, pipeline = self.price.shape
        period = view.period % periods
        regime = np.zeros(view.num_markets, np.intp) if view.regime is None else view.regime
        row = np.clip(np.nan_to_num(view.on_hand[:, n], posinf=0) - self.least, 0, units - 1).astype(np.intp)
        column = np.zeros(view.num_markets) if self.at_once.shape[-1] == 1 else self._pipeline(view, n)
        column = np.clip(column, 0, pipeline - 1).astype(np.intp)
        link, weight = self.links.seen(view)
        first = period, regime, link[:, 0]
        soon = self.at_once[(*first, row, column)]
        after = np.minimum(row + soon, units - 1), column
        price = sum(weight[:, i] * self.price[(period, regime, link[:, i], *after)] for i in range(link.shape[1]))
        return np.asarray(price), self.order[(*first, *after)], soon

    def _pipeline(self, view: MarketView, n: int) -> Array:
        """(E,) number of the pipeline: the units due next, then those due later, as digits."""
        on_order = view.on_order[:, n].astype(np.float64)
        if view.due is None or self.lead < 3:
            return on_order
        digits = int(np.round(self.price.shape[-1] ** (1 / (self.lead - 1))))
        return view.due[:, n, 0] * digits + (on_order - view.due[:, n, 0])


@dataclass(frozen=True)
class ProductPolicy:
    """The tables of every product.

    Attributes:
        products: The tables, product by product.
        name: Name of the policy.
    """

    products: tuple[ProductTables, ...]
    name: str = "optimum"

    def act(self, view: MarketView) -> Action:
        """Look prices and orders up."""
        columns = [tables.act(view, n) for n, tables in enumerate(self.products)]
        price, order, soon = (np.stack(parts, axis=1).astype(np.float32) for parts in zip(*columns, strict=True))
        if view.catalogue.max_order_units is None:
            return Action(price)
        if view.catalogue.max_express_units is not None:
            return Action(price, order=order, express=soon)
        return Action(price, order=order + soon)

    def stock_table(self) -> StockTable | None:
        """The prices as a bundle holds them; None where they depend on more than that holds, or orders go with them."""
        alone = (each.links.size == each.price.shape[-1] == 1 and each.least == 0 for each in self.products)
        if not all(alone) or any(each.order.any() or each.at_once.any() for each in self.products):
            return None
        groups = tuple((n,) for n in range(len(self.products)))
        return StockTable(tuple(each.price[:, :, 0] for each in self.products), groups, self.name)


def solve(spec: MarketSpec) -> Optimum | None:
    """The optimum of a market that `covers` admits and whose states are few, else None.

    Continuous prices are searched on a grid. Where the policy orders, units on hand are limited to a range, which is
    widened until the value settles. Values between reference prices are interpolated.
    """
    if not covers(spec):
        return None
    found = [_solve_product(spec, n) for n in range(len(spec.products.names))]
    known = [each for each in found if each is not None]
    if len(known) < len(found):
        return None
    interpolated = ", interpolated" if any(tables.links.interpolated for _, tables in known) else ""
    policy = ProductPolicy(tuple(tables for _, tables in known))
    value = sum(value for value, _ in known)
    if interpolated and np.isinf(spec.stock.initial_units).all():
        # Interpolation errs to either side; what the policy earns can be had.
        value = max(value, exact_value(spec, policy) or value)
    return Optimum(value, method_of(spec) + interpolated, policy)


def _solve_product(spec: MarketSpec, n: int) -> tuple[float, ProductTables] | None:
    """The value and the tables of product n; None where there are too many states.

    Where the product is ordered, its range of units on hand is doubled until the value settles.
    """
    stock = spec.stock
    orders = stock.replenishment == "action" and bool(np.isfinite(stock.initial_units[n]))
    if not orders:
        return _Product.within(spec, n, 0)
    reach = 16
    last_value = np.inf
    least_reach = _lot(spec, n)
    while reach <= _MOST_REACH:
        solution = _Product.within(spec, n, reach)
        if solution is None:
            return None
        value, tables = solution
        has_lead_time = tables.lead > 0
        settled = abs(value - last_value) <= _CAP_TOLERANCE[has_lead_time] * (1 + abs(value))
        if reach >= least_reach and settled:
            return solution
        reach = 2 * reach
        last_value = value
    return None


def _lot(spec: MarketSpec, n: int) -> int:
    """Units of product n that an order may have to bring to be worth its fixed cost, in ranges narrower than which none
    may pay; 0 without such a cost.
    """
    express = spec.express
    discount = spec.market.discount_factor
    if not (Costs.of(spec).order[n] > 0 or (express is not None and express.order_cost[n] > 0)):
        return 0
    rows = np.tile(spec.products.regular_price, (spec.market.horizon_periods, 1))
    rows[:, n] = spec.guardrails.low[n]
    mean = expected_units(spec, np.arange(len(rows)), rows).sum(axis=1)[:, n]
    periods = 1 / (1 - discount) if is_infinite_horizon(spec) else len(rows)
    largest = max(spec.stock.max_order_units[n], 0 if express is None else express.max_order_units[n])
    return int(min(largest, periods * most_demand(spec, mean, n)))


class _Product:
    """The dynamic program of one product within a range of units on hand.

    Attributes:
        units: (S,) units on hand; a single row where stock is unlimited.
        waiting: B, number of pipelines before the new order.
        orders: (Q,) orders.
        soon: (X,) cost of each order that arrives at once.
    """

    def __init__(self, spec: MarketSpec, n: int, reach: int) -> None:
        stock = spec.stock
        self.spec = spec
        self.n = n
        self.costs = Costs(*(each[n : n + 1] for each in astuple(Costs.of(spec))))
        self.ample = bool(np.isinf(stock.initial_units[n]))
        self.start = 0 if self.ample else int(stock.initial_units[n])
        self.backlog = stock.shortage == "backlog"
        self.late = float(stock.delay_probability[n])
        self.units = np.arange(-reach if self.backlog else 0, self.start + reach + 1)
        places = reach > 0
        self.lead = int(stock.lead_time_periods[n])
        most = min(int(stock.max_order_units[n]), self.units.size - 1) if places else 0
        self.orders = np.arange(most + 1) if self.lead else np.zeros(1, np.intp)
        self.order_cost = self.costs.ordered[0] * self.orders + self.costs.order[0] * (self.orders > 0)
        self.soon = self._cost_at_once(most if places and not self.lead else 0)
        self.waiting = reach + 1 if self.late else self.orders.size ** max(self.lead - 1, 0)
        self.transition, self.initial = chain(spec)
        self.demand = functools.lru_cache(table_periods(spec) if is_infinite_horizon(spec) else 1)(self._demand)

    @classmethod
    def within(cls, spec: MarketSpec, n: int, reach: int) -> tuple[float, ProductTables] | None:
        """The value and the tables with at most `reach` units more than at the start, and `reach` late or owed; None where
        there are too many states.
        """
        product = cls(spec, n, reach)
        return product._solve() if product._prepare() else None

    def _prepare(self) -> bool:
        """Fill prices and links; whether states are few enough."""
        due = self.waiting + self.orders.size - 1 if self.late else self.waiting * self.orders.size
        per_price = self.units.size * due * self.initial.size
        most = int(np.clip(_WORK / (per_price * (1 if self.ample else 20)), _FEWEST_PRICES, _MOST_PRICES))
        if self.spec.competitors is not None:
            most = min(most, _MOST_LINKED if self.ample else _FEWEST_PRICES)
        self.prices = price_grid(self.spec, self.n, most=most)
        links = Links.of(self.spec, self.n, self.prices)
        if links is None:
            return False
        self.links = links
        self.prices = links.prices
        states = per_price * links.size
        demand = 0 if self.ample else most_demand(self.spec, self._means(0).sum(axis=0), self.n)
        discount = self.spec.market.discount_factor
        periods = _VALUE_ROUNDS / (1 - discount) if is_infinite_horizon(self.spec) else self.spec.market.horizon_periods
        each = _LOOK_UP if self.ample else demand * (1 if links.size == 1 else _GATHERED)
        work = states * self.prices.size * each * periods
        kept = states / due * self.waiting * table_periods(self.spec)
        return states <= _MOST_STOCK_STATES and kept <= _MOST_ENTRIES and work <= _MOST_WORK

    def _cost_at_once(self, most: int) -> Array:
        """(X,) cost of each order that arrives at once: the regular one without a lead time, or the express order."""
        express = self.spec.express
        counts = float(self.spec.market.objective == "profit")
        each = 0.0
        fixed = self.costs.order[0]
        if express is not None:
            most = int(express.max_order_units[self.n])
            each = counts * express.extra_cost[self.n]
            fixed = counts * express.order_cost[self.n]
        units = np.arange(most + 1)
        return (self.costs.ordered[0] + each) * units + fixed * (units > 0)

    def _means(self, period: int) -> Array:
        """(H, Z, Y, P) mean demand in each half of a period in which a competitor answers, else H is 1."""
        own_price, parts = self.links.parts()
        prices = np.tile(self.spec.products.regular_price, (own_price.size, 1))
        prices[:, self.n] = own_price
        means = []
        for part in parts:
            for z in range(self.initial.size):
                units = expected_units(self.spec, period, prices, regime=z, **part)
                means.append(units.sum(axis=1)[:, self.n])
        shape = (len(parts), self.initial.size, self.links.size, self.prices.size)
        # The customers of a period are split between its halves; a single one may come in each half.
        split = len(parts) if self.spec.arrivals.process != "single" else 1
        return np.array(means).reshape(shape) / split

    def _demand(self, period: int) -> Array:
        """(Z, Y, P) mean demand where stock is unlimited, else (Z, Y, P, D + 1) probabilities."""
        means = self._means(period)
        if self.ample:
            return means.sum(axis=0)
        parts = [means.sum(axis=0)] if self.spec.arrivals.process != "single" else list(means)
        mass = demand_mass(self.spec, parts[0].ravel(), self.n)
        for more in parts[1:]:  # a single customer in each half
            bought = more.ravel()[:, None]
            mass = np.pad(mass * (1 - bought), ((0, 0), (0, 1))) + np.pad(mass * bought, ((0, 0), (1, 0)))
        return mass.reshape(*means.shape[1:], -1)

    def _later(self, future: Array) -> tuple[Array, Units]:
        """Values of the next state (Y, S, F) by units left and F ways in which units are on order, and the way of each
        pipeline and order, (B * Q,).
        """
        count = self.orders.size
        top = self.units.size - 1
        row = np.arange(self.units.size)[:, None]
        pipeline = np.arange(self.waiting)
        if self.lead < 2:
            due = np.arange(self.waiting + count - 1) if self.lead else np.zeros(1, np.intp)
            arrived = future[:, np.minimum(row + due, top), 0]
            kept = future[:, :, np.minimum(due, self.waiting - 1)] if self.late else 0.0
            return (1 - self.late) * arrived + self.late * kept, (pipeline[:, None] + np.arange(count)).ravel()
        rest = count ** (self.lead - 2)
        following = (pipeline % rest)[:, None] * count + np.arange(count)
        arrived = np.minimum(row + pipeline // rest, top)
        found = future[:, arrived[:, :, None], following]
        return found.reshape(*found.shape[:2], -1), np.arange(self.waiting * count)

    def _step(self, period: int, future: Array) -> tuple[Array, tuple[Units, NDArray[np.float32], Units]]:
        """Best value, order that arrives at once, price and order of every state, (Z, Y, S, B) each."""
        demand = self.demand(period)
        values = np.empty_like(future)
        soon = np.empty(future.shape, np.intp)
        order = np.empty(future.shape, np.intp)
        price = np.empty(future.shape, np.float32)
        for z, ahead in enumerate(np.tensordot(self.transition, future, 1)):
            later, pairs = self._later(ahead)
            if self.ample:
                money = (self.prices - self.costs.sold[0]) * demand[z] + self.links.ahead(later[:, 0, 0])
                values[z, :, 0, 0], price[z, :, 0, 0] = self._best_price(money)
                soon[z] = 0
                order[z] = 0
                continue
            for y in range(self.links.size):
                ahead_of = self.links.ahead_of(y, later)
                money = period_money(self.costs, demand[z, y], self.prices, self.units, ahead_of, backlog=self.backlog)
                values[z, y], soon[z, y], price[z, y], order[z, y] = self._choose(money, pairs)
        return values, (soon, price, order)

    def _best_price(self, money: Array) -> tuple[Array, Array]:
        """Best value and price of each link, (Y,) each, from the money by price, (Y, P): where values are smooth, those at the
        top of the parabola through the best price of the grid and its neighbours.
        """
        place = money.argmax(axis=1)
        every = np.arange(len(money))
        value = money[every, place]
        price = self.prices[place]
        if not self.links.smooth:
            return value, price
        middle = np.clip(place, 1, self.prices.size - 2)
        below, above = (self.prices[middle + side] - self.prices[middle] for side in (-1, 1))
        left = (money[every, middle - 1] - money[every, middle]) / below
        curve = ((money[every, middle + 1] - money[every, middle]) / above - left) / (above - below)
        inside = (middle == place) & (curve < 0)
        move = np.where(inside, (below - left / np.where(inside, curve, -1)) / 2, 0)
        return value - curve * move**2, price + move

    def _choose(self, money: Array, pairs: Units) -> tuple[Array, Units, Array, Units]:
        """Best value, order that arrives at once, price and order, (S, B) each, from the money by price, (P, S, F)."""
        shape = (self.units.size, self.waiting, self.orders.size)
        total = money.max(axis=0)[:, pairs].reshape(shape) - self.order_cost
        price = self.prices[money.argmax(axis=0)][:, pairs].reshape(shape)
        best = total.argmax(axis=2)[:, :, None]
        value = np.take_along_axis(total, best, 2)[:, :, 0]
        padded = np.concatenate([value, np.full((self.soon.size - 1, self.waiting), -np.inf)])
        choice = sliding_window_view(padded, self.soon.size, axis=0) - self.soon
        order = self.orders[best[:, :, 0]]
        return choice.max(axis=2), choice.argmax(axis=2), np.take_along_axis(price, best, 2)[:, :, 0], order

    def _solve(self) -> tuple[float, ProductTables]:
        left = np.zeros(1) if self.ample else np.maximum(self.units, 0)
        last = np.empty((self.initial.size, self.links.size, self.units.size, self.waiting))
        last[:] = (self.spec.stock.salvage_value[self.n] * left)[:, None]
        values, tables = optimise(self.spec, self._step, last)
        soon, price, order = (np.array(table) for table in zip(*tables, strict=True))
        value = self.initial @ values[:, self.links.start, self.start - self.units[0], 0]
        return float(value), ProductTables(self.links, int(self.units[0]), self.lead, soon, price, order)


def period_money(
    costs: Costs, mass: Array, prices: Array, units: Units, future: Array, *, backlog: bool = False
) -> Array:
    """(P, S, F) money of a period and all later ones, by price and units on sale.

    Args:
        costs: The costs of the product, (1,) each.
        mass: (P, D + 1) probability of each demand at each price.
        prices: (P,) currency per unit.
        units: (S,) rising, the units on sale.
        future: (S, F) values by units left and F further properties of the state, or (P, S, F).
        backlog: Whether demand beyond the units on sale waits.
    """
    demand = np.arange(mass.shape[1])[:, None]
    sold = demand + 0 * units if backlog else np.minimum(demand, units)
    left = np.maximum(units - sold, units[0])
    spent = costs.lost[0] * (demand - sold) + costs.holding[0] * np.maximum(units - sold, 0)
    spent = spent + costs.backlog[0] * np.maximum(sold - units, 0)
    now = (prices - costs.sold[0])[:, None] * (mass @ sold) - mass @ spent
    if future.ndim == 2:
        return now[:, :, None] + np.tensordot(mass, future[left - units[0]], 1)
    return now[:, :, None] + np.einsum("pd,pdsf->psf", mass, future[:, left - units[0]])

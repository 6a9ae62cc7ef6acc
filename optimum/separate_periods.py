"""Markets without stock limits or memory: every period and every category is a problem of its own.

Several products and one segment: logit mark-ups (see `logit`), or those of the nested logit (see
`nested_logit`). One product and several segments: a
single list price, found by search; where personal discounts are allowed, each segment pays its own
best price within their range (third-degree price discrimination).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..envs import expected_units
from ..pricing import Action, MarketView, StockTable
from ..pricing.price_rules.grids import NO_GRID
from ..scenarios import MarketSpec, choice_model
from .logit import LogitCustomer
from .nested_logit import NestedCustomer
from .problem import Array, Costs, Optimum, is_infinite_horizon, price_grid, sections_on, stock_settings, table_periods
from .rival_replies import all_stay, initial_prices

# Prices of a grid, how often it becomes finer around its best, and the prices of a finer one.
_GRID_PRICES = 2000
_FINER = 2
_NEAR = 201


def covers(spec: MarketSpec) -> bool:
    """Whether stock is unlimited, nothing links the periods, and each category has one product or one segment."""
    several = bool(np.bincount(spec.category_index).max() > 1)
    one_segment = len(spec.arrivals.segments) == 1
    discounts = spec.prices.max_discount > 0
    free = spec.guardrails.grid.kind == NO_GRID
    advertised = spec.prices.minimum_advertised_price
    return (
        stock_settings(spec) <= {"lead_time_periods"}
        and sections_on(spec) <= {"competitors"}
        and (spec.competitors is None or all_stay(spec))
        and spec.guardrails.bounds_only
        # The price paid would have another floor than the list price.
        and (not discounts or advertised is None)
        and (not several or (_is_grouped_logit(spec) and one_segment and not discounts))
        # `cheapest` compares list prices; a ladder of list prices leaves gaps that a narrow spread
        # does not bridge.
        and (not discounts or spec.demand.family != "cheapest")
        and (free or spec.prices.max_discount <= spec.prices.max_segment_spread)
        and not spec.guardrails.contrasts.size
    )


@dataclass(frozen=True)
class PriceAndDiscountPath:
    """Prices and personal discounts by period.

    Attributes:
        price: (T, N) currency per unit.
        discount: (T, N, K) fraction of the list price, or None.
        name: Name of the policy.
    """

    price: Array
    discount: Array | None
    name: str = "optimum"

    def act(self, view: MarketView) -> Action:
        """Propose the row of each market's period; periods beyond T keep the last."""
        period = np.minimum(view.period, len(self.price) - 1)
        discount = None if self.discount is None else self.discount[period].astype(np.float32)
        return Action(self.price[period].astype(np.float32), discount)

    def stock_table(self) -> StockTable | None:
        """The prices as a bundle holds them; None where there are discounts."""
        columns = tuple(self.price.T.astype(np.float32).reshape(*self.price.T.shape, 1, 1, 1))
        groups = tuple((n,) for n in range(len(columns)))
        return None if self.discount is not None else StockTable(columns, groups, self.name)


def solve(spec: MarketSpec) -> Optimum | None:
    """The optimum of a market that `covers` admits, else None."""
    if not covers(spec):
        return None
    periods, products, segments = (int(spec.sizes[letter]) for letter in "TNK")
    price = np.empty((periods, products))
    discount = np.zeros((periods, products, segments))
    for c in range(len(spec.category_names)):
        own = np.flatnonzero(spec.category_index == c)
        # The arrival rate scales a period's money and does not change its best prices.
        demand = spec.demand
        calendar = np.column_stack([demand.season[:, c], demand.sensitivity_path[:, c], demand.quality_path[:, own]])
        _, first, kind = np.unique(calendar, axis=0, return_index=True, return_inverse=True)
        for i, period in enumerate(first):
            same = np.ix_(np.flatnonzero(kind.reshape(-1) == i), own)
            price[same], discount[same] = _best(spec, int(period), own)
    personal = discount if spec.prices.max_discount > 0 else None
    units = expected_units(spec, np.arange(periods), price, discount=personal, rival_price=_rival_prices(spec, periods))
    paid = price[:, None, :] * (1 - discount.swapaxes(1, 2))
    money = ((paid - Costs.of(spec).sold) * units).sum(axis=(1, 2))
    method = "closed form" if _is_logit(spec) else "price search"
    return Optimum(_total(spec, money), method, PriceAndDiscountPath(price, personal))


def _total(spec: MarketSpec, money: Array) -> float:
    """Discounted sum of the periods' money (T,), over an infinite horizon where the market has one."""
    discount = spec.market.discount_factor
    periods = table_periods(spec)
    total = float(discount ** np.arange(periods) @ money[:periods])
    return total / (1 - discount**periods) if is_infinite_horizon(spec) else total


def _is_grouped_logit(spec: MarketSpec) -> bool:
    nests = spec.demand.family == "nested-logit" and spec.guardrails.grid.kind == NO_GRID
    return nests or spec.demand.family == "mnl"


def _is_logit(spec: MarketSpec) -> bool:
    return spec.demand.family == "mnl" and len(spec.arrivals.segments) == 1 and spec.prices.max_discount == 0


def _rival_prices(spec: MarketSpec, rows: int) -> Array | None:
    return None if spec.competitors is None else np.tile(initial_prices(spec), (rows, 1))


def _best(spec: MarketSpec, period: int, products: NDArray[np.intp]) -> tuple[Array, Array]:
    """Best prices (n,) and discounts (n, K) of one category's products in a period."""
    if products.size > 1 and spec.demand.family == "nested-logit":
        nested = NestedCustomer.of(spec, period, 0, products, spec.guardrails.low.astype(np.float64))
        best = nested.best(Costs.of(spec).sold[products], np.ones(products.size, bool))
        return best[0], np.zeros((products.size, 1))
    if not _is_logit(spec):
        return _best_alone(spec, period, int(products[0]))
    rival_price = None if spec.competitors is None else initial_prices(spec)
    outside = choice_model(spec).outside_weight(period, rival_price=rival_price)[0, spec.category_index[products[0]]]
    customer = LogitCustomer.of(spec, period, products, outside=float(outside))
    prices, _ = customer.best_prices(Costs.of(spec).sold[None, products], np.ones((1, products.size), bool))
    return prices[0], np.zeros((products.size, 1))


def _best_alone(spec: MarketSpec, period: int, product: int) -> tuple[Array, Array]:
    """The best list price (1,) and discounts (1, K) of the only product of its category in a period."""
    cost = Costs.of(spec).sold[product]
    segments = range(len(spec.arrivals.segments))
    low, high = (float(bound[product]) for bound in (spec.guardrails.low, spec.guardrails.high))
    reach = min(spec.prices.max_discount, spec.prices.max_segment_spread)

    def for_all(price: Array) -> Array:
        """(B,) discount that all segments get, so that the list price is as high as it may be: a spread of
        discounts is then wider as a spread of prices.
        """
        return np.clip(1 - price / high, 0, spec.prices.max_discount - reach)

    def money(paid: Array) -> Array:
        """(B, K) money of the period by segment if it pays these prices (B,)."""
        rows = np.tile(spec.products.regular_price, (paid.size, 1))
        rows[:, product] = paid
        units = expected_units(spec, period, rows, rival_price=_rival_prices(spec, paid.size))
        return (paid[:, None] - cost) * units[:, :, product]

    every = np.linspace(low, high, _GRID_PRICES + 1)
    own = np.array([_peak(lambda p, k=k: money(p)[:, k], every) for k in segments])

    def paid_by(price: Array) -> Array:
        """(B, K) price that each segment pays where the highest is (B,): its own best price, or the
        nearest within discounts.

        A segment's money rises up to its own best price and falls beyond it, as demand is
        log-concave or has constant elasticity.
        """
        least = np.maximum(low, price * (1 - reach / (1 - for_all(price))))
        return np.clip(own, least[:, None], price[:, None])

    def total(price: Array) -> Array:
        """(B,) money of the period where the highest price paid is (B,), with the best discount for each segment."""
        return np.sum([money(paid)[:, k] for k, paid in enumerate(paid_by(price).T)], axis=0)

    continuous = spec.guardrails.allowed_prices(product) is None
    price = np.array([_peak(total, price_grid(spec, product, most=_GRID_PRICES), refine=continuous)])
    listed = price / (1 - for_all(price))
    return listed, 1 - paid_by(price) / listed


def _peak(money: Callable[[Array], Array], grid: Array, *, refine: bool = True) -> float:
    """The price with the most money: the best of a grid, refined between its neighbours."""
    for _ in range(_FINER if refine else 0):
        best = int(money(grid).argmax())
        near = np.linspace(grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)], _NEAR)
        grid = np.union1d(near, grid[best])
    return float(grid[money(grid).argmax()])

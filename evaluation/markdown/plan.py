"""Markdown schedules: falling prices that sell a season's leftover stock by a
date, with confidence.

Each product's schedule has the highest expected money, salvage included, among those that meet the
sell-through with the confidence asked for, over posterior draws and chance; products of a category
are planned in turn, twice. What is planned is then simulated in the market itself, and a product
that falls short there is planned again with more confidence. Clearance pricing as in Smith and
Achabal (1998), Clearance Pricing and Inventory Policies for Retail Chains, Management Science
44(3), and Caro and Gallien (2012), Clearance Pricing Optimization for a Fast-Fashion Retailer,
Operations Research 60(6); falling prices with few changes after Feng and Gallego (1995), Optimal
Starting Times for End-of-Season Sales, Management Science 41(8).
"""

from __future__ import annotations

import datetime
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ...envs import Market, catalogue_of, seed_for
from ...pricing import Policy, PricePath
from ...pricing.price_rules.overrides import allowed_path
from ...scenarios import MarketSpec
from ...scenarios.periods import periods_of, planned_prices, simulated_prices
from ...scenarios.sections import Array
from ..uncertainty.draws import Drawn, draw_numbers
from ..uncertainty.gain import quantiles
from .demand import SEASONS, SeasonDemand
from .rules import allowed_levels, changes_of, keeps_rules
from .search import Season, best_path
from .stock import Leftover, StockRow, leftovers
from .terms import Terms

_BLOCKS, _SWEEPS, _ROUNDS = 13, 2, 4
_MARGIN = 0.01
"""Confidence above the one asked for, for the choice among many schedules."""


@dataclass(frozen=True)
class ProductPlan:
    """The schedule of one product, and what it is expected to bring.

    Attributes:
        product: Name of the product.
        product_id: Its id in the shop's tables.
        on_hand: Units to sell.
        sold: Units sold since the markdown began.
        price_now: The price before the schedule, currency per unit.
        price: (T,) the prices, currency per unit.
        changes: Price changes used.
        sell_through: Expected share of the stock that is sold, and both ends of its 90% interval.
        probability: Probability that the sell-through asked for is met.
        met: Whether that is at least the confidence asked for.
        revenue: Expected revenue of the units sold, currency.
        salvage: Expected value of the units left over, currency.
        can_meet: Whether an allowed schedule meets the target with the confidence; else these
            prices sell the most.

    Example:
        >>> plan.products[0].probability  # doctest: +SKIP
        0.965
    """

    product: str
    product_id: str
    on_hand: int
    sold: int
    price_now: float
    price: tuple[float, ...]
    changes: int
    sell_through: tuple[float, float, float]
    probability: float
    met: bool
    revenue: float
    salvage: float
    can_meet: bool


@dataclass(frozen=True)
class MarkdownPlan:
    """Schedules for all products in stock.

    Attributes:
        spec: The market of the season, with the stock.
        terms: What was asked for.
        price: (T, N) prices of all products, those that are not marked down at
            their planned prices.
        current: (T, N) the prices without markdown: planned, or the price now of what
            is marked down.
        products: The schedules.

    Example:
        >>> plan = plan_markdown(spec, read_stock(Path("stock.csv")), "2018-02-28")  # doctest: +SKIP
        >>> [item.product for item in plan.products if not item.met]  # doctest: +SKIP
        []
    """

    spec: MarketSpec
    terms: Terms
    price: Array
    current: Array
    products: tuple[ProductPlan, ...]


def plan_markdown(
    spec: MarketSpec,
    stock: Sequence[StockRow],
    until: datetime.date | str,
    *,
    start: datetime.date | str | None = None,
    terms: Terms | None = None,
    seed: int = 0,
    on_step: Callable[[str], None] | None = None,
) -> MarkdownPlan:
    """Plan falling prices that sell the stock by a date.

    Args:
        spec: A fitted market: it has dates and a posterior.
        stock: The stock at the start; products without a row keep their planned prices.
        until: The day by which the stock is to be sold: the last week is the one that ends by then.
        start: A day of the first week; by default the market's first.
        terms: Target and means.
        seed: Seed of the simulated seasons.
        on_step: Called with what is done next.

    Raises:
        ValueError: The market has no dates or posterior, a date lies outside, or a row of the stock
            does not fit.

    Example:
        >>> from dataclasses import replace
        >>> from repricer import load_scenario
        >>> from repricer.scenarios.sections import Posterior
        >>> spec = load_scenario("stationary-logit").with_changes(market={"first_day": "2018-01-01", "period_days": 7})
        >>> spec = replace(spec, posterior=Posterior(draws=2, arrivals=[[[0.9]], [[1.1]]]))
        >>> plan = plan_markdown(spec, [StockRow(spec.products.names[0], 10)], "2018-02-11")
        >>> plan.products[0].met, plan.products[0].changes <= 3
        (True, True)
    """
    terms = terms or Terms()
    season, items = _season(spec, stock, until, start, terms)
    planner = _Planner(season, items, terms, seed, on_step or (lambda _: None))
    for _ in range(_ROUNDS):
        planner.sweep()
        if not planner.fell_short():
            break
    return planner.plan()


def _season(
    spec: MarketSpec,
    stock: Sequence[StockRow],
    until: datetime.date | str,
    start: datetime.date | str | None,
    terms: Terms,
) -> tuple[MarketSpec, list[Leftover]]:
    """The market of the season with the stock that is to be sold, which is not replenished."""
    calendar = spec.calendar
    if calendar is None or not spec.num_draws:
        lacks = "dates (market.first_day)" if calendar is None else "a posterior"
        raise ValueError(f"a markdown needs a market fitted on data; got {spec.name} without {lacks}; fit it again")
    last, first = calendar.period(until), 0 if start is None else calendar.period(start)
    ends = calendar.day(last + 1) - datetime.timedelta(days=1)
    last -= ends > datetime.date.fromisoformat(str(until))  # a week that ends later is too late
    if last < first:
        raise ValueError(
            f"until must leave a whole period from {calendar.label(first)} on; got {until}; give a later date"
        )
    items = leftovers(spec, stock, changes=terms.changes, salvage=terms.salvage)
    if not items:
        raise ValueError("stock must have a row for each product to mark down; got none; add them")
    names = ("initial_units", "order_up_to_units", "max_order_units", "salvage_value")
    section, floor = {name: getattr(spec.stock, name).copy() for name in names}, spec.price_bounds[0].copy()
    for item in items:
        floor[item.product] = min(floor[item.product], item.lowest_price)
        # What is left over is counted beside the market's revenue, not in it.
        values = (item.on_hand, 0, 0, 0)
        for name, value in zip(names, values, strict=True):
            section[name][item.product] = value
    season = periods_of(spec, first, last - first + 1)
    return season.with_changes(
        stock=section | {"season_periods": None}, market={"ending": "terminated"}, prices={"floor": floor}
    ), items


def _season_sales(spec: MarketSpec, policies: Sequence[Policy], markets: list[Market]) -> Array:
    """(2, E, N) units sold and revenue of one season in every market."""
    (policy,), totals = policies, []
    for market in markets:
        total = np.zeros((2, market.num_markets, len(spec.products.names)))
        for _ in range(spec.market.horizon_periods):
            outcome = market.step(policy.act(market.view))
            total += (outcome.units, outcome.revenue)
        totals.append(total)
    return np.concatenate(totals, axis=1)


class _Planner:
    """The schedules while they are planned."""

    def __init__(
        self, spec: MarketSpec, items: list[Leftover], terms: Terms, seed: int, on_step: Callable[[str], None]
    ) -> None:
        self._spec, self._items, self._terms, self._seed, self._say = spec, items, terms, seed, on_step
        self._demand, self._catalogue = SeasonDemand(spec, seed=seed), catalogue_of(spec)
        self._current = planned_prices(spec)
        for item in items:
            self._current[:, item.product] = item.price
        self._levels = [allowed_levels(spec, item) for item in items]
        self._price = self._allowed(self._current)
        for item, levels in zip(items, self._levels, strict=True):
            self._price[:, item.product] = levels[0]
        self._aim = [min(terms.confidence + _MARGIN, (1 + terms.confidence) / 2)] * len(items)
        self._can = [False] * len(items)
        self._planned: list[bytes] = [b""] * len(items)

    def sweep(self) -> None:
        """Plan each product given the others, where something changed for it."""
        for turn in range(_SWEEPS):
            for place, item in enumerate(self._items):
                same = self._spec.category_index == self._spec.category_index[item.product]
                same[item.product] = False
                given = self._price[:, same].tobytes() + np.float64(self._aim[place]).tobytes()
                if given != self._planned[place]:
                    self._say(f"{self._spec.products.names[item.product]} ({turn + 1} of {_SWEEPS} passes)")
                    self._plan(place)
                    self._planned[place] = given

    def _plan(self, place: int) -> None:
        """The best path along the levels, and then along finer ones around those that it takes."""
        item, levels, path = self._items[place], self._levels[place], None
        for near in (False, True):
            if near:
                taken, levels = levels[path], allowed_levels(self._spec, item, np.unique(levels[path]))
                path = abs(levels - taken[:, None]).argmin(axis=1)
            wanted = self._demand.wanted(item.product, levels, self._price)
            starts = np.arange(0, len(wanted), -(-len(wanted) // _BLOCKS))
            season = Season(
                price=levels,
                wanted=np.add.reduceat(wanted, starts, axis=0),
                stock=item.on_hand,
                need=self._need(item),
                confidence=self._aim[place],
                salvage=item.salvage_value,
                allowed=functools.partial(keeps_rules, self._spec, item, levels, starts, self._price),
            )
            path, self._can[place] = best_path(season, path)
        self._price[:, item.product] = np.repeat(levels[path], np.diff(starts, append=len(wanted)))

    def _need(self, item: Leftover) -> int:
        """Units still to be sold."""
        return max(math.ceil(self._terms.sell_through * (item.on_hand + item.sold) - 1e-9) - item.sold, 0)

    def fell_short(self) -> bool:
        """Whether a schedule that could meet its target does not in the simulated market; its aim is then raised."""
        self._say("simulated seasons")
        sold, _ = self._simulated(self._allowed(self._price), seed_for("tuning", self._seed))
        short = False
        for place, item in enumerate(self._items):
            gap = self._terms.confidence - (sold[:, item.product] >= self._need(item)).mean()
            if self._can[place] and gap > 0:
                self._aim[place] = min(self._aim[place] + gap + _MARGIN / 2, (1 + self._aim[place]) / 2)
                short = True
        return short

    def _allowed(self, price: Array) -> Array:
        rules, current = self._spec.guardrails, self._current
        return allowed_path(rules, self._catalogue, price, current, current[:1])[0]

    def _simulated(self, price: Array, seed: int) -> tuple[Array, Array]:
        """(S, N) units sold and revenue of simulated seasons at these prices."""
        spec, numbers = self._spec, draw_numbers(self._spec)
        planned = None if spec.promotion is None or spec.history is None else spec.history.promotion.astype(np.float32)
        drawn = Drawn(spec, -(-SEASONS // len(numbers)), seed, False, spec)
        charged = PricePath(simulated_prices(spec, price).astype(np.float32), planned, as_charged=True)
        parts = drawn.each(_season_sales, [charged], numbers)
        sold, revenue = np.concatenate(parts, axis=1)
        return sold, revenue

    def plan(self) -> MarkdownPlan:
        """The schedules with what they bring in simulated seasons that they were not planned on."""
        price = self._allowed(self._price)
        found = self._simulated(price, seed_for("test", self._seed))
        products = [self._product(place, price, *found) for place in range(len(self._items))]
        return MarkdownPlan(self._spec, self._terms, price, self._current, tuple(products))

    def _product(self, place: int, price: Array, sold: Array, revenue: Array) -> ProductPlan:
        item, products = self._items[place], self._spec.products
        n = item.product
        share, path = (sold[:, n] + item.sold) / (item.on_hand + item.sold), price[:, n]
        low, high = quantiles(share)
        met = float((sold[:, n] >= self._need(item)).mean())
        return ProductPlan(
            product=products.names[n],
            product_id=products.names[n] if products.ids is None else products.ids[n],
            on_hand=item.on_hand,
            sold=item.sold,
            price_now=item.price,
            price=tuple(path.tolist()),
            changes=changes_of(path, item.price),
            sell_through=(float(share.mean()), low, high),
            probability=met,
            met=met >= self._terms.confidence,
            revenue=float(revenue[:, n].mean()),
            salvage=item.salvage_value * float(item.on_hand - sold[:, n].mean()),
            can_meet=self._can[place] or met >= self._terms.confidence,
        )

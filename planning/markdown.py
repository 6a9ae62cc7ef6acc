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
from numpy.typing import NDArray

from ..agents.posterior import current_prices
from ..envs import Market, catalogue_of, seed_for
from ..evaluation.uncertainty.draws import Drawn, draw_numbers, quantiles
from ..pricing import Policy, PricePath
from ..pricing.price_rules.grids import seven_digits
from ..pricing.price_rules.overrides import allowed_path, firm_bounds
from ..scenarios import MarketSpec
from ..scenarios.periods import periods_of, planned_prices, simulated_prices
from ..scenarios.sections import Array
from ..serving.documents import nearest, shown
from ..serving.price_list.rows import ALL_STORES, PriceRow
from .markdown_inputs import StockRow, Terms
from .markdown_search import SEASONS, Paths, Season, SeasonDemand, best_path
from .price_list import priced_rows

_BLOCKS = 13
_PRODUCT_PASSES = 2
_PLANNING_ROUNDS = 4
_MARGIN = 0.01
"""Confidence above the one asked for, for the choice among many schedules."""
_MARKDOWN_LEVELS = 16
_FINER = 7
_MARKDOWN_ROUNDING = 1e-6


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
    season = _season(spec, until, start)
    items = leftovers(spec, stock, terms)
    planner = _SchedulePlanner(_stocked(season, items), items, terms, seed, on_step or (lambda _: None))
    for _ in range(_PLANNING_ROUNDS):
        planner.sweep()
        if not planner.fell_short():
            break
    return planner.plan()


def _season(spec: MarketSpec, until: datetime.date | str, start: datetime.date | str | None) -> MarketSpec:
    """The market of the whole periods from a day on, by default the first, until another."""
    calendar = spec.calendar
    if calendar is None or not spec.num_draws:
        lacks = "dates (market.first_day)" if calendar is None else "a posterior"
        raise ValueError(f"a markdown needs a market fitted on data; got {spec.name} without {lacks}; fit it again")
    last = calendar.period(until)
    first = 0 if start is None else calendar.period(start)
    ends = calendar.day(last + 1) - datetime.timedelta(days=1)
    last -= ends > datetime.date.fromisoformat(str(until))  # a week that ends later is too late
    if last < first:
        day = calendar.label(first)
        raise ValueError(f"until must leave a whole period from {day} on; got {until}; give a later date")
    return periods_of(spec, first, last - first + 1)


def _stocked(spec: MarketSpec, items: Sequence[Leftover]) -> MarketSpec:
    """The season with the stock that is to be sold, which is not replenished."""
    names = ("initial_units", "order_up_to_units", "max_order_units", "salvage_value")
    section = {name: getattr(spec.stock, name).copy() for name in names}
    floor = spec.price_bounds[0].copy()
    for item in items:
        floor[item.product] = min(floor[item.product], item.lowest_price)
        # What is left over is counted beside the market's revenue, not in it.
        for name, value in zip(names, (item.on_hand, 0, 0, 0), strict=True):
            section[name][item.product] = value
    market = {"ending": "terminated"}
    prices = {"floor": floor}
    return spec.with_changes(stock=section | {"season_periods": None}, market=market, prices=prices)


def _season_sales(spec: MarketSpec, policies: Sequence[Policy], markets: list[Market]) -> Array:
    """(2, E, N) units sold and revenue of one season in every market."""
    (policy,), totals = policies, []
    for market in markets:
        outcomes = (market.step(policy.act(market.view)) for _ in range(spec.market.horizon_periods))
        totals.append(sum(np.array((one.units, one.revenue), np.float64) for one in outcomes))
    return np.concatenate(totals, axis=1)


class _SchedulePlanner:
    """The schedules while they are planned."""

    def __init__(
        self, spec: MarketSpec, items: list[Leftover], terms: Terms, seed: int, on_step: Callable[[str], None]
    ) -> None:
        self._spec = spec
        self._terms = terms
        self._seed = seed
        self._say = on_step
        self._demand = SeasonDemand(spec, seed=seed)
        self._catalogue = catalogue_of(spec)
        self._items = items
        self._current = planned_prices(spec)
        for item in items:
            self._current[:, item.product] = item.price
            item.aim = min(terms.confidence + _MARGIN, (1 + terms.confidence) / 2)
        self._price = self._allowed(self._current)
        for item in items:
            self._price[:, item.product] = allowed_levels(spec, item)[0]

    def sweep(self) -> None:
        """Plan each product given the others, where something changed for it."""
        for turn in range(_PRODUCT_PASSES):
            for item in self._items:
                same = self._spec.category_index == self._spec.category_index[item.product]
                same[item.product] = False
                given = self._price[:, same].tobytes() + np.float64(item.aim).tobytes()
                if given != item.given:
                    self._say(f"{self._spec.products.names[item.product]} ({turn + 1} of {_PRODUCT_PASSES} passes)")
                    self._plan(item)
                    item.given = given

    def _plan(self, item: Leftover) -> None:
        """The best path along the levels, and then along finer ones around those that it takes."""
        levels = allowed_levels(self._spec, item)
        path = None
        for near in (False, True):
            if near:
                taken = levels[path]
                levels = allowed_levels(self._spec, item, np.unique(levels[path]))
                path = abs(levels - taken[:, None]).argmin(axis=1)
            wanted = self._demand.wanted(item.product, levels, self._price)
            starts = np.arange(0, len(wanted), -(-len(wanted) // _BLOCKS))
            by_block = np.add.reduceat(wanted, starts, axis=0)
            target = (item.on_hand, item.need, item.aim)
            allowed = functools.partial(keeps_rules, self._spec, item, levels, starts, self._price)
            earned = levels / (1 + self._spec.products.vat[item.product])
            path, item.can_meet = best_path(Season(earned, by_block, *target, item.salvage_value, allowed), path)
        self._price[:, item.product] = np.repeat(levels[path], np.diff(starts, append=len(wanted)))

    def fell_short(self) -> bool:
        """Whether a schedule that could meet its target misses it in the simulated market.

        The confidence that such a schedule is planned with, its aim, is raised for the next round.
        """
        self._say("simulated seasons")
        sold, _ = self._simulated(self._allowed(self._price), seed_for("tuning", self._seed))
        short = False
        for item in self._items:
            share_met = (sold[:, item.product] >= item.need).mean()
            gap = self._terms.confidence - share_met
            if item.can_meet and gap > 0:
                # By the gap and a little more, but at most halfway to certainty.
                item.aim = min(item.aim + gap + _MARGIN / 2, (1 + item.aim) / 2)
                short = True
        return short

    def _allowed(self, price: Array) -> Array:
        return allowed_path(self._spec.guardrails, self._catalogue, price, self._current, self._current[:1])[0]

    def _simulated(self, price: Array, seed: int) -> tuple[Array, Array]:
        """(S, N) units sold and revenue of simulated seasons at these prices."""
        spec = self._spec
        numbers = draw_numbers(self._spec)
        planned = None if spec.promotion is None or spec.plan is None else spec.plan.promotion.astype(np.float32)
        drawn = Drawn(spec, -(-SEASONS // len(numbers)), seed, spec)
        charged = PricePath(simulated_prices(spec, price).astype(np.float32), planned, as_charged=True)
        sold, revenue = np.concatenate(drawn.each(_season_sales, [charged], numbers), axis=1)
        return sold, revenue

    def plan(self) -> MarkdownPlan:
        """The schedules with what they bring in simulated seasons that they were not planned on."""
        price = self._allowed(self._price)
        found = self._simulated(price, seed_for("test", self._seed))
        products = [self._product(item, price[:, item.product], *found) for item in self._items]
        return MarkdownPlan(self._spec, self._terms, price, self._current, tuple(products))

    def _product(self, item: Leftover, price: Array, sold: Array, revenue: Array) -> ProductPlan:
        """The schedule of a product, given units sold and revenue of all products in simulated seasons, (S, N) each."""
        products = self._spec.products
        n = item.product
        units = sold[:, n]
        share = (units + item.sold) / (item.on_hand + item.sold)
        probability = float((units >= item.need).mean())
        met = probability >= self._terms.confidence
        return ProductPlan(
            product=products.names[n],
            product_id=(products.ids or products.names)[n],
            on_hand=item.on_hand,
            sold=item.sold,
            price_now=item.price,
            price=tuple(price.tolist()),
            changes=int(_changed(price[None], item.price).sum()),
            sell_through=(float(share.mean()), *quantiles(share)),
            probability=probability,
            met=met,
            revenue=float(revenue[:, n].mean()),
            salvage=item.salvage_value * float(item.on_hand - units.mean()),
            can_meet=item.can_meet or met,
        )


# The stock that is to be sold, checked against the market.


@dataclass
class Leftover:
    """A row of the stock table with everything filled in, and how its schedule is planned.

    Attributes:
        product: The number of the product.
        need: Units that are still to be sold.
        aim: Confidence that the schedule is planned with.
        can_meet: Whether the best path meets the target with that confidence.
        given: The prices and the aim that it was last planned under.
    """

    product: int
    on_hand: int
    price: float
    lowest_price: float
    salvage_value: float
    changes: int
    sold: int
    need: int
    aim: float = 0.0
    can_meet: bool = False
    given: bytes = b""


def leftovers(spec: MarketSpec, rows: Sequence[StockRow], terms: Terms) -> list[Leftover]:
    """The rows, checked against the market and filled in.

    Raises:
        ValueError: A row does not fit the market; one line names the product.

    Example:
        >>> from repricer import load_scenario
        >>> leftovers(load_scenario("three-stocks"), [StockRow("coffee", 3)], Terms())
        Traceback (most recent call last):
        ValueError: stock: product must be an id or name of the market three-stocks; got 'coffee'; known are good, better, best
    """
    names = spec.products.names
    found = {}
    number = dict(zip(names, range(len(names)), strict=True))
    number |= {product: n for n, product in enumerate(spec.products.ids or ())}
    for row in rows:
        if row.product not in number:
            got = f"got {shown(row.product)}; {nearest(row.product, number)}"
            raise ValueError(f"stock: product must be an id or name of the market {spec.name}; {got}")
        n = number[row.product]
        if n in found:
            raise ValueError(f"stock: a product must have one row; got {row.product!r} again; add the stocks up")
        found[n] = _filled(spec, n, row, terms)
    if not found:
        raise ValueError("stock must have a row for each product to mark down; got none; add them")
    return [found[n] for n in sorted(found)]


def _filled(spec: MarketSpec, n: int, row: StockRow, terms: Terms) -> Leftover:
    rules = spec.guardrails
    _regular = float(spec.products.regular_price[n])
    what = f"of {row.product!r} must be"
    allow = "the lowest that the price rules allow"
    usual = float(rules.low[n])
    soft = rules.bounds_from_sales is not None and rules.bounds_from_sales[n]
    # A floor that comes from the sales is no reason to refuse a manager's price.
    least = float(firm_bounds(rules)[0][n]) if soft else usual
    now = float(seven_digits(rules.nearest(spec.products.regular_price)[n])) if row.price is None else row.price
    lowest = min(usual, now) if row.lowest_price is None else row.lowest_price
    if now < least * (1 - _MARKDOWN_ROUNDING):
        fix = "lower its floor in the market's scenario.toml"
        raise ValueError(f"stock: price {what} at least {least:g}, {allow}; got {now:g}; {fix}")
    if not least * (1 - _MARKDOWN_ROUNDING) <= lowest <= now * (1 + _MARKDOWN_ROUNDING):
        to = f"{least:g}, {allow}, to {now:g}, its price now"
        raise ValueError(f"stock: lowest_price {what} {to}; got {lowest:g}; fix it")
    worth = terms.salvage * float(spec.products.net(spec.products.regular_price)[n])
    salvage = worth if row.salvage_value is None else row.salvage_value
    changes = terms.changes if row.changes is None else row.changes
    sold = row.sold or 0
    need = max(math.ceil(terms.sell_through * (row.on_hand + sold) - 1e-9) - sold, 0)
    return Leftover(n, row.on_hand, now, lowest, salvage, changes, sold, need)


# What the shop's rules and the markdown allow: the levels of a price, and the paths along them.


def allowed_levels(spec: MarketSpec, item: Leftover, near: Array | None = None) -> Array:
    """(L,) falling prices that a product may have, from the price now to the lowest.

    Args:
        near: Some of the levels that were found without it: then the levels are those near
            these, more finely.

    Raises:
        ValueError: The price rules allow no price between the two.
    """
    rules = spec.guardrails
    n = item.product
    if rules.frozen is not None and rules.frozen[n]:
        return np.array([item.price])
    low = item.lowest_price
    top = min(item.price, float(rules.high[n]))
    levels = np.geomspace(top, low, _MARKDOWN_LEVELS)
    step = (top / low) ** (1 / (_MARKDOWN_LEVELS - 1))
    if near is not None:
        around = near[:, None] * step ** np.linspace(-1, 1, _FINER)
        levels = np.clip(np.concatenate([[top, low], near, around.ravel()]), low, top)
    allowed = rules.allowed_prices(n, low, top)
    if allowed is not None:
        allowed = allowed[(allowed >= low * (1 - _MARKDOWN_ROUNDING)) & (allowed <= top * (1 + _MARKDOWN_ROUNDING))]
        if not allowed.size:
            must = f"the price rules must allow a price of {spec.products.names[n]!r} from {low:g} to {top:g}"
            raise ValueError(f"stock: {must}; got none{rules.grid.words}; lower its lowest_price")
        levels = allowed[abs(allowed - levels[:, None]).argmin(axis=1)]
    return np.unique(seven_digits(levels))[::-1]


def keeps_rules(
    spec: MarketSpec, item: Leftover, levels: Array, starts: NDArray[np.intp], price: Array, paths: Paths
) -> NDArray[np.bool_]:
    """Which of (P, B) paths keep the budget of changes and the price rules.

    Args:
        levels: (L,) its prices.
        starts: (B,) the period in which each block starts.
        price: (T, N) the prices of the others.
        paths: (P, B) numbers of levels.
    """
    rules = spec.guardrails
    asked = levels[paths]
    changed = _changed(asked, item.price)
    kept = changed.sum(axis=1) <= item.changes
    fall = np.inf if rules.max_change is None else np.asarray(rules.max_change)[item.product]
    if np.isfinite(fall := 0.0 if rules.direction == "rising" else fall):
        before = np.column_stack([np.full(len(asked), item.price), asked[:, :-1]])
        least = np.minimum(before * (1 - fall), levels[0])  # from above its ceiling, a price falls to it at once
        kept &= (asked >= least * (1 - _MARKDOWN_ROUNDING)).all(axis=1)
    if rules.max_changes is not None and rules.change_window_periods is not None:
        for start in starts:
            within = (starts > start - rules.change_window_periods + 1) & (starts <= start)
            kept &= changed[:, within].sum(axis=1) <= rules.max_changes
    for small, large, share in rules.kept_links:
        if item.product == large:  # a smaller product may always get cheaper
            least = np.minimum(price[:, small] / share, item.price)
            by_period = np.repeat(asked, np.diff(starts, append=len(price)), axis=1)
            kept &= (by_period >= least * (1 - _MARKDOWN_ROUNDING)).all(axis=1)
    return kept


def _changed(price: Array, now: float) -> NDArray[np.bool_]:
    """(P, B) where prices differ from those before."""
    before = np.column_stack([np.full(len(price), now), price[:, :-1]])
    return abs(price - before) > _MARKDOWN_ROUNDING * before


# From a markdown plan to the rows of a price list. Needs the `train` extra.


def markdown_rows(plan: MarkdownPlan, *, zone: str = ALL_STORES, seed: int = 0) -> list[PriceRow]:
    """The rows of a markdown: every product in every week of the season, those not marked down
    at planned prices.

    Args:
        zone: Name of the stores that the market stands for.
        seed: Selects the test seeds of the expected figures.

    Example:
        >>> from repricer.planning.markdown import markdown_rows
        >>> markdown_rows(plan)[0].reason  # doctest: +SKIP
        'Markdown: 97% of 120 units are expected to be sold by 2018-02-25 (90% interval 93% to 100%); ...'
    """
    marked = {item.product: markdown_words(plan, item) for item in plan.products}

    def reason(_: int, n: int, __: float) -> str:
        return marked.get(plan.spec.products.names[n], "Not marked down: the planned price.")

    return priced_rows(plan.spec, current_prices(plan.spec), plan.price, plan.current, reason, zone=zone, seed=seed)


def markdown_words(plan: MarkdownPlan, item: ProductPlan) -> str:
    """What a schedule is expected to sell, in a sentence or two."""
    calendar = plan.spec.calendar
    target = plan.terms.sell_through
    assert calendar is not None, "the market has a calendar"
    mean, low, high = item.sell_through
    sentence = (
        f"{mean:.0%} of {item.on_hand + item.sold:,} units are expected to be sold by {calendar.last_day} "
        f"(90% interval {low:.0%} to {high:.0%}); {target:.0%} or more with probability {item.probability:.0%}."
    )
    if item.can_meet:
        return f"Markdown: {sentence}"
    rules = plan.spec.guardrails
    held = "at the prices that sell the most"
    if rules.frozen is not None and rules.frozen[plan.spec.products.names.index(item.product)]:
        held = "its price must not change, by the rules of the market, and"
    return f"The target cannot be met with {plan.terms.confidence:.0%} confidence; {held} {sentence}"

"""Guardrails: the price rules that training, evaluation and the service apply alike, and what they made of an action."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..law import Law, prior_price
from ..observed import MarketView
from ..protocol import Action
from .grids import SAME, PriceEndings, PriceGrid, PriceLadder
from .projection import HIGHEST, MISSED, relinked, settle, within
from .rule_formulas import (
    BITS,
    BOUNDS,
    CODES,
    DIRECTIONS,
    DISCOUNT_RULES,
    LARGEST,
    LINKING,
    PRIORITIES,
    RULES,
    PriceLinks,
    Prices,
    capped_discount,
    change_range,
    check_links,
    closer_discount,
    direction_range,
    discount_steps,
    in_order,
    is_firm,
    rival_range,
    step_ranges,
)

Array = NDArray[np.float64]
OUTSIDE_CHARGED = "outside_charged"
"""The name, in a trail, of the mark of a price outside the charged range."""
GAVE_WAY = "gave_way"
"""The name, in a trail, of the mark of a rule that gave way to stronger ones."""
_OUTSIDE = 1e-4
# A share of a rival's price that bounds nothing.
_NO_SHARE = 1e9
# No price is lower.
_LOWEST = 1e-9


@dataclass(frozen=True)
class TrailStep:
    """One change that a guardrail made.

    Args:
        rule: name of the rule, a key of `RULES`.
        before: price (currency per unit), or discounts by segment (fractions), before the rule.
        after: the same after it.

    Example:
        >>> TrailStep("ceiling", 12.0, 10.0).why
        'the price is at most the ceiling'
    """

    rule: str
    before: Any
    after: Any

    @property
    def why(self) -> str:
        """What the rule says."""
        return RULES[self.rule]


class RuleStep(NamedTuple):
    """What one rule changed by more than the last bits, in a batch of markets.

    Args:
        rule: name of the rule, a key of `RULES`.
        moved: (E, N) products whose price or discounts the rule changed.
        before: their prices (m,), currency per unit, or discounts by segment (m, K), before the rule, m products.
        after: the same after it.

    Example:
        >>> RuleStep("floor", np.ones((1, 1), bool), np.array([2.0]), np.array([3.0])).rule
        'floor'
    """

    rule: str
    moved: NDArray[np.bool_]
    before: Prices
    after: Prices


class GaveWay(NamedTuple):
    """A rule that no price keeps, given the stronger ones, or that an unchanged price misses.

    Args:
        rule: Name of the rule, a key of `RULES`.
        market: Number of the market.
        product: Number of the product; of a basket, None.
        amount: By how much the price misses the rule, currency per unit; of a basket, by how much its index does.
        basket: Number of the basket; None for other rules.

    Example:
        >>> GaveWay("rival_price", 0, 1, 0.25).amount
        0.25
    """

    rule: str
    market: int
    product: int | None
    amount: float
    basket: int | None = None


@dataclass(frozen=True)
class GuardedAction:
    """An allowed action, and which rules changed the proposal.

    Args:
        price: (E, N) currency per unit.
        discount: (E, N, K) fractions, or None.
        prior_price: (E, N) currency per unit: what an announced reduction must show (Directive 98/6/EC, article 6a),
            see `law.prior_price`; NaN where no reduction is announced, None where the view does not know it.
        applied: each rule in turn, the strongest first, with the prices or discounts before and after it.
        ranges: each rule that asks for a range, with its (E, N) low and high ends, currency per unit.
        links: the rules between two products; None where prices are charged as they are.
        baskets: (J, N) weights and (J,) limits of the rules on baskets.

    Example:
        >>> import repricer
        >>> market = repricer.Market("three-stocks")
        >>> asked = Action(market.view.list_price * np.float32(1e6))
        >>> guarded = market.spec.guardrails.apply(asked, market.view)
        >>> guarded.rules(market=0, product=0), guarded.trails[0][0].rule
        (['ceiling'], 'ceiling')
    """

    price: Prices
    discount: Prices | None
    prior_price: Prices | None
    applied: list[tuple[str, Prices, Prices]]
    ranges: list[tuple[str, Array, Array]]
    links: PriceLinks | None
    baskets: tuple[Array, Array]

    @cached_property
    def gave_way(self) -> list[GaveWay]:
        """The rules that the prices miss, by how much."""
        price = self.price.astype(np.float64)
        found = []
        for rule, least, most in self.ranges:
            amount = np.maximum(least - price, price - most)
            for e, n in np.argwhere(amount > MISSED * price).tolist():
                found.append(GaveWay(rule, e, n, float(amount[e, n])))
        if self.links is not None:
            excess = self.links.excess(price)
            names = list(RULES)
            for e, i in np.argwhere(excess > MISSED * price[:, self.links.small]).tolist():
                n = int(self.links.small[i])
                found.append(GaveWay(names[self.links.rule[i]], e, n, float(excess[e, i])))
            over = price @ self.baskets[0].T - self.baskets[1]
            for e, j in np.argwhere(over > MISSED * self.baskets[1]).tolist():
                found.append(GaveWay("price_index", e, None, float(over[e, j]), j))
        return found

    @cached_property
    def trail(self) -> NDArray[np.uint32]:
        """(E, N); bit i is set where the i-th of `RULES` changed the price or a discount."""
        trail = np.zeros(self.price.shape, dtype=np.uint32)
        for rule, before, after in self.applied:
            # A NaN that stays NaN was not changed.
            changed = np.not_equal(before, after) & ~(np.isnan(before) & np.isnan(after))
            trail |= np.where(_by_product(changed), BITS[rule], np.uint32(0))
        return trail

    def rules(self, market: int, product: int) -> list[str]:
        """Names of the rules that changed the price or a discount of a product in a market, by number."""
        return [rule for rule, bit in BITS.items() if self.trail[market, product] & bit]

    @property
    def personal(self) -> NDArray[np.bool_]:
        """(E, N) whether the price is personal: some segment has a discount that its data decided."""
        return np.zeros(self.price.shape, np.bool_) if self.discount is None else self.discount.max(axis=-1) > 0

    @cached_property
    def steps(self) -> list[RuleStep]:
        """The rules that changed something by more than the last bits, in their order."""
        found = []
        for rule, before, after in self.applied:
            differs = before != after
            if differs.any() and (moved := _moved(before, after, differs)).any():
                found.append(RuleStep(rule, moved, before[moved], after[moved]))
        return found

    @property
    def trails(self) -> list[list[TrailStep]]:
        """Those changes, in order, by market and product in turn."""
        found: list[list[TrailStep]] = [[] for _ in range(self.price.size)]
        for step in self.steps:
            sides = step.before.tolist(), step.after.tolist()
            for k, before, after in zip(np.flatnonzero(step.moved).tolist(), *sides, strict=True):
                found[k].append(TrailStep(step.rule, before, after))
        return found


def _moved(before: Prices, after: Prices, differs: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(E, N) where a rule changed more than the last bits; a NaN that stays NaN was not changed."""
    wide = before.astype(np.float64)
    new = after.astype(np.float64)
    finite = np.isfinite(wide)
    gap = np.subtract(wide, new, where=finite, out=np.full_like(wide, np.inf))
    same = finite & (np.abs(gap) <= SAME * np.maximum(np.abs(wide), np.abs(new)))
    return _by_product(differs & ~same & ~(np.isnan(wide) & np.isnan(new)))


def _by_product(changed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return changed if changed.ndim == 2 else np.asarray(changed.any(axis=2))


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raise ValueError for a setting of price rules out of range, or one that lacks another."""
    allowed: dict[str, tuple[float, float]] = dict.fromkeys(("minimum_margin", "max_discount"), (0, 1))
    allowed |= dict.fromkeys(("max_change", "max_step", "tick", "max_segment_spread", "max_group_spread"), (0, np.inf))
    allowed |= {"max_changes": (1, np.inf), "change_window_periods": (2, np.inf), "prior_price_periods": (1, np.inf)}
    for name, (least, below) in allowed.items():
        value = settings[name]
        numbers = np.atleast_1d(least if value is None else value)
        if (wrong := numbers[~((numbers >= least) & (numbers < below))]).size:
            raise ValueError(f"{name} must lie in [{least:g}, {below:g}); got {wrong[0]:g}; fix the price rules")
        if value is not None and name.endswith(("changes", "periods")) and not isinstance(value, int):
            raise ValueError(f"{name} must be a whole number; got {value:g}; round it")
    direction = settings["direction"]
    if direction not in DIRECTIONS:
        raise ValueError(f"direction must be one of {', '.join(DIRECTIONS)}; got {direction!r}; choose one of them")
    most = settings["max_changes"]
    window = settings["change_window_periods"]
    if (most is None) != (window is None):
        given, lacking = ("max_changes", "change_window_periods")[:: -1 if most is None else 1]
        raise ValueError(f"{given} needs {lacking}; got no {lacking}; give both or neither")
    if most is not None and most >= window:
        raise ValueError(f"max_changes must be below change_window_periods, {window}; got {most}; lower it")


@dataclass(frozen=True, eq=False)
class ChargedRange:
    """The prices that the shop mostly charged, by product: all but the lowest and highest 2% of the weeks of a year.

    Args:
        low: (N,) low end, currency per unit.
        high: (N,) high end.

    Raises:
        ValueError: A range is empty or not a number.

    Example:
        >>> charged = ChargedRange(np.array([1.5]), np.array([2.3]))
        >>> charged.outside([[1.4], [2.3]]).tolist(), charged.words(0)
        ([[True], [False]], 'outside what was mostly charged: 1.50 to 2.30')
    """

    low: Array
    high: Array

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            vars(self)[name] = np.asarray(getattr(self, name), dtype=np.float64)
        wrong = np.flatnonzero(~((self.low >= 0) & (self.low <= self.high) & np.isfinite(self.high)))
        if wrong.size:
            n = int(wrong[0])
            got = f"{self.low[n]:g} to {self.high[n]:g}, product {n + 1}"
            raise ValueError(f"a charged range must rise; got {got}; fix it")

    def outside(self, price: ArrayLike) -> NDArray[np.bool_]:
        """Whether prices (…, N), currency per unit, lie outside the range."""
        price = np.asarray(price, dtype=np.float64)
        return (price < self.low * (1 - _OUTSIDE)) | (price > self.high * (1 + _OUTSIDE))

    def words(self, product: int) -> str:
        """The mark of a price outside, by number of the product."""
        return f"outside what was mostly charged: {self.low[product]:,.2f} to {self.high[product]:,.2f}"


@dataclass(frozen=True)
class Guardrails:
    """Price rules, each with a priority: law and hard come before soft ranks, of which 1 comes before 2.

    Prices keep every rule that the stronger ones let them keep, and miss the others by the least amount that those leave,
    one rule after the other and, within a rule, one product after the other. The grid (ladder, tick or endings) is always
    kept, and so are the rules for discounts: no discount keeps all of them. Law and hard rules that no price keeps are
    refused here; those that refer to current prices or to rivals can contradict each other later, and then the
    weaker one gives way and is named.

    Args:
        floor: (N,) lowest price, currency per unit.
        ceiling: (N,) highest price, currency per unit.
        unit_cost: (N,) currency per unit, in shelf prices: with the VAT that the price of the product holds.
        minimum_margin: least (price - unit cost) / price.
        max_change: (N,) largest relative change from one period to the next, or one number for all.
        ladder: the allowed prices; at most one of ladder, tick and endings may be given.
        tick: allowed prices are multiples of it, currency per unit.
        max_discount: largest personal discount, a fraction.
        max_segment_spread: largest difference between two segments' discounts, a fraction.
        endings: the allowed fractions of a price.
        minimum_advertised_price: (N,) lowest list price, currency per unit, 0 for none; a personal discount may go
            below it.
        frozen: (N,) products whose price does not change.
        frozen_as_planned: whether these have the planned price of each period, whatever the other rules say of it, and no
            personal discount; otherwise each keeps the price before the first period, within its bounds.
        frozen_because: why each product keeps its price, in a clause, empty for no reason; () for no reasons at all.
        max_changes: most price changes of a product in any change_window_periods consecutive periods.
        change_window_periods: length of that window.
        lines: product lines, each from small to large by product number: a larger product costs no less. It is raised
            where the rules let it rise, else the smaller one is lowered.
        gaps: price gaps (a, b, share): product a costs at most that share of what product b costs.
        packs: packs (a, b, ratio): the larger pack a costs at most ratio, its size over that of b, times what b costs.
        direction: in which direction prices may move, one of `DIRECTIONS`.
        rival_at_least: (N,) least share of the lowest rival price last seen, 0 for none.
        rival_at_most: (N,) largest such share.
        prior_price_periods: number of periods that make 30 days, where the lowest price in them is to be known.
        past_price: (B, N) prices charged before the first period, oldest first, currency per unit; None where not known.
        planned_price: (T, N) prices that are planned anyway, currency per unit: a price may also change as far as
            they do, so that a reduction may end, or be made smaller; None for no plan.
        planned_regular: (T, N) regular prices that are planned, from which planned deals are reductions; None for no plan.
        max_step: (N,) largest share by which a price may leave the plan's, see `step_ranges`; None for no such rule.
        bounds_from_sales: (N,) products whose floor, ceiling and freeze come from the sales, not from a rule of the shop: a person
            may leave them.
        max_group_spread: largest difference between the average discounts of two protected groups, a fraction.
        group_contrasts: (P, K) what a segment's discount adds to that difference, for each of P pairs of groups: the share of
            the segment in one group less that in the other; None without groups.
        priority: priorities other than `PRIORITIES`, by rule: "law", "hard" or a rank from 1 on.
        index_weights: (J, N) weights of J baskets per unit of currency, so that weights @ price is the basket's index.
        index_at_most: (J,) the largest index of each.
        index_names: what each basket is compared with.
        law: what the law says of these prices; None for nothing. Where it allows no personal prices, the largest discount
            is 0.
        names: what errors call the N products; by default their numbers from 1 on.

    Attributes:
        grid: the price grid.
        order: the rules that are in use and can contradict others, the strongest first, after `leading`.
        leading: the rules that bound a price before all others.
        low, high: (N,) float32 bounds that the rules leave a price whatever the market does.
        own_low, own_high: (N,) float32 the same of each product by itself.
        first_low, first_high: (N,) the bounds of `leading`.
        links: product lines, price gaps and packs together.
        kept_links: those that can be kept together with the bounds: the firm ones and, by rank, the others.
        paid_low: (N,) float32 lowest price after a personal discount.
        contrasts: (P, K) float32 contrasts of the groups, (0, 0) where no cap is set on them.
        planned_rows: (T, N) float32 planned prices as far as which a price may change, (0, N) where they do not matter.
        near_plan: (2, 2, T, N) the ranges of `step_ranges`, with T = 0 where there is no such rule.
        frozen_rows: (T, N) float32 prices of frozen products that follow the plan, (0, N) where none does.

    Raises:
        ValueError: no price could satisfy all hard rules, or a setting is out of range.

    Example:
        >>> import repricer
        >>> view = repricer.Market("three-stocks").view
        >>> rules = Guardrails(floor=[5, 5, 5], ceiling=[50, 50, 50], unit_cost=[3, 3, 3], max_change=0.1)
        >>> asked = Action(view.list_price * np.float32(2))
        >>> allowed = rules.apply(asked, view)
        >>> bool(np.allclose(allowed.price, 1.1 * view.list_price)), allowed.rules(market=0, product=0)
        (True, ['max_change'])
    """

    floor: Array
    ceiling: Array
    unit_cost: Array
    minimum_margin: float | None = None
    max_change: Array | float | None = None
    ladder: PriceLadder | None = None
    tick: float | None = None
    max_discount: float = 0.0
    max_segment_spread: float = 1.0
    endings: PriceEndings | None = None
    minimum_advertised_price: Array | None = None
    frozen: NDArray[np.bool_] | None = None
    frozen_as_planned: bool = False
    frozen_because: tuple[str, ...] = ()
    max_changes: int | None = None
    change_window_periods: int | None = None
    lines: tuple[tuple[int, ...], ...] = ()
    prior_price_periods: int | None = None
    gaps: tuple[tuple[int, int, float], ...] = ()
    rival_at_least: Array | None = None
    rival_at_most: Array | None = None
    direction: str = "any"
    past_price: Array | None = None
    planned_price: Array | None = None
    planned_regular: Array | None = None
    max_step: Array | float | None = None
    bounds_from_sales: NDArray[np.bool_] | None = None
    max_group_spread: float = 1.0
    group_contrasts: Array | None = None
    packs: tuple[tuple[int, int, float], ...] = ()
    priority: Mapping[str, str | int] = field(default_factory=dict)
    index_weights: Array | None = None
    index_at_most: Array | None = None
    index_names: tuple[str, ...] = ()
    law: Law | None = None
    names: InitVar[Sequence[str]] = ()
    links: PriceLinks = field(init=False, repr=False)
    kept_links: PriceLinks = field(init=False, repr=False)
    grid: PriceGrid = field(init=False, repr=False)
    order: tuple[str, ...] = field(init=False, repr=False)
    leading: tuple[str, ...] = field(init=False, repr=False)
    first_low: Array = field(init=False, repr=False)
    first_high: Array = field(init=False, repr=False)
    low: Prices = field(init=False, repr=False)
    high: Prices = field(init=False, repr=False)
    own_low: Prices = field(init=False, repr=False)
    own_high: Prices = field(init=False, repr=False)
    paid_low: Prices = field(init=False, repr=False)
    contrasts: Prices = field(init=False, repr=False)
    planned_rows: Prices = field(init=False, repr=False)
    near_plan: Array = field(init=False, repr=False)
    frozen_rows: Prices = field(init=False, repr=False)

    def __post_init__(self, names: Sequence[str]) -> None:
        check_settings(own := vars(self))  # it is frozen from here on
        if self.law is not None and not self.law.personal_prices:
            own["max_discount"] = 0.0
        money = ("floor", "ceiling", "unit_cost", "minimum_advertised_price", "past_price")
        money += ("planned_price", "planned_regular")
        arrays = dict.fromkeys(money, np.float64) | dict.fromkeys(("frozen", "bounds_from_sales"), np.bool_)
        for name, kind in arrays.items():
            if own[name] is not None:
                own[name] = np.atleast_1d(np.asarray(own[name], kind))
        for name in ("max_change", "max_step"):
            if own[name] is not None:
                own[name] = np.broadcast_to(np.float64(own[name]), self.floor.shape)
        own["near_plan"] = self._near_plan()
        called = [f"product '{name}'" for name in names] or [f"product {n + 1}" for n in range(self.floor.size)]
        own["frozen_because"] = tuple(self.frozen_because)
        if len(self.frozen_because) not in (0, self.floor.size):
            raise ValueError(
                f"frozen_because must have a text for each of {self.floor.size} products; got {len(self.frozen_because)}; fix it"
            )
        if self.frozen_as_planned and self.planned_price is None:
            raise ValueError("frozen_as_planned needs planned_price; got none; give the plan, or leave it out")
        check_links(self.lines, (*self.gaps, *self.packs), called)
        own["links"] = PriceLinks.of(self.lines, self.gaps, self.packs)
        own["grid"] = PriceGrid.of(self.ladder, self.tick, self.endings)
        self._fill_rival_shares(called)
        own["leading"], own["order"] = self._ordered_rules()
        firm = self._cut(filter(self.is_firm, BOUNDS))
        first = self._cut(self.leading)
        self._check_range(*firm, called)
        self._check_firm_links(*firm, called)
        own["first_low"], own["first_high"] = first
        for rule in (rule for rule in self.order if rule in BOUNDS):
            first = self._narrowed(*first, *self.bounds[rule])
        ends = (*first, *self._link_bounds(*first))
        bounds: dict[str, Any] = dict(zip(("own_low", "own_high", "low", "high"), ends, strict=True))
        bounds["paid_low"] = self.rounded(np.maximum(self.floor, self.least["minimum_margin"]), up=True)
        limited = self.max_change is not None or self.max_changes is not None
        matters = self.planned_price is not None and limited and self.direction == "any"
        bounds["planned_rows"] = self.planned_price if matters else np.empty((0, self.floor.size))
        bounds["frozen_rows"] = self.planned_price if self.follows_plan.any() else np.empty((0, self.floor.size))
        capped = self.group_contrasts is not None and self.max_group_spread < self.max_discount
        bounds["contrasts"] = self.group_contrasts if capped else np.empty((0, 0))
        own.update({name: np.asarray(bound, np.float32) for name, bound in bounds.items()})

    def _near_plan(self) -> Array:
        if self.max_step is None or self.planned_price is None:
            return np.empty((2, 2, 0, self.floor.size))
        regular = self.planned_price if self.planned_regular is None else self.planned_regular
        ranges = step_ranges(self.planned_price, regular, np.asarray(self.max_step))
        # In single precision, as prices are: else what the loops compare and what `apply` does differ in the last bits.
        return ranges.astype(np.float32).astype(np.float64)

    def is_firm(self, rule: str) -> bool:
        """Whether a rule is law or hard."""
        return is_firm((PRIORITIES | dict(self.priority))[rule])

    def _ordered_rules(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The firm bounds that come before all rules but links, and the other rules in use; the strongest first."""
        given = {
            "frozen": self.frozen is not None,
            "max_changes": self.max_changes is not None,
            "max_change": self.max_change is not None,
            "direction": self.direction != "any",
            "rival_price": self.rival_at_most is not None,
            "price_index": bool(self.baskets[1].size),
            "max_step": bool(self.near_plan.size),
        }
        names = list(RULES)
        links = {names[code] for code in self.links.rule.tolist()}
        used = {*BOUNDS, *links, *(rule for rule, is_given in given.items() if is_given)}
        order = [rule for rule in in_order(self.priority) if rule in used]
        leading = list[str]()
        for rule in order:
            if rule not in (*BOUNDS, *LINKING):
                break
            if rule in BOUNDS and self.is_firm(rule):
                leading.append(rule)
        return tuple(leading), tuple(rule for rule in order if rule not in leading)

    @cached_property
    def baskets(self) -> tuple[Array, Array]:
        """(J, N) weights and (J,) limits of the baskets."""
        if self.index_weights is None or self.index_at_most is None:
            return np.empty((0, self.floor.size)), np.empty(0)
        weights = np.asarray(self.index_weights, np.float64)
        most = np.asarray(self.index_at_most, np.float64)
        return np.atleast_2d(weights), np.atleast_1d(most)

    @cached_property
    def bounds(self) -> dict[str, tuple[Array, Array]]:
        """(N,) lowest and highest price of the grid that each of `BOUNDS` allows."""
        nothing = np.zeros_like(self.floor)
        least = self.least | {"floor": self.floor}
        found = {rule: (self.rounded(low, up=True), nothing + np.inf) for rule, low in least.items()}
        return found | {"ceiling": (nothing, self.rounded(self.ceiling, up=False))}

    def rounded(self, price: ArrayLike, *, up: bool) -> Array:
        """The price of the grid at or above (up), or at or below, each price, in the digits of single precision; infinite
        where there is none.
        """
        found = self.grid.rounded(price, up=up).astype(np.float32).astype(np.float64)
        return np.where(np.isnan(found), np.inf if up else -np.inf, found)

    def _narrowed(self, low: Array, high: Array, least: Array, most: Array) -> tuple[Array, Array]:
        """`projection.narrowed` for arrays."""
        lower = np.where(least <= low, low, self.rounded(least, up=True))
        upper = np.where(most >= high, high, self.rounded(most, up=False))
        empty = lower > upper
        if not empty.any():
            return lower, upper
        under = np.where(least >= high, high, self.rounded(least, up=False))
        over = np.where(most <= low, low, self.rounded(most, up=True))
        with np.errstate(invalid="ignore"):  # where a side has no price, the other one counts
            take = (under >= low) & ((over > high) | (least - under <= over - most))
        nearest = np.where(take, under, over)
        return np.where(empty, nearest, lower), np.where(empty, nearest, upper)

    def _cut(self, rules: Iterable[str]) -> tuple[Array, Array]:
        """(N,) lowest and highest price of the grid that some of `BOUNDS` allow together."""
        low = np.full_like(self.floor, _LOWEST)
        high = np.full_like(self.floor, HIGHEST)
        low = self.rounded(low, up=True)
        high = self.rounded(high, up=False)
        for rule in rules:
            low = np.maximum(low, self.bounds[rule][0])
            high = np.minimum(high, self.bounds[rule][1])
        return low, high

    @property
    def least(self) -> dict[str, Array]:
        """(N,) lowest prices by the minimum margin and the minimum advertised price; 0 where there is none."""
        nothing = np.zeros_like(self.floor)
        margin = self.minimum_margin
        advertised = self.minimum_advertised_price
        low = nothing if margin is None else self.unit_cost / (1.0 - margin)
        return {"minimum_margin": low, "minimum_advertised_price": nothing if advertised is None else advertised}

    def _fill_rival_shares(self, called: list[str]) -> None:
        if self.rival_at_least is None and self.rival_at_most is None:
            return
        for name, default in (("rival_at_least", 0.0), ("rival_at_most", _NO_SHARE)):
            given = default if vars(self)[name] is None else vars(self)[name]
            vars(self)[name] = np.broadcast_to(np.float64(given), self.floor.shape)
        wrong = np.flatnonzero(self.rival_shares[0] > self.rival_shares[1])
        if wrong.size:
            raise ValueError(f"rival_at_least must be at most rival_at_most; got more for {called[wrong[0]]}; fix it")

    @property
    def rival_shares(self) -> tuple[Prices, Prices]:
        """(N,) least and largest share of the rival's price, or (0,) where no rule refers to it."""
        if self.rival_at_least is None or self.rival_at_most is None:
            return np.empty(0, np.float32), np.empty(0, np.float32)
        return self.rival_at_least.astype(np.float32), self.rival_at_most.astype(np.float32)

    def _check_range(self, low: Array, high: Array, called: list[str]) -> None:
        empty = np.flatnonzero(~(low <= high))
        if empty.size:
            i = int(empty[0])
            advertised = self.minimum_advertised_price
            also = "" if advertised is None else f"minimum advertised price {advertised[i]:g}, "
            raise ValueError(
                f"guardrails must leave at least one allowed price{self.grid.words}; {called[i]} got floor "
                f"{self.floor[i]:g}, minimum margin price {self.least['minimum_margin'][i]:g}, {also}ceiling "
                f"{self.ceiling[i]:g}; widen the range"
            )

    def _check_firm_links(self, low: Array, high: Array, called: list[str]) -> None:
        """Refuse law and hard rules that no prices keep."""
        firm = self.links[np.isin(self.links.rule, [CODES[rule] for rule in filter(self.is_firm, LINKING)])]
        low, high = firm.bounds(low, high, self.grid)
        empty = np.flatnonzero(low > high)
        if empty.size:
            n = int(empty[0])
            raise ValueError(
                f"product lines, packs and price gaps must leave at least one allowed price{self.grid.words}; {called[n]} "
                f"got at least {low[n]:g} and at most {max(high[n], 0):g}; fix its bounds, or those that contradict each other"
            )
        over = np.flatnonzero(self.baskets[0] @ low > self.baskets[1] * (1 + MISSED))
        if over.size and self.is_firm("price_index"):
            j = int(over[0])
            raise ValueError(
                f"index_at_most must be at least {self.baskets[0][j] @ low:g}, the index of the lowest allowed prices; got "
                f"{self.baskets[1][j]:g}; raise it, or lower bounds"
            )

    def _link_bounds(self, low: Array, high: Array) -> tuple[Array, Array]:
        """Bounds that the links leave; a link that no prices keep is left out, the weakest first."""
        kept = np.zeros(len(self.links), np.bool_)
        for rule in (rule for rule in self.order if rule in LINKING):
            for i in np.flatnonzero(self.links.rule == CODES[rule]):
                kept[i] = True
                lower, upper = self.links[kept].bounds(low, high, self.grid)
                kept[i] = bool((lower <= upper).all())
        vars(self)["kept_links"] = links = self.links[kept]
        return links.bounds(low, high, self.grid) if kept.any() else (low, high)

    @cached_property
    def groups(self) -> list[tuple[NDArray[np.int64], PriceLinks]]:
        """The products that rules tie to one another, directly or through others, in groups of two or more, each with its
        links, which number the products within the group.
        """
        label = np.arange(self.floor.size)
        basket = np.flatnonzero(self.baskets[0].any(axis=0))
        tied = np.union1d(self.links.members, basket)
        if self.baskets[1].size:
            label[tied] = self.floor.size
        for _ in range(len(self.links)):
            for a, b, _ in self.links:
                label[[a, b]] = min(label[a], label[b])
        found = []
        for one in np.unique(label[tied]):
            members = np.flatnonzero(label == one)
            links = self.links[np.isin(self.links.small, members)]
            small, large = (np.searchsorted(members, side) for side in (links.small, links.large))
            found.append((members, PriceLinks(small, large, links.share, links.rule)))
        return found

    def prices_before(self, regular_price: NDArray[np.floating], past_periods: int | None = None) -> Array:
        """(P + 1, N) the list prices before the first period, oldest first, within the bounds.

        They are those charged last, else regular ones. A product whose price must not change has its regular price
        throughout, unless it follows the plan; from it on prices move that may move in one direction only.

        Args:
            regular_price: (N,) currency per unit.
            past_periods: P, prices before the current one; by default as many as the rules look at.
        """
        wanted = self.past_periods if past_periods is None else past_periods
        regular = np.asarray(regular_price, np.float64)
        past = regular[None] if self.past_price is None or self.direction != "any" else self.past_price
        past = np.where(self.held & ~self.follows_plan, regular, past)
        oldest = max(len(past) - 1 - wanted, 0)
        rows = np.pad(past[oldest:], ((max(wanted + 1 - len(past), 0), 0), (0, 0)), mode="edge")
        return np.clip(rows, self.low, self.high)

    @cached_property
    def held(self) -> NDArray[np.bool_]:
        """(N,) products whose price does not change."""
        return np.zeros(self.floor.shape, np.bool_) if self.frozen is None else self.frozen

    @cached_property
    def follows_plan(self) -> NDArray[np.bool_]:
        """(N,) products whose price is the planned one in each period."""
        return self.held & self.frozen_as_planned

    @cached_property
    def discount_cap(self) -> Prices:
        """(N,) largest personal discount, a fraction; none on a price that follows the plan."""
        return np.where(self.follows_plan, 0.0, self.max_discount).astype(np.float32)

    @property
    def past_periods(self) -> int:
        """How many prices before the current one a market must keep for these rules."""
        return max(self.change_window_periods or 1, self.prior_price_periods or 1) - 1

    @property
    def bounds_only(self) -> bool:
        """Whether only bounds and the grid limit a list price, neither past prices nor other products."""
        return set(self.order) <= set(BOUNDS)

    def tied(self, price: Array, low: Array, high: Array) -> Array:
        """(N,) prices that keep `kept_links` and, where they can, the baskets: larger products are raised, then all
        lowered by a common share.

        Args:
            price: (N,) prices within the bounds, currency per unit.
            low: (N,) lower bounds.
            high: (N,) upper bounds.
        """
        links = self.kept_links
        prices = price.tolist()
        slack, (weights, limit) = [0.0] * len(links), (part.tolist() for part in self.baskets)
        relinked(prices, high.tolist(), slack, links.lists, self.grid, True)
        within(limit, low.tolist(), slack, links.lists, (weights, limit), self.grid, prices)
        return np.array(prices)

    def allowed_prices(self, product: int = 0, low: float | None = None, high: float | None = None) -> Array | None:
        """The finite set of prices that bounds and grid allow a product, the line order apart.

        A bound that is a grid price belongs to the set, although bounds are single and grid prices double precision.

        Args:
            product: number of the product.
            low: lower end of a narrower range, currency per unit; by default the lower bound.
            high: upper end of it; by default the upper bound.

        Returns:
            (L,) rising prices in currency per unit, or None where prices are continuous.

        Example:
            >>> rails = Guardrails(0.99, 3.99, 0.5, ladder=PriceLadder([0.99, 1.99, 2.99, 3.99]))
            >>> rails.allowed_prices()
            array([0.99, 1.99, 2.99, 3.99])
            >>> rails.allowed_prices(low=1.5)
            array([1.99, 2.99, 3.99])
        """
        low = float(self.low[product]) if low is None else low
        high = float(self.high[product]) if high is None else high
        return self.grid.between(low, high)

    def nearest(self, price: ArrayLike, within: tuple[Array, Array] | None = None) -> Array:
        """The nearest prices that grid and bounds allow, the line order apart.

        Args:
            price: (…, N) currency per unit.
            within: (…, N) lowest and highest prices that are asked for beside the bounds.
        """
        low = self.own_low.astype(np.float64)
        high = self.own_high.astype(np.float64)
        if within is not None:
            low, high = self._narrowed(low, high, *within)
        price = np.clip(np.asarray(price, dtype=np.float64), low, high)
        below, above = (self.grid.rounded(price, up=up) for up in (False, True))
        return np.clip(np.where(price - below > above - price, above, below), low, high)

    def apply(self, action: Action, view: MarketView) -> GuardedAction:
        """Make a proposed action allowed.

        Args:
            action: what a policy proposes for E markets.
            view: the E markets.

        Returns:
            The allowed action, with the rules that changed the proposal.

        Raises:
            ValueError: price changes are limited, but the view does not count them.
        """
        price = np.asarray(action.price, dtype=np.float32)
        discount = action.discount
        ranges: list[tuple[str, Array, Array]] = []
        steps = [] if action.as_charged else list(self._price_steps(price, action.deal, view, ranges))
        prices = [price.astype(np.float64), *(after for _, after in steps)]
        applied: list[tuple[str, Any, Any]] = list(zip((rule for rule, _ in steps), prices, prices[1:], strict=False))
        price = prices[-1].astype(np.float32)
        if discount is not None:
            discount = np.asarray(discount, dtype=np.float32)
            cap = self.discount_cap[:, None]
            capped = capped_discount(discount, cap)
            paid_low = self.paid_low * np.float32(not action.as_charged)
            least = capped.min(axis=-1, keepdims=True)
            spread = np.float32(self.max_segment_spread)
            shares = discount, capped, *discount_steps(capped, least, price[..., None], paid_low[:, None], spread)
            shares += (self._between_groups(shares[-1]),)
            applied += zip(DISCOUNT_RULES, shares, shares[1:], strict=False)
            discount = shares[-1]
        lowest = view.lowest_price_30_days
        prior = None
        if lowest is not None:
            announced = prior_price if self.law is None else self.law.announced
            prior = announced(price, view.list_price, lowest, view.prior_price)
        links = None if action.as_charged else self.links
        return GuardedAction(price, discount, prior, applied, ranges, links, self.baskets)

    def together(self, discount: NDArray[Any]) -> NDArray[Any]:
        """(…, N, K) personal discounts (…, N, K), drawn together until segments and protected groups keep their caps."""
        near = np.minimum(discount, discount.min(axis=-1, keepdims=True) + self.max_segment_spread)
        return self._between_groups(near)

    def _between_groups(self, discount: NDArray[Any]) -> NDArray[Any]:
        """The same for groups alone."""
        if not self.contrasts.size:
            return discount
        least = discount.min(axis=-1, keepdims=True)
        apart = abs((discount - least) @ self.contrasts.T).max(axis=-1, keepdims=True)
        return closer_discount(discount, least, apart, discount.dtype.type(self.max_group_spread))

    def _price_steps(
        self, asked: Prices, deal: NDArray[np.bool_] | None, view: MarketView, ranges: list[tuple[str, Array, Array]]
    ) -> Iterator[tuple[str, Array]]:
        """Each rule for list prices in turn, with the price after it; the ranges that rules ask for are added to a list."""
        near = self.step_range(view.period, deal) if self.near_plan.size else None
        low, high = (np.broadcast_to(bound, asked.shape) for bound in (self.first_low, self.first_high))
        price = asked.astype(np.float64)
        in_force = view.list_price.astype(np.float64)
        proper = price = np.where((price > 0) & (price < LARGEST), price, np.clip(in_force, low, high))
        yield "not_a_number", price
        for rule in self.leading:
            price = np.clip(price, *self.bounds[rule])
            yield rule, price
        for rule in self.order:
            asks = near if rule == "max_step" else self._range(rule, price, view, low, high)
            if asks is not None:
                least, most = (np.asarray(end, np.float32).astype(np.float64) for end in asks)
                if len(self.frozen_rows) and rule != "frozen":
                    # What follows the plan is asked for nothing else.
                    least = np.where(self.follows_plan, 0.0, least)
                    most = np.where(self.follows_plan, np.inf, most)
                ranges.append((rule, np.broadcast_to(least, price.shape), np.broadcast_to(most, price.shape)))
                low, high = self._narrowed(low, high, least, most)
                price = np.clip(price, low, high)
                yield rule, price
        if self.grid.kind:
            price = self._nearest(price, low, high)
            yield "price_ladder", price
        if self.groups:
            settled, code = self._settled(proper, price, ranges, low, high)
            for rule in (*LINKING, "price_index"):
                price = np.where(code == CODES[rule], settled, price)
                yield rule, price
        if len(self.frozen_rows):
            price = np.where(self.follows_plan, self._frozen_at(view), price)
            yield "frozen", price

    def _nearest(self, price: Array, low: Array, high: Array) -> Array:
        """`projection.nearest` for arrays."""
        price = np.clip(price, low, high)
        under = np.maximum(self.rounded(price, up=False), low)
        over = np.minimum(self.rounded(price, up=True), high)
        return np.where(price - under <= over - price, under, over)

    def _range(
        self, rule: str, price: Array, view: MarketView, low: Array, high: Array
    ) -> tuple[NDArray[Any], NDArray[Any]] | None:
        """The low and high ends of what a rule asks for; None for one that asks for no range."""
        in_force = view.list_price
        if rule in BOUNDS:
            return self.bounds[rule]
        if rule == "rival_price" and view.competitor_price is not None:
            return rival_range(view.competitor_price, *self.rival_shares)
        if rule == "direction":
            return direction_range(in_force, DIRECTIONS[self.direction])
        if rule == "max_change":
            return change_range(in_force, self._planned(view), np.asarray(self.max_change, np.float32))
        if rule == "frozen" and self.frozen is not None:
            stays = np.where(self.follows_plan, self._frozen_at(view), in_force)
            return np.where(self.frozen, stays, 0), np.where(self.frozen, stays, np.inf)
        if rule == "max_changes" and self.max_changes is not None:
            if view.changes is None:
                raise ValueError("price rules with max_changes need MarketView.changes; got a view without; give it")
            planned = self._planned(view).astype(np.float64)
            follows = self._nearest(np.where(planned > 0, planned, in_force), low, high)
            nearer = (planned > 0) & (abs(price - follows) < abs(price - in_force))
            stays = np.where(nearer, follows, in_force)
            held = view.changes >= self.max_changes
            return np.where(held, stays, 0), np.where(held, stays, np.inf)
        return None

    def step_range(self, period: NDArray[np.integer], deal: NDArray[np.bool_] | None) -> tuple[Array, Array]:
        """(E, N) lowest and highest prices near the plan.

        Args:
            period: (E,) number of the period.
            deal: (E, N) whether a deal is announced; None where the plan says.
        """
        assert self.planned_price is not None, "the rule has a plan"
        row = np.minimum(period, self.near_plan.shape[2] - 1)
        steady, on_deal = self.near_plan[:, :, row]
        if deal is None:
            deal = self.planned_deal[row]
        low, high = np.where(deal, on_deal, steady)
        return low, high

    def deals_of(self, period: int, price: Array) -> NDArray[np.bool_]:
        """(N,) which prices of a list are deals: as planned where that keeps the rule on steps, else the other way.

        Args:
            period: Number of the period.
            price: (N,) currency per unit.
        """
        planned = self.planned_deal[min(period, len(self.planned_deal) - 1)]
        low, high = (end[0] for end in self.step_range(np.array([period]), planned))
        near = (price >= low * (1 - SAME)) & (price <= high * (1 + SAME))
        return np.where(near, planned, ~planned)

    @cached_property
    def planned_deal(self) -> NDArray[np.bool_]:
        """(T, N) whether a deal is planned, of rules with a plan."""
        assert self.planned_price is not None, "the rules have a plan"
        return self.planned_price < (self.planned_price if self.planned_regular is None else self.planned_regular)

    def _planned(self, view: MarketView) -> Prices:
        """(E, N) or (1,) the planned prices of the view's periods, NaN for none."""
        rows = self.planned_rows
        return rows[np.minimum(view.period, len(rows) - 1)] if len(rows) else np.full(1, np.nan, np.float32)

    def _frozen_at(self, view: MarketView) -> Prices:
        """(E, N) or (1,) the prices of frozen products that follow the plan, NaN where none does."""
        rows = self.frozen_rows
        return rows[np.minimum(view.period, len(rows) - 1)] if len(rows) else np.full(1, np.nan, np.float32)

    def _settled(
        self, asked: Array, price: Array, ranges: list[tuple[str, Array, Array]], low: Array, high: Array
    ) -> tuple[Array, NDArray[np.int32]]:
        """Prices that keep links and baskets too, where the rules let them, and (E, N) the code of the rule that changed
        a price, -1 for none.
        """
        settled = price.copy()
        code = np.full(price.shape, -1)
        broken = self.links.broken(price)
        ends = {rule: (least, most) for rule, least, most in ranges}
        over = (price @ self.baskets[0].T > self.baskets[1] * (1 + MISSED)).any(axis=1)
        unused = (np.zeros_like(price),) * 2
        codes = (int(CODES["line_order"]), int(CODES["price_index"]))
        asks = [ends.get(rule, unused) for rule in self.order]
        order = [int(CODES[rule]) for rule in self.order]
        grid = self.grid._replace(steps=self.grid.steps.tolist())
        for members, links in self.groups:
            own = np.isin(self.links.small, members)
            first = [bound[members].tolist() for bound in (self.first_low, self.first_high)]
            baskets = self.baskets[0][:, members].tolist(), self.baskets[1].tolist()
            for e in np.flatnonzero(broken[:, own].any(axis=1) | over).tolist():
                row = np.ix_([e], members.tolist())
                found = asked[e, members].tolist()
                least, most = ([pair[side][row][0].tolist() for pair in asks] for side in (0, 1))
                alone = low[row][0].tolist(), high[row][0].tolist()
                slack = [0.0] * len(links)
                settle(order, least, most, first, alone, slack, links.lists, baskets, codes, grid, found)
                by = self.links.rule[own & broken[e]].min(initial=codes[1])
                # Only the basket moves a product without links.
                by = np.where(np.isin(members, self.links.members), by, codes[1])
                code[row] = np.where(np.float32(found) == np.float32(price[row]), -1, by)
                settled[row] = np.float64(np.float32(found))
        return settled, code

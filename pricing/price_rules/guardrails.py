"""Guardrails: the price rules that training, evaluation and the service apply alike, and what they made of an action."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..catalogue import MarketView
from ..law import Law, prior_price
from ..protocol import Action
from .grids import PriceEndings, PriceGrid, PriceLadder
from .rule_formulas import (
    BITS,
    DIRECTIONS,
    DISCOUNT_RULES,
    RULES,
    STEP_RULES,
    PriceLinks,
    Prices,
    StepConstants,
    capped_discount,
    check_links,
    discount_steps,
    held_price,
    near_rival,
    price_steps,
    turns_back,
)

Array = NDArray[np.float64]
SAME = 1e-6
"""Prices whose relative difference is no larger are the same price: they differ in their last bits."""
OUTSIDE_CHARGED = "outside_charged"
"""The name, in a trail, of the mark of a price outside the charged range."""
_OUTSIDE = 1e-4
# A share of a rival's price that bounds nothing.
_NO_SHARE = 1e9


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


@dataclass(frozen=True)
class GuardedAction:
    """An allowed action, and which rules changed the proposal.

    Args:
        price: (E, N) currency per unit.
        discount: (E, N, K) fractions, or None.
        prior_price: (E, N) currency per unit: what an announced reduction must show (Directive 98/6/EC, article 6a),
            see `law.prior_price`; NaN where no reduction is announced, None where the view does not know it.
        applied: each rule in turn, with the prices or discounts before and after it.

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

    @cached_property
    def trail(self) -> NDArray[np.uint16]:
        """(E, N); bit i is set where the i-th of `RULES` changed the price or a discount."""
        trail = np.zeros(self.price.shape, dtype=np.uint16)
        for rule, before, after in self.applied:
            # A NaN that stays NaN was not changed.
            changed = np.not_equal(before, after) & ~(np.isnan(before) & np.isnan(after))
            trail |= np.where(_by_product(changed), BITS[rule], np.uint16(0))
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
    wide, new = before.astype(np.float64), after.astype(np.float64)
    finite = np.isfinite(wide)
    gap = np.subtract(wide, new, where=finite, out=np.full_like(wide, np.inf))
    same = finite & (np.abs(gap) <= SAME * np.maximum(np.abs(wide), np.abs(new)))
    return _by_product(differs & ~same & ~(np.isnan(wide) & np.isnan(new)))


def _by_product(changed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return changed if changed.ndim == 2 else np.asarray(changed.any(axis=2))


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raise ValueError for a setting of price rules out of range, or one that lacks another."""
    allowed = {
        "minimum_margin": (0.0, 1.0),
        "max_change": (0.0, np.inf),
        "tick": (0.0, np.inf),
        "max_discount": (0.0, 1.0),
        "max_segment_spread": (0.0, np.inf),
        "max_changes": (1, np.inf),
        "change_window_periods": (2, np.inf),
        "prior_price_periods": (1, np.inf),
    }
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
    most, window = settings["max_changes"], settings["change_window_periods"]
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
            raise ValueError(
                f"a charged range must rise; got {self.low[n]:g} to {self.high[n]:g}, product {n + 1}; fix it"
            )

    def outside(self, price: ArrayLike) -> NDArray[np.bool_]:
        """Whether prices (…, N), currency per unit, lie outside the range."""
        price = np.asarray(price, dtype=np.float64)
        return (price < self.low * (1 - _OUTSIDE)) | (price > self.high * (1 + _OUTSIDE))

    def words(self, product: int) -> str:
        """The mark of a price outside, by number of the product."""
        return f"outside what was mostly charged: {self.low[product]:,.2f} to {self.high[product]:,.2f}"


@dataclass(frozen=True)
class Guardrails:
    """Price rules. The hard rules act last, and no other rule can break them.

    Hard are the grid (ladder, tick or endings), minimum margin, minimum advertised price, floor, ceiling and line
    order with price gaps; the others give way to them. The largest change gives way to the grid where no grid price is
    within reach, and then the current price stays; and to a product line or price gap, where that is rounded to the
    grid or the product that raises another one may change more.

    Args:
        floor: (N,) lowest price, currency per unit.
        ceiling: (N,) highest price, currency per unit.
        unit_cost: (N,) currency per unit.
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
        max_changes: most price changes of a product in any change_window_periods consecutive periods.
        change_window_periods: length of that window.
        lines: product lines, each from small to large by product number. A larger product is raised to the price of
            a smaller one; a smaller one stays below a larger one that is frozen or out of changes.
        gaps: price gaps (a, b, share): product a costs at most that share of what product b costs. Where it would
            cost more, b is raised.
        direction: in which direction prices may move, one of `DIRECTIONS`.
        rival_at_least: (N,) least share of the lowest rival price last seen, 0 for none; like the next, it gives way to
            all other rules.
        rival_at_most: (N,) largest such share.
        prior_price_periods: number of periods that make 30 days, where the lowest price in them is to be known.
        past_price: (B, N) prices charged before the first period, oldest first, currency per unit; None where not known.
        planned_price: (T, N) prices that are planned anyway, currency per unit: a price may also change as far as
            they do, so that a reduction may end, or be made smaller; None for no plan.
        bounds_from_sales: (N,) products whose floor, ceiling and freeze come from the sales, not from a rule of the shop: a person
            may leave them.
        law: what the law says of these prices; None for nothing. Where it allows no personal prices, the largest discount
            is 0.
        names: what errors call the N products; by default their numbers from 1 on.

    Attributes:
        grid: the price grid.
        low, high: (N,) float32 bounds that all hard rules leave a price.
        own_low, own_high: (N,) float32 the same without the line order and price gaps.
        links: product lines and price gaps together.
        paid_low: (N,) float32 lowest price after a personal discount.
        constants: what the compiled rules need.
        planned_rows: (T, N) float32 planned prices as far as which a price may change, (0, N) where they do not matter.

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
    bounds_from_sales: NDArray[np.bool_] | None = None
    law: Law | None = None
    names: InitVar[Sequence[str]] = ()
    links: PriceLinks = field(init=False, repr=False)
    grid: PriceGrid = field(init=False, repr=False)
    low: Prices = field(init=False, repr=False)
    high: Prices = field(init=False, repr=False)
    own_low: Prices = field(init=False, repr=False)
    own_high: Prices = field(init=False, repr=False)
    paid_low: Prices = field(init=False, repr=False)
    constants: StepConstants = field(init=False, repr=False)
    planned_rows: Prices = field(init=False, repr=False)

    def __post_init__(self, names: Sequence[str]) -> None:
        check_settings(own := vars(self))  # it is frozen from here on
        if self.law is not None and not self.law.personal_prices:
            own["max_discount"] = 0.0
        arrays = dict.fromkeys(("floor", "ceiling", "unit_cost", "minimum_advertised_price"), np.float64)
        arrays |= {
            "past_price": np.float64,
            "planned_price": np.float64,
            "frozen": np.bool_,
            "bounds_from_sales": np.bool_,
        }
        own.update(
            {name: np.atleast_1d(np.asarray(own[name], kind)) for name, kind in arrays.items() if own[name] is not None}
        )
        if self.max_change is not None:
            own["max_change"] = np.broadcast_to(np.float64(self.max_change), self.floor.shape)
        called = [f"product '{name}'" for name in names] or [f"product {n + 1}" for n in range(self.floor.size)]
        check_links(self.lines, self.gaps, called)
        own["links"], grid = PriceLinks.of(self.lines, self.gaps), PriceGrid.of(self.ladder, self.tick, self.endings)
        own["grid"] = grid
        self._check_rival_shares(called)
        margin_low, advertised = self.least.values()
        paid_low = np.maximum(self.floor, margin_low)
        low = grid.rounded(np.maximum(paid_low, advertised), up=True)
        high = grid.rounded(self.ceiling, up=False)
        self._check_range(low, high, margin_low, called)
        self._check_line_bounds(low, high, called)
        bounds: dict[str, Any] = {"own_low": low, "own_high": high, "paid_low": grid.rounded(paid_low, up=True)}
        bounds |= dict(zip(("low", "high"), self._link_bounds(low, high, called), strict=True))
        limited = self.max_change is not None or self.max_changes is not None
        matters = self.planned_price is not None and limited and self.direction == "any"
        bounds["planned_rows"] = self.planned_price if matters else np.empty((0, self.floor.size))
        own.update({name: np.asarray(bound, np.float32) for name, bound in bounds.items()})
        change = np.broadcast_to(np.inf if self.max_change is None else self.max_change, self.floor.shape)
        moves = (0 * self.floor if self.direction == only else change for only in ("rising", "falling"))
        lows = (grid.rounded(bound, up=True) for bound in (margin_low, advertised))
        own["constants"] = StepConstants(*grid, *(each.astype(np.float32) for each in (*moves, *lows)))

    @property
    def least(self) -> dict[str, Array]:
        """(N,) lowest prices by the minimum margin and the minimum advertised price; 0 where there is none."""
        nothing, margin, advertised = np.zeros_like(self.floor), self.minimum_margin, self.minimum_advertised_price
        return {
            "minimum_margin": nothing if margin is None else self.unit_cost / (1.0 - margin),
            "minimum_advertised_price": nothing if advertised is None else advertised,
        }

    def _check_rival_shares(self, called: list[str]) -> None:
        if self.rival_at_least is None and self.rival_at_most is None:
            return
        shares = {"rival_at_least": (self.rival_at_least, 0.0), "rival_at_most": (self.rival_at_most, _NO_SHARE)}
        for name, (given, default) in shares.items():
            filled = np.full_like(self.floor, default) if given is None else np.asarray(given, dtype=np.float64)
            vars(self)[name] = np.broadcast_to(filled, self.floor.shape)
        wrong = np.flatnonzero(self.rival_shares[0] > self.rival_shares[1])
        if wrong.size:
            raise ValueError(f"rival_at_least must be at most rival_at_most; got more for {called[wrong[0]]}; fix it")

    @property
    def rival_shares(self) -> tuple[Prices, Prices]:
        """(N,) least and largest share of the rival's price, or (0,) where no rule refers to it."""
        if self.rival_at_least is None or self.rival_at_most is None:
            return np.empty(0, np.float32), np.empty(0, np.float32)
        return self.rival_at_least.astype(np.float32), self.rival_at_most.astype(np.float32)

    def _check_range(self, low: Array, high: Array, margin_low: Array, called: list[str]) -> None:
        empty = np.flatnonzero(~(low <= high))
        if empty.size:
            i, advertised = int(empty[0]), self.minimum_advertised_price
            also = "" if advertised is None else f"minimum advertised price {advertised[i]:g}, "
            raise ValueError(
                f"guardrails must leave at least one allowed price{self.grid.words}; {called[i]} got floor "
                f"{self.floor[i]:g}, minimum margin price {margin_low[i]:g}, {also}ceiling {self.ceiling[i]:g}; "
                "widen the range"
            )

    def _check_line_bounds(self, low: Array, high: Array, called: list[str]) -> None:
        for line in self.lines:
            for i, small in enumerate(line):
                large = min(line[i:], key=high.__getitem__)
                if low[small] > high[large]:
                    raise ValueError(
                        f"a line of products must allow prices that do not fall; {called[small]} got at least "
                        f"{low[small]:g}, the larger {called[large]} at most {high[large]:g}; fix the bounds or the line"
                    )

    def _link_bounds(self, low: Array, high: Array, called: list[str]) -> tuple[Array, Array]:
        """Bounds that the product lines and price gaps leave."""
        low, high = self.links.bounds(low, high, self.grid)
        empty = np.flatnonzero(low > high)
        if empty.size:
            n = int(empty[0])
            raise ValueError(
                f"price gaps must leave at least one allowed price{self.grid.words}; {called[n]} got at least {low[n]:g} "
                f"and at most {max(high[n], 0):g}; fix its bounds, or gaps that contradict each other"
            )
        return low, high

    def prices_before(self, regular_price: NDArray[np.floating]) -> Array:
        """(P, N) the list prices before the first period that the rules look at, oldest first, within the bounds.

        They are those charged last, else regular ones. A product whose price must not change has its regular price
        throughout; from it on prices move that may move in one direction only.
        """
        regular = np.asarray(regular_price, np.float64)
        past = regular[None] if self.past_price is None or self.direction != "any" else self.past_price
        if self.frozen is not None:
            past = np.where(self.frozen, regular, past)
        oldest = max(len(past) - 1 - self.past_periods, 0)
        rows = np.pad(past[oldest:], ((max(self.past_periods + 1 - len(past), 0), 0), (0, 0)), mode="edge")
        return np.clip(rows, self.low, self.high)

    @property
    def past_periods(self) -> int:
        """How many prices before the current one a market must keep for these rules."""
        return max(self.change_window_periods or 1, self.prior_price_periods or 1) - 1

    @property
    def bounds_only(self) -> bool:
        """Whether only bounds and the grid limit a list price, neither past prices nor other products."""
        depends = [self.max_change, self.max_changes, self.frozen]
        apart = all(rule is None for rule in depends) and self.direction == "any"
        return apart and not (len(self.links) or self.rival_shares[0].size)

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

    def nearest(self, price: ArrayLike) -> Array:
        """The nearest prices that grid and bounds allow, the line order apart; price: (…, N) currency per unit."""
        low, high = self.own_low.astype(np.float64), self.own_high.astype(np.float64)
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
        price, discount = np.asarray(action.price, dtype=np.float32), action.discount
        steps = [] if action.as_charged else list(self._price_steps(price, view))
        prices = [price, *(after for _, after in steps)]
        applied = list(zip((rule for rule, _ in steps), prices, prices[1:], strict=False))
        price = prices[-1]
        if discount is not None:
            discount, cap = np.asarray(discount, dtype=np.float32), np.float32(self.max_discount)
            capped, paid_low = capped_discount(discount, cap), self.paid_low * np.float32(not action.as_charged)
            least, spread = capped.min(axis=-1, keepdims=True), np.float32(self.max_segment_spread)
            shares = discount, capped, *discount_steps(capped, least, price[..., None], paid_low[:, None], spread)
            applied += zip(DISCOUNT_RULES, shares, shares[1:], strict=False)
            discount = shares[-1]
        lowest, prior = view.lowest_price_30_days, None
        if lowest is not None:
            announced = prior_price if self.law is None else self.law.announced
            prior = announced(price, view.list_price, lowest, view.prior_price)
        return GuardedAction(price, discount, prior, applied)

    def _price_steps(self, price: Prices, view: MarketView) -> Iterator[tuple[str, Prices]]:
        """Each rule for list prices in turn, with the price after it."""
        in_force, planned = view.list_price, self._planned(view)
        held = np.zeros(price.shape, dtype=np.bool_)
        shares = self.rival_shares
        if shares[0].size and view.competitor_price is not None:
            price = near_rival(price, view.competitor_price, *shares, self.constants)
            yield "rival_price", price
        for rule, holds in self._holding(view).items():
            bounds = (self.own_low, self.own_high, self.constants)
            stays = held_price(price, in_force, planned, *bounds) if rule == "max_changes" else in_force
            # What follows the plan moves, and gives way to what does not.
            price, held = np.where(holds, stays, price), held | (holds & (stays == in_force))
            yield rule, price
        if self.direction != "any":
            price = np.where(turns_back(price, in_force, DIRECTIONS[self.direction]), in_force, price)
            yield "direction", price
        steps = price_steps(price, in_force, planned, self.own_low, self.own_high, self.constants)
        yield from zip(STEP_RULES, steps, strict=True)
        price = steps[-1]
        if len(self.links):
            held = np.broadcast_to(held, price.shape)
            price = self.links.guarded(price, held, self.low, self.high, self.constants)
            yield "line_order", price

    def _planned(self, view: MarketView) -> Prices:
        """(E, N) or (1,) the planned prices of the view's periods, NaN for none."""
        rows = self.planned_rows
        return rows[np.minimum(view.period, len(rows) - 1)] if len(rows) else np.full(1, np.nan, np.float32)

    def _holding(self, view: MarketView) -> dict[str, NDArray[np.bool_]]:
        """The rules that keep current prices, each with the products (N,) or (E, N) that it holds."""
        holding = {} if self.frozen is None else {"frozen": self.frozen}
        if self.max_changes is not None:
            if view.changes is None:
                raise ValueError("price rules with max_changes need MarketView.changes; got a view without; give it")
            holding["max_changes"] = view.changes >= self.max_changes
        return holding

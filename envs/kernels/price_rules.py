"""Compiled price rules (guardrails): from proposed prices and discounts to allowed ones.

The trail says which rules changed a price. Each loop calls, for one product of one market, the same
formula that `pricing` applies to whole arrays. Arrays lie (…, N, E). Past prices are (H * N, E):
row i * N + n is the price of product n in the i-th period before the current price was set.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from ...pricing import endings, grids
from ...pricing.grids import ENDINGS, LADDER, NO_GRID, TICK
from ...pricing.rule_formulas import (
    BITS,
    DISCOUNT_RULES,
    STEP_RULES,
    StepConstants,
    capped_discount,
    discount_steps,
    price_steps,
    under_held,
)
from ...scenarios import MarketSpec
from ..jit.math import compiled, lean

for _formula in (
    endings.ranked_price,
    endings.rank_above,
    endings.rank_below,
    endings.nearest_rank,
    grids.nearest_step,
    grids.on_ladder,
    grids.on_tick,
    endings.on_ending,
    price_steps,
    under_held,
    capped_discount,
    discount_steps,
):
    register_jitable(error_model="numpy")(_formula)

_ZERO, _NONE = np.float32(0), np.int32(0)
_STEPS = tuple(np.int32(BITS[rule]) for rule in STEP_RULES)
_DISCOUNTS = tuple(np.int32(BITS[rule]) for rule in DISCOUNT_RULES)
_FROZEN, _USED_UP, _LINE = (BITS[rule] for rule in ("frozen", "max_changes", "line_order"))


class PriceRules(NamedTuple):
    """Price rules as arrays.

    Attributes:
        low: (N,) lower bound of each product on its own, currency per unit.
        high: (N,) upper bound of each product on its own.
        steps: Further arguments of `price_steps`.
        frozen: (N,) whether the price may not change, or (0,) if all may.
        most_changes: Largest number of changes within the window; 0 for no limit.
        window: Periods.
        line: Products of all product lines, one line after the other, each from its smallest
            product.
        starts_line: For each entry of line, whether it is the first of its line.
        line_low: (N,) lower bound that remains once the lines are in order.
        line_high: (N,) upper bound that remains once the lines are in order.
        paid_low: (N,) lower bound of the price after a discount.
        cap: Largest discount, a share.
        spread: Largest difference between the discounts of two segments.
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    steps: StepConstants
    frozen: NDArray[np.bool_]
    most_changes: int
    window: int
    line: NDArray[np.int64]
    starts_line: NDArray[np.bool_]
    line_low: NDArray[np.float32]
    line_high: NDArray[np.float32]
    paid_low: NDArray[np.float32]
    cap: np.float32
    spread: np.float32

    @classmethod
    def of(cls, spec: MarketSpec) -> PriceRules:
        """The price rules of a scenario."""
        rules, steps = spec.guardrails, spec.guardrails.constants
        # The steps of a ladder are read-only, a type of its own to the compiler.
        steps = steps._replace(steps=np.array(steps.steps))
        return cls(
            low=rules.own_low,
            high=rules.own_high,
            steps=steps,
            frozen=np.empty(0, np.bool_) if rules.frozen is None else rules.frozen,
            most_changes=rules.max_changes or 0,
            window=rules.change_window_periods or 1,
            line=np.array([n for line in rules.lines for n in line], np.int64),
            starts_line=np.array([n == line[0] for line in rules.lines for n in line], np.bool_),
            line_low=rules.low,
            line_high=rules.high,
            paid_low=rules.paid_low,
            cap=np.float32(rules.max_discount),
            spread=np.float32(rules.max_segment_spread),
        )


@lean
def guard_prices(proposed, current, past, rules, price, trail):
    """Fill allowed prices and the rules that changed them.

    Args:
        proposed: (N, E) currency per unit.
        current: (N, E) current prices.
        past: (H * N, E) past prices.
        rules: `PriceRules`.
        price: (N, E), filled.
        trail: (N, E) uint16, filled; bit i is set where the i-th rule changed the price.
    """
    if rules.frozen.size or rules.most_changes > 0 or rules.line.size:
        _guard_together(proposed, current, past, rules, price, trail)
    else:
        _guard_apart(proposed, current, rules, price, trail)


@compiled
def _guard_together(proposed, current, past, rules, price, trail):
    """As `guard_prices`, where prices may be held or depend on one another."""
    holding = rules.frozen.size > 0 or rules.most_changes > 0
    held_price, held = proposed, np.zeros(price.shape, np.bool_)
    if holding:
        held_price = np.empty_like(price)
        hold(proposed, current, past, rules, held_price, held)
    _guard_apart(held_price, current, rules, price, trail)
    if holding:
        note_held(proposed, current, rules, held, trail)
    if rules.line.size:
        order_lines(rules, held, price, trail)


@lean
def _guard_apart(proposed, current, rules, price, trail):
    """As `guard_prices`, each product on its own."""
    grid, steps, tick, change, margin_low, advertised_low = rules.steps
    for n in range(price.shape[0]):
        bounds = (rules.low[n], rules.high[n], margin_low[n], advertised_low[n])
        # Constants, not a variable: the loop without a grid then has no branch and uses SIMD.
        if grid == LADDER:
            _guard_row(LADDER, steps, tick, change, bounds, proposed[n], current[n], price[n], trail[n])
        elif grid == TICK:
            _guard_row(TICK, steps, tick, change, bounds, proposed[n], current[n], price[n], trail[n])
        elif grid == ENDINGS:
            _guard_row(ENDINGS, steps, tick, change, bounds, proposed[n], current[n], price[n], trail[n])
        else:
            _guard_row(NO_GRID, steps, tick, change, bounds, proposed[n], current[n], price[n], trail[n])


@lean
def _guard_row(grid, steps, tick, change, bounds, proposed, current, price, trail):
    """One product's prices, (E,)."""
    low, high, margin_low, advertised_low = bounds
    for e in range(price.size):
        constants = (grid, steps, tick, change, margin_low, advertised_low)
        after = price_steps(proposed[e], current[e], low, high, constants)
        proper, moved, snapped, margin, advertised, floored, final = after
        bits = _STEPS[0] if proper != proposed[e] else _NONE
        bits |= _STEPS[1] if moved != proper else _NONE
        bits |= _STEPS[2] if snapped != moved else _NONE
        bits |= _STEPS[3] if margin != snapped else _NONE
        bits |= _STEPS[4] if advertised != margin else _NONE
        bits |= _STEPS[5] if floored != advertised else _NONE
        bits |= _STEPS[6] if final != floored else _NONE
        price[e] = final
        trail[e] = bits


@lean
def hold(proposed, current, past, rules, held_price, held):
    """Fill which prices are held, (N, E), and the proposed prices after that, (N, E)."""
    products, markets = proposed.shape
    for n in range(products):
        frozen = rules.frozen.size > 0 and rules.frozen[n]
        for e in range(markets):
            used_up = rules.most_changes > 0 and changes(current, past, rules.window, n, e) >= rules.most_changes
            held[n, e] = frozen or used_up
            held_price[n, e] = current[n, e] if held[n, e] else proposed[n, e]


@lean
def changes(current, past, window, n, e):
    """Number of price changes in the window before the current period, for product n in market e."""
    count, later = 0, current[n, e]
    for i in range(window - 1):
        earlier = past[i * current.shape[0] + n, e]
        count += int(earlier != later)
        later = earlier
    return count


@lean
def note_held(proposed, current, rules, held, trail):
    """Add the rules that held a price to the trail."""
    for n in range(proposed.shape[0]):
        bit = _FROZEN if rules.frozen.size > 0 and rules.frozen[n] else _USED_UP
        for e in range(proposed.shape[1]):
            if held[n, e] and proposed[n, e] != current[n, e]:
                trail[n, e] |= bit


@compiled
def order_lines(rules, held, price, trail):
    """Let no price fall along a product line, in place; the same as `Guardrails._in_line`."""
    size, before, cap = rules.line.size, price.copy(), np.empty(price.shape[1], price.dtype)
    for i in range(size - 1, -1, -1):
        n = rules.line[i]
        if i == size - 1 or rules.starts_line[i + 1]:
            cap[:] = np.inf
        for e in range(cap.size):
            fitted = under_held(price[n, e], cap[e], held[n, e], rules.line_low[n], rules.line_high[n])
            price[n, e], cap[e] = fitted
    for i in range(size):
        n = rules.line[i]
        for e in range(cap.size):
            least = _ZERO if rules.starts_line[i] else price[rules.line[i - 1], e]
            price[n, e] = max(price[n, e], least)
            if price[n, e] != before[n, e]:
                trail[n, e] |= _LINE


@compiled
def guard_discounts(proposed, price, rules, allowed, trail):
    """Fill allowed discounts, (K, N, E), and add the rules that changed them to the trail, (N, E)."""
    segments, products, markets = proposed.shape
    low, cap, spread, least = rules.paid_low, rules.cap, rules.spread, np.empty(markets, proposed.dtype)
    for n in range(products):
        least[:] = cap
        for k in range(segments):
            for e in range(markets):
                least[e] = min(least[e], capped_discount(proposed[k, n, e], cap))
        for k in range(segments):
            for e in range(markets):
                before = proposed[k, n, e]
                capped = capped_discount(before, cap)
                near, final = discount_steps(capped, least[e], price[n, e], low[n], spread)
                bits = _DISCOUNTS[0] if capped != before else _NONE
                bits |= _DISCOUNTS[1] if near != capped else _NONE
                bits |= _DISCOUNTS[2] if final != near else _NONE
                trail[n, e] |= bits
                allowed[k, n, e] = final


@lean
def remember(price, past):
    """Shift the past prices by a period and store this price, (N, E), as the latest."""
    products, markets = price.shape
    for row in range(past.shape[0] - 1, -1, -1):
        for e in range(markets):
            past[row, e] = past[row - products, e] if row >= products else price[row, e]

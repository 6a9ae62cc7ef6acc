"""The price rules of `pricing` compiled for many markets at once, and the past prices that some of them ask for.

Each loop calls, for one product of one market, the very formula that `pricing` calls on whole arrays. Arrays lie (…, N, E).
Past prices are (H * N, E): row i * N + n is the price of product n in the i-th period before the one that set the price in
force.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from ...pricing import endings, grids
from ...pricing.grids import ENDINGS, LADDER, NO_GRID, TICK
from ...pricing.rule_formulas import (
    BITS,
    DISCOUNT_RULES,
    STEP_RULES,
    capped_discount,
    discount_steps,
    price_steps,
    under_held,
)
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


@lean
def guard_prices(proposed, in_force, past, rules, price, trail):
    """Allowed prices, and which rules changed them."""
    if rules.frozen.size or rules.most_changes > 0 or rules.line.size:
        _guard_together(proposed, in_force, past, rules, price, trail)
    else:
        _guard_apart(proposed, in_force, rules, price, trail)


@compiled
def _guard_together(proposed, in_force, past, rules, price, trail):
    """As `guard_prices`, where prices may be held in force or depend on one another."""
    holding = rules.frozen.size > 0 or rules.most_changes > 0
    asked, held = proposed, np.zeros(price.shape, np.bool_)
    if holding:
        asked = np.empty_like(price)
        hold(proposed, in_force, past, rules, asked, held)
    _guard_apart(asked, in_force, rules, price, trail)
    if holding:
        note_held(proposed, in_force, rules, held, trail)
    if rules.line.size:
        order_lines(rules, held, price, trail)


@lean
def _guard_apart(proposed, in_force, rules, price, trail):
    """As `guard_prices`, each product by itself."""
    grid, steps, tick, change, margin_low, advertised_low = rules.steps
    for n in range(price.shape[0]):
        bounds = (rules.low[n], rules.high[n], margin_low[n], advertised_low[n])
        # Named kinds, not a variable: the loop without a grid then has no branch and goes by SIMD.
        if grid == LADDER:
            _guard_row(LADDER, steps, tick, change, bounds, proposed[n], in_force[n], price[n], trail[n])
        elif grid == TICK:
            _guard_row(TICK, steps, tick, change, bounds, proposed[n], in_force[n], price[n], trail[n])
        elif grid == ENDINGS:
            _guard_row(ENDINGS, steps, tick, change, bounds, proposed[n], in_force[n], price[n], trail[n])
        else:
            _guard_row(NO_GRID, steps, tick, change, bounds, proposed[n], in_force[n], price[n], trail[n])


@lean
def _guard_row(grid, steps, tick, change, bounds, proposed, in_force, price, trail):
    """One product's prices, (E,)."""
    low, high, margin_low, advertised_low = bounds
    for e in range(price.size):
        constants = (grid, steps, tick, change, margin_low, advertised_low)
        after = price_steps(proposed[e], in_force[e], low, high, constants)
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
def hold(proposed, in_force, past, rules, asked, held):
    """Which prices are held in force, and what is asked for once they are."""
    products, markets = proposed.shape
    for n in range(products):
        frozen = rules.frozen.size > 0 and rules.frozen[n]
        for e in range(markets):
            used_up = rules.most_changes > 0 and changes(in_force, past, rules.window, n, e) >= rules.most_changes
            held[n, e] = frozen or used_up
            asked[n, e] = in_force[n, e] if held[n, e] else proposed[n, e]


@lean
def changes(in_force, past, window, n, e):
    """How often a price changed in the window's periods before the present one."""
    count, later = 0, in_force[n, e]
    for i in range(window - 1):
        earlier = past[i * in_force.shape[0] + n, e]
        count += int(earlier != later)
        later = earlier
    return count


@lean
def note_held(proposed, in_force, rules, held, trail):
    """Add the rules that held a price to the trail."""
    for n in range(proposed.shape[0]):
        bit = _FROZEN if rules.frozen.size > 0 and rules.frozen[n] else _USED_UP
        for e in range(proposed.shape[1]):
            if held[n, e] and proposed[n, e] != in_force[n, e]:
                trail[n, e] |= bit


@compiled
def order_lines(rules, held, price, trail):
    """Let no price fall along a line: `Guardrails._in_line`, in place."""
    size, before, cap = rules.line.size, price.copy(), np.empty(price.shape[1], price.dtype)
    for i in range(size - 1, -1, -1):
        n = rules.line[i]
        if i == size - 1 or rules.opens[i + 1]:
            cap[:] = np.inf
        for e in range(cap.size):
            fitted = under_held(price[n, e], cap[e], held[n, e], rules.line_low[n], rules.line_high[n])
            price[n, e], cap[e] = fitted
    for i in range(size):
        n = rules.line[i]
        for e in range(cap.size):
            least = _ZERO if rules.opens[i] else price[rules.line[i - 1], e]
            price[n, e] = max(price[n, e], least)
            if price[n, e] != before[n, e]:
                trail[n, e] |= _LINE


@compiled
def guard_discounts(proposed, price, rules, allowed, trail):
    """Allowed discounts, and which rules changed them."""
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
    """Move the past prices on by a period, whose price was this one."""
    products, markets = price.shape
    for row in range(past.shape[0] - 1, -1, -1):
        for e in range(markets):
            past[row, e] = past[row - products, e] if row >= products else price[row, e]

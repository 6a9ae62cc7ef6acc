"""The formulas of `pricing` compiled for many markets at once: decoding, guardrails, features.

`pricing` itself knows numpy alone; each loop here calls, for one product of one market, the very function that `pricing`
calls on whole arrays. Arrays lie (…, N, E), rows for learners (E, …).
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from ..pricing import FEATURE_LIMIT, MOVING_FEATURES
from ..pricing.features import FeatureConstants, log_competitor, log_cover, log_surprise, log_units
from ..pricing.guardrails import (
    LADDER,
    NO_GRID,
    RULES,
    TICK,
    Guardrails,
    capped_discount,
    discount_steps,
    nearest_step,
    on_ladder,
    on_tick,
    price_steps,
)
from ..pricing.layout import ActionLayout, price_multiplier
from .fastmath import compiled, inlined, logarithm
from .state import LAST_UNITS, LIST_PRICE, ON_HAND, PIPELINE, REFERENCE_PRICE, Floats, MarketState

for _formula in (
    price_multiplier,
    nearest_step,
    on_ladder,
    on_tick,
    price_steps,
    capped_discount,
    discount_steps,
    log_units,
    log_competitor,
    log_cover,
    log_surprise,
):
    register_jitable(error_model="numpy")(_formula)

_ZERO, _ONE, _LIMIT = np.float32(0), np.float32(1), np.float32(FEATURE_LIMIT)
_BITS, _NONE = tuple(np.int32(1 << i) for i in range(len(RULES))), np.int32(0)
_MOVING = len(MOVING_FEATURES)
# Rows of a block behind the features: what the features need by period.
AHEAD, NOW, BEFORE, STARTED, _ROWS = range(_MOVING, _MOVING + 5)
_BLOCK = 256


def guard(
    rules: Guardrails, constants: tuple, proposed: Floats, discount: Floats | None, in_force: Floats
) -> tuple[Floats, Floats | None, NDArray[np.uint16]]:
    """`Guardrails.apply` for prices (N, E) and discounts (K, N, E): allowed prices, discounts and trail.

    constants: of the rules, as `Guardrails.constants` gives them. in_force: (N, E) list price.
    """
    price, trail = np.empty_like(proposed), np.zeros(proposed.shape, np.uint16)
    guard_prices(proposed, in_force, rules.low, rules.high, constants, price, trail)
    if discount is None:
        return price, None, trail
    allowed = np.empty_like(discount)
    caps = (np.float32(rules.max_discount), np.float32(rules.max_segment_spread))
    guard_discounts(discount, price, rules.low, *caps, allowed, trail)
    return price, allowed, trail


@compiled
def guard_prices(proposed, in_force, low, high, constants, price, trail):
    """Allowed prices, and which rules changed them."""
    grid, steps, tick, change, margin_low = constants
    for n in range(price.shape[0]):
        bounds = (low[n], high[n], margin_low[n])
        # Named kinds, not a variable: the loop without a grid then has no branch and goes by SIMD.
        if grid == LADDER:
            _guard_row(LADDER, steps, tick, change, bounds, proposed[n], in_force[n], price[n], trail[n])
        elif grid == TICK:
            _guard_row(TICK, steps, tick, change, bounds, proposed[n], in_force[n], price[n], trail[n])
        else:
            _guard_row(NO_GRID, steps, tick, change, bounds, proposed[n], in_force[n], price[n], trail[n])


@compiled
def _guard_row(grid, steps, tick, change, bounds, proposed, in_force, price, trail):
    """One product's prices, (E,)."""
    low, high, margin_low = bounds
    for e in range(price.size):
        constants = (grid, steps, tick, change, margin_low)
        proper, moved, snapped, margin, floored, final = price_steps(proposed[e], in_force[e], low, high, constants)
        bits = _BITS[0] if proper != proposed[e] else _NONE
        bits |= _BITS[1] if moved != proper else _NONE
        bits |= _BITS[2] if snapped != moved else _NONE
        bits |= _BITS[3] if margin != snapped else _NONE
        bits |= _BITS[4] if floored != margin else _NONE
        bits |= _BITS[5] if final != floored else _NONE
        price[e] = final
        trail[e] = bits


@compiled
def guard_discounts(proposed, price, low, cap, spread, allowed, trail):
    """Allowed discounts, and which rules changed them."""
    segments, products, markets = proposed.shape
    least = np.empty(markets, proposed.dtype)
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
                bits = _BITS[6] if capped != before else _NONE
                bits |= _BITS[7] if near != capped else _NONE
                bits |= _BITS[8] if final != near else _NONE
                trail[n, e] |= bits
                allowed[k, n, e] = final


def decode(layout: ActionLayout, raw: Floats, base_price: Floats, max_order: Floats) -> dict[str, Floats | None]:
    """`ActionLayout.decode` for raw rows (E, N * A): price (N, E), discount and recommendation (K, N, E), promotion and
    order in units (N, E), None where the layout has none. A NaN counts as zero."""
    products, markets, segments = base_price.size, len(raw), layout.num_segments
    parts: dict[str, Floats | None] = {
        "price": np.empty((products, markets), np.float32),
        "discount": np.empty((segments, products, markets), np.float32) if layout.discounts else None,
        "recommendation": np.empty((segments, products, markets), np.float32) if layout.recommend else None,
        "promotion": np.empty((products, markets), np.float32) if layout.promote else None,
        "order": np.empty((products, markets), np.float32) if layout.order else None,
    }
    none, none3 = np.empty((0, markets), np.float32), np.empty((0, products, markets), np.float32)
    high, low = layout.logs
    decode_rows(
        raw.reshape(markets, products, layout.size),
        base_price,
        (np.float32(high), np.float32(low), np.float32(layout.max_discount)),
        parts["price"],
        none3 if parts["discount"] is None else parts["discount"],
        none3 if parts["recommendation"] is None else parts["recommendation"],
        none if parts["promotion"] is None else parts["promotion"],
        none if parts["order"] is None else parts["order"],
        max_order,
    )
    return parts


@inlined
def _proper(x):
    """Within [-1, 1]; a NaN is zero."""
    return min(max(x, -_ONE), _ONE) if x == x else _ZERO


@compiled
def decode_rows(raw, base_price, scales, price, discount, recommendation, promotion, order, max_order):
    """Fill the parts from raw (E, N, A)."""
    log_high, log_low, max_discount = scales
    for n in range(raw.shape[1]):
        for e in range(raw.shape[0]):
            price[n, e] = _proper(raw[e, n, 0])
        for e in range(raw.shape[0]):
            price[n, e] = base_price[n] * price_multiplier(price[n, e], log_high, log_low)
        column = 1
        for k in range(discount.shape[0]):
            for e in range(raw.shape[0]):
                discount[k, n, e] = max(_proper(raw[e, n, column]), _ZERO) * max_discount
            column += 1
        for k in range(recommendation.shape[0]):
            for e in range(raw.shape[0]):
                recommendation[k, n, e] = _proper(raw[e, n, column])
            column += 1
        if promotion.shape[0]:
            for e in range(raw.shape[0]):
                promotion[n, e] = _proper(raw[e, n, column])
            column += 1
        if order.shape[0]:
            for e in range(raw.shape[0]):
                order[n, e] = np.floor(max(_proper(raw[e, n, column]), _ZERO) * max_order[n] + np.float32(0.5))


def market_features(
    c: FeatureConstants, catalogue_flags: tuple[bool, int, bool], state: MarketState, competitor: Floats, *, fixed: bool
) -> Floats:
    """`product_features` of the present state: (E, N, F).

    catalogue_flags: whether there are rivals, how many regimes are seen, whether loyalty is seen. competitor: (N, E) lowest
    rival price, or (0, E).
    """
    rivals, regimes, loyal = catalogue_flags
    products, markets = state.lanes.shape[1:]
    loyalty = state.context[state.layout.loyalty] if loyal else np.empty((0, markets), np.float32)
    moving = _MOVING + int(rivals) + regimes + len(loyalty)
    out = np.empty((markets, products, moving + (c.fixed.shape[1] if fixed else 0)), np.float32)
    tables = (c.time, c.log_season, c.log_outlook, c.log_ahead, c.log_now, c.log_before)
    observe_moving(state.period, state.lanes, c.log_regular, c.category, tables, out)
    if moving > _MOVING:
        observe_market(state.lanes[LIST_PRICE], competitor, state.regime, regimes, loyalty, out)
    if fixed:
        out[:, :, moving:] = c.fixed
    return out


@compiled
def observe_moving(period, lanes, log_regular, category, tables, out):
    """Fill the columns of `MOVING_FEATURES`."""
    products, markets = lanes.shape[1:]
    log_price = np.empty((products, markets), lanes.dtype)
    category_price = np.zeros((category.max() + 1, markets), lanes.dtype)
    count = np.zeros(category.max() + 1, lanes.dtype)
    same = True
    for e in range(markets):
        same &= period[e] == period[0]
    for n in range(products):
        count[category[n]] += _ONE
        for e in range(markets):
            log_price[n, e] = logarithm(lanes[LIST_PRICE, n, e]) - log_regular[n]
            category_price[category[n], e] += log_price[n, e]
    for c in range(count.size):
        share = _ONE / count[c]
        for e in range(markets):
            category_price[c, e] *= share
    on_order, rows = np.zeros(markets, lanes.dtype), np.empty((_ROWS, _BLOCK), lanes.dtype)
    for n in range(products):
        if lanes.shape[0] > PIPELINE:
            on_order[:] = lanes[PIPELINE, n]
            for place in range(PIPELINE + 1, lanes.shape[0]):
                for e in range(markets):
                    on_order[e] += lanes[place, n, e]
        for first in range(0, markets, _BLOCK):
            span = slice(first, min(first + _BLOCK, markets))
            _fill_clock(tables, same, period[span], n, rows)
            prices = (lanes[REFERENCE_PRICE, n, span], lanes[LIST_PRICE, n, span])
            _fill_prices(*prices, log_price[n, span], category_price[category[n], span], rows)
            _fill_units(lanes[ON_HAND, n, span], on_order[span], lanes[LAST_UNITS, n, span], rows)
            _write_block(rows, out[span, n])


@inlined
def within_limit(x):
    """Cut to the limit of every feature."""
    return min(max(x, -_LIMIT), _LIMIT)


@compiled
def _fill_clock(tables, same, period, n, rows):
    """Columns and forecasts that follow the calendar."""
    time, by_product = tables[0], tables[1:]
    first = period[0]
    if same:
        for i, row in ((0, 0), (1, 1), (2, STARTED)):
            rows[row] = time[first, i]
        for i, row in ((0, 7), (1, 8), (2, AHEAD), (3, NOW), (4, BEFORE)):
            rows[row] = by_product[i][first, n]
        return
    for j in range(period.size):
        t = period[j]
        for i, row in ((0, 0), (1, 1), (2, STARTED)):
            rows[row, j] = time[t, i]
        for i, row in ((0, 7), (1, 8), (2, AHEAD), (3, NOW), (4, BEFORE)):
            rows[row, j] = by_product[i][t, n]


@compiled
def _fill_prices(reference, price, log_price, category_price, rows):
    """Columns of the prices."""
    for row, values in ((rows[2], log_price), (rows[4], category_price)):
        for j in range(price.size):
            row[j] = within_limit(values[j])
    distance = rows[3]
    for j in range(price.size):
        distance[j] = within_limit(logarithm(reference[j] / price[j]))


@compiled
def _fill_units(on_hand, on_order, last, rows):
    """Columns of stock and sales."""
    stock, position, surprise = rows[5], rows[6], rows[9]
    ahead, now, before, started = rows[AHEAD], rows[NOW], rows[BEFORE], rows[STARTED]
    for j in range(on_order.size):
        stock[j] = log_cover(log_units(on_hand[j]), ahead[j])
    for j in range(on_order.size):
        position[j] = log_cover(log_units(on_hand[j] + on_order[j]), now[j])
    for j in range(on_order.size):
        surprise[j] = within_limit(log_surprise(log_units(last[j]), before[j], started[j]))


@compiled
def _write_block(rows, out):
    """Transpose a block into rows of a learner; out: (block, F)."""
    for j in range(out.shape[0]):
        for i in range(_MOVING):
            out[j, i] = rows[i, j]


@compiled
def observe_market(price, competitor, regime, regimes, loyalty, out):
    """Fill the columns of `MARKET_FEATURES` behind the moving ones."""
    products, markets = price.shape
    rows = np.empty((int(competitor.shape[0] > 0) + regimes + loyalty.shape[0], markets), price.dtype)
    common = rows[int(competitor.shape[0] > 0) :]
    for z in range(regimes):
        for e in range(markets):
            common[z, e] = _ONE if regime[e] == z else _ZERO
    for k in range(loyalty.shape[0]):
        for e in range(markets):
            common[regimes + k, e] = logarithm(loyalty[k, e])
    for n in range(products):
        if competitor.shape[0]:
            compare_prices(competitor[n], price[n], rows[0])
        for i in range(rows.shape[0]):
            for e in range(markets):
                out[e, n, _MOVING + i] = rows[i, e]


@compiled
def compare_prices(competitor, price, out):
    """The column of the lowest rival price."""
    for e in range(price.size):
        out[e] = log_competitor(competitor[e], price[e])

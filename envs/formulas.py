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
from .choosing import add
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
_BLOCK = 64


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
    """Fill the parts from raw (E, N, A), column by column."""
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
    time, log_season, log_outlook, log_ahead, log_now, log_before = tables
    planes = np.empty((6, products, markets), lanes.dtype)
    same = True
    for e in range(markets):
        same &= period[e] == period[0]
    compare_to_regular(lanes[LIST_PRICE], log_regular, planes[0])
    compare_to_reference(lanes[REFERENCE_PRICE], lanes[LIST_PRICE], planes[1])
    average_by_category(planes[0], category, planes[2])
    position = lanes[ON_HAND].copy()
    for place in range(PIPELINE, lanes.shape[0]):
        add(lanes[place], position)
    cover(lanes[ON_HAND], log_ahead, period, same, planes[3])
    cover(position, log_now, period, same, planes[4])
    surprise(lanes[LAST_UNITS], log_before, time, period, planes[5])
    # In blocks of markets, so that rows half written stay in the nearest cache.
    for first in range(0, markets, _BLOCK):
        for n in range(products):
            for e in range(first, min(first + _BLOCK, markets)):
                t = period[e]
                out[e, n, 0] = time[t, 0]
                out[e, n, 1] = time[t, 1]
                out[e, n, 2] = within_limit(planes[0, n, e])
                out[e, n, 3] = planes[1, n, e]
                out[e, n, 4] = within_limit(planes[2, n, e])
                out[e, n, 5] = planes[3, n, e]
                out[e, n, 6] = planes[4, n, e]
                out[e, n, 7] = log_season[t, n]
                out[e, n, 8] = log_outlook[t, n]
                out[e, n, 9] = planes[5, n, e]


@inlined
def within_limit(x):
    """Cut to the limit of every feature."""
    return min(max(x, -_LIMIT), _LIMIT)


@compiled
def compare_to_regular(price, log_regular, out):
    """The column `log_price`, not yet cut to the limit."""
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            out[n, e] = logarithm(price[n, e]) - log_regular[n]


@compiled
def compare_to_reference(reference, price, out):
    """The column `log_reference`."""
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            out[n, e] = within_limit(logarithm(reference[n, e] / price[n, e]))


@compiled
def average_by_category(log_price, category, out):
    """The column `log_category_price`, not yet cut to the limit."""
    products, markets = out.shape
    total, count = np.zeros((category.max() + 1, markets), out.dtype), np.zeros(category.max() + 1, out.dtype)
    for n in range(products):
        c = category[n]
        count[c] += _ONE
        for e in range(markets):
            total[c, e] += log_price[n, e]
    for n in range(products):
        c = category[n]
        share = _ONE / count[c]
        for e in range(markets):
            out[n, e] = total[c, e] * share


@compiled
def cover(units, log_forecast, period, same, out):
    """A column of stock against the forecast, a (T + 1, N) table."""
    for n in range(out.shape[0]):
        if same:
            wanted = log_forecast[period[0], n]
            for e in range(out.shape[1]):
                out[n, e] = log_cover(log_units(units[n, e]), wanted)
        else:
            for e in range(out.shape[1]):
                out[n, e] = log_cover(log_units(units[n, e]), log_forecast[period[e], n])


@compiled
def surprise(last, log_before, time, period, out):
    """The column `log_surprise`."""
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            out[n, e] = log_units(last[n, e])
        for e in range(out.shape[1]):
            t = period[e]
            out[n, e] = within_limit(log_surprise(out[n, e], log_before[t, n], time[t, 2]))


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

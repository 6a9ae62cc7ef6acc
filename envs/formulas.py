"""The formulas of `pricing` compiled for many markets at once: decoding and features. `guarding` has the price rules.

`pricing` itself knows numpy alone; each loop here calls, for one product of one market, the very function that `pricing`
calls on whole arrays. Arrays lie (…, N, E), rows for learners (E, …).
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from ..pricing import FEATURE_LIMIT, MOVING_FEATURES
from ..pricing.features import FeatureConstants, log_competitor, log_cover, log_surprise, log_units
from ..pricing.layout import ActionLayout, price_multiplier
from .choosing import add
from .fastmath import compiled, inlined, logarithm
from .guarding import changes
from .random import BLOCK, empty_block, fill_block
from .state import LAST_UNITS, LIST_PRICE, ON_HAND, PERIOD, PIPELINE, REFERENCE_PRICE, REGIME, shared_rows

for _formula in (price_multiplier, log_units, log_competitor, log_cover, log_surprise):
    register_jitable(error_model="numpy")(_formula)

_ZERO, _HALF, _ONE, _LIMIT = np.float32(0), np.float32(0.5), np.float32(1), np.float32(FEATURE_LIMIT)
_MOVING = len(MOVING_FEATURES)


@functools.lru_cache(maxsize=32)
def decoding(layout: ActionLayout) -> tuple[NDArray[np.int64], tuple[np.float32, np.float32, np.float32]]:
    """What `decode` needs of a layout: (4,) how many rows of discounts, recommendation scores, promotion scores and orders
    there are; logs of the price range and the largest discount."""
    segments, (high, low) = layout.num_segments, layout.logs
    counts = [segments * layout.discounts, segments * layout.recommend, layout.promote, layout.order]
    return np.array(counts, np.int64), (np.float32(high), np.float32(low), np.float32(layout.max_discount))


@inlined
def _proper(x):
    """Within [-1, 1]; a NaN is zero."""
    return min(max(x, -_ONE), _ONE) if x == x else _ZERO


@compiled
def decode(raw, counts, base_price, scales, max_order, out):
    """`ActionLayout.decode` for raw rows (E, N, A), into (A, N, E): prices, discounts, scores, promotion, orders in units.

    A NaN counts as zero. counts, scales: see `decoding`. In blocks of markets, so that a row of raw numbers is read once.
    """
    log_high, log_low, max_discount = scales
    scores = 1 + counts[0]
    orders = scores + counts[1] + counts[2]
    columns, products, markets = out.shape
    asked, decoded, row = raw.reshape(markets, -1).T, out.reshape(-1, markets), np.empty(BLOCK, np.float32)
    for first in range(0, markets, BLOCK):
        for n in range(products):
            for column in range(columns):
                fill_block(asked, n * columns + column, first, row)
                for j in range(BLOCK):
                    row[j] = _proper(row[j])
                if column == 0:
                    for j in range(BLOCK):
                        row[j] = base_price[n] * price_multiplier(row[j], log_high, log_low)
                elif column < scores:
                    for j in range(BLOCK):
                        row[j] = max(row[j], _ZERO) * max_discount
                elif column >= orders:
                    for j in range(BLOCK):
                        row[j] = np.floor(max(row[j], _ZERO) * max_order[n] + _HALF)
                empty_block(row, column * products + n, first, decoded)


class FeatureTables(NamedTuple):
    """`FeatureConstants` as the loops want them."""

    time: NDArray[np.float32]
    log_season: NDArray[np.float32]
    log_outlook: NDArray[np.float32]
    log_ahead: NDArray[np.float32]
    log_now: NDArray[np.float32]
    log_before: NDArray[np.float32]
    log_regular: NDArray[np.float32]
    category: NDArray[np.int64]
    fixed: NDArray[np.float32]

    @classmethod
    def of(cls, constants: FeatureConstants) -> FeatureTables:
        """From those of a catalogue."""
        return cls(*(getattr(constants, name) for name in cls._fields))


@compiled
def observe(plan, clock, lanes, context, fixed):
    """`product_features` of the present state: (E, N, F). fixed: with the columns that never change."""
    tables, sight, markets = plan.sight.tables, plan.sight, clock.shape[1]
    shared = shared_rows(plan.sections, context)
    loyalty = shared.loyalty if sight.loyal else shared.loyalty[:0]
    competitor = lowest_offers(plan.rivals.product, shared.rival_price, lanes.shape[1])
    moving = _MOVING + int(sight.rivals) + sight.regimes + loyalty.shape[0] + int(sight.window > 0)
    out = np.empty((markets, lanes.shape[1], moving + (tables.fixed.shape[1] if fixed else 0)), np.float32)
    observe_moving(clock[PERIOD], lanes, tables, out)
    if moving > _MOVING:
        observe_market(lanes[LIST_PRICE], competitor, clock[REGIME], sight.regimes, loyalty, out)
    if sight.window:
        observe_changes(lanes[LIST_PRICE], shared.past, sight.window, out, moving - 1)
    if fixed:
        for n in range(lanes.shape[1]):
            for i in range(tables.fixed.shape[1]):
                for e in range(markets):
                    out[e, n, moving + i] = tables.fixed[n, i]
    return out


@compiled
def lowest_offers(product, price, products):
    """(N, E) lowest rival price for each product, inf where there is none; (0, E) where nobody competes."""
    lowest = np.full((products if price.shape[0] else 0, price.shape[1]), np.float32(np.inf), np.float32)
    for r in range(price.shape[0]):
        row = lowest[product[r]]
        for e in range(row.size):
            row[e] = min(row[e], price[r, e])
    return lowest


@compiled
def observe_moving(period, lanes, tables, out):
    """Fill the columns of `MOVING_FEATURES`."""
    products, markets = lanes.shape[1:]
    time, log_season, log_outlook, log_ahead, log_now, log_before, log_regular, category, _ = tables
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
    for first in range(0, markets, BLOCK):
        last = min(first + BLOCK, markets)
        for n in range(products):
            if same:
                t = period[0]
                left, log_left, season, outlook = time[t, 0], time[t, 1], log_season[t, n], log_outlook[t, n]
                for e in range(first, last):
                    write_row(left, log_left, season, outlook, planes, n, e, out)
            else:
                for e in range(first, last):
                    t = period[e]
                    write_row(time[t, 0], time[t, 1], log_season[t, n], log_outlook[t, n], planes, n, e, out)


@inlined
def write_row(left, log_left, season, outlook, planes, n, e, out):
    """The columns of `MOVING_FEATURES` of one product of one market."""
    out[e, n, 0] = left
    out[e, n, 1] = log_left
    out[e, n, 2] = within_limit(planes[0, n, e])
    out[e, n, 3] = planes[1, n, e]
    out[e, n, 4] = within_limit(planes[2, n, e])
    out[e, n, 5] = planes[3, n, e]
    out[e, n, 6] = planes[4, n, e]
    out[e, n, 7] = season
    out[e, n, 8] = outlook
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
def observe_changes(price, past, window, out, column):
    """Fill the column `recent_changes`."""
    for n in range(price.shape[0]):
        for e in range(price.shape[1]):
            out[e, n, column] = np.float32(changes(price, past, window, n, e)) / np.float32(window - 1)


@compiled
def compare_prices(competitor, price, out):
    """The column of the lowest rival price."""
    for e in range(price.size):
        out[e] = log_competitor(competitor[e], price[e])

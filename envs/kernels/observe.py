"""Compiled features: what a learner observes of each product, from the state of the markets.

Each loop calls, for one product of one market, the same function of `pricing.features` that
`pricing` calls on whole arrays. Arrays lie (…, N, E), the learner's rows (E, …).
"""

from __future__ import annotations

import numpy as np

from ...pricing import FEATURE_LIMIT, MOVING_FEATURES
from ...pricing.features import log_competitor, log_cover, log_surprise, log_units
from ..jit.blocks import BLOCK, add_block, load_block
from ..jit.math import callable_formula, compiled, inlined, logarithm, merged
from ..jit.views import view
from .price_rules import changes
from .state import LAST_UNITS, LIST_PRICE, ON_HAND, PERIOD, PIPELINE, REFERENCE_PRICE, REGIME, shared_rows

for _formula in (log_units, log_competitor, log_cover, log_surprise):
    callable_formula(_formula)

_ZERO, _ONE, _LIMIT = np.float32(0), np.float32(1), np.float32(FEATURE_LIMIT)
_MOVING = len(MOVING_FEATURES)


@compiled.entry
def observe(arrays, clock, lanes, context, fixed):
    """`product_features` of the current state, in blocks of markets.

    The features of a product are computed as rows with the markets last, and then transposed.

    Args:
        arrays: `MarketArrays`.
        clock: Clock of the state; lanes and context likewise.
        lanes: See clock.
        context: See clock.
        fixed: Whether to add the features that never change.

    Returns:
        (E, N, F) float32.
    """
    constants = view(arrays)
    products, markets, features = lanes.shape[1], lanes.shape[2], constants.features
    out = np.empty((markets, products, features.moving + (features.tables.fixed.shape[1] if fixed else 0)), np.float32)
    scratch = (
        np.empty((out.shape[2], BLOCK), np.float32),
        np.empty((features.tables.share.size, BLOCK), np.float32),
        np.empty((products, BLOCK), np.float32),
        np.empty((products if features.rivals else 0, BLOCK), np.float32),
        np.empty((2, BLOCK), np.float32),
    )
    _observe(constants, clock, lanes, context, scratch, out)
    return out


@merged
def _observe(constants, clock, lanes, context, scratch, out):
    """`observe` with its scratch and its result allocated."""
    rows, mean, log_price, lowest, two = scratch
    price, spare = two[0], two[1]
    features, period, markets, same = constants.features, clock[PERIOD], out.shape[0], True
    shared, tables = shared_rows(constants.sections, context), features.tables
    loyalty = shared.loyalty[: shared.loyalty.shape[0] if features.loyal else 0]
    for e in range(markets):
        same &= period[e] == period[0]
    for first in range(0, markets, BLOCK):
        count = min(BLOCK, markets - first)
        _compare_to_regular(lanes[LIST_PRICE], tables, first, price, log_price, mean)
        _look_up(tables.time, 0, period, first, count, same, rows[0])
        _look_up(tables.time, 1, period, first, count, same, rows[1])
        _observe_market(clock[REGIME], features.regimes, loyalty, first, count, rows[_MOVING + int(features.rivals) :])
        # The market may have rivals that the believed market does not have.
        if features.rivals:
            _lowest_offers(constants.rivals.product, shared.rival_price, first, spare, lowest)
        for n in range(out.shape[1]):
            load_block(lanes[LIST_PRICE], n, first, price)
            _observe_prices(lanes[REFERENCE_PRICE], tables.category[n], n, first, price, log_price, mean, spare, rows)
            _observe_stock(lanes, tables, n, period, first, count, same, spare, rows)
            if features.rivals:
                for j in range(BLOCK):
                    rows[_MOVING, j] = log_competitor(lowest[n, j], price[j])
            if features.due:
                _observe_due(lanes, tables, n, period, first, count, features, spare, rows)
            if features.window:
                for j in range(count):
                    changed = changes(lanes[LIST_PRICE], shared.past, features.window, n, first + j)
                    rows[features.moving - 1, j] = np.float32(changed) / np.float32(features.window - 1)
            for i in range(features.moving, out.shape[2]):
                rows[i] = tables.fixed[n, i - features.moving]
            if count == BLOCK:
                transpose_rows(rows, first, BLOCK, n, out)
            else:
                transpose_rows(rows, first, count, n, out)


@merged
def _lowest_offers(product, price, first, spare, lowest):
    """Fill (N, BLOCK) with the lowest rival price for each product, inf where there is none."""
    lowest[:] = np.float32(np.inf)
    for r in range(product.size):
        n = product[r]
        load_block(price, r, first, spare)
        for j in range(BLOCK):
            lowest[n, j] = min(lowest[n, j], spare[j])


@merged
def _look_up(table, column, period, first, count, same, row):
    """Fill a row with each market's entry in a column of a table by period."""
    if same:
        row[:] = table[period[0], column]
    else:
        for j in range(count):
            row[j] = table[period[first + j], column]


@merged
def _compare_to_regular(list_price, tables, first, price, log_price, mean):
    """Fill the log of price over regular price, (N, BLOCK), and its means by category, (C, BLOCK)."""
    mean[:] = _ZERO
    for n in range(log_price.shape[0]):
        c, log_regular = tables.category[n], tables.log_regular[n]
        load_block(list_price, n, first, price)
        for j in range(BLOCK):
            log_price[n, j] = logarithm(price[j]) - log_regular
            mean[c, j] += log_price[n, j]
    for c in range(mean.shape[0]):
        for j in range(BLOCK):
            mean[c, j] *= tables.share[c]


@merged
def _observe_prices(reference, category, n, first, price, log_price, mean, spare, rows):
    """Fill the features of prices."""
    load_block(reference, n, first, spare)
    for j in range(BLOCK):
        rows[2, j] = within_limit(log_price[n, j])
        rows[3, j] = within_limit(logarithm(spare[j] / price[j]))
        rows[4, j] = within_limit(mean[category, j])


@merged
def _observe_stock(lanes, tables, n, period, first, count, same, spare, rows):
    """Fill the features of stock, season and sales."""
    for table, row in ((tables.log_ahead, 5), (tables.log_now, 6), (tables.log_season, 7), (tables.log_outlook, 8)):
        _look_up(table, n, period, first, count, same, rows[row])
    _look_up(tables.log_before, n, period, first, count, same, rows[9])
    load_block(lanes[ON_HAND], n, first, spare)
    for j in range(BLOCK):
        rows[5, j] = log_cover(log_units(spare[j]), rows[5, j])
    for place in range(PIPELINE, lanes.shape[0]):
        add_block(lanes[place], n, first, spare)
    for j in range(BLOCK):
        rows[6, j] = log_cover(log_units(spare[j]), rows[6, j])
    load_block(lanes[LAST_UNITS], n, first, spare)
    for j in range(BLOCK):
        spare[j] = within_limit(log_units(spare[j]) - rows[9, j])
    # Nothing has sold before the first period.
    _look_up(tables.time, 2, period, first, count, same, rows[9])
    for j in range(BLOCK):
        rows[9, j] = log_surprise(spare[j], _ZERO, rows[9, j])


@merged
def _observe_due(lanes, tables, n, period, first, count, features, spare, rows):
    """Fill the cover by the units that arrive within one period, two, ..."""
    slots, row = lanes.shape[0] - PIPELINE, features.moving - int(features.window > 0) - features.due
    load_block(lanes[ON_HAND], n, first, spare)
    for ahead in range(1, features.due + 1):
        for j in range(count):
            t = period[first + j]
            spare[j] += lanes[PIPELINE + (t + ahead) % slots, n, first + j]
            rows[row, j] = log_cover(log_units(spare[j]), tables.log_now[t, n])
        row += 1


@merged
def _observe_market(regime, regimes, loyalty, first, count, rows):
    """Fill the features that all products of a market share: regime and loyalty."""
    for z in range(regimes):
        for j in range(count):
            rows[z, j] = _ONE if regime[first + j] == z else _ZERO
    for k in range(loyalty.shape[0]):
        for j in range(count):
            rows[regimes + k, j] = logarithm(loyalty[k, first + j])


@inlined
def within_limit(x):
    """Clip to the range of a feature."""
    return min(max(x, -_LIMIT), _LIMIT)


@merged
def transpose_rows(rows, first, count, n, out):
    """Transpose rows, (F, BLOCK), into one product's features, (E, N, F)."""
    for j in range(count):
        for i in range(out.shape[2]):
            out[first + j, n, i] = rows[i, j]

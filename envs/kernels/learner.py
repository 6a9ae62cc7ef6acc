"""Compiled sides of a learner: raw actions to prices, discounts, scores and orders; states of the markets to features.

Each loop calls, for one product of one market, the same function of `pricing.action_layout` or `pricing.features` that
`pricing` calls on whole arrays. Arrays lie (…, N, E), the learner's rows (E, …).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...pricing import FEATURE_LIMIT, MOVING_FEATURES
from ...pricing.action_layout import ActionLayout, price_multiplier
from ...pricing.features import log_competitor, log_cover, log_surprise, log_units
from ..jit.compiling import compiled, inlined, merged
from ..jit.math import BLOCK, load_block, logarithm, store_block
from .price_rules import changes
from .state import LAST_UNITS, LIST_PRICE, ON_HAND, PERIOD, PIPELINE, REFERENCE_PRICE, REGIME, shared_rows

_ZERO, _HALF, _ONE, _LIMIT = np.float32(0), np.float32(0.5), np.float32(1), np.float32(FEATURE_LIMIT)
_MOVING = len(MOVING_FEATURES)


class Decoding(NamedTuple):
    """Rows of an action, (A, N, E), after the prices, and the ranges for `decode`.

    Attributes:
        discounts: Number of rows with discounts.
        scores: Number of rows with recommendation scores.
        promotions: Number of rows with promotion scores.
        orders: Number of rows with orders, one a supplier.
        slopes: What `price_multiplier` takes after the raw price.
        max_discount: Largest discount, a share.
    """

    discounts: int
    scores: int
    promotions: int
    orders: int
    slopes: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    max_discount: float = 0.0

    @classmethod
    def of(cls, layout: ActionLayout) -> Decoding:
        """The decoding of raw actions with this layout."""
        segments = layout.num_segments
        rows = (segments * layout.discounts, segments * layout.recommend, int(layout.promote))
        return cls(*rows, layout.order + layout.express, layout.slopes, float(layout.max_discount))


@compiled
def decode(raw, base_price, decoding, max_order, out):
    """`ActionLayout.decode` for many markets, in blocks that read each row once.

    Args:
        raw: (E, N * A) raw action; NaN counts as zero.
        base_price: (N,) price that a raw price of zero means, currency per unit.
        decoding: `Decoding`.
        max_order: (S, N) largest order with each supplier, units.
        out: (A, N, E), filled: prices, discounts, recommendation scores, promotion scores, orders
            in units.
    """
    columns, products, markets = out.shape
    row, decoded = np.empty(BLOCK, np.float32), out.reshape(-1, markets)
    for first in range(0, markets, BLOCK):
        for i in range(columns * products):
            n, column = i // columns, i % columns
            load_block(raw.T, i, first, row)
            _decode_row(column, base_price[n], decoding, max_order[:, n], row)
            store_block(row, column * products + n, first, decoded)


@merged
def _decode_row(column, base_price, decoding, max_order, row):
    """Decode one column of raw numbers, (BLOCK,), in place."""
    high, low, more_high, more_low = decoding.slopes
    high, low, more_high, more_low = np.float32(high), np.float32(low), np.float32(more_high), np.float32(more_low)
    max_discount, scores = np.float32(decoding.max_discount), 1 + decoding.discounts
    for j in range(BLOCK):
        row[j] = min(max(row[j], -_ONE), _ONE) if row[j] == row[j] else _ZERO
    if column == 0:
        for j in range(BLOCK):
            row[j] = base_price * price_multiplier(row[j], high, low, more_high, more_low)
    elif column < scores:
        for j in range(BLOCK):
            row[j] = max(row[j], _ZERO) * max_discount
    elif column >= scores + decoding.scores + decoding.promotions:
        most = max_order[column - scores - decoding.scores - decoding.promotions]
        for j in range(BLOCK):
            row[j] = np.floor(max(row[j], _ZERO) * most + _HALF)


@compiled
def observe(constants, clock, lanes, context, fixed):
    """`product_features` of the current state.

    The features of a product are computed as rows with the markets last, and then transposed.

    Args:
        constants: `Constants`, as a `Structure`.
        clock: Clock of the state; lanes and context likewise.
        lanes: See clock.
        context: See clock.
        fixed: Whether to add the features that never change.

    Returns:
        (E, N, F) float32.
    """
    features, shared, period = constants.features, shared_rows(constants.sections.ends, context), clock[PERIOD]
    price = lanes[LIST_PRICE]
    products, markets = price.shape
    rows = np.empty((features.moving + (features.fixed.shape[1] if fixed else 0), markets), np.float32)
    out = np.empty((markets, products, rows.shape[0]), np.float32)
    same = period.min() == period.max()
    log_price, mean = compare_to_regular(price, features)
    on_order = np.zeros_like(price)
    for place in range(PIPELINE, lanes.shape[0]):
        np.add(on_order, lanes[place], on_order)
    # The market may have rivals that the assumed market does not have.
    lowest = lowest_offers(constants.rivals.product, shared.rival_price, price[: products if features.rivals else 0])
    # Nothing has sold before the first period.
    started = np.empty(markets, np.float32)
    look_up(features.time, 2, period, same, started)
    look_up(features.time, 0, period, same, rows[0])
    look_up(features.time, 1, period, same, rows[1])
    observe_market(features, clock[REGIME], shared.loyalty, rows[_MOVING + int(features.rivals) :])
    for n in range(products):
        observe_prices(price[n], lanes[REFERENCE_PRICE, n], log_price[n], mean[features.category[n]], rows)
        observe_stock(features, n, period, same, lanes[ON_HAND, n], on_order[n], lanes[LAST_UNITS, n], started, rows)
        for e in range(markets if features.rivals else 0):
            rows[_MOVING, e] = log_competitor(lowest[n, e], price[n, e])
        if features.due:
            observe_due(features, n, period, lanes, rows)
        for e in range(markets if features.window else 0):
            changed = changes(price, shared.past, features.window, n, e)
            rows[features.moving - 1, e] = np.float32(changed) / np.float32(features.window - 1)
        for i in range(features.moving, rows.shape[0]):
            rows[i] = features.fixed[n, i - features.moving]
        for e in range(markets):
            for i in range(rows.shape[0]):
                out[e, n, i] = rows[i, e]
    return out


@compiled
def look_up(table, column, period, same, row):
    """Fill a row with each market's entry in a column of a table by period."""
    if same:
        row[:] = table[period[0], column]
    else:
        for e in range(row.size):
            row[e] = table[period[e], column]


@compiled
def compare_to_regular(price, features):
    """The log of price over regular price, (N, E), and its means by category, (C, E)."""
    log_price, mean = np.empty_like(price), np.zeros((features.share.size, price.shape[1]), price.dtype)
    for n in range(price.shape[0]):
        c, log_regular = features.category[n], features.log_regular[n]
        for e in range(price.shape[1]):
            log_price[n, e] = logarithm(price[n, e]) - log_regular
            mean[c, e] += log_price[n, e]
    for c in range(mean.shape[0]):
        for e in range(price.shape[1]):
            mean[c, e] *= features.share[c]
    return log_price, mean


@compiled
def lowest_offers(product, rival_price, like):
    """The lowest rival price for each product, inf where there is none, in the shape of an array."""
    lowest = np.full_like(like, np.inf)
    for r in range(product.size if like.shape[0] else 0):
        n = product[r]
        for e in range(like.shape[1]):
            lowest[n, e] = min(lowest[n, e], rival_price[r, e])
    return lowest


@compiled
def observe_market(features, regime, loyalty, rows):
    """Fill the features that all products of a market share: regime and loyalty."""
    for z in range(features.regimes):
        for e in range(regime.size):
            rows[z, e] = _ONE if regime[e] == z else _ZERO
    for k in range(loyalty.shape[0] if features.loyal else 0):
        for e in range(regime.size):
            rows[features.regimes + k, e] = logarithm(loyalty[k, e])


@compiled
def observe_prices(price, reference, log_price, mean, rows):
    """Fill the features of prices."""
    for e in range(price.size):
        rows[2, e] = within_limit(log_price[e])
        rows[3, e] = within_limit(logarithm(reference[e] / price[e]))
        rows[4, e] = within_limit(mean[e])


@compiled
def observe_stock(features, n, period, same, on_hand, on_order, last_units, started, rows):
    """Fill the features of stock, season and sales."""
    look_up(features.log_ahead, n, period, same, rows[5])
    look_up(features.log_now, n, period, same, rows[6])
    look_up(features.log_season, n, period, same, rows[7])
    look_up(features.log_outlook, n, period, same, rows[8])
    look_up(features.log_before, n, period, same, rows[9])
    for e in range(period.size):
        rows[5, e] = log_cover(log_units(on_hand[e]), rows[5, e])
        rows[6, e] = log_cover(log_units(on_hand[e] + on_order[e]), rows[6, e])
        rows[9, e] = log_surprise(within_limit(log_units(last_units[e]) - rows[9, e]), _ZERO, started[e])


@compiled
def observe_due(features, n, period, lanes, rows):
    """Fill the cover by the units that arrive within one period, two, ..."""
    slots, row = lanes.shape[0] - PIPELINE, features.moving - int(features.window > 0) - features.due
    units = lanes[ON_HAND, n].copy()
    for ahead in range(1, features.due + 1):
        for e in range(period.size):
            t = period[e]
            units[e] += lanes[PIPELINE + (t + ahead) % slots, n, e]
            rows[row, e] = log_cover(log_units(units[e]), features.log_now[t, n])
        row += 1


@inlined
def within_limit(x):
    """Clip to the range of a feature."""
    return min(max(x, -_LIMIT), _LIMIT)

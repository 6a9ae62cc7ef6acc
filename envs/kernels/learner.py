"""Compiled sides of a learner: raw actions to prices, discounts, scores and orders; states of the markets to features.

Each loop calls, for one product of one market, the same function of `pricing.action_layout` or `pricing.features` that
`pricing` calls on whole arrays. Arrays lie (…, N, E), the learner's rows (E, …). The module refuses to be imported while
no loop says that it fills one of the features (`fills`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...pricing import FEATURE_LIMIT
from ...pricing.action_layout import ActionLayout, price_multiplier
from ...pricing.complete import check_complete
from ...pricing.features import MOVING, log_competitor, log_cover, log_surprise, log_units, recent_changes, since_change
from ..jit.compiling import compiled, inlined, merged
from ..jit.math import BLOCK, load_block, logarithm, store_block
from .price_rules import changes
from .state import LAST_UNITS, LIST_PRICE, ON_HAND, PERIOD, PIPELINE, REFERENCE_PRICE, REGIME, shared_rows

_ZERO = np.float32(0)
_HALF = np.float32(0.5)
_ONE = np.float32(1)
_LIMIT = np.float32(FEATURE_LIMIT)
_filled: set[str] = set()


def fills(*features: str) -> Callable[[Any], Any]:
    """Say which features a loop fills.

    Args:
        features: Their names.
    """

    def noted(function: Any) -> Any:
        _filled.update(features)
        return function

    return noted


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
    row = np.empty(BLOCK, np.float32)
    decoded = out.reshape(-1, markets)
    for first in range(0, markets, BLOCK):
        for i in range(columns * products):
            n = i // columns
            column = i % columns
            load_block(raw.T, i, first, row)
            _decode_row(column, base_price[n], decoding, max_order[:, n], row)
            store_block(row, column * products + n, first, decoded)


@merged
def _decode_row(column, base_price, decoding, max_order, row):
    """Decode one column of raw numbers, (BLOCK,), in place."""
    high, low, more_high, more_low = decoding.slopes
    high = np.float32(high)
    low = np.float32(low)
    more_high = np.float32(more_high)
    more_low = np.float32(more_low)
    max_discount = np.float32(decoding.max_discount)
    scores = 1 + decoding.discounts
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


@fills("time_left", "log_periods_left")
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
    features = constants.features
    shared = shared_rows(constants.sections.ends, context)
    period = clock[PERIOD]
    first = features.first
    columns = features.columns
    price = lanes[LIST_PRICE]
    products, markets = price.shape
    # A row that no loop fills must not go unnoticed.
    rows = np.full((features.moving + (features.fixed.shape[1] if fixed else 0), markets), np.nan, np.float32)
    out = np.empty((markets, products, rows.shape[0]), np.float32)
    same = period.min() == period.max()
    log_price, mean = compare_to_regular(price, features)
    on_order = np.zeros_like(price)
    for place in range(PIPELINE, lanes.shape[0]):
        np.add(on_order, lanes[place], on_order)
    # The market may have rivals that the assumed market does not have.
    lowest = lowest_offers(
        constants.rivals.product, shared.rival_price, price[: products if columns.log_competitor else 0]
    )
    # Nothing has sold before the first period.
    started = np.empty(markets, np.float32)
    look_up(features.time, 2, period, same, started)
    look_up(features.time, 0, period, same, rows[first.time_left])
    look_up(features.time, 1, period, same, rows[first.log_periods_left])
    observe_market(features, clock[REGIME], shared.loyalty, rows)
    for n in range(products):
        observe_prices(first, price[n], lanes[REFERENCE_PRICE, n], log_price[n], mean[features.category[n]], rows)
        observe_stock(features, n, period, same, lanes[ON_HAND, n], on_order[n], lanes[LAST_UNITS, n], started, rows)
        if columns.log_competitor:
            observe_rivals(price[n], lowest[n], rows[first.log_competitor])
        if columns.log_cover:
            observe_due(features, n, period, lanes, rows)
        if columns.recent_changes:
            observe_changes(features, n, price, shared.past, rows[first.recent_changes])
        if columns.since_change:
            observe_since_change(features, n, price, shared.past, rows[first.since_change])
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
    log_price = np.empty_like(price)
    mean = np.zeros((features.share.size, price.shape[1]), price.dtype)
    for n in range(price.shape[0]):
        c = features.category[n]
        log_regular = features.log_regular[n]
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


@fills("regime", "log_loyalty")
@compiled
def observe_market(features, regime, loyalty, rows):
    """Fill the features that all products of a market share: regime and loyalty."""
    for z in range(features.columns.regime):
        row = rows[features.first.regime + z]
        for e in range(regime.size):
            row[e] = _ONE if regime[e] == z else _ZERO
    for k in range(features.columns.log_loyalty):
        row = rows[features.first.log_loyalty + k]
        for e in range(regime.size):
            row[e] = logarithm(loyalty[k, e])


@fills("log_price", "log_reference", "log_category_price")
@compiled
def observe_prices(first, price, reference, log_price, mean, rows):
    """Fill the features of prices."""
    own = first.log_price
    remembered = first.log_reference
    category = first.log_category_price
    for e in range(price.size):
        rows[own, e] = within_limit(log_price[e])
        rows[remembered, e] = within_limit(logarithm(reference[e] / price[e]))
        rows[category, e] = within_limit(mean[e])


@fills("log_stock_cover", "log_position_cover", "log_season", "log_outlook", "log_surprise")
@compiled
def observe_stock(features, n, period, same, on_hand, on_order, last_units, started, rows):
    """Fill the features of stock, season and sales."""
    first = features.first
    stock = first.log_stock_cover
    position = first.log_position_cover
    surprise = first.log_surprise
    look_up(features.log_ahead, n, period, same, rows[stock])
    look_up(features.log_now, n, period, same, rows[position])
    look_up(features.log_season, n, period, same, rows[first.log_season])
    look_up(features.log_outlook, n, period, same, rows[first.log_outlook])
    look_up(features.log_before, n, period, same, rows[surprise])
    for e in range(period.size):
        rows[stock, e] = log_cover(log_units(on_hand[e]), rows[stock, e])
        rows[position, e] = log_cover(log_units(on_hand[e] + on_order[e]), rows[position, e])
        rows[surprise, e] = log_surprise(within_limit(log_units(last_units[e]) - rows[surprise, e]), _ZERO, started[e])


@fills("log_competitor")
@compiled
def observe_rivals(price, lowest, row):
    """Fill the lowest rival price against the own one."""
    for e in range(price.size):
        row[e] = log_competitor(lowest[e], price[e])


@fills("log_cover")
@compiled
def observe_due(features, n, period, lanes, rows):
    """Fill the cover by the units that arrive within one period, two, ..."""
    slots = lanes.shape[0] - PIPELINE
    row = features.first.log_cover
    units = lanes[ON_HAND, n].copy()
    for ahead in range(1, features.columns.log_cover + 1):
        for e in range(period.size):
            t = period[e]
            units[e] += lanes[PIPELINE + (t + ahead) % slots, n, e]
            rows[row, e] = log_cover(log_units(units[e]), features.log_now[t, n])
        row += 1


@fills("recent_changes")
@compiled
def observe_changes(features, n, price, past, row):
    """Fill the number of price changes within the window of the price rules."""
    window = features.facts.change_window_periods
    for e in range(row.size):
        row[e] = recent_changes(changes(price, past, window, n, e), window)


@fills("since_change")
@compiled
def observe_since_change(features, n, price, past, row):
    """Fill for how long the current price has been charged."""
    most = features.facts.since_change_periods
    for e in range(row.size):
        periods = 1
        while periods < most and past[(periods - 1) * price.shape[0] + n, e] == price[n, e]:
            periods += 1
        row[e] = since_change(periods, most)


@inlined
def within_limit(x):
    """Clip to the range of a feature."""
    return min(max(x, -_LIMIT), _LIMIT)


check_complete("envs.kernels.learner", "a loop that fills it", MOVING, _filled)

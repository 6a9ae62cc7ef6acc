"""Compiled decoding of a learner's raw actions into prices, discounts, scores and orders.

Each loop calls, for one product of one market, the same function of `pricing.action_layout` that
`pricing` calls on whole arrays. Arrays lie (…, N, E), the learner's rows (E, …).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...pricing.action_layout import ActionLayout, price_multiplier
from ..jit.blocks import BLOCK, load_block, store_block
from ..jit.math import callable_formula, compiled, inlined, merged

callable_formula(price_multiplier)

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)


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


@inlined
def _proper(x):
    """Clip to [-1, 1]; NaN counts as zero."""
    return min(max(x, -_ONE), _ONE) if x == x else _ZERO


@compiled.entry
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
    _decode(raw, base_price, decoding, max_order, np.empty((1, BLOCK), np.float32), out)


@merged
def _decode(raw, base_price, decoding, max_order, rows, out):
    """`decode` with its scratch, (1, BLOCK)."""
    columns, products, markets = out.shape
    row, decoded = rows[0], out.reshape(-1, markets)
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
        row[j] = _proper(row[j])
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

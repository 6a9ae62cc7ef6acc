"""Compiled decoding of a learner's raw actions into prices, discounts, scores and orders.

Each loop calls, for one product of one market, the same function of `pricing.action_layout` that
`pricing` calls on whole arrays. Arrays lie (…, N, E), the learner's rows (E, …).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...pricing.action_layout import ActionLayout, price_multiplier
from ..jit.blocks import BLOCK, WIDE, block_rows, load_block, store_block, transpose
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
    _decode(raw, base_price, decoding, max_order, block_rows(WIDE, np.float32), out)


@merged
def _decode(raw, base_price, decoding, max_order, rows, out):
    """`decode` with its scratch, (WIDE, BLOCK)."""
    columns, products, markets = out.shape
    every, flat, decoded = columns * products, raw.reshape(-1), out.reshape(-1, markets)
    for first in range(0, markets, BLOCK):
        for start in range(0, every, WIDE):
            count = min(WIDE, every - start)
            if count == WIDE and first + BLOCK <= markets:
                for j in range(0, BLOCK, WIDE):
                    transpose(flat, (first + j) * every + start, every, rows, j, BLOCK)
            else:
                for i in range(count):
                    load_block(raw.T, start + i, first, rows[i])
            for i in range(count):
                n, column = (start + i) // columns, (start + i) % columns
                _decode_row(column, base_price[n], decoding, max_order[:, n], rows[i])
                store_block(rows[i], column * products + n, first, decoded)


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

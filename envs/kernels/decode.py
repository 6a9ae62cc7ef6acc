"""Compiled decoding: from the raw numbers of a learner to the prices, discounts, scores and orders of an action.

Each loop calls, for one product of one market, the very function of `pricing.action_layout` that `pricing` calls on whole arrays.
Arrays lie (…, N, E), the learner's rows (E, …).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable

from ...pricing.action_layout import ActionLayout, price_multiplier
from ..jit.blocks import BLOCK, WIDE, block_rows, empty_block, fill_block, turn
from ..jit.math import compiled, inlined, merged

register_jitable(error_model="numpy")(price_multiplier)

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)


class Decoding(NamedTuple):
    """What the rows of an action, (A, N, E), are: behind the prices so many of discounts, recommendation scores, promotion
    scores and orders. What `decode` makes of raw numbers: the logs of the price range, and the largest discount."""

    discounts: int
    scores: int
    promotions: int
    orders: int
    log_high: float = 0.0
    log_low: float = 0.0
    max_discount: float = 0.0

    @classmethod
    def of(cls, layout: ActionLayout) -> Decoding:
        """Of the raw numbers of a layout."""
        segments, (high, low) = layout.num_segments, layout.logs
        rows = (segments * layout.discounts, segments * layout.recommend, int(layout.promote), int(layout.order))
        return cls(*rows, float(high), float(low), float(layout.max_discount))


@inlined
def _proper(x):
    """Within [-1, 1]; a NaN is zero."""
    return min(max(x, -_ONE), _ONE) if x == x else _ZERO


@compiled
def decode(raw, base_price, decoding, max_order, out):
    """`ActionLayout.decode` for raw rows (E, N * A), into (A, N, E): prices, discounts, scores, promotion, orders in units.

    A NaN counts as zero. base_price: (N,) what a raw price of zero means. In blocks of markets, so that a row of raw numbers
    is read once.
    """
    _decode(raw, base_price, decoding, max_order, block_rows(WIDE, np.float32), out)


@merged
def _decode(raw, base_price, decoding, max_order, rows, out):
    """`decode` once there is scratch, (WIDE, BLOCK)."""
    columns, products, markets = out.shape
    every, flat, decoded = columns * products, raw.reshape(-1), out.reshape(-1, markets)
    for first in range(0, markets, BLOCK):
        for start in range(0, every, WIDE):
            count = min(WIDE, every - start)
            if count == WIDE and first + BLOCK <= markets:
                for j in range(0, BLOCK, WIDE):
                    turn(flat, (first + j) * every + start, every, rows, j, BLOCK)
            else:
                for i in range(count):
                    fill_block(raw.T, start + i, first, rows[i])
            for i in range(count):
                n, column = (start + i) // columns, (start + i) % columns
                _decode_row(column, base_price[n], decoding, max_order[n], rows[i])
                empty_block(rows[i], column * products + n, first, decoded)


@merged
def _decode_row(column, base_price, decoding, max_order, row):
    """One column of raw numbers, (BLOCK,), decoded in place."""
    log_high, log_low = np.float32(decoding.log_high), np.float32(decoding.log_low)
    max_discount, scores = np.float32(decoding.max_discount), 1 + decoding.discounts
    for j in range(BLOCK):
        row[j] = _proper(row[j])
    if column == 0:
        for j in range(BLOCK):
            row[j] = base_price * price_multiplier(row[j], log_high, log_low)
    elif column < scores:
        for j in range(BLOCK):
            row[j] = max(row[j], _ZERO) * max_discount
    elif column >= scores + decoding.scores + decoding.promotions:
        for j in range(BLOCK):
            row[j] = np.floor(max(row[j], _ZERO) * max_order + _HALF)

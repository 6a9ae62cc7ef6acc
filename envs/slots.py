"""Compiled choice of what the shop shows: which product stands in each segment's slot, which are on promotion.

Arrays lie (…, N, E).
"""

from __future__ import annotations

import numpy as np

from .fastmath import compiled

_ZERO, _ONE = np.float32(0), np.float32(1)
# The bits of float32's infinity, above which only NaN lies.
_INFINITE, _HALVE = np.int32(0x7F800000), np.int32(1)


@compiled
def choose_shown(score, candidates, available, shown, runner_up):
    """Per segment and market, the candidate in stock with the highest positive score, and the second; -1 for none.

    score: (K, N, E); candidates: (K, N); available: (N, E); shown, runner_up: (K, E), filled.
    """
    segments, products, markets = score.shape
    best, second = np.empty(markets, score.dtype), np.empty(markets, score.dtype)
    for k in range(segments):
        best[:], second[:] = _ZERO, _ZERO
        shown[k], runner_up[k] = -1, -1
        for n in range(products):
            if not candidates[k, n]:
                continue
            for e in range(markets):
                value = score[k, n, e] if available[n, e] > _ZERO else _ZERO
                if value > best[e]:
                    second[e], runner_up[k, e] = best[e], shown[k, e]
                    best[e], shown[k, e] = value, n
                elif value > second[e]:
                    second[e], runner_up[k, e] = value, n


@compiled
def choose_promoted(score, most, promoted):
    """The products with the highest positive scores, at most `most` a market; score: (N, E); promoted: filled with 0, 1.

    The lowest score that is still promoted is found by bisection in all markets at once: positive floats are ordered as
    their bits are.
    """
    products, markets = score.shape
    bits, low, high = score.view(np.int32).copy(), np.zeros(markets, np.int32), np.full(markets, _INFINITE, np.int32)
    for n in range(products):
        for e in range(markets):
            bits[n, e] = bits[n, e] if bits[n, e] <= _INFINITE else 0
    bound, count = np.zeros(markets, np.int32), np.empty(markets, np.int32)
    unsettled = most < products
    while unsettled:
        count[:] = 0
        count_above(bits, bound, count)
        unsettled = halve(np.int32(most), bound, count, low, high)
    if most >= products:
        high[:] = 0
    count[:] = 0
    count_above(bits, high, count)
    for n in range(products):
        for e in range(markets):
            promoted[n, e] = _ONE if bits[n, e] > high[e] else _ZERO
    for e in range(markets):
        if high[e] > 0 and count[e] < most:
            fill_ties(bits[:, e], high[e], most - count[e], promoted[:, e])


@compiled
def fill_ties(bits, bound, places, promoted):
    """Of the products of one market with a score at the bound, (N,), the first fill what is left."""
    for n in range(bits.size):
        if bits[n] == bound and places > 0:
            promoted[n] = _ONE
            places -= 1


@compiled
def halve(most, bound, count, low, high):
    """One step of the bisection, and the next bounds to try; whether any market's is still open."""
    unsettled = np.int32(0)
    for e in range(bound.size):
        enough, exact = count[e] <= most, count[e] == most
        high[e] = bound[e] if enough else high[e]
        after = low[e] if enough else bound[e] + np.int32(1)
        low[e] = bound[e] if exact else after
    for e in range(bound.size):
        unsettled = np.int32(unsettled | np.int32(low[e] < high[e]))
        bound[e] = low[e] + np.int32((high[e] - low[e]) >> _HALVE)
    return unsettled > 0


@compiled
def count_above(bits, bound, count):
    """How many products of each market lie above its bound, added."""
    for n in range(bits.shape[0]):
        for e in range(bits.shape[1]):
            count[e] += np.int32(bits[n, e] > bound[e])

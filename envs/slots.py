"""Compiled choice of what the shop shows: which product stands in each segment's slot, which are on promotion.

Arrays lie (…, N, E).
"""

from __future__ import annotations

import numpy as np

from .fastmath import compiled, lean, merged

_ZERO, _ONE = np.float32(0), np.float32(1)


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

    The lowest score that is still promoted is found by insertion in all markets at once; the first of equals win.
    """
    products, markets = score.shape
    if most >= products:
        promote_all(score, promoted)
        return
    best, wanted = np.zeros((most, markets), score.dtype), np.empty(markets, score.dtype)
    for n in range(products):
        for e in range(markets):
            wanted[e] = score[n, e] if score[n, e] > _ZERO else _ZERO
        insert(wanted, best)
    bound, count = best[-1], wanted
    count[:] = _ZERO
    for n in range(products):
        for e in range(markets):
            promoted[n, e] = _ONE if (score[n, e] > _ZERO) & (score[n, e] >= bound[e]) else _ZERO
        for e in range(markets):
            count[e] += promoted[n, e]
    for e in range(markets):
        if count[e] > most:
            drop_ties(score[:, e], bound[e], count[e] - most, promoted[:, e])


@lean
def promote_all(score, promoted):
    """Every product with a positive score."""
    for n in range(score.shape[0]):
        for e in range(score.shape[1]):
            promoted[n, e] = _ONE if score[n, e] > _ZERO else _ZERO


@compiled
def next_to_promote(score, promoted, found):
    """Fill (E,) with the product with the highest positive score of those that are not promoted, -1 for none; score: (N, E)."""
    products, markets = score.shape
    best = np.zeros(markets, score.dtype)
    found[:] = -1
    for n in range(products):
        for e in range(markets):
            if promoted[n, e] == _ZERO and score[n, e] > best[e]:
                best[e], found[e] = score[n, e], n


@merged
def insert(value, best):
    """Put each market's value into its column of `best`, (M, E), which falls from row to row; the lowest drops out."""
    for i in range(best.shape[0]):
        for e in range(value.size):
            here = best[i, e]
            best[i, e] = max(here, value[e])
            value[e] = min(here, value[e])


@lean
def drop_ties(score, bound, excess, promoted):
    """Of the products of one market with a score at the bound, (N,), the last are not promoted."""
    for n in range(score.size - 1, -1, -1):
        if score[n] == bound and excess > 0:
            promoted[n] = _ZERO
            excess -= 1

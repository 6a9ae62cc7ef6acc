"""Compiled choice of recommended products (slots) and promoted products.

Arrays lie (…, N, E).
"""

from __future__ import annotations

import numpy as np

from ..jit.blocks import BLOCK, load_block
from ..jit.math import bits_to_float, compiled, float_to_bits, lean, merged

# Products that are inserted in one pass.
_FEW = 4
_ZERO, _ONE, _NONE = np.float32(0), np.float32(1), np.int32(0)


@compiled
def choose_shown(score, candidates, available, shown, runner_up):
    """Choose the product in each segment's slot: the candidate in stock with the highest score.

    Args:
        score: (K, N, E) recommendation scores.
        candidates: (K, N) whether a product may be shown.
        available: (N, E) units, or anything positive for a product in stock.
        shown: (K, E) product with the highest score, -1 for none; filled.
        runner_up: (K, E) product with the second highest score, -1 for none; filled.
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
    """Promote the products with the highest positive scores, at most `most` per market.

    The lowest score that is still promoted is found by insertion, in a block of markets at once. Of
    equal scores the first win.

    Args:
        score: (N, E) promotion scores.
        most: Largest number of products on promotion.
        promoted: (N, E), filled with 0 or 1.
    """
    products, markets = score.shape
    if most >= products:
        promote_all(score, promoted)
        return
    best, wanted, rows = (
        np.empty((most, BLOCK), np.int32),
        np.empty((_FEW, BLOCK), np.int32),
        np.empty((3, BLOCK), np.float32),
    )
    row, bound, count = rows[0], rows[1], rows[2]
    for first in range(0, markets, BLOCK):
        lanes = min(BLOCK, markets - first)
        find_best(score, first, row, wanted, best)
        for j in range(BLOCK):
            bound[j] = bits_to_float(best[-1, j])
        mark_best(score, first, lanes, bound, count, promoted)
        for j in range(lanes):
            if count[j] > most:
                e = first + j
                drop_ties(score[:, e], bound[j], count[j] - most, promoted[:, e])


@lean
def promote_all(score, promoted):
    """Promote every product with a positive score."""
    for n in range(score.shape[0]):
        for e in range(score.shape[1]):
            promoted[n, e] = _ONE if score[n, e] > _ZERO else _ZERO


@compiled
def next_to_promote(score, promoted, found):
    """Fill (E,) with the unpromoted product with the highest positive score, -1 for none."""
    products, markets = score.shape
    best = np.zeros(markets, score.dtype)
    found[:] = -1
    for n in range(products):
        for e in range(markets):
            if promoted[n, e] == _ZERO and score[n, e] > best[e]:
                best[e], found[e] = score[n, e], n


@merged
def find_best(score, first, row, wanted, best):
    """Fill (M, BLOCK) with the highest positive scores per market, as bits, descending, or 0.

    row, (BLOCK,), and wanted, (_FEW, BLOCK), are scratch.
    """
    best[:] = _NONE
    for n in range(0, score.shape[0], _FEW):
        for i in range(_FEW):
            if n + i < score.shape[0]:
                load_block(score, n + i, first, row)
            else:
                row[:] = _ZERO
            for j in range(BLOCK):
                wanted[i, j] = float_to_bits(row[j] if row[j] > _ZERO else _ZERO)
        insert(wanted[0], wanted[1], wanted[2], wanted[3], best)


@merged
def insert(a, b, c, d, best):
    """Insert four numbers per market into its column of `best`, (M, BLOCK); the lowest drop out."""
    for i in range(best.shape[0]):
        for j in range(BLOCK):
            here = best[i, j]
            here, a[j] = max(here, a[j]), min(here, a[j])
            here, b[j] = max(here, b[j]), min(here, b[j])
            here, c[j] = max(here, c[j]), min(here, c[j])
            best[i, j], d[j] = max(here, d[j]), min(here, d[j])


@merged
def mark_best(score, first, lanes, bound, count, promoted):
    """Promote the products whose score reaches the bound, (BLOCK,), and count them, ties included."""
    count[:] = _ZERO
    for n in range(score.shape[0]):
        for j in range(lanes):
            value = score[n, np.uint64(first) + np.uint64(j)]
            chosen = _ONE if (value > _ZERO) & (value >= bound[j]) else _ZERO
            promoted[n, np.uint64(first) + np.uint64(j)] = chosen
            count[j] += chosen


@lean
def drop_ties(score, bound, excess, promoted):
    """Withdraw the promotion of the last products whose score equals the bound, in one market."""
    for n in range(score.size - 1, -1, -1):
        if score[n] == bound and excess > 0:
            promoted[n] = _ZERO
            excess -= 1

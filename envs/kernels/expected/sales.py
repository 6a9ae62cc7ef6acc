"""Compiled expected sales under limited stock, E[min(demand, stock)]. Arrays lie (N, E)."""

from __future__ import annotations

import math

import numpy as np

from ...jit.blocks import BLOCK, load_block, store_block
from ...jit.math import compiled, exponential, inlined, lean, logarithm, merged
from ...jit.rng import STRIDE

_ZERO, _ONE, _FOUR, _FIVE, _TWELVE = np.float32(0), np.float32(1), np.float32(4), np.float32(5), np.float32(12)
_BLOCK_LIMIT, _NEGLIGIBLE, _TINY, _MOST_TERMS = np.float32(64.0), np.float32(1e-7), np.float32(1e-30), 2000


@lean
def few_sales(chances, share, stock, out):
    """Fill E[min(demand, stock)] for H customers who buy at most one unit each.

    Args:
        chances: (H, N, E) purchase probabilities.
        share: (N,) share of the purchases that counts.
        stock: (N, E) units.
        out: (N, E), filled.
    """
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            no_purchase, mean = _ONE, _ZERO
            for i in range(chances.shape[0]):
                no_purchase *= _ONE - share[n] * chances[i, n, e]
                mean += share[n] * chances[i, n, e]
            scarce = _ONE - no_purchase if stock[n, e] > _ZERO else stock[n, e]
            out[n, e] = mean if stock[n, e] > _ONE else scarce


@compiled
def expected_sales(mean, overdispersion, stock, out):
    """Fill E[min(demand, stock)] of Poisson or, if overdispersed, negative binomial demand.

    Args:
        mean: (N, E) mean demand, units.
        overdispersion: (N,) variance of the gamma multiplier.
        stock: (N, E) units; negative for units owed.
        out: (N, E), filled.
    """
    rows = np.empty((6, BLOCK), mean.dtype)
    rate, limit, covered = rows[0], rows[1], rows[2]
    scratch = (rate, limit, covered, rows[3], rows[4], rows[5])
    for n in range(mean.shape[0]):
        variance = overdispersion[n]
        for first in range(0, mean.shape[1], BLOCK):
            load_block(mean, n, first, rate)
            load_block(stock, n, first, limit)
            _expected_block(variance, scratch)
            store_block(covered, n, first, out)


@merged
def _expected_block(variance, scratch):
    """As `expected_sales` for a block; large means are computed lane by lane."""
    rate, limit, covered = scratch[:3]
    scarce, hard = np.int32(0), np.int32(0)
    for j in range(BLOCK):
        short = np.int32(limit[j] <= ample(rate[j], variance))
        alone = short & np.int32(rate[j] > _BLOCK_LIMIT)
        covered[j] = rate[j]
        scarce = np.int32(scarce | (short ^ alone))
        hard = np.int32(hard | alone)
    if scarce:
        _cover_block(variance, scratch)
    if hard:
        for j in range(BLOCK):
            if rate[j] > _BLOCK_LIMIT:
                covered[j] = _expected_sale(float(rate[j]), float(variance), float(limit[j]))


@inlined
def ample(rate, variance):
    """Stock above which the shortfall is below the resolution of float32."""
    return rate + (_FIVE + _TWELVE * variance) * np.sqrt(rate + variance * rate * rate) + _FOUR


@merged
def _cover_block(variance, scratch):
    """The sum of P(demand > k) over k below the stock, for all lanes that may run short together.

    P(k + 1) / P(k) is rate (1 + k variance) / ((1 + rate variance) (k + 1)): negative binomial,
    Poisson for variance 0.
    """
    rate, stock, covered, mass, beyond, ratio = scratch
    if variance > _ZERO:
        for j in range(BLOCK):
            mass[j] = exponential(-logarithm(_ONE + variance * rate[j]) / variance)
    else:
        for j in range(BLOCK):
            mass[j] = exponential(-rate[j])
    for j in range(BLOCK):
        short = np.int32(stock[j] <= ample(rate[j], variance)) & np.int32(rate[j] <= _BLOCK_LIMIT)
        # A lane with ample stock takes no part, so that its result does not depend on the other
        # lanes.
        beyond[j] = _ONE - mass[j] if short else _ZERO
        covered[j] = min(stock[j], _ZERO) if short else rate[j]
        ratio[j] = rate[j] / (_ONE + variance * rate[j])
    for k in range(0, _MOST_TERMS, STRIDE):
        a, b, c, d = np.float32(k), np.float32(k + 1), np.float32(k + 2), np.float32(k + 3)
        e, f, g, h = term_step(a, variance), term_step(b, variance), term_step(c, variance), term_step(d, variance)
        going = np.int32(0)
        for j in range(BLOCK):
            # Several terms per pass: the numbers of a lane stay in registers.
            lane = (covered[j], mass[j], beyond[j])
            lane = _add_tail(a, stock[j], ratio[j] * e, lane)
            lane = _add_tail(b, stock[j], ratio[j] * f, lane)
            lane = _add_tail(c, stock[j], ratio[j] * g, lane)
            going = np.int32(going | (np.int32(stock[j] > d) & np.int32(lane[2] > _NEGLIGIBLE)))
            covered[j], mass[j], beyond[j] = _add_tail(d, stock[j], ratio[j] * h, lane)
        if going == 0:
            return


@inlined
def term_step(k, variance):
    """The factor of P(k + 1) / P(k) that all lanes share."""
    return (_ONE + k * variance) / (k + _ONE)


@inlined
def _add_tail(k, stock, ratio, lane):
    """Add P(demand > k) if the stock exceeds k, then go to k + 1; ratio: P(k + 1) / P(k)."""
    units, term, rest = lane
    units += rest if (stock > k) & (rest > _NEGLIGIBLE) else _ZERO
    # What cannot change `rest` any more is zero rather than subnormal, see `rng.walk_poisson`.
    term = term * ratio if term > _TINY else _ZERO
    return units, term, rest - term


@compiled
def _expected_sale(rate, variance, stock):
    """E[min(demand, stock)] of one lane, in double precision."""
    if rate <= 0.0:
        return min(0.0, stock)
    if stock > rate + (5.0 + 12.0 * variance) * math.sqrt(rate + variance * rate * rate) + 4.0:
        return rate
    if stock <= 0.0:
        return stock
    if stock > rate:
        return rate - _partial_moment(rate, variance, int(stock), 1)
    return stock - _partial_moment(rate, variance, int(stock), -1)


@compiled
def _partial_moment(rate, variance, stock, side):
    """E[(demand - stock)+] for side 1, E[(stock - demand)+] for side -1, summed from the stock
    outwards.
    """
    shape, ratio = 0.0, 0.0
    if variance > 0:
        shape = 1.0 / variance
        ratio = rate / (shape + rate)
        mass = math.lgamma(stock + shape) - math.lgamma(shape) - math.lgamma(stock + 1.0)
        mass = math.exp(mass + shape * math.log(shape / (shape + rate)) + stock * math.log(ratio))
    else:
        mass = math.exp(stock * math.log(rate) - rate - math.lgamma(stock + 1.0))
    moment, k, negligible = 0.0, stock, 1e-10 * (rate + 1.0)
    while True:
        # The ratio of neighbouring masses is ratio * (k + shape) / (k + 1), and rate / (k + 1) for
        # the Poisson.
        if side > 0:
            mass *= (ratio * (k + shape) if variance > 0 else rate) / (k + 1.0)
            k += 1
        else:
            if k == 0:
                return moment
            mass *= k / (ratio * (k - 1.0 + shape) if variance > 0 else rate)
            k -= 1
        term = abs(k - stock) * mass
        moment += term
        if term < negligible and abs(k - stock) > 1:
            return moment

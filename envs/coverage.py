"""Compiled expectations of sales: E[min(demand, stock)]. Arrays lie (N, E)."""

from __future__ import annotations

import math

import numpy as np

from .fastmath import compiled, exponential, inlined, logarithm
from .random import BLOCK

_ZERO, _ONE, _FOUR, _FIVE, _TWELVE = np.float32(0), np.float32(1), np.float32(4), np.float32(5), np.float32(12)
_BLOCK_LIMIT, _NEGLIGIBLE, _MOST_TERMS = np.float32(64.0), np.float32(1e-7), 2000


@compiled
def few_sales(chances, share, stock, out):
    """E[min(demand, stock)] where each of few customers, (H, N, E), buys at most one unit; share: (N,) that counts."""
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            nobody, mean = _ONE, _ZERO
            for i in range(chances.shape[0]):
                nobody *= _ONE - share[n] * chances[i, n, e]
                mean += share[n] * chances[i, n, e]
            scarce = _ONE - nobody if stock[n, e] > _ZERO else stock[n, e]
            out[n, e] = mean if stock[n, e] > _ONE else scarce


@compiled
def expected_sales(mean, overdispersion, stock, out):
    """E[min(demand, stock)]; demand is Poisson, or negative binomial under a gamma multiplier."""
    shorts, mass, beyond = np.empty(BLOCK, mean.dtype), np.empty(BLOCK, mean.dtype), np.empty(BLOCK, mean.dtype)
    for n in range(mean.shape[0]):
        variance = overdispersion[n]
        for first in range(0, mean.shape[1], BLOCK):
            last = min(first + BLOCK, mean.shape[1])
            scarce, hard = np.int32(0), np.int32(0)
            for e in range(first, last):
                short = np.int32(stock[n, e] <= ample(mean[n, e], variance))
                alone = short & np.int32(mean[n, e] > _BLOCK_LIMIT)
                out[n, e] = mean[n, e]
                scarce = np.int32(scarce | (short ^ alone))
                hard = np.int32(hard | alone)
            block = slice(first, last)
            if scarce:
                _expected_block(mean[n, block], variance, stock[n, block], shorts, mass, beyond, out[n, block])
            if hard:
                for e in range(first, last):
                    if mean[n, e] > _BLOCK_LIMIT:
                        out[n, e] = _expected_sale(float(mean[n, e]), float(variance), float(stock[n, e]))


@inlined
def ample(rate, variance):
    """Stock beyond which the shortfall is below float32's resolution; gamma tails are longer than Poisson's."""
    return rate + (_FIVE + _TWELVE * variance) * np.sqrt(rate + variance * rate * rate) + _FOUR


@compiled
def _expected_block(rate, variance, stock, shorts, mass, beyond, out):
    """The sum of P(demand > k) over k below the stock, the lanes that may run short in step.

    P(k + 1) / P(k) is rate (1 + k variance) / ((1 + rate variance) (k + 1)): negative binomial, Poisson for variance 0.
    """
    for j in range(out.size):
        shorts[j] = np.float32(np.int32(stock[j] <= ample(rate[j], variance)) & np.int32(rate[j] <= _BLOCK_LIMIT))
    for j in range(out.size):
        mass[j] = exponential(-logarithm(_ONE + variance * rate[j]) / variance if variance > _ZERO else -rate[j])
    for j in range(out.size):
        # A lane with ample stock must not depend on the company it keeps: it takes no part.
        beyond[j] = (_ONE - mass[j]) * shorts[j]
    for j in range(out.size):
        out[j] = min(stock[j], _ZERO) if shorts[j] > _ZERO else rate[j]
    for k in range(_MOST_TERMS):
        here, step, going = np.float32(k), (_ONE + np.float32(k) * variance) / np.float32(k + 1), np.int32(0)
        for j in range(out.size):
            counts = np.int32(stock[j] > here) & np.int32(beyond[j] > _NEGLIGIBLE)
            out[j] += beyond[j] if counts else _ZERO
            mass[j] *= step * rate[j] / (_ONE + variance * rate[j])
            beyond[j] -= mass[j]
            going = np.int32(going | counts)
        if going == 0:
            return


@compiled
def _expected_sale(rate, variance, stock):
    """E[min(demand, stock)] of one lane."""
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
    """E[(demand - stock)+] for side 1, E[(stock - demand)+] for side -1, summed from the stock outwards."""
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
        # The ratio of neighbouring masses is ratio * (k + shape) / (k + 1), and rate / (k + 1) for the Poisson.
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

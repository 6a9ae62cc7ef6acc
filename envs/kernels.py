"""The stages of one market step, compiled. Lanes m = market * N + product; groups g = market * C + category.

Each stage is small and walks contiguous one-dimensional slices, which is what lets the compiler use SIMD. A stage
works in the type of its arrays: float32 in the simulated market, float64 where the exact solvers ask.
"""

from __future__ import annotations

import math

from numba import njit

from .fastmath import exponential
from .random import derive, gamma_multiplier, poisson, uniform

# Streams of a lane's randomness in one period.
STREAM_GAMMA, STREAM_RATION, STREAM_DEMAND = 0, 1, 2
MNL, EXPONENTIAL, LINEAR, CONSTANT_ELASTICITY = 0, 1, 2, 3


@njit(cache=True)
def reference_effect(price, reference, gain, loss, out):
    """Utility of each lane from the distance between the reference price and the list price."""
    for m in range(price.size):
        gap = math.log(reference[m] / price[m])
        out[m] = gain[m] * gap if gap > 0 else loss[m] * gap


@njit(cache=True)
def weights(quality, sensitivity, path, paid, effect, on_hand, out):
    """exp(utility) of each lane for one segment; a sold-out product weighs nothing."""
    for m in range(paid.size):
        u = quality[m] - sensitivity[m] * path[m] * paid[m] + effect[m]
        out[m] = exponential(u)
    for m in range(paid.size):
        if on_hand[m] <= 0:
            out[m] = 0


@njit(cache=True)
def single_probability(family, quality, sensitivity, path, paid, effect, on_hand, out):
    """Probability that a customer buys, for the families with one product a category."""
    for m in range(paid.size):
        price = math.log(paid[m]) if family == CONSTANT_ELASTICITY else paid[m]
        u = quality[m] - sensitivity[m] * path[m] * price + effect[m]
        p = u if family == LINEAR else exponential(u)
        out[m] = min(max(p, 0), 1) if on_hand[m] > 0 else 0


@njit(cache=True)
def totals(weight, group, out):
    """1 + the sum of weights over each group: the denominator of the logit."""
    out[:] = 1
    for m in range(weight.size):
        out[group[m]] += weight[m]


@njit(cache=True)
def logit_means(weight, total, rate, group, out):
    """Mean units of each lane for one segment: arrivals times choice probability."""
    for m in range(weight.size):
        g = group[m]
        out[m] = rate[g] * weight[m] / total[g]


@njit(cache=True)
def single_means(probability, rate, group, out):
    """Mean units of each lane for one segment, for the families with one product a category."""
    for m in range(probability.size):
        out[m] = rate[group[m]] * probability[m]


@njit(cache=True)
def lift_shown(weight, shown, lift, products):
    """Multiply the weight of the product that each market shows this segment by exp(lift)."""
    factor = math.exp(lift)
    for e in range(shown.size):
        if shown[e] >= 0:
            weight[e * products + shown[e]] *= factor


@njit(cache=True)
def choose_shown(score, candidates, on_hand, shown, runner_up):
    """Per market and segment, the candidate in stock with the highest positive score, and the second; -1 for none.

    score: (E, N, K); candidates: (K, N) bool; on_hand: (E, N); shown, runner_up: (E, K), filled.
    """
    markets, products, segments = score.shape
    for e in range(markets):
        for k in range(segments):
            best, second = -1, -1
            for n in range(products):
                value = score[e, n, k]
                if not (value > 0 and candidates[k, n] and on_hand[e, n] > 0):
                    continue
                if best < 0 or value > score[e, best, k]:
                    best, second = n, best
                elif second < 0 or value > score[e, second, k]:
                    second = n
            shown[e, k], runner_up[e, k] = best, second


@njit(cache=True)
def draw_units(mean, overdispersion, on_hand, keys, products, demand, sold):
    """Demand and sales of each lane, all segments together."""
    for m in range(mean.size):
        key = derive(keys[m // products], m % products)
        rate = float(mean[m])
        if overdispersion[m] > 0:
            rate *= gamma_multiplier(overdispersion[m], derive(key, STREAM_GAMMA))
        demand[m] = poisson(rate, derive(key, STREAM_DEMAND))
        sold[m] = min(demand[m], on_hand[m])


@njit(cache=True)
def draw_segment_units(mean, overdispersion, on_hand, keys, products, demand, sold, by_segment):
    """As `draw_units`, segment by segment; mean: (K, M); by_segment: (M, K), filled.

    Where demand exceeds stock the customers are served in random order: the units sold are a random subset.
    """
    segments = mean.shape[0]
    for m in range(mean.shape[1]):
        key = derive(keys[m // products], m % products)
        multiplier = 1.0
        if overdispersion[m] > 0:
            multiplier = gamma_multiplier(overdispersion[m], derive(key, STREAM_GAMMA))
        total = 0.0
        for k in range(segments):
            units = poisson(multiplier * mean[k, m], derive(key, STREAM_DEMAND + k))
            by_segment[m, k] = units
            total += units
        demand[m] = total
        sold[m] = min(total, on_hand[m])
        if total > on_hand[m]:
            _ration(by_segment[m], total, on_hand[m], derive(key, STREAM_RATION))


@njit(cache=True)
def _ration(units, total, stock, key):
    """Keep `stock` of the `total` units at random, in place, drawing the smaller of the kept and the dropped."""
    keep = stock <= total - stock
    draws = stock if keep else total - stock
    left = units.copy()
    if keep:
        units[:] = 0
    attempt = 0
    while draws >= 1.0:
        ticket = uniform(derive(key, attempt)) * total
        attempt += 1
        k = 0
        while k < left.size - 1 and ticket >= left[k]:
            ticket -= left[k]
            k += 1
        left[k] -= 1.0
        total -= 1.0
        draws -= 1.0
        if keep:
            units[k] += 1.0
    if not keep:
        units[:] = left


@njit(cache=True)
def expected_sales(mean, overdispersion, on_hand, out):
    """E[min(demand, stock)] of each lane; demand is Poisson, or negative binomial under a gamma multiplier."""
    for m in range(mean.size):
        rate, stock, variance = float(mean[m]), float(on_hand[m]), float(overdispersion[m])
        # Beyond this the shortfall is below float32's resolution; gamma tails are longer than Poisson's.
        ample = rate + (6.0 + 12.0 * variance) * math.sqrt(rate + variance * rate * rate) + 6.0
        if rate <= 0.0 or stock > ample:
            out[m] = rate
        elif stock > rate:
            out[m] = rate - _partial_moment(rate, variance, int(stock), 1)
        else:
            out[m] = stock - _partial_moment(rate, variance, int(stock), -1)


@njit(cache=True)
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


@njit(cache=True)
def money(sold, demand, on_hand, price, cost, holding, lost_cost, revenue, profit):
    """Revenue and profit of each lane from units sold (drawn or expected) and demand."""
    for m in range(sold.size):
        revenue[m] = sold[m] * price[m]
        profit[m] = revenue[m] - cost[m] * sold[m] - lost_cost[m] * max(demand[m] - sold[m], 0)
        if holding[m] > 0:
            profit[m] -= holding[m] * (on_hand[m] - sold[m])


@njit(cache=True)
def period_keys(keys, period, out):
    """The key of each market's present period."""
    for e in range(keys.size):
        out[e] = derive(keys[e], period[e])

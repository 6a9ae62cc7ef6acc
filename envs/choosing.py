"""Compiled choice: mean units of every segment for every product at the prices of a period.

Arrays lie (…, N, E), so that every inner loop walks the markets side by side with the product's parameters held fixed.
Each loop is a small function over a few contiguous rows, which is what lets the compiler use SIMD: with more than eight
pairs of rows that might overlap it gives up. A loop works in the type of its arrays, float32 in the simulated market and
float64 where exact solvers ask.
"""

from __future__ import annotations

import math

import numpy as np

from .fastmath import compiled, exponential, logarithm
from .parameters import CHEAPEST, CONSTANT_ELASTICITY, LINEAR, MNL

_ZERO, _ONE = np.float32(0), np.float32(1)


@compiled
def read_calendar(p, period, regime, arrivals, season, path):
    """(C, E) arrivals, utility of the season and multiplier of the price sensitivity in each market's period."""
    same = True
    for e in range(period.size):
        same &= period[e] == period[0]
    for c in range(arrivals.shape[0]):
        for table, row in ((p.rate[c], arrivals[c]), (p.season[c], season[c]), (p.path[c], path[c])):
            if same:
                row[:] = table[period[0]]
            else:
                for e in range(period.size):
                    row[e] = table[period[e]]
        if p.regime_utility.size:
            for e in range(period.size):
                arrivals[c, e] *= p.regime_arrivals[regime[e]]
                season[c, e] += p.regime_utility[regime[e]]
                path[c, e] *= p.regime_sensitivity[regime[e]]


@compiled
def add_reference_effect(linear, gain, loss, price, reference, effect):
    """Utility from the distance between the reference price and the list price, added."""
    if linear:
        for e in range(price.size):
            gap = reference[e] - price[e]
            effect[e] += gain * gap if gap > _ZERO else loss * gap
    else:
        for e in range(price.size):
            gap = logarithm(reference[e] / price[e])
            effect[e] += gain * gap if gap > _ZERO else loss * gap


@compiled
def logit_weight(quality, sensitivity, felt, effect, available, out, total):
    """exp(utility), added to the total; felt: price paid times the path. A sold-out product weighs nothing."""
    for e in range(out.size):
        weight = exponential(quality - sensitivity * felt[e] + effect[e])
        weight = weight if available[e] > _ZERO else _ZERO
        out[e] = weight
        total[e] += weight


@compiled
def rival_weight(quality, sensitivity, felt, season, out, total):
    """exp(utility) of a rival offer, added to the total."""
    for e in range(out.size):
        out[e] = exponential(quality - sensitivity * felt[e] + season[e])
        total[e] += out[e]


@compiled
def single_probability(family, quality, sensitivity, path, paid, effect, available, out):
    """Probability that a customer buys, for the families with one product a category."""
    for e in range(out.size):
        price = logarithm(paid[e]) if family == CONSTANT_ELASTICITY else paid[e]
        u = quality - sensitivity * path[e] * price + effect[e]
        p = u if family == LINEAR else exponential(u)
        out[e] = min(max(p, _ZERO), _ONE) if available[e] > _ZERO else _ZERO


@compiled
def lift_promoted(factor, promoted, weight, total):
    """Multiply the weight where the product is on promotion."""
    for e in range(weight.size):
        more = weight[e] * (factor - _ONE) * promoted[e]
        weight[e] += more
        total[e] += more


@compiled
def promote(factor, promoted, effect):
    """Add the utility of being on promotion, where probabilities are cut and a factor would not do."""
    more = np.log(factor)
    for e in range(effect.size):
        effect[e] += more * promoted[e]


@compiled
def lift_shown(factor, n, shown, weight, out, total):
    """The weight with the lift of the slot, where it shows product n."""
    for e in range(out.size):
        more = weight[e] * (factor - _ONE) if shown[e] == n else _ZERO
        out[e] = weight[e] + more
        total[e] += more


@compiled
def multiply(left, right, out):
    """out = left * right."""
    for e in range(out.size):
        out[e] = left[e] * right[e]


@compiled
def add_product(values, factor, total):
    """total += values * factor."""
    for e in range(total.size):
        total[e] += values[e] * factor[e]


@compiled
def add_scaled(values, factor, out, total):
    """out = values * factor; total += out."""
    for e in range(out.size):
        out[e] = values[e] * factor[e]
        total[e] += out[e]


@compiled
def per_weight(arrivals, total, out):
    """Customers over the denominator of the logit."""
    for e in range(out.size):
        out[e] = arrivals[e] / total[e]


@compiled
def per_weight_waiting(share, patience, arrivals, pool, total, later, out, waiting):
    """As `per_weight`, where a share of the customers may wait; later: weight of the products at expected prices."""
    for e in range(out.size):
        waiting[e] = (share * arrivals[e] + pool[e]) / (total[e] + patience * later[e])
    for e in range(out.size):
        out[e] = (_ONE - share) * arrivals[e] / total[e] + waiting[e]
    for e in range(out.size):
        waiting[e] *= patience * later[e]


@compiled
def segment_arrivals(arrivals, share, multiplier, out):
    """Customers of a segment in a category."""
    for e in range(out.size):
        out[e] = arrivals[e] * share
    if multiplier.size:
        for e in range(out.size):
            out[e] *= multiplier[e]


@compiled
def segment_weights(p, k, felt, paid, available, shown, promoted, effect, path, weight, lifted, total):
    """Weights of segment k without and with the slot, (N, E), and the denominators before rivals, (C, E)."""
    for n in range(felt.shape[0]):
        c = p.category[n]
        if p.family == MNL:
            logit_weight(p.quality[k, n], p.sensitivity[k, n], felt[n], effect[n], available[n], weight[n], total[c])
        else:
            felt_effect = effect[n].copy()
            if p.promotion.size:
                promote(p.promotion[k, n], promoted[n], felt_effect)
            constants = (p.quality[k, n], p.sensitivity[k, n], path[c], paid[n], felt_effect, available[n])
            single_probability(p.family, *constants, weight[n])
            continue
        if p.promotion.size:
            lift_promoted(p.promotion[k, n], promoted[n], weight[n], total[c])
        if shown.size:
            lift_shown(p.lift[k], n, shown[k], weight[n], lifted[n], total[c])


@compiled
def expected_later(p, k, felt, available, season, row, later):
    """(C, E) weight of a segment's products at the prices that those who wait expect."""
    later[:] = _ZERO
    for n in range(available.shape[0]):
        c = p.category[n]
        logit_weight(p.quality[k, n], p.sensitivity[k, n], felt[n], season[c], available[n], row, later[c])


@compiled
def choose(p, period, regime, now, scale, scratch, out):
    """Fill `out`, the arrays of a `Choice`, for E markets.

    now: (price, reference, available, paid, shown, promoted, rival_price, multiplier, waiting) of a `Situation`. scale:
    share of the period. scratch: (N + C + 1, E). Where `out` has no room for weights or means of every segment (first axis
    1 or 0) only what the drawn sales need is kept.
    """
    price, reference, available, paid, shown, promoted, rival_price, multiplier, pool = now
    weight, lifted, mean, units, total, rival_units, waiting, arrivals, season, path, effect = out
    products = price.shape[0]
    read_calendar(p, period, regime, arrivals, season, path)
    if scale != _ONE:
        arrivals *= scale
    for n in range(products):
        effect[n] = season[p.category[n]]
        if p.gain.size:
            add_reference_effect(p.linear_reference, p.gain[n], p.loss[n], price[n], reference[n], effect[n])
    units[:] = _ZERO
    rival_units[:] = _ZERO
    total[:] = _ONE
    if p.family == CHEAPEST:
        choose_cheapest(p, price, effect, available, promoted, rival_price, arrivals, path, mean, units, rival_units)
        return
    felt, factor, row = scratch[:products], scratch[products:-1], scratch[-1]
    rival, later, expected = np.empty_like(rival_price), np.empty_like(arrivals), np.empty_like(felt)
    for n in range(products):
        multiply(price[n], path[p.category[n]], felt[n])
        if waiting.shape[0]:
            multiply(reference[n], path[p.category[n]], expected[n])
    for k in range(p.quality.shape[0]):
        w = k if weight.shape[0] > 1 else 0
        if k > w:
            total[w] = _ONE
        prices = paid[k] if paid.shape[0] else price
        if paid.shape[0]:
            for n in range(products):
                multiply(paid[k, n], path[p.category[n]], felt[n])
        goods = (felt, prices, available, shown, promoted, effect, path)
        segment_weights(p, k, *goods, weight[w], lifted[w], total[w])
        for r in range(rival_price.shape[0]):
            c = p.rival_category[r]
            multiply(rival_price[r], path[c], row)
            rival_weight(p.rival_quality[k, r], p.rival_sensitivity[k, r], row, season[c], rival[r], total[w, c])
        if waiting.shape[0]:
            expected_later(p, k, expected, available, season, row, later)
        share_out(p, k, arrivals, multiplier, pool, total[w], later, row, factor, waiting)
        for n in range(products):
            if mean.shape[0]:
                add_scaled(lifted[w, n], factor[p.category[n]], mean[k, n], units[n])
            else:
                add_product(lifted[w, n], factor[p.category[n]], units[n])
        for r in range(rival_price.shape[0]):
            add_product(rival[r], factor[p.rival_category[r]], rival_units[r])


@compiled
def share_out(p, k, arrivals, multiplier, pool, total, later, row, factor, waiting):
    """(C, E) customers of a segment over the denominator of the logit, and those who wait."""
    for c in range(arrivals.shape[0]):
        g = c * p.quality.shape[0] + k
        segment_arrivals(arrivals[c], p.share[c, k], multiplier[g] if multiplier.shape[0] else row[:0], row)
        if waiting.shape[0]:
            patient = (p.strategic_share[k], p.patience[k], row, pool[g], total[c], later[c])
            per_weight_waiting(*patient, factor[c], waiting[g])
        else:
            per_weight(row, total[c], factor[c])


@compiled
def choose_cheapest(p, price, effect, available, promoted, rival_price, arrivals, path, mean, units, rival_units):
    """The lowest price of each category takes all who can pay it; equal lowest prices share them."""
    products, markets = price.shape
    for c in range(arrivals.shape[0]):
        for e in range(markets):
            lowest, sellers = math.inf, 0
            for n in range(products):
                if p.category[n] == c and available[n, e] > 0:
                    lowest, sellers = _lower(price[n, e], lowest, sellers)
            for r in range(rival_price.shape[0]):
                if p.rival_category[r] == c:
                    lowest, sellers = _lower(rival_price[r, e], lowest, sellers)
            for k in range(p.quality.shape[0]):
                customers = arrivals[c, e] * p.share[c, k] / max(sellers, 1)
                for n in range(products):
                    if p.category[n] == c:
                        u = p.quality[k, n] - p.sensitivity[k, n] * path[c, e] * price[n, e] + effect[n, e]
                        if p.promotion.size:
                            u += np.log(p.promotion[k, n]) * promoted[n, e]
                        wins = available[n, e] > 0 and price[n, e] == lowest
                        bought = customers * min(max(u, 0.0), 1.0) if wins else 0.0
                        units[n, e] += bought
                        if mean.shape[0]:
                            mean[k, n, e] = bought
                for r in range(rival_price.shape[0]):
                    if p.rival_category[r] == c and rival_price[r, e] == lowest:
                        u = p.rival_quality[k, r] - p.rival_sensitivity[k, r] * path[c, e] * rival_price[r, e]
                        rival_units[r, e] += customers * min(max(u, 0.0), 1.0)


@compiled
def _lower(price, lowest, sellers):
    """The lowest price so far and how many ask it."""
    if price < lowest:
        return float(price), 1
    return lowest, sellers + (1 if price == lowest else 0)


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
    """The products with the highest positive scores, at most `most` a market; score: (N, E); promoted: filled with 0, 1."""
    products, markets = score.shape
    if most >= products:
        for n in range(products):
            for e in range(markets):
                promoted[n, e] = _ONE if score[n, e] > _ZERO else _ZERO
        return
    promoted[:] = _ZERO
    best, which = np.empty(markets, score.dtype), np.empty(markets, np.int32)
    for _ in range(most):
        best[:] = _ZERO
        which[:] = -1
        for n in range(products):
            keep_better(score[n], promoted[n], np.int32(n), best, which)
        for n in range(products):
            for e in range(markets):
                promoted[n, e] = _ONE if which[e] == n else promoted[n, e]


@compiled
def keep_better(score, promoted, n, best, which):
    """Note product n where its score beats the best so far and it is not on promotion yet."""
    for e in range(best.size):
        better = np.int32(score[e] > best[e]) & np.int32(promoted[e] == _ZERO)
        which[e] = n if better else which[e]
        best[e] = score[e] if better else best[e]

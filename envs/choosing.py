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
def product_season(p, period, season, effect):
    """(N, E) utility that the period adds to each product: of its category's season and of its own path."""
    for n in range(effect.shape[0]):
        effect[n] = season[p.category[n]]
    for n in range(p.quality_path.shape[0]):
        for e in range(period.size):
            effect[n, e] += p.quality_path[n, period[e]]


@compiled
def add_reference_effect(linear, gain, loss, price, reference, effect):
    """Utility from the distance between the reference price and the list price, added; gain, loss: (N,)."""
    for n in range(price.shape[0]):
        up, down = gain[n], loss[n]
        if linear:
            for e in range(price.shape[1]):
                gap = reference[n, e] - price[n, e]
                effect[n, e] += up * gap if gap > _ZERO else down * gap
        else:
            for e in range(price.shape[1]):
                gap = logarithm(reference[n, e] / price[n, e])
                effect[n, e] += up * gap if gap > _ZERO else down * gap


@compiled
def logit_weights(quality, sensitivity, felt, effect, available, out):
    """exp(utility) of one segment; felt: price paid times the path. A sold-out product weighs nothing."""
    for n in range(out.shape[0]):
        q, b = quality[n], sensitivity[n]
        for e in range(out.shape[1]):
            weight = exponential(q - b * felt[n, e] + effect[n, e])
            out[n, e] = weight if available[n, e] > _ZERO else _ZERO


@compiled
def add_by_category(category, weight, total):
    """Sum of the weights of each category, added to (C, E) totals."""
    for n in range(weight.shape[0]):
        c = category[n]
        for e in range(weight.shape[1]):
            total[c, e] += weight[n, e]


@compiled
def rival_weights(category, quality, sensitivity, price, path, season, out, total):
    """exp(utility) of the rival offers, (R, E), added to the totals."""
    for r in range(out.shape[0]):
        c, q, b = category[r], quality[r], sensitivity[r]
        for e in range(out.shape[1]):
            out[r, e] = exponential(q - b * (path[c, e] * price[r, e]) + season[c, e])
        for e in range(out.shape[1]):
            total[c, e] += out[r, e]


@compiled
def single_probability(family, quality, sensitivity, path, paid, effect, available, out):
    """Probability that a customer buys, for the families with one product a category."""
    for e in range(out.size):
        price = logarithm(paid[e]) if family == CONSTANT_ELASTICITY else paid[e]
        u = quality - sensitivity * path[e] * price + effect[e]
        p = u if family == LINEAR else exponential(u)
        out[e] = min(max(p, _ZERO), _ONE) if available[e] > _ZERO else _ZERO


@compiled
def lift_promoted(factor, promoted, weight):
    """Multiply the weights of products on promotion by their factors, (N,)."""
    for n in range(weight.shape[0]):
        more = factor[n] - _ONE
        for e in range(weight.shape[1]):
            weight[n, e] *= _ONE + more * promoted[n, e]


@compiled
def promote(factor, promoted, effect):
    """Add the utility of being on promotion, where probabilities are cut and a factor would not do."""
    more = np.log(factor)
    for e in range(effect.size):
        effect[e] += more * promoted[e]


@compiled
def lift_shown(factor, shown, weight, out):
    """The weights with the lift of the slot, for the product that it shows in each market, (E,)."""
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            out[n, e] = weight[n, e] * (factor if shown[e] == n else _ONE)


@compiled
def times_path(category, values, path, out):
    """(N, E) values times the path of their category."""
    for n in range(out.shape[0]):
        c = category[n]
        for e in range(out.shape[1]):
            out[n, e] = values[n, e] * path[c, e]


@compiled
def add_shares(category, weight, factor, units):
    """Add weight times its category's factor to the units of each product."""
    for n in range(weight.shape[0]):
        c = category[n]
        for e in range(weight.shape[1]):
            units[n, e] += weight[n, e] * factor[c, e]


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
    if p.family != MNL:
        for n in range(felt.shape[0]):
            felt_effect = effect[n].copy()
            if p.promotion.size:
                promote(p.promotion[k, n], promoted[n], felt_effect)
            constants = (p.quality[k, n], p.sensitivity[k, n], path[p.category[n]], paid[n], felt_effect, available[n])
            single_probability(p.family, *constants, weight[n])
        return
    logit_weights(p.quality[k], p.sensitivity[k], felt, effect, available, weight)
    if p.promotion.size:
        lift_promoted(p.promotion[k], promoted, weight)
    if shown.size:
        lift_shown(p.lift[k], shown[k], weight, lifted)
    add_by_category(p.category, lifted, total)


@compiled
def expected_later(p, k, felt, available, effect, spare, later):
    """(C, E) weight of a segment's products at the prices that those who wait expect; effect: of the season."""
    later[:] = _ZERO
    logit_weights(p.quality[k], p.sensitivity[k], felt, effect, available, spare)
    add_by_category(p.category, spare, later)


@compiled
def choose(p, period, regime, now, scale, scratch, out):
    """Fill `out`, the arrays of a `Choice`, for E markets.

    now: (price, reference, available, paid, shown, promoted, rival_price, multiplier, waiting) of a `Situation`. scale:
    share of the period. scratch: (N + C + 1, E). Where `out` has no room for weights or means of every segment (first axis
    1 or 0) only what the drawn sales need is kept.
    """
    price, reference = now[:2]
    _, _, mean, units, total, rival_units, _, arrivals, season, path, effect = out
    products = price.shape[0]
    read_calendar(p, period, regime, arrivals, season, path)
    if scale != _ONE:
        arrivals *= scale
    product_season(p, period, season, effect)
    if p.gain.size:
        add_reference_effect(p.linear_reference, p.gain, p.loss, price, reference, effect)
    units[:] = _ZERO
    rival_units[:] = _ZERO
    total[:] = _ONE
    if p.family == CHEAPEST:
        choose_cheapest(p, now, arrivals, season, path, effect, mean, units, rival_units)
        return
    felt = scratch[:products]
    times_path(p.category, price, path, felt)
    choose_logit(p, period, now, felt, scratch[products:], out)


@compiled
def choose_logit(p, period, now, felt, scratch, out):
    """The part of `choose` that goes segment by segment: the logit, and the families with one product a category.

    felt: (N, E) list prices times the path. scratch: (C + 1, E).
    """
    price, reference, available, paid, shown, promoted, rival_price, multiplier, pool = now
    weight, lifted, mean, units, total, rival_units, waiting, arrivals, season, path, effect = out
    factor, row, rival, later = scratch[:-1], scratch[-1], np.empty_like(rival_price), np.empty_like(arrivals)
    expected, expected_effect, spare = felt, felt, felt
    if waiting.shape[0]:
        expected, expected_effect, spare = np.empty_like(felt), np.empty_like(felt), np.empty_like(felt)
        times_path(p.category, reference, path, expected)
        product_season(p, period, season, expected_effect)
    for k in range(p.quality.shape[0]):
        w = k if weight.shape[0] > 1 else 0
        if k > w:
            total[w] = _ONE
        prices = paid[k] if paid.shape[0] else price
        if paid.shape[0]:
            times_path(p.category, prices, path, felt)
        goods = (felt, prices, available, shown, promoted, effect, path)
        segment_weights(p, k, *goods, weight[w], lifted[w], total[w])
        if rival.shape[0]:
            offers = (p.rival_category, p.rival_quality[k], p.rival_sensitivity[k], rival_price, path, season)
            rival_weights(*offers, rival, total[w])
        if waiting.shape[0]:
            expected_later(p, k, expected, available, expected_effect, spare, later)
        share_out(p, k, arrivals, multiplier, pool, total[w], later, row, factor, waiting)
        if mean.shape[0]:
            mean[k] = _ZERO
            add_shares(p.category, lifted[w], factor, mean[k])
            add(mean[k], units)
        else:
            add_shares(p.category, lifted[w], factor, units)
        add_shares(p.rival_category, rival, factor, rival_units)


@compiled
def add(values, total):
    """total += values."""
    for n in range(total.shape[0]):
        for e in range(total.shape[1]):
            total[n, e] += values[n, e]


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
def choose_cheapest(p, now, arrivals, season, path, effect, mean, units, rival_units):
    """The lowest price of each category takes all of a segment who can pay it; equal lowest prices share them."""
    price, _, available, paid, _, promoted, rival_price, multiplier, _ = now
    segments, markets = p.quality.shape[0], price.shape[1]
    for k in range(segments):
        prices = paid[k] if paid.shape[0] else price
        for c in range(arrivals.shape[0]):
            for e in range(markets):
                lowest, sellers = cheapest_offer(p, c, e, prices, available, rival_price)
                customers = arrivals[c, e] * p.share[c, k] / max(sellers, 1)
                if multiplier.shape[0]:
                    customers *= multiplier[c * segments + k, e]
                for n in range(price.shape[0]):
                    if p.category[n] == c:
                        u = p.quality[k, n] - p.sensitivity[k, n] * path[c, e] * prices[n, e] + effect[n, e]
                        if p.promotion.size:
                            u += np.log(p.promotion[k, n]) * promoted[n, e]
                        wins = available[n, e] > 0 and prices[n, e] == lowest
                        bought = customers * min(max(u, 0.0), 1.0) if wins else 0.0
                        units[n, e] += bought
                        if mean.shape[0]:
                            mean[k, n, e] = bought
                for r in range(rival_price.shape[0]):
                    if p.rival_category[r] == c and rival_price[r, e] == lowest:
                        u = p.rival_quality[k, r] - p.rival_sensitivity[k, r] * path[c, e] * lowest + season[c, e]
                        rival_units[r, e] += customers * min(max(u, 0.0), 1.0)


@compiled
def cheapest_offer(p, c, e, prices, available, rival_price):
    """The lowest price of a category in one market, and how many ask it."""
    lowest, sellers = math.inf, 0
    for n in range(prices.shape[0]):
        if p.category[n] == c and available[n, e] > 0:
            lowest, sellers = _lower(prices[n, e], lowest, sellers)
    for r in range(rival_price.shape[0]):
        if p.rival_category[r] == c:
            lowest, sellers = _lower(rival_price[r, e], lowest, sellers)
    return lowest, sellers


@compiled
def _lower(price, lowest, sellers):
    """The lowest price so far and how many ask it."""
    if price < lowest:
        return float(price), 1
    return lowest, sellers + (1 if price == lowest else 0)

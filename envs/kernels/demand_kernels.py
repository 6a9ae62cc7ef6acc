"""Compiled choice model: utilities to mean units; a sold-out product leaves the choice.

A product without stock gets weight 0 in `logit_weights` (and probability 0 in `as_probability`
and `choose_cheapest`), so that its customers choose among the rest, the rivals and the outside
option. Arrays lie (…, N, E); `jit/README.md` says how the loops are written. A loop works in the
type of its arrays: float32 in the simulated market, float64 in exact solvers.
"""

from __future__ import annotations

import numpy as np

from ..jit.callbacks import call_back
from ..jit.math import exponential, inlined, lean, logarithm, multiply_add
from .cheapest import choose_cheapest
from .demand_arrays import CHEAPEST, CONSTANT_ELASTICITY, EXTENSION, JOINT, LINEAR, MNL, NESTED, NEVER
from .felt_price import add_reference_effect, feel, feel_rivals, units_factor

_ZERO, _ONE = np.float32(0), np.float32(1)


@lean.entry
def read_calendar(p, period, regime, arrivals, season, path):
    """Fill arrivals, utility of the season and multiplier of the sensitivity, (C, E) each."""
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


@lean.entry
def product_season(category, quality_path, period, season, effect):
    """Fill (N, E) with the utility of the season and of the product's own path."""
    for n in range(effect.shape[0]):
        c = category[n]
        for e in range(effect.shape[1]):
            effect[n, e] = season[c, e]
    for n in range(quality_path.shape[0]):
        for e in range(period.size):
            effect[n, e] += quality_path[n, period[e]]


@lean
def multiply(factor, out):
    """out *= factor."""
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            out[n, e] *= factor[n, e]


@lean
def logit_weights(category, quality, sensitivity, lift, felt, effect, promoted, available, out, total):
    """Fill exp(utility) for one segment, 0 for a sold-out product, and add it to the totals.

    Args:
        category: (N,) category of each product.
        quality: (N,) utility.
        sensitivity: (N,) price sensitivity.
        lift: (N,) utility of being on promotion; not read without promotions.
        felt: (N, E) perceived price.
        effect: (N, E) utility of season and reference price.
        promoted: (N, E) 1 for products on promotion, or (0, E).
        available: (N, E) positive for products in stock.
        out: (N, E), filled.
        total: (C, E), added to, or (0, E).
    """
    for n in range(out.shape[0]):
        q, b = quality[n], -sensitivity[n]
        if promoted.shape[0]:
            more = lift[n]
            for e in range(out.shape[1]):
                utility = multiply_add(more, promoted[n, e], q + effect[n, e])
                weight = exponential(multiply_add(b, felt[n, e], utility))
                out[n, e] = weight if available[n, e] > _ZERO else _ZERO
        else:
            for e in range(out.shape[1]):
                weight = exponential(multiply_add(b, felt[n, e], q + effect[n, e]))
                out[n, e] = weight if available[n, e] > _ZERO else _ZERO
        if total.shape[0]:
            c = category[n]
            for e in range(out.shape[1]):
                total[c, e] += out[n, e]


@lean
def nested_weights(p, k, lift, felt, effect, promoted, available, out, total, rest):
    """As `logit_weights` for the nested logit: fills exp(utility / (1 - nesting)), the totals (J, E) by
    which customers times weight are divided, and the weights of the rest of the category (J, E).
    """
    nesting, quality, sensitivity = p.nesting, p.quality[k], p.sensitivity[k]
    total[:] = _ZERO
    for n in range(out.shape[0]):
        j = p.nest[n]
        steep = _ONE / (_ONE - nesting[j])
        for e in range(out.shape[1]):
            utility = quality[n] + effect[n, e] - sensitivity[n] * felt[n, e]
            if promoted.shape[0]:
                utility += lift[n] * promoted[n, e]
            out[n, e] = exponential(steep * utility) if available[n, e] > _ZERO else _ZERO
        for e in range(out.shape[1]):
            total[j, e] += out[n, e]
    weigh_rest(p.nest_category, nesting, total, rest)
    for j in range(total.shape[0]):
        for e in range(total.shape[1]):
            total[j, e] = nest_total(total[j, e], nesting[j], rest[j, e])


@lean
def weigh_rest(category, nesting, inside, rest):
    """Fill (J, E) with the weight of the outside option and of the category's other nests."""
    rest[:] = _ONE
    for j in range(rest.shape[0]):
        for i in range(rest.shape[0]):
            if i != j and category[i] == category[j]:
                for e in range(rest.shape[1]):
                    rest[j, e] += nest_weight(inside[i, e], nesting[i])


@inlined
def nest_weight(inside, nesting):
    """The weight of a nest beside the outside option, where its products' weights sum to `inside`."""
    return exponential((_ONE - nesting) * logarithm(inside)) if inside > _ZERO else _ZERO


@inlined
def nest_total(inside, nesting, rest):
    """What a nest's weights, which sum to `inside`, are divided by; any number where they are 0."""
    return exponential(nesting * logarithm(inside)) * rest + inside if inside > _ZERO else _ONE


@lean
def add_by_category(category, weight, total):
    """Add the weights of each category to (C, E) totals."""
    for n in range(weight.shape[0]):
        c = category[n]
        for e in range(weight.shape[1]):
            total[c, e] += weight[n, e]


@lean
def rival_weights(category, quality, sensitivity, felt, season, out, total):
    """Fill exp(utility) of the rival offers, (R, E), and add it to the totals."""
    for r in range(out.shape[0]):
        c, q, b = category[r], quality[r], sensitivity[r]
        for e in range(out.shape[1]):
            out[r, e] = exponential(multiply_add(-b, felt[r, e], q + season[c, e]))
        for e in range(out.shape[1]):
            total[c, e] += out[r, e]


@lean
def single_response(family, quality, sensitivity, path, paid, effect, out):
    """Fill (E,) with what a product's purchase probability is before it is cut; one product per category.

    For a family or choice model of another package it is the utility, from which its function makes the probability.
    """
    for e in range(out.size):
        price = logarithm(paid[e]) if family == CONSTANT_ELASTICITY else paid[e]
        u = quality - sensitivity * path[e] * price + effect[e]
        out[e] = u if family in (LINEAR, EXTENSION, JOINT) else exponential(u)


@lean
def as_probability(available, out):
    """Cut (E,) to [0, 1], and to 0 where the product is sold out."""
    for e in range(out.size):
        out[e] = min(max(out[e], _ZERO), _ONE) if available[e] > _ZERO else _ZERO


@lean
def promote(lift, promoted, effect, out):
    """Fill the utility of the period including promotions; lift: (N,) or (0,)."""
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            out[n, e] = effect[n, e] + lift[n] * promoted[n, e] if lift.size else effect[n, e]


@lean
def lift_shown(factor, shown, weight, out):
    """Fill the weights with the slot's factor on the product shown in each market, (E,)."""
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            out[n, e] = weight[n, e] * (factor if shown[e] == n else _ONE)


@lean
def add_shares(category, weight, factor, units):
    """Add weight times the category's factor to the units of each product."""
    for n in range(weight.shape[0]):
        c = category[n]
        for e in range(weight.shape[1]):
            units[n, e] += weight[n, e] * factor[c, e]


@lean
def share(category, weight, factor, mean, units):
    """As `add_shares`, keeping the units of the segment as well."""
    for n in range(weight.shape[0]):
        c = category[n]
        for e in range(weight.shape[1]):
            mean[n, e] = weight[n, e] * factor[c, e]
        for e in range(weight.shape[1]):
            units[n, e] += mean[n, e]


@lean
def per_weight(category, arrivals, share, k, multiplier, total, out):
    """Fill (J, E) with the customers of segment k over the total by which weights are divided.
    category: (J,) of each nest. multiplier: (C * K, E) or (0, E).
    """
    for j in range(out.shape[0]):
        c = category[j]
        part = share[c, k]
        if multiplier.shape[0]:
            g = c * share.shape[1] + k
            for e in range(out.shape[1]):
                out[j, e] = arrivals[c, e] * part * multiplier[g, e] / total[j, e]
        else:
            for e in range(out.shape[1]):
                out[j, e] = arrivals[c, e] * part / total[j, e]


@lean
def per_weight_waiting(share, patience, arrivals, pool, total, later, out, waiting):
    """As `per_weight`, where some customers may wait; later: (E,) weight of buying later."""
    for e in range(out.size):
        waiting[e] = (share * arrivals[e] + pool[e]) / (total[e] + patience * later[e])
    for e in range(out.size):
        out[e] = (_ONE - share) * arrivals[e] / total[e] + waiting[e]
    for e in range(out.size):
        waiting[e] *= patience * later[e]


@lean
def segment_arrivals(arrivals, share, multiplier, out):
    """Fill (E,) with the customers of a segment in a category; multiplier: (1, E) or (0, E)."""
    for e in range(out.size):
        out[e] = arrivals[e] * share
    if multiplier.shape[0]:
        for e in range(out.size):
            out[e] *= multiplier[0, e]


@lean
def single_weights(p, k, paid, effect, path, available, weight):
    """Purchase probabilities of a segment in the families with one product per category, and in choice models of other
    packages.
    """
    for n in range(weight.shape[0]):
        constants = (p.quality[k, n], p.sensitivity[k, n], path[p.category[n]])
        single_response(p.family, *constants, paid[n], effect[n], weight[n])
        if p.family == JOINT:
            for e in range(weight.shape[1]):
                if available[n, e] <= _ZERO:
                    weight[n, e] = NEVER
    if p.family in (EXTENSION, JOINT):
        call_back(p.extension, weight)
    for n in range(weight.shape[0]):
        as_probability(available[n], weight[n])


@inlined
def logit_segment(p, k, now, felt, effect, weight, lifted, total):
    """Fill a segment's weights without and with the slot, (N, E), and add them to the totals."""
    lift = p.promotion[k] if now.promoted.shape[0] else p.quality[k]
    utility = (p.category, p.quality[k], p.sensitivity[k], lift, felt, effect, now.promoted, now.available)
    if now.shown.shape[0]:
        logit_weights(*utility, weight, total[:0])
        lift_shown(p.lift[k], now.shown[k], weight, lifted)
        add_by_category(p.category, lifted, total)
    else:
        logit_weights(*utility, weight, total)


@lean
def expected_later(p, k, felt, available, effect, spare, later):
    """Fill (C, E) with a segment's weight at the prices that waiting customers expect."""
    later[:] = _ZERO
    constants, no_promotion = (p.category, p.quality[k], p.sensitivity[k], p.quality[k]), felt[:0]
    logit_weights(*constants, felt, effect, no_promotion, available, spare, later)


@inlined
def choose(p, now, out, units, work):
    """Fill a `Choice` from the `ChoiceInputs` of E markets.

    If `out` has no space for the weights or means of every segment (first axis 1 or 0), only what
    sales need is kept.

    Args:
        p: `ChoiceParameters`.
        now: `ChoiceInputs`.
        out: `Choice`, filled but for its units.
        units: (N, E) mean units of all segments, filled.
        work: `ChoiceScratch`.
    """
    read_calendar(p, now.period, now.regime, out.arrivals, out.season, out.path)
    if now.scale != _ONE:
        for c in range(out.arrivals.shape[0]):
            for e in range(out.arrivals.shape[1]):
                out.arrivals[c, e] *= now.scale
    product_season(p.category, p.quality_path, now.period, out.season, out.effect)
    if p.gain.size:
        add_reference_effect(p.linear_reference, p.gain, p.loss, now.price, now.reference, out.effect)
    units[:] = _ZERO
    out.rival_units[:] = _ZERO
    out.total[:] = _ONE
    if p.family == CHEAPEST:
        choose_cheapest(p, now, out, units)
    else:
        choose_by_segment(p, now, out, units, work)
    if p.units_gain.size:
        units_factor(p, now.price, now.reference, work.spare)
        multiply(work.spare, units)
        for k in range(out.mean.shape[0]):
            multiply(work.spare, out.mean[k])


@inlined
def choose_by_segment(p, now, out, units, work):
    """The part of `choose` that handles one segment after another."""
    felt, effect = work.felt, out.effect
    feel(p, now.price, out.path, felt)
    feel_rivals(p, now.rival_price, out.path, work.rival_felt)
    if out.waiting.shape[0]:
        feel(p, now.reference, out.path, work.expected)
        product_season(p.category, p.quality_path, now.period, out.season, work.expected_effect)
    for k in range(p.quality.shape[0]):
        w = k if out.weight.shape[0] > 1 else 0
        weight, lifted, total = out.weight[w], out.lifted[w], out.total[w]
        total[:] = _ONE
        if now.paid.shape[0]:
            feel(p, now.paid[k], out.path, felt)
        if p.family == MNL:
            logit_segment(p, k, now, felt, effect, weight, lifted, total)
        elif p.family == NESTED:
            lift = p.promotion[k] if now.promoted.shape[0] else p.quality[k]
            nested_weights(p, k, lift, felt, effect, now.promoted, now.available, weight, total, work.factor)
        else:
            promote(p.promotion[k], now.promoted, effect, work.spare)
            paid = now.paid[k] if now.paid.shape[0] else now.price
            single_weights(p, k, paid, work.spare, out.path, now.available, weight)
        share_segment(p, k, now, lifted, total, out, units, work)


@inlined
def share_segment(p, k, now, lifted, total, out, units, work):
    """Add the units of a segment, from its weights and those of the rivals."""
    rival, factor, rivals = work.rival, work.factor, work.rival.shape[0] > 0
    if rivals:
        constants = (p.rival_category, p.rival_quality[k], p.rival_sensitivity[k])
        rival_weights(*constants, work.rival_felt, out.season, rival, total)
    if out.waiting.shape[0]:
        expected_later(p, k, work.expected, now.available, work.expected_effect, work.spare, work.later)
        share_waiting(p, k, out.arrivals, now.multiplier, now.waiting, total, work, out.waiting)
    else:
        per_weight(p.nest_category, out.arrivals, p.share, k, now.multiplier, total, factor)
    if out.mean.shape[0]:
        share(p.nest, lifted, factor, out.mean[k], units)
    else:
        add_shares(p.nest, lifted, factor, units)
    if rivals:
        add_shares(p.rival_category, rival, factor, out.rival_units)


@lean
def add(values, total):
    """total += values."""
    for n in range(total.shape[0]):
        for e in range(total.shape[1]):
            total[n, e] += values[n, e]


@lean
def share_waiting(p, k, arrivals, multiplier, pool, total, work, waiting):
    """As `per_weight`, where a share of the customers waits, for all categories."""
    for c in range(arrivals.shape[0]):
        g = c * p.quality.shape[0] + k
        segment_arrivals(arrivals[c], p.share[c, k], multiplier[g : g + 1], work.row)
        patient = (p.strategic_share[k], p.patience[k], work.row, pool[g], total[c], work.later[c])
        per_weight_waiting(*patient, work.factor[c], waiting[g])

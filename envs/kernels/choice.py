"""Compiled choice model: from what customers meet to the mean units that they demand.

Utilities of the prices that customers feel become weights, weights become shares of the customers. A product without stock
gets weight 0, so that its customers choose among the rest, the rivals and the outside option; `count_lost` says how many of
them are lost. The formulas are those of `pricing.choice_model`, which works on whole arrays. Arrays lie (…, N, E);
`jit/README.md` says how the loops are written. A loop works in the type of its arrays: float32 in the simulated market,
float64 in exact solvers. `p` is always `ChoiceParameters`, `now` `ChoiceInputs`.
"""

from __future__ import annotations

import numpy as np
from numba import objmode

from ...pricing import felt_price
from ...pricing.choice_formulas import reference_gap, stocking_price, units_taken
from ..jit.compiling import compiled, inlined
from ..jit.math import exponential, logarithm, multiply_add
from .choice_parameters import (
    CHEAPEST,
    CONSTANT_ELASTICITY,
    EXTENSION,
    JOINT,
    LINEAR,
    MNL,
    NESTED,
    NEVER,
    Choice,
    ChoiceInputs,
    replace_by,
)

_ZERO = np.float32(0)
_ONE = np.float32(1)


@inlined
def choose(p, now, out, units, work):
    """Fill a `Choice` with what E markets demand.

    If `out` has no space for the weights or means of every segment (first axis 1 or 0), only what
    sales need is kept.

    Args:
        p: `ChoiceParameters`.
        now: `ChoiceInputs`.
        out: `Choice`, filled but for its units.
        units: (N, E) mean units of all segments, filled.
        work: `ChoiceScratch`.
    """
    read_calendar(p, now.period, now.regime, now.scale, out.arrivals, out.season, out.path)
    product_season(p, now.period, out.season, out.effect)
    if p.gain.size:
        add_reference_effect(p, now.price, now.reference, out.effect)
    units[:] = _ZERO
    out.rival_units[:] = _ZERO
    out.total[:] = _ONE
    if p.family == CHEAPEST:
        choose_cheapest(p, now, out, units)
    else:
        choose_by_segment(p, now, out, units, work)
    if p.units_gain.size:
        usual_prices(p, now.price, now.reference, work.usual)
        units_factor(p, work.usual, now.reference, out.taken)
        # Where customers wait, those who come back are not told apart.
        if (p.family == MNL or p.family == NESTED) and not out.waiting.shape[0] and is_dearer(now.price, work.usual):
            count_at_usual_prices(p, now, out, units, work)
        np.multiply(units, out.taken, units)
        for k in range(out.mean.shape[0]):
            np.multiply(out.mean[k], out.taken, out.mean[k])


@inlined
def choose_by_segment(p, now, out, units, work):
    """The part of `choose` that handles one segment after another."""
    felt = work.felt
    waits = out.waiting.shape[0] > 0
    feel(p, now.price, out.path, felt)
    scale_by_category(p.rival_category, now.rival_price, out.path, work.rival_felt)
    if waits:
        feel(p, now.reference, out.path, work.expected)
        product_season(p, now.period, out.season, work.expected_effect)
    for k in range(p.quality.shape[0]):
        w = k if out.weight.shape[0] > 1 else 0
        weight = out.weight[w]
        lifted = out.lifted[w]
        total = out.total[w]
        total[:] = _ZERO if p.family == NESTED else _ONE
        if now.paid.shape[0]:
            feel(p, now.paid[k], out.path, felt)
        if p.family == MNL or p.family == NESTED:
            logit_weights(p, k, felt, out.effect, now.promoted, now.available, weight)
            if now.shown.shape[0]:
                lift_shown(p.lift[k], now.shown[k], weight, lifted)
            add_by_category(p.nest, lifted, total)
            if p.family == NESTED:
                weigh_rest(p.nest_category, p.nesting, total, work.factor)
                close_nests(p.nesting, work.factor, total)
        else:
            paid = now.paid[k] if now.paid.shape[0] else now.price
            purchase_probabilities(p, k, paid, out.effect, out.path, now.promoted, now.available, weight)
        if work.rival.shape[0]:
            rival_weights(p, k, work.rival_felt, out.season, work.rival, total)
        segment_customers(p.share, k, out.arrivals, now.multiplier, work.customers)
        if waits:
            logit_weights(p, k, work.expected, work.expected_effect, felt[:0], now.available, work.spare)
            work.later[:] = _ZERO
            add_by_category(p.category, work.spare, work.later)
            share_waiting(p, k, work.customers, now.waiting, total, work.later, work.factor, out.waiting)
        else:
            per_weight(p.nest_category, work.customers, total, work.factor)
        share(p.nest, lifted, work.factor, out.mean[k] if out.mean.shape[0] else work.spare, units)
        share(p.rival_category, work.rival, work.factor, work.rival, out.rival_units)


# The period's utilities


@compiled
def read_calendar(p, period, regime, scale, arrivals, season, path):
    """Fill arrivals, utility of the season and multiplier of the sensitivity, (C, E) each."""
    rate = p.rate
    seasons = p.season
    paths = p.path
    for c in range(arrivals.shape[0]):
        for e in range(period.size):
            t = period[e]
            arrivals[c, e] = rate[c, t]
            season[c, e] = seasons[c, t]
            path[c, e] = paths[c, t]
        if p.regime_utility.size:
            for e in range(period.size):
                arrivals[c, e] *= p.regime_arrivals[regime[e]]
                season[c, e] += p.regime_utility[regime[e]]
                path[c, e] *= p.regime_sensitivity[regime[e]]
        for e in range(period.size):
            arrivals[c, e] *= scale


@compiled
def product_season(p, period, season, effect):
    """Fill (N, E) with the utility of the season and of the product's own path."""
    category = p.category
    path = p.quality_path
    for n in range(effect.shape[0]):
        c = category[n]
        for e in range(effect.shape[1]):
            effect[n, e] = season[c, e]
    for n in range(path.shape[0]):
        for e in range(period.size):
            effect[n, e] += path[n, period[e]]


@compiled
def feel(p, price, path, out):
    """Fill (N, E) with what the price sensitivities multiply; path: (C, E) multiplier of the price sensitivity."""
    scale_by_category(p.category, price, path, out)
    for n in range(p.curvature.size):
        if p.curvature[n] > _ZERO:
            c = p.category[n]
            regular = p.regular[n]
            curvature = p.curvature[n]
            for e in range(out.shape[1]):
                out[n, e] = felt_price(price[n, e], regular, curvature) * path[c, e]


@compiled
def scale_by_category(category, values, factor, out):
    """out = values * factor, with one factor per category and market."""
    for n in range(out.shape[0]):
        c = category[n]
        for e in range(out.shape[1]):
            out[n, e] = values[n, e] * factor[c, e]


@compiled
def add_reference_effect(p, price, reference, effect):
    """Add the reference-price effect to the utility, (N, E)."""
    gain = p.gain
    loss = p.loss
    for n in range(price.shape[0]):
        up = gain[n]
        down = loss[n]
        for e in range(price.shape[1]):
            gap = reference_gap(price[n, e], reference[n, e], p.linear_reference, p.saturating_reference)
            effect[n, e] += up * gap if gap > _ZERO else down * gap


@compiled
def usual_prices(p, price, reference, out):
    """Fill (N, E) with the prices that are no higher than customers are used to, see `stocking_price`."""
    regular = p.regular
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            out[n, e] = stocking_price(price[n, e], reference[n, e], regular[n])


@compiled
def is_dearer(price, usual):
    """Whether any price is higher than customers are used to."""
    for n in range(price.shape[0]):
        for e in range(price.shape[1]):
            if price[n, e] > usual[n, e]:
                return True
    return False


@compiled
def units_factor(p, usual, reference, out):
    """Fill (N, E) with the factor on the units of those who buy a product at a price below or above the reference."""
    gain = p.units_gain
    loss = p.units_loss
    for n in range(out.shape[0]):
        up = gain[n]
        down = loss[n]
        for e in range(out.shape[1]):
            gap = reference_gap(usual[n, e], reference[n, e], p.linear_reference, p.saturating_reference)
            out[n, e] = exponential(up * gap if gap > _ZERO else down * gap)


@compiled
def count_at_usual_prices(p, now, choice, units, work):
    """Adapt `choice.taken`, the units of a buyer, to who buys where no price is higher than usual, see `units_taken`.

    Args:
        p: `ChoiceParameters`.
        now: `ChoiceInputs`.
        choice: `Choice`, with the calendar of the period.
        units: (N, E) mean units without the factor.
        work: `ChoiceScratch` with the usual prices.
    """
    # Allocated here: most periods of most markets have no need for them.
    paid = np.empty_like(now.paid)
    for k in range(paid.shape[0]):
        for n in range(units.shape[0]):
            for e in range(units.shape[1]):
                paid[k, n, e] = now.paid[k, n, e] * (work.usual[n, e] / now.price[n, e])
    goods = (work.usual, now.reference, now.available, paid, now.shown, now.promoted)
    people = (now.rival_price, now.multiplier, now.waiting, now.scale)
    weight = np.empty_like(choice.weight)
    lifted = np.empty_like(weight) if now.shown.shape[0] else weight
    at_usual = np.zeros_like(units)
    effect = np.empty_like(choice.effect)
    product_season(p, now.period, choice.season, effect)
    add_reference_effect(p, work.usual, now.reference, effect)
    cheaper = Choice(
        weight,
        lifted,
        choice.mean[:0],
        at_usual,
        np.ones_like(choice.total),
        np.zeros_like(choice.rival_units),
        choice.waiting,
        choice.arrivals,
        choice.season,
        choice.path,
        effect,
        choice.taken,
    )
    choose_by_segment(p, ChoiceInputs(now.period, now.regime, *goods, *people), cheaper, at_usual, work)
    for n in range(units.shape[0]):
        for e in range(units.shape[1]):
            choice.taken[n, e] = units_taken(choice.taken[n, e], units[n, e], at_usual[n, e])


# Weights


@compiled
def logit_weights(p, k, felt, effect, promoted, available, out):
    """Fill exp(utility) for segment k, 0 for a sold-out product; in the nested logit exp(utility / (1 - nesting)).

    Args:
        p: `ChoiceParameters`.
        k: The segment.
        felt: (N, E) perceived price.
        effect: (N, E) utility of season and reference price.
        promoted: (N, E) 1 for products on promotion, or (0, E).
        available: (N, E) positive for products in stock.
        out: (N, E), filled.
    """
    quality = p.quality[k]
    sensitivity = p.sensitivity[k]
    steepness = p.steepness
    promotion = p.promotion[k]
    for n in range(out.shape[0]):
        q = quality[n]
        b = -sensitivity[n]
        steep = steepness[n]
        if promoted.shape[0]:
            more = promotion[n]
            for e in range(out.shape[1]):
                utility = multiply_add(more, promoted[n, e], q + effect[n, e])
                weight = exponential(steep * multiply_add(b, felt[n, e], utility))
                out[n, e] = weight if available[n, e] > _ZERO else _ZERO
        else:
            for e in range(out.shape[1]):
                weight = exponential(steep * multiply_add(b, felt[n, e], q + effect[n, e]))
                out[n, e] = weight if available[n, e] > _ZERO else _ZERO


@compiled
def rival_weights(p, k, felt, season, out, total):
    """Fill exp(utility) of the rival offers, (R, E), and add it to the totals."""
    category = p.rival_category
    quality = p.rival_quality[k]
    sensitivity = p.rival_sensitivity[k]
    for r in range(out.shape[0]):
        c = category[r]
        q = quality[r]
        b = sensitivity[r]
        for e in range(out.shape[1]):
            out[r, e] = exponential(multiply_add(-b, felt[r, e], q + season[c, e]))
    add_by_category(category, out, total)


@compiled
def lift_shown(factor, shown, weight, out):
    """Fill the weights with the slot's factor on the product shown in each market, (E,)."""
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            out[n, e] = weight[n, e] * (factor if shown[e] == n else _ONE)


@compiled
def add_by_category(category, weight, total):
    """Add the weights of each category, or nest, to its totals, (J, E)."""
    for n in range(weight.shape[0]):
        c = category[n]
        for e in range(weight.shape[1]):
            total[c, e] += weight[n, e]


@compiled
def weigh_rest(category, nesting, inside, rest):
    """Fill (J, E) with the weight of the outside option and of the category's other nests, whose weights sum to `inside`."""
    rest[:] = _ONE
    for j in range(rest.shape[0]):
        for i in range(rest.shape[0]):
            if i != j and category[i] == category[j]:
                for e in range(rest.shape[1]):
                    rest[j, e] += nest_weight(inside[i, e], nesting[i])


@compiled
def close_nests(nesting, rest, total):
    """Turn (J, E) sums of the weights of nests into what these weights are divided by, in place."""
    for j in range(total.shape[0]):
        for e in range(total.shape[1]):
            total[j, e] = nest_total(total[j, e], nesting[j], rest[j, e])


@inlined
def nest_weight(inside, nesting):
    """The weight of a nest beside the outside option, where its products' weights sum to `inside`."""
    return exponential((_ONE - nesting) * logarithm(inside)) if inside > _ZERO else _ZERO


@inlined
def nest_total(inside, nesting, rest):
    """What a nest's weights, which sum to `inside`, are divided by; any number where they are 0."""
    inclusive = exponential(nesting * logarithm(inside)) if nesting > _ZERO and inside > _ZERO else _ONE
    return inclusive * rest + inside


# Shares


@compiled
def segment_customers(share, k, arrivals, multiplier, out):
    """Fill (C, E) with the customers of segment k; multiplier: (C * K, E) or (0, E)."""
    for c in range(out.shape[0]):
        part = share[c, k]
        g = c * share.shape[1] + k
        for e in range(out.shape[1]):
            out[c, e] = arrivals[c, e] * part
        for e in range(out.shape[1] if multiplier.shape[0] else 0):
            out[c, e] *= multiplier[g, e]


@compiled
def per_weight(category, customers, total, out):
    """Fill (J, E) with the customers over the total by which weights are divided; category: (J,) of each nest."""
    for j in range(out.shape[0]):
        c = category[j]
        for e in range(out.shape[1]):
            out[j, e] = customers[c, e] / total[j, e]


@compiled
def share_waiting(p, k, customers, pool, total, later, out, waiting):
    """As `per_weight`, where a share of the customers may wait.

    Args:
        p: `ChoiceParameters`.
        k: The segment.
        customers: (C, E) who arrive.
        pool: (C * K, E) who waited.
        total: (C, E) by which weights are divided.
        later: (C, E) weight of buying later.
        out: (C, E), filled with the customers per weight.
        waiting: (C * K, E), those of the segment filled with who waits on.
    """
    for c in range(out.shape[0]):
        g = c * p.quality.shape[0] + k
        part = p.strategic_share[k]
        patience = p.patience[k]
        for e in range(out.shape[1]):
            patient = (part * customers[c, e] + pool[g, e]) / (total[c, e] + patience * later[c, e])
            out[c, e] = (_ONE - part) * customers[c, e] / total[c, e] + patient
            waiting[g, e] = patient * (patience * later[c, e])


@compiled
def share(category, weight, factor, mean, units):
    """Fill the mean units of a segment, weight times the category's factor, and add them to the units."""
    for n in range(weight.shape[0]):
        c = category[n]
        for e in range(weight.shape[1]):
            mean[n, e] = weight[n, e] * factor[c, e]
    np.add(units, mean, units)


# Other families


@compiled
def purchase_probabilities(p, k, paid, effect, path, promoted, available, out):
    """Fill (N, E) with a segment's purchase probabilities, in the families with one product per category and in choice
    models of other packages.
    """
    for n in range(out.shape[0]):
        c = p.category[n]
        quality = p.quality[k, n]
        sensitivity = p.sensitivity[k, n]
        for e in range(out.shape[1]):
            price = logarithm(paid[n, e]) if p.family == CONSTANT_ELASTICITY else paid[n, e]
            more = p.promotion[k, n] * promoted[n, e] if promoted.shape[0] else _ZERO
            utility = quality - sensitivity * path[c, e] * price + (effect[n, e] + more)
            if p.family == LINEAR or p.family == EXTENSION:
                out[n, e] = utility
            elif p.family == JOINT:
                out[n, e] = utility if available[n, e] > _ZERO else NEVER
            else:
                out[n, e] = exponential(utility)
    if p.family == EXTENSION or p.family == JOINT:
        call_extension(p.extension, out)
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            out[n, e] = min(max(out[n, e], _ZERO), _ONE) if available[n, e] > _ZERO else _ZERO


@compiled
def call_extension(number, values):
    """Replace utilities by what the function of another package makes of them."""
    with objmode():
        replace_by(number, values)


@compiled
def choose_cheapest(p, now, out, units):
    """The lowest price in stock wins all customers of a category who accept it; ties share."""
    segments = p.quality.shape[0]
    markets = now.price.shape[1]
    for k in range(segments):
        prices = now.paid[k] if now.paid.shape[0] else now.price
        for c in range(out.arrivals.shape[0]):
            for e in range(markets):
                lowest, sellers = cheapest_offer(p, c, e, prices, now.available, now.rival_price)
                customers = out.arrivals[c, e] * p.share[c, k] / max(sellers, 1)
                if now.multiplier.shape[0]:
                    customers *= now.multiplier[c * segments + k, e]
                for n in range(prices.shape[0]):
                    if p.category[n] == c:
                        u = p.quality[k, n] - p.sensitivity[k, n] * out.path[c, e] * prices[n, e] + out.effect[n, e]
                        if now.promoted.shape[0]:
                            u += p.promotion[k, n] * now.promoted[n, e]
                        wins = now.available[n, e] > 0 and prices[n, e] == lowest
                        bought = customers * min(max(u, 0.0), 1.0) if wins else 0.0
                        units[n, e] += bought
                        if out.mean.shape[0]:
                            out.mean[k, n, e] = bought
                for r in range(now.rival_price.shape[0]):
                    if p.rival_category[r] == c and now.rival_price[r, e] == lowest:
                        u = (
                            p.rival_quality[k, r]
                            - p.rival_sensitivity[k, r] * out.path[c, e] * lowest
                            + out.season[c, e]
                        )
                        out.rival_units[r, e] += customers * min(max(u, 0.0), 1.0)


@compiled
def cheapest_offer(p, c, e, prices, available, rival_price):
    """The lowest price of a category in one market, and the number of offers at that price."""
    lowest = np.inf
    sellers = 0
    for i in range(prices.shape[0] + rival_price.shape[0]):
        r = i - prices.shape[0]
        offered = p.category[i] == c and available[i, e] > 0 if r < 0 else p.rival_category[r] == c
        price = float(prices[i, e]) if r < 0 else float(rival_price[r, e])
        if offered and price < lowest:
            lowest = price
            sellers = 1
        elif offered and price == lowest:
            sellers += 1
    return lowest, sellers


# Lost sales: of those who would have bought a sold-out product, some buy another product of the category; the sales of the
# others are lost, as much as those beyond the last unit of a product in stock.


@compiled
def count_lost(category, available, full, units, mean):
    """Fill the mean demand for sold-out products, of which nothing can be sold.

    It is what the category would sell with everything in stock, less what it sells now; several sold-out products
    share it as they would have sold.

    Args:
        category: (N,) category of each product.
        available: (N, E) positive for products in stock.
        full: `Choice` with every product in stock.
        units: (N, E) mean units of all segments.
        mean: (K, N, E) mean units by segment, or (0, N, E).
    """
    for n in range(units.shape[0]):
        for e in range(units.shape[1]):
            if available[n, e] <= _ZERO:
                missing = _ZERO * units[n, e]
                for i in range(units.shape[0]):
                    missing += full.units[i, e] if category[i] == category[n] and available[i, e] <= _ZERO else _ZERO
                part = full.units[n, e] / missing if missing > _ZERO else _ZERO
                units[n, e] = part * beyond(category, n, e, available, full.units, units)
                for k in range(mean.shape[0]):
                    mean[k, n, e] = part * beyond(category, n, e, available, full.mean[k], mean[k])


@compiled
def beyond(category, product, e, available, full, units):
    """What a product's category would sell more in one market with everything in stock."""
    total = _ZERO * full[0, e]
    for n in range(full.shape[0]):
        if category[n] == category[product]:
            total += full[n, e] - (units[n, e] if available[n, e] > _ZERO else _ZERO)
    return max(total, _ZERO)

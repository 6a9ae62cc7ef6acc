"""Reward of a product-wise row: its own money less what it took from other products, and its baseline.

A row rewarded with its product's own money would undercut its neighbours and fight for every slot
and promotion. The charge is what the other products lost against a counterfactual without the
product's price, discounts, slot or promotion. It makes the reward a difference reward (Wolpert and
Tumer 2002, Optimal Payoff Functions for Members of Collectives): what is good for the row is good
for the market. The baseline is what the product itself would have earned in that counterfactual. It
does not depend on the row's own action, so that subtracting it takes the noise of demand and of the
others' exploration out of the reward, and nothing else where an action leaves nothing behind.
Counterfactuals cover one period, in expected money, and ignore stock limits; the logit has a closed
form. Charge and baseline are exact for a price, a promotion or both, and for a slot; that of a slot leaves
out what it would be worth at the base price. `LearnerView.rewards` subtracts both.
"""

from __future__ import annotations

import numpy as np

from ..jit.math import compiled, inlined
from .demand_arrays import MNL, NESTED
from .demand_kernels import (
    lift_shown,
    logit_weights,
    nest_total,
    nest_weight,
    nested_weights,
    product_season,
    segment_arrivals,
    weigh_rest,
)
from .felt_price import add_reference_effect, feel, units_factor

_ZERO = np.float32(0)


@compiled
def charge_products(p, money, profit, now, choice, credit_price, runner_up, next_promoted, charge, baseline):
    """Add to the charge and the baseline of each product, (N, E) currency.

    Args:
        p: `ChoiceParameters`.
        money: `MoneyParameters`.
        profit: Whether profit is the objective, not revenue.
        now: `ChoiceInputs` of the period.
        choice: `Choice` of the period, with detail.
        credit_price: (N,) list price in the counterfactual, without discount or promotion.
        runner_up: (K, E) product in the slot in the counterfactual, or (0, E).
        next_promoted: (E,) product promoted in the counterfactual, -1 for none, or (0,).
        charge: (N, E), added to.
        baseline: (N, E), added to.
    """
    # In other families a category has one product and so no others; `cheapest` has no closed form and no charges.
    if p.family != MNL and p.family != NESTED:
        return
    base, margin = np.empty_like(now.price), np.empty_like(now.price)
    felt, effect, plain = np.empty_like(now.price), np.empty_like(now.price), np.empty_like(now.price)
    credit_margin, more, credit_more = np.empty_like(felt), np.ones_like(felt), np.ones_like(felt)
    customers, spare = np.empty_like(choice.arrivals), np.empty((2, *choice.total.shape[1:]), choice.total.dtype)
    for n in range(felt.shape[0]):
        felt[n] = credit_price[n]
    product_season(p.category, p.quality_path, now.period, choice.season, effect)
    if p.gain.size:
        add_reference_effect(p.linear_reference, p.gain, p.loss, felt, now.reference, effect)
    if p.units_gain.size:
        units_factor(p, now.price, now.reference, more)
        units_factor(p, felt, now.reference, credit_more)
    feel(p, felt, choice.path, felt)
    for k in range(p.quality.shape[0]):
        weight, lifted, total = choice.weight[k], choice.lifted[k], choice.total[k]
        for c in range(customers.shape[0]):
            g = c * p.quality.shape[0] + k
            segment_arrivals(choice.arrivals[c], p.share[c, k], now.multiplier[g : g + 1], customers[c])
        usual = (p.quality[k], felt, effect, felt[:0], now.available, base)  # without promotion
        if p.family == NESTED:
            nested_weights(p, k, *usual, spare[0], spare[1])
        else:
            logit_weights(p.category, p.quality[k], p.sensitivity[k], *usual, total[:0])
        for n in range(felt.shape[0]):
            # Costs count only if profit is the objective; the money of a purchase is that of all its units.
            cost = money.unit_cost[n] if profit else _ZERO
            for e in range(felt.shape[1]):
                credit_margin[n, e] = (credit_price[n] - cost) * credit_more[n, e]
                margin[n, e] = ((now.paid[k, n, e] if now.paid.shape[0] else now.price[n, e]) - cost) * more[n, e]
                plain[n, e] = base[n, e]  # whole arrays take seconds to compile: the message for unequal shapes
        if now.shown.shape[0]:
            lift_shown(p.lift[k], now.shown[k], base, base)
            charge_slots(p, k, now.shown[k], runner_up[k], weight, margin, customers, charge)
        value = value_by_nest(p.nest, lifted, margin, total)
        without = (plain, credit_margin)
        if p.family == NESTED:
            lift = p.promotion[k] if next_promoted.size else p.quality[k]
            promotions = (lift, now.promoted, next_promoted)
            charge_nests(p, *promotions, lifted, base, margin, customers, total, value, without, charge, baseline)
            continue
        charge_prices(p.category, lifted, base, margin, customers, total, value, without, charge, baseline)
        if next_promoted.size:
            promotions = (p.promotion[k], now.promoted, next_promoted)
            charge_promotions(p.category, *promotions, lifted, base, margin, customers, total, value, without, charge)
    if next_promoted.size and profit:
        subtract_promotion_cost(money.promotion_cost, now.promoted, next_promoted, charge)


@compiled
def value_by_nest(nest, weight, margin, total):
    """(J, E) sums of weight times margin."""
    value = np.zeros_like(total)
    for n in range(nest.size):
        j = nest[n]
        for e in range(total.shape[1]):
            value[j, e] += weight[n, e] * margin[n, e]
    return value


@compiled
def charge_prices(category, weight, base, margin, customers, total, value, without, charge, baseline):
    """Add what the others would have gained had the product kept its counterfactual price, and what it would have
    earned itself: `without` are its weights then and its money a purchase, (N, E).
    """
    plain, credit_margin = without
    for n in range(category.size):
        c = category[n]
        for e in range(total.shape[1]):
            others = value[c, e] - weight[n, e] * margin[n, e]
            rest = total[c, e] - weight[n, e]
            charge[n, e] += customers[c, e] * others * (1 / (rest + base[n, e]) - 1 / total[c, e])
            baseline[n, e] += customers[c, e] * plain[n, e] * credit_margin[n, e] / (rest + plain[n, e])


@compiled
def charge_nests(
    p, lift, promoted, next_promoted, weight, base, margin, customers, total, value, without, charge, baseline
):
    """As `charge_prices` and `charge_promotions` for the nested logit."""
    plain, credit_margin = without
    inside, rest = value_by_nest(p.nest, weight, np.ones_like(weight), value), np.empty_like(value)
    weigh_rest(p.nest_category, p.nesting, inside, rest)
    elsewhere = value_elsewhere(p.nest_category, value, total)
    for n in range(p.nest.size):
        j = p.nest[n]
        c, nesting = p.nest_category[j], p.nesting[j]
        for e in range(value.shape[1]):
            others, changed = value[j, e] - weight[n, e] * margin[n, e], inside[j, e] - weight[n, e] + base[n, e]
            then = nest_total(changed, nesting, rest[j, e])
            now = nest_total(inside[j, e], nesting, rest[j, e])
            charge[n, e] += customers[c, e] * others * (1 / then - 1 / now)
            then = nest_total(inside[j, e] - weight[n, e] + plain[n, e], nesting, rest[j, e])
            baseline[n, e] += customers[c, e] * plain[n, e] * credit_margin[n, e] / then
        for e in range(value.shape[1] if p.nest_category.size > customers.shape[0] else 0):
            changed = inside[j, e] - weight[n, e] + base[n, e]
            lost = lost_elsewhere(inside[j, e], changed, nesting, rest[j, e])
            charge[n, e] -= customers[c, e] * elsewhere[j, e] * lost
    for e in range(next_promoted.size):
        other = next_promoted[e]
        if other < 0:
            continue
        j = p.nest[other]
        c, nesting = p.nest_category[j], p.nesting[j]
        more = (np.exp(lift[other] / (1 - nesting)) - 1) * weight[other, e]
        for n in range(promoted.shape[0]):
            usual, worth = inside[j, e], value[j, e]
            if p.nest[n] == j:
                usual += base[n, e] - weight[n, e]
                worth += base[n, e] * credit_margin[n, e] - weight[n, e] * margin[n, e]
            after = (worth + more * margin[other, e]) / nest_total(usual + more, nesting, rest[j, e])
            gain = after - worth / nest_total(usual, nesting, rest[j, e])
            gain -= elsewhere[j, e] * lost_elsewhere(usual, usual + more, nesting, rest[j, e])
            charge[n, e] += promoted[n, e] * customers[c, e] * gain


@compiled
def value_elsewhere(category, value, total):
    """(J, E) money that a customer brings to the other nests of the category."""
    elsewhere = np.zeros_like(value)
    for j in range(category.size):
        for i in range(category.size):
            if i != j and category[i] == category[j]:
                for e in range(value.shape[1]):
                    elsewhere[j, e] += value[i, e] / total[i, e]
    return elsewhere


@inlined
def lost_elsewhere(inside, changed, nesting, rest):
    """Share that the other nests lose where the weights of a nest sum to `changed` in place of `inside`."""
    weight = nest_weight(changed, nesting)
    return (weight - nest_weight(inside, nesting)) / (weight + rest)


@compiled
def charge_promotions(
    category, lift, promoted, next_promoted, weight, base, margin, customers, total, value, without, charge
):
    """Add to each promoted product's charge what the next product's promotion would bring in its place."""
    credit_margin = without[1]
    for e in range(next_promoted.size):
        other = next_promoted[e]
        if other < 0:
            continue
        c, more = category[other], (np.exp(lift[other]) - 1) * weight[other, e]
        for n in range(promoted.shape[0]):
            usual, worth = total[c, e], value[c, e]
            if category[n] == c:
                usual += base[n, e] - weight[n, e]
                worth += base[n, e] * credit_margin[n, e] - weight[n, e] * margin[n, e]
            gain = (worth + more * margin[other, e]) / (usual + more) - worth / usual
            charge[n, e] += promoted[n, e] * customers[c, e] * gain


@compiled
def subtract_promotion_cost(cost, promoted, next_promoted, charge):
    """Subtract from the charge what the promotion of the next product would have cost."""
    for e in range(next_promoted.size):
        if next_promoted[e] >= 0:
            for n in range(promoted.shape[0]):
                charge[n, e] -= promoted[n, e] * cost[next_promoted[e]]


@compiled
def slot_gain(p, k, n, e, weight, margin, customers):
    """Expected gains, own and of the category, if product n is shown to segment k in market e.

    weight: (N, E) exp(utility) without the slot. The closed form of the logit, ignoring rivals and
    stock limits.
    """
    c = p.category[n]
    base, value = 1.0, 0.0
    for j in range(weight.shape[0]):
        if p.category[j] == c:
            base += weight[j, e]
            value += weight[j, e] * margin[j, e]
    own, more = weight[n, e] * margin[n, e], p.lift[k] - 1.0
    lifted = base + more * weight[n, e]
    own_gain = customers[c, e] * (p.lift[k] * own / lifted - own / base)
    whole_gain = customers[c, e] * ((value + more * own) / lifted - value / base)
    return own_gain, whole_gain


@compiled
def charge_slots(p, k, shown, runner_up, weight, margin, customers, charge):
    """Add to the shown product's charge cannibalised sales and the gain of the runner-up."""
    for e in range(shown.size):
        if shown[e] < 0:
            continue
        own, whole = slot_gain(p, k, shown[e], e, weight, margin, customers)
        forgone = 0.0
        if runner_up[e] >= 0:
            forgone = slot_gain(p, k, runner_up[e], e, weight, margin, customers)[1]
        charge[shown[e], e] += (own - whole) + forgone

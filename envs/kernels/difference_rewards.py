"""Reward of a product-wise row: its own money less what it took from other products, and its baseline.

A row rewarded with its product's own money would undercut its neighbours and fight for every slot
and promotion. The charge is what the other products lost against a counterfactual without the
product's price, discounts, slot or promotion. It makes the reward a difference reward (Wolpert and
Tumer 2002, Optimal Payoff Functions for Members of Collectives): what is good for the row is good
for the market. The baseline is what the product itself would have earned in that counterfactual. It
does not depend on the row's own action, so that subtracting it takes the noise of demand and of the
others' exploration out of the reward, and nothing else where an action leaves nothing behind.
Counterfactuals cover one period, in expected money, and ignore stock limits; the logit, plain or
nested, has a closed form. Charge and baseline are exact for a price, a promotion or both, and for a slot; that of a slot leaves
out what it would be worth at the base price. `LearnerView.rewards` subtracts both.
"""

from __future__ import annotations

import numpy as np

from ..jit.compiling import compiled, inlined
from .choice import (
    add_by_category,
    add_reference_effect,
    feel,
    lift_shown,
    logit_weights,
    nest_total,
    nest_weight,
    product_season,
    segment_customers,
    units_factor,
    usual_prices,
    weigh_rest,
)
from .choice_parameters import MNL, NESTED

_ZERO = np.float32(0)


@compiled
def charge_products(
    constants, now, choice, remembered, funded, credit_price, runner_up, next_promoted, charge, baseline
):
    """Add to the charge and the baseline of each product, (N, E) currency.

    Args:
        constants: `Constants`.
        now: `ChoiceInputs` of the period.
        choice: `Choice` of the period, with detail.
        remembered: (N, E) reference prices of the counterfactual, those before the period.
        funded: (N, E) what the supplier pays for a unit, or (0, E).
        credit_price: (N,) list price in the counterfactual, without discount or promotion.
        runner_up: (K, E) product in the slot in the counterfactual, or (0, E).
        next_promoted: (E,) product promoted in the counterfactual, -1 for none, or (0,).
        charge: (N, E), added to.
        baseline: (N, E), added to.
    """
    p = constants.choice
    costs = constants.money
    profit = constants.sections.profit
    # In other families a category has one product and so no others; `cheapest` has no closed form and no charges.
    if p.family != MNL and p.family != NESTED:
        return
    price = np.empty_like(now.price)
    felt = np.empty_like(now.price)
    effect = np.empty_like(now.price)
    base = np.empty_like(now.price)
    plain = np.empty_like(now.price)
    margin = np.empty_like(now.price)
    credit_margin = np.empty_like(now.price)
    more = np.ones_like(now.price)
    credit_more = np.ones_like(now.price)
    customers = np.empty_like(choice.arrivals)
    for n in range(price.shape[0]):
        price[n] = credit_price[n]
    product_season(p, now.period, choice.season, effect)
    if p.gain.size:
        add_reference_effect(p, price, remembered, effect)
    if p.units_gain.size:
        more[:] = choice.taken
        usual_prices(p, price, remembered, felt)
        units_factor(p, felt, remembered, credit_more)
    feel(p, price, choice.path, felt)
    for k in range(p.quality.shape[0]):
        segment_customers(p.share, k, choice.arrivals, now.multiplier, customers)
        logit_weights(p, k, felt, effect, felt[:0], now.available, base)  # without promotion
        plain[:] = base
        for n in range(price.shape[0]):
            # Costs count only if profit is the objective; the money of a purchase is that of all its units.
            cost = costs.unit_cost[n] if profit else _ZERO
            net = costs.net[n]
            for e in range(price.shape[1]):
                credit_margin[n, e] = (credit_price[n] * net - cost) * credit_more[n, e]
                paid = now.paid[k, n, e] if now.paid.shape[0] else now.price[n, e]
                kept = paid * net
                kept += funded[n, e] if profit and funded.shape[0] else _ZERO
                margin[n, e] = (kept - cost) * more[n, e]
        if now.shown.shape[0]:
            lift_shown(p.lift[k], now.shown[k], base, base)
            charge_slots(p, k, now.shown[k], runner_up[k], choice.weight[k], margin, customers, charge)
        lifted = choice.lifted[k]
        nests = sum_nests(p, lifted, margin, choice.total[k])
        charge_prices(p, nests, lifted, base, plain, margin, credit_margin, customers, charge, baseline)
        if next_promoted.size:
            promotions = (p.promotion[k], now.promoted, next_promoted)
            charge_promotions(p, nests, promotions, lifted, base, margin, credit_margin, customers, charge)
    if next_promoted.size and profit:
        subtract_promotion_cost(costs.promotion_cost, now.promoted, next_promoted, charge)


@compiled
def sum_nests(p, weight, margin, total):
    """Of each nest (in the plain logit, category) and market, (J, E): the sums of the weights and of weight times margin,
    the weight of the rest of the category, and the money that a customer brings to the category's other nests.
    """
    inside = np.zeros_like(total)
    value = np.zeros_like(total)
    rest = np.empty_like(total)
    elsewhere = np.zeros_like(total)
    money = np.empty_like(weight)
    np.multiply(weight, margin, money)
    add_by_category(p.nest, weight, inside)
    add_by_category(p.nest, money, value)
    if p.family == NESTED:
        weigh_rest(p.nest_category, p.nesting, inside, rest)
    else:
        for j in range(rest.shape[0]):
            for e in range(rest.shape[1]):
                rest[j, e] = total[j, e] - inside[j, e]
    for j in range(rest.shape[0]):
        for i in range(rest.shape[0]):
            if i != j and p.nest_category[i] == p.nest_category[j]:
                for e in range(rest.shape[1]):
                    elsewhere[j, e] += value[i, e] / total[i, e]
    return inside, value, rest, elsewhere


@compiled
def charge_prices(p, nests, weight, base, plain, margin, credit_margin, customers, charge, baseline):
    """Add what the others would have gained had the product kept its counterfactual price, at which its weight is `base`,
    and what it would have earned itself, at the weight `plain` and the money a purchase `credit_margin`.
    """
    inside, value, rest, elsewhere = nests
    for n in range(p.nest.size):
        j = p.nest[n]
        c = p.nest_category[j]
        nesting = p.nesting[j]
        for e in range(value.shape[1]):
            others = value[j, e] - weight[n, e] * margin[n, e]
            without = inside[j, e] - weight[n, e]
            then = nest_total(without + base[n, e], nesting, rest[j, e])
            present = nest_total(inside[j, e], nesting, rest[j, e])
            charge[n, e] += customers[c, e] * others * (1 / then - 1 / present)
            then = nest_total(without + plain[n, e], nesting, rest[j, e])
            baseline[n, e] += customers[c, e] * plain[n, e] * credit_margin[n, e] / then
        for e in range(value.shape[1] if p.nest_category.size > customers.shape[0] else 0):
            changed = inside[j, e] - weight[n, e] + base[n, e]
            lost = lost_elsewhere(inside[j, e], changed, nesting, rest[j, e])
            charge[n, e] -= customers[c, e] * elsewhere[j, e] * lost


@compiled
def charge_promotions(p, nests, promotions, weight, base, margin, credit_margin, customers, charge):
    """Add to each promoted product's charge what the next product's promotion would bring in its place."""
    lift, promoted, next_promoted = promotions
    inside, value, rest, elsewhere = nests
    for e in range(next_promoted.size):
        other = next_promoted[e]
        if other < 0:
            continue
        j = p.nest[other]
        c = p.nest_category[j]
        nesting = p.nesting[j]
        more = (np.exp(lift[other] / (1 - nesting)) - 1) * weight[other, e]
        for n in range(promoted.shape[0]):
            usual = inside[j, e]
            worth = value[j, e]
            if p.nest[n] == j:
                usual += base[n, e] - weight[n, e]
                worth += base[n, e] * credit_margin[n, e] - weight[n, e] * margin[n, e]
            after = (worth + more * margin[other, e]) / nest_total(usual + more, nesting, rest[j, e])
            gain = after - worth / nest_total(usual, nesting, rest[j, e])
            gain -= elsewhere[j, e] * lost_elsewhere(usual, usual + more, nesting, rest[j, e])
            charge[n, e] += promoted[n, e] * customers[c, e] * gain


@inlined
def lost_elsewhere(inside, changed, nesting, rest):
    """Share that the other nests lose where the weights of a nest sum to `changed` in place of `inside`."""
    weight = nest_weight(changed, nesting)
    return (weight - nest_weight(inside, nesting)) / (weight + rest)


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
    base = 1.0
    value = 0.0
    for j in range(weight.shape[0]):
        if p.category[j] == c:
            base += weight[j, e]
            value += weight[j, e] * margin[j, e]
    own = weight[n, e] * margin[n, e]
    more = p.lift[k] - 1.0
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

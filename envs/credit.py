"""Credit in product-wise learning: what a product's price, discounts and slot took from the other products.

A row that is rewarded with its product's own money alone would undercut its neighbours and fight for every slot.
Charging it for what the others lost against a counterfactual gives it the difference reward (Wolpert and Tumer 2002,
Optimal Payoff Functions for Members of Collectives): what is good for the row is then good for the market. The
counterfactuals are one period long, in expected money, and leave stock limits aside; the logit has a closed form.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .choice import Choice, Situation
from .choosing import add_reference_effect, lift_shown, logit_weights, product_season, segment_arrivals, times_path
from .fastmath import compiled
from .parameters import MNL, ChoiceParameters

_ZERO = np.float32(0)


def charges(
    p: ChoiceParameters,
    now: Situation,
    choice: Choice,
    credit_price: NDArray[np.float32],
    runner_up: NDArray[np.int64],
    cost: NDArray[np.float32],
) -> NDArray[np.float32]:
    """(N, E) currency to take off each product's own money.

    credit_price: (N,) list price of the counterfactual, without discount or promotion. runner_up: (K, E), who gets the
    slot in the counterfactual, or (0, E). cost: (N,) currency per unit, zero where revenue counts.
    """
    charge = np.zeros(choice.units.shape, np.float32)
    # Elsewhere a category has one product, nobody to take from; `cheapest` has no closed form and goes without.
    if p.family == MNL:
        arrays = (choice.weight, choice.lifted, choice.total, choice.arrivals, choice.season, choice.path)
        _charge(
            p,
            now.price,
            now.paid,
            now.reference,
            now.available,
            now.shown,
            runner_up,
            now.multiplier,
            now.period,
            credit_price,
            cost,
            arrays,
            charge,
        )
    return charge


@compiled
def _charge(
    p, price, paid, reference, available, shown, runner_up, multiplier, period, credit_price, cost, arrays, charge
):
    weight, lifted, total, arrivals, season, path = arrays
    segments, products, markets = weight.shape
    base, margin, felt, effect = (
        np.empty_like(price),
        np.empty_like(price),
        np.empty_like(price),
        np.empty_like(price),
    )
    customers, row = np.empty_like(arrivals), np.empty(markets, price.dtype)
    for n in range(products):
        felt[n] = credit_price[n]
    product_season(p, period, season, effect)
    if p.gain.size:
        add_reference_effect(p.linear_reference, p.gain, p.loss, felt, reference, effect)
    times_path(p.category, felt, path, felt)
    for k in range(segments):
        for c in range(arrivals.shape[0]):
            g = c * segments + k
            segment_arrivals(
                arrivals[c], p.share[c, k], multiplier[g] if multiplier.shape[0] else row[:0], customers[c]
            )
        logit_weights(p.quality[k], p.sensitivity[k], felt, effect, available, base)
        if shown.size:
            lift_shown(p.lift[k], shown[k], base, base)
        for n in range(products):
            margin[n] = (paid[k, n] if paid.shape[0] else price[n]) - cost[n]
        if shown.size:
            charge_slots(p, k, shown[k], runner_up[k], weight[k], margin, customers, charge)
        charge_prices(p.category, lifted[k], base, margin, customers, total[k], charge)


@compiled
def charge_prices(category, weight, base, margin, customers, total, charge):
    """Add what the others would have earned, and did not, had the product kept its base price."""
    worth = np.zeros_like(total)
    for n in range(category.size):
        c = category[n]
        for e in range(total.shape[1]):
            worth[c, e] += weight[n, e] * margin[n, e]
    for n in range(category.size):
        c = category[n]
        for e in range(total.shape[1]):
            others = worth[c, e] - weight[n, e] * margin[n, e]
            without = total[c, e] - weight[n, e] + base[n, e]
            charge[n, e] += customers[c, e] * others * (1 / without - 1 / total[c, e])


@compiled
def slot_gain(p, k, n, e, weight, margin, customers):
    """(own gain, gain of the whole category) in expected money if product n were shown to segment k in market e.

    weight: (N, E) exp(utility) before the lift; closed form of the logit, rivals and stock limits left aside.
    """
    c = p.category[n]
    base, worth = 1.0, 0.0
    for j in range(weight.shape[0]):
        if p.category[j] == c:
            base += weight[j, e]
            worth += weight[j, e] * margin[j, e]
    own, more = weight[n, e] * margin[n, e], p.lift[k] - 1.0
    lifted = base + more * weight[n, e]
    own_gain = customers[c, e] * (p.lift[k] * own / lifted - own / base)
    whole_gain = customers[c, e] * ((worth + more * own) / lifted - worth / base)
    return own_gain, whole_gain


@compiled
def charge_slots(p, k, shown, runner_up, weight, margin, customers, charge):
    """Add to the shown product's charge what its slot took from others: cannibalised sales and the runner-up's gain."""
    for e in range(shown.size):
        if shown[e] < 0:
            continue
        own, whole = slot_gain(p, k, shown[e], e, weight, margin, customers)
        forgone = 0.0
        if runner_up[e] >= 0:
            forgone = slot_gain(p, k, runner_up[e], e, weight, margin, customers)[1]
        charge[shown[e], e] += (own - whole) + forgone

"""Credit in product-wise learning: what a product's price, discounts and slot took from the other products.

A row that is rewarded with its product's own money alone would undercut its neighbours and fight for every slot.
Charging it for what the others lost against a counterfactual gives it the difference reward (Wolpert and Tumer 2002,
Optimal Payoff Functions for Members of Collectives): what is good for the row is then good for the market. The
counterfactuals are one period long, in expected money, and leave stock limits aside; the logit has a closed form.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from . import kernels
from .choice import Choice, utility_effect
from .tiling import Tiling


def charges(
    tiling: Tiling,
    choice: Choice,
    credit_price: NDArray[np.float32],
    shown: NDArray[np.int64] | None,
    runner_up: NDArray[np.int64] | None,
    *,
    profit: bool,
) -> NDArray[np.float32]:
    """(M,) currency to take off each lane's own money.

    credit_price: (N,) list price of the counterfactual, without discount. shown, runner_up: (E, K) or None; the
    counterfactual of a slot is that it goes to the runner-up. profit: money is profit, else revenue.
    """
    lanes = choice.weight.shape[1]
    charge = np.zeros(lanes, np.float32)
    if tiling.family != kernels.MNL:
        return charge  # one product a category: nobody to take from
    price = np.tile(credit_price.astype(np.float32), tiling.markets)
    base_weight, worth = np.empty(lanes, np.float32), np.empty_like(choice.total[0])
    cost = tiling.cost if profit else np.zeros_like(tiling.cost)
    effect = utility_effect(tiling, choice.period, price, choice.reference)
    for k in range(tiling.segments):
        parts = (tiling.quality[k], tiling.sensitivity[k], choice.path, price, effect, choice.on_hand)
        kernels.weights(*parts, base_weight)
        margin = choice.paid[k] - cost
        if shown is not None and runner_up is not None and tiling.lift is not None:
            kernels.lift_shown(base_weight, shown[:, k], tiling.lift[k], tiling.products)
            slot = (choice.weight[k], margin, tiling.group, choice.rate[k], tiling.lift[k], tiling.products, charge)
            charge_slots(shown[:, k], runner_up[:, k], *slot)
        charge_prices(
            choice.lifted[k], base_weight, margin, tiling.group, choice.rate[k], choice.total[k], worth, charge
        )
    return charge


@njit(cache=True)
def charge_prices(weight, base_weight, margin, group, rate, total, worth, charge):
    """Add what the others would have earned, and did not, had the lane kept its base price; worth: (G,) scratch."""
    worth[:] = 0
    for m in range(weight.size):
        worth[group[m]] += weight[m] * margin[m]
    for m in range(weight.size):
        g = group[m]
        others = worth[g] - weight[m] * margin[m]
        charge[m] += rate[g] * others * (1 / (total[g] - weight[m] + base_weight[m]) - 1 / total[g])


@njit(cache=True)
def slot_gain(n, e, products, weight, margin, group, rate, factor):
    """(own gain, gain of the whole category) in expected money if lane n of market e were shown to one segment.

    weight: exp(utility) of every lane before the lift; closed form of the logit, stock limits left aside.
    """
    lane = e * products + n
    g = group[lane]
    base, worth = 1.0, 0.0
    for j in range(e * products, (e + 1) * products):
        if group[j] == g:
            base += weight[j]
            worth += weight[j] * margin[j]
    own = weight[lane] * margin[lane]
    lifted = base + (factor - 1.0) * weight[lane]
    own_gain = rate[g] * (factor * own / lifted - own / base)
    whole_gain = rate[g] * ((worth + (factor - 1.0) * own) / lifted - worth / base)
    return own_gain, whole_gain


@njit(cache=True)
def charge_slots(shown, runner_up, weight, margin, group, rate, lift, products, charge):
    """Add to the shown lane's charge what its slot took from others: cannibalised sales and the runner-up's gain."""
    factor = math.exp(lift)
    for e in range(shown.size):
        if shown[e] < 0:
            continue
        own, whole = slot_gain(shown[e], e, products, weight, margin, group, rate, factor)
        forgone = 0.0
        if runner_up[e] >= 0:
            forgone = slot_gain(runner_up[e], e, products, weight, margin, group, rate, factor)[1]
        charge[e * products + shown[e]] += (own - whole) + forgone

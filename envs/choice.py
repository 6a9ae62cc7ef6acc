"""Who wants what: mean demand of every segment for every product at the prices of a period."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import kernels
from .tiling import Tiling, group_values


@dataclass(frozen=True)
class Choice:
    """Mean demand of a period, and what it came from.

    mean: (K, M) units by segment and lane. paid: (K, M) currency per unit. weight, lifted: (K, M) exp(utility) without
    and with the recommendation. total: (K, G) denominators of the logit. rate: (K, G) arrivals. path: (M,) multiplier
    of the price sensitivity. on_hand: (M,) units. period, reference: as they were given.
    """

    mean: NDArray
    paid: NDArray
    weight: NDArray
    lifted: NDArray
    total: NDArray
    rate: NDArray
    path: NDArray
    on_hand: NDArray
    period: NDArray[np.int64]
    reference: NDArray


def utility_effect(tiling: Tiling, period: NDArray[np.int64], price: NDArray, reference: NDArray) -> NDArray:
    """(M,) utility that a list price adds through the reference price, and that the season adds."""
    effect = np.zeros(price.size, price.dtype)
    if tiling.gain is not None:
        kernels.reference_effect(price, reference, tiling.gain, tiling.loss, effect)
    season = group_values(tiling.season, period)
    return effect + season[tiling.group] if season.any() else effect


def mean_demand(
    tiling: Tiling,
    period: NDArray[np.int64],
    price: NDArray,
    reference: NDArray,
    on_hand: NDArray,
    *,
    discount: NDArray | None = None,
    shown: NDArray[np.int64] | None = None,
) -> Choice:
    """Mean units that each segment wants of each product, stock limits aside (a sold-out product is not chosen).

    period: (E,). price, reference, on_hand: (M,). discount: (E, N, K) or None. shown: (E, K) or None.
    """
    lanes, groups, dtype = price.size, tiling.markets * tiling.categories, price.dtype
    effect = utility_effect(tiling, period, price, reference)
    path = group_values(tiling.path, period)[tiling.group]
    rate = tiling.rate[period].reshape(groups, tiling.segments).T.copy()
    mean, weight = np.empty((2, tiling.segments, lanes), dtype)
    lifted, total = weight, np.ones((tiling.segments, groups), dtype)
    if shown is not None and tiling.lift is not None:
        lifted = np.empty_like(weight)
    paid = np.broadcast_to(price, mean.shape)
    if discount is not None:
        paid = price * (1 - discount.reshape(lanes, tiling.segments).T)
    for k in range(tiling.segments):
        parts = (tiling.quality[k], tiling.sensitivity[k], path, paid[k], effect, on_hand, weight[k])
        if tiling.family != kernels.MNL:
            kernels.single_probability(tiling.family, *parts)
            kernels.single_means(weight[k], rate[k], tiling.group, mean[k])
            continue
        kernels.weights(*parts)
        if shown is not None and tiling.lift is not None:
            lifted[k] = weight[k]
            kernels.lift_shown(lifted[k], shown[:, k], tiling.lift[k], tiling.products)
        kernels.totals(lifted[k], tiling.group, total[k])
        kernels.logit_means(lifted[k], total[k], rate[k], tiling.group, mean[k])
    return Choice(mean, paid, weight, lifted, total, rate, path, on_hand, period, reference)

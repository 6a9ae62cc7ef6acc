"""Formulas of discrete choice: logit shares, their inversion, and elasticities, on numpy arrays or torch tensors.

All arrays of one call belong to one library. Sizes: N products, C categories, K segments; leading axes are free.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .backend import HALF, ONE, ZERO, detached, exp, like, log, where

Array = NDArray[np.float64]
_SHARE_ROUNDS = 10_000
_SHARE_TOLERANCE = 1e-9
# The least value of a nest that others are taken relative to: exp of minus it does not overflow.
_LEAST_NEST = -600.0


class ChoiceShares(NamedTuple):
    """Choice probabilities of a multinomial logit.

    Args:
        product: (…, N) probability of each product among the customers of its category.
        outside: (…, C) probability of the outside option.

    Example:
        >>> shares = choice_shares(np.array([0.0, 0.0]))
        >>> float(round(shares.product.sum() + shares.outside.sum(), 12))
        1.0
    """

    product: Any
    outside: Any


def felt_price(price: Any, regular: Any, curvature: Any) -> Any:
    """The price that the price sensitivity multiplies: the regular price and its slope are the same for any curvature.

    Args:
        price: Currency per unit.
        regular: Regular price, currency per unit.
        curvature: 0 where utility is linear in the price, 1 where it is linear in its logarithm, and a mixture between.

    Example:
        >>> [round(float(felt_price(np.float64(8.0), 10.0, c)), 3) for c in (0.0, 0.5, 1.0)]
        [8.0, 7.884, 7.769]
    """
    return price + curvature * (regular + regular * log(price / regular) - price)


def reference_gap(price: Any, reference: Any, linear: Any, saturating: Any) -> Any:
    """How far a price lies below its reference: log points, or currency if linear. If saturating, half of one less the square of
    price over reference: as many as log points for small differences, and fewer the deeper a deal is.

    The same formula is compiled for the simulator.

    Example:
        >>> [round(float(reference_gap(np.float64(price), 10.0, False, True)), 3) for price in (11.0, 10.0, 9.0, 7.0)]
        [-0.105, 0.0, 0.095, 0.255]
    """
    if linear:
        return reference - price
    if saturating:
        ratio = price / reference
        return ratio * ratio * -HALF + HALF
    return log(reference / price)


def gap_effect(gap: Any, gain: Any, loss: Any) -> Any:
    """What a price below its reference adds, one above takes: gain, loss per unit of `reference_gap`."""
    return where(gap > 0, gain, loss) * gap


def stocking_price(price: Any, reference: Any, regular: Any) -> Any:
    """The price that buyers compare with the reference when they stock up: no higher than the regular price or the
    reference, as a price that rises for good leaves no customer with stocks to use up.
    """
    highest = where(reference > regular, reference, regular)
    return where(price < highest, price, highest)


def units_taken(factor: Any, units: Any, at_usual: Any) -> Any:
    """The units that each buyer of a product takes, where some came because other products got dearer than usual.

    Those stock up at a low price no more than they would have: what buyers take beyond one unit is counted for those who buy
    at prices that are usual or lower. A category then sells no more where its regular prices rise and its deals stay.

    Args:
        factor: The units of a buyer who stocks up, or has something left: exp of `gap_effect`.
        units: Mean units at the prices, without it.
        at_usual: The same at prices that are nowhere higher than those of `stocking_price`.

    Example:
        >>> [float(units_taken(np.float64(factor), 40.0, 30.0)) for factor in (0.8, 1.0, 3.0)]
        [0.8, 1.0, 2.5]
    """
    more = where(factor > ONE, factor - ONE, factor * ZERO)
    usual = where(units > ZERO, at_usual / where(units > ZERO, units, ONE), ONE)
    return factor - more + more * usual


def choice_shares(utility: Any, category: NDArray[np.intp] | None = None, outside: Any = 1.0) -> ChoiceShares:
    """Multinomial-logit choice probabilities within each category (McFadden 1974).

    Args:
        utility: (…, N); minus infinity for a product that cannot be bought.
        category: (N,) index of each product's category; None for one category.
        outside: exp(utility) of the outside option, rival offers included: a scalar or (…, C).

    Returns:
        The shares. No utility is too large: weights are taken relative to the best product of the category.

    Example:
        >>> choice_shares(np.log([1.0, 2.0])).product.tolist()
        [0.25, 0.5]
    """
    category = _one_if_none(category, utility)
    count = outside.shape[-1] if getattr(outside, "ndim", 0) else int(category.max()) + 1
    return _shares(utility, category, count, outside, least=0.0)


def _shares(utility: Any, category: NDArray[np.intp], count: int, outside: Any, least: float) -> ChoiceShares:
    """The logit's shares; weights are taken relative to the best utility of the category, or to `least` if it is lower."""
    top = np.maximum(_best(detached(utility), category, count), least)
    weight = exp(utility - like(utility, top[..., category]))
    rest = outside * exp(like(utility, -top))
    inside = weight.sum(axis=-1, keepdims=True) if count == 1 else weight @ members(category, count, utility)
    total = rest + inside
    return ChoiceShares(weight / total[..., category], rest / total)


def nested_shares(
    utility: Any, nesting: Any, nest: NDArray[np.intp] | None = None, category: NDArray[np.intp] | None = None
) -> ChoiceShares:
    """Choice probabilities of a nested logit: a nest of the category or the outside option, then a product of the nest.

    Args:
        utility: (…, N); minus infinity for a product that cannot be bought.
        nesting: (J,) in [0, 1); 0 is the multinomial logit of `choice_shares`.
        nest: (N,) index of each product's nest; None for one nest.
        category: (J,) index of each nest's category; None where every nest is a category.

    Example:
        >>> nested_shares(np.log([1.0, 2.0]), np.zeros(1)).product.round(12).tolist()
        [0.25, 0.5]
    """
    nest = _one_if_none(nest, utility)
    count = nesting.shape[-1]
    steep = 1 - nesting
    category = np.arange(count) if category is None else category
    scaled = utility / steep[nest]
    best = _best(detached(scaled), nest, count)
    top = like(utility, np.where(np.isfinite(best), best, 0.0))
    weight = exp(scaled - top[..., nest])
    inside = weight @ members(nest, count, utility)
    there = where(inside > 0, inside, 1.0)
    # No customer chooses a sold-out nest.
    value = where(inside > 0, steep * (top + log(there)), -np.inf)
    chosen = _shares(value, category, int(category.max()) + 1, 1.0, least=_LEAST_NEST)
    return ChoiceShares(weight * (chosen.product / there)[..., nest], chosen.outside)


def members(category: NDArray[np.intp], count: int, library: Any) -> Any:
    """(N, C) one where a product belongs to a category, in the array library of `library`."""
    return like(library, np.eye(count)[category])


def _one_if_none(category: NDArray[np.intp] | None, values: Any) -> NDArray[np.intp]:
    return np.zeros(values.shape[-1], dtype=np.intp) if category is None else category


def _best(utility: Array, category: NDArray[np.intp], count: int) -> Array:
    """(…, C) highest utility of each category."""
    if count == 1:
        return utility.max(axis=-1, keepdims=True)
    best = np.full((*utility.shape[:-1], count), -np.inf)
    order = np.argsort(category, kind="stable")
    present, first = np.unique(category[order], return_index=True)
    best[..., present] = np.maximum.reduceat(utility[..., order], first, axis=-1)
    return best


def logit_utility(share: Any, outside_share: Any) -> Any:
    """The utility that gives a product this choice probability: log(s / s_0) (Berry 1994).

    Args:
        share: choice probability, above 0.
        outside_share: probability of the outside option of the same customers.

    Example:
        >>> utility = logit_utility(np.array([0.2, 0.3]), 0.5)
        >>> choice_shares(utility).product.round(12).tolist()
        [0.2, 0.3]
    """
    return log(share / outside_share)


def matching_utility(
    target: Array, utility: Array, segment_share: Array, category: NDArray[np.intp] | None = None
) -> Array:
    """What must be added to every segment's utility so that the products' overall shares meet a target.

    The contraction of Berry, Levinsohn and Pakes (1995, appendix I); with one segment it is exact at once.

    Args:
        target: (…, N) choice probabilities over all segments, above 0.
        utility: (…, K, N) utilities before the addition.
        segment_share: (C, K) share of each segment among the customers of a category.
        category: (N,) index of each product's category; None for one category.

    Returns:
        (…, N) utility to add.

    Raises:
        RuntimeError: the shares were not met in 10,000 rounds.

    Example:
        >>> added = matching_utility(np.array([0.25, 0.25]), np.array([[1.0, 2.0], [2.0, 0.0]]), np.array([[0.5, 0.5]]))
        >>> shares = choice_shares(np.array([[1.0, 2.0], [2.0, 0.0]]) + added).product
        >>> shares.mean(axis=0).round(6).tolist()
        [0.25, 0.25]
    """
    category = _one_if_none(category, target)
    added = np.zeros_like(target)
    for _ in range(_SHARE_ROUNDS):
        shares = choice_shares(utility + added[..., None, :], category).product
        step = np.log(target / np.einsum("nk,...kn->...n", segment_share[category], shares))
        added += step
        if np.abs(step).max() < _SHARE_TOLERANCE:
            return added
    raise RuntimeError(f"the choice probabilities of the forecasts were not met in {_SHARE_ROUNDS} rounds")


def log_or_never(available: Any, library: Any) -> Any:
    """(N,) 0 where a product can be bought, else minus infinity."""
    return like(library, np.where(detached(available) > 0, 0.0, -np.inf))


def lowest_price_shares(paid: Any, available: Any, category: Any, rival_price: Any, rival_category: Any) -> Any:
    """Shares of a category's customers that the lowest price gets, equal lowest prices sharing them.

    Args:
        paid: (…, N) currency per unit.
        available: (N,) above 0 where a product can be bought.
        category: (N,) index of each product's category.
        rival_price: (R,) prices of the rival offers, currency per unit.
        rival_category: (R,) index of each rival offer's category.

    Returns:
        (…, N), in the array library of `paid`.

    Example:
        >>> own, rivals = (np.array([2.0, 2.0]), np.ones(2), np.zeros(2)), (np.array([2.0]), np.zeros(1))
        >>> lowest_price_shares(*own, *rivals).round(2).tolist()
        [0.33, 0.33]
    """
    price = detached(paid)
    there = detached(available) > 0
    share = np.zeros(price.shape)
    rivals = detached(rival_price)
    for c in np.unique(category):
        own = np.flatnonzero(category == c)
        asked = np.where(there[own], price[..., own], np.inf)
        theirs = rivals[rival_category == c]
        lowest = np.minimum(asked.min(axis=-1, keepdims=True, initial=np.inf), theirs.min(initial=np.inf))
        wins = (asked == lowest) & there[own]
        sellers = wins.sum(axis=-1, keepdims=True) + (theirs == lowest).sum(axis=-1, keepdims=True)
        share[..., own] = wins / np.maximum(sellers, 1)
    return like(paid, share)


def own_elasticity(units_at: Callable[[Array], Array], price: Array) -> Array:
    """Own-price elasticities of any demand by central differences.

    For demand families without a closed form, and at kinks, where it is the mean of the two sides.

    Args:
        units_at: maps (B, N) prices to (B, K, N) mean units.
        price: (N,) currency per unit.

    Returns:
        (K, N).

    Example:
        >>> own_elasticity(lambda price: price[:, None] ** -2.0, np.array([3.0])).round(6).tolist()
        [[-2.0]]
    """
    step = 1e-4
    own_price = np.eye(price.size, dtype=bool)
    nudged = [units_at(np.where(own_price, price * factor, price)) for factor in (1 + step, 1 - step)]
    up, down = (np.einsum("bkb->kb", np.maximum(units, 1e-300)) for units in nudged)
    return np.log(up / down) / np.log((1 + step) / (1 - step))

"""Mean demand of every segment for every product: the entry to the choice model."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .demand_arrays import ChoiceParameters
from .demand_kernels import choose
from .lost_sales import count_lost

Array = NDArray


class ChoiceInputs(NamedTuple):
    """What customers meet in a period of E markets; floats have the type of the parameters.

    Attributes:
        period: (E,) number of the period.
        regime: (E,) regime.
        price: (N, E) list price, currency per unit.
        reference: (N, E) reference price, currency per unit.
        available: (N, E) units, or anything positive for a product in stock.
        paid: (K, N, E) personal prices, or (0, N, E) if all customers pay the list price.
        shown: (K, E) product in each segment's slot, or (0, E).
        promoted: (N, E) 1 for products on promotion, or (0, E).
        rival_price: (R, E) currency per unit.
        multiplier: (C * K, E) multiplier of the arrivals, or (0, E).
        waiting: (C * K, E) customers who waited, or (0, E).
        scale: Share of the period's customers.
    """

    period: NDArray[np.int64]
    regime: NDArray[np.int64]
    price: Array
    reference: Array
    available: Array
    paid: Array
    shown: NDArray[np.int64]
    promoted: Array
    rival_price: Array
    multiplier: Array
    waiting: Array
    scale: np.floating


class Choice(NamedTuple):
    """Mean demand of a period, and the terms it was computed from.

    Attributes:
        weight: (K, N, E) exp(utility), or (1, N, E), the last segment, without `detail`.
        lifted: (K, N, E) the same with the effect of the recommendation slot.
        mean: (K, N, E) mean units by segment, or (0, N, E) without `by_segment`.
        units: (N, E) mean units of all segments.
        total: (K, J, E) what the weights of a nest (in other families, a category) are divided by, or
            (1, J, E) without `detail`.
        rival_units: (R, E) mean units of the rival offers.
        waiting: (C * K, E) customers who wait.
        arrivals: (C, E) arrival rate.
        season: (C, E) utility of the season.
        path: (C, E) multiplier of the price sensitivity.
        effect: (N, E) utility of season and reference price.
    """

    weight: Array
    lifted: Array
    mean: Array
    units: Array
    total: Array
    rival_units: Array
    waiting: Array
    arrivals: Array
    season: Array
    path: Array
    effect: Array


class ChoiceScratch(NamedTuple):
    """Scratch of `choose`.

    Attributes:
        felt: (N, E) prices felt, times the multiplier of the price sensitivity.
        rival: (R, E) exp(utility) of the rival offers.
        rival_felt: (R, E) perceived rival prices.
        factor: (J, E) customers over `Choice.total`.
        later: (C, E) exp(utility) of buying later.
        row: (E,) spare.
        spare: (N, E) spare.
        expected: (N, E) perceived price that customers who wait expect, or (0, E).
        expected_effect: (N, E) its season's utility, or (0, E).
    """

    felt: Array
    rival: Array
    rival_felt: Array
    factor: Array
    later: Array
    row: Array
    spare: Array
    expected: Array
    expected_effect: Array


def mean_demand(p: ChoiceParameters, now: ChoiceInputs, lost: bool = False) -> Choice:
    """Mean units that the segments demand of each product.

    Stock does not limit them, but a sold-out product is not chosen.

    Args:
        p: Parameters of the choice model.
        now: What customers meet.
        lost: Whether the customers whom a sold-out product loses count as demand for it.
    """
    sizes = (now.price, now.rival_price.shape[0], now.waiting.shape[0], now.shown.shape[0] > 0)
    choice = empty_choice(p, *sizes, True, True)
    choose(p, now, choice, choice.units, choice_scratch(p, *sizes[:-1]))
    if lost and (now.available <= 0).any():
        full = mean_demand(p, now._replace(available=np.ones_like(now.available)))
        count_lost(p.category, now.available, full, choice.units, choice.mean)
    return choice


def empty_choice(p, price, rivals, waits, slots, by_segment, detail):
    """Allocate a `Choice`.

    Args:
        p: Parameters of the choice model.
        price: (N, E), for its shape and type.
        rivals: R.
        waits: C * K, or 0 if no customers wait.
        slots: Whether there are recommendation slots.
        by_segment: Whether to keep the means of every segment.
        detail: Whether to keep the weights and totals of every segment.
    """
    segments, (products, markets), dtype = p.quality.shape[0], price.shape, price.dtype
    kept = segments if detail else 1
    weight, calendar = np.empty((kept, products, markets), dtype), np.empty((3, p.rate.shape[0], markets), dtype)
    lifted = weight
    if slots:
        lifted = np.empty_like(weight)
    return Choice(
        weight,
        lifted,
        np.empty((segments if by_segment else 0, products, markets), dtype),
        np.empty((products, markets), dtype),
        np.empty((kept, p.nest_category.size, markets), dtype),
        np.empty((rivals, markets), dtype),
        np.empty((waits, markets), dtype),
        calendar[0],
        calendar[1],
        calendar[2],
        np.empty((products, markets), dtype),
    )


def choice_scratch(p, price, rivals, waits):
    """Allocate the `ChoiceScratch`; the arguments are as for `empty_choice`."""
    (products, markets), dtype, patient = price.shape, price.dtype, int(waits > 0)
    rows, factor = np.empty((2, rivals, markets), dtype), np.empty((p.nest_category.size, markets), dtype)
    back = np.empty((p.rate.shape[0], markets), dtype)
    planes = np.empty((2, products, markets), dtype)
    later = np.empty((2, patient * products, markets), dtype)
    row = np.empty(markets, dtype)
    return ChoiceScratch(planes[0], rows[0], rows[1], factor, back, row, planes[1], later[0], later[1])

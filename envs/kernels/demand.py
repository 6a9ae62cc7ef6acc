"""Who wants what: mean demand of every segment for every product at the prices of a period."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...scenarios.families import Family
from ..jit.math import compiled, inlined
from .demand_arrays import EXTENSION, ChoiceParameters
from .demand_kernels import choose, product_season, read_calendar

Array = NDArray


class ChoiceInputs(NamedTuple):
    """What customers meet in a period of E markets, all in the type of the parameters.

    period, regime: (E,). price, reference, available (units, or anything above 0): (N, E). paid: (K, N, E) or (0, N, E)
    where all pay the list price. shown: (K, E) or (0, E). promoted: (N, E) or (0, E). rival_price: (R, E). multiplier of
    arrivals, and customers who waited: (C * K, E) or (0, E). scale: share of the period's customers.
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
    """Mean demand of a period, and what it came from.

    weight, lifted: (K, N, E) exp(utility) without and with the slot, and total: (K, C, E) denominators of the logit, or of
    the last segment alone, (1, …), where nobody asked for `detail`. mean: (K, N, E) units by segment, or (0, …) without
    `by_segment`. units: (N, E), all segments. rival_units: (R, E). waiting: (C * K, E) customers who wait. arrivals,
    season, path: (C, E). effect: (N, E) utility of season and reference price.
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
    """Scratch of `choose`. felt: (N, E) prices as customers feel them. rival, rival_felt: (R, E). factor, later: (C, E). row:
    (E,). spare: (N, E). expected, expected_effect: (N, E), or (0, E) where nobody waits.
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


def mean_demand(p: ChoiceParameters, now: ChoiceInputs, family: Family | None = None) -> Choice:
    """Mean units that the segments want of each product, stock limits aside (a sold-out product is not chosen).

    family: the function of an extension's demand family.
    """
    sizes = (now.price, now.rival_price.shape[0], now.waiting.shape[0], now.shown.shape[0] > 0)
    choice = empty_choice(p, *sizes, True, True)
    if p.family == EXTENSION:
        assert family is not None, "an extension's family needs its function"
        _extension_demand(p, now, family, choice)
    else:
        choose(p, now, choice, choice_scratch(p, *sizes[:-1]))
    return choice


@compiled
def empty_choice(p, price, rivals, waits, slots, by_segment, detail):
    """An empty `Choice` for markets with such prices, (N, E), so many rival offers and rows of customers who wait.

    by_segment, detail: with the means, and with the weights and totals, of every segment.
    """
    segments, categories, (products, markets), dtype = p.quality.shape[0], p.rate.shape[0], price.shape, price.dtype
    kept = segments if detail else 1
    weight, calendar = np.empty((kept, products, markets), dtype), np.empty((3, categories, markets), dtype)
    lifted = weight
    if slots:
        lifted = np.empty_like(weight)
    return Choice(
        weight,
        lifted,
        np.empty((segments if by_segment else 0, products, markets), dtype),
        np.empty((products, markets), dtype),
        np.empty((kept, categories, markets), dtype),
        np.empty((rivals, markets), dtype),
        np.empty((waits, markets), dtype),
        calendar[0],
        calendar[1],
        calendar[2],
        np.empty((products, markets), dtype),
    )


@inlined
def with_units(choice, units):
    """The choice with its units, (N, E), elsewhere."""
    weights, offers = (choice.weight, choice.lifted, choice.mean), (choice.rival_units, choice.waiting)
    period = (choice.arrivals, choice.season, choice.path, choice.effect)
    return Choice(*weights, units, choice.total, *offers, *period)


@compiled
def choice_scratch(p, price, rivals, waits):
    """The `ChoiceScratch` of such markets."""
    (products, markets), dtype, patient = price.shape, price.dtype, int(waits > 0)
    rows, pairs = np.empty((2, rivals, markets), dtype), np.empty((2, p.rate.shape[0], markets), dtype)
    planes = np.empty((2, products, markets), dtype)
    later = np.empty((2, patient * products, markets), dtype)
    row = np.empty(markets, dtype)
    return ChoiceScratch(planes[0], rows[0], rows[1], pairs[0], pairs[1], row, planes[1], later[0], later[1])


def _extension_demand(p: ChoiceParameters, now: ChoiceInputs, family: Family, choice: Choice) -> None:
    """Fill the choice from another package's demand family, one product a category."""
    read_calendar(p, now.period, now.regime, choice.arrivals, choice.season, choice.path)
    choice.arrivals[:] *= now.scale
    c = p.category
    product_season(c, p.quality_path, now.period, choice.season, choice.effect)
    if p.gain.size:
        gap = now.reference - now.price if p.linear_reference else np.log(now.reference / now.price)
        choice.effect[:] += np.where(gap > 0, p.gain[:, None], p.loss[:, None]) * gap
    paid = now.paid if now.paid.shape[0] else now.price
    utility = p.quality[:, :, None] - p.sensitivity[:, :, None] * choice.path[c] * paid + choice.effect
    if p.promotion.size:
        utility = utility + p.promotion[:, :, None] * now.promoted
    choice.weight[:] = np.where(now.available > 0, np.clip(family(utility), 0, 1), 0)
    share = p.share.T[:, c, None]
    customers = choice.arrivals[c] * share
    if now.multiplier.shape[0]:
        customers = customers * now.multiplier.reshape(len(choice.season), -1, now.period.size).swapaxes(0, 1)[:, c]
    choice.mean[:] = customers * choice.weight
    choice.units[:] = choice.mean.sum(axis=0)
    choice.total[:] = 1

"""The regular prices of a shop whose tables give only what was paid."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..weeks import WEEK

Array = NDArray[np.float64]
# Weeks before and after that a price is compared with, and the weeks that a lower price must last to be the regular one.
_AROUND = 13
_SETTLED = 8
# A week's mean price this close below the envelope is hardly reduced; where fewer than this share are not, no price is
# regular (the third of Kehoe and Midrigan 2015, Journal of Monetary Economics 75).
_HARDLY_REDUCED = 0.05
_LEAST_REGULAR = 1 / 3
# What only rounding tells apart; and regular prices so close are the same.
_ROUNDING = 1e-6
_SAME = 0.02


def regular_prices(price: Array, listed: Array, days: int = WEEK.days, upper: Array | None = None) -> Array:
    """The regular prices that the tables give or, where these are never above the price paid, an upper envelope.

    Prices of a product that hardly ever come close to its envelope move freely from week to week. A price is reduced below
    what else is charged in its own week, too.

    Args:
        price: (..., W, N) price paid by week and product, currency per unit; NaN without a sale.
        listed: (..., W, N) regular prices as the tables give them.
        days: Length of a week: 7, or 1 for days.
        upper: (..., W, N) mean price paid where each price below the week's mean counts as that mean; by default the price.

    Returns:
        (..., W, N) regular prices, NaN where prices are.

    Example:
        >>> paid = np.repeat([2.0, 1.5, 2.0, 2.2, 1.6, 2.2], [8, 1, 2, 8, 1, 2])[:, None]
        >>> regular = regular_prices(paid, paid).ravel()
        >>> regular[[7, 8, 10, 11, 19, 21]].tolist()  # the weeks at 1.5 and 1.6 are reductions
        [2.0, 2.0, 2.0, 2.2, 2.2, 2.2]
    """
    if (listed > (1 + _ROUNDING) * price).any():
        return listed
    found = upper_envelope(price, WEEK.days // days)
    known = np.isfinite(price)
    upper = price if upper is None else upper
    with np.errstate(invalid="ignore"):
        near = (known & (price >= (1 - _HARDLY_REDUCED) * found)).sum(axis=-2, keepdims=True)
        # In a week in which the regular price itself moves, neither part is a reduction.
        before = found[..., :-2, :]
        after = found[..., 2:, :]
        moves = np.zeros(found.shape, dtype=bool)
        moves[..., 1:-1, :] = np.abs(after / before - 1) > _ROUNDING
    free = near < _LEAST_REGULAR * known.sum(axis=-2, keepdims=True)
    return np.where(free, upper, np.where(moves, found, np.fmax(found, upper)))


class ApartFromEnvelope(NamedTuple):
    """How often given regular prices are others than the upper envelope of what was charged.

    Attributes:
        below: Share of the prices with a regular price below the envelope: a reduction that lasted counts as the regular price.
        above: Share with one above it: nobody paid it in the weeks around.
    """

    below: float
    above: float


def apart_from_envelope(price: Array, listed: Array, days: int = WEEK.days) -> ApartFromEnvelope | None:
    """Given regular prices beside the upper envelope of what was charged; None where the tables give none.

    Args:
        price: As for `regular_prices`.
        listed: The same.
        days: The same.

    Example:
        >>> paid = np.array([2.0] * 8 + [1.5] * 6 + [2.0] * 8)[:, None]
        >>> trailing = np.array([2.0] * 12 + [1.5] * 4 + [2.0] * 6)[:, None]  # what was charged in most of the weeks before
        >>> apart_from_envelope(paid, np.fmax(paid, trailing)).below
        0.09090909090909091
    """
    if not (listed > (1 + _ROUNDING) * price).any():
        return None
    share = listed / upper_envelope(price, WEEK.days // days) - 1
    known = max(int(np.isfinite(share).sum()), 1)
    return ApartFromEnvelope(float((share < -_SAME).sum() / known), float((share > _SAME).sum() / known))


def upper_envelope(price: Array, per_week: int = 1) -> Array:
    """The price from which reductions are taken: the lower of the highest prices of the 13 weeks before and after.

    A reduction lies below both; a regular price that rises or falls for good does not. A price that was charged in
    one week alone is a reduction's opposite, an error or a mean of odd sales: of each side, the second highest counts.
    Of the last weeks, for which nothing is known afterwards, a lower price is a reduction until it has lasted 8 weeks.

    Args:
        price: (..., W, N) price paid, currency per unit; NaN without a sale.
        per_week: Number of periods in a week.

    Returns:
        (..., W, N), NaN where prices are.

    Example:
        >>> upper_envelope(np.array([[3.0], [3.0], [2.0], [3.0]])).ravel().tolist()
        [3.0, 3.0, 3.0, 3.0]
    """
    around = _AROUND * per_week
    settled = _SETTLED * per_week
    periods = price.shape[-2]
    known = np.where(np.isfinite(price), price, -np.inf)
    found = np.empty(price.shape)
    for t in range(periods):
        before = known[..., max(0, t + 1 - around) : max(t + 1, settled), :]
        after = known[..., max(0, min(t, periods - settled)) : t + around, :]
        found[..., t, :] = np.maximum(known[..., t, :], np.minimum(_second(before), _second(after)))
    return np.where(np.isfinite(price), found, np.nan)


def _second(values: Array) -> Array:
    """The second highest of (..., L, N) values along L; the only one where there is one."""
    if values.shape[-2] < 2:
        return values.max(axis=-2)
    top = np.partition(values, -2, axis=-2)[..., -2:, :]
    return np.where(np.isfinite(top[..., 0, :]), top[..., 0, :], top[..., 1, :])

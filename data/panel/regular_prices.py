"""The regular prices of a shop whose tables give only what was paid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..weeks import WEEK

Array = NDArray[np.float64]
# Half of the weeks that a price is compared with; of days, every fifth, which meets all weekdays.
_AROUND, _EVERY = 6, {WEEK.days: 1, 1: 5}
# Prices closer than this are the same: those of a week are means over its sales.
_SAME = 0.002
# What only rounding tells apart.
_ROUNDING = 1e-6
# With fewer weeks at one price there is no regular one.
_LEAST_SHARE = 1 / 3


def regular_prices(price: Array, listed: Array, days: int = WEEK.days) -> Array:
    """The regular prices that the tables give, or, where these are never above the price paid, a guess.

    That is the commonest price of the 13 weeks around, or the week's own where it is higher, or
    where no price holds in a third of those weeks. Eichenbaum, Jaimovich and
    Rebelo (2011), Reference Prices, Costs, and Nominal Rigidities, American Economic Review 101(1);
    the third is that of Kehoe and Midrigan (2015), Journal of Monetary Economics 75.

    Args:
        price: (..., W, N) price paid by week and product, currency per unit; NaN without a sale.
        listed: (..., W, N) regular prices as the tables give them.
        days: Length of a week: 7, or 1 for days.

    Returns:
        (..., W, N) regular prices, NaN where prices are.

    Example:
        >>> paid = np.array([[2.0], [2.0], [1.5], [2.0], [2.2], [2.2]])
        >>> regular_prices(paid, paid).ravel().tolist()
        [2.0, 2.0, 2.0, 2.0, 2.2, 2.2]
    """
    if (listed > (1 + _ROUNDING) * price).any():
        return listed
    shifted = [_shifted(price, _EVERY[days] * lag) for lag in range(-_AROUND, _AROUND + 1)]
    known = sum(np.isfinite(other) for other in shifted)
    commonest, most = np.zeros(price.shape), np.zeros(price.shape)
    for candidate in shifted:
        count = sum(np.abs(other - candidate) <= _SAME * candidate for other in shifted)
        better = (count > most) | ((count == most) & (candidate > commonest))
        commonest, most = np.where(better, candidate, commonest), np.where(better, count, most)
    return np.where(most >= _LEAST_SHARE * known, np.maximum(price, commonest), price)


def _shifted(price: Array, by: int) -> Array:
    """(..., W, N) the price some weeks later; NaN beyond the last and the first."""
    later = np.full(price.shape, np.nan)
    if abs(by) >= price.shape[-2]:
        return later
    here, there = (slice(None, -by), slice(by, None)) if by > 0 else (slice(-by, None), slice(None, by or None))
    later[..., here, :] = price[..., there, :]
    return later

"""The deals of a shop's plan in a market: whether one stands, what its display is worth, and what customers remember.

A fitted market sells its forecasts at the plan. A policy leaves the plan in two ways: it moves a product's regular price,
or it changes a deal. Customers take a price for a deal where the shop announces one, in the periods in which it plans a
deal unless a policy says otherwise; any other price is a regular price, to which they are used at once, since only an
announced reduction draws the buyers of a deal. All of it follows from the prices so far.

Each formula is of one product in one period, on numbers, numpy arrays or torch tensors; the simulator compiles it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .backend import ONE, ZERO, exp, log, where

DEAL = 0.98
"""Below this share of the regular price, a price is a deal."""
WHOLE = np.float32(0.5)
"""A deal keeps its whole display down to this share of its planned depth."""
FUNDED = 1.005
"""The supplier pays for a deal up to this multiple of the price that was agreed on."""


class Deals(NamedTuple):
    """Which prices of a plan are deals, and the regular prices that they are deals from; (T, N) each.

    Attributes:
        on_deal: Whether a price is a deal.
        regular: The plan's regular prices, currency per unit: in place of a deal's the nearest price without one, the earlier
            first.
    """

    on_deal: NDArray[np.bool_]
    regular: NDArray[np.float64]


def deals_in(price: ArrayLike, regular_price: ArrayLike) -> Deals:
    """The deals among the prices of a plan.

    Args:
        price: (T, N) planned prices, currency per unit.
        regular_price: (N,) today's regular prices.

    Example:
        >>> deals = deals_in([[10.0], [8.0], [10.5]], [10.0])
        >>> deals.on_deal.ravel().tolist(), deals.regular.ravel().tolist()
        ([False, True, False], [10.0, 10.0, 10.5])
    """
    planned = np.asarray(price, np.float64)
    regular = np.asarray(regular_price, np.float64)
    on_deal = planned < DEAL * regular
    found = np.where(on_deal, np.nan, planned)
    for rows in (range(1, len(found)), range(len(found) - 2, -1, -1)):
        step = 1 if rows.step > 0 else -1
        for t in rows:
            found[t] = np.where(np.isnan(found[t]), found[t - step], found[t])
    found = np.where(np.isnan(found), regular, found)
    # A price below today's regular one may be above those of the periods around it: then it is no reduction.
    on_deal = on_deal & (planned < found)
    return Deals(on_deal, np.where(on_deal, found, planned))


def regular_level(price: Any, usual: Any, level: Any, on_deal: Any) -> Any:
    """The level of a product's regular price relative to the plan's, with this period's price.

    Args:
        price: The price of the period, currency per unit.
        usual: The plan's regular price in the period, currency per unit.
        level: The level before the period; 1 is the plan's.
        on_deal: Whether a deal is announced: then the regular price stays, unless the price exceeds it.

    Example:
        >>> [float(regular_level(price, 10.0, 1.0, True)) for price in (8.0, 11.0)], float(regular_level(8.0, 10.0, 1.0, False))
        ([1.0, 1.1], 0.8)
    """
    own = price / usual
    return where(on_deal, where(own < level, level, own), own)


def lowered(level: Any) -> Any:
    """The level of a regular price, as of `regular_level`, but at most one.

    A regular price that rises for good leaves no customer with stocks to use up.

    Example:
        >>> import numpy as np
        >>> lowered(np.array([0.9, 1.2])).tolist()
        [0.9, 1.0]
    """
    return where(level < ONE, level, ONE)


def perceived_level(price: Any, usual: Any, level: Any, on_deal: Any, depth: Any) -> Any:
    """The level of the regular price that customers compare the price of a period with.

    They take a dearer regular price for no reason to find a deal deeper than planned: it counts as far as the deal's price
    rises with it.

    Args:
        price: As for `regular_level`, like `usual` and `on_deal`.
        usual: See price.
        level: The level after the period.
        on_deal: See price.
        depth: Depth of the deal as planned, the logarithm of its regular price over its price, above zero.

    Example:
        >>> import numpy as np
        >>> deal = {"usual": 10.0, "on_deal": True, "depth": float(np.log(10 / 8))}
        >>> [round(float(perceived_level(np.float64(price), level=1.1, **deal)), 3) for price in (8.0, 8.4, 8.8, 9.6)]
        [1.0, 1.05, 1.1, 1.1]
    """
    kept = price * exp(depth) / usual
    kept = where(kept > ONE, kept, ONE)
    return where(on_deal, where(level < kept, level, kept), lowered(level))


def remembered_price(price: Any, usual: Any, level: Any, perceived: Any) -> Any:
    """The price of a period as customers remember it, at the level of `lowered`: no higher than the regular price.

    Args:
        price: As for `regular_level`, like `usual`.
        usual: See price.
        level: The level after the period.
        perceived: As of `perceived_level`.

    Example:
        >>> import numpy as np
        >>> [float(remembered_price(np.float64(price), 10.0, 1.1, perceived)) for price, perceived in ((8.8, 1.1), (11.0, 1.0))]
        [8.0, 10.0]
    """
    met = price / perceived
    return lowered(level) * where(met < usual, met, usual)


def standing_share(price: Any, usual: Any, level: Any, on_deal: Any, depth: Any, share: Any, always: Any) -> Any:
    """The share of stores with a display or mailer for a product: that of a deal is whole down to half of the planned depth,
    and fades below.

    Args:
        price: As for `regular_level`, like `usual` and `on_deal`.
        usual: See price.
        level: The level after the period.
        on_deal: See price.
        depth: Depth of the deal as planned, the logarithm of its regular price over its price, above zero.
        share: Share of stores that show the deal at that depth.
        always: Share of stores that show the product without a deal.

    Example:
        >>> import numpy as np
        >>> planned = {"usual": 10.0, "level": 1.0, "on_deal": True, "depth": float(np.log(10 / 8)), "share": 0.5, "always": 0.0}
        >>> [round(float(standing_share(np.float64(price), **planned)), 3) for price in (7.0, 8.0, 9.8, 10.0)]
        [0.5, 0.5, 0.091, 0.0]
    """
    part = log(level * usual / price) / (depth * WHOLE)
    part = where(part < ONE, part, ONE)
    return where(on_deal, share * where(part > ZERO, part, ZERO), always)

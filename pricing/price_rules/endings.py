"""Price endings: the prices whose fraction of a currency unit is allowed, such as 1.49 and 1.99, and rounding to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..backend import clip, count_below, count_up_to, double, floor, integer, single, where
from .ladder import number_list, rising

_MOST = 1e12


@dataclass(frozen=True)
class PriceEndings:
    """Allowed fractions of a price: 0.49 and 0.99 allow 0.49, 0.99, 1.49, 1.99, and so on.

    Args:
        fractions: (L,) of one unit of currency.

    Raises:
        ValueError: the fractions do not lie in [0, 1), or do not rise strictly.

    Example:
        >>> rules = dict(floor=[0.5], ceiling=[9.0], unit_cost=[0.3])
        >>> from repricer import Guardrails
        >>> Guardrails(**rules, endings=PriceEndings([0.49, 0.99])).nearest([2.1]).tolist()
        [1.99]
    """

    fractions: NDArray[np.float64]

    def __post_init__(self) -> None:
        fractions = number_list(self.fractions, "price_endings", "fractions", "list the endings")
        bad = np.flatnonzero(~((fractions >= 0) & (fractions < 1)))
        if bad.size:
            raise ValueError(
                f"price_endings must lie in [0, 1); got {fractions[bad[0]]} (item {bad[0] + 1}); write 1.99 as 0.99"
            )
        object.__setattr__(self, "fractions", rising(fractions, "price_endings", "sort them"))


def on_ending(price, soft_low, soft_high, current, endings):
    """The nearest price with an allowed ending in the soft range, else the one nearest to the current price."""
    # Ranks of larger prices would not be exact; the floor and the ceiling exclude such prices.
    least, most = clip(double(soft_low), 0.0, _MOST), clip(double(soft_high), 0.0, _MOST)
    first, last = rank_above(least * (1 - 1e-6), endings), rank_below(most * (1 + 1e-6), endings)
    inside = clip(nearest_rank(clip(double(price), least, most), endings), first, where(last < first, first, last))
    return single(ranked_price(where(first <= last, inside, nearest_rank(double(current), endings)), endings))


def ranked_price(rank, endings):
    """The price of a rank; all prices with an allowed ending are ranked from the first one below 1 upwards."""
    return rank // len(endings) + endings[rank % len(endings)]


def rank_above(price, endings):
    """Rank of the lowest price with an allowed ending at or above this one."""
    whole = floor(price)
    return integer(whole) * len(endings) + count_below(endings, price - whole)


def rank_below(price, endings):
    """Rank of the highest price with an allowed ending at or below this one."""
    whole = floor(price)
    return integer(whole) * len(endings) + count_up_to(endings, price - whole) - 1


def nearest_rank(price, endings):
    """Rank of the nearest price with an allowed ending; a tie goes to the lower one."""
    above = rank_above(price, endings)
    middle = (ranked_price(above - 1, endings) + ranked_price(above, endings)) / 2
    return where(price > middle, above, above - 1)

"""The price rules, in the order in which they act, and their formulas for one product or for whole arrays.

A proposed price is held where it may not change (frozen, changes used up), made a number, limited to the largest change
and rounded to the grid. Then come the hard rules: margin, advertised price, floor, ceiling, product line. Discounts
come last.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .backend import ONE, ZERO, clip, larger, smaller, where
from .endings import on_ending
from .grids import ENDINGS, LADDER, TICK, on_ladder, on_tick

RULES = {
    "frozen": "the price of a frozen product does not change",
    "max_changes": "a price that was changed as often as allowed within the window does not change",
    "not_a_number": "a price that is not a positive finite number is replaced by the current price",
    "max_change": "the price changes by at most this share of the current price",
    "price_ladder": "the price is a step of the price ladder, a multiple of the tick, or has one of the price endings",
    "minimum_margin": "the price leaves at least this margin over the unit cost",
    "minimum_advertised_price": "the list price is at least the minimum advertised price",
    "floor": "the price is at least the floor",
    "ceiling": "the price is at most the ceiling",
    "line_order": "a product costs no less than the smaller products of its line",
    "max_discount": "a personal discount lies between zero and the cap",
    "segment_spread": "the discounts of two segments differ by at most the cap",
    "paid_floor": "the price paid after the discount keeps the floor and the minimum margin",
}
BITS = {rule: np.uint16(1 << i) for i, rule in enumerate(RULES)}
"""The bit of each rule in a trail."""
DISCOUNT_RULES = ("max_discount", "segment_spread", "paid_floor")
PRICE_RULES = tuple(rule for rule in RULES if rule not in DISCOUNT_RULES)
HARD_RULES = (
    "price_ladder",
    "minimum_margin",
    "minimum_advertised_price",
    "floor",
    "ceiling",
    "line_order",
    "paid_floor",
)
"""Rules that no other rule can break."""
STEP_RULES = tuple(rule for rule in PRICE_RULES if rule not in ("frozen", "max_changes", "line_order"))
"""The rules that `price_steps` applies."""
_LARGEST = np.float32(1e30)


class StepConstants(NamedTuple):
    """What `price_steps` needs beside the bounds.

    Args:
        grid, steps, tick: see `PriceGrid`.
        change: largest relative change, inf for none.
        margin_low: (N,) lowest allowed price that leaves the minimum margin, 0 for none.
        advertised_low: (N,) lowest allowed price that keeps the minimum advertised price, 0 for none.
    """

    grid: int
    steps: NDArray[np.float64]
    tick: float
    change: np.float32
    margin_low: NDArray[np.float32]
    advertised_low: NDArray[np.float32]


def price_steps(price, in_force, low, high, constants):
    """The price after each of `STEP_RULES`, for one product or whole arrays; low, high: the hard bounds."""
    grid, steps, tick, change, margin_low, advertised_low = constants
    current = clip(in_force, low, high)
    proper = where((price > ZERO) & (price < _LARGEST), price, current)
    least, most = in_force * (ONE - change), in_force * (ONE + change)
    moved = clip(proper, least, most)
    # The bounds are grid prices too, so that the rules after this one leave the price on the grid.
    if grid == LADDER:
        snapped = on_ladder(moved, least, most, current, steps)
    elif grid == TICK:
        snapped = on_tick(moved, least, most, current, tick)
    elif grid == ENDINGS:
        snapped = on_ending(moved, least, most, current, steps)
    else:
        snapped = moved
    margin = larger(snapped, margin_low)
    advertised = larger(margin, advertised_low)
    floored = larger(advertised, low)
    return proper, moved, snapped, margin, advertised, floored, smaller(floored, high)


def under_held(price, cap, held, low, high):
    """The price of a product under the cap of the next larger held product of its line, and the cap for smaller ones.

    A held price sets the cap, and gives way only to the bounds low and high that the whole line leaves.
    """
    fitted = clip(price, low, high)
    return where(held, fitted, larger(smaller(fitted, cap), low)), where(held, fitted, cap)


def capped_discount(discount, cap):
    """The discount cut to [0, cap]; NaN means no discount."""
    return smaller(where(discount > ZERO, discount, ZERO), cap)


def discount_steps(capped, least, price, low, spread):
    """The discount after the segment spread, and after the floor of the price paid; least: the smallest of the segments."""
    near = smaller(capped, least + spread)
    return near, smaller(near, larger(ONE - low / price, ZERO))

"""The price rules, in the order in which they act, and their formulas for one product or for whole arrays.

A proposed price is brought near the rival's, held where it may not change (frozen, changes used up), kept from moving in a
direction that is not allowed, made a number, limited to the largest change and rounded to the grid. Then come the hard rules: margin, advertised price, floor, ceiling, product line. Discounts
come last.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..backend import ONE, ZERO, clip, larger, smaller, where
from .grids import ENDINGS, LADDER, TICK, on_ending, on_ladder, on_tick

RULES = {
    "frozen": "the price of a frozen product does not change",
    "max_changes": "a price that was changed as often as allowed within the window stays, or is the one planned anyway",
    "not_a_number": "a price that is not a positive finite number is replaced by the current price",
    "max_change": "the price changes by at most this share of the current price, or as far as is planned anyway",
    "price_ladder": "the price is a step of the price ladder, a multiple of the tick, or has one of the price endings",
    "minimum_margin": "the price leaves at least this margin over the unit cost",
    "minimum_advertised_price": "the list price is at least the minimum advertised price",
    "floor": "the price is at least the floor",
    "ceiling": "the price is at most the ceiling",
    "line_order": "a product costs no less than the smaller products of its line, and keeps its price gaps",
    "max_discount": "a personal discount lies between zero and the cap",
    "segment_spread": "the discounts of two segments differ by at most the cap",
    "paid_floor": "the price paid after the discount keeps the floor and the minimum margin",
    "rival_price": "the price stays within its shares of the lowest rival price that was last seen",
    "direction": "the price moves in one direction only, falling or rising, and else stays",
}
BITS = {rule: np.uint16(1 << i) for i, rule in enumerate(RULES)}
"""The bit of each rule in a trail."""
DISCOUNT_RULES = ("max_discount", "segment_spread", "paid_floor")
PRICE_RULES = tuple(rule for rule in RULES if rule not in DISCOUNT_RULES)
PRICE_BITS = np.bitwise_or.reduce([BITS[rule] for rule in PRICE_RULES])
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
STEP_RULES = tuple(
    rule for rule in PRICE_RULES if rule not in ("frozen", "max_changes", "line_order", "rival_price", "direction")
)
"""The rules that `price_steps` applies."""
DIRECTIONS = {"any": np.float32(0), "falling": np.float32(-1), "rising": np.float32(1)}
"""The directions in which prices may move, and the sign of each."""
_LARGEST = np.float32(1e30)
SLACK = np.float32(1e-6)
"""A price that misses a gap by this share, which is rounding, keeps it."""


class StepConstants(NamedTuple):
    """What `price_steps` needs beside the bounds.

    Args:
        grid, steps, tick: see `PriceGrid`.
        fall: (N,) largest relative fall, inf for none; 0 where prices only rise.
        rise: (N,) largest relative rise, inf for none; 0 where prices only fall.
        margin_low: (N,) lowest allowed price that leaves the minimum margin, 0 for none.
        advertised_low: (N,) lowest allowed price that keeps the minimum advertised price, 0 for none.
    """

    grid: int
    steps: NDArray[np.float64]
    tick: float
    fall: NDArray[np.float32]
    rise: NDArray[np.float32]
    margin_low: NDArray[np.float32]
    advertised_low: NDArray[np.float32]


def on_grid(price, least, most, current, grid, steps, tick):
    """The nearest price of the grid from least to most, else the one nearest to the current price."""
    if grid == LADDER:
        return on_ladder(price, least, most, current, steps)
    if grid == TICK:
        return on_tick(price, least, most, current, tick)
    if grid == ENDINGS:
        return on_ending(price, least, most, current, steps)
    return price


def price_steps(price, in_force, planned, low, high, constants):
    """The price after each of `STEP_RULES`, for one product or whole arrays.

    planned: the price that is planned anyway, NaN for none; low, high: the hard bounds.
    """
    grid, steps, tick, fall, rise, margin_low, advertised_low = constants
    current = clip(in_force, low, high)
    proper = where((price > ZERO) & (price < _LARGEST), price, current)
    least, most = in_force * (ONE - fall), in_force * (ONE + rise)
    least, most = where(planned < least, planned, least), where(planned > most, planned, most)
    moved = clip(proper, least, most)
    # The bounds are grid prices too, so that the rules after this one leave the price on the grid.
    snapped = on_grid(moved, least, most, current, grid, steps, tick)
    margin = larger(snapped, margin_low)
    advertised = larger(margin, advertised_low)
    floored = larger(advertised, low)
    return proper, moved, snapped, margin, advertised, floored, smaller(floored, high)


def held_price(price, in_force, planned, low, high, constants):
    """What a price that has used up its changes becomes: the current one, or, where that is nearer, what the rules make
    of the planned one; arguments as for `price_steps`.
    """
    followed = price_steps(planned, in_force, planned, low, high, constants)[-1]
    return where((planned > ZERO) & (abs(price - followed) < abs(price - in_force)), followed, in_force)


def turns_back(price, in_force, direction):
    """Whether a price would move against the direction: -1, 1, or 0 for any."""
    return (price - in_force) * direction < ZERO


def near_rival(price, rival, at_least, at_most, constants):
    """The price within two shares of a rival's, rounded to the grid inside them; a rival without a price binds nothing."""
    grid, steps, tick, _, _, _, _ = constants
    there = (rival < _LARGEST) & (price > ZERO) & (price < _LARGEST)
    # A stand-in where there is no rival: rounding must not meet an infinite number.
    known = where(there, rival, ONE)
    least, most = known * at_least, known * at_most
    asked = where(there, price, known)
    bound = clip(asked, least, most)
    inside = on_grid(bound, least, most, bound, grid, steps, tick)
    # Below the first price of the grid, the nearest is zero or less.
    inside = where(inside > ZERO, inside, bound)
    # The grid price that would be charged otherwise, which may lie outside although the proposal does not.
    charged = on_grid(asked, ZERO, _LARGEST, asked, grid, steps, tick)
    return where(
        there & ((bound != asked) | (charged < least * (ONE - SLACK)) | (charged > most * (ONE + SLACK))), inside, price
    )


def lowered_cap(cap, share, low, constants):
    """The cap of a smaller product whose price is at most a share of a larger one's, which is under its own cap."""
    if share == ONE:
        return cap
    grid, steps, tick, _, _, _, _ = constants
    most = larger(cap * share, low)
    return on_grid(most, low, most, low, grid, steps, tick)


def capped_price(price, cap, held, low):
    """The price under a cap, but not below its lower bound; a held price stays."""
    return where(held, price, larger(smaller(price, cap), low))


def raised_price(price, smaller_price, share, high, constants):
    """The price, raised until the smaller product's is at most a share of it."""
    if share == ONE:
        return larger(price, smaller_price)
    grid, steps, tick, _, _, _, _ = constants
    least = smaller(smaller_price / share, high)
    raised = on_grid(least, least, high, high, grid, steps, tick)
    return where(price * (ONE + SLACK) < least, larger(price, raised), price)


def capped_discount(discount, cap):
    """The discount cut to [0, cap]; NaN means no discount."""
    return smaller(where(discount > ZERO, discount, ZERO), cap)


def discount_steps(capped, least, price, low, spread):
    """The discount after the segment spread, and after the floor of the price paid; least: the smallest of the segments."""
    near = smaller(capped, least + spread)
    return near, smaller(near, larger(ONE - low / price, ZERO))

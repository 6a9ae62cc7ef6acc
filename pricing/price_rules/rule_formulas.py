"""The price rules, in the order in which they act, and their formulas for one product or for whole arrays.

A proposed price is brought near the rival's, held where it may not change (frozen, changes used up), kept from moving in a
direction that is not allowed, made a number, limited to the largest change and rounded to the grid. Then come the hard rules: margin, advertised price, floor, ceiling, product line. Discounts
come last.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..backend import ONE, ZERO, clip, larger, smaller, where
from .grids import ENDINGS, LADDER, TICK, PriceGrid, on_ending, on_ladder, on_tick

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
    "group_spread": "the average discounts of two protected groups differ by at most the cap",
}
BITS = {rule: np.uint16(1 << i) for i, rule in enumerate(RULES)}
"""The bit of each rule in a trail."""
DISCOUNT_RULES = ("max_discount", "segment_spread", "paid_floor", "group_spread")
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
    "group_spread",
)
"""Rules that no other rule can break."""
STEP_RULES = tuple(
    rule for rule in PRICE_RULES if rule not in ("frozen", "max_changes", "line_order", "rival_price", "direction")
)
"""The rules that `price_steps` applies."""
DIRECTIONS = {"any": np.float32(0), "falling": np.float32(-1), "rising": np.float32(1)}
"""The directions in which prices may move, and the sign of each."""
_LARGEST, _SMALLEST = np.float32(1e30), np.float32(1e-30)
SLACK = np.float32(1e-6)
"""A price that misses a gap by this share, which is rounding, keeps it."""
Array = NDArray[np.float64]
Prices = NDArray[np.float32]


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


def closer_discount(discount, least, apart, cap):
    """The discount drawn towards the smallest of the segments until two groups differ by at most the cap.

    All discounts of a product shrink by the same factor, the largest that keeps the cap: averages are linear in them.

    apart: the largest difference between the average discounts of two groups.
    """
    factor = where(apart > cap * (ONE + SLACK), cap / larger(apart, _SMALLEST), ONE)
    return where(factor < ONE, least + (discount - least) * factor, discount)


# Price links between products: a smaller product costs at most a share of what a larger one costs.
#
# A product line is a chain of links with share 1; a price gap is a link with another share.


Line = tuple[int, ...]
Gap = tuple[int, int, float]


@dataclass(frozen=True)
class PriceLinks:
    """L links: price[small] <= share * price[large].

    Args:
        small: (L,) product numbers.
        large: (L,) product numbers.
        share: (L,) shares.
        chained: Whether the links are chains of share 1, which one pass puts in order.

    Example:
        >>> links = PriceLinks.of([(0, 1)], [(1, 2, 0.5)])
        >>> list(links)
        [(0, 1, 1.0), (1, 2, 0.5)]
    """

    small: NDArray[np.int64]
    large: NDArray[np.int64]
    share: NDArray[np.float64]
    chained: bool

    @classmethod
    def of(cls, lines: Iterable[Line], gaps: Iterable[Gap]) -> PriceLinks:
        """The links of product lines, each from small to large, and of price gaps."""
        gaps = list(gaps)
        links = [(*pair, 1.0) for line in lines for pair in itertools.pairwise(line)] + gaps
        small, large = (np.array([link[i] for link in links], np.int64) for i in (0, 1))
        return cls(small, large, np.array([link[2] for link in links], np.float64), not gaps)

    def __iter__(self) -> Iterator[tuple[int, int, float]]:
        return zip(self.small.tolist(), self.large.tolist(), self.share.tolist(), strict=True)

    def __len__(self) -> int:
        return len(self.small)

    @property
    def members(self) -> NDArray[np.int64]:
        """The products that are linked."""
        return np.unique(np.concatenate([self.small, self.large]))

    def bounds(self, low: Array, high: Array, grid: PriceGrid) -> tuple[Array, Array]:
        """(N,) bounds with the links: where no lower one exceeds its upper one, all links
        can be kept.

        Args:
            low: (N,) lower bounds, prices of the grid.
            high: (N,) upper bounds, prices of the grid.
        """
        low, high = low.copy(), high.copy()
        changed = True
        while changed and not (low > high).any():
            before = low.copy(), high.copy()
            for small, large, share in self:
                least = low[small] if share == 1 else float(grid.rounded(low[small] / share, up=True))
                low[large] = max(low[large], least)
            for small, large, share in reversed(list(self)):
                whole = share == 1 or np.isinf(high[large])
                most = high[large] if whole else float(grid.rounded(high[large] * share, up=False))
                # NaN: the grid has no price that low.
                high[small] = min(high[small], most) if most == most else -np.inf
            changed = any((a * (1 + SLACK) < b).any() for a, b in ((before[0], low), (high, before[1])))
        return low, high

    def ordered(self, price: Array, high: Array, grid: PriceGrid) -> Array:
        """(N,) prices that keep all links: larger products are raised, within upper bounds that `bounds` made."""
        price = price.copy()
        while True:
            before = price.copy()
            for small, large, share in self:
                least = price[small] / share
                if share == 1:
                    price[large] = max(price[large], least)
                elif price[large] * (1 + SLACK) < least:
                    price[large] = max(price[large], min(float(grid.rounded(least, up=True)), high[large]))
            if self.chained or np.array_equal(price, before):
                return price

    def broken(self, price: NDArray[np.floating]) -> NDArray[np.bool_]:
        """(L,) which links these (N,) prices break."""
        slack = np.where(self.share == 1, 0.0, SLACK)
        return price[self.small] > self.share * price[self.large] * (1 + slack)

    def guarded(
        self, price: Prices, held: NDArray[np.bool_], low: Prices, high: Prices, constants: StepConstants
    ) -> Prices:
        """(E, N) prices that keep all links.

        A held price caps the smaller products, and gives way only to the bounds that the links
        leave; then larger products are raised.

        Args:
            price: (E, N) prices within their own bounds.
            held: (E, N) which prices should not change.
            low: (N,) lower bounds that the links leave.
            high: (N,) upper bounds that the links leave.
            constants: The price grid.
        """
        fitted = np.clip(price, low, high)
        cap = np.where(held, fitted, np.float32(np.inf))
        while True:
            before = cap.copy()
            for a, b, share in reversed(list(self)):
                limit = lowered_cap(cap[:, b], np.float32(share), low[a], constants)
                cap[:, a] = np.where(held[:, a], cap[:, a], np.minimum(cap[:, a], limit))
            if self.chained or np.array_equal(cap, before):
                break
        kept = price.copy()
        kept[:, self.members] = capped_price(fitted, cap, held, low)[:, self.members]
        while True:
            before = kept.copy()
            for a, b, share in self:
                kept[:, b] = raised_price(kept[:, b], kept[:, a], np.float32(share), high[b], constants)
            if self.chained or np.array_equal(kept, before):
                return kept


def check_links(lines: Iterable[Line], gaps: Iterable[Gap], called: Sequence[str]) -> None:
    """Check product lines and price gaps before they become links.

    Args:
        lines: Product numbers.
        gaps: Two product numbers and a share.
        called: What errors call the products.

    Raises:
        ValueError: A line or a gap cannot hold one of its products, or a share is not above 0.
    """
    count, seen = len(called), set()
    for line in lines:
        if len(line) < 2:
            raise ValueError(f"a line of products must hold at least two; got {len(line)}; complete or remove it")
        for product in line:
            if not 0 <= product < count:
                raise ValueError(f"a line of products must hold numbers below {count}; got {product}; remove it")
            if product in seen:
                raise ValueError(f"a product must belong to one line, once; got {called[product]} again; remove one")
            seen.add(product)
    for small, large, share in gaps:
        if not (0 <= small < count and 0 <= large < count):
            raise ValueError(f"a price gap must hold product numbers below {count}; got {small} and {large}; fix it")
        if small == large:
            raise ValueError(f"a price gap must hold two different products; got {called[small]} twice; fix it")
        if not 0 < share < np.inf:
            raise ValueError(f"a price gap must have a share above 0; got {share:g}; write 0.9 for 10% below")

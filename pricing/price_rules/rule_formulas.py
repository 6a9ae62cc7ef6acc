"""The price rules, their priorities, and the formulas of what they ask for, for one product or for whole arrays.

`projection` makes prices that keep as many of them as can be kept, the stronger ones first. Discounts come last.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backend import ONE, ZERO, larger, smaller, where
from ..planned_deals import DEAL
from .grids import PriceGrid
from .projection import MISSED, closed

RULES = {
    "frozen": "the price of a frozen product does not change, or only as planned",
    "max_changes": "a price that was changed as often as allowed within the window stays, or is the one planned anyway",
    "not_a_number": "a price that is not a positive finite number is replaced by the current price",
    "max_change": "the price changes by at most this share of the current price, or as far as is planned anyway",
    "price_ladder": "the price is a step of the price ladder, a multiple of the tick, or has one of the price endings",
    "minimum_margin": "the price leaves at least this margin over the unit cost",
    "minimum_advertised_price": "the list price is at least the minimum advertised price",
    "floor": "the price is at least the floor",
    "ceiling": "the price is at most the ceiling",
    "max_discount": "a personal discount lies between zero and the cap",
    "segment_spread": "the discounts of two segments differ by at most the cap",
    "paid_floor": "the price paid after the discount keeps the floor and the minimum margin",
    "rival_price": "the price stays within its shares of the lowest rival price that was last seen",
    "direction": "the price moves in one direction only, falling or rising, and else stays",
    "max_step": "the price leaves the planned one, or the planned regular one where a deal is dropped, by at most this share",
    "line_order": "a product costs no less than the smaller products of its line",
    "price_gap": "a product costs at most its share of what another product costs",
    "pack_price": "a larger pack costs at most as much per unit of size as a smaller one",
    "price_index": "the basket costs at most its share of what it is compared with",
    "group_spread": "the average discounts of two protected groups differ by at most the cap",
}
CODES = {rule: np.int32(i) for i, rule in enumerate(RULES)}
BITS = {rule: np.uint32(1 << i) for rule, i in CODES.items()}
"""The bit of each rule in a trail."""
DISCOUNT_RULES = ("max_discount", "segment_spread", "paid_floor", "group_spread")
PRICE_RULES = tuple(rule for rule in RULES if rule not in DISCOUNT_RULES)
PRICE_BITS = np.bitwise_or.reduce([BITS[rule] for rule in PRICE_RULES])
LINKING = ("line_order", "price_gap", "pack_price")
"""The rules that link the prices of two products."""
BOUNDS = ("minimum_margin", "minimum_advertised_price", "floor", "ceiling")
"""The rules that bound a price whatever the market does."""
ALWAYS = ("not_a_number", "price_ladder", *DISCOUNT_RULES)
"""The rules that can always be kept, whatever the others ask for, so that they have no rank."""
PRIORITIES: dict[str, str | int] = dict.fromkeys((*BOUNDS, "line_order", "price_gap"), "hard")
PRIORITIES |= {"frozen": 1, "max_changes": 2, "direction": 3, "max_change": 4}
PRIORITIES |= {"pack_price": 5, "rival_price": 6, "price_index": 7, "max_step": 8}
"""The priority of each rule that can contradict others, unless the shop gives another: `law` and `hard` come before the
ranks of soft rules, 1 before 2; of rules of one priority, the one that stands first here comes first."""
DIRECTIONS = {"any": np.float32(0), "falling": np.float32(-1), "rising": np.float32(1)}
"""The directions in which prices may move, and the sign of each."""
LARGEST = np.float32(1e30)
_SMALLEST = np.float32(1e-30)
SLACK = np.float32(MISSED)
Array = NDArray[np.float64]
Prices = NDArray[np.float32]


def is_firm(priority: str | int) -> bool:
    """Whether a rule of this priority is never to be broken: law or hard.

    Example:
        >>> is_firm("hard"), is_firm(3)
        (True, False)
    """
    return priority in ("law", "hard")


def in_order(priority: Mapping[str, str | int]) -> tuple[str, ...]:
    """The rules that can contradict one another, the strongest first.

    Args:
        priority: Priorities that differ from `PRIORITIES`, by rule: law, hard, or a rank from 1 on.

    Raises:
        ValueError: A rule is unknown or can always be kept, or a priority is none.

    Example:
        >>> in_order({"rival_price": "law", "floor": 9})[:2]
        ('rival_price', 'minimum_margin')
    """
    for rule, given in priority.items():
        if rule in ALWAYS:
            raise ValueError(f"priority takes rules that can contradict others; got {rule}, always kept; leave it out")
        if rule not in PRIORITIES:
            near = difflib.get_close_matches(rule, PRIORITIES, n=1, cutoff=0)[0]
            raise ValueError(f"priority.{rule} is no price rule; did you mean {near}?")
        whole = isinstance(given, int) and not isinstance(given, bool) and given >= 1
        if not whole and not is_firm(given):
            raise ValueError(f"priority.{rule} must be law, hard or a whole number from 1 on; got {given!r}; fix it")
    levels = PRIORITIES | dict(priority)
    firm = {"law": -1, "hard": 0}
    return tuple(sorted(levels, key=lambda rule: firm.get(str(levels[rule]), levels[rule])))


def change_range(in_force, planned, change):
    """The range that the largest change allows; planned: the price that is planned anyway, NaN for none."""
    least = in_force * (ONE - change)
    most = in_force * (ONE + change)
    return where(planned < least, planned, least), where(planned > most, planned, most)


def step_ranges(planned: Array, regular: Array, step: Array) -> NDArray[np.float64]:
    """(2, 2, T, N) the lowest and highest prices near a plan: where no deal is announced, and where one is.

    Without a deal, prices stay near the plan's regular ones. A deal that is planned stays near its planned price, and a deal;
    one that is moved to another period may have any price that is one.

    Args:
        planned: (T, N) planned prices, currency per unit.
        regular: (T, N) planned regular prices.
        step: (N,) the share by which prices may leave them.

    Example:
        >>> ranges = step_ranges(np.array([[10.0], [8.0]]), np.array([[10.0], [10.0]]), np.array([0.05]))
        >>> ranges[0].round(2).tolist(), ranges[1].round(2).tolist()
        ([[[9.5], [9.5]], [[10.5], [10.5]]], [[[0.0], [7.6]], [[9.8], [8.4]]])
    """
    steady = np.stack([regular * (1 - step), regular * (1 + step)])
    deal = DEAL * regular
    near = np.stack([planned * (1 - step), np.maximum(planned, np.minimum(planned * (1 + step), deal))])
    on_deal = planned < regular
    moved = np.stack([np.zeros_like(planned), deal])
    return np.maximum(np.stack([steady, np.where(on_deal, near, moved)]), 0.0)


def rival_range(rival, at_least, at_most):
    """The range that the shares of a rival's price allow; a rival without a price binds nothing."""
    there = rival < LARGEST
    known = where(there, rival, ONE)
    return where(there, known * at_least, ZERO), where(there, known * at_most, LARGEST)


def direction_range(in_force, direction):
    """The range that a direction allows: -1 for falling, 1 for rising."""
    return where(direction > ZERO, in_force, ZERO), where(direction < ZERO, in_force, LARGEST)


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
        rule: (L,) codes of their rules.

    Example:
        >>> links = PriceLinks.of([(0, 1)], [(1, 2, 0.5)])
        >>> list(links)
        [(0, 1, 1.0), (1, 2, 0.5)]
    """

    small: NDArray[np.int64]
    large: NDArray[np.int64]
    share: NDArray[np.float64]
    rule: NDArray[np.int32]

    @classmethod
    def of(cls, lines: Iterable[Line], gaps: Iterable[Gap], packs: Iterable[Gap] = ()) -> PriceLinks:
        """The links of product lines, each from small to large, of price gaps and of packs."""
        links = [(*pair, 1.0, "line_order") for line in lines for pair in itertools.pairwise(line)]
        links += [(*gap, "price_gap") for gap in gaps] + [(*pack, "pack_price") for pack in packs]
        small, large = (np.array([link[i] for link in links], np.int64) for i in (0, 1))
        share = np.array([link[2] for link in links], np.float64)
        rule = [CODES[link[3]] for link in links]
        return cls(small, large, share, np.array(rule, np.int32))

    def __iter__(self) -> Iterator[tuple[int, int, float]]:
        return zip(self.small.tolist(), self.large.tolist(), self.share.tolist(), strict=True)

    def __len__(self) -> int:
        return len(self.small)

    def __getitem__(self, kept: NDArray[Any]) -> PriceLinks:
        return PriceLinks(self.small[kept], self.large[kept], self.share[kept], self.rule[kept])

    @property
    def lists(self) -> tuple[list[int], list[int], list[float], list[int]]:
        """The four columns, as `projection` takes them."""
        return self.small.tolist(), self.large.tolist(), self.share.tolist(), self.rule.tolist()

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
        lower = low.tolist()
        upper = high.tolist()
        closed(lower, upper, [0.0] * len(self), self.lists, ([], []), grid)
        return np.array(lower), np.array(upper)

    def broken(self, price: NDArray[np.floating]) -> NDArray[np.bool_]:
        """(…, L) which links these (…, N) prices break."""
        return self.excess(price) > np.where(self.share == 1, 0.0, MISSED * price[..., self.small])

    def excess(self, price: NDArray[np.floating]) -> Array:
        """(…, L) by how much (…, N) prices miss each link, currency per unit of the smaller product; 0 or less if kept."""
        price = np.asarray(price, dtype=np.float64)
        return price[..., self.small] - self.share * price[..., self.large]


def check_links(lines: Iterable[Line], gaps: Iterable[Gap], called: Sequence[str]) -> None:
    """Check product lines and price gaps before they become links.

    Args:
        lines: Product numbers.
        gaps: Two product numbers and a share.
        called: What errors call the products.

    Raises:
        ValueError: A line or a gap cannot hold one of its products, or a share is not above 0.
    """
    count = len(called)
    seen = set()
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

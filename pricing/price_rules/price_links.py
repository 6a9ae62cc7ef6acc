"""Price links between products: a smaller product costs at most a share of what a larger one costs.

A product line is a chain of links with share 1; a price gap is a link with another share.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .grids import PriceGrid
from .rule_formulas import SLACK, StepConstants, capped_price, lowered_cap, raised_price

Prices = NDArray[np.float32]


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
    def of(cls, lines: Iterable[tuple[int, ...]], gaps: Iterable[tuple[int, int, float]]) -> PriceLinks:
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

    def bounds(
        self, low: NDArray[np.float64], high: NDArray[np.float64], grid: PriceGrid
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
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

    def ordered(self, price: NDArray[np.float64], high: NDArray[np.float64], grid: PriceGrid) -> NDArray[np.float64]:
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


def check_links(
    lines: Iterable[tuple[int, ...]], gaps: Iterable[tuple[int, int, float]], called: Sequence[str]
) -> None:
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
                raise ValueError(
                    f"a line of products must hold product numbers below {count}; got {product}; remove it"
                )
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

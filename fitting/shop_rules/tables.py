"""The tables of a file of rules: what may stand in each, with its bounds and its meaning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...scenarios.fields import array, scalar, value


@dataclass(frozen=True)
class ProductRules:
    """Rules for a product, the products of a category, or all: None where none is given.

    Example:
        >>> ProductRules(band=0.03).max_change is None
        True
    """

    unit_cost_share: NDArray[np.float64] | None = array(
        "L",
        "unit cost over the regular price where the tables give none: a share, or its lowest and highest value",
        low=0,
        high=1,
        default=None,
    )
    widening: float | None = scalar(
        "fraction by which prices may leave the range that was mostly charged", low=0, high=10, default=None
    )
    lowest_price: float | None = scalar("price floor over the regular price", low=0.01, high=1, default=None)
    highest_price: float | None = scalar("price ceiling over the regular price", low=1, high=10, default=None)
    band: float | None = scalar(
        "fraction by which the price may leave the regular price: tight for key-value items",
        low=0,
        high=10,
        default=None,
    )
    max_change: float | None = scalar("largest relative price change per period", low=0, high=1e3, default=None)
    max_step: float | None = scalar(
        "largest relative move from the planned price of a period; large for none", low=0, high=1e3, default=None
    )
    floor: float | None = scalar("lowest price, currency per unit", low=1e-9, high=1e9, default=None)
    ceiling: float | None = scalar("highest price, currency per unit", low=1e-9, high=1e9, default=None)
    minimum_advertised_price: float | None = scalar(
        "lowest list price, currency per unit, which personal discounts may undercut", low=0, high=1e9, default=None
    )
    rival_at_least: float | None = scalar(
        "least share of the competing price that was last known", low=0, high=1e3, default=None
    )
    rival_at_most: float | None = scalar(
        "largest share of it: 0.98 stays 2% below; it comes first", low=1e-3, high=1e3, default=None
    )
    frozen: bool | None = value("whether the price must not change", default=None)
    excluded: bool | None = value("whether it is left out of the market", default=None)


@dataclass(frozen=True)
class GroupRules(ProductRules):
    """Rules for a list of products, such as the key-value items.

    Example:
        >>> GroupRules(products=("milk", "951590"), max_change=0.05).products
        ('milk', '951590')
    """

    products: tuple[str, ...] = value("list of ids or names of its products", kw_only=True)


@dataclass(frozen=True)
class ShopWide(ProductRules):
    """Rules that hold for the shop as a whole, beside those of any product.

    Example:
        >>> ShopWide(max_discount=0.1).categories
        ()
    """

    categories: tuple[str, ...] = value("the only categories to price; by default the best sellers'", default=())
    objective: str | None = value("revenue or profit", default=None)
    max_discount: float | None = scalar("largest personal discount, a fraction", low=0, high=0.95, default=None)
    protected: tuple[str, ...] = value(
        "columns of the customers table whose groups are protected: no segment, price or recommendation depends on them",
        default=(),
    )
    lines: tuple[tuple[str, ...], ...] = value(
        "lists of products, small to large, along which prices must not fall", default=()
    )


@dataclass(frozen=True)
class PackRule:
    """Sizes of one article: a larger pack is never dearer per unit of size than the next smaller one.

    Example:
        >>> PackRule(("cola 0.5 l", "cola 2 l"), np.array([0.5, 2.0])).pairs
        [('cola 2 l', 'cola 0.5 l', 4.0)]
    """

    products: tuple[str, ...] = value("list of ids or names of the packs, small to large")
    sizes: NDArray[np.float64] = array("Q", "list of their sizes, in any unit, rising", low=1e-6, high=1e6)

    @property
    def pairs(self) -> list[tuple[str, str, float]]:
        """Each larger pack, the next smaller one, and its size over that one's."""
        steps = zip(self.products, self.products[1:], self.sizes[1:] / self.sizes[:-1], strict=False)
        return [(large, small, float(share)) for small, large, share in steps]


@dataclass(frozen=True)
class IndexRule:
    """The largest index of the basket: what it costs over what it costs elsewhere, or cost before.

    Example:
        >>> IndexRule(rival_at_most=1.02).year_at_most is None
        True
    """

    rival_at_most: float | None = scalar(
        "largest index against competing prices: 1.02 is 2% dearer", low=0.01, high=100, default=None
    )
    month_at_most: float | None = scalar("largest index against a month ago", low=0.01, high=100, default=None)
    year_at_most: float | None = scalar("largest index against a year ago", low=0.01, high=100, default=None)


@dataclass(frozen=True)
class GapRule:
    """A price gap: per unit of size, a product costs at most a share of what another one costs.

    Example:
        >>> GapRule("own cola", "cola", at_most=0.9, product_size=2.0).share
        1.8
    """

    product: str = value("id or name of the product")
    other: str = value("id or name of the other product, which is raised where the first would cost too much")
    at_most: float = scalar(
        "most that it may cost, as a share of the other, per unit of size; 0.9 is 10% below",
        low=0.01,
        high=100,
        default=1.0,
    )
    product_size: float = scalar("size of the product, in any unit", low=1e-6, high=1e6, default=1.0)
    other_size: float = scalar("size of the other product, in the same unit", low=1e-6, high=1e6, default=1.0)

    @property
    def share(self) -> float:
        """The product's price over the other one's, at most."""
        return self.at_most * self.product_size / self.other_size

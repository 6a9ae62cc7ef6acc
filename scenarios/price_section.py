"""The section `[prices]` of a market description: which prices are allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..pricing import DIRECTIONS, PriceEndings, PriceLadder
from .errors import ScenarioError
from .fields import array, as_numbers, choice, scalar, shown, value

Array = NDArray[np.float64]
_MOST_STEPS = 100_000


@dataclass(frozen=True)
class Prices:
    """Allowed prices: at most one grid (price_ladder, tick, price_endings), and further rules."""

    price_ladder: PriceLadder | None = value("allowed prices: a list, or {start, stop, step}", default=None)
    floor: Array | None = array(
        "N",
        "lowest price, currency per unit; by default the ladder's first step, or a quarter of the regular price",
        low=1e-9,
        high=1e9,
        optional=True,
    )
    ceiling: Array | None = array(
        "N",
        "highest price, currency per unit; by default the ladder's last step, or four times the regular price",
        low=1e-9,
        high=1e9,
        optional=True,
    )
    tick: float | None = scalar("prices are multiples of this, in currency per unit", low=1e-6, high=1e6, optional=True)
    price_endings: PriceEndings | None = value(
        "fractions that prices may end in, for example [0.49, 0.99]", default=None
    )
    minimum_margin: float | None = scalar("smallest (price - cost) / price", low=0, high=0.999, optional=True)
    minimum_advertised_price: Array | None = array(
        "N",
        "lowest list price, currency per unit, which personal discounts may undercut; 0 is none",
        low=0,
        high=1e9,
        optional=True,
    )
    max_change: Array | None = array("N", "largest relative price change per period", low=0, high=1e3, optional=True)
    direction: str = choice(
        "in which direction list prices may move, from the regular prices on", *DIRECTIONS, default="any"
    )
    max_changes: int | None = scalar(
        "largest number of changes of a product's price within the window; needs change_window_periods",
        low=1,
        high=1e3,
        optional=True,
    )
    change_window_periods: int | None = scalar(
        "length of the window in periods, the current one included", low=2, high=1e3, optional=True
    )
    frozen: tuple[str, ...] = value("products whose price must not change", default=())
    line_order: tuple[tuple[str, ...], ...] = value(
        "lists of products, small to large, along which list prices must not fall", default=()
    )
    price_gaps: tuple[tuple[str, ...], ...] = value(
        "pairs of products: the list price of the first is at most a share (gap_shares) of the second's, which is raised "
        "where it is more",
        default=(),
    )
    gap_shares: Array = array(
        "G",
        "that share of each pair: 0.9 for a private label at least 10% below the brand, 3 for a pack three times as large",
        low=1e-3,
        high=1e3,
        default=1.0,
    )
    rival_at_least: Array | None = array(
        "N",
        "least share of the lowest competing price of the product that was last seen; 0 is none; needs [competitors]",
        low=0,
        high=1e9,
        optional=True,
    )
    rival_at_most: Array | None = array(
        "N",
        "largest share of it: 0.98 stays 2% below the competitor; other rules come first",
        low=1e-3,
        high=1e9,
        optional=True,
    )
    max_discount: float = scalar("largest personal discount, as a fraction; 0 is none", low=0, high=0.95, default=0.0)
    max_segment_spread: float = scalar("largest difference between two segments' discounts", low=0, high=1, default=1.0)
    prior_price_periods: int | None = scalar(
        "number of periods in 30 days: a price reduction must state their lowest price", low=1, high=1e3, optional=True
    )


def ladder_of(content: Any) -> PriceLadder:
    """The ladder that a list of prices, or a table of start, stop and step, describes; a ladder stays as it is."""
    if isinstance(content, PriceLadder):
        return content
    key = "prices.price_ladder"
    ends = ("start", "stop", "step")
    if isinstance(content, Mapping):
        if set(content) != set(ends):
            raise ScenarioError(f"{key} takes start, stop, step; got {', '.join(content) or 'none'}; name all three")
        content = [content[end] for end in ends]
        if as_numbers(content, key).shape != (3,):
            raise ScenarioError(f"{key} takes three numbers as start, stop, step; got {shown(content)}; fix them")
        start, stop, step = content
        if step > 0 and not (stop - start) / step < _MOST_STEPS:
            raise ScenarioError(f"{key} must have less than {_MOST_STEPS} steps; got {shown(content)}; raise the step")
    else:
        content = as_numbers(content, key)
    try:
        return PriceLadder.from_range(*content) if isinstance(content, list) else PriceLadder(content)
    except ValueError as error:
        raise ScenarioError(f"prices.{error}") from error

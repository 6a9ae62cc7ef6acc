"""The sections `[prices]` and `[law]` of a market description: which prices are allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..pricing import DIRECTIONS, PriceEndings, PriceLadder
from ..pricing.law import SOURCES
from .fields import FACTOR, MONEY, PRICE, SHARE, ScenarioError, array, as_numbers, choice, flag, scalar, shown, value

Array = NDArray[np.float64]
_MOST_LADDER_STEPS = 100_000


@dataclass(frozen=True)
class Prices:
    """Allowed prices: at most one grid (price_ladder, tick, price_endings), and further rules."""

    price_ladder: PriceLadder | None = value("allowed prices: a list, or {start, stop, step}", default=None)
    floor: Array | None = array(
        "N", "lowest price, currency per unit; by default the ladder's first, or regular / 4", *PRICE, default=None
    )
    ceiling: Array | None = array(
        "N", "highest price, currency per unit; by default the ladder's last, or 4 x regular", *PRICE, default=None
    )
    tick: float | None = scalar("prices are multiples of this, in currency per unit", 1e-6, 1e6, default=None)
    price_endings: PriceEndings | None = value("fractions that prices may end in, as [0.49, 0.99]", default=None)
    minimum_margin: float | None = scalar("smallest (price - cost) / price", 0, 0.999, default=None)
    minimum_advertised_price: Array | None = array(
        "N", "lowest list price before personal discounts, currency per unit; 0 is none", *MONEY, default=None
    )
    max_change: Array | None = array("N", "largest relative price change per period", *FACTOR, default=None)
    max_step: Array | None = array(
        "N",
        "largest relative move from the planned price, or regular price where a deal is dropped",
        *FACTOR,
        default=None,
    )
    direction: str = choice("in which direction list prices may move, from regular on", *DIRECTIONS)
    max_changes: int | None = scalar(
        "most changes of a product's price in change_window_periods, which it needs", 1, 1e3, default=None
    )
    change_window_periods: int | None = scalar(
        "length of that window in periods, this one included", 2, 1e3, default=None
    )
    frozen: tuple[str, ...] = value("products whose price must not change", default=())
    frozen_as_planned: bool = flag(
        "whether these have the planned price of each period, needing [plan]; else the price before the first",
        default=False,
    )
    frozen_because: Mapping[str, str] | None = value(
        "by product of frozen: why it keeps its price, in a clause", default=None
    )
    bounds_from_sales: tuple[str, ...] = value(
        "products whose floor, ceiling and freeze come from the sales: a person may leave them", default=()
    )
    line_order: tuple[tuple[str, ...], ...] = value(
        "lists of products, small to large, whose list prices must not fall", default=()
    )
    price_gaps: tuple[tuple[str, ...], ...] = value(
        "pairs: the first costs at most a share (gap_shares) of the second", default=()
    )
    gap_shares: Array = array(
        "G", "that share of each pair: 0.9 is 10% below, 3 fits a pack three times as large", 1e-3, 1e3, default=1.0
    )
    packs: tuple[tuple[str, ...], ...] = value(
        "pairs: a larger pack and a smaller one, per unit of size of which it costs at most as much", default=()
    )
    pack_shares: Array = array(
        "P", "size of the larger pack over that of the smaller one, of each pair", 1e-3, 1e3, default=1.0
    )
    index_names: tuple[str, ...] = value("what each basket is compared with, as rival or month", default=())
    index_weights: Array | None = array(
        "IN", "weights of each basket, so that their sum over prices is its index: 1 is as dear", 0, 1e9, default=None
    )
    index_at_most: Array | None = array("I", "largest index of each basket", 1e-3, 1e3, default=None)
    priority: Mapping[str, str | int] | None = value(
        "by rule: law, hard, or the rank of a soft rule, of which 1 gives way last", default=None
    )
    rival_at_least: Array | None = array(
        "N", "least share of the lowest competing price last seen; 0 is none; needs [competitors]", *MONEY, default=None
    )
    rival_at_most: Array | None = array("N", "largest share of it: 0.98 is 2% below", 1e-3, 1e9, default=None)
    max_discount: float = scalar("largest personal discount, as a fraction; 0 is none", 0, 0.95, default=0.0)
    max_segment_spread: float = scalar("largest difference between two segments' discounts", *SHARE, default=1.0)
    max_group_spread: float = scalar(
        "largest difference between two protected groups' average discounts; 1 is none", *SHARE, default=1.0
    )
    prior_price_periods: int | None = scalar(
        "periods in 30 days, whose lowest price a reduction must state", 1, 1e3, default=None
    )


@dataclass(frozen=True)
class LawSection:
    """Where the prices are charged, and what the law there needs to know: see `repricer.pricing.law`; no legal advice."""

    jurisdictions: tuple[str, ...] = value("whose law holds: EU, NY (New York), MD (Maryland), CA (California)")
    food_store: bool = flag(
        "whether it sells food, as Maryland's law has it; true where that is not known", default=True
    )
    perishable: tuple[str, ...] = value(
        "products that spoil soon, where the member state has a reduction start from the price before it", default=()
    )
    progressive: bool = flag(
        "whether the member state lets a reduction that is increased keep the prior price of its first step",
        default=False,
    )
    competitor_table: str = value("table that competitors' prices were read from; empty: none was", default="")
    competitor_source: str = choice("where competitors' prices come from, as the shop says", *SOURCES)


def ladder_of(content: Any) -> PriceLadder:
    """The ladder that a list of prices, or a table of start, stop and step, describes; a ladder stays as it is."""
    if isinstance(content, PriceLadder):
        return content
    key = "prices.price_ladder"
    names = ("start", "stop", "step")
    is_range = isinstance(content, Mapping)
    numbers: Any
    if is_range:
        if set(content) != set(names):
            raise ScenarioError(f"{key} takes start, stop, step; got {', '.join(content) or 'none'}; name all three")
        numbers = [content[name] for name in names]
        if as_numbers(numbers, key).shape != (3,):
            raise ScenarioError(f"{key} takes three numbers as start, stop, step; got {shown(numbers)}; fix them")
        start, stop, step = numbers
        if step > 0 and not (stop - start) / step < _MOST_LADDER_STEPS:
            raise ScenarioError(
                f"{key} must have less than {_MOST_LADDER_STEPS} steps; got {shown(numbers)}; raise the step"
            )
    else:
        numbers = as_numbers(content, key)
    try:
        return PriceLadder.from_range(*numbers) if is_range else PriceLadder(numbers)
    except ValueError as error:
        raise ScenarioError(f"prices.{error}") from error

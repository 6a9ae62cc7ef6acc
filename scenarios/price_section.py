"""The sections `[prices]` and `[history]` of a market description: which prices are allowed, and what the shop did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..pricing import DIRECTIONS, PriceEndings, PriceLadder
from .fields import ScenarioError, array, as_numbers, choice, scalar, shown, value

Array = NDArray[np.float64]
_MOST_STEPS = 100_000


@dataclass(frozen=True)
class Prices:
    """Allowed prices: at most one grid (price_ladder, tick, price_endings), and further rules."""

    price_ladder: PriceLadder | None = value("allowed prices: a list, or {start, stop, step}", default=None)
    floor: Array | None = array(
        "N",
        "lowest price, currency per unit; by default the ladder's first step, or a quarter of the regular price",
        1e-9,
        1e9,
        optional=True,
    )
    ceiling: Array | None = array(
        "N",
        "highest price, currency per unit; by default the ladder's last step, or four times the regular price",
        1e-9,
        1e9,
        optional=True,
    )
    tick: float | None = scalar("prices are multiples of this, in currency per unit", 1e-6, 1e6, optional=True)
    price_endings: PriceEndings | None = value(
        "fractions that prices may end in, for example [0.49, 0.99]", default=None
    )
    minimum_margin: float | None = scalar("smallest (price - cost) / price", 0, 0.999, optional=True)
    minimum_advertised_price: Array | None = array(
        "N",
        "lowest list price, currency per unit, which personal discounts may undercut; 0 is none",
        0,
        1e9,
        optional=True,
    )
    max_change: Array | None = array("N", "largest relative price change per period", 0, 1e3, optional=True)
    direction: str = choice(
        "in which direction list prices may move, from the regular prices on", *DIRECTIONS, default="any"
    )
    max_changes: int | None = scalar(
        "largest number of changes of a product's price within the window; needs change_window_periods",
        1,
        1e3,
        optional=True,
    )
    change_window_periods: int | None = scalar(
        "length of the window in periods, the current one included", 2, 1e3, optional=True
    )
    frozen: tuple[str, ...] = value("products whose price must not change", default=())
    bounds_from_sales: tuple[str, ...] = value(
        "products whose floor, ceiling and freeze come from the sales, not from a rule of the shop: a person may leave them",
        default=(),
    )
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
        1e-3,
        1e3,
        default=1.0,
    )
    rival_at_least: Array | None = array(
        "N",
        "least share of the lowest competing price of the product that was last seen; 0 is none; needs [competitors]",
        0,
        1e9,
        optional=True,
    )
    rival_at_most: Array | None = array(
        "N", "largest share of it: 0.98 stays 2% below the competitor; other rules come first", 1e-3, 1e9, optional=True
    )
    max_discount: float = scalar("largest personal discount, as a fraction; 0 is none", 0, 0.95, default=0.0)
    max_segment_spread: float = scalar("largest difference between two segments' discounts", 0, 1, default=1.0)
    prior_price_periods: int | None = scalar(
        "number of periods in 30 days: a price reduction must state their lowest price", 1, 1e3, optional=True
    )


MENTIONED_FROM = 0.1
"""Smallest probability that prices followed demand which is mentioned."""
MOST_BIAS = 1.5
"""A proof that sells this many times what was sold, or less than one over it, is no chance."""


@dataclass(frozen=True)
class HistorySection:
    """What the shop itself does in the simulated periods: a benchmark, and in past periods a check of the fit."""

    price: Array = array("TN", "the shop's own price, charged or planned, currency per unit", 1e-9, 1e9)
    units: Array | None = array("TN", "units sold; none in periods that are still to come", 0, 1e12, optional=True)
    promotion: Array = array("TN", "share of stores with the product on display or in the mailer", 0, 1, default=0.0)
    feature_lift: Array = array(
        "N",
        "utility that a display or mailer in all stores adds, which a dropped deal takes with it, where they are no decision",
        0,
        20,
        default=0.0,
    )
    funding: Array = array(
        "TN", "what the supplier pays for a unit sold on the planned deal, currency", 0, 1e9, default=0.0
    )
    past_units: Array | None = array(
        "YN",
        "units sold in as many periods: the last ones; in those of the plan a year ago; in the last ones a year before",
        0,
        optional=True,
    )
    past_revenue: Array | None = array("YN", "revenue of the same, currency", 0, optional=True)
    past_deals: Array | None = array("YN", "share of the periods on deal", 0, 1, optional=True)
    regular_moves: int | None = scalar(
        "times that a regular price moved in the sales, by product, store and eight weeks", 0, optional=True
    )
    prior_share: float = scalar("share of the prior in the response to regular prices", 0, 1, default=0.0)
    zones: int = scalar("price zones fitted together, of which this is one", 1, default=1)
    account_error: float | None = scalar(
        "logarithm of realised over predicted revenue in the last account", optional=True
    )
    account_spread: float = scalar("standard error of that prediction", 0, default=0.0)
    past_price: Array | None = array(
        "BN",
        "the prices charged in the B periods before the first, oldest first, currency per unit",
        1e-9,
        1e9,
        optional=True,
    )
    charged_low: Array | None = array(
        "N", "low end of the prices mostly charged before, currency per unit", 0, 1e9, optional=True
    )
    charged_high: Array | None = array(
        "N", "high end of the prices mostly charged before, currency per unit", 0, 1e9, optional=True
    )
    level_low: Array | None = array(
        "C",
        "low end of the mean price of a category over its regular prices, as it mostly was before",
        0,
        1e9,
        optional=True,
    )
    level_high: Array | None = array("C", "high end of the same", 0, 1e9, optional=True)
    follows_demand: float | None = scalar(
        "probability, by the sales, that prices were set by the demand of the same week", 0, 1, optional=True
    )
    follows_demand_before: float | None = scalar("the same before the sales were seen", 0, 1, optional=True)
    proof_bias: float | None = scalar(
        "units simulated over units sold in the held-out weeks, less 1", -1, optional=True
    )
    proof_spread: float = scalar("standard error, in logs, of the units predicted for them", 0, default=0.0)
    unidentified: tuple[str, ...] | None = value(
        "products that keep their price because the sales do not tell how customers respond to other ones, others do by a "
        "rule; none where this is not known",
        default=None,
    )
    tables_sha256: str = value("fingerprint of the tables that the market was fitted on; empty if none", default="")

    @property
    def may_follow_demand(self) -> bool:
        """Whether it is likely enough that prices followed demand to be mentioned."""
        return self.follows_demand is not None and self.follows_demand >= MENTIONED_FROM

    @property
    def doubt(self) -> str:
        """Why no result in this market can be relied on, in a sentence; empty where nothing speaks against it."""
        if self.proof_bias is None or 1 / MOST_BIAS <= 1 + self.proof_bias <= MOST_BIAS:
            return ""
        return (
            f"Do not rely on this: at the prices charged in the held-out weeks, the market sold {1 + self.proof_bias:.2g} "
            "times what the shop sold; look for wrong dates, gaps or double lines in the sales, correct them and fit again."
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

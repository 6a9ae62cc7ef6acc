"""The sections `[prices]`, `[law]` and `[history]` of a market description: which prices are allowed, and what the shop did."""

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
        "whether these have the planned price of each period, needing [history]; else the price before the first",
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


MENTIONED_FROM = 0.1
"""Smallest probability that prices followed demand which is mentioned."""
MOST_BIAS = 1.5
"""A proof that sells this many times what was sold, or less than one over it, is no chance."""


@dataclass(frozen=True)
class HistorySection:
    """What the shop itself does in the simulated periods: a benchmark, and in past periods a check of the fit."""

    price: Array = array("TN", "the shop's own price, charged or planned, currency per unit", *PRICE)
    units: Array | None = array("TN", "units sold; none in periods that are still to come", 0, 1e12, default=None)
    promotion: Array = array(
        "TN",
        "share of stores with the product on display or in the mailer; kinds weighed by utility",
        *SHARE,
        default=0.0,
    )
    feature_lift: Array = array(
        "N",
        "utility of a display or mailer (of all kinds together) in all stores, lost with a dropped deal",
        0,
        20,
        default=0.0,
    )
    funding: Array = array("TN", "what the supplier pays for a unit on the planned deal, currency", *MONEY, default=0.0)
    past_units: Array | None = array(
        "YN", "units of as many periods: the last; the plan's a year ago; the last a year before", 0, default=None
    )
    past_revenue: Array | None = array("YN", "revenue of the same, currency", 0, default=None)
    past_profit: Array | None = array(
        "YN", "profit of the same, currency, at the unit costs that were booked then", default=None
    )
    past_deals: Array | None = array("YN", "share of the periods on deal", *SHARE, default=None)
    regular_moves: int | None = scalar(
        "moves of regular prices in the sales, by product, store and eight weeks", 0, default=None
    )
    prior_share: float = scalar("share of the prior in the response to regular prices", *SHARE, default=0.0)
    zones: int = scalar("price zones fitted together, of which this is one", 1, default=1)
    account_error: float | None = scalar("log of realised over predicted revenue in the last account", default=None)
    account_spread: float = scalar("standard error of that prediction", 0, default=0.0)
    past_price: Array | None = array(
        "BN", "prices of the B periods before the first, oldest first, currency per unit", *PRICE, default=None
    )
    past_rival_price: Array | None = array(
        "BN", "competing prices then known, currency per unit; 0 is none", *MONEY, default=None
    )
    rival_price: Array | None = array(
        "N", "competing price last known, currency per unit; 0 is none", *MONEY, default=None
    )
    month_ago_price: Array | None = array(
        "N", "price 28 days before the first period, currency per unit; 0 is none", *MONEY, default=None
    )
    year_ago_price: Array | None = array("N", "the same 364 days before", *MONEY, default=None)
    basket_units: Array | None = array("N", "units of the year before: the basket of the price index", 0, default=None)
    charged_low: Array | None = array(
        "N", "low end of the prices mostly charged before, currency per unit", *MONEY, default=None
    )
    charged_high: Array | None = array("N", "high end of them, currency per unit", *MONEY, default=None)
    level_low: Array | None = array(
        "C", "low end of a category's mean price over its regular ones, as mostly before", *MONEY, default=None
    )
    level_high: Array | None = array("C", "high end of the same", *MONEY, default=None)
    follows_demand: float | None = scalar(
        "probability, by the sales, that prices followed the week's demand", *SHARE, default=None
    )
    follows_demand_before: float | None = scalar("the same before the sales were seen", *SHARE, default=None)
    proof_bias: float | None = scalar("units simulated over sold in the held-out weeks, less 1", -1, default=None)
    proof_spread: float = scalar("standard error, in logs, of the units predicted for them", 0, default=0.0)
    proof_wape: float | None = scalar("WAPE of the forecasts of the held-out weeks", 0, default=None)
    yardstick_wape: float | None = scalar("that of a pooled log-log regression", 0, default=None)
    placebo_effect: float | None = scalar(
        "elasticity of units in the next period's price, which should be 0", default=None
    )
    placebo_p: float = scalar("p-value of that effect", *SHARE, default=1.0)
    unidentified: tuple[str, ...] | None = value(
        "products kept at their price as the sales tell of no response; none: not known", default=None
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
        if step > 0 and not (stop - start) / step < _MOST_LADDER_STEPS:
            raise ScenarioError(
                f"{key} must have less than {_MOST_LADDER_STEPS} steps; got {shown(content)}; raise the step"
            )
    else:
        content = as_numbers(content, key)
    try:
        return PriceLadder.from_range(*content) if isinstance(content, list) else PriceLadder(content)
    except ValueError as error:
        raise ScenarioError(f"prices.{error}") from error

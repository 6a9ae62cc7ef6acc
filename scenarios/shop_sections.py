"""The sections `[plan]`, `[past]` and `[evidence]` of a market description: what a shop does in the simulated periods, what it
did before them, and how far the fit to its sales can be trusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from .fields import MONEY, PRICE, SHARE, array, scalar, value
from .sections import Array

MENTIONED_FROM = 0.1
"""Smallest probability that prices followed demand which is mentioned."""
MOST_BIAS = 1.5
"""A proof that sells this many times what was sold, or less than one over it, is no chance."""
HISTORY = "history"
"""The section that held all three in earlier versions."""
_PAST_IN_HISTORY = {
    "past_units": "units",
    "past_revenue": "revenue",
    "past_profit": "profit",
    "past_deals": "deals",
    "past_price": "price",
    "past_rival_price": "rival_price",
    "rival_price": "last_rival_price",
}
"""Names of the past in it that are others now."""


@dataclass(frozen=True)
class PlanSection:
    """What the shop itself does in the simulated periods: a benchmark, and in periods that are over a check of the fit."""

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


@dataclass(frozen=True)
class PastSection:
    """What the shop did before the first period."""

    units: Array | None = array(
        "YN", "units of as many periods: the last; the plan's a year ago; the last a year before", 0, default=None
    )
    revenue: Array | None = array("YN", "revenue of the same, currency", 0, default=None)
    profit: Array | None = array(
        "YN", "profit of the same, currency, at the unit costs that were booked then", default=None
    )
    deals: Array | None = array("YN", "share of the periods on deal", *SHARE, default=None)
    price: Array | None = array(
        "BN", "prices of the B periods before the first, oldest first, currency per unit", *PRICE, default=None
    )
    rival_price: Array | None = array(
        "BN", "competing prices then known, currency per unit; 0 is none", *MONEY, default=None
    )
    last_rival_price: Array | None = array(
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


@dataclass(frozen=True)
class EvidenceSection:
    """How the market was fitted to the shop's sales, and what speaks for and against the fit."""

    regular_moves: int | None = scalar(
        "moves of regular prices in the sales, by product, store and eight weeks", 0, default=None
    )
    prior_share: float = scalar("share of the prior in the response to regular prices", *SHARE, default=0.0)
    zones: int = scalar("price zones fitted together, of which this is one", 1, default=1)
    account_error: float | None = scalar("log of realised over predicted revenue in the last account", default=None)
    account_spread: float = scalar("standard error of that prediction", 0, default=0.0)
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


def parted(history: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The three sections, from the one that held them in earlier versions.

    Example:
        >>> parted({"price": 3.0, "past_price": [[2.5]], "zones": 2})
        {'plan': {'price': 3.0}, 'past': {'price': [[2.5]]}, 'evidence': {'zones': 2}}
    """
    found: dict[str, dict[str, Any]] = {"plan": {}, "past": {}, "evidence": {}}
    of_plan, of_past, of_fit = (
        {item.name for item in fields(kind)} for kind in (PlanSection, PastSection, EvidenceSection)
    )
    for key, content in history.items():
        if key in of_fit:
            found["evidence"][key] = content
        elif key in _PAST_IN_HISTORY or key in of_past - of_plan:
            found["past"][_PAST_IN_HISTORY.get(key, key)] = content
        else:  # where an unknown key is refused
            found["plan"][key] = content
    return found

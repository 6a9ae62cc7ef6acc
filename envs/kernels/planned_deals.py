"""The compiled form of a plan's deals: what customers remember, what is shown and what suppliers pay in a period.

The formulas are those of `pricing.planned_deals`, which `scenarios.planned_deals` applies to whole courses of prices.
Arrays lie (N, T) and (N, E).
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from ...pricing.planned_deals import lowered, perceived_level, regular_level, remembered_price, standing_share
from ...scenarios import MarketSpec
from ...scenarios.planned_deals import planned_deals
from ..jit.compiling import compiled

_ZERO = np.float32(0)
_ONE = np.float32(1)
_BY_PERIOD = ("on_deal", "usual", "feature", "depth", "always", "funding", "funded_price")


class DealRules(namedtuple("DealRules", [*_BY_PERIOD, "displays", "funds"])):
    """The plan of a scenario: the arrays of `PlannedDeals` by the same names, (N, T) float32, or (0, 0) without deals.

    Attributes:
        displays: Whether displays go with deals.
        funds: Whether suppliers pay for deals.
    """

    @classmethod
    def of(cls, spec: MarketSpec) -> DealRules:
        """The plan of a scenario."""
        deals = planned_deals(spec)
        if deals is None:
            nothing = dict.fromkeys(_BY_PERIOD, np.empty((0, 0), np.float32))
            return cls(**nothing, displays=False, funds=False)
        arrays = {name: np.ascontiguousarray(getattr(deals, name).T, np.float32) for name in _BY_PERIOD}
        return cls(**arrays, displays=bool(deals.lift.any()), funds=bool(deals.funding.any()))


@compiled
def follow_plan(deals, memory, period, price, announced, level, before, reference, after):
    """Update the levels of regular prices, and with them what customers remember in the period and after it.

    Args:
        deals: `DealRules`.
        memory: Share of what is remembered that a period leaves.
        period: (E,) number of the period.
        price: (N, E) list price, currency per unit.
        announced: (N, E) above zero where a deal is announced; (0, E) where the plan says.
        level: (N, E) level of the regular prices relative to the plan's, updated in place.
        before: (N, E) reference price before the period, currency per unit.
        reference: (N, E) that which prices of the period are compared with, filled.
        after: (N, E) that after the period, filled.
    """
    for n in range(price.shape[0]):
        for e in range(price.shape[1]):
            t = period[e]
            usual = deals.usual[n, t]
            on_deal = (announced[n, e] if announced.shape[0] else deals.on_deal[n, t]) > _ZERO
            now = regular_level(price[n, e], usual, level[n, e], on_deal)
            usually = before[n, e] * (lowered(now) / lowered(level[n, e]))
            perceived = perceived_level(price[n, e], usual, now, on_deal, deals.depth[n, t])
            reference[n, e] = usually * (perceived / lowered(now))
            met = remembered_price(price[n, e], usual, now, perceived)
            after[n, e] = memory * usually + (_ONE - memory) * met
            level[n, e] = now


@compiled
def show_deals(deals, period, price, announced, level, shown):
    """Fill (N, E) with the share of stores with a display or mailer beyond the planned one; arguments as `follow_plan`."""
    for n in range(shown.shape[0]):
        for e in range(shown.shape[1]):
            t = period[e]
            on_deal = (announced[n, e] if announced.shape[0] else deals.on_deal[n, t]) > _ZERO
            planned = (deals.depth[n, t], deals.feature[n, t], deals.always[n, t])
            standing = standing_share(price[n, e], deals.usual[n, t], level[n, e], on_deal, *planned)
            shown[n, e] = standing - deals.feature[n, t]


@compiled
def fund_deals(deals, period, price, announced, funded):
    """Fill (N, E) with what the supplier pays for a unit, currency; arguments as `follow_plan`."""
    for n in range(funded.shape[0]):
        for e in range(funded.shape[1]):
            t = period[e]
            on_deal = (announced[n, e] if announced.shape[0] else deals.on_deal[n, t]) > _ZERO
            pays = on_deal and price[n, e] <= deals.funded_price[n, t]
            funded[n, e] = deals.funding[n, t] if pays else _ZERO

"""What guardrails made of a proposed action: allowed prices and discounts, and the rules that changed them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..catalogue import MarketView
from .rule_formulas import BITS, RULES

Prices = NDArray[np.float32]
SAME = 1e-6
"""Prices whose relative difference is no larger are the same price: they differ in their last bits."""


@dataclass(frozen=True)
class TrailStep:
    """One change that a guardrail made.

    Args:
        rule: name of the rule, a key of `RULES`.
        before: price (currency per unit), or discounts by segment (fractions), before the rule.
        after: the same after it.

    Example:
        >>> step = TrailStep("ceiling", 12.0, 10.0)
        >>> step.moved, step.why
        (True, 'the price is at most the ceiling')
    """

    rule: str
    before: Any
    after: Any

    @property
    def why(self) -> str:
        """What the rule says."""
        return RULES[self.rule]

    @property
    def moved(self) -> bool:
        """Whether the rule changed more than the last bits, which rounding to a ladder may do."""
        if isinstance(self.before, float):
            return not math.isclose(self.before, self.after, rel_tol=SAME)
        pairs = zip(np.ravel(self.before).tolist(), np.ravel(self.after).tolist(), strict=True)
        return not all(math.isclose(before, after, rel_tol=SAME) for before, after in pairs)


@dataclass(frozen=True)
class GuardedAction:
    """An allowed action, and which rules changed the proposal.

    Args:
        price: (E, N) currency per unit.
        discount: (E, N, K) fractions, or None.
        trail: (E, N) uint16; bit i is set where the i-th of `RULES` changed the price
            or a discount.
        prior_price: (E, N) currency per unit: where the price is below the current one, the lowest
            price of the last 30 days, which an announced reduction must show (Directive 98/6/EC,
            article 6a), else NaN; None where the view does not know it.

    Example:
        >>> guarded = GuardedAction(np.ones((1, 1)), None, trail=BITS["floor"] * np.ones((1, 1), np.uint16))
        >>> guarded.rules(market=0, product=0)
        ['floor']
    """

    price: Prices
    discount: Prices | None
    trail: NDArray[np.uint16]
    prior_price: Prices | None = None

    def rules(self, market: int, product: int) -> list[str]:
        """Names of the rules that changed the price or a discount of a product in a market, by number."""
        return [rule for rule, bit in BITS.items() if self.trail[market, product] & bit]


def changed(before: ArrayLike, after: ArrayLike) -> NDArray[np.bool_]:
    """Where a rule changed something; a NaN that stays NaN was not changed."""
    return np.not_equal(before, after) & ~(np.isnan(before) & np.isnan(after))


def prior_price(price: Prices, view: MarketView) -> Prices | None:
    """The `GuardedAction.prior_price` of allowed prices, (E, N)."""
    prior = view.lowest_price_30_days
    return (
        None if prior is None else np.where(price < view.list_price * (1 - np.float32(SAME)), prior, np.float32(np.nan))
    )

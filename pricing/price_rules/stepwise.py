"""Allowed prices and what each rule changed, as whole arrays: for the service, which answers for many
markets at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..catalogue import MarketView
from ..protocol import Action
from .guarded_action import SAME, Prices, prior_price
from .rule_formulas import DISCOUNT_RULES

if TYPE_CHECKING:
    from .guardrails import Guardrails


class RuleStep(NamedTuple):
    """What one rule changed, by more than the last bits.

    Args:
        moved: (E, N) where it changed something.
        before: (M,) prices, currency per unit, or (M, K) discounts before it, where it did.
    """

    rule: str
    moved: NDArray[np.bool_]
    before: Prices
    after: Prices


class StepwisePrices(NamedTuple):
    """Allowed prices and discounts, with the steps that led there.

    Args:
        price: (E, N) currency per unit.
        discount: (E, N, K) fractions, or None.
        prior_price: as of `GuardedAction`.
        steps: the rules that changed something, in their order.

    Example:
        >>> StepwisePrices(np.ones((1, 2), np.float32), None, None, []).price.shape
        (1, 2)
    """

    price: Prices
    discount: Prices | None
    prior_price: Prices | None
    steps: list[RuleStep]


def applied_stepwise(rules: Guardrails, action: Action, view: MarketView) -> StepwisePrices:
    """What `Guardrails.apply_traced` gives, without an object for every change.

    Example:
        >>> import repricer
        >>> market = repricer.Market("three-stocks")
        >>> asked = Action(market.view.list_price * np.float32(1e6))
        >>> allowed = applied_stepwise(market.spec.guardrails, asked, market.view)
        >>> [step.rule for step in allowed.steps]
        ['ceiling']
    """
    discount = None if action.discount is None else np.asarray(action.discount, dtype=np.float32)
    price = np.asarray(action.price, dtype=np.float32)
    found = []
    for rule, after in rules.rule_steps(action, view):
        before = discount if discount is not None and rule in DISCOUNT_RULES else price
        if before is discount:
            discount = after
        else:
            price = after
        differs = before != after
        if differs.any() and (moved := _moved(before, after, differs)).any():
            found.append(RuleStep(rule, moved, before[moved], after[moved]))
    return StepwisePrices(price, discount, prior_price(price, view), found)


def _moved(before: Prices, after: Prices, differs: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(E, N) where a rule changed more than the last bits; a NaN that stays NaN was not changed."""
    wide, new = before.astype(np.float64), after.astype(np.float64)
    finite = np.isfinite(wide)
    gap = np.subtract(wide, new, where=finite, out=np.full_like(wide, np.inf))
    same = finite & (np.abs(gap) <= SAME * np.maximum(np.abs(wide), np.abs(new)))
    moved = differs & ~same & ~(np.isnan(wide) & np.isnan(new))
    return moved if moved.ndim == 2 else np.asarray(moved.any(axis=2))

"""Fallback policies, which price in place of the learned policy under the same price rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..pricing import Action, FixedPrice, MarketView, Policy
from .bundle.reading import Bundle

Fallback = Literal["in-force", "regular", "base"]
FALLBACKS: tuple[str, ...] = get_args(Fallback)


@dataclass(frozen=True)
class CurrentPrices:
    """Keeps the current prices.

    The name is 'in-force' on the command line and in the decision log.
    """

    name: str = "in-force"

    def act(self, view: MarketView) -> Action:
        """Propose the current prices."""
        return Action(view.list_price)


def fallback_policy(name: str, bundle: Bundle) -> Policy:
    """One of `FALLBACKS`: the current prices, the regular prices, or the base prices that the
    policy multiplies.

    Args:
        name: 'in-force', 'regular' or 'base'.
        bundle: The bundle of the learned policy.

    Raises:
        ValueError: The name is unknown.
    """
    if name == "in-force":
        return CurrentPrices()
    if name == "regular":
        return FixedPrice(bundle.catalogue.regular_price, name=name)
    if name == "base":
        return bundle.policy.base or FixedPrice(bundle.policy.base_price, name=name)
    raise ValueError(f"fallback must be one of {', '.join(FALLBACKS)}; got '{name}'; choose one")

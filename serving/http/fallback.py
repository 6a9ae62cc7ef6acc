"""What answers where the learned policy is not to: a rule, under the same price rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ...pricing import Action, FixedPrice, MarketView, Policy
from ..bundle.reading import Bundle

Fallback = Literal["in-force", "regular", "base"]
FALLBACKS: tuple[str, ...] = get_args(Fallback)


@dataclass(frozen=True)
class PriceInForce:
    """Leaves every price where it is."""

    name: str = "in-force"

    def act(self, view: MarketView) -> Action:
        """Propose the prices in force."""
        return Action(view.list_price)


def fallback_policy(name: str, bundle: Bundle) -> Policy:
    """One of `FALLBACKS`: the prices in force, the regular prices, or what the policy multiplies: base prices or a rule's."""
    if name == "in-force":
        return PriceInForce()
    if name == "regular":
        return FixedPrice(bundle.catalogue.regular_price, name=name)
    if name == "base":
        return bundle.policy.base or FixedPrice(bundle.policy.base_price, name=name)
    raise ValueError(f"fallback must be one of {', '.join(FALLBACKS)}; got '{name}'; choose one")

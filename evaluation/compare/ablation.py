"""A policy with a part of its action taken away: what that part is worth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ...pricing import Action, MarketView, Policy


@dataclass(frozen=True)
class Without:
    """The policy's prices without its personal discounts, or with the recommender's own choice in the slots."""

    policy: Policy
    part: Literal["discount", "recommendation"]

    @property
    def name(self) -> str:
        """`NAME without PART`."""
        return f"{self.policy.name} without {self.part}"

    def act(self, view: MarketView) -> Action:
        """Propose what the policy proposes, less the part."""
        return replace(self.policy.act(view), **{self.part: None})

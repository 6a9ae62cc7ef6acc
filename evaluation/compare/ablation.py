"""A policy without one part of its action, to measure the value of that part."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ...pricing import Action, MarketView, Policy


@dataclass(frozen=True)
class Without:
    """A policy without its personal discounts, or with the recommender's own choice in the slots.

    Attributes:
        policy: The policy.
        part: The part of its action that is left out.

    Example:
        >>> from repricer.evaluation import Without, named_policy
        >>> from repricer.scenarios import load_scenario
        >>> policy = named_policy("regular", load_scenario("stationary-logit"))
        >>> Without(policy, "discount").name
        'regular without discount'
    """

    policy: Policy
    part: Literal["discount", "recommendation"]

    @property
    def name(self) -> str:
        """`NAME without PART`."""
        return f"{self.policy.name} without {self.part}"

    def act(self, view: MarketView) -> Action:
        """Propose what the policy proposes, without the part."""
        return replace(self.policy.act(view), **{self.part: None})

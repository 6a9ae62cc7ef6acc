"""The policy protocol: a baseline, a learned policy, a served bundle and its fallback are all this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .catalogue import MarketView


@dataclass(frozen=True)
class Action:
    """What a policy proposes for E markets of N products and K segments, before the guardrails.

    price: (E, N) list price, currency per unit. discount: (E, N, K) personal discount as a fraction of the list
    price, or None for no discounts. recommendation: (E, N, K) score of showing the product in the segment's slot
    (among the candidates the highest positive score is shown), or None for the recommender's own first choice.
    promotion: (E, N) score of promoting the product (the highest positive scores are promoted, up to the scenario's
    number), or None for no promotions. order: (E, N) units to order, or None for none. propensity: (E, N) probability
    (density per currency, for continuous prices) with which the policy chose this price, or None where it does not say.
    """

    price: NDArray[np.float32]
    discount: NDArray[np.float32] | None = None
    recommendation: NDArray[np.float32] | None = None
    promotion: NDArray[np.float32] | None = None
    order: NDArray[np.float32] | None = None
    propensity: NDArray[np.float32] | None = None


@runtime_checkable
class Policy(Protocol):
    """Anything that sets prices. `act` must depend on the view alone, so that the same view gives the same action.

    The exception says so: a policy that draws its prices, or learns as it goes, has an attribute `deterministic` that is
    False. It can be simulated, but has no exact value.
    """

    @property
    def name(self) -> str:
        """How tables and logs call it."""
        ...

    def act(self, view: MarketView) -> Action:
        """Propose prices (and what else the scenario lets a policy decide) for every market in the view."""
        ...


def is_deterministic(policy: Policy) -> bool:
    """Whether the same view always gives the same action; true of every policy that does not say otherwise."""
    return getattr(policy, "deterministic", True)

"""A decision: one answered state, with everything that is shown and recorded about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .market_state import State
from .predictor import ObservedMarkets, Predictor, PriceAnswer

POLICY = "policy"
"""The arm of markets that the bundle's policy answers."""
CANARY = "canary"
"""The arm of markets that a bundle on trial answers."""
FALLBACK = "fallback"
"""The arm of markets that the fallback answers."""

Chance = float | Mapping[str, float]
"""A probability; by product where it differs."""


@dataclass
class Priced(PriceAnswer):
    """The answer for one market state, and how it came about.

    Attributes:
        request_id: Names the decision.
        arm: "policy", "canary" for a newer bundle on trial, or "fallback" by holdout or kill switch.
        warnings: One line for each feature outside the range that the policy saw in training.
    """

    request_id: str
    arm: str
    warnings: list[str]


@dataclass(frozen=True)
class Decision:
    """One answered state.

    Attributes:
        state: The state as it was sent.
        answer: The prices that were given.
        arm: Who answered: "policy", "canary" (a newer bundle on trial) or "fallback".
        propensity: Probability with which these prices were given. By product where the arm was
            drawn by chance: a product that both arms price alike has probability 1.
        warnings: One line for each feature outside the training range.
    """

    state: State
    answer: PriceAnswer
    arm: str
    propensity: Chance
    warnings: list[str]

    def to_json(self, request_id: str) -> bytes:
        """The answer as it is returned, as JSON."""
        answered = Priced(**vars(self.answer), request_id=request_id, arm=self.arm, warnings=self.warnings)
        return answered.to_json()


def preview(predictor: Predictor, arm: str, state: State) -> tuple[ObservedMarkets, Decision]:
    """The market that a policy observes, and its decision.

    Raises:
        StateError: The state cannot be read.
    """
    seen = predictor.observe([predictor.read(state)])
    bundle = predictor.bundle
    warnings = bundle.seen.warnings(bundle.seen.outside(seen.features)[0], bundle.catalogue.products)
    return seen, Decision(state, predictor.price_observed(seen)[0], arm, 1.0, warnings)

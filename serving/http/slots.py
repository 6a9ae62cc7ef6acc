"""The policies of a service at one moment, and the probability of each one's prices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..bundle.training_range import DriftAlarm
from ..decision import CANARY, FALLBACK, POLICY
from ..predictor import Predictor, PriceAnswer
from .canary.trial import Trial


@dataclass(frozen=True)
class Slots:
    """The policies at one moment; replaced as a whole, so that no request sees a half-made change.

    Attributes:
        active: The bundle's policy.
        fallback: The rule for holdout markets and the kill switch.
        drift: The alarm for features outside the training range.
        former: The policy before the last reload.
        shadow: The policy whose prices are only recorded.
        canary: A newer bundle on trial.
        holdout: Share of markets on the fallback.
        killed: Whether the fallback prices all markets.
    """

    active: Predictor
    fallback: Predictor
    drift: DriftAlarm
    former: Predictor | None = None
    shadow: Predictor | None = None
    canary: Trial | None = None
    holdout: float = 0.0
    killed: bool = False

    @property
    def trial(self) -> Trial | None:
        """The canary, unless the kill switch is on or a guard has stopped it."""
        return None if self.killed or self.canary is None or self.canary.guards.stopped else self.canary

    def chances(self, share: float) -> dict[str, float]:
        """The probability of each arm that a market can be in.

        Args:
            share: That of the canary among the markets outside the holdout; 0 without an answer.
        """
        if self.killed:
            return {FALLBACK: 1.0}
        rest = 1 - self.holdout
        found = {POLICY: rest * (1 - share), CANARY: rest * share, FALLBACK: self.holdout}
        return {arm: chance for arm, chance in found.items() if chance}


def propensity(arm: str, chances: Mapping[str, float], answers: Mapping[str, PriceAnswer]) -> float | dict[str, float]:
    """The probability of the prices that an arm gives: by product, that of all arms that give the
    same price; one number where there is one arm.

    Args:
        arm: Who answered.
        chances: The probability of each arm.
        answers: The answer of each arm.
    """
    if len(chances) == 1:
        return 1.0
    others = [(answers[other].prices, chance) for other, chance in chances.items() if other != arm]
    return {
        own.product: 1.0 - sum(chance for prices, chance in others if prices[n].price != own.price)
        for n, own in enumerate(answers[arm].prices)
    }

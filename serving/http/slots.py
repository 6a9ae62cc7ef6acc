"""The policies of a service at one moment, and what they answer."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..bundle.reading import DriftAlarm
from ..decision import CANARY, FALLBACK, POLICY, Decision
from ..market_state import State, StateError
from ..predictor import Predictor, PriceAnswer, PriceRequest
from .canary.trial import Trial


@dataclass(frozen=True)
class Slots:
    """The policies at one moment; replaced as a whole, so that no request sees a half-made change.

    Attributes:
        active: The bundle's policy.
        fallback: The rule for holdout markets and the kill switch.
        drift: The alarm for features outside the training range.
        canary: A newer bundle on trial.
        holdout: Share of markets on the fallback.
        killed: Whether the fallback prices all markets.
    """

    active: Predictor
    fallback: Predictor
    drift: DriftAlarm
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


class ArmAssignment:
    """Assigns markets to arms.

    Args:
        seed: Key of the hash by which a named market always stays in its arm; an unnamed one is assigned anew each
            time, by its number and period.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._key = seed.to_bytes(8, "big")
        self._numbers = itertools.count()

    def arm(self, slots: Slots, state: State) -> str:
        """The arm of a market."""
        trial = slots.trial
        if slots.killed or not (slots.holdout or trial):
            return FALLBACK if slots.killed else POLICY
        # No name of a market begins like that.
        unnamed = "market" not in state
        name = f"\0{next(self._numbers)} {state.get('date')} {state.get('period')}" if unnamed else state["market"]
        if self.number(name) < slots.holdout:
            return FALLBACK
        return CANARY if trial is not None and self.number(name, CANARY) < trial.share else POLICY

    def number(self, name: str, purpose: str = "") -> float:
        """The number in [0, 1) that a name always gets."""
        digest = hashlib.blake2b(name.encode(), key=self._key, digest_size=8, person=purpose.encode()).digest()
        return int.from_bytes(digest, "big") / 2**64


def answered(
    slots: Slots, draws: ArmAssignment, states: Sequence[State]
) -> tuple[list[Decision | StateError], NDArray]:
    """Price several states together; the alarm and the guards of a trial see them.

    Returns:
        The decision for each, or what is wrong with it; and (E, N, F) which features lie outside the training range, of
        the states that could be read.
    """
    found = dict[int, Decision | StateError]()
    bundle = slots.active.bundle
    asked = dict[int, PriceRequest]()
    arms = dict[int, str]()
    for i, state in enumerate(states):
        try:
            asked[i] = slots.active.read(state)
            arms[i] = draws.arm(slots, state)
        except StateError as error:
            found[i] = error
    if not asked:
        return [found[i] for i in range(len(states))], np.zeros((0, 0, len(bundle.seen.names)), np.bool_)
    observed = slots.active.observe(list(asked.values()))
    outside = bundle.seen.outside(observed.features)
    trial = slots.trial
    alone = slots.chances(0.0)
    slots.drift.add(outside)
    # Where an arm is drawn, all answer: a price that all give has probability 1.
    predictors = {POLICY: slots.active, FALLBACK: slots.fallback}
    own = {arm: predictors[arm].price_observed(observed) for arm in alone}
    tried = [None] * len(asked) if trial is None else trial.answers([states[i] for i in asked])
    if trial is not None:
        trial.guards.compare(own[POLICY], [newer and newer[0] for newer in tried])
    for place, (i, arm) in enumerate(arms.items()):
        answers = {arm: each[place] for arm, each in own.items()}
        chances = alone
        newer = tried[place]
        if trial is not None and newer is not None:
            answers[CANARY] = newer[0]
            chances = slots.chances(trial.share)
        arm = arm if arm in answers else POLICY
        if newer is None or arm != CANARY:
            newer = answers[arm], bundle.seen.warnings(outside[place], bundle.catalogue.products)
        found[i] = Decision(states[i], newer[0], arm, propensity(arm, chances, answers), newer[1])
    return [found[i] for i in range(len(states))], outside


def propensity(arm: str, chances: Mapping[str, float], answers: Mapping[str, PriceAnswer]) -> float | dict[str, float]:
    """The probability of the prices that an arm gives: by product, that of all arms that give the
    same price; one number where there is one arm.
    """
    if len(chances) == 1:
        return 1.0
    others = [(answers[other].prices, chance) for other, chance in chances.items() if other != arm]
    own = enumerate(answers[arm].prices)
    return {one.product: 1.0 - sum(c for prices, c in others if prices[n].price != one.price) for n, one in own}

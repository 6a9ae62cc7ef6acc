"""The policies of a service at one moment, and what they answer."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..bundle.training_range import DriftAlarm
from ..decision import CANARY, FALLBACK, POLICY, Decision
from ..market_state import State, StateError, read_state
from ..predictor import ObservedMarkets, Predictor, PriceAnswer, PriceRequest
from ..product_prices import rules_in
from .canary.trial import Trial, Tried


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

    def trial_of(self, digest: str, share: float) -> Trial | None:
        """The trial of a bundle that goes on with a share; None where it does not go on."""
        running = self.canary
        if running is None or running.predictor.bundle.digest != digest or running.guards.stopped:
            return None
        return replace(running, share=share)

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


class Draws(NamedTuple):
    """Assigns markets to arms.

    Attributes:
        key: Of the hash, by which a named market always stays in its arm.
        numbers: One for each unnamed market, which is assigned anew each time, by number and period.
    """

    key: bytes
    numbers: Iterator[object]

    def arm(self, slots: Slots, state: State) -> str:
        """The arm of a market."""
        trial = slots.trial
        if slots.killed or not (slots.holdout or trial):
            return FALLBACK if slots.killed else POLICY
        # No name of a market begins like that.
        unnamed = "market" not in state
        name = f"\0{next(self.numbers)} {state.get('date')} {state.get('period')}" if unnamed else state["market"]
        if self._draw(name) < slots.holdout:
            return FALLBACK
        return CANARY if trial is not None and self._draw(name, CANARY) < trial.share else POLICY

    def _draw(self, name: str, purpose: str = "") -> float:
        """The number in [0, 1) that a name always gets."""
        digest = hashlib.blake2b(name.encode(), key=self.key, digest_size=8, person=purpose.encode()).digest()
        return int.from_bytes(digest, "big") / 2**64


class Counted(NamedTuple):
    """What is counted of some answers.

    Attributes:
        arms: Prices by arm.
        rules: Changes by price rule.
        shadow: Prices of the shadow by whether they equal those given, "true" or "false".
        shadow_failures: States that the shadow could not price.
        products: Products that were looked at.
        outside: (F,) how many of them lie outside the training range, by feature.
    """

    arms: Counter[str]
    rules: Counter[str]
    shadow: Counter[str]
    shadow_failures: int
    products: int
    outside: NDArray[np.int64]


class Answered(NamedTuple):
    """What several states get.

    Attributes:
        found: The decision for each, or what is wrong with it.
        counted: What is counted of them.
        tried: What the newer bundle makes of those that could be read, and the answers of the
            active one; None without a trial.
    """

    found: list[Decision | StateError]
    counted: Counted
    tried: tuple[Sequence[PriceAnswer], Tried] | None


def answered(slots: Slots, draws: Draws, states: Sequence[State]) -> Answered:
    """Price several states together."""
    found = dict[int, Decision | StateError]()
    asked, arms = dict[int, PriceRequest](), dict[int, str]()
    for i, state in enumerate(states):
        try:
            asked[i] = slots.active.read(state)
            arms[i] = draws.arm(slots, state)
        except StateError as error:
            found[i] = error
    tried = None
    outside, failures = np.zeros((0, 0, len(slots.active.bundle.seen.names)), np.bool_), 0
    if asked:
        seen = slots.active.observe(list(asked.values()))
        outside = slots.active.bundle.seen.outside(seen.features)
        shadows, failures = _shadow_answers(slots, [states[i] for i in asked])
        warnings = _warnings(slots.active, list(asked), outside)
        decided, tried = _decided(slots, states, arms, seen, shadows, warnings)
        found |= decided
    decisions = [item for item in found.values() if isinstance(item, Decision)]
    return Answered([found[i] for i in range(len(states))], _counted(decisions, outside, failures), tried)


def _decided(
    slots: Slots,
    states: Sequence[State],
    arms: dict[int, str],
    seen: ObservedMarkets,
    shadows: Sequence[PriceAnswer | None],
    warnings: dict[int, list[str]],
) -> tuple[dict[int, Decision], tuple[Sequence[PriceAnswer], Tried] | None]:
    """The decisions for the states that could be read, by index, and what is tried."""
    trial, share = slots.trial, 0.0 if slots.trial is None else slots.trial.share
    alone = slots.chances(0.0)
    # Where an arm is drawn, all answer: a price that all give has probability 1.
    own = {
        arm: predictor.price_observed(seen)
        for arm, predictor in ((POLICY, slots.active), (FALLBACK, slots.fallback))
        if arm in alone
    }
    tried = Tried.nothing(len(arms)) if trial is None else trial.answers([states[i] for i in arms])
    decisions = dict[int, Decision]()
    for place, i in enumerate(arms):
        answers, newer = {arm: each[place] for arm, each in own.items()}, tried.answers[place]
        if newer is not None:
            answers[CANARY] = newer
        arm = arms[i] if arms[i] in answers else POLICY
        chance = propensity(arm, alone if newer is None else slots.chances(share), answers)
        said = tried.warnings.get(place, []) if arm == CANARY else warnings.get(i, [])
        decisions[i] = Decision(states[i], answers[arm], arm, chance, shadows[place], said)
    return decisions, None if trial is None else (own[POLICY], tried)


def _shadow_answers(slots: Slots, states: list[State]) -> tuple[Sequence[PriceAnswer | None], int]:
    """The answers of the shadow policy, and for how many states it has none: an error of the shadow
    costs no answer of the active policy.
    """
    if slots.shadow is None:
        return [None] * len(states), 0
    try:
        catalogue = slots.shadow.bundle.catalogue
        # The recurrent state in a request belongs to the active policy.
        asked = [PriceRequest(read_state(catalogue, state), None) for state in states]
        return slots.shadow.price_all(asked), 0
    except ValueError:
        return [None] * len(states), len(states)


def _warnings(active: Predictor, places: list[int], outside: NDArray[np.bool_]) -> dict[int, list[str]]:
    """The warnings by index of the market's state."""
    if not outside.any():
        return {}
    seen, products = active.bundle.seen, active.bundle.catalogue.products
    return {i: seen.warnings(own, products) for i, own in zip(places, outside, strict=True) if own.any()}


def _counted(decisions: Sequence[Decision], outside: NDArray[np.bool_], failures: int) -> Counted:
    arms, rules, same = Counter[str](), Counter[str](), Counter[str]()
    for decision in decisions:
        prices = decision.answer.prices
        arms[decision.arm] += len(prices)
        rules.update(rules_in(prices))
        if decision.shadow is not None:
            theirs = {price.product: price.price for price in decision.shadow.prices}
            same.update(str(theirs[price.product] == price.price).lower() for price in prices)
    return Counted(arms, rules, same, failures, outside.shape[0] * outside.shape[1], outside.sum(axis=(0, 1)))


def propensity(arm: str, chances: Mapping[str, float], answers: Mapping[str, PriceAnswer]) -> float | dict[str, float]:
    """The probability of the prices that an arm gives: by product, that of all arms that give the
    same price; one number where there is one arm.
    """
    if len(chances) == 1:
        return 1.0
    others = [(answers[other].prices, chance) for other, chance in chances.items() if other != arm]
    return {
        own.product: 1.0 - sum(chance for prices, chance in others if prices[n].price != own.price)
        for n, own in enumerate(answers[arm].prices)
    }

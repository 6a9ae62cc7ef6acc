"""A newer bundle that prices a share of the markets while the active one prices the others."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ....pricing import RecurrentPolicy
from ...bundle.files import BundleError
from ...bundle.reading import Bundle
from ...market_state import State, StateError
from ...predictor import Predictor, PriceAnswer, PriceRequest
from ..switchboard import OnTrial
from .guards import LIMITS, GuardRules, Guards

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trial:
    """A newer bundle, the share of the markets that it prices, and its guards.

    Attributes:
        predictor: The newer bundle's.
        share: In (0, 1).
        number: Which trial it is.
        guards: What is known about it.
    """

    predictor: Predictor
    share: float
    number: int
    guards: Guards

    @classmethod
    def of(cls, newer: Bundle, active: Bundle, place: OnTrial, rules: GuardRules) -> Trial:
        """A trial of `newer` beside `active`. Raises BundleError where that makes no sense."""
        own = newer.manifest["created"]
        then = active.manifest["created"]
        if own <= then:
            raise BundleError(f"a canary must be newer than the active bundle ({then}); got one of {own}; export it")
        if set(newer.catalogue.products) != set(active.catalogue.products):
            raise BundleError("a canary must price the same products; got others; reload without a canary")
        if any(isinstance(one.policy, RecurrentPolicy) for one in (newer, active)):
            raise BundleError("a canary needs bundles without recurrent state; got others; reload without it")
        return cls(Predictor(newer), place.share, place.number, Guards(rules))

    @property
    def facts(self) -> dict[str, Any]:
        """What the operator sees of it."""
        guards = self.guards
        stopped = None if guards.stopped is None else ": ".join(guards.stopped)
        own = {"policy": self.predictor.policy.name, "bundle": self.predictor.bundle.digest, "share": self.share}
        return {**own, "guards": guards.values, "limits": LIMITS, "stopped": stopped}

    def remember(self, active: Predictor, states: Sequence[State]) -> None:
        """Let the guards see states that were priced before: what they know is what the log holds, after a restart too."""
        asked = list[tuple[State, PriceRequest]]()
        for state in states:
            with suppress(StateError):
                asked.append((state, active.read(state)))
        if asked:
            own = active.price_observed(active.observe([request for _, request in asked]))
            tried = self.answers([state for state, _ in asked])
            self.guards.compare(own, [newer and newer[0] for newer in tried])

    def answers(self, states: Sequence[State]) -> list[tuple[PriceAnswer, list[str]] | None]:
        """Price the states, each with its warnings; None where that fails, and the active bundle answers alone."""
        asked = dict[int, PriceRequest]()
        found = dict[int, tuple[PriceAnswer, list[str]]]()
        for i, state in enumerate(states):
            with suppress(StateError):
                asked[i] = self.predictor.read(state)
        if not asked:
            return [None] * len(states)
        try:
            seen = self.predictor.observe(list(asked.values()))
            priced = self.predictor.price_observed(seen)
        except Exception:
            # Whatever is wrong with the newer bundle must cost no price; the guard counts it.
            _log.exception("canary failed")
            return [None] * len(states)
        bundle = self.predictor.bundle
        for i, answer, outside in zip(asked, priced, bundle.seen.outside(seen.features), strict=True):
            if all(price.proposed is not None for price in answer.prices):
                found[i] = answer, bundle.seen.warnings(outside, bundle.catalogue.products)
        return [found.get(i) for i in range(len(states))]

"""A newer bundle that prices a share of the markets while the active one prices the others."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ....pricing import RecurrentPolicy
from ...bundle.files import BundleError
from ...bundle.reading import Bundle
from ...market_state import State, StateError
from ...predictor import Predictor, PriceAnswer
from .guards import LIMITS, Guards

_log = logging.getLogger(__name__)


class Tried(NamedTuple):
    """What the newer bundle makes of several states.

    Attributes:
        answers: One per state, None where it has none.
        warnings: By index of the state, one line for each such feature.
    """

    answers: list[PriceAnswer | None]
    warnings: dict[int, list[str]]


@dataclass(frozen=True)
class Trial:
    """A newer bundle, the share of the markets that it prices, and its guards.

    Attributes:
        predictor: The newer bundle's.
        share: In (0, 1).
        guards: What is known about it.
    """

    predictor: Predictor
    share: float
    guards: Guards

    @classmethod
    def of(cls, newer: Bundle, active: Bundle, share: float) -> Trial:
        """A trial of `newer` beside `active`. Raises BundleError where that makes no sense."""
        own, then = newer.manifest["created"], active.manifest["created"]
        if own <= then:
            raise BundleError(f"a canary must be newer than the active bundle ({then}); got one of {own}; export it")
        if set(newer.catalogue.products) != set(active.catalogue.products):
            raise BundleError("a canary must price the same products; got others; reload without a canary")
        if any(isinstance(one.policy, RecurrentPolicy) for one in (newer, active)):
            raise BundleError(
                "a canary and the active bundle must have no recurrent state, which belongs to one of them; got a "
                "recurrent policy; reload without a canary"
            )
        return cls(Predictor(newer), share, Guards())

    @property
    def facts(self) -> dict[str, Any]:
        """What the operator sees of it."""
        guards = self.guards
        stopped = None if guards.stopped is None else ": ".join(guards.stopped)
        own = {"policy": self.predictor.policy.name, "bundle": self.predictor.bundle.digest, "share": self.share}
        return {**own, "guards": guards.values, "limits": LIMITS, "stopped": stopped}

    def answers(self, states: Sequence[State]) -> Tried:
        """Price the states; where that fails, the active bundle answers alone."""
        found: list[PriceAnswer | None] = [None] * len(states)
        asked = {}
        for i, state in enumerate(states):
            try:
                asked[i] = self.predictor.read(state)
            except StateError:
                continue
        if not asked:
            return Tried(found, {})
        try:
            seen = self.predictor.observe(list(asked.values()))
            priced = self.predictor.price_observed(seen)
        except Exception:
            # Whatever is wrong with the newer bundle must cost no price; the guard counts it.
            _log.exception("canary failed")
            return Tried(found, {})
        bundle = self.predictor.bundle
        outside, products, warnings = bundle.seen.outside(seen.features), bundle.catalogue.products, {}
        for place, i in enumerate(asked):
            if all(price.proposed is not None for price in priced[place].prices):
                found[i] = priced[place]
            if outside[place].any():
                warnings[i] = bundle.seen.warnings(outside[place], products)
        return Tried(found, warnings)

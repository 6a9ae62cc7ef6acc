"""Which policy answers: the active one, its fallback, its former and a shadow, and the switches between them."""

from __future__ import annotations

import hashlib
import logging
import os
import random
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...pricing import RecurrentPolicy
from ..bundle.files import BundleError
from ..bundle.reading import Bundle, load_bundle
from ..bundle.training_range import DriftAlarm
from ..decision import Decision
from ..documents import field_mistake
from ..market_state import State, StateError, read_state
from ..predictor import Asked, Predictor, PriceAnswer, SeenMarkets
from .fallback import fallback_policy
from .metrics import Metrics
from .settings import ServiceSettings

_log = logging.getLogger(__name__)


class OperationError(ValueError):
    """A switch that cannot be thrown now; the message is one line that says why."""


@dataclass(frozen=True)
class Slots:
    """What answers at an instant; replaced as a whole, so that no request sees half a switch.

    holdout: share of markets on the fallback. killed: whether all are.
    """

    active: Predictor
    fallback: Predictor
    drift: DriftAlarm
    former: Predictor | None = None
    shadow: Predictor | None = None
    holdout: float = 0.0
    killed: bool = False


class Operation:
    """The policies of a running service. Thread-safe: switches take turns, answers read one snapshot.

    path: the bundle that `reload` reads again. public_key: PEM file of the key that must have signed every bundle.
    fallback: one of `fallback.FALLBACKS`. shadow_path: the bundle of shadow mode. seed: keys the holdout's draw.
    Raises BundleError where the bundle cannot be trusted.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        public_key: str | os.PathLike[str] | None = None,
        fallback: str = "in-force",
        shadow_path: str | os.PathLike[str] | None = None,
        holdout: float = 0.0,
        killed: bool = False,
        seed: int = 0,
        metrics: Metrics | None = None,
    ) -> None:
        self._path, self._public_key, self._shadow_path = Path(path), public_key, shadow_path
        self._fallback, self._key = fallback, seed.to_bytes(8, "big")
        self.metrics = metrics or Metrics()
        self._switching = threading.Lock()
        self.slots = self._slots_of(Predictor(load_bundle(path, public_key=public_key)))
        self.hold_out(holdout)
        self.kill(killed)
        if shadow_path is not None:
            self.shadow(True)

    @property
    def bundle(self) -> Bundle:
        """The active one."""
        return self.slots.active.bundle

    def answer(self, states: Sequence[State]) -> list[Decision | StateError]:
        """One decision a state, worked out together; the error instead where a state is wrong."""
        slots, found = self.slots, dict[int, Decision | StateError]()
        asked, arms = dict[int, Asked](), dict[int, str]()
        for i, state in enumerate(states):
            try:
                asked[i] = slots.active.read(state)
                arms[i] = "fallback" if self._held_out(slots, state) else "policy"
            except StateError as error:
                found[i] = error
        if asked:
            found |= self._answered(slots, asked, arms, states)
        self.metrics.decided(item for item in found.values() if isinstance(item, Decision))
        return [found[i] for i in range(len(states))]

    def preview(self, state: State) -> tuple[Predictor, SeenMarkets, Decision]:
        """Who would answer this state, what is seen, and the answer; nothing is counted or drawn. Raises StateError."""
        slots = self.slots
        predictor, arm = (slots.fallback, "fallback") if slots.killed else (slots.active, "policy")
        seen = predictor.see([predictor.read(state)])
        warnings = _warnings(slots.active.bundle, [0], slots.active.bundle.seen.outside(seen.features)).get(0, [])
        answer = predictor.price_seen(seen)[0]
        return predictor, seen, Decision(state, answer, arm, 1.0, None, warnings)

    def _answered(
        self, slots: Slots, asked: dict[int, Asked], arms: dict[int, str], states: Sequence[State]
    ) -> dict[int, Decision | StateError]:
        seen = slots.active.see(list(asked.values()))
        warnings = self._watch(slots, list(asked), seen)
        shadows = self._shadow_answers(slots, [states[i] for i in asked])
        drawn = slots.holdout > 0 and not slots.killed
        # Where the arm was drawn, the other one answers too: a price that both would give was certain.
        answers = {
            arm: predictor.price_seen(seen)
            for arm, predictor in (("policy", slots.active), ("fallback", slots.fallback))
            if drawn or arm in arms.values()
        }
        decisions: dict[int, Decision | StateError] = {}
        for place, i in enumerate(asked):
            answer, propensity = answers[arms[i]][place], 1.0
            if drawn:
                chance, other = (slots.holdout, "policy") if arms[i] == "fallback" else (1 - slots.holdout, "fallback")
                propensity = _propensities(chance, answer, answers[other][place])
            decisions[i] = Decision(states[i], answer, arms[i], propensity, shadows[place], warnings.get(i, []))
        return decisions

    def _held_out(self, slots: Slots, state: State) -> bool:
        """A market that names itself stays in its arm for good; another is drawn each time."""
        if slots.killed or not slots.holdout:
            return slots.killed
        if "market" not in state:
            return random.random() < slots.holdout
        digest = hashlib.blake2b(state["market"].encode(), key=self._key, digest_size=8).digest()
        return int.from_bytes(digest, "big") < slots.holdout * 2**64

    def _shadow_answers(self, slots: Slots, states: list[State]) -> list[PriceAnswer | None]:
        """What the second policy says; a shadow that fails costs nobody an answer."""
        if slots.shadow is None:
            return [None] * len(states)
        try:
            catalogue = slots.shadow.bundle.catalogue
            # The notes in a state are the active policy's.
            asked = [Asked(read_state(catalogue, state), None) for state in states]
            return list(slots.shadow.price_all(asked))
        except ValueError:
            self.metrics.shadow_failures.inc(len(states))
            return [None] * len(states)

    def _watch(self, slots: Slots, places: list[int], seen: SeenMarkets) -> dict[int, list[str]]:
        """Counts what lies outside the training range, and says so by the place of the market's state."""
        bundle = slots.active.bundle
        outside = bundle.seen.outside(seen.features)
        slots.drift.see(outside)
        if not outside.any():
            return {}
        self.metrics.outside(dict(zip(bundle.seen.names, outside.sum(axis=(0, 1)).tolist(), strict=True)))
        return _warnings(bundle, places, outside)

    def reload(self) -> bool:
        """Read the bundle's path again, verify it, and let it answer; the one before is kept for `rollback`.

        Returns whether it is another bundle. Raises BundleError, and nothing changes, where it cannot be trusted or is older.
        """
        try:
            bundle = load_bundle(self._path, public_key=self._public_key)
            with self._switching:
                return self._take(bundle)
        except BundleError:
            self.metrics.reloads.labels("refused").inc()
            raise

    def _take(self, bundle: Bundle) -> bool:
        slots, own = self.slots, self.bundle.manifest
        if bundle.digest == self.bundle.digest:
            self.metrics.reloads.labels("same").inc()
            return False
        if bundle.manifest["created"] < own["created"]:
            raise BundleError(
                f"{self._path} must be newer than the bundle that answers ({own['created']}); got one of "
                f"{bundle.manifest['created']}; roll back instead, or start the service anew"
            )
        self._swap(replace(slots, former=slots.active), Predictor(bundle))
        self.metrics.reloads.labels("swapped").inc()
        return True

    def rollback(self) -> None:
        """Let the former bundle answer again; the present one becomes the former. Raises OperationError without one."""
        with self._switching:
            slots = self.slots
            if slots.former is None:
                raise OperationError(
                    "rollback needs a former bundle; got none since the start; reload a newer one first"
                )
            self._swap(replace(slots, former=slots.active), slots.former)

    def kill(self, on: bool) -> None:
        """Let the fallback answer everything, or no longer."""
        self._change(killed=on)

    def hold_out(self, share: float) -> None:
        """The share of markets, in [0, 1), that the fallback answers. Raises OperationError."""
        problem = field_mistake(ServiceSettings, "holdout", share, "service")
        if problem is not None:
            raise OperationError(problem)
        self._change(holdout=float(share))

    def shadow(self, on: bool) -> None:
        """Let the shadow bundle answer beside the active one, or no longer. Raises OperationError, BundleError."""
        predictor = None
        if on:
            if self._shadow_path is None:
                raise OperationError("shadow mode needs a second bundle; got none; start the service with one")
            predictor = Predictor(load_bundle(self._shadow_path, public_key=self._public_key))
            if set(predictor.bundle.catalogue.products) != set(self.bundle.catalogue.products):
                raise OperationError("the shadow must price the same products; got others; export it for this shop")
            if isinstance(predictor.policy, RecurrentPolicy):
                raise OperationError(
                    "the shadow must look at one period alone, as states carry the active policy's memory; got one that "
                    "looks back; compare it by `repricer evaluate`"
                )
        self._change(shadow=predictor)

    def status(self) -> dict[str, Any]:
        """Which policies there are and how the switches stand."""
        slots = self.slots
        bundles = {"active": slots.active, "former": slots.former, "shadow": slots.shadow}
        return {
            name: None if one is None else {"policy": one.policy.name, "bundle": one.bundle.digest}
            for name, one in bundles.items()
        } | {
            "fallback": slots.fallback.policy.name,
            "holdout": slots.holdout,
            "kill_switch": slots.killed,
            "outside_training_range": slots.drift.shares,
            "alarms": slots.drift.alarms,
        }

    def _change(self, **switches: Any) -> None:
        with self._switching:
            self._put(replace(self.slots, **switches))

    def _swap(self, slots: Slots, active: Predictor) -> None:
        fresh = self._slots_of(active)
        self._put(replace(slots, active=active, fallback=fresh.fallback, drift=fresh.drift))

    def _slots_of(self, active: Predictor) -> Slots:
        bundle = active.bundle
        return Slots(active, Predictor(bundle, fallback_policy(self._fallback, bundle)), DriftAlarm(bundle.seen.names))

    def _put(self, slots: Slots) -> None:
        self.slots = slots
        self.metrics.switched(slots.killed, slots.holdout)
        _log.info("switched", extra={"facts": self.status()})


def _propensities(chance: float, answer: PriceAnswer, other: PriceAnswer) -> dict[str, float]:
    """By product, the probability of its price: that of the arm, or 1 where the other arm says the same."""
    return {
        own.product: 1.0 if own.price == theirs.price else chance
        for own, theirs in zip(answer.prices, other.prices, strict=True)
    }


def _warnings(bundle: Bundle, markets: Iterable[int], outside: NDArray[np.bool_]) -> dict[int, list[str]]:
    """A line for each feature of a market that lies outside the training range."""
    said: dict[int, list[str]] = {}
    for i, market in zip(markets, outside, strict=True):
        for f in market.any(axis=0).nonzero()[0]:
            where = market[:, f].nonzero()[0]
            more = f" and {len(where) - 1} more" if len(where) > 1 else ""
            product = bundle.catalogue.products[where[0]]
            line = f"{bundle.seen.names[f]} of {product!r}{more} lies outside what the policy saw in training"
            said.setdefault(i, []).append(line)
    return said

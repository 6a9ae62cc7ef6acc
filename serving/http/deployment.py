"""The active policy, its fallback, the former policy and a shadow, and the switches between them."""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...pricing import RecurrentPolicy
from ..bundle.files import BundleError
from ..bundle.reading import Bundle, load_bundle
from ..bundle.training_range import DriftAlarm
from ..decision import Decision
from ..documents import field_mistake
from ..market_state import State, StateError, read_state
from ..predictor import ObservedMarkets, Predictor, PriceAnswer, PriceRequest
from .fallback import fallback_policy
from .metrics import Metrics
from .settings import ServiceSettings

_log = logging.getLogger(__name__)


class DeploymentError(ValueError):
    """A switch that cannot be changed now; the message is one line that says why."""


@dataclass(frozen=True)
class Slots:
    """The policies at one moment; replaced as a whole, so that no request sees a half-made change.

    Attributes:
        active: The bundle's policy.
        fallback: The rule for holdout markets and the kill switch.
        drift: The alarm for features outside the training range.
        former: The policy before the last reload.
        shadow: The policy whose prices are only recorded.
        holdout: Share of markets on the fallback.
        killed: Whether the fallback prices all markets.
    """

    active: Predictor
    fallback: Predictor
    drift: DriftAlarm
    former: Predictor | None = None
    shadow: Predictor | None = None
    holdout: float = 0.0
    killed: bool = False


class Deployment:
    """The policies of a running service.

    Thread-safe: switches change one at a time, and each answer uses one snapshot.

    Args:
        path: Folder of the bundle, which `reload` reads again.
        public_key: PEM file of the key that must have signed every bundle; any key by default.
        fallback: One of `FALLBACKS`.
        shadow_path: Folder of the shadow bundle.
        holdout: Share of markets that the fallback prices.
        killed: Whether to start with the kill switch on.
        seed: Key of the hash that assigns markets to the holdout.
        metrics: Counters to update; new ones by default.

    Raises:
        BundleError: The bundle cannot be trusted.
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
        self._switching, self._unnamed = threading.Lock(), itertools.count()
        self.slots = self._slots_of(Predictor(load_bundle(path, public_key=public_key)))
        self.hold_out(holdout)
        self.kill(killed)
        if shadow_path is not None:
            self.shadow(True)

    @property
    def bundle(self) -> Bundle:
        """The active bundle."""
        return self.slots.active.bundle

    def answer(self, states: Sequence[State]) -> list[Decision | StateError]:
        """Price several states together: one decision per state, or the error where a state is
        wrong.
        """
        slots, found = self.slots, dict[int, Decision | StateError]()
        asked, arms = dict[int, PriceRequest](), dict[int, str]()
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

    def preview(self, state: State) -> tuple[Predictor, ObservedMarkets, Decision]:
        """The predictor for this state, the market it observes, and its decision; nothing is
        counted. Raises StateError.
        """
        slots = self.slots
        predictor, arm = (slots.fallback, "fallback") if slots.killed else (slots.active, "policy")
        seen = predictor.observe([predictor.read(state)])
        bundle = slots.active.bundle
        warnings = bundle.seen.warnings(bundle.seen.outside(seen.features)[0], bundle.catalogue.products)
        answer = predictor.price_observed(seen)[0]
        return predictor, seen, Decision(state, answer, arm, 1.0, None, warnings)

    def _answered(
        self, slots: Slots, asked: dict[int, PriceRequest], arms: dict[int, str], states: Sequence[State]
    ) -> dict[int, Decision | StateError]:
        seen = slots.active.observe(list(asked.values()))
        warnings = self._watch(slots, list(asked), seen)
        shadows = self._shadow_answers(slots, [states[i] for i in asked])
        drawn = slots.holdout > 0 and not slots.killed
        # With a holdout both arms answer: a price that both give has probability 1.
        answers = {
            arm: predictor.price_observed(seen)
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
        """A named market always stays in its arm; an unnamed one is assigned anew each time, by
        number and period.
        """
        if slots.killed or not slots.holdout:
            return slots.killed
        # No name of a market begins like that.
        unnamed = "market" not in state
        name = f"\0{next(self._unnamed)} {state.get('date')} {state.get('period')}" if unnamed else state["market"]
        digest = hashlib.blake2b(name.encode(), key=self._key, digest_size=8).digest()
        return int.from_bytes(digest, "big") < slots.holdout * 2**64

    def _shadow_answers(self, slots: Slots, states: list[State]) -> list[PriceAnswer | None]:
        """The answers of the shadow policy; an error of the shadow costs no answer of the active
        policy.
        """
        if slots.shadow is None:
            return [None] * len(states)
        try:
            catalogue = slots.shadow.bundle.catalogue
            # The recurrent state in a request belongs to the active policy.
            asked = [PriceRequest(read_state(catalogue, state), None) for state in states]
            return list(slots.shadow.price_all(asked))
        except ValueError:
            self.metrics.shadow_failures.inc(len(states))
            return [None] * len(states)

    def _watch(self, slots: Slots, places: list[int], seen: ObservedMarkets) -> dict[int, list[str]]:
        """Count features outside the training range; returns the warnings by index of the market's
        state.
        """
        bundle = slots.active.bundle
        outside = bundle.seen.outside(seen.features)
        slots.drift.add(outside)
        if not outside.any():
            return {}
        self.metrics.outside(dict(zip(bundle.seen.names, outside.sum(axis=(0, 1)).tolist(), strict=True)))
        products = bundle.catalogue.products
        return {i: bundle.seen.warnings(own, products) for i, own in zip(places, outside, strict=True) if own.any()}

    def reload(self) -> bool:
        """Load the bundle from its path again, verify it and activate it; the former one is kept
        for `rollback`.

        Returns:
            Whether it is another bundle than before.

        Raises:
            BundleError: The bundle cannot be trusted or is older than the active one; nothing
                changes.
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
                f"{self._path} must be newer than the active bundle ({own['created']}); got one of "
                f"{bundle.manifest['created']}; roll back instead"
            )
        self._swap(replace(slots, former=slots.active), Predictor(bundle))
        self.metrics.reloads.labels("swapped").inc()
        return True

    def activate(self, bundle: Bundle) -> None:
        """Activate another bundle, older or newer, as another instance did."""
        with self._switching:
            self._swap(replace(self.slots, former=self.slots.active), Predictor(bundle))

    def verified(self, files: Mapping[str, bytes]) -> Bundle:
        """The bundle in these files. Raises BundleError where it cannot be trusted."""
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                (Path(folder) / name).write_bytes(content)
            return load_bundle(folder, public_key=self._public_key)

    @property
    def path(self) -> Path:
        """Folder of the bundle."""
        return self._path

    def rollback(self) -> None:
        """Activate the former bundle again; the present one becomes the former. Raises
        DeploymentError without one.
        """
        with self._switching:
            slots = self.slots
            if slots.former is None:
                raise DeploymentError(
                    "rollback needs a former bundle; got none since the start; reload a newer one first"
                )
            self._swap(replace(slots, former=slots.active), slots.former)

    def kill(self, on: bool) -> None:
        """Turn the kill switch on or off. Raises DeploymentError for anything but True and False."""
        if not isinstance(on, bool):
            raise DeploymentError(f"kill switch must be true or false; got {on!r}; fix it")
        self._change(killed=on)

    def hold_out(self, share: float) -> None:
        """Set the share of markets, in [0, 1), that the fallback prices. Raises DeploymentError."""
        problem = field_mistake(ServiceSettings, "holdout", share, "service")
        if problem is not None:
            raise DeploymentError(problem)
        self._change(holdout=float(share))

    def shadow(self, on: bool) -> None:
        """Turn shadow mode on or off. Raises DeploymentError, BundleError."""
        predictor = None
        if on:
            if self._shadow_path is None:
                raise DeploymentError("shadow mode needs a second bundle; got none; start the service with one")
            predictor = Predictor(load_bundle(self._shadow_path, public_key=self._public_key))
            if set(predictor.bundle.catalogue.products) != set(self.bundle.catalogue.products):
                raise DeploymentError("the shadow must price the same products; got others; export it for this shop")
            if isinstance(predictor.policy, RecurrentPolicy):
                raise DeploymentError(
                    "the shadow must have no recurrent state, as states carry that of the active policy; got a recurrent "
                    "policy; compare it by `repricer evaluate`"
                )
        self._change(shadow=predictor)

    def status(self) -> dict[str, Any]:
        """The loaded policies and the position of every switch."""
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

    def record_drift(self) -> None:
        """Bring the drift alarms into the metrics."""
        drift = self.slots.drift
        self.metrics.drifted(drift.shares, drift.alarms)

    def _change(self, **switches: Any) -> None:
        with self._switching:
            self.put(replace(self.slots, **switches))

    def _swap(self, slots: Slots, active: Predictor) -> None:
        fresh = self._slots_of(active)
        self.put(replace(slots, active=active, fallback=fresh.fallback, drift=fresh.drift))

    def _slots_of(self, active: Predictor) -> Slots:
        bundle = active.bundle
        return Slots(active, Predictor(bundle, fallback_policy(self._fallback, bundle)), DriftAlarm(bundle.seen.names))

    def put(self, slots: Slots) -> None:
        """Replace all policies and switches at once."""
        self.slots = slots
        self.metrics.switched(slots.killed, slots.holdout, slots.active.bundle)
        _log.info("switched", extra={"facts": self.status()})


def _propensities(chance: float, answer: PriceAnswer, other: PriceAnswer) -> dict[str, float]:
    """Probability of each product's price: that of the arm, or 1 where the other arm gives the same
    price.
    """
    return {
        own.product: 1.0 if own.price == theirs.price else chance
        for own, theirs in zip(answer.prices, other.prices, strict=True)
    }

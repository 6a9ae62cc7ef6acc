"""The active policy, its fallback, the former policy and a shadow, and the switches between them."""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...pricing import RecurrentPolicy
from ..bundle.files import BundleError
from ..bundle.reading import Bundle, load_bundle
from ..bundle.training_range import DriftAlarm
from ..decision import CANARY, FALLBACK, POLICY, Decision
from ..documents import field_mistake
from ..explanation.preview import preview
from ..market_state import State, StateError, read_state
from ..predictor import ObservedMarkets, Predictor, PriceAnswer, PriceRequest
from .canary.guards import LIMITS
from .canary.trial import Trial, Tried
from .fallback import fallback_policy
from .metrics import Metrics
from .settings import ServiceSettings
from .slots import Slots, propensity

_log = logging.getLogger(__name__)


class DeploymentError(ValueError):
    """A switch that cannot be changed now; the message is one line that says why."""


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

    @property
    def digests(self) -> dict[str, str | None]:
        """Of the active bundle, and of the one on trial."""
        trial = self.slots.trial
        return {"bundle": self.bundle.digest, "canary": None if trial is None else trial.predictor.bundle.digest}

    def answer(self, states: Sequence[State], slots: Slots | None = None) -> list[Decision | StateError]:
        """Price several states together: one decision per state, or the error where a state is
        wrong.

        Args:
            states: The states.
            slots: The policies to answer with; those of this moment by default.
        """
        slots, found = slots or self.slots, dict[int, Decision | StateError]()
        asked, arms = dict[int, PriceRequest](), dict[int, str]()
        for i, state in enumerate(states):
            try:
                asked[i] = slots.active.read(state)
                arms[i] = self._arm(slots, state)
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
        predictor, arm = self.chosen(state)
        return predictor, *preview(predictor, arm, state)

    def chosen(self, state: State) -> tuple[Predictor, str]:
        """Who would answer a state of a named market, and its arm; the state may be anything."""
        slots = self.slots
        if slots.killed:
            return slots.fallback, FALLBACK
        named = isinstance(state, Mapping) and isinstance(state.get("market"), str)
        if slots.trial is not None and named and self._arm(slots, state) == CANARY:
            return slots.trial.predictor, CANARY
        return slots.active, POLICY

    def _answered(
        self, slots: Slots, asked: dict[int, PriceRequest], arms: dict[int, str], states: Sequence[State]
    ) -> dict[int, Decision | StateError]:
        seen = slots.active.observe(list(asked.values()))
        warnings = self._watch(slots, list(asked), seen)
        shadows = self._shadow_answers(slots, [states[i] for i in asked])
        trial, share = slots.trial, 0.0 if slots.trial is None else slots.trial.share
        alone = slots.chances(0.0)
        # Where an arm is drawn, all answer: a price that all give has probability 1.
        own = {
            arm: predictor.price_observed(seen)
            for arm, predictor in ((POLICY, slots.active), (FALLBACK, slots.fallback))
            if arm in alone
        }
        tried = Tried.nothing(len(asked)) if trial is None else trial.answers([states[i] for i in asked])
        if trial is not None:
            trial.guards.compare(own[POLICY], tried.answers, tried.outside, slots.drift.alarms)
        decisions: dict[int, Decision | StateError] = {}
        for place, i in enumerate(asked):
            answers, newer = {arm: each[place] for arm, each in own.items()}, tried.answers[place]
            if newer is not None:
                answers[CANARY] = newer
            arm = arms[i] if arms[i] in answers else POLICY
            chance = propensity(arm, alone if newer is None else slots.chances(share), answers)
            said = tried.warnings.get(place, []) if arm == CANARY else warnings.get(i, [])
            decisions[i] = Decision(states[i], answers[arm], arm, chance, shadows[place], said)
        return decisions

    def _arm(self, slots: Slots, state: State) -> str:
        """A named market always stays in its arm; an unnamed one is assigned anew each time, by
        number and period.
        """
        trial = slots.trial
        if slots.killed or not (slots.holdout or trial):
            return FALLBACK if slots.killed else POLICY
        # No name of a market begins like that.
        unnamed = "market" not in state
        name = f"\0{next(self._unnamed)} {state.get('date')} {state.get('period')}" if unnamed else state["market"]
        if self._draw(name) < slots.holdout:
            return FALLBACK
        return CANARY if trial is not None and self._draw(name, CANARY) < trial.share else POLICY

    def _draw(self, name: str, purpose: str = "") -> float:
        """The number in [0, 1) that a name always gets."""
        digest = hashlib.blake2b(name.encode(), key=self._key, digest_size=8, person=purpose.encode()).digest()
        return int.from_bytes(digest, "big") / 2**64

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

    def try_newer(self, share: float, bundle: Bundle | None = None) -> bool:
        """Let a newer bundle price a share of the markets.

        Args:
            share: In (0, 1).
            bundle: The bundle; the one at the path by default.

        Returns:
            Whether it is another bundle than the active one; else nothing changes.

        Raises:
            BundleError: It cannot be trusted, is older, or prices other products.
        """
        bundle = bundle or load_bundle(self._path, public_key=self._public_key)
        with self._switching:
            running = self.slots.canary
            if bundle.digest == self.bundle.digest:
                return False
            if running is not None and running.predictor.bundle.digest == bundle.digest and not running.guards.stopped:
                self.put(replace(self.slots, canary=replace(running, share=share)))
            else:
                self.put(replace(self.slots, canary=Trial.of(bundle, self.bundle, share)))
        return True

    def end_trial(self) -> None:
        """Let the active bundle price all markets again."""
        self._change(canary=None)

    def promote(self) -> None:
        """Activate the bundle on trial; the present one becomes the former. Raises DeploymentError
        without one.
        """
        with self._switching:
            slots = self.slots
            if slots.canary is None:
                raise DeploymentError("promote needs a canary; got none; start one or reload")
            self._swap(replace(slots, former=slots.active), slots.canary.predictor)

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
            "canary": None if slots.canary is None else slots.canary.facts,
            "holdout": slots.holdout,
            "kill_switch": slots.killed,
            "outside_training_range": slots.drift.shares,
            "alarms": slots.drift.alarms,
        }

    def record_drift(self) -> None:
        """Bring the drift alarms and the guards of a newer bundle into the metrics."""
        drift, canary = self.slots.drift, self.slots.canary
        guards = dict.fromkeys(LIMITS, 0.0) if canary is None else canary.guards.values
        self.metrics.drifted(drift.shares, drift.alarms, guards)

    def _change(self, **switches: Any) -> None:
        with self._switching:
            self.put(replace(self.slots, **switches))

    def _swap(self, slots: Slots, active: Predictor) -> None:
        fresh = self._slots_of(active)
        self.put(replace(slots, active=active, fallback=fresh.fallback, drift=fresh.drift, canary=None))

    def _slots_of(self, active: Predictor) -> Slots:
        bundle = active.bundle
        return Slots(active, Predictor(bundle, fallback_policy(self._fallback, bundle)), DriftAlarm(bundle.seen.names))

    def put(self, slots: Slots) -> None:
        """Replace all policies and switches at once."""
        self.slots = slots
        share = 0.0 if slots.canary is None else slots.canary.share
        self.metrics.switched(slots.killed, slots.holdout, share, slots.active.bundle)
        _log.info("switched", extra={"facts": self.status()})

"""The active policy, its fallback, the former policy and a shadow, and the switches between them."""

from __future__ import annotations

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
from ..decision import CANARY, FALLBACK, POLICY, Decision, preview
from ..documents import field_mistake
from ..market_state import State, StateError
from ..predictor import ObservedMarkets, Predictor
from .answering.slots import Answered, Counted, Draws, Slots, answered
from .canary.guards import LIMITS
from .canary.trial import Trial
from .fallback import fallback_policy
from .metrics import Metrics
from .settings import ServiceSettings

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
        self._fallback, self._draws = fallback, Draws(seed.to_bytes(8, "big"), itertools.count())
        self.metrics = metrics or Metrics()
        self._switching = threading.Lock()
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

    def answer(self, states: Sequence[State]) -> list[Decision | StateError]:
        """Price several states together: one decision per state, or the error where a state is
        wrong.
        """
        slots = self.slots
        found = answered(slots, self._draws, states)
        self.judge(slots, found)
        return found.found

    def judge(self, slots: Slots, found: Answered) -> None:
        """Count what these policies answered, and let the guards judge a newer bundle by it."""
        self.count(slots, found.counted)
        if slots.canary is not None and found.tried is not None:
            active, newer = found.tried
            slots.canary.guards.compare(active, newer.answers, newer.outside, slots.drift.alarms)

    def count(self, slots: Slots, counted: Counted) -> None:
        """Count what these policies answered."""
        slots.drift.count(counted.products, counted.outside)
        self.metrics.counted(counted, slots.active.bundle.seen.names)

    def draws_of_one(self) -> tuple[bytes, object]:
        """What assigns the markets of one large request to arms, see `LargeRequest`."""
        return self._draws.key, next(self._draws.numbers)

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
        arm, trial = self._draws.arm(slots, state) if named else POLICY, slots.canary
        if arm == CANARY and trial is not None:
            return trial.predictor, CANARY
        return (slots.fallback, FALLBACK) if arm == FALLBACK else (slots.active, POLICY)

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
        own = self.bundle.manifest
        if bundle.digest == self.bundle.digest:
            self.metrics.reloads.labels("same").inc()
            return False
        if bundle.manifest["created"] < own["created"]:
            raise BundleError(
                f"{self._path} must be newer than the active bundle ({own['created']}); got one of "
                f"{bundle.manifest['created']}; roll back instead"
            )
        self._swap(Predictor(bundle))
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
            canary = self.slots.canary
            if canary is None:
                raise DeploymentError("promote needs a canary; got none; start one or reload")
            self._swap(canary.predictor)

    def activate(self, bundle: Bundle) -> None:
        """Activate another bundle, older or newer, as another instance did."""
        with self._switching:
            self._swap(Predictor(bundle))

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
            former = self.slots.former
            if former is None:
                raise DeploymentError(
                    "rollback needs a former bundle; got none since the start; reload a newer one first"
                )
            self._swap(former)

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

    def _swap(self, active: Predictor) -> None:
        """Activate a policy; the present one becomes the former."""
        fresh, former = self._slots_of(active), self.slots.active
        own = {"active": active, "fallback": fresh.fallback, "drift": fresh.drift}
        self.put(replace(self.slots, **own, former=former, canary=None))

    def _slots_of(self, active: Predictor) -> Slots:
        bundle = active.bundle
        return Slots(active, Predictor(bundle, fallback_policy(self._fallback, bundle)), DriftAlarm(bundle.seen.names))

    def put(self, slots: Slots) -> None:
        """Replace all policies and switches at once."""
        self.slots = slots
        share = 0.0 if slots.canary is None else slots.canary.share
        self.metrics.switched(slots.killed, slots.holdout, share, slots.active.bundle)
        _log.info("switched", extra={"facts": self.status()})

"""The active policy, its fallback and the newer one on trial, as the `switchboard` says."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

from ..bundle.files import BundleError
from ..bundle.reading import Bundle, DriftAlarm
from ..decision import CANARY, FALLBACK, POLICY, Decision, preview
from ..decision_log.chain import EMPTY, ChainError
from ..decision_log.log import DecisionLog, temporary_log
from ..decision_log.storage import LogError
from ..documents import FilePath
from ..market_state import State, StateError
from ..predictor import ObservedMarkets, Predictor, fallback_policy
from .bundles import Bundles
from .canary.guards import MEANINGS, GuardRules
from .canary.money import confidence_of_loss
from .canary.trial import Trial
from .metrics import Metrics
from .settings import ServiceSettings
from .slots import ArmAssignment, Slots, answered
from .switchboard import DeploymentError, Positions, Transitions

_FOLLOW_SECONDS = 0.5
"""Between two looks at what other instances have thrown."""
_THROW_TRIES = 5
_EARLIEST = dt.timezone(dt.timedelta(hours=14))
"""Where a day begins first."""
_log = logging.getLogger(__name__)


class Deployment:
    """The policies of a running service: a replay of the events of its log, the same in every instance on that log.

    Thread-safe: switches change one at a time, and each answer uses one snapshot. Every transition is recorded before it
    takes effect.

    Args:
        path: Folder of the bundle, which `reload` reads again.
        public_key: PEM file of the key that must have signed every bundle; any key by default.
        settings: How the service runs.
        log: Where transitions are recorded; by default one in a temporary file, which ends with the process.
        guards: What the guards of a trial judge by.

    Raises:
        BundleError: The bundle cannot be trusted.
        ValueError: The log cannot be replayed.
    """

    def __init__(
        self,
        path: FilePath,
        settings: ServiceSettings | None = None,
        *,
        public_key: FilePath | None = None,
        log: DecisionLog | None = None,
        guards: GuardRules | None = None,
    ) -> None:
        settings = settings or ServiceSettings()
        self.log = log or temporary_log()
        self._bundles = Bundles(path, public_key, self.log, settings.jurisdictions)
        self._fallback = settings.fallback
        self._draws = ArmAssignment(settings.seed)
        self._share = settings.canary
        self.metrics = Metrics()
        self._switching = threading.RLock()
        self._guards = guards or GuardRules()
        self._counted = -math.inf
        self._complaints = list[str]()
        self.positions = Positions()
        self._tail = EMPTY
        self._following: Any = None  # the bundles that the policies are of
        self._prepared: tuple[Positions, Slots] | None = None
        self._start(settings)

    def _start(self, settings: ServiceSettings) -> None:
        """Begin with the bundle at the path where it is new, else with the active one of the log. Raises BundleError,
        ValueError.
        """
        self._read()
        loaded = None
        wrong = ""
        try:
            loaded = self._bundles.at_path()
        except BundleError as error:
            if not self.positions.active:
                raise
            wrong = str(error)

        def thrown(now: Positions) -> Transitions:
            nonlocal wrong
            digest = loaded.digest if loaded else now.active
            if loaded and now.active and digest not in now.seen:
                try:
                    self._bundles.check_update(loaded, now.active)
                except BundleError as error:
                    digest = now.active
                    wrong = str(error)
            return now.started(digest, settings.killed, self._share, settings.holdout)

        self.slots = self._fresh(loaded or self._bundles.get(self.positions.active))
        self.throw(thrown, "start", "a bundle not seen yet")
        self._catch_up()
        if loaded is None or self.positions.active != loaded.digest:
            facts = {"active": self.positions.active, "at_path": loaded and loaded.digest, "reason": wrong}
            _log.warning("the bundle at the path is not the active one", extra={"facts": facts})

    @property
    def bundle(self) -> Bundle:
        """The active bundle."""
        return self.slots.active.bundle

    def answer(self, states: Sequence[State], slots: Slots | None = None) -> list[Decision | StateError]:
        """Price several states together: one decision per state, or the error where a state is
        wrong. Counts them, and lets the guards judge a newer bundle by them.

        Args:
            states: The states.
            slots: The policies that answer; the present ones by default.
        """
        slots = slots or self.slots
        found, outside = answered(slots, self._draws, states)
        decisions = [one for one in found if isinstance(one, Decision)]
        self.metrics.decided(decisions, outside, slots.active.bundle.seen.names)
        return found

    def preview(self, state: State) -> tuple[Predictor, ObservedMarkets, Decision]:
        """The predictor for this state, the market it observes, and its decision; nothing is
        counted. Raises StateError.
        """
        slots = self.slots
        if isinstance(state, Mapping) and isinstance(state.get("market"), str):
            arm = self._draws.arm(slots, state)
        else:
            arm = FALLBACK if slots.killed else POLICY
        predictor = slots.active
        if arm == FALLBACK:
            predictor = slots.fallback
        elif arm == CANARY and slots.trial:
            predictor = slots.trial.predictor
        return predictor, *preview(predictor, arm, state)

    def reload(self, by: str = "unnamed", reason: str = "") -> bool:
        """Let the bundle at the path take over, once it is verified: a share of the markets where one is set, else all.

        Returns:
            Whether it is another bundle than the active one.

        Raises:
            BundleError: The bundle cannot be trusted or is older than the active one; nothing
                changes.
            DeploymentError: It was taken back.
            LogError: It cannot be recorded.
        """
        try:
            bundle = self._bundles.at_path()

            def decided(now: Positions) -> Transitions:
                self._bundles.check_update(bundle, now.active)
                return now.reloaded(bundle.digest, self._share)

            thrown = self.throw(decided, by, reason)
        except (BundleError, DeploymentError):
            self.metrics.reloads.labels("refused").inc()
            raise
        change = "same"
        if thrown:
            change = "tried" if self._share else "swapped"
        self.metrics.reloads.labels(change).inc()
        return bool(thrown)

    def try_newer(self, share: float, by: str = "unnamed", reason: str = "") -> None:
        """Let the bundle at the path price a share, in (0, 1), of the markets; with 0, the one on trial is taken back.

        Raises:
            BundleError: The bundle cannot be trusted or is older than the active one.
            DeploymentError: It is the active one.
            LogError: It cannot be recorded.
        """
        bundle = self._bundles.at_path() if share else None

        def decided(now: Positions) -> Transitions:
            if bundle is None:
                return [("canary", None)]
            self._bundles.check_update(bundle, now.active)
            return now.tried(bundle.digest, share)

        self.throw(decided, by, reason)

    def promote(self, by: str = "unnamed", reason: str = "", *, unjudged: bool = False) -> None:
        """Activate the bundle on trial; the present one becomes the former.

        Args:
            by: Who.
            reason: Why.
            unjudged: Whether it is activated though the money guard cannot judge.

        Raises:
            DeploymentError: There is none, or a guard has stopped it or cannot judge.
            LogError: It cannot be recorded.
        """

        def decided(now: Positions) -> Transitions:
            if now.trial is not None:
                self._check_judged(now.trial.number, unjudged=unjudged)
            return now.promoted()

        self.throw(decided, by, reason)

    def _check_judged(self, number: int, *, unjudged: bool) -> None:
        """Refuse a bundle on trial that a guard has stopped, or, unless so asked, whose money cannot be judged; a trial that
        another instance began, and this one does not follow yet, has no judgement here. Raises DeploymentError.
        """
        canary = self.slots.canary
        guards = canary.guards if canary is not None and canary.number == number else None
        if guards is not None and guards.stopped:
            raise DeploymentError(f"promote needs a canary that no guard has stopped; got {guards.stopped[1]}")
        if not unjudged and (guards is None or guards.values["money"] is None):
            got = f"the guard money, which cannot judge: {MEANINGS['money']}, of {self._guards.least_markets} of each at least"
            raise DeploymentError(
                f'promote needs a canary whose guards can judge; got {got}; wait, or send "unjudged": true'
            )

    def rollback(self, by: str = "unnamed", reason: str = "", *, to: str | None = None) -> None:
        """Activate an earlier bundle again, by default the former, and take the present one back. Raises DeploymentError,
        LogError.
        """
        self.throw(lambda now: now.rolled_back(to), by, reason)

    def kill(self, on: bool, by: str = "unnamed", reason: str = "") -> None:
        """Turn the kill switch on or off. Raises LogError."""
        self.throw(lambda _: [("kill_switch", on)], by, reason)

    def hold_out(self, share: float, by: str = "unnamed", reason: str = "") -> None:
        """Set the share of markets, in [0, 1), that the fallback prices. Raises LogError."""
        self.throw(lambda _: [("holdout", float(share))], by, reason)

    def certify(self, facts: dict[str, Any], by: str = "unnamed", reason: str = "") -> None:
        """Put on record what the sales of both arms show; the facts are those of `bodies.Certificate`. Raises
        DeploymentError, LogError.
        """
        latest = str(dt.datetime.now(_EARLIEST).date())
        self.throw(lambda now: now.certified(facts, latest), by, reason)

    def throw(self, decide: Callable[[Positions], Transitions], by: str, reason: str = "") -> Transitions:
        """Record transitions, and make them; nothing changes where either fails.

        Args:
            decide: Gives them for the present positions.
            by: Who.
            reason: Why.

        Raises:
            DeploymentError: They cannot be made now.
            BundleError: A bundle cannot be trusted.
            LogError: They cannot be recorded.
        """
        with self._switching:
            for _ in range(_THROW_TRIES):
                thrown = decide(self.positions)
                if not thrown:
                    return thrown
                positions = self.positions.after(thrown)
                swaps = positions.bundles != self.positions.bundles
                # What fails does so before it is recorded; a kill switch waits for no bundle.
                self._prepared = (positions, self._slots(positions)) if swaps else None
                if self.log.record_switches(self._tail, thrown, by, reason, self._bundles.files(positions)):
                    self._catch_up(swap=swaps)
                    for switch, position in thrown:
                        facts = {"switch": switch, "position": position, "by": by, "reason": reason}
                        _log.info("thrown", extra={"facts": facts})
                    return thrown
                self._read()  # another instance was first
        raise DeploymentError("switches must be thrown one at a time; got others meanwhile; try again")

    async def follow(self, operator: Executor) -> None:
        """Do as other instances do, in one of these threads, until cancelled."""
        while True:
            await asyncio.sleep(_FOLLOW_SECONDS)
            await asyncio.get_running_loop().run_in_executor(operator, self._follow)

    def status(self) -> dict[str, Any]:
        """The loaded policies and the position of every switch."""
        slots = self.slots
        former = self.positions.former
        return {
            "active": {"policy": slots.active.policy.name, "bundle": self.bundle.digest},
            "former": None if former is None else {"bundle": former},
            "canary": None if slots.canary is None else slots.canary.facts,
            **{"fallback": slots.fallback.policy.name, "holdout": slots.holdout, "kill_switch": slots.killed},
            "seed": self._draws.seed,
            "certificate": self.positions.certificate,
            **{"outside_training_range": slots.drift.shares, "alarms": slots.drift.alarms},
        }

    def _follow(self) -> None:
        complaints = []
        for step in (self._catch_up, self._guard):
            try:
                step()
            except (LogError, ChainError, BundleError, DeploymentError) as error:
                complaints.append(str(error))
        if not complaints:
            self.metrics.followed.set_to_current_time()
        if complaints and complaints != self._complaints:
            _log.error("switches not followed", extra={"facts": {"reason": "; ".join(complaints)}})
        self._complaints = complaints

    def _catch_up(self, *, swap: bool = True) -> None:
        """The one path from events to policies: do what was recorded, here or by another instance."""
        with self._switching:
            self._read()
            now = self.positions
            # The switches at once: a bundle may fail to load.
            self._put(replace(self.slots, killed=now.killed, holdout=now.holdout or 0.0))
            if swap and now.bundles != self._following:
                self._put(self._slots(now))
                self._following = now.bundles

    def _guard(self) -> None:
        """Count the money of a trial from time to time, and end one that a guard has stopped."""
        canary = self.slots.canary
        if canary is None:
            return
        bundle = canary.predictor.bundle
        rules = self._guards
        if time.monotonic() > self._counted + rules.money_seconds:
            self._counted = time.monotonic()
            around = self.log.sold_around_trial(bundle.digest, rules.money_decisions)
            costs = _costs(bundle)
            vat = _vat(bundle)
            canary.guards.earned(confidence_of_loss(around, bundle.digest, costs, vat, rules.least_markets))
        if canary.guards.stopped:
            guard, words = canary.guards.stopped
            stopped = self.throw(lambda now: now.stopped(canary.number, guard), "guard", f"{guard}: {words}")
            if stopped:
                self.metrics.canaries.labels(guard).inc()

    def _read(self) -> None:
        """Replay the events that were not read before."""
        thrown, self._tail = self.log.transitions(self._tail)
        self.positions = self.positions.after(thrown)

    def _slots(self, positions: Positions) -> Slots:
        """The policies for these positions. Raises BundleError, DeploymentError."""
        if self._prepared is not None and self._prepared[0] == positions:
            return self._prepared[1]
        slots = self.slots
        canary = None
        if positions.active != self.bundle.digest:
            slots = self._fresh(self._bundles.get(positions.active))
        if positions.trial is not None:
            trial, canary = positions.trial, self.slots.canary
            if canary and canary.number == trial.number:
                canary = replace(canary, share=trial.share)  # it goes on
            else:
                canary = Trial.of(self._bundles.get(trial.bundle), slots.active.bundle, trial, self._guards)
                count = self._guards.window // slots.active.bundle.catalogue.num_products + 1
                canary.remember(slots.active, self.log.states_on_trial(trial.bundle, count))
        return replace(slots, killed=positions.killed, holdout=positions.holdout or 0.0, canary=canary)

    def _fresh(self, bundle: Bundle) -> Slots:
        fallback = Predictor(bundle, fallback_policy(self._fallback, bundle))
        return Slots(Predictor(bundle), fallback, DriftAlarm(bundle.seen.names))

    def _put(self, slots: Slots) -> None:
        """Replace all policies and switches at once."""
        self.slots = slots
        now = self.positions
        self._bundles.keep({now.active, now.former, now.trial and now.trial.bundle})


def _costs(bundle: Bundle) -> dict[str, float]:
    """Unit costs by product where the bundle's objective is profit, currency per unit."""
    if bundle.manifest["objective"] != "profit":
        return {}
    return dict(zip(bundle.catalogue.products, bundle.catalogue.unit_cost.tolist(), strict=True))


def _vat(bundle: Bundle) -> dict[str, float]:
    """Value added tax in prices by product, a share of the price without it; empty where there is none."""
    vat = bundle.catalogue.vat
    return {} if vat is None else dict(zip(bundle.catalogue.products, vat.tolist(), strict=True))

"""Faults that the service had, or might get, put back: the simulation must find each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from repricer.pricing import Guardrails
from repricer.serving.decision_log import maintenance, replies
from repricer.serving.decision_log.log import DecisionLog
from repricer.serving.decision_log.storage import Storage, start_of
from repricer.serving.decision_log.tables import DECISIONS
from repricer.serving.http.canary import money
from repricer.serving.http.canary.trial import Trial
from repricer.serving.http.deployment import Deployment
from repricer.serving.http.desk import Desk
from repricer.serving.http.switchboard import DeploymentError, Positions
from sqlalchemy import func, select

Plant = Callable[[pytest.MonkeyPatch], None]


def _older_start(patch: pytest.MonkeyPatch) -> None:
    start = Deployment._start

    def as_it_was(self: Deployment, settings: Any) -> None:
        self._bundles.check_update = lambda *_: None
        try:
            start(self, settings)
        finally:
            del self._bundles.check_update

    patch.setattr(Deployment, "_start", as_it_was)


def _toggle(patch: pytest.MonkeyPatch) -> None:
    def rolled_back(self: Positions, target: str | None = None) -> Any:
        if self.former is None:
            raise DeploymentError("rollback needs a former bundle; got none; reload a newer one first")
        return [("bundle", self.former)]

    patch.setattr(Positions, "rolled_back", rolled_back)


def _rotation_by_highest(patch: pytest.MonkeyPatch) -> None:
    def older(storage: Storage, days: float) -> int:
        d = DECISIONS.c
        start = start_of(DECISIONS, storage.rows).rows
        return (
            maintenance._one(storage.rows, select(func.max(d.id)).where(d.time < maintenance._ago(days))) or start
        ) - start

    patch.setattr(maintenance, "older", older)


def _certificate_survives(patch: pytest.MonkeyPatch) -> None:
    activated = Positions._activated

    def as_it_was(self: Positions, digest: str) -> Positions:
        return replace(activated(self, digest), certificate=self.certificate)

    patch.setattr(Positions, "_activated", as_it_was)


def _retry_recorded_twice(patch: pytest.MonkeyPatch) -> None:
    """What an answer of 503 left unsettled is recorded again."""
    patch.setattr("repricer.serving.decision_log.log.kept", lambda *_: None)
    patch.setattr("repricer.serving.http.prices.kept", lambda *_, **__: None)
    keep = replies.keep

    def kept_anew(writing: Any, reply: Any) -> None:
        writing.do(replies.delete(replies.REPLIES).where(replies.REPLIES.c.id == reply.request_id))
        keep(writing, reply)

    patch.setattr("repricer.serving.decision_log.log.keep", kept_anew)


def _answered_before_commit(patch: pytest.MonkeyPatch) -> None:
    async def at_once(_: Any) -> None:
        return None

    patch.setattr("repricer.serving.http.prices.committed", at_once)


def _outcome_twice(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("repricer.serving.decision_log.outcomes.outcomes_of", lambda _: iter(()))


def _kill_switch_at_start_only(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Deployment, "_follow", Deployment._guard)


def _fallback_without_rules(patch: pytest.MonkeyPatch) -> None:
    apply = Guardrails.apply

    def unguarded(self: Guardrails, action: Any, view: Any) -> Any:
        return replace(apply(self, action, view), price=action.price)

    patch.setattr(Guardrails, "apply", unguarded)


def _taken_back_at_start(patch: pytest.MonkeyPatch) -> None:
    """A bundle that was seen before takes over where it lies at the path of an instance that starts."""

    def started(self: Positions, digest: str, *_: Any) -> Any:
        return [("bundle", digest)] if digest != self.active else []

    patch.setattr(Positions, "started", started)


def _switch_in_memory(patch: pytest.MonkeyPatch) -> None:
    """A kill switch takes effect where it is thrown, and is not recorded where the log refuses it."""
    throw = Deployment.throw

    def thrown(self: Deployment, decide: Any, by: str, reason: str = "") -> Any:
        try:
            return throw(self, decide, by, reason)
        except OSError:
            transitions = decide(self.positions)
            self.positions = self.positions.after(transitions)
            self._put(replace(self.slots, killed=self.positions.killed))
            return transitions

    patch.setattr(Deployment, "throw", thrown)


def _money_of_the_last_decisions(patch: pytest.MonkeyPatch) -> None:
    """Once enough decisions follow the start of a trial, those before it are not read."""

    def sold_around_trial(self: DecisionLog, bundle: str, count: int) -> Any:
        first, end = self.trial_began(bundle), self.ends()
        last = max(end[0] - count, 0) + 1
        return self.sold((first - 1, end[1]), last), self.sold(end, max(first, last))

    patch.setattr(DecisionLog, "sold_around_trial", sold_around_trial)


def _judged_without_grounds(patch: pytest.MonkeyPatch) -> None:
    """The money guard reads 0 where it cannot judge."""
    judge = money.confidence_of_loss

    def confidence_of_loss(*args: Any) -> float:
        return judge(*args) or 0.0

    patch.setattr("repricer.serving.http.deployment.confidence_of_loss", confidence_of_loss)


def _losses_before_left_out(patch: pytest.MonkeyPatch) -> None:
    """The money guard leaves out markets that earned nothing, or less, before the trial."""
    by_market = money._by_market

    def positive(*args: Any) -> Any:
        return {key: earned for key, earned in by_market(*args).items() if sum(earned) > 0}

    patch.setattr(money, "_by_market", positive)


def _guards_forget(patch: pytest.MonkeyPatch) -> None:
    """What the guards have seen dies with the process."""
    patch.setattr(Trial, "remember", lambda *_: None)


def _trial_by_the_clock(patch: pytest.MonkeyPatch) -> None:
    """A trial starts with the first decision that is not older by its clock."""

    def trial_began(self: DecisionLog, bundle: str) -> int:
        time = ""
        for act in self.events("canary", "bundle", "guard"):
            tried = act["position"] if act["event"] == "canary" else None
            is_on = tried is not None and tried["bundle"] == bundle
            time = (time or act["time"]) if is_on else ""
        first, after = start_of(DECISIONS, self.rows).rows + 1, self.ends()[0] + 1
        while time and first < after:
            middle = (first + after) // 2
            if any(self.rows(select(DECISIONS.c.id).where(DECISIONS.c.id == middle, DECISIONS.c.time >= time))):
                after = middle
            else:
                first = middle + 1
        return after

    patch.setattr(DecisionLog, "trial_began", trial_began)


def _stale_approval(patch: pytest.MonkeyPatch) -> None:
    """A decision is about the row as it is, whatever its approver saw."""
    decide = Desk.decide

    def as_it_was(self: Desk, decisions: Any, by: str, products: Any = ()) -> Any:
        now = {row.key: row.seen for row in self._current()}
        blind = [msgspec.structs.replace(one, seen=now[one.zone, one.product, one.week]) for one in decisions]
        return decide(self, blind, by, products)

    patch.setattr(Desk, "decide", as_it_was)


def _decided_by_of_the_file(patch: pytest.MonkeyPatch) -> None:
    make_live = Desk.make_live

    def as_it_was(self: Desk, by: str, *, is_known: bool = False) -> Any:
        return make_live(self, by)

    patch.setattr(Desk, "make_live", as_it_was)


def _decided_by_of_the_body(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("repricer.serving.http.desk_routes._caller", lambda _, by: by)


FAULTS: Mapping[str, Plant] = {
    "a start activates an older bundle": _older_start,
    "a rollback is a toggle": _toggle,
    "a start activates a bundle that was taken back": _taken_back_at_start,
    "rotation deletes up to the highest old row": _rotation_by_highest,
    "a certificate survives a change of bundle": _certificate_survives,
    "a retry after a 503 is recorded twice": _retry_recorded_twice,
    "a price is answered before it is on disk": _answered_before_commit,
    "an outcome counts twice": _outcome_twice,
    "the kill switch is followed at the start only": _kill_switch_at_start_only,
    "a switch that is not recorded is thrown": _switch_in_memory,
    "the money guard reads the last decisions alone": _money_of_the_last_decisions,
    "the money guard judges without grounds": _judged_without_grounds,
    "the money guard leaves out markets that earned nothing": _losses_before_left_out,
    "the guards forget at a restart": _guards_forget,
    "a trial starts by a clock": _trial_by_the_clock,
    "a stale approval is accepted": _stale_approval,
    "who decided is taken from the file": _decided_by_of_the_file,
    "who decided is taken from the request": _decided_by_of_the_body,
    "prices leave the price rules": _fallback_without_rules,
}

"""The active bundle, the former one, the one on trial and the switches, as one state machine.

Every transition is an event of the log. Positions are the replay of the events: at the start, after a crash, and in
every instance.

    reload, promote, rollback   ("bundle", digest)                      it is active, the one before is the former
    rollback                    ("taken_back", digest)                  the one that it left
    canary                      ("canary", {"bundle": …, "share": …})   it is on trial beside the active one
    canary 0                    ("canary", None)                        it was taken back
    a guard                     ("guard", {"bundle": …, "guard": …})    it was taken back by itself
    kill-switch, holdout        (name, position)
    certificate                 (name, {"state": …, …})                 what the sales of both arms show; switches nothing

A bundle that was taken back, by a guard, an operator or a rollback, is never active again, nor the former, unless it is
put on trial and promoted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

Transitions = list[tuple[str, Any]]
"""Switches with their new positions, plain JSON."""
SWITCHES = {"kill_switch": "killed", "holdout": "holdout", "certificate": "certificate"}
"""Those that change no bundle, with their positions."""


class DeploymentError(ValueError):
    """A switch that cannot be changed now; the message is one line that says why."""


class OnTrial(NamedTuple):
    """A bundle on trial.

    Attributes:
        bundle: Its digest.
        share: Of the markets that it prices.
        number: Which trial it is: one that ended and began again is another, of which its guards have seen nothing yet.
    """

    bundle: str
    share: float
    number: int


@dataclass(frozen=True)
class Positions:
    """Where everything stands; bundles by their digests.

    Attributes:
        active: The bundle that prices.
        earlier: Those that were active before and were not taken back, the last one at the end.
        rolled_back: Whether the active one came back by a rollback.
        trial: The newer one beside the active one.
        trials: How many trials have begun.
        taken_back: Those that a guard, an operator or a rollback took back.
        seen: All that were ever active or on trial.
        killed: Whether the fallback prices all markets.
        holdout: Share of markets that the fallback prices; None until it is thrown.
        certificate: The last one of the active bundle.
    """

    active: str = ""
    earlier: tuple[str, ...] = ()
    is_rolled_back: bool = False
    trial: OnTrial | None = None
    trials: int = 0
    taken_back: frozenset[str] = frozenset()
    seen: frozenset[str] = frozenset()
    killed: bool = False
    holdout: float | None = None
    certificate: dict[str, Any] | None = None

    @property
    def former(self) -> str | None:
        """The bundle that a rollback activates."""
        return self.earlier[-1] if self.earlier else None

    @property
    def bundles(self) -> tuple[str, OnTrial | None]:
        """Those that price."""
        return self.active, self.trial

    def after(self, transitions: Transitions) -> Positions:
        """The positions after some transitions."""
        found = self
        for switch, position in transitions:
            found = found._after(switch, position)
        return found

    def _after(self, switch: str, position: Any) -> Positions:
        if switch in SWITCHES:
            return replace(self, **{SWITCHES[switch]: position})
        if switch == "bundle":
            return self if position == self.active else self._activated(position)
        if switch == "taken_back":
            return replace(self._without(position), is_rolled_back=True)
        if switch == "guard":
            return replace(self._without(position["bundle"]), trial=None)
        if switch != "canary":
            return self  # a switch of an earlier version
        if position is None:
            return self if self.trial is None else replace(self._without(self.trial.bundle), trial=None)
        tried = position["bundle"]
        if tried == self.active:
            return replace(self, trial=None)
        goes_on = self.trial is not None and self.trial.bundle == tried
        number = self.trials if goes_on else self.trials + 1
        trial = OnTrial(tried, position["share"], number)
        known = {"taken_back": self.taken_back - {tried}, "seen": self.seen | {tried}}
        return replace(self, trial=trial, trials=number, **known)

    def _activated(self, digest: str) -> Positions:
        before = (*self.earlier, self.active) if self.active else ()
        # A certificate is of one bundle's prices.
        own = {
            "certificate": None,
            "active": digest,
            "earlier": tuple(one for one in before if one != digest),
            "is_rolled_back": False,
        }
        return replace(self, **own, trial=None, taken_back=self.taken_back - {digest}, seen=self.seen | {digest})

    def _without(self, digest: str) -> Positions:
        earlier = tuple(one for one in self.earlier if one != digest)
        return replace(self, earlier=earlier, taken_back=self.taken_back | {digest})

    def started(self, digest: str, killed: bool, share: float, holdout: float = 0.0) -> Transitions:
        """A bundle that was never seen takes over, or prices a share first; a kill switch at the start is thrown, and a
        holdout where none was before.
        """
        thrown: Transitions = [("kill_switch", True)] if killed and not self.killed else []
        if holdout and self.holdout is None:
            thrown.append(("holdout", holdout))
        if digest not in self.seen:
            thrown += self.tried(digest, share) if share and self.active else [("bundle", digest)]
        return thrown

    def reloaded(self, digest: str, share: float) -> Transitions:
        """Another bundle takes over, or prices a share first. Raises DeploymentError."""
        if digest == self.active:
            return []
        if digest in self.taken_back:
            got = f"{digest[:12]}, which was taken back"
            raise DeploymentError(f"a reload needs a new bundle; got {got}; export another, or try it by PUT canary")
        return self.tried(digest, share) if share else [("bundle", digest)]

    def tried(self, digest: str, share: float) -> Transitions:
        """A newer bundle prices a share of the markets. Raises DeploymentError."""
        if digest == self.active:
            raise DeploymentError("a canary needs a newer bundle at the path; got the active one; export it first")
        return [("canary", {"bundle": digest, "share": share})]

    def certified(self, facts: dict[str, Any], latest: str) -> Transitions:
        """A certificate is put on record.

        Args:
            facts: What is certified.
            latest: The last day that sales can be of, YYYY-MM-DD.

        Raises:
            DeploymentError: It is older than the last one, or of days to come.
        """
        if facts["date"] > latest:
            got = f"{facts['date']}, after {latest}"
            raise DeploymentError(f"a certificate must be of days that are over; got {got}; correct its date")
        last = None if self.certificate is None else self.certificate["date"]
        if last is not None and facts["date"] < last <= latest:
            got = f"{facts['date']} after {last}"
            raise DeploymentError(f"a certificate must not be older than the last one; got {got}; use newer sales")
        return [("certificate", {**facts, "bundle": self.active})]

    def stopped(self, number: int, guard: str) -> Transitions:
        """A guard takes a bundle back, unless this trial of it is over."""
        if self.trial is None or self.trial.number != number:
            return []
        return [("guard", {"bundle": self.trial.bundle, "guard": guard})]

    def promoted(self) -> Transitions:
        """The bundle on trial takes over. Raises DeploymentError without one."""
        if self.trial is None:
            raise DeploymentError("promote needs a canary; got none; start one or reload")
        return [("bundle", self.trial.bundle)]

    def rolled_back(self, target: str | None = None) -> Transitions:
        """An earlier bundle takes over, by default the former, and the active one is taken back.

        Args:
            target: Its digest. A second rollback must name it, so that a request that is sent again changes nothing.

        Raises:
            DeploymentError: There is none, or it was taken back.
        """
        known = ", ".join(reversed(self.earlier)) or "none"
        if target is None and self.former is not None and self.is_rolled_back:
            raise DeploymentError(f"a rollback after another must name its bundle; got none; earlier ones are {known}")
        if target is None and self.former is None:
            raise DeploymentError("rollback needs a former bundle; got none; reload a newer one first")
        target = target or self.former
        if target == self.active:
            return []
        if target not in self.earlier:
            raise DeploymentError(
                f"rollback needs a bundle that was active before; got {target}; earlier ones are {known}"
            )
        return [("bundle", target), ("taken_back", self.active)]

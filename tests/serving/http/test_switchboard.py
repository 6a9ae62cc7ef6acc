"""The state machine of the switches against random sequences: what was taken back prices nothing."""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from repricer.serving.http.switchboard import DeploymentError, OnTrial, Positions

SEQUENCES, STEPS = 10_000, 25


@dataclass
class Instance:
    """One service: it knows a beginning of the log, and may be killed at any time."""

    positions: Positions = field(default_factory=Positions)
    known: int = 0
    running: bool = True

    def follow(self, log: list[tuple[str, Any]]) -> None:
        self.positions = self.positions.after(log[self.known :])
        self.known = len(log)


class World:
    """Two instances, the bundle at the path, the log, and who was taken back: by the acts, not by the machine."""

    def __init__(self, seed: int) -> None:
        self.random, self.log, self.bundles = random.Random(seed), list[tuple[str, Any]](), 1
        self.share = self.random.choice([0.0, 0.1])
        self.rejected, self.was_active = set[str](), list[str]()
        self.instances = [Instance(), Instance()]
        for instance in self.instances:
            self.start(instance)

    @property
    def at_path(self) -> str:
        return f"bundle {self.bundles}"

    def start(self, instance: Instance) -> None:
        instance.positions, instance.known, instance.running = Positions(), 0, True
        instance.follow(self.log)
        self.append(instance, instance.positions.started(self.at_path, self.random.random() < 0.05, self.share))

    def append(self, instance: Instance, thrown: list[tuple[str, Any]]) -> None:
        assert instance.known == len(self.log)
        self.log += thrown
        if self.random.random() < 0.1:
            instance.running = False  # killed after the commit, before it took effect
        else:
            instance.follow(self.log)

    def step(self) -> None:
        instance = self.random.choice(self.instances)
        if not instance.running:
            return self.start(instance)
        act = self.random.choice(["export", "reload", "canary", "end", "guard", "promote", "rollback", "kill", "crash"])
        if act == "export":
            self.bundles += 1
        elif act == "crash":
            instance.running = False
        elif act == "guard":
            trial = instance.positions.trial
            if trial is not None:  # what it saw may be old
                instance.follow(self.log)
                if instance.positions.trial is not None and instance.positions.trial.bundle == trial.bundle:
                    self.take_back(instance)
        else:
            instance.follow(self.log)
            with contextlib.suppress(DeploymentError):
                self.throw(instance, act)

    def take_back(self, instance: Instance) -> None:
        trial = instance.positions.trial
        if trial is not None:
            self.rejected.add(trial.bundle)
        self.append(instance, [("canary", None)])

    def throw(self, instance: Instance, act: str) -> None:
        now = instance.positions
        if act == "end":
            self.take_back(instance)
        elif act == "canary":
            thrown = now.tried(self.at_path, 0.2)
            self.rejected.discard(self.at_path)  # somebody wants it after all
            self.append(instance, thrown)
        elif act == "kill":
            self.append(instance, [("kill_switch", not now.killed)])
        else:
            thrown = {
                "reload": lambda: now.reloaded(self.at_path, self.share),
                "promote": now.promoted,
                "rollback": now.rolled_back,
            }[act]()
            if act == "rollback":
                self.rejected.add(now.active)
            self.append(instance, thrown)

    def check(self) -> None:
        for instance in self.instances:
            if instance.running:
                instance.follow(self.log)
                now = instance.positions
                pricing = {now.active, now.trial.bundle if now.trial else now.active}
                assert not pricing & self.rejected, (now, self.rejected)
                assert now.former not in self.rejected
                assert now.active not in (now.former, now.trial and now.trial.bundle)
                # A restart makes the same of the log.
                assert Positions().after(self.log) == now


@pytest.mark.parametrize("part", range(10))
def test_no_price_comes_from_a_bundle_that_was_taken_back(part: int) -> None:
    """A fifth of the sequences; `make acceptance` runs all."""
    first = part * SEQUENCES // 10
    for seed in range(first, first + SEQUENCES // 50):
        world = World(seed)
        for _ in range(STEPS):
            world.step()
            world.check()


def test_a_trial_is_never_the_former() -> None:
    now = Positions().after([("bundle", "a"), ("canary", {"bundle": "b", "share": 0.1})])
    assert (now.active, now.former, now.trial) == ("a", None, OnTrial("b", 0.1, 1))
    with pytest.raises(DeploymentError, match="needs a former bundle"):
        now.rolled_back()
    now = now.after([("canary", None)])
    assert now.taken_back == {"b"}
    assert now.started("b", killed=False, share=0.0) == []
    with pytest.raises(DeploymentError, match="was taken back"):
        now.reloaded("b", 0.0)


def test_a_guard_ends_the_trial_that_it_judged_and_no_later_one() -> None:
    began = ("canary", {"bundle": "b", "share": 0.1})
    first = Positions().after([("bundle", "a"), began])
    more = first.after([("canary", {"bundle": "b", "share": 0.5})])
    assert first.trial is not None
    assert more.stopped(first.trial.number, "money") == [("guard", {"bundle": "b", "guard": "money"})]
    for between in (("canary", None), ("bundle", "c")):
        again = more.after([between, began])
        assert again.trial == OnTrial("b", 0.1, 2)
        assert again.stopped(first.trial.number, "money") == []


def test_what_a_guard_took_back_after_a_rollback_is_no_former() -> None:
    rows = [("bundle", "a"), ("bundle", "b"), ("bundle", "a"), ("canary", {"bundle": "b", "share": 0.1})]
    now = Positions().after(rows)
    assert now.former == "b"
    assert now.after([("canary", None)]).former is None


def test_rows_of_earlier_versions_are_replayed() -> None:
    """They record a reload of the same bundle, the end of a trial after its promotion, and a switch that is gone."""
    rows = [
        ("bundle", "a"),
        ("bundle", "a"),
        ("canary", {"bundle": "b", "share": 0.3}),
        ("bundle", "b"),
        ("canary", None),
    ]
    now = Positions(holdout=0.5).after([*rows, ("holdout", 0.2), ("kill_switch", True), ("shadow", True)])
    assert (now.active, now.former, now.trial, now.taken_back) == ("b", "a", None, frozenset())
    assert (now.holdout, now.killed) == (0.2, True)


def test_a_rollback_takes_back_what_it_left_and_a_second_one_names_its_bundle() -> None:
    now = Positions().after([("bundle", "a"), ("bundle", "b"), ("bundle", "c")])
    now = now.after(now.rolled_back())
    assert (now.active, now.former, now.taken_back) == ("b", "a", {"c"})
    with pytest.raises(DeploymentError, match="must name its bundle; got none; earlier ones are a"):
        now.rolled_back()
    assert now.rolled_back("b") == []
    with pytest.raises(DeploymentError, match="was active before; got c; earlier ones are a"):
        now.rolled_back("c")
    for again in (lambda: now.reloaded("c", 0.0), lambda: now.reloaded("c", 0.1)):
        with pytest.raises(DeploymentError, match="was taken back"):
            again()
    assert now.started("c", killed=False, share=0.0) == []
    assert now.after(now.rolled_back("a")).active == "a"
    newer = now.after(now.reloaded("d", 0.0))
    assert newer.after(newer.rolled_back()).active == "b"

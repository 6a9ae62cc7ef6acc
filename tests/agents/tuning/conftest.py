"""A stand-in for `train`, whose gains are known."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import sqlalchemy
from repricer.agents.tuning import study as tuning
from repricer.agents.tuning.study import tune

EVALUATIONS = 12
REPORTS = 2
"""Of a validation: each asks the database anew."""
STEPS = 1200


@pytest.fixture(scope="module", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """SQLite waits for the disk at each of the thousands of commits, most of the time: only a power cut would tell."""

    def connected(connection, _):
        connection.execute("PRAGMA synchronous = OFF")

    sqlalchemy.event.listen(sqlalchemy.Engine, "connect", connected)
    yield
    sqlalchemy.event.remove(sqlalchemy.Engine, "connect", connected)


def quality(settings, seed=0) -> float:
    """A made-up gain: best at a learning rate three times the preset's, 1 there."""
    return 1 - math.log10(settings["learning_rate"] / 3e-3) ** 2 + 0.01 * seed


class Lessons:
    """Stands for `train`: what it is asked, and gains that grow towards `quality`."""

    def __init__(self):
        self.asked, self.validations = [], []

    def train(self, spec, *, algo, steps, seed, out, settings, progress):
        self.asked.append((seed, settings))
        self.validations.append(0)
        for k in range(EVALUATIONS):
            self.validations[-1] += 1
            row = {"steps": k * steps // EVALUATIONS, "gain": self.gain(settings, seed, k), "best_fixed": 100.0}
            for moment in range(REPORTS):
                progress(row["steps"] + moment, steps, row)
        best = {"gain": quality(settings, seed), "best_fixed": 100.0}
        return SimpleNamespace(facts={"best": best, "seconds": 2.0})

    def gain(self, settings, seed, k):
        return quality(settings, seed) * (k + 1) / EVALUATIONS


@pytest.fixture
def lessons(monkeypatch):
    made = Lessons()
    monkeypatch.setattr(tuning, "train", made.train)
    monkeypatch.setattr(
        os, "fsync", lambda _: None
    )  # hundreds of waits for the disk, of which only a real kill is a test
    return made


def study(out, trials, **options):
    return tune("stationary-logit", **{"trials": trials, "steps": STEPS, "out": out} | options)

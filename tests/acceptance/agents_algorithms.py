"""Every algorithm with its preset on the textbook markets, and the time that all of it takes on two cores."""

from __future__ import annotations

import numpy as np
from repricer.benchmarks.algorithms import ALGORITHMS, STEPS, Reached, reached

from .checks import check

AVERAGE = ("sac", "tqc", "dqn")
CORES = 2


def figures(algo: str, what: str) -> np.ndarray:
    """One field of all runs of an algorithm."""
    assert what in Reached._fields
    return np.array([getattr(run, what) for run in reached(algo)])


def closes_the_gap(algo: str) -> None:
    @check("agents", f"{algo}, {STEPS:,} steps: least share of the gap to best fixed that a run closes", ">=", 0.5)
    def measure() -> float:
        return float(figures(algo, "closed").min())


def on_average(algo: str) -> None:
    @check("agents", f"{algo}, {STEPS:,} steps: mean share of the optimum", ">=", 0.985)
    def measure() -> float:
        return float(figures(algo, "share").mean())


for _algo in ALGORITHMS:
    closes_the_gap(_algo)
for _algo in AVERAGE:
    on_average(_algo)


@check("agents", f"ppo, {STEPS:,} steps: worst run, share of the optimum", ">=", 0.995)
def worst_of_ppo() -> float:
    return float(figures("ppo", "share").min())


@check("agents", "every algorithm, all runs: minutes on two cores", "<=", 90, "min")
def minutes() -> float:
    return sum(float(figures(algo, "seconds").sum()) for algo in ALGORITHMS) / CORES / 60

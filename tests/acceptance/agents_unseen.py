"""Default settings in markets that no preset was tuned in, and of every algorithm beside best fixed prices."""

from __future__ import annotations

import functools
import sys

import numpy as np
import repricer
from repricer.agents import best_fixed

from .agents import SEEDS, share
from .checks import check
from .unseen_markets import TABLES, unseen

STEPS, OTHER_STEPS = 300_000, 100_000
OTHERS = ("sac", "tqc", "dqn", "a2c")


@functools.cache
def shares(algo: str) -> dict[str, tuple[float, float]]:
    """By market that the algorithm can price, its share of the optimum, mean of the seeds, and that of best fixed prices."""
    found = {}
    for name in TABLES:
        spec = unseen(name)
        orders, several = spec.stock.replenishment == "action", len(spec.products.names) > 1
        if algo == "dqn" and (orders or several):  # one choice from a list
            continue
        steps, seeds = (STEPS, SEEDS) if algo == "ppo" else (OTHER_STEPS, 1)
        own = [share(spec, repricer.train(spec, algo=algo, steps=steps, seed=seed).policy) for seed in range(seeds)]
        found[name] = float(np.mean(own)), share(spec, best_fixed(spec))
        print(f"{name}, {algo}: {found[name][0]:.3%} of the optimum, best fixed {found[name][1]:.3%}", file=sys.stderr)
    return found


@check("agents", f"ppo in eight unseen markets, {STEPS:,} steps: mean share of the optimum", ">=", 0.99)
def mean_of_ppo() -> float:
    return float(np.mean([own for own, _ in shares("ppo").values()]))


def never_below_fixed(algo: str) -> None:
    @check("agents", f"{algo} in the unseen markets: least share of the optimum beyond best fixed prices'", ">=", 0)
    def measure() -> float:
        # A hundredth of a percent is what a simulated value may be off by.
        return min(own - fixed for own, fixed in shares(algo).values()) + 1e-4


def closes_half_of_the_gap(algo: str) -> None:
    @check("agents", f"{algo} in the unseen markets: mean share of the gap to best fixed prices closed", ">=", 0.5)
    def measure() -> float:
        return float(np.mean([(own - fixed) / (1 - fixed) for own, fixed in shares(algo).values()]))


for _algo in ("ppo", *OTHERS):
    never_below_fixed(_algo)
for _algo in OTHERS:
    closes_half_of_the_gap(_algo)

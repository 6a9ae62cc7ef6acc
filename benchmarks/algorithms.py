"""Every algorithm with its preset on the textbook markets: `python -m repricer.benchmarks.algorithms`.

Shown are the share of the exact optimum, mean and worst of all runs, and how much of the gap between
the best fixed price and the optimum the worst run closes. Names of algorithms restrict the table.
"""

from __future__ import annotations

import functools
import sys
import time
from typing import NamedTuple

import numpy as np

from ..agents import best_fixed, train
from ..envs import rollout, seed_for
from ..evaluation import exact_value, solve
from ..pricing import Policy
from ..scenarios import STRESSES, MarketSpec, ScenarioError, load_scenario

SCENARIOS = ("stationary-logit", "gallego-van-ryzin", "low-before-high", "regimes")
ALGORITHMS = ("ppo", "sac", "tqc", "dqn", "a2c", "td3", "recurrent-ppo")
STEPS = 100_000
SEEDS = 3
EPISODES = 4_000


class Reached(NamedTuple):
    """How near a run came to the optimum.

    Attributes:
        closed: Share of the gap between the best fixed price and the optimum.
        seconds: CPU seconds of the training.
    """

    scenario: str
    seed: int
    share: float
    closed: float
    seconds: float


def share(spec: MarketSpec, policy: Policy) -> float:
    """Share of the optimum: exact, but for a policy with a memory beside the optimal one on the same customers."""
    exact = exact_value(spec, policy)
    optimum = solve(spec)
    assert optimum is not None, "the instance has one"
    if exact is not None:
        return exact / optimum.value
    given = {"episodes": EPISODES, "seed": seed_for("test"), "expected": True}
    own, best = (rollout(spec, each, **given).objective for each in (policy, optimum.policy))
    return 1 + float((own - best).mean()) / optimum.value


@functools.cache
def reached(algo: str) -> list[Reached]:
    """All runs of an algorithm."""
    runs = []
    for name in SCENARIOS:
        spec = load_scenario(name)
        fixed = share(spec, best_fixed(spec))
        for seed in range(SEEDS):
            started = time.process_time()
            policy = train(spec, algo=algo, steps=STEPS, seed=seed).policy
            seconds = time.process_time() - started
            own = share(spec, policy)
            runs.append(Reached(name, seed, own, (own - fixed) / (1 - fixed), seconds))
            print(f"{algo}, {name}, seed {seed}: {own:.2%}, {runs[-1].closed:.1%} closed", file=sys.stderr, flush=True)
    return runs


def losses(spec: MarketSpec, policy: Policy) -> dict[str, float]:
    """Loss by applicable stress, as a share of the stressed market's optimum, of a policy that believes in the market."""
    found = {}
    for stress in STRESSES:
        try:
            market = load_scenario(f"{spec.name}@{stress}")
        except ScenarioError:
            continue
        value = exact_value(market, policy, assumed=spec)
        optimum = solve(market)
        if optimum is not None:
            assert value is not None, "the policy is a function of the view"
            found[stress] = 1 - value / optimum.value
    return found


def main() -> None:
    """Print the table in Markdown."""
    print("| algorithm | steps | mean share | worst run | least of the gap closed | CPU s per run |")
    print("|---|---|---|---|---|---|")
    for algo in sys.argv[1:] or ALGORITHMS:
        shares, closed, seconds = (np.array([getattr(run, f) for run in reached(algo)]) for f in Reached._fields[2:])
        figures = f"{shares.mean():.2%} | {shares.min():.2%} | {closed.min():.0%} | {seconds.mean():.1f}"
        print(f"| `{algo}` | {STEPS:,} | {figures} |", flush=True)


if __name__ == "__main__":
    main()

"""Agents where no optimum is known: what they earn beyond every fixed price, there, on unseen products and under stress."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import repricer
from repricer.agents import best_fixed
from repricer.benchmarks.algorithms import losses, share
from repricer.envs import rollout, seed_for
from repricer.evaluation.policies import named_policy
from repricer.pricing import Policy
from repricer.scenarios import MarketSpec, load_scenario

from .checks import check
from .loop import REPRICER

EPISODES = 500
BUDGET = 2_000_000
"""Rows that the demo learns from."""
RANDOMISED: dict[str, Any] = {"variants": 15, "gae_lambda": 0.93}


def earned(spec: MarketSpec, policy: Policy) -> np.ndarray:
    """(episodes,) expected objective on the test seeds."""
    return rollout(spec, policy, episodes=EPISODES, seed=seed_for("test"), expected=True).objective


def paired(own: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """(gain, lower end of its 95% interval), percent of the other's mean."""
    gap, scale = own - other, 100 / abs(other.mean())
    return float(gap.mean() * scale), float((gap.mean() - 1.96 * gap.std(ddof=1) / len(gap) ** 0.5) * scale)


@functools.cache
def fitted() -> MarketSpec:
    """The demo's market."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*REPRICER, "demo", "--out", f"{folder}/demo", "--steps", "1000", "--episodes", "10", "--json"]
        subprocess.run(command, check=True, capture_output=True)
        return load_scenario(Path(folder) / "demo" / "market")


@functools.cache
def rivals_of_the_demo() -> dict[str, np.ndarray]:
    """What the prices that the shop could have set without learning earn."""
    return {name: earned(fitted(), named_policy(name, fitted())) for name in ("best-fixed", "myopic", "historical")}


def on_the_demo(algo: str) -> None:
    @check("agents", f"demo's market, {algo}: least lower end of paired intervals over the rules", ">=", 0, "%")
    def measure() -> float:
        own = earned(fitted(), repricer.train(fitted(), algo=algo, steps=BUDGET).policy)
        gains = {name: paired(own, other) for name, other in rivals_of_the_demo().items()}
        said = ", ".join(f"{mean:+.2f}% over {name}" for name, (mean, _) in gains.items())
        print(f"demo, {algo}: {said}", file=sys.stderr)
        return min(low for _, low in gains.values())


for _algo in ("ppo", "tqc"):
    on_the_demo(_algo)


@functools.cache
def many(name: str, steps: int) -> repricer.Run:
    return repricer.train(name, steps=steps)


def above_fixed(name: str, steps: int) -> None:
    @check("agents", f"{name}: gain over the best fixed price vector", ">=", 1.5, "%")
    def gain() -> float:
        run = many(name, steps)
        return paired(earned(run.spec, run.policy), earned(run.spec, best_fixed(run.spec)))[0]

    @check("agents", f"{name}: lowest gain of a policy that training kept after the first above", ">=", 0, "%")
    def lowest() -> float:
        gains = [100 * row["gain"] / abs(row["best_fixed"]) for row in many(name, steps).history]
        print(f"{name}: " + " ".join(f"{gain:+.2f}%" for gain in gains), file=sys.stderr)
        kept = [gain for i, gain in enumerate(gains) if gain == max(gains[: i + 1])]
        above = next(i for i, gain in enumerate(kept) if gain > 0)
        return min(kept[above:])


above_fixed("bench-10", 600_000)
above_fixed("catalogue:20:0", 1_000_000)


@check(
    "agents", "catalogue:20:0's policy, untouched, on 20 unseen products: lowest gain of 3 assortments", ">=", 0, "%"
)
def unseen() -> float:
    gains = {}
    for name in ("catalogue:20:0:1", "catalogue:20:0:2", "catalogue:20:0:3", "catalogue:20:2"):
        other = load_scenario(name)
        policy = many("catalogue:20:0", 1_000_000).policy_for(other)
        gains[name] = paired(earned(other, policy), earned(other, best_fixed(other)))[0]
        print(f"catalogue:20:0's policy on {name}: {gains[name]:+.2f}%", file=sys.stderr)
    gains.pop("catalogue:20:2")  # another shop: other promotions and rules, told but not judged
    return min(gains.values())


@functools.cache
def left(randomised: bool) -> dict[str, float]:
    """Percent of the optimum that a policy leaves, nominal and by stress; mean of three seeds."""
    spec = load_scenario("stationary-logit")
    runs = []
    for seed in range(3):
        policy = repricer.train(spec, steps=300_000, seed=seed, settings=RANDOMISED if randomised else {}).policy
        runs.append({"nominal": 1 - share(spec, policy)} | losses(spec, policy))
    found = {name: 100 * sum(run[name] for run in runs) / len(runs) for name in runs[0]}
    said = ", ".join(f"{name} {loss:.2f}%" for name, loss in found.items())
    print(f"{spec.name}, {'randomised' if randomised else 'plain'}, left of the optimum: {said}", file=sys.stderr)
    return found


@check("agents", "stationary-logit: what randomised training costs on the nominal market", "<=", 1, "%")
def cost_of_variants() -> float:
    return left(True)["nominal"] - left(False)["nominal"]


@check("agents", "stationary-logit: worst loss over the stresses, randomised training over plain", "<=", 0.5, "of it")
def worst_case() -> float:
    return max(left(True).values()) / max(left(False).values())

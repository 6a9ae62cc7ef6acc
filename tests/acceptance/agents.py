"""Agents: how near they come to known optima, what they earn where none is known, and whether they survive being killed."""

from __future__ import annotations

import functools
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import repricer
from repricer.agents import best_fixed
from repricer.agents.checkpoint import read_tensors
from repricer.agents.run import POLICY_FILE
from repricer.envs import rollout, seed_for
from repricer.evaluation import exact_value, solve
from repricer.scenarios import MarketSpec

from .checks import check
from .loop import REPRICER

SEEDS = 3
EPISODES = 20_000
BARS = {
    "gallego-van-ryzin": (0.990, 300_000),
    "stationary-logit": (0.997, 300_000),
    "low-before-high": (0.985, 300_000),
    "regimes": (0.985, 300_000),
    "three-stocks": (0.980, 300_000),
    "undercutter": (0.970, 1_600_000),
    "price-and-order": (0.985, 300_000),
    "scarce": (0.997, 200_000),
}
"""Bar and steps of each instance of the references."""


@functools.cache
def optimal_path(spec: MarketSpec) -> float:
    """What the optimal policy earns on the judging customers."""
    optimum = solve(spec)
    assert optimum is not None, "every instance has one"
    episodes = rollout(spec, optimum.policy, episodes=EPISODES, seed=seed_for("judging"), expected=True)
    return float(episodes.objective.mean())


def share(spec: MarketSpec, policy: repricer.Policy) -> float:
    """Of the optimum: exactly where that can be had, else beside the optimal policy on the same customers."""
    exact, optimum = exact_value(spec, policy), solve(spec)
    assert optimum is not None, "every instance has one"
    if exact is not None:
        return exact / optimum.value
    own = rollout(spec, policy, episodes=EPISODES, seed=seed_for("judging"), expected=True).objective.mean()
    return 1 + float(own - optimal_path(spec)) / optimum.value


def instance(name: str, bar: float, steps: int) -> None:
    @check("agents", f"{name}: mean share of the optimum, {SEEDS} seeds, {steps:,} steps", ">=", bar)
    def measure() -> float:
        spec, shares = repricer.load_scenario(name), []
        for seed in range(SEEDS):
            started = time.process_time()
            run = repricer.train(spec, steps=steps, seed=seed)
            seconds = time.process_time() - started
            shares.append(share(spec, run.policy))
            print(f"{name} seed {seed}: {shares[-1]:.4%} of the optimum, {seconds:.1f} CPU s", file=sys.stderr)
        return sum(shares) / SEEDS


for _name, (_bar, _steps) in BARS.items():
    instance(_name, _bar, _steps)


def gain(spec: MarketSpec, policy: repricer.Policy) -> float:
    """Over the best fixed prices of that market, on the same judging customers, percent."""
    own, fixed = (
        rollout(spec, each, episodes=500, seed=seed_for("judging"), expected=True).objective.mean()
        for each in (policy, best_fixed(spec))
    )
    return float(100 * (own - fixed) / abs(fixed))


@check("agents", "bench-10: gain over the best fixed price vector", ">=", 1.5, "%")
def bench() -> float:
    run = repricer.train("bench-10", steps=600_000)
    return gain(run.spec, run.policy)


@functools.cache
def catalogue() -> repricer.Run:
    return repricer.train("catalogue:20:0", steps=1_000_000)


@check("agents", "20 sampled products: gain over the best fixed price vector", ">=", 1.5, "%")
def sampled() -> float:
    return gain(catalogue().spec, catalogue().policy)


@check("agents", "the same policy, untouched, on 20 unseen products", ">=", 0, "%")
def unseen() -> float:
    other = repricer.load_scenario("catalogue:20:2")
    return gain(other, catalogue().policy_for(other))


def killed(algo: str, steps: int) -> None:
    @check("agents", f"{algo} killed at 5 random moments, resumed to the same weights", "==", 5, "times")
    def measure() -> float:
        command = [*REPRICER, "train", "stationary-logit", "--algo", algo, "--steps", str(steps), "--json"]
        generator, same = random.Random(0), 0
        with tempfile.TemporaryDirectory() as folder:

            def weights(name: str) -> dict:
                subprocess.run([*command, "--out", f"{folder}/{name}"], check=True, capture_output=True)
                return read_tensors(Path(folder) / name / POLICY_FILE)[0]

            started = time.perf_counter()
            whole = weights("whole")
            seconds = time.perf_counter() - started
            for i in range(5):
                process = subprocess.Popen(
                    [*command, "--out", f"{folder}/{i}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                time.sleep(generator.uniform(0.2, 0.95) * seconds)
                process.send_signal(signal.SIGKILL)
                process.wait()
                again = weights(str(i))
                same += all(bool((again[key] == value).all()) for key, value in whole.items())
        return float(same)


for _algo, _few in (("ppo", 100_000), ("sac", 30_000)):
    killed(_algo, _few)

"""Agents on instances whose optimum is known: how near they come, in how little time, beside SB3's defaults."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import repricer
import torch
from repricer.agents.actor import learning_policy
from repricer.benchmarks import learner
from repricer.envs import make_sb3_env, rollout, seed_for
from repricer.evaluation import exact_value, solve
from repricer.scenarios import MarketSpec
from stable_baselines3 import PPO

from .checks import check

ROOT = Path(__file__).parents[2]
SEEDS = 3
EPISODES = 20_000
BAR = 0.995
STEPS = {
    "gallego-van-ryzin": 300_000,
    "stationary-logit": 300_000,
    "low-before-high": 300_000,
    "regimes": 300_000,
    "three-stocks": 300_000,
    "undercutter": 300_000,
    "price-and-order": 300_000,
    "scarce": 200_000,
}
"""Steps of each instance of the references."""
QUICK_SEEDS = 30
STOCK_STEPS = 300_000
QUICK: dict[str, Any] = {"steps": 60_000, "settings": {"evaluations": 2, "validation_episodes": 256}}
"""A run on `scarce` that takes two seconds at most."""


@functools.cache
def optimal_path(spec: MarketSpec) -> float:
    """What the optimal policy earns on the test seeds."""
    optimum = solve(spec)
    assert optimum is not None, "every instance has one"
    episodes = rollout(spec, optimum.policy, episodes=EPISODES, seed=seed_for("test"), expected=True)
    return float(episodes.objective.mean())


def share(spec: MarketSpec, policy: repricer.Policy) -> float:
    """Of the optimum: exactly where that can be had, else beside the optimal policy on the same customers."""
    exact, optimum = exact_value(spec, policy), solve(spec)
    assert optimum is not None, "every instance has one"
    if exact is not None:
        return exact / optimum.value
    own = rollout(spec, policy, episodes=EPISODES, seed=seed_for("test"), expected=True).objective.mean()
    return 1 + float(own - optimal_path(spec)) / optimum.value


def trained(spec: MarketSpec, seed: int, **arguments: Any) -> tuple[float, float]:
    """(share of the optimum, CPU seconds) of a run."""
    started = time.process_time()
    run = repricer.train(spec, seed=seed, **arguments)
    seconds = time.process_time() - started
    return share(spec, run.policy), seconds


class Stock:
    """SB3's PPO with its defaults: one market, drawn money, prices around the regular one."""

    def __init__(self, spec: MarketSpec) -> None:
        torch.set_num_threads(1)
        self.spec, self.seconds = spec, 0.0
        self.venv = make_sb3_env(spec, num_envs=1, seed=seed_for("training"))
        self.model = PPO("MlpPolicy", self.venv, device="cpu", seed=0)

    def learn(self, steps: int) -> float:
        """The share of the optimum after so many steps more."""
        started = time.process_time()
        self.model.learn(steps, reset_num_timesteps=False)
        self.seconds += time.process_time() - started
        return share(self.spec, learning_policy(self.model.policy, self.venv.learner_view))


def instance(name: str, steps: int) -> None:
    @check("agents", f"{name}: mean share of the optimum, {SEEDS} seeds, {steps:,} steps", ">=", BAR)
    def measure() -> float:
        spec, shares = repricer.load_scenario(name), []
        for seed in range(SEEDS):
            reached, seconds = trained(spec, seed, steps=steps)
            shares.append(reached)
            print(f"{name} seed {seed}: {reached:.4%} of the optimum, {seconds:.1f} CPU s", file=sys.stderr)
        stock = Stock(spec)
        reached = stock.learn(STOCK_STEPS)
        print(
            f"{name}, SB3's defaults: {reached:.4%}, {STOCK_STEPS:,} steps, {stock.seconds:.1f} CPU s", file=sys.stderr
        )
        return sum(shares) / SEEDS


for _name, _steps in STEPS.items():
    instance(_name, _steps)


@functools.cache
def quick() -> list[tuple[float, float]]:
    """(share, CPU seconds) of each seed."""
    spec = repricer.load_scenario("scarce")
    repricer.train(spec, steps=1_000)  # compiles, and finds the best fixed price once
    return [trained(spec, seed, **QUICK) for seed in range(QUICK_SEEDS)]


@check("agents", f"scarce: mean of {QUICK_SEEDS} seeds, share of the optimum", ">=", 0.9975)
def mean() -> float:
    return sum(reached for reached, _ in quick()) / QUICK_SEEDS


@check("agents", f"scarce: worst of {QUICK_SEEDS} seeds, share of the optimum", ">=", BAR)
def worst() -> float:
    return min(reached for reached, _ in quick())


@check("agents", "scarce: CPU time of the slowest of these runs", "<=", 2, "s")
def slowest() -> float:
    return max(seconds for _, seconds in quick())


@check("agents", "scarce: CPU time to 98% of the optimum, SB3's defaults over ours", ">=", 100, "times")
def sooner() -> float:
    """Ours: the shortest of these runs whose policy is there, learning rate falling to its end, five seeds' median."""
    spec, stock, chunk = repricer.load_scenario("scarce"), Stock(repricer.load_scenario("scarce")), 20_480
    repricer.train(spec, steps=1_000)
    settings = {"evaluations": 1, "validation_episodes": 64, "clone_epochs": 1, "num_envs": 8}
    for steps in (200, 1_000, 2_000, 3_000, 4_000, 6_000, 8_000, 12_000, 16_000, 24_000, 32_000):
        runs = sorted(trained(spec, seed, steps=steps, settings=settings) for seed in range(5))
        if runs[2][0] >= 0.98:
            break
    ours = sorted(seconds for _, seconds in runs)[2]
    while stock.learn(chunk) < 0.98 and stock.model.num_timesteps < 2_000_000:
        pass
    print(
        f"scarce, 98%: ours {steps:,} steps, {ours:.2f} CPU s; SB3's defaults {stock.model.num_timesteps:,} steps, "
        f"{stock.seconds:.1f} CPU s",
        file=sys.stderr,
    )
    return stock.seconds / ours


def apart(library: str, *needed: str) -> float:
    """Whether the block of a library runs that is installed into a folder of its own, as this package's versions differ."""
    page = (ROOT / "docs" / "use_it_with.md").read_text(encoding="utf-8")
    (block,) = re.findall(rf"## {library}\n.*?```python\n(.*?)```", page, re.DOTALL)
    with tempfile.TemporaryDirectory() as folder:
        install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", folder, *needed]
        subprocess.run(install, check=True)
        paths = os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])
        done = subprocess.run([sys.executable, "-c", block], cwd=folder, env=os.environ | {"PYTHONPATH": paths})
    return float(done.returncode == 0)


@check("agents", "Use it with ...: the block of d3rlpy, installed apart, runs", ">=", 1)
def beside_d3rlpy() -> float:
    """Its old Gym would print a warning with every import of SB3."""
    old = ("d3rlpy==2.8.1", "gym==0.26.2", "gym-notices", "dataclasses-json==0.6.7", "marshmallow<4", "structlog")
    return apart("d3rlpy", *old, "typing-inspect", "mypy-extensions", "h5py")


@check("agents", "Use it with ...: the block of RLlib, installed apart, runs", ">=", 1)
def beside_rllib() -> float:
    """It pins Gymnasium."""
    pinned = ("ray==2.60.0", "gymnasium==1.2.2", "msgpack", "dm-tree", "lz4", "ormsgpack")
    return apart("RLlib", *pinned, "attrs", "absl-py", "wrapt", "filelock", "jsonschema", "referencing", "rpds-py")


@check("agents", "PPO's steps a CPU second on 256 markets of 10 products, over SB3's on CartPole", ">=", 15, "times")
def throughput() -> float:
    return learner.table()[-1]["ratio"]

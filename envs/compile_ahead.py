"""Compiles the market's loops in a process of its own, while a command still reads tables and fits."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from ..pricing import Action
from ..scenarios import load_scenario
from .adapters.sb3_env import make_sb3_env
from .kernels.period import run_period
from .simulator import Market


def compile_ahead() -> None:
    """Start to compile what every market needs, unless it is on disk already; whoever needs it earlier waits for it.

    Example:
        >>> compile_ahead()  # doctest: +SKIP
    """
    cache = getattr(run_period, "_cache", None)  # with NUMBA_DISABLE_JIT it is the function itself
    if cache is not None and not cache.holds_any():
        command = [sys.executable, "-m", "repricer.envs.compile_ahead"]
        none = subprocess.DEVNULL
        # Nobody waits for it, as its result is the cache; what it cannot compile, the command itself meets again.
        subprocess.Popen(command, stdin=none, stdout=none, stderr=none)


def step_once() -> None:
    """One period of a market whose machine code is that of all others, seen by a learner."""
    spec = load_scenario("grocery")
    env = make_sb3_env(spec, num_envs=2, seed=0)
    env.reset()
    env.step(np.stack([env.action_space.sample() for _ in range(env.num_envs)]))
    market = Market(spec, num_markets=2, seed=0)
    outcome = market.step(Action(np.tile(spec.products.regular_price, (2, 1)).astype(np.float32)))
    market.money(outcome, expected=True)


if __name__ == "__main__":
    step_once()

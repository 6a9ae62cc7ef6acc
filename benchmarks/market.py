"""Speed and memory of the simulated market, relative to Gymnasium's CartPole.

Both are measured as other people's code meets them: through `gymnasium.make_vec`, with random
actions that were sampled beforehand, reading every key of `info` in each step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from ..envs import LearnerView, Market, make_sb3_env
from .timing import rates, row_of

SIZES = (("bench-1", 1024, 400), ("bench-10", 1024, 100), ("bench-100", 64, 100), ("bench-10-full", 1024, 40))
"""Scenario, number of parallel markets, and steps of one measurement."""
_SAMPLES = 16
Work = Callable[[], int]


def cartpole(copies: int = 64, steps: int = 200) -> Work:
    """Steps of Gymnasium's own CartPole in a SyncVectorEnv."""
    env = gymnasium.make_vec("CartPole-v1", num_envs=copies, vectorization_mode="sync")
    return _read(env, np.random.default_rng(0).integers(0, 2, (_SAMPLES, copies)), steps)


def vector_env(scenario: str, markets: int, steps: int) -> Work:
    """Steps of the Gymnasium vector environment."""
    env = gymnasium.make_vec("repricer/Market-v0", num_envs=markets, scenario=scenario)
    assert env.action_space.shape is not None, "actions are a Box"
    return _read(env, _sampled(env.action_space.shape), steps)


def _read(env: gymnasium.vector.VectorEnv, actions: NDArray, steps: int) -> Work:
    env.reset(seed=0)

    def step(action: NDArray) -> None:
        info = env.step(action)[4]
        for name in info:
            info[name]

    return _steps(step, actions, steps, env.num_envs)


def sb3_env(scenario: str, markets: int, steps: int) -> Work:
    """Steps of the Stable-Baselines3 environment."""
    venv = make_sb3_env(scenario, num_envs=markets)
    venv.reset()
    return _steps(venv.step, _sampled((markets, *(venv.learner_view.action_space.shape or ()))), steps, markets)


def inner_step(scenario: str, markets: int, steps: int) -> Work:
    """Steps of the learner's view, which both environments wrap: actions to rewards and observations."""
    view = LearnerView(Market(scenario, num_markets=markets, seed=0))

    def step(action: NDArray) -> None:
        if view.market.over:
            view.restart(view.market.done)
        view.rewards(view.step(action))
        view.observe()

    return _steps(step, _sampled((markets, *(view.action_space.shape or ()))), steps, markets)


def _steps(step: Callable[[NDArray], object], actions: NDArray, count: int, markets: int) -> Work:
    def work() -> int:
        for i in range(count):
            step(actions[i % _SAMPLES])
        return count * markets

    return work


def _sampled(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.random.default_rng(0).uniform(-1, 1, (_SAMPLES, *shape)).astype(np.float32)


def table() -> list[dict[str, Any]]:
    """Steps per second and the ratio to CartPole by scenario."""
    (first,) = rates(cartpole())
    rows = [row_of("CartPole, make_vec of 64", first, first, "steps")]
    for scenario, markets, steps in SIZES:
        kinds = {"make_vec": vector_env, "make_sb3_env": sb3_env, "inner step": inner_step}
        baseline, *speeds = rates(cartpole(), *(kind(scenario, markets, steps) for kind in kinds.values()))
        products, unit = (100, "product decisions") if scenario == "bench-100" else (1, "market-steps")
        for kind, speed in zip(kinds, speeds, strict=True):
            rows.append(row_of(f"{scenario}, {markets} in parallel, {kind}", speed * products, baseline, unit))
    return rows

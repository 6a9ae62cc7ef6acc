"""Speed and memory of the simulated market, relative to Gymnasium's CartPole."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from ..envs import LearnerView, Market
from .timing import rate

SIZES = (("bench-1", 1024), ("bench-10", 1024), ("bench-100", 64), ("bench-10-full", 1024))
"""Scenario, and the number of parallel markets."""


def market_rate(scenario: str, markets: int, steps: int = 400) -> float:
    """Market-steps per CPU second, from raw actions to rewards and observations."""
    learner_view = LearnerView(Market(scenario, num_markets=markets, seed=0))
    columns = learner_view.layout.size * learner_view.base_price.size
    raw = np.random.default_rng(0).uniform(-0.5, 0.5, (markets, columns)).astype(np.float32)

    def work() -> int:
        for _ in range(steps):
            if learner_view.market.over:
                learner_view.restart(learner_view.market.done)
            learner_view.rewards(learner_view.step(raw))
            learner_view.observe()
        return steps * markets

    return rate(work)


def cartpole_rate(copies: int = 64, steps: int = 200) -> float:
    """Environment-steps per CPU second of Gymnasium's own CartPole in a SyncVectorEnv."""
    env = gymnasium.make_vec("CartPole-v1", num_envs=copies, vectorization_mode="sync")
    env.reset(seed=0)
    actions = np.zeros(copies, dtype=np.int64)

    def work() -> int:
        for _ in range(steps):
            env.step(actions)
        return steps * copies

    return rate(work)


def bytes_per_product(scenario: str, markets: int) -> float:
    """Bytes per product and market: state, constants and the workspace of a period."""
    learner_view = LearnerView(Market(scenario, num_markets=markets))
    learner_view.step(np.zeros((markets, learner_view.layout.size * learner_view.base_price.size), np.float32))
    market = learner_view.market
    held = sum(array.nbytes for array in market.state.arrays().values()) + market.dynamics.nbytes
    return held / (markets * market.spec.sizes["N"])


def table() -> list[dict[str, Any]]:
    """Steps per second and the ratio to CartPole by scenario, then the memory of markets."""
    baseline = cartpole_rate()
    rows = [{"what": "CartPole, SyncVectorEnv(64)", "per_second": baseline, "ratio": 1.0, "unit": "environment-steps"}]
    for scenario, markets in SIZES:
        speed = market_rate(scenario, markets) * (100 if scenario == "bench-100" else 1)
        unit = "product decisions" if scenario == "bench-100" else "market-steps"
        what = f"{scenario}, {markets} in parallel"
        rows.append({"what": what, "per_second": speed, "ratio": speed / baseline, "unit": unit})
    rows += [
        {
            "what": f"bench-10 memory, {markets} in parallel",
            "per_second": bytes_per_product("bench-10", markets),
            "ratio": bytes_per_product("bench-10", markets) / bytes_per_product("bench-10", 1024),
            "unit": "bytes per product and market",
        }
        for markets in (1024, 10_240)
    ]
    return rows

"""Speed and memory of the simulated market against Gymnasium's CartPole in a vector of 64, in the same run."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from ..envs import LearnerView, Market
from .timing import rate

SIZES = (("bench-1", 1024), ("bench-10", 1024), ("bench-100", 64), ("bench-10-full", 1024))
"""Scenario, and how many markets run side by side."""


def market_rate(scenario: str, markets: int, steps: int = 400) -> float:
    """Market-steps per CPU second: raw actions in, guardrails, rivals, sales, rewards and observations out."""
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


def bytes_per_lane(scenario: str, markets: int) -> float:
    """Bytes that one product of one market takes: its state, its constants, and where a period works on it."""
    learner_view = LearnerView(Market(scenario, num_markets=markets))
    learner_view.step(np.zeros((markets, learner_view.layout.size * learner_view.base_price.size), np.float32))
    market = learner_view.market
    held = sum(array.nbytes for array in market.state.arrays().values()) + market.dynamics.nbytes
    return held / (markets * market.spec.sizes["N"])


def table() -> list[dict[str, Any]]:
    """One row a scenario: steps a second, the ratio to CartPole, memory at one and at ten times the markets."""
    yardstick = cartpole_rate()
    rows = [{"what": "CartPole, SyncVectorEnv(64)", "per_second": yardstick, "ratio": 1.0, "unit": "environment-steps"}]
    for scenario, markets in SIZES:
        speed = market_rate(scenario, markets) * (100 if scenario == "bench-100" else 1)
        unit = "product decisions" if scenario == "bench-100" else "market-steps"
        what = f"{scenario}, {markets} side by side"
        rows.append({"what": what, "per_second": speed, "ratio": speed / yardstick, "unit": unit})
    rows += [
        {
            "what": f"bench-10 memory, {markets} side by side",
            "per_second": bytes_per_lane("bench-10", markets),
            "ratio": bytes_per_lane("bench-10", markets) / bytes_per_lane("bench-10", 1024),
            "unit": "bytes a product and market",
        }
        for markets in (1024, 10_240)
    ]
    return rows

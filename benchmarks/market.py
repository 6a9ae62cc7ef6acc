"""Speed of the simulated market against Gymnasium's CartPole in a vector of 64, in the same run."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from ..envs import Face, Market
from ..scenarios import MarketSpec, spec_from_table
from .timing import rate


def market_of(products: int, segments: int = 6) -> MarketSpec:
    """Substitutes for several segments, with reference prices, overdispersion, orders on the way."""
    generator = np.random.default_rng(0)
    regular = generator.uniform(2, 10, products)
    return spec_from_table(
        {
            "name": f"bench-{products}",
            "version": 1,
            "market": {"horizon_periods": 52, "objective": "profit"},
            "products": {
                "names": [f"p{n}" for n in range(products)],
                "regular_price": regular,
                "unit_cost": regular * 0.6,
            },
            "arrivals": {
                "rate": 5.0 * products,
                "segments": [f"s{k}" for k in range(segments)],
                "segment_share": 1 / segments,
            },
            "demand": {
                "quality": generator.normal(1.5, 0.5, (segments, products)),
                "price_sensitivity": generator.uniform(1, 4, (segments, 1)) / regular,
            },
            "reference_price": {"memory": 0.7, "gain": 0.3, "loss": 0.6},
            "stock": {"initial_units": 30, "replenishment": "order-up-to", "order_up_to_units": 30},
            "prices": {"floor": regular * 0.5, "ceiling": regular * 2},
        }
    )


def market_rate(spec: MarketSpec, markets: int, steps: int = 40) -> float:
    """Market-steps per CPU second, guardrails and observations included."""
    face = Face(Market(spec, num_markets=markets, seed=0))
    raw = np.random.default_rng(0).uniform(-0.5, 0.5, (markets, *face.action_space.shape)).astype(np.float32)

    def work() -> int:
        for _ in range(steps):
            if face.market.done.any():
                face.market.restart(face.market.done)
            face.step(raw)
            face.observe()
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


def table() -> list[dict[str, Any]]:
    """One row a size: steps a second and the ratio to CartPole."""
    yardstick = cartpole_rate()
    rows = [{"what": "CartPole, SyncVectorEnv(64)", "per_second": yardstick, "ratio": 1.0, "unit": "environment-steps"}]
    for products, markets in ((1, 1024), (10, 1024), (100, 64)):
        speed = market_rate(market_of(products), markets) * (products if products == 100 else 1)
        unit = "product decisions" if products == 100 else "market-steps"
        what = f"market, {products} products, {markets} side by side"
        rows.append({"what": what, "per_second": speed, "ratio": speed / yardstick, "unit": unit})
    return rows

"""Speed of single decisions against SB3's `predict`, of a batch, and of the service."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3 import PPO

from ..agents import train
from ..envs import make_sb3_env
from ..pricing import NetworkPolicy
from ..scenarios import MarketSpec, spec_from_table
from ..serving import Predictor, example_state, export, load_bundle
from .loopback import throughput
from .timing import median_seconds, row_of

PRODUCTS = 30
"""Products of the shop on which the service is measured, as many as in the demo."""


def shop(products: int = PRODUCTS) -> MarketSpec:
    """A shop with categories of six products, three segments, discounts, slots and price rules."""
    names = [f"product {n:02}" for n in range(products)]
    price = [round(1.5 + 0.35 * (n % 17), 2) for n in range(products)]
    market = {"horizon_periods": 12, "period": "week", "first_day": "2024-01-01"}
    arrivals = {"rate": 200.0, "segments": ["thrifty", "usual", "loyal"], "segment_share": [0.3, 0.5, 0.2]}
    sensitivity = [[share / each for each in price] for share in (3, 2, 1.5)]
    bounds = {"floor": [0.65 * each for each in price], "ceiling": [1.4 * each for each in price], "tick": 0.01}
    rules = {"minimum_margin": 0.1, "max_change": 0.15, "max_discount": 0.2, "max_segment_spread": 0.1}
    kinds = {"names": names, "category": [f"category {n // 6}" for n in range(products)]}
    table = {
        "name": "bench-shop",
        "version": 1,
        "market": market,
        "products": kinds | {"regular_price": price, "unit_cost": [0.6 * each for each in price]},
        "arrivals": arrivals,
        "demand": {"quality": 2.0, "price_sensitivity": sensitivity},
        "recommendation": {"lift": 0.3, "candidates": [[1] * products] * 3},
        "prices": bounds | rules,
    }
    return spec_from_table(table)


def shop_bundle(path: Path) -> Path:
    """A bundle for that shop, of a policy that was hardly trained: it costs as much as any other."""
    run = train(shop(), steps=1, settings={"num_envs": 4, "n_steps": 12, "batch_size": 48, "validation_episodes": 2})
    return export(run, path)


def table() -> list[dict[str, Any]]:
    """Calls per second, and the ratio to a baseline."""
    scenario = "stationary-logit"
    model = PPO("MlpPolicy", make_sb3_env(scenario, num_envs=2), device="cpu")
    run = train(scenario, steps=1, settings={"num_envs": 4, "n_steps": 30, "batch_size": 60})
    with tempfile.TemporaryDirectory() as folder:
        path = export(run, Path(folder) / "bundle")
        predictor = Predictor(load_bundle(path))
        policy = predictor.bundle.policy
        state = example_state(predictor.bundle.catalogue)
        served = throughput(path, state)
    assert isinstance(policy, NetworkPolicy), "a policy without recurrent state"
    row = np.zeros((1, *make_sb3_env(scenario, num_envs=1).reset().shape[1:]), np.float32)
    sb3 = 1 / median_seconds(lambda: model.predict(row, deterministic=True))
    onnx = 1 / median_seconds(lambda: policy.forward(row))
    many = 10_000 / batch_seconds(predictor)
    alone = 1 / median_seconds(lambda: predictor.price(state))
    rows = [
        ("SB3 predict, batch 1", sb3, sb3, "calls"),
        ("bundle's network, batch 1", onnx, sb3, "calls"),
        ("price of one state", alone, alone, "prices"),
        ("prices of 10,000 states at once", many, alone, "prices"),
        ("POST /v1/prices", served, alone, "requests, CPU"),
    ]
    return [row_of(*row) for row in rows]


def batch_seconds(predictor: Predictor, count: int = 10_000, repeats: int = 5) -> float:
    """Median seconds for `count` prices, from plain states to plain answers."""
    catalogue = predictor.bundle.catalogue
    states = [example_state(catalogue)] * (count // catalogue.num_products)
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        answers = predictor.price_all([predictor.read(state) for state in states])
        seconds.append(time.perf_counter() - started)
        assert len(answers) == len(states)
    return statistics.median(seconds)

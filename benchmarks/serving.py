"""Latency of one decision at batch 1: the exported network against SB3's own `predict`."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3 import PPO

from ..agents import train
from ..envs import make_sb3_env
from ..pricing import NetworkPolicy
from ..serving import export, load_bundle


def _median_seconds(call: Callable[[], object], count: int = 2000) -> float:
    for _ in range(100):
        call()
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def table() -> list[dict[str, Any]]:
    """Calls a second of each, and the ratio."""
    scenario = "stationary-logit"
    model = PPO("MlpPolicy", make_sb3_env(scenario, num_envs=2), device="cpu")
    run = train(scenario, steps=1, settings={"num_envs": 4, "n_steps": 30, "batch_size": 60})
    with tempfile.TemporaryDirectory() as folder:
        policy = load_bundle(export(run, Path(folder) / "bundle")).policy
    assert isinstance(policy, NetworkPolicy), "it does not look back"
    row = np.zeros((1, *make_sb3_env(scenario, num_envs=1).reset().shape[1:]), np.float32)
    sb3 = 1 / _median_seconds(lambda: model.predict(row, deterministic=True))
    onnx = 1 / _median_seconds(lambda: policy.forward(row))
    return [
        {"what": "SB3 predict, batch 1", "per_second": sb3, "ratio": 1.0, "unit": "calls"},
        {"what": "bundle's network, batch 1", "per_second": onnx, "ratio": onnx / sb3, "unit": "calls"},
    ]

"""Speed of learning: SB3's PPO on the batched market against SB3's PPO on CartPole with its defaults."""

from __future__ import annotations

import time
from typing import Any

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from ..envs import make_sb3_env


def _rate(model: PPO, steps: int) -> float:
    """Steps per CPU second of `learn`, after a warm-up of one rollout."""
    model.learn(1)
    started, before = time.process_time(), model.num_timesteps
    model.learn(steps, reset_num_timesteps=False)
    return (model.num_timesteps - before) / (time.process_time() - started)


def table() -> list[dict[str, Any]]:
    """Steps a second of PPO here and there, and their ratio."""
    torch.set_num_threads(1)
    cartpole = _rate(PPO("MlpPolicy", make_vec_env("CartPole-v1", n_envs=8), device="cpu", seed=0), 30_000)
    venv = make_sb3_env("bench-10", num_envs=256, reward="expected")
    settings = {"n_steps": 64, "batch_size": 4096, "n_epochs": 4, "device": "cpu", "seed": 0}
    market = _rate(PPO("MlpPolicy", venv, **settings), 150_000)
    return [
        {"what": "PPO on CartPole, 8 copies, defaults", "per_second": cartpole, "ratio": 1.0, "unit": "steps"},
        {
            "what": "PPO on 256 markets of 10 products",
            "per_second": market,
            "ratio": market / cartpole,
            "unit": "market-steps",
        },
    ]

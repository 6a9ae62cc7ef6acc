"""Speed of learning: PPO on the market, relative to SB3's PPO on CartPole."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from ..agents.networks import one_thread
from ..agents.ppo.fused import FusedPPO
from ..envs import make_sb3_env
from .timing import row_of


def rate(model: PPO, steps: int, clock: Callable[[], float] = time.process_time) -> float:
    """Steps per second of `learn`, of the CPU by default, after a warm-up of one rollout."""
    model.learn(1)
    started = clock()
    before = model.num_timesteps
    model.learn(steps, reset_num_timesteps=False)
    return (model.num_timesteps - before) / (clock() - started)


def table() -> list[dict[str, Any]]:
    """Steps per second, and their ratio to CartPole's."""
    settings = {"n_steps": 64, "batch_size": 4096, "n_epochs": 4, "device": "cpu", "seed": 0}
    with one_thread():
        cartpole = rate(PPO("MlpPolicy", make_vec_env("CartPole-v1", n_envs=8), device="cpu", seed=0), 30_000)
        rates = {"PPO on CartPole, 8 copies, defaults": cartpole}
        for what, kind, network in (
            ("SB3's PPO on 256 markets of 10 products", PPO, {}),
            ("the trainer's PPO on 256 markets of 10 products", FusedPPO, {"activation_fn": torch.nn.ReLU}),
        ):
            venv = make_sb3_env("bench-10", num_envs=256, reward="expected")
            rates[what] = rate(kind("MlpPolicy", venv, policy_kwargs=network, **settings), 150_000)
    first, *others = rates.items()
    return [row_of(*first, cartpole, "steps"), *(row_of(*one, cartpole, "market-steps") for one in others)]

"""Speed of PPO on a GPU: 4,096 markets, on the GPU against the CPU."""

from __future__ import annotations

import time
from typing import Any

import torch

from ..agents.ppo.fused import FusedPPO
from ..envs import make_sb3_env
from .learner import rate
from .timing import SkippedError, row_of

MARKETS = 4096
_WIDTHS = (64, 1024)


def table() -> list[dict[str, Any]]:
    """Market-steps per second of wall-clock time, and their ratio to the trainer's PPO on the CPU.

    Raises:
        SkippedError: There is no GPU.
    """
    if not torch.cuda.is_available():
        raise SkippedError("skipped, as torch sees no GPU here")
    card = torch.cuda.get_device_name()
    rows = []
    for width in _WIDTHS:
        devices = {"the CPU": "cpu", card: "cuda"}
        what = "the trainer's PPO on {}, 2 layers of {}"
        rates = {what.format(name, width): _rate(device, width) for name, device in devices.items()}
        slow = next(iter(rates.values()))
        rows += [row_of(what, per_second, slow, "market-steps") for what, per_second in rates.items()]
    return rows


def _rate(device: str, width: int) -> float:
    venv = make_sb3_env("bench-10", num_envs=MARKETS, reward="expected")
    arguments: dict[str, Any] = {"activation_fn": torch.nn.ReLU, "net_arch": [width, width]}
    settings: dict[str, Any] = {"n_steps": 16, "batch_size": 16_384, "n_epochs": 4, "seed": 0}
    model = FusedPPO("MlpPolicy", venv, policy_kwargs=arguments, device=device, **settings)
    return rate(model, 400_000, time.perf_counter)

"""Training state in one file without pickle: tensors as safetensors, everything else as JSON in its header."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from stable_baselines3.common.base_class import BaseAlgorithm

from ..envs import MarketVecEnv

_RNG = "random."


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> None:
    """Write the file whole or not at all: beside the target first, then renamed over it."""
    temporary = path.with_suffix(".tmp")
    try:
        whole = {key: value.detach().contiguous().clone() for key, value in tensors.items()}
        save_file(whole, temporary, {"facts": json.dumps(facts)})
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors and the facts of a file; ValueError where it is none."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return tensors, json.loads(file.metadata()["facts"])
    except (SafetensorError, OSError, KeyError, TypeError) as error:
        raise ValueError(f"{path} must be a safetensors file that training wrote; got {error}; train again") from error


def save_checkpoint(path: Path, model: BaseAlgorithm, venv: MarketVecEnv, facts: Mapping[str, Any]) -> None:
    """Everything that the next update depends on: weights, optimiser, markets, random states, counters."""
    tensors = {f"policy.{k}": v for k, v in model.policy.state_dict().items()}
    optimiser = model.policy.optimizer.state_dict()
    for i, slot in optimiser["state"].items():
        tensors |= {f"optimizer.{i}.{k}": torch.as_tensor(v) for k, v in slot.items()}
    tensors |= {f"market.{k}": torch.from_numpy(np.array(v)) for k, v in venv.state().arrays().items()}
    # SB3 draws from the global generators.
    kind, words, position, *gauss = np.random.get_state()  # noqa: NPY002
    tensors[f"{_RNG}torch"] = torch.get_rng_state()
    tensors[f"{_RNG}numpy"] = torch.from_numpy(np.array(words, dtype=np.int64))
    tensors["last.obs"] = torch.from_numpy(np.array(model._last_obs))
    tensors["last.episode_starts"] = torch.from_numpy(np.array(model._last_episode_starts))
    counters = {
        "num_timesteps": model.num_timesteps,
        "n_updates": model._n_updates,
        "param_groups": optimiser["param_groups"],
        "numpy": [kind, int(position), int(gauss[0]), float(gauss[1])],
    }
    write_tensors(path, tensors, {"counters": counters, "facts": dict(facts)})


def restore_checkpoint(path: Path, model: BaseAlgorithm, venv: MarketVecEnv) -> dict[str, Any]:
    """Put a fresh model and its markets where the checkpoint left them; returns the facts saved with it."""
    tensors, saved = read_tensors(path)
    counters = saved["counters"]
    model.policy.load_state_dict(_under(tensors, "policy."))
    slots: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in _under(tensors, "optimizer.").items():
        index, name = key.split(".", 1)
        slots.setdefault(int(index), {})[name] = value
    model.policy.optimizer.load_state_dict({"state": slots, "param_groups": counters["param_groups"]})
    venv.restore(replace(venv.state(), **{k: v.numpy() for k, v in _under(tensors, "market.").items()}))
    model._last_obs = tensors["last.obs"].numpy()
    model._last_episode_starts = tensors["last.episode_starts"].numpy()
    model.num_timesteps, model._n_updates = counters["num_timesteps"], counters["n_updates"]
    torch.set_rng_state(tensors[f"{_RNG}torch"])
    kind, position, has_gauss, gauss = counters["numpy"]
    words = tensors[f"{_RNG}numpy"].numpy().astype(np.uint32)
    np.random.set_state((kind, words, position, has_gauss, gauss))  # noqa: NPY002
    return saved["facts"]


def _under(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}

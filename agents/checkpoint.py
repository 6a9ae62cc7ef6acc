"""Training state in one file without pickle: tensors as safetensors, the rest as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from stable_baselines3.common.base_class import BaseAlgorithm

from ..atomic import whole_file
from ..envs import BatchVecEnv

_BUFFER = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")
_COUNTERS = ("num_timesteps", "_n_updates", "_n_calls", "_episode_num", "exploration_rate")
_TREE = "tree"


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> None:
    """Write a safetensors file completely or not at all.

    Raises:
        OSError: The file cannot be written.
    """
    try:
        with whole_file(path) as temporary:
            whole = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
            save_file(whole, temporary, {"facts": json.dumps(facts)})
    except SafetensorError as error:
        raise OSError(f"{path} could not be written: {error}; free some space and run the same again") from error


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors and facts of a file that `write_tensors` wrote.

    Raises:
        ValueError: It is no such file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return tensors, json.loads(file.metadata()["facts"])
    except (SafetensorError, OSError, KeyError, TypeError) as error:
        raise ValueError(f"{path} must be a safetensors file that training wrote; got {error}; train again") from error


def save_checkpoint(path: Path, model: BaseAlgorithm, venv: BatchVecEnv, facts: Mapping[str, Any]) -> None:
    """Save everything that the next update depends on.

    That is: weights, optimisers, replay buffer, markets, random states and counters.

    Args:
        facts: Facts of the caller, arrays among them, returned by `restore_checkpoint`.
    """
    names, variables = model._get_torch_save_params()
    lstm = getattr(model, "_last_lstm_states", None)
    state = {
        "parts": {name: attrgetter(name)(model).state_dict() for name in names},
        "variables": {name: attrgetter(name)(model) for name in variables},
        "market": venv.arrays(),
        "buffer": _buffer(model),
        "last": {"obs": model._last_obs, "episode_starts": model._last_episode_starts},
        "lstm": None if lstm is None else lstm._asdict(),
        "counters": {name: getattr(model, name) for name in _COUNTERS if hasattr(model, name)},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        "numpy": np.random.get_state(),  # noqa: NPY002
        "actions": model.action_space.np_random.bit_generator.state,
        "facts": facts,
    }
    tensors: dict[str, torch.Tensor] = {}
    tree = _flattened(state, tensors)
    write_tensors(path, tensors, {_TREE: tree})


def restore_checkpoint(path: Path, model: BaseAlgorithm, venv: BatchVecEnv) -> dict[str, Any]:
    """Restore a model and its markets; the caller's facts, with tensors for arrays.

    Raises:
        ValueError: The file is damaged.
    """
    tensors, saved = read_tensors(path)
    if _TREE not in saved:
        raise ValueError(f"{path} must be of this version; got an older one; train again with another --out")
    state = _rebuilt(saved[_TREE], tensors)
    for name, part in state["parts"].items():
        attrgetter(name)(model).load_state_dict(part)
    for name, value in state["variables"].items():
        attrgetter(name)(model).data.copy_(value)
    venv.restore_arrays({name: value.numpy() for name, value in state["market"].items()})
    buffer: Any = getattr(model, "replay_buffer", None)
    if buffer is not None:
        for name in _BUFFER:
            getattr(buffer, name)[: len(state["buffer"][name])] = state["buffer"][name].numpy()
        buffer.pos, buffer.full = state["buffer"]["place"]
    model._last_obs, model._last_episode_starts = (part.numpy() for part in state["last"].values())
    if state["lstm"] is not None:
        rows = {who: tuple(part.to(model.device) for part in parts) for who, parts in state["lstm"].items()}
        lstm: Any = model._last_lstm_states  # pyright: ignore[reportAttributeAccessIssue]
        model._last_lstm_states = lstm._replace(**rows)  # pyright: ignore[reportAttributeAccessIssue]
    for name, value in state["counters"].items():
        setattr(model, name, value)
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"])
    kind, words, *rest = state["numpy"]
    np.random.set_state((kind, words.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    model.action_space.np_random.bit_generator.state = state["actions"]
    return state["facts"]


def _buffer(model: BaseAlgorithm) -> dict[str, Any] | None:
    buffer = getattr(model, "replay_buffer", None)
    if buffer is None:
        return None
    filled = buffer.buffer_size if buffer.full else buffer.pos
    return {name: getattr(buffer, name)[:filled] for name in _BUFFER} | {"place": [buffer.pos, buffer.full]}


def _flattened(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """A tree as JSON has it; its tensors and arrays are put into `tensors`, and their names stand for them."""
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value.astype(np.int64) if value.dtype == np.uint32 else np.array(value))
    if isinstance(value, torch.Tensor):
        tensors[name := str(len(tensors))] = value
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"items": [[key, _flattened(item, tensors)] for key, item in value.items()]}
    return [_flattened(item, tensors) for item in value] if isinstance(value, list | tuple) else value


def _rebuilt(node: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(node, dict):
        return (
            tensors[node["tensor"]] if "tensor" in node else {k: _rebuilt(item, tensors) for k, item in node["items"]}
        )
    return [_rebuilt(item, tensors) for item in node] if isinstance(node, list) else node

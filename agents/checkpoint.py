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


def save_checkpoint(
    path: Path, model: BaseAlgorithm, venv: BatchVecEnv, facts: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
) -> None:
    """Save everything that the next update depends on.

    That is: weights, optimisers, replay buffer, markets, random states and counters.

    Args:
        facts: JSON facts of the caller, returned by `restore_checkpoint`.
        tensors: Tensors of the caller, returned by `restore_checkpoint`.
    """
    names, variables = model._get_torch_save_params()
    states: dict[str, Any] = {}
    parts = {f"own.{key}": value for key, value in tensors.items()}
    for name in names:
        state = attrgetter(name)(model).state_dict()
        if isinstance(attrgetter(name)(model), torch.optim.Optimizer):
            states[name] = state["param_groups"]
            state = {f"{i}.{key}": torch.as_tensor(v) for i, slot in state["state"].items() for key, v in slot.items()}
        parts |= {f"{name}/{key}": value for key, value in state.items()}
    parts |= {f"variable.{name}": attrgetter(name)(model) for name in variables}
    parts |= {f"market.{key}": torch.from_numpy(np.array(value)) for key, value in venv.arrays().items()}
    parts |= _buffer(model) | _last(model) | _random_tensors()
    counters = {name: getattr(model, name) for name in _COUNTERS if hasattr(model, name)}
    saved = {"counters": counters, "param_groups": states, "random": _random_facts(model), "facts": dict(facts)}
    write_tensors(path, parts, saved)


def restore_checkpoint(
    path: Path, model: BaseAlgorithm, venv: BatchVecEnv
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Restore a fresh model and its markets to the state of a checkpoint.

    Returns:
        The facts and tensors that the caller saved.
    """
    tensors, saved = read_tensors(path)
    names, variables = model._get_torch_save_params()
    for name in names:
        target, state = attrgetter(name)(model), _with_prefix(tensors, f"{name}/")
        if isinstance(target, torch.optim.Optimizer):
            slots: dict[int, dict[str, torch.Tensor]] = {}
            for key, value in state.items():
                index, slot = key.split(".", 1)
                slots.setdefault(int(index), {})[slot] = value
            target.load_state_dict({"state": slots, "param_groups": saved["param_groups"][name]})
        else:
            target.load_state_dict(state)
    for name in variables:
        attrgetter(name)(model).data.copy_(tensors[f"variable.{name}"])
    venv.restore_arrays({key: value.numpy() for key, value in _with_prefix(tensors, "market.").items()})
    _put_back_buffer(model, _with_prefix(tensors, "replay."))
    _put_back_last(model, _with_prefix(tensors, "last."))
    for name, value in saved["counters"].items():
        setattr(model, name, value)
    _put_back_random(model, tensors, saved["random"])
    return saved["facts"], _with_prefix(tensors, "own.")


def _buffer(model: BaseAlgorithm) -> dict[str, torch.Tensor]:
    """The filled part of the replay buffer, and the position of the next transition."""
    buffer = getattr(model, "replay_buffer", None)
    if buffer is None:
        return {}
    filled = buffer.buffer_size if buffer.full else buffer.pos
    parts = {f"replay.{name}": torch.from_numpy(getattr(buffer, name)[:filled]) for name in _BUFFER}
    return parts | {"replay.place": torch.tensor([buffer.pos, int(buffer.full)])}


def _put_back_buffer(model: BaseAlgorithm, parts: dict[str, torch.Tensor]) -> None:
    buffer: Any = getattr(model, "replay_buffer", None)
    if buffer is None:
        return
    for name in _BUFFER:
        getattr(buffer, name)[: len(parts[name])] = parts[name].numpy()
    buffer.pos, buffer.full = int(parts["place"][0]), bool(parts["place"][1])


def _last(model: BaseAlgorithm) -> dict[str, torch.Tensor]:
    """The last observations of the model, and the states of its LSTMs."""
    parts = {
        "last.obs": torch.from_numpy(np.array(model._last_obs)),
        "last.episode_starts": torch.from_numpy(np.array(model._last_episode_starts)),
    }
    lstm = getattr(model, "_last_lstm_states", None)
    if lstm is not None:
        parts |= {f"last.{who}{i}": state for who in ("pi", "vf") for i, state in enumerate(getattr(lstm, who))}
    return parts


def _put_back_last(model: BaseAlgorithm, parts: dict[str, torch.Tensor]) -> None:
    model._last_obs = parts["obs"].numpy()
    model._last_episode_starts = parts["episode_starts"].numpy()
    lstm: Any = getattr(model, "_last_lstm_states", None)
    if lstm is not None:
        rows = {who: tuple(parts[f"{who}{i}"].to(model.device) for i in range(2)) for who in ("pi", "vf")}
        model._last_lstm_states = lstm._replace(**rows)  # pyright: ignore[reportAttributeAccessIssue]


def _random_tensors() -> dict[str, torch.Tensor]:
    """States of the global generators that Stable-Baselines3 samples from."""
    _, words, *_ = np.random.get_state()  # noqa: NPY002
    parts = {"random.torch": torch.get_rng_state(), "random.numpy": torch.from_numpy(np.array(words, dtype=np.int64))}
    if torch.cuda.is_available():
        parts["random.cuda"] = torch.cuda.get_rng_state()
    return parts


def _random_facts(model: BaseAlgorithm) -> dict[str, Any]:
    """The rest of the generator's state, and that of the action space, whose integers are large."""
    kind, _, position, *gauss = np.random.get_state()  # noqa: NPY002
    numpy_state = [kind, int(position), int(gauss[0]), float(gauss[1])]
    return {"numpy": numpy_state, "actions": model.action_space.np_random.bit_generator.state}


def _put_back_random(model: BaseAlgorithm, tensors: Mapping[str, torch.Tensor], facts: dict[str, Any]) -> None:
    torch.set_rng_state(tensors["random.torch"])
    if torch.cuda.is_available() and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"])
    kind, position, has_gauss, gauss = facts["numpy"]
    words = tensors["random.numpy"].numpy().astype(np.uint32)
    np.random.set_state((kind, words, position, has_gauss, gauss))  # noqa: NPY002
    model.action_space.np_random.bit_generator.state = facts["actions"]


def _with_prefix(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors whose names start with the prefix, under the rest of their names."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}

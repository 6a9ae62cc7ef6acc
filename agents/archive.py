"""Policies from Stable-Baselines3 archives, read without running any code in them."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..envs import Market
from ..scenarios import MarketSpec, load_scenario
from .algorithms import Algorithm, algorithm, check_actions, make_policy
from .base_price import STEADY, base_of
from .run import Run, learner_view_of, made_with, run_of
from .settings import Settings, settings_for

_WEIGHTS, _DATA = "policy.pth", "data"
_MOST_BYTES = 256 << 20
# Defaults of Stable-Baselines3, if an archive does not say.
_LAYERS = {"sac": [256, 256], "tqc": [256, 256], "td3": [400, 300]}
_ACTIVATIONS = {"ReLU": torch.nn.ReLU, "Tanh": torch.nn.Tanh}


def load_archive(
    path: str | Path, scenario: MarketSpec | str | Path, *, algo: str, settings: Mapping[str, Any] | None = None
) -> Run:
    """The policy of an archive that Stable-Baselines3's `model.save` wrote, as a `Run`.

    Such an archive contains pickles, which run code when they are loaded. Only the weights are
    read, by torch's loader for tensors, and the plain JSON of its description: layers, activation
    and seed.

    Args:
        path: The archive.
        scenario: The market that it was trained on: a spec, a registered name or a path.
        algo: A key of `ALGORITHMS`.
        settings: How the policy saw the market, as for `train`; by default as `make_sb3_env` does.

    Raises:
        ValueError: The file is no such archive or does not fit the market.

    Example:
        >>> import tempfile
        >>> from stable_baselines3 import PPO
        >>> from repricer import make_sb3_env
        >>> path = tempfile.mkdtemp() + "/model.zip"
        >>> PPO("MlpPolicy", make_sb3_env("stationary-logit", num_envs=2), device="cpu").save(path)
        >>> load_archive(path, "stationary-logit", algo="ppo").policy.name
        'ppo:None'
    """
    path, spec, kind = Path(path), load_scenario(scenario), algorithm(algo)
    try:
        with zipfile.ZipFile(path) as archive:
            weights, data = (_read(archive, name) for name in (_WEIGHTS, _DATA))
        document = json.loads(data)
        stated = document.get("policy_kwargs") or {}
        state = torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True)
    except (OSError, KeyError, AttributeError, ValueError, zipfile.BadZipFile, RuntimeError) as error:
        raise _refused(path, error) from error
    except pickle.UnpicklingError as error:
        raise _refused(path, "weights that are more than tensors") from error
    chosen = _settings(spec, kind, stated, settings or {})
    base_price, base = base_of(spec, chosen.base_price)
    learner_view = learner_view_of(Market(spec), chosen, base_price, None if chosen.base_price in STEADY else base)
    check_actions(kind, learner_view)
    policy = make_policy(kind, learner_view, chosen, activation_fn=_activation(path, kind, stated))
    try:
        policy.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        got = re.sub(r"\s+", " ", str(error))[:200]
        raise ValueError(
            f"{path} must hold the weights of {algo} with the settings given; got {got}; name net_arch and the others"
        ) from error
    policy.set_training_mode(False)
    facts = {
        "scenario": spec.name,
        "scenario_version": spec.version,
        "algo": algo,
        "seed": document.get("seed"),
        "steps": document.get("num_timesteps"),
        "settings": chosen.to_dict(),
        "base_price": base_price.tolist(),
        "archive_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    return run_of(policy, learner_view, facts | made_with(), [])


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > _MOST_BYTES:
        raise ValueError(f"a {name} of more than {_MOST_BYTES >> 20} MiB")
    return archive.read(name)


def _refused(path: Path, what: object) -> ValueError:
    line = (str(what).splitlines() or [""])[0][:200]
    return ValueError(
        f"{path} must be an archive that Stable-Baselines3's model.save wrote; got {line}; its pickles are never loaded"
    )


def _settings(spec: MarketSpec, kind: Algorithm, stated: Mapping[str, Any], given: Mapping[str, Any]) -> Settings:
    """How the policy saw the market, and its layers."""
    layers = stated.get("net_arch", _LAYERS.get(kind.name, [64, 64]))
    seen = {
        "base_price": "regular",
        "product_wise": False,
        "actions": "discrete" if kind.decides == "discrete" else "continuous",
        "history": 1,
        "net_arch": layers if isinstance(layers, list) else [64, 64],
    }
    own = {name: stated[name] for name in kind.network if isinstance(stated.get(name), int | float)}
    plain = settings_for(spec, kind.name, seen | dict(given), kind.options)
    return replace(plain, algorithm=own | {name: given[name] for name in kind.network if name in given})


def _activation(path: Path, kind: Algorithm, stated: Mapping[str, Any]) -> type[torch.nn.Module]:
    default = torch.nn.ReLU if kind.off_policy else torch.nn.Tanh
    activation = stated.get("activation_fn")
    if activation is None:
        return default
    name = str(activation).rpartition(".")[2].strip("'>")
    if name not in _ACTIVATIONS:
        raise ValueError(f"{path} must have activation {' or '.join(_ACTIVATIONS)}; got {name[:40]}; train it with one")
    return _ACTIVATIONS[name]

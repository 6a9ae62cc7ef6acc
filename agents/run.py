"""A training run: what was learned, from which scenario, how; and the folder that keeps it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from gymnasium.spaces import Box
from numpy.typing import NDArray
from stable_baselines3.common.policies import ActorCriticPolicy

from ..envs import Face, Market
from ..pricing import ActionLayout, NetworkPolicy
from ..scenarios import MarketSpec, load_scenario, save_scenario
from .actor import Actor, network_policy
from .checkpoint import read_tensors, write_tensors

RUN_FILE, POLICY_FILE, CHECKPOINT_FILE, PROGRESS_FILE = (
    "run.json",
    "policy.safetensors",
    "checkpoint.safetensors",
    "progress.csv",
)


@dataclass(frozen=True)
class Run:
    """A learned policy with everything that is needed to judge, export and explain it.

    actor: torch module, (rows, F) features to raw actions. base_price: (N,) currency. facts: how it was trained, as
    JSON (algo, seed, steps, settings, versions, seconds, best validation). history: one dict a validation.
    evaluation: a comparison that was made of it, for the bundle's manifest, or None.
    """

    spec: MarketSpec
    actor: torch.nn.Module
    layout: ActionLayout
    base_price: NDArray[np.float32]
    product_wise: bool
    facts: dict[str, Any]
    history: list[dict[str, float]]
    evaluation: dict[str, Any] | None = None

    @property
    def policy(self) -> NetworkPolicy:
        """The learned policy, without exploration."""
        name = f"{self.facts['algo']}:{self.facts['seed']}"
        return network_policy(self.actor, self.layout, self.base_price, product_wise=self.product_wise, name=name)


def policy_network(face: Face, net_arch: list[int], log_std_init: float) -> ActorCriticPolicy:
    """An untrained network of the run's shape, on the CPU."""
    assert isinstance(face.action_space, Box)
    return ActorCriticPolicy(
        face.observation_space, face.action_space, lambda _: 0.0, **network_arguments(net_arch, log_std_init)
    )


def network_arguments(net_arch: list[int], log_std_init: float) -> dict[str, Any]:
    """Keyword arguments of SB3's policy; ReLU, because tanh costs thirty times as much on a CPU."""
    return {"net_arch": list(net_arch), "activation_fn": torch.nn.ReLU, "log_std_init": log_std_init}


def save_policy(folder: Path, policy: ActorCriticPolicy, facts: dict[str, Any]) -> None:
    """Keep these weights as the run's best."""
    write_tensors(folder / POLICY_FILE, policy.state_dict(), facts)


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    temporary = path.with_suffix(".json.tmp")
    temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


def open_folder(folder: Path, spec: MarketSpec, identity: dict[str, Any]) -> Literal["new", "begun", "finished"]:
    """Make the run's folder, or check that it holds this same run; `begun` means that there is a checkpoint to resume.

    Raises ValueError where the folder holds another run.
    """
    path = folder / RUN_FILE
    if not path.is_file():
        save_scenario(spec, folder)
        write_json(path, {"identity": identity})
        return "new"
    document = json.loads(path.read_text(encoding="utf-8"))
    for key, wanted in identity.items():
        if document["identity"].get(key) != wanted:
            raise ValueError(
                f"{folder} holds a run with {key} {document['identity'].get(key)!r}; got {wanted!r}; choose another --out"
            )
    if "facts" in document:
        return "finished"
    return "begun" if (folder / CHECKPOINT_FILE).is_file() else "new"


def load_run(folder: str | Path) -> Run:
    """The run that a folder keeps, at its best validation. Raises ValueError where there is none yet."""
    folder = Path(folder)
    for name in (RUN_FILE, POLICY_FILE, "scenario.toml"):
        if not (folder / name).is_file():
            raise ValueError(f"{folder} must be a run folder; got no {name} in it; make one with `repricer train`")
    document = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    if "facts" not in document:
        raise ValueError(f"{folder} holds an unfinished run; got no result yet; run the same `repricer train` to go on")
    facts, spec = document["facts"], load_scenario(folder)
    settings, base_price = facts["settings"], np.array(facts["base_price"], dtype=np.float32)
    face = Face(Market(spec), product_wise=settings["product_wise"], base_price=base_price)
    network = policy_network(face, settings["net_arch"], settings["log_std_init"])
    network.load_state_dict(read_tensors(folder / POLICY_FILE)[0])
    return Run(
        spec=spec,
        actor=Actor(network),
        layout=face.layout,
        base_price=base_price,
        product_wise=settings["product_wise"],
        facts=facts,
        history=document["history"],
    )


def save_result(folder: Path, run: Run) -> None:
    """Write what the finished run is beside its weights."""
    path = folder / RUN_FILE
    document = json.loads(path.read_text(encoding="utf-8"))
    document |= {"facts": run.facts, "history": run.history}
    write_json(path, document)

from __future__ import annotations

import base64
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from repricer.agents import ALGORITHMS, load_archive
from repricer.envs import make_sb3_env
from stable_baselines3 import PPO
from stable_baselines3.common.save_util import load_from_zip_file

SCENARIO = "stationary-logit"


def model_of(algo: str, **policy: Any) -> Any:
    kind = ALGORITHMS[algo]
    venv = make_sb3_env(
        SCENARIO, num_envs=2, seed=0, actions="discrete" if kind.decides == "discrete" else "continuous"
    )
    return kind.kind("MlpLstmPolicy" if kind.recurrent else "MlpPolicy", venv, seed=7, policy_kwargs=policy or None)


@pytest.mark.parametrize("algo", list(ALGORITHMS))
def test_a_model_saved_by_sb3_becomes_a_run_that_decides_alike(algo: str, tmp_path: Path) -> None:
    model = model_of(algo)
    model.save(tmp_path / "model.zip")
    run = load_archive(tmp_path / "model.zip", SCENARIO, algo=algo)
    rows = np.random.default_rng(0).normal(size=(200, model.observation_space.shape[0])).astype(np.float32)
    if ALGORITHMS[algo].recurrent:
        wanted, _ = model.predict(rows, deterministic=True, episode_start=np.ones(len(rows), bool))
        parts, _ = run.policy.step(rows, run.policy.initial_state(rows))
    else:
        wanted, _ = model.predict(rows, deterministic=True)
        parts = run.policy.forward(rows)
    raw = model.env.learner_view.raw(wanted).reshape(-1, run.layout.size)
    np.testing.assert_allclose(parts.price_multiplier, run.layout.decode(raw).price_multiplier, rtol=1e-5)
    assert (run.facts["seed"], run.facts["algo"], run.facts["steps"]) == (7, algo, 0)


def test_layers_and_activation_are_read_from_its_description(tmp_path: Path) -> None:
    model_of("ppo", net_arch=[8], activation_fn=torch.nn.ReLU).save(tmp_path / "model")
    run = load_archive(tmp_path / "model.zip", SCENARIO, algo="ppo")
    assert run.facts["settings"]["net_arch"] == [8]
    assert any(isinstance(module, torch.nn.ReLU) for module in run.actor.modules())
    model_of("ppo", activation_fn=torch.nn.ELU).save(tmp_path / "elu")
    with pytest.raises(ValueError, match="must have activation ReLU or Tanh; got ELU"):
        load_archive(tmp_path / "elu.zip", SCENARIO, algo="ppo")


class Planted:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("place", ["data", "policy.pth", "pytorch_variables.pth", "policy.optimizer.pth"])
def test_a_pickle_planted_in_an_archive_does_not_run(place: str, tmp_path: Path) -> None:
    model_of("ppo").save(tmp_path / "good.zip")
    ran, bad = tmp_path / "ran", tmp_path / "bad.zip"
    with zipfile.ZipFile(tmp_path / "good.zip") as good, zipfile.ZipFile(bad, "w") as archive:
        for name in good.namelist():
            if name != place:
                archive.writestr(name, good.read(name))
        if place == "data":
            document = json.loads(good.read("data"))
            document["lr_schedule"][":serialized:"] = base64.b64encode(pickle.dumps(Planted(ran))).decode()
            archive.writestr("data", json.dumps(document))
        else:
            with archive.open(place, "w") as file:
                torch.save({"weights": Planted(ran)}, file)
    if place == "policy.pth":
        with pytest.raises(ValueError, match="weights that are more than tensors") as caught:
            load_archive(bad, SCENARIO, algo="ppo")
        assert "\n" not in str(caught.value)
    else:
        load_archive(bad, SCENARIO, algo="ppo")
    assert not ran.exists()
    # The plant works: opened as SB3 opens it, or as torch once did, it runs.
    if place == "data":
        load_from_zip_file(bad)
    else:
        with zipfile.ZipFile(bad) as archive, archive.open(place) as file:
            torch.load(file, weights_only=False)
    assert ran.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"settings": {"net_arch": [32]}}, "must hold the weights of ppo with the settings given"),
        ({"algo": "sac"}, "must hold the weights of sac"),
        ({"algo": "ppoo"}, "algo must be one of"),
        ({"scenario": "three-stocks"}, "must hold the weights"),
        ({"settings": {"net_arc": [32]}}, "did you mean 'net_arch'"),
    ],
)
def test_what_does_not_fit_is_one_line(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    model_of("ppo").save(tmp_path / "model.zip")
    arguments = {"scenario": SCENARIO, "algo": "ppo"} | change
    with pytest.raises(ValueError, match=words) as caught:
        load_archive(tmp_path / "model.zip", **arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip at all"])
def test_no_archive_is_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    for _ in range(2):
        with pytest.raises(ValueError, match="must be an archive that Stable-Baselines3's") as caught:
            load_archive(path, SCENARIO, algo="ppo")
        assert "\n" not in str(caught.value)
        path.write_bytes(content)


@pytest.mark.parametrize("lacks", ["data", "policy.pth"])
def test_an_archive_that_lacks_a_part_is_refused(lacks: str, tmp_path: Path) -> None:
    PPO.save(model_of("ppo"), tmp_path / "good.zip")
    with zipfile.ZipFile(tmp_path / "good.zip") as good, zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        for name in set(good.namelist()) - {lacks}:
            archive.writestr(name, good.read(name))
    with pytest.raises(ValueError, match="no item named"):
        load_archive(tmp_path / "bad.zip", SCENARIO, algo="ppo")

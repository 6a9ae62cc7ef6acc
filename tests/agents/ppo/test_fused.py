from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.wrappers import TimeLimit
from repricer import load_scenario, make_sb3_env, train
from repricer.agents.algorithms import algorithm, make_model
from repricer.agents.ppo.fused import FusedPPO
from repricer.agents.settings import settings_for
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import Logger

# With a large eps Adam's step is nearly the gradient itself; with a small one the sign of a rounding error is a whole step.
EPS = 1e-3


def played(kind: type[PPO], rollout_of: PPO | None = None, scenario: Any = "bench-10", **settings: Any) -> PPO:
    """A model that has played one rollout, its own or that of another with the same weights."""
    venv = make_sb3_env(scenario, num_envs=8, seed=3, reward="expected", **settings.pop("learner_view", {}))
    network = {"activation_fn": torch.nn.ReLU, "net_arch": [16, 12], "optimizer_kwargs": {"eps": EPS}}
    network |= settings.pop("network", {})
    given = {
        "n_steps": 20,
        "batch_size": 48,
        "n_epochs": 3,
        "learning_rate": 0.1,
        "seed": 0,
        "device": "cpu",
    } | settings
    model = kind("MlpPolicy", venv, policy_kwargs=network, **given)
    model.set_logger(Logger(None, []))
    _, callback = model._setup_learn(160)
    if rollout_of is None:
        model.collect_rollouts(venv, callback, model.rollout_buffer, 20)
    else:
        model.policy.load_state_dict(rollout_of.policy.state_dict())
        model.rollout_buffer = copy.deepcopy(rollout_of.rollout_buffer)
    return model


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"ent_coef": 0.1, "clip_range": 0.02},
        {"max_grad_norm": 1e-3, "normalize_advantage": False},
        {"batch_size": 160, "network": {"net_arch": {"pi": [8], "vf": [24, 8, 8]}}},
        {"network": {"optimizer_kwargs": {"eps": EPS, "weight_decay": 0.1, "betas": (0.5, 0.9)}}},
    ],
    ids=[
        "default",
        "clipped, with entropy",
        "short steps",
        "other layers",
        "other Adam",
    ],
)
def test_an_update_is_that_of_stable_baselines(settings: dict[str, Any]) -> None:
    theirs = played(PPO, **settings)
    ours = played(FusedPPO, theirs, **settings)
    before = copy.deepcopy(ours.policy.state_dict())
    for model in (theirs, ours, theirs, ours):  # twice: Adam's moments go on
        np.random.seed(model._n_updates)  # noqa: NPY002
        buffer = copy.deepcopy(model.rollout_buffer)
        model.train()
        model.rollout_buffer = buffer
    for (name, mine), other in zip(ours.policy.state_dict().items(), theirs.policy.state_dict().values(), strict=True):
        moved = float((mine - before[name]).abs().max())
        assert moved > 1e-5
        torch.testing.assert_close(mine, other, rtol=0, atol=2e-3 * moved)
    figures, wanted = (model.logger.name_to_value for model in (ours, theirs))
    assert figures.keys() == wanted.keys()
    compared = {"entropy_loss", "policy_gradient_loss", "value_loss", "clip_fraction", "explained_variance", "std"}
    for name in (each for each in compared if f"train/{each}" in wanted):
        assert figures[f"train/{name}"] == pytest.approx(wanted[f"train/{name}"], rel=1e-3, abs=1e-5)


def test_a_divergence_past_the_limit_ends_the_update() -> None:
    model = played(FusedPPO, target_kl=1e-6)
    model.train()
    assert model._n_updates == 1
    assert played(FusedPPO)._n_updates == 0


@pytest.mark.parametrize(
    "settings",
    [{"normalise": True}, {"clip_range_vf": 0.2}, {"actions": "discrete"}],
    ids=lambda settings: next(iter(settings)),
)
def test_what_is_not_plain_is_left_to_stable_baselines(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("repricer.agents.ppo.fused.update", lambda *_: pytest.fail("not for this network"))
    short = {"evaluations": 1, "validation_episodes": 4, "clone_epochs": 1}
    run = train("scarce", steps=1600, settings=settings | short)
    assert np.isfinite(run.history[-1]["objective"])


def test_the_presets_learn_by_the_compiled_update(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("repricer.agents.ppo.fused.update", lambda *_: (_ for _ in ()).throw(InterruptedError))
    spec = load_scenario("scarce")
    model = make_model(algorithm("ppo"), make_sb3_env(spec, num_envs=4), settings_for(spec, "ppo"), seed=0)
    with pytest.raises(InterruptedError):
        model.learn(200)


def test_the_value_after_a_truncated_episode_is_that_of_sb3_but_for_all_rows_at_once(make_shop, monkeypatch):
    spec, rewards = make_shop().with_changes(market={"ending": "truncated"}), []
    for _ in range(2):
        model = played(FusedPPO, scenario=spec, gamma=0.9, network={"ortho_init": False})
        assert model.rollout_buffer.episode_starts[8].all()
        rewards.append(model.rollout_buffer.rewards.copy())
        monkeypatch.setattr(FusedPPO, "collect_rollouts", PPO.collect_rollouts)
    np.testing.assert_allclose(*rewards, rtol=1e-5)
    monkeypatch.undo()
    less = played(FusedPPO, scenario=spec, gamma=0.5, network={"ortho_init": False}).rollout_buffer.rewards
    np.testing.assert_array_equal(less[:7], rewards[0][:7])
    assert (less[7] != rewards[0][7]).all()


class Watching(BaseCallback):
    """Keeps what a callback sees: cut episodes at each step, and the rollout at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.cut, self.ends = 0, []

    def _on_step(self) -> bool:
        self.cut += sum(info["TimeLimit.truncated"] for info in self.locals["infos"])
        return True

    def _on_rollout_end(self) -> None:
        self.ends.append(copy.deepcopy(self.model.rollout_buffer))


@pytest.mark.parametrize("environment", ["Pendulum-v1", "FrozenLake-v1", "Acrobot-v1"])
def test_callbacks_of_other_environments_see_what_they_see_under_stable_baselines(environment: str) -> None:
    seen = []
    for kind in (PPO, FusedPPO):
        venv = make_vec_env(
            environment, n_envs=2, seed=5, wrapper_class=TimeLimit, wrapper_kwargs={"max_episode_steps": 40}
        )
        model = kind(
            "MlpPolicy", venv, n_steps=64, policy_kwargs={"activation_fn": torch.nn.ReLU}, seed=1, device="cpu"
        )
        watching = Watching()
        model.learn(128, callback=watching)
        seen.append(watching)
    theirs, ours = seen
    assert ours.cut == theirs.cut
    for name in ("rewards", "values", "advantages", "returns", "log_probs"):
        np.testing.assert_allclose(getattr(ours.ends[0], name), getattr(theirs.ends[0], name), rtol=1e-4, atol=1e-4)


def test_a_model_can_be_copied_and_stored_after_it_has_looked_ahead(tmp_path: Path) -> None:
    venv = make_sb3_env("scarce", num_envs=4, seed=3, reward="expected")
    asked = {"n_steps": 10, "batch_size": 40, "policy_kwargs": {"activation_fn": torch.nn.ReLU}, "device": "cpu"}
    model = FusedPPO("MlpPolicy", venv, seed=0, next_draws=2, **asked).learn(40)
    copy.deepcopy(model).learn(40)
    model.save(tmp_path / "model.zip")
    assert FusedPPO.load(tmp_path / "model.zip", env=venv).learn(40).next_draws == 2

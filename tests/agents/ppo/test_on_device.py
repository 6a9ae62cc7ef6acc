"""PPO with its rollout as tensors: held to Stable-Baselines3's numbers, on the CPU."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from repricer.agents.ppo.fused import FusedPPO
from repricer.agents.ppo.on_device import DeviceRolloutBuffer
from stable_baselines3 import PPO

from .test_fused import played

CHOICES: dict[str, Any] = {"learner_view": {"actions": "discrete"}}


def buffers(**settings: Any) -> tuple[PPO, PPO]:
    """The same rollout by SB3's buffer and by ours."""
    return played(PPO, **settings), played(PPO, rollout_buffer_class=DeviceRolloutBuffer, **settings)


@pytest.mark.parametrize(
    "settings", [{}, CHOICES, CHOICES | {"scenario": "scarce"}], ids=["prices", "choices", "one choice"]
)
def test_a_rollout_is_that_of_stable_baselines(settings: dict[str, Any]) -> None:
    theirs, ours = (model.rollout_buffer for model in buffers(**settings))
    for name in (
        "observations",
        "actions",
        "rewards",
        "episode_starts",
        "values",
        "log_probs",
        "advantages",
        "returns",
    ):
        held: Any = getattr(ours, name)
        assert isinstance(held, torch.Tensor)
        np.testing.assert_allclose(held.numpy(), getattr(theirs, name), rtol=0, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"ent_coef": 0.1, "clip_range": 0.02, "normalize_advantage": False},
        {"target_kl": 1e-2, "learning_rate": 0.03},
        {"network": {"activation_fn": torch.nn.Tanh}},
        CHOICES,
        CHOICES | {"scenario": "scarce"},
    ],
    ids=["default", "clipped, with entropy", "stopped by divergence", "other layers", "choices", "one choice"],
)
def test_ten_updates_give_the_weights_of_stable_baselines(settings: dict[str, Any]) -> None:
    settings = {"learning_rate": 1e-2, "n_epochs": 2} | settings
    theirs = played(PPO, **settings)
    ours = played(FusedPPO, rollout_buffer_class=DeviceRolloutBuffer, **settings)
    ours.policy.load_state_dict(theirs.policy.state_dict())
    ours.rollout_buffer = copy.deepcopy(buffers(**settings)[1].rollout_buffer)
    before = copy.deepcopy(theirs.policy.state_dict())
    rollout = copy.deepcopy(theirs.rollout_buffer)
    for model in (theirs, ours):
        for update in range(10):
            np.random.seed(update)  # noqa: NPY002
            if model is theirs:
                model.rollout_buffer = copy.deepcopy(rollout)
            model.train()
    for (name, mine), other in zip(ours.policy.state_dict().items(), theirs.policy.state_dict().values(), strict=True):
        assert (mine - before[name]).abs().max() > 1e-5
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-6)
    figures, wanted = (model.logger.name_to_value for model in (ours, theirs))
    same = ("train/n_updates", "train/explained_variance", "train/std", "train/clip_range")
    assert {name: figures[name] for name in same if name in wanted} == pytest.approx(
        {name: wanted[name] for name in same if name in wanted}, abs=1e-5
    )
    assert set(figures) == set(wanted)


def test_batches_cover_the_rollout_once() -> None:
    buffer: Any = buffers()[1].rollout_buffer
    batches = list(buffer.get(48))
    assert [len(batch.actions) for batch in batches] == [48, 48, 48, 16]
    together = torch.cat([batch.returns for batch in batches]).sort().values
    torch.testing.assert_close(together, buffer.returns.flatten().sort().values)


def test_a_model_off_the_cpu_keeps_its_rollouts_there(monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = played(FusedPPO), []
    monkeypatch.setattr(PPO, "_setup_model", lambda model: seen.append(model.rollout_buffer_class))
    for device in ("cpu", "cuda"):
        model.device, model.rollout_buffer_class = torch.device(device), None
        model._setup_model()
    assert seen == [None, DeviceRolloutBuffer]

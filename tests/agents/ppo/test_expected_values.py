from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from repricer import make_sb3_env, train
from repricer.agents.ppo.expected_values import ExpectedValues
from repricer.agents.ppo.fused import FusedPPO
from repricer.envs.adapters.sb3_env import Shaping
from stable_baselines3.common.callbacks import BaseCallback


def played(scenario: Any, draws: int, periods: int = 60, shaping: Shaping | None = None, **options: Any) -> Any:
    """A rollout of an untrained model, whose critic is a random function of the state."""
    venv = make_sb3_env(scenario, num_envs=64, seed=3, reward="expected", **options)
    if shaping is not None:
        venv.shaping = shaping
    torch.manual_seed(1)
    model = FusedPPO("MlpPolicy", venv, n_steps=periods, seed=0, device="cpu", gamma=0.97, next_draws=draws)
    with torch.no_grad():
        model.policy.value_net.weight.mul_(50)
    _, callback = model._setup_learn(64 * periods)
    model.collect_rollouts(venv, callback, model.rollout_buffer, periods)
    return model.rollout_buffer


@pytest.mark.parametrize("shaped", [False, True])
@pytest.mark.parametrize("scenario", ["scarce", "bench-10", "price-and-order"])
def test_the_noise_of_what_follows_is_taken_out_and_no_mean_moves(scenario: str, shaped: bool) -> None:
    shaping = Shaping(lambda rows: 5 * rows[:, 5], gamma=0.97, scale=2.0) if shaped else None
    with_noise, without = (played(scenario, draws, shaping=shaping) for draws in (0, 16))
    # The same actions met the same customers: rewards alone differ.
    np.testing.assert_array_equal(with_noise.observations, without.observations)
    taken = with_noise.rewards - without.rewards
    by_market = taken.mean(axis=0)
    assert abs(by_market.mean()) < 4 * by_market.std(ddof=1) / 8
    assert np.abs(taken).mean() > 0
    following = np.concatenate([without.values[1:], without.values[-1:]])
    errors = [buffer.rewards + 0.97 * following - buffer.values for buffer in (with_noise, without)]
    inside = without.episode_starts[1:] == 0
    assert errors[1][:-1][inside].std() < errors[0][:-1][inside].std()


def test_nothing_follows_the_end_of_a_season() -> None:
    with_noise, without = (played("scarce", draws, periods=50) for draws in (0, 4))
    assert (with_noise.rewards[-1] == without.rewards[-1]).all()
    assert (with_noise.rewards[:-1] != without.rewards[:-1]).any()


def test_a_market_that_goes_on_is_corrected_in_its_last_period_too() -> None:
    venv = make_sb3_env("price-and-order", num_envs=4, seed=3, reward="expected")
    model = FusedPPO("MlpPolicy", venv, n_steps=8, device="cpu", seed=0)
    corrected = ExpectedValues(venv, model, 4)
    corrected.reset()
    for _ in range(300):
        _, _, dones, _ = corrected.step(np.zeros((4, *venv.action_space.shape), np.float32))
    assert dones.all()
    noise = corrected.take_noise()
    assert noise.shape == (300, 4)
    assert (noise[-1] != 0).all()


def test_it_does_not_matter_how_many_states_are_valued_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    together = played("price-and-order", 2)
    monkeypatch.setattr("repricer.agents.ppo.expected_values._STATES_AT_ONCE", 1)
    np.testing.assert_allclose(played("price-and-order", 2).rewards, together.rewards, rtol=1e-5, atol=1e-4)


def test_a_run_learns_with_it_and_says_so() -> None:
    run = train("scarce", steps=2_000, settings={"next_draws": 2, "evaluations": 1, "validation_episodes": 8})
    assert run.facts["settings"]["next_draws"] == 2


@pytest.mark.parametrize(("given", "words"), [(-1, "between 0 and"), (1.5, "whole number"), ("a", "whole number")])
def test_a_wrong_number_of_draws_is_refused(given: Any, words: str) -> None:
    with pytest.raises(ValueError, match=f"next_draws must be .*{words}"):
        train("scarce", steps=100, settings={"next_draws": given})


def test_a_rollout_that_was_stopped_leaves_nothing_to_the_next() -> None:
    venv = make_sb3_env("scarce", num_envs=4, seed=3, reward="expected")
    model = FusedPPO("MlpPolicy", venv, n_steps=10, batch_size=40, device="cpu", seed=0, next_draws=2)

    class Stops(BaseCallback):
        def _on_step(self) -> bool:
            return self.n_calls < 3

    model.learn(40, callback=Stops())
    assert model.learn(40).num_timesteps == 40


def test_a_model_refuses_a_wrong_number_of_draws_at_once() -> None:
    venv = make_sb3_env("scarce", num_envs=4, seed=3)
    for given in (-1, 2.5, "4"):
        with pytest.raises(ValueError, match="next_draws must be a whole number of at least 0; got"):
            FusedPPO("MlpPolicy", venv, next_draws=given)

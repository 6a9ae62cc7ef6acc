"""Rows of the vector environment, and what Gymnasium asks of it."""

import gymnasium
import numpy as np
import pytest
import repricer  # noqa: F401  it registers the environments
from gymnasium.vector import AutoresetMode


def test_rows_of_a_market_with_hidden_draws_have_draws_of_their_own():
    envs = gymnasium.make_vec("repricer/IncompleteLearning-v0", num_envs=16)
    envs.reset(seed=1)
    followed = {int(view.market.spec.arrivals.rate[0, 0] * 1e6) for view in envs.unwrapped._views}
    slopes = {float(view.market.spec.demand.price_sensitivity[0, 0]) for view in envs.unwrapped._views}
    assert len(followed) > 1 or len(slopes) > 1


def test_rows_of_a_market_with_hidden_draws_are_their_single_environments():
    seeds = [3, 5, 9, 11]
    envs = gymnasium.make_vec("repricer/IncompleteLearning-v0", num_envs=len(seeds))
    singles = [gymnasium.make("repricer/IncompleteLearning-v0").unwrapped for _ in seeds]
    together, _ = envs.reset(seed=seeds)
    for row, env, seed in zip(together, singles, seeds, strict=True):
        np.testing.assert_array_equal(row, env.reset(seed=seed)[0])
    for _ in range(8):
        observations, rewards, *_ = envs.step(np.zeros((len(seeds), 1), np.float32))
        for row, reward, env in zip(observations, rewards, singles, strict=True):
            alone, own, *_ = env.step(np.zeros(1, np.float32))
            np.testing.assert_array_equal(row, alone)
            assert reward == own


def test_a_batch_states_its_autoreset_mode_and_takes_its_own_horizon():
    envs = gymnasium.make_vec("repricer/Scarce-v0", num_envs=2, max_episode_steps=50)
    assert envs.unwrapped.autoreset_mode is envs.unwrapped.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    with pytest.raises(ValueError, match="max_episode_steps must be the horizon, 50; got 20"):
        gymnasium.make_vec("repricer/Scarce-v0", num_envs=2, max_episode_steps=20)

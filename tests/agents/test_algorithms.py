import warnings

import pytest
from repricer.agents import ALGORITHMS, settings_for
from repricer.agents.algorithms import equal_batches, make_model
from repricer.envs import make_sb3_env
from repricer.scenarios.sampler import sample_catalogue


@pytest.mark.parametrize("products", [11, 35])
def test_a_rollout_is_split_into_equal_batches(products):
    """Stable-Baselines3 warns of a last batch that is smaller, and weighs it as much as a full one."""
    spec = sample_catalogue(products, seed=0, periods=4)
    settings = settings_for(spec, "ppo")
    venv = make_sb3_env(spec, num_envs=settings.num_envs, product_wise=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = make_model(ALGORITHMS["ppo"], venv, settings, seed=0)
    assert venv.num_envs * settings.algorithm["n_steps"] % model.batch_size == 0
    assert model.batch_size == pytest.approx(settings.algorithm["batch_size"], rel=0.4)


@pytest.mark.parametrize("size", [120, 480, 960])
def test_a_size_that_divides_the_rollout_is_kept(size):
    assert equal_batches(64 * 30, size) == size


def test_no_batch_is_a_single_row():
    """Its advantage could not be normalised."""
    assert equal_batches(14, 1) == 2
    assert equal_batches(13, 4) == 13

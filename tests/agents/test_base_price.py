import numpy as np
import pytest
from repricer.agents import train
from repricer.agents.base_price import recommended
from repricer.envs import Market
from repricer.pricing import FixedPrice
from repricer.scenarios.sampler import sample_catalogue


def test_the_recommenders_first_choice_has_the_highest_score_and_others_none(shop):
    policy = recommended(shop, FixedPrice(shop.products.regular_price))
    action = policy.act(Market(shop, num_markets=2).view)
    assert action.recommendation.shape == (2, 3, 2)
    # Candidates a and b, then all; affinities .2 .9 .1 and .5 .1 .6.
    np.testing.assert_allclose(action.recommendation[1, :, 0], [0.5, 1.0, -1.0])
    np.testing.assert_allclose(action.recommendation[1, :, 1], [2 / 3, 1 / 3, 1.0], rtol=1e-6)
    np.testing.assert_array_equal(action.price[0], shop.products.regular_price.astype(np.float32))


def test_learning_starts_at_the_recommenders_choices(shop):
    """An untrained network shows any product, and earns 1% less; it would have to learn what the recommender knows."""
    settings = {"num_envs": 8, "n_steps": 8, "evaluations": 1, "validation_episodes": 64, "clone_epochs": 3}
    start = train(shop, steps=64, settings=settings).history[0]
    assert start["steps"] == 0
    assert start["gain"] > -0.002 * start["best_fixed"]


@pytest.mark.usefixtures("short_search")
def test_learning_starts_at_the_orders_of_the_best_fixed_prices():
    """A raw order of zero orders nothing: an untrained network would run out of stock."""
    spec = sample_catalogue(4, seed=1, periods=12)
    assert spec.stock.replenishment == "action"
    settings = {"num_envs": 8, "n_steps": 8, "evaluations": 1, "validation_episodes": 64}
    start = train(spec, steps=64, settings=settings).history[0]
    assert start["gain"] > -0.1 * abs(start["best_fixed"])


@pytest.mark.parametrize("algo", ["ppo", "recurrent-ppo"])
def test_with_one_product_no_algorithm_keeps_less_than_the_orders_of_the_best_fixed_price(algo):
    """Without them every sale is lost: PPO kept a policy that lost 8,000 where the best fixed price earns 570."""
    imitation = {"clone_episodes": 24, "clone_epochs": 10}
    settings = {"evaluations": 1, "validation_episodes": 64, "num_envs": 4, "n_steps": 8} | imitation
    run = train("price-and-order", algo=algo, steps=32, settings=settings)
    start, best = run.history[0], run.facts["best"]
    assert start["gain"] > -0.02 * start["best_fixed"]
    assert best["gain"] > -0.001 * best["best_fixed"]

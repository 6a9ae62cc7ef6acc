"""Learning for a reward of the caller's own."""

import numpy as np
import pytest
import repricer
from repricer.envs import LearnerView, Market, rollout


def test_the_policy_that_sells_most_is_found():
    """Of 40 units the best fixed price for money leaves some; prices that sell all of them are lower."""
    settings = {"validation_episodes": 32, "evaluations": 3}
    run = repricer.train("stationary-logit", steps=20_000, settings=settings, reward=lambda info: info["units"])
    sold = rollout(run.spec, run.policy, episodes=200, seed=1).price_path
    assert sold.mean() < 10.7 < run.base_price[0] == 11
    assert "lambda" in run.facts["reward"]
    assert run.facts["teacher"] is None
    assert run.facts["best"]["objective"] > 39.5 > run.facts["best"]["best_fixed"]


@pytest.mark.parametrize(("shape", "product_wise"), [((4,), False), ((4, 3), False), ((4, 3), True)])
def test_rewards_are_those_of_the_function(shape, product_wise):
    def reward(info):
        return np.arange(np.prod(shape), dtype=float).reshape(shape)

    view = LearnerView(Market("three-stocks", num_markets=4), reward=reward, product_wise=product_wise)
    got = view.rewards(view.step(np.zeros((view.num_rows, view.action_space.shape[0]), np.float32)))
    wanted = reward(None)
    np.testing.assert_array_equal(got, wanted.ravel() if product_wise else wanted.reshape(4, -1).sum(axis=1))


def test_a_reward_of_another_shape_is_refused():
    view = LearnerView(Market("three-stocks", num_markets=4), reward=lambda info: np.zeros(3))
    with pytest.raises(ValueError, match=r"reward must give finite numbers, \(4, 3\) or \(4,\); got \(3,\)"):
        view.rewards(view.step(np.zeros((4, 3), np.float32)))

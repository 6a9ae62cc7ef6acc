import numpy as np
import pytest
from repricer.envs import Market, rollout
from repricer.evaluation import exact_value, solve
from repricer.pricing import Action
from repricer.scenarios import load_scenario

SPEC = load_scenario("incomplete-learning")


def followed(spec, policy, prices):
    """A batch of markets at these prices, while the policy looks on; its beliefs, period by period."""
    market, beliefs = Market(spec, num_markets=50, seed=1), []
    for price in prices:
        policy.act(market.view)
        beliefs.append(policy.belief)
        market.step(Action(np.full((50, 1), price, np.float32)))
    return market, beliefs


def test_the_belief_follows_the_sales_at_the_prices_that_were_charged():
    policy = solve(SPEC).policy
    market, beliefs = followed(SPEC, policy, [10.0, 8.0, 12.0])
    np.testing.assert_allclose(beliefs[1], beliefs[0])  # both demand curves sell alike at 10
    policy.act(market.view)
    sold = market.view.last_units[:, 0] > 0
    chance = np.where(sold[:, None], [0.46, 0.3], [0.54, 0.7])
    np.testing.assert_allclose(policy.belief, beliefs[2] * chance / (beliefs[2] * chance).sum(axis=1, keepdims=True))


def test_the_belief_is_right_on_average():
    """Over episodes that end with a belief of about b, the draw is the right one in a share b of them."""
    policy, right, belief = solve(SPEC).policy, [], []
    for m in range(4):
        steep = SPEC.draw(m).demand.price_sensitivity[0, 0] > 0.05
        rollout(SPEC.draw(m), policy, episodes=4000, seed=m, assumed=SPEC)
        right.append(np.full(4000, steep))
        belief.append(policy.belief[:, 1])
    right, belief = np.concatenate(right), np.concatenate(belief)
    for low, high in ((0, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 1)):
        inside = (low <= belief) & (belief <= high)
        error = np.sqrt(np.mean(belief[inside] * (1 - belief[inside])) / inside.sum())
        assert abs(right[inside].mean() - belief[inside].mean()) < 4 * error


def test_one_batch_at_a_time_from_the_first_period_on():
    policy = solve(SPEC).policy
    market, _ = followed(SPEC, policy, [8.0, 8.0])
    policy.act(Market(SPEC).view)
    with pytest.raises(ValueError, match=r"optimum follows one batch; got period 2, not 1"):
        policy.act(market.view)


def test_who_learns_has_no_exact_value():
    assert exact_value(SPEC, solve(SPEC).policy) is None

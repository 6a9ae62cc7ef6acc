import numpy as np
import pytest
from repricer.envs import Market, rollout, seed_for
from repricer.evaluation import exact_value, named_policy
from repricer.pricing import EpsilonGreedy, FixedPrice, Policy, ThompsonPrice, is_deterministic
from repricer.scenarios import load_scenario

LADDER = np.array([29.9, 34.9, 39.9, 44.9])[:, None]
CHANCE = np.array([0.8, 0.6, 0.3, 0.1])


def learned(budget: float, draws: int = 4000) -> np.ndarray:
    """Shares of the prices that a policy charges that knows the demand for certain."""
    policy = ThompsonPrice(LADDER, one_customer=True)
    demand = np.broadcast_to(CHANCE, (draws, 1, 4))
    index = policy._choose(demand, np.zeros(1), np.full((draws, 1), budget))
    return np.bincount(index.ravel(), minlength=4) / draws


@pytest.mark.parametrize(
    ("budget", "mix"),
    [
        (np.inf, [1, 0, 0, 0]),  # 29.9 * .8 is the most
        (0.9, [1, 0, 0, 0]),
        (0.7, [0.5, 0.5, 0, 0]),
        (0.25, [0, 0, 0.75, 0.25]),  # the linear programme of the paper at a quarter of a unit a customer
        (0.1, [0, 0, 0, 1]),
        (0.0, [0, 0, 0, 1]),  # the paper closes the shop
    ],
)
def test_prices_are_mixed_as_the_linear_programme_says(budget, mix):
    np.testing.assert_allclose(learned(budget), mix, atol=0.03)


def test_the_market_of_the_paper_is_learnt_with_the_stock_in_mind_and_not_without():
    """99.2% and 77.0% of the bound of 10,100 (Ferreira et al. 2018); 60 episodes have a standard error of .3%."""
    spec = load_scenario("demand-learning")
    shares = [
        rollout(spec, named_policy(name, spec), episodes=60, seed=seed_for("test")).revenue.mean() / 10_100
        for name in ("thompson", "thompson-no-stock")
    ]
    assert shares == pytest.approx([0.992, 0.770], abs=0.01)


def test_poisson_demand_of_each_product_is_learnt(shop):
    """With ample stock the price that earns most is charged in the end."""
    spec = shop.with_changes(
        market={"horizon_periods": 200, "objective": "revenue"},
        stock={"replenishment": "none", "initial_units": 1e6},
        arrivals={"rate": np.tile([30.0, 20.0], (200, 1)), "overdispersion": 0.0},
        demand={"season": 0.0, "quality_path": 0.0, "sensitivity_path": 1.0},
        reference_price={"gain": 0.0, "loss": 0.0},
    )
    ladder = np.array([[2.0, 3.0, 1.5], [3.0, 4.0, 2.5], [5.0, 6.0, 4.0]])
    run = rollout(spec, ThompsonPrice(ladder), episodes=50, seed=1)
    fixed = [rollout(spec, FixedPrice(row), episodes=50, seed=1).revenue.mean() for row in ladder]
    assert run.revenue.mean() > 0.97 * max(fixed)


def test_notes_start_anew_with_every_episode_and_batch():
    spec = load_scenario("stationary-logit").with_changes(stock={"initial_units": 1e6})
    policy = named_policy("thompson", spec)
    for episodes in (3, 5):
        rollout(spec, policy, episodes=episodes, seed=2)
        assert policy._trials.shape[0] == episodes
        assert policy._trials.sum(axis=(1, 2)).tolist() == [29.0] * episodes


def test_two_batches_cannot_share_one_set_of_notes():
    policy = ThompsonPrice(LADDER, one_customer=True)
    first, second = Market("demand-learning"), Market("demand-learning", seed=1)
    for _ in range(3):
        first.step(policy.act(first.view))
    second.step(policy.act(second.view))
    with pytest.raises(ValueError, match=r"thompson follows one batch; got period 3, not 1"):
        policy.act(first.view)


@pytest.mark.parametrize("name", ["thompson", "random", "epsilon-greedy:0.1"])
def test_policies_that_draw_or_learn_have_no_exact_value(name):
    spec = load_scenario("stationary-logit")
    policy = named_policy(name, spec)
    assert isinstance(policy, Policy)
    assert not is_deterministic(policy)
    assert exact_value(spec, policy) is None
    assert is_deterministic(FixedPrice(3.0))


def test_exploring_prices_state_their_probability(shop):
    market = Market(shop, num_markets=20_000)
    ladder = np.array([[2.0, 3.0, 1.5], [3.0, 4.0, 2.5], [4.0, 5.0, 3.5], [5.0, 6.0, 4.5]])
    action = EpsilonGreedy(FixedPrice(np.array([3.1, 4.9, 1.5], np.float32)), ladder, 0.2).act(market.view)
    for n, usual in enumerate([1, 2, 0]):
        share = np.array([(action.price[:, n] == np.float32(step)).mean() for step in ladder[:, n]])
        chance = np.full(4, 0.05)
        chance[usual] += 0.8
        np.testing.assert_allclose(share, chance, atol=0.01)
        np.testing.assert_allclose(action.propensity[action.price[:, n] == np.float32(ladder[0, n]), n], chance[0])
    with pytest.raises(ValueError, match=r"epsilon must lie in \(0, 1\]; got 0"):
        EpsilonGreedy(FixedPrice(3.0), ladder, 0.0)


def test_steps_with_one_price_share_its_probability(shop):
    ladder = np.array([[2.0, 3.0, 1.5], [2.0, 4.0, 1.5], [3.0, 4.0, 1.5], [3.0, 4.0, 1.5]])
    usual = FixedPrice(np.array([3.0, 4.0, 1.5], np.float32))
    action = EpsilonGreedy(usual, ladder, 0.4).act(Market(shop, num_markets=5_000).view)
    for n in range(3):
        for price in np.unique(ladder[:, n]):
            chosen = action.price[:, n] == np.float32(price)
            chance = 0.4 * (ladder[:, n] == price).mean() + 0.6 * (price == usual.price[n])
            np.testing.assert_allclose(action.propensity[chosen, n], chance, rtol=1e-6)
            assert abs(chosen.mean() - chance) < 0.03

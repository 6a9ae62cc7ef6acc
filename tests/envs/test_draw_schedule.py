"""Which draw a batch of markets follows, in a market of its own and in adapters."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from repricer.envs import Market, MarketVectorEnv, catalogue_of, make_sb3_env, rollout
from repricer.envs.seeds import DrawSchedule
from repricer.pricing import Action, FixedPrice
from repricer.scenarios import load_scenario
from repricer.scenarios.sections import Posterior
from repricer.scenarios.stress import stressed


@pytest.fixture
def uncertain(make_shop):
    """Six draws with clearly different demand and costs, and unlimited stock."""
    spec = make_shop(stock={"initial_units": 1e5, "order_up_to_units": 1e5}, arrivals={"overdispersion": 0.0})
    level = np.array([0.5, 0.8, 1.0, 1.5, 2.0, 3.0])
    posterior = Posterior(draws=6, arrivals=level[:, None, None], unit_cost=level[:, None], sensitivity=level[:, None])
    return replace(spec, posterior=posterior)


def test_every_draw_comes_before_any_comes_again():
    for batches in (1, 3, 4):
        turns = [DrawSchedule(i, batches).draw_of(episode, 6, seed=5) for episode in range(12) for i in range(batches)]
        for first in range(0, len(turns), 6):
            assert sorted(turns[first : first + 6]) == list(range(6))
    orders = {tuple(DrawSchedule().draw_of(e, 6, seed=seed) for e in range(6)) for seed in range(5)}
    assert len(orders) > 2


def test_a_pool_repeats_draws():
    schedule = DrawSchedule(pool=(4, 4, 4, 1))
    turns = [schedule.draw_of(episode, 6, seed=0) for episode in range(8)]
    assert sorted(turns) == [1, 1, 4, 4, 4, 4, 4, 4]


def test_a_market_of_draws_is_the_market_of_each_draw_in_turn(uncertain):
    market = Market(uncertain, num_markets=4, seed=3, draws=DrawSchedule(1, 2))
    assert market.scenario is uncertain
    assert market.catalogue is catalogue_of(uncertain)
    seen = []
    for episode in range(3):
        m = DrawSchedule(1, 2).draw_of(episode, 6, seed=3)
        alone = Market(uncertain.draw(m), num_markets=4, seed=3, assumed=uncertain)
        for _ in range(episode):
            alone.restart(np.ones(4, bool))
        np.testing.assert_array_equal(alone.state.clock, market.state.clock)
        for _ in range(uncertain.sizes["T"]):
            action = Action(market.view.list_price * np.float32(1.01))
            ours, theirs = market.step(action), alone.step(action)
            for name in ("units", "profit", "expected_profit"):
                np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
            np.testing.assert_array_equal(market.features(), alone.features())
        seen.append(market.spec.name)
        market.restart(market.done)
    assert len(set(seen)) == 3


def test_a_restored_market_is_in_its_draw_again(uncertain):
    market = Market(uncertain, num_markets=3, seed=1, draws=DrawSchedule())
    market.restart(np.ones(3, bool))
    market.step(Action(market.view.list_price))
    saved, draw = market.state, market.spec.name
    after = market.step(Action(market.view.list_price))
    market.restart(np.ones(3, bool))
    assert market.spec.name != draw
    market.restore(saved)
    assert market.spec.name == draw
    np.testing.assert_array_equal(market.step(Action(market.view.list_price)).units, after.units)


def test_draws_need_a_posterior(shop):
    with pytest.raises(ValueError, match="draws need a posterior; got small-shop without"):
        Market(shop, draws=DrawSchedule())


@pytest.mark.parametrize("product_wise", [True, False])
def test_each_batch_of_an_sb3_environment_follows_a_draw_of_its_own(uncertain, product_wise):
    venv = make_sb3_env(uncertain, num_envs=7, seed=2, product_wise=product_wise, reward="expected", draws=3)
    rows = 3 if product_wise else 1
    assert venv.num_envs == 7 * rows
    venv.reset()
    names, actions = [], np.zeros((venv.num_envs, *venv.action_space.shape), np.float32)
    for _ in range(2):
        names += [view.market.spec.name for view in venv.learner_views]
        for _ in range(uncertain.sizes["T"]):
            observation, rewards, done, _ = venv.step(actions)
            assert np.isfinite(rewards).all()
        assert done.all()
    assert len(set(names)) == 6
    arrays = venv.arrays()
    ahead = [venv.step(actions)[1] for _ in range(10)]
    np.testing.assert_array_equal(venv.restore_arrays(arrays), observation)
    np.testing.assert_array_equal([venv.step(actions)[1] for _ in range(10)], ahead)


def test_wrong_numbers_of_draws_are_refused(uncertain):
    with pytest.raises(ValueError, match=r"draws must be between 0 and num_envs \(4\); got 5"):
        make_sb3_env(uncertain, num_envs=4, draws=5)
    with pytest.raises(ValueError, match="draws need a training without variants; got 1"):
        make_sb3_env(uncertain, num_envs=4, draws=2, variants=[uncertain])


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_a_gymnasium_vector_environment_over_draws(uncertain, mode):
    make = {"scenario": uncertain, "reward": "expected", "autoreset_mode": mode}
    venv = gymnasium.make_vec("repricer/Market-v0", num_envs=10, draws=True, **make)
    venv.reset(seed=4)
    actions, paths = np.zeros((10, *venv.single_action_space.shape), np.float32), []
    for _ in range(2 * (uncertain.sizes["T"] + (mode == "NextStep"))):
        observation, rewards, terminated, _, info = venv.step(actions)
        assert observation.shape == (10, *venv.single_observation_space.shape)
        assert info == {} or info["units"].shape == (10, 3)
        paths.append(rewards)
    assert terminated.all() == (mode == "SameStep")
    paths = np.array(paths)
    # Ten markets in eight batches: in the first period all but those of one batch differ, and so do the two episodes.
    assert len(np.unique(paths[0])) >= 6
    assert not np.isclose(paths[0], paths[len(paths) // 2]).all()
    again = MarketVectorEnv(num_envs=10, draws=True, **make)
    again.reset(seed=4)
    np.testing.assert_array_equal(again.step(actions)[1], paths[0])


def test_without_draws_a_posterior_changes_nothing(uncertain):
    plain = replace(uncertain, posterior=None)
    results = []
    for spec in (plain, uncertain):
        market = Market(spec, num_markets=3, seed=1)
        results.append([market.step(Action(market.view.list_price)).units for _ in range(4)])
    np.testing.assert_array_equal(*results)
    assert load_scenario(uncertain) is uncertain


def test_the_stress_posterior_spreads_episodes_over_draws(uncertain):
    spec, price = stressed(uncertain, "posterior"), FixedPrice(uncertain.products.regular_price.astype(np.float32))
    seen = rollout(spec, price, episodes=60, seed=1, expected=True, assumed=uncertain)
    each = [
        rollout(uncertain.draw(m), price, episodes=60, seed=1, expected=True, assumed=uncertain).objective.mean()
        for m in range(6)
    ]
    assert seen.objective.mean() == pytest.approx(np.mean(each), rel=0.01)
    batches = seen.objective.reshape(6, 10).mean(axis=1)
    np.testing.assert_allclose(np.sort(batches), np.sort(each), rtol=0.05)
    again = rollout(spec, price, episodes=60, seed=1, expected=True)
    np.testing.assert_array_equal(again.objective, seen.objective)
    few = rollout(spec, price, episodes=4, seed=1, expected=True)
    assert len(np.unique(few.objective.round(3))) == 4
    plain = rollout(uncertain, price, episodes=60, seed=1, expected=True).objective
    assert np.ptp(plain) < 0.5 * np.ptp(seen.objective)


def test_one_environment_under_the_stress_follows_another_draw_in_each_episode(uncertain):
    env = gymnasium.make("repricer/Market-v0", scenario=stressed(uncertain, "posterior"))
    names = set()
    for episode in range(4):
        env.reset(seed=3 if episode == 0 else None)
        names.add(env.unwrapped.learner_view.market.spec.name)
    assert len(names) == 4

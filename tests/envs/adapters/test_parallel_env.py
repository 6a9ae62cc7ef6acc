"""Several sellers in one market, by PettingZoo's parallel API."""

import warnings

import numpy as np
import pytest
from pettingzoo.test import parallel_api_test, parallel_seed_test
from repricer.envs import (
    MarketParallelEnv,
)
from repricer.scenarios import spec_from_table


@pytest.mark.parametrize("name", ["calvano-duopoly", "marketplace"])
def test_the_checkers_of_pettingzoo_pass_with_warnings_as_errors(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parallel_api_test(MarketParallelEnv(name), num_cycles=130)
        parallel_seed_test(lambda: MarketParallelEnv(name), num_cycles=5)


@pytest.mark.parametrize("reward", ["drawn", "expected"])
@pytest.mark.parametrize("name", ["calvano-duopoly", "marketplace", "bench-10-full"])
def test_every_seller_sees_its_space_and_earns_its_profit(name, reward):
    env = MarketParallelEnv(name, reward=reward)
    rivals = env.learner_view.market.spec.competitors
    sellers = np.array(rivals.seller or rivals.names)
    observations, infos = env.reset(seed=3)
    assert set(observations) == set(infos) == set(env.agents) == {"own", *sellers}
    generator = np.random.default_rng(0)
    for _ in range(5):
        actions = {
            name: generator.uniform(-1, 1, env.action_space(name).shape).astype(np.float32) for name in env.agents
        }
        observations, rewards, terminated, truncated, infos = env.step(actions)
        for agent, observation in observations.items():
            assert env.observation_space(agent).contains(observation)
        assert not any(terminated.values())
        assert not any(truncated.values())
        state = env.learner_view.market.state
        price = state.rival_price[0]
        units = state.context[state.layout.rival_units][:, 0]
        assert reward == "expected" or (units % 1 == 0).all()
        profit = (price - rivals.unit_cost) * units
        for seller in set(sellers):
            offers = sellers == seller
            np.testing.assert_array_equal(infos[seller]["price"], price[offers])
            assert rewards[seller] == pytest.approx(profit[offers].sum(), rel=1e-4, abs=1e-4)
        kind = "profit" if reward == "drawn" else "expected_profit"
        assert rewards["own"] == pytest.approx(float(infos["own"][kind].sum()), rel=1e-5)


def two_offers_of_one_seller():
    return spec_from_table(
        {
            "name": "two-offers",
            "version": 1,
            "market": {"horizon_periods": 3, "objective": "revenue", "ending": "truncated"},
            "products": {"names": ["p"], "regular_price": 3.0},
            "arrivals": {"rate": 10.0},
            "demand": {"quality": 1.0, "price_sensitivity": 0.5},
            "competitors": {
                "names": ["x", "y"],
                "seller": ["s", "s"],
                "product": ["p", "p"],
                "regular_price": [3.0, 3.0],
                "floor": [2.7, 1.0],
                "ceiling": [4.0, 9.0],
                "quality": 1.0,
                "price_sensitivity": 0.5,
                "unit_cost": 1.0,
            },
            "prices": {"floor": 1.0, "ceiling": 9.0},
        }
    )


def test_a_sellers_raw_prices_reach_each_offers_own_bounds_and_no_further():
    env = MarketParallelEnv(two_offers_of_one_seller())
    env.reset(seed=0)
    for raw, prices in ((-1.0, [2.7, 1.0]), (0.0, [3.0, 3.0]), (1.0, [4.0, 9.0])):
        infos = env.step({"own": np.zeros(1, np.float32), "s": np.full(2, raw, np.float32)})[4]
        np.testing.assert_allclose(infos["s"]["price"], prices, rtol=1e-5)


def test_sellers_earn_the_scenarios_objective_and_are_cut_together():
    env = MarketParallelEnv(two_offers_of_one_seller(), reward="expected")
    env.reset(seed=0)
    for t in range(3):
        _, rewards, terminated, truncated, infos = env.step(
            {name: np.zeros(env.action_space(name).shape, np.float32) for name in env.agents}
        )
        state = env.learner_view.market.state
        revenue = (state.rival_price * state.context[state.layout.rival_units].T).sum()
        assert rewards["s"] == pytest.approx(float(revenue), rel=1e-5)
        assert not any(terminated.values())
        assert set(truncated.values()) == {t == 2}
    assert env.agents == []
    assert set(infos) == {"own", "s"}


def test_a_market_without_rivals_is_no_market_of_several_sellers(shop):
    with pytest.raises(
        ValueError, match=r"several sellers need a section \[competitors\]; got small-shop without one; add it"
    ):
        MarketParallelEnv(shop)

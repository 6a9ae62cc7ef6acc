"""Batches of markets in which every seller decides, and the environment of one of them."""

import numpy as np
import pytest
from repricer.envs import (
    ConstantSellerPolicy,
    Market,
    MarketParallelEnv,
    MixedSellerPolicy,
    MultiSellerMarket,
    SellerVecEnv,
    expected_units,
    rival_units,
)
from repricer.pricing import Action
from repricer.scenarios import load_scenario, spec_from_table

NAMES = ("calvano-duopoly", "marketplace")


def random_actions(sellers, generator):
    shape = {seller: (sellers.market.num_markets, *space.shape) for seller, space in sellers.action_spaces.items()}
    return {seller: generator.uniform(-1, 1, size).astype(np.float32) for seller, size in shape.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_equals_its_singles_and_the_pettingzoo_environment(name):
    batch, alone = (
        MultiSellerMarket(name, num_markets=3, seed=5),
        MultiSellerMarket(name, seed=5, numbers=np.array([2])),
    )
    env = MarketParallelEnv(name)
    env.reset(seed=5)
    generator = np.random.default_rng(1)
    for _ in range(4):
        actions = random_actions(batch, generator)
        many = batch.rewards(batch.step(actions))
        one = alone.rewards(alone.step({seller: raw[2:] for seller, raw in actions.items()}))
        observed, earned, *_ = env.step({seller: raw[0] for seller, raw in actions.items()})
        for seller in batch.names:
            assert batch.observation_spaces[seller].contains(batch.observe(seller)[0])
            np.testing.assert_array_equal(many[seller][2:], one[seller])
            np.testing.assert_array_equal(batch.observe(seller)[2:], alone.observe(seller))
            np.testing.assert_array_equal(batch.observe(seller)[0], observed[seller])
            assert earned[seller] == many[seller][0]


def test_sellers_who_leave_their_prices_to_the_scenario_make_the_scenarios_own_market():
    sellers, market = (
        MultiSellerMarket("marketplace", num_markets=2, seed=3),
        Market("marketplace", num_markets=2, seed=3, draw_rivals=True),
    )
    by_rule = {seller: sellers.by_rule(seller) for seller in sellers.names}
    regular = np.tile(market.catalogue.regular_price, (2, 1))
    for _ in range(6):
        seen, wanted = sellers.play(by_rule), market.step(Action(price=regular))
        np.testing.assert_allclose(seen.rival_price, wanted.rival_price, rtol=1e-6)
        np.testing.assert_array_equal(seen.units, wanted.units)
    assert (seen.rival_price != load_scenario("marketplace").competitors.regular_price).any()


def test_rewards_are_expected_for_all_where_they_are_asked_for():
    sellers = MultiSellerMarket("calvano-duopoly", num_markets=4, reward="expected")
    outcome = sellers.step({seller: np.full((4, 1), 0.1, np.float32) for seller in sellers.names})
    rewards, spec = sellers.rewards(outcome), sellers.market.spec
    own, rival = outcome.list_price[0], outcome.rival_price[0]
    units, bought = rival_units(spec, 0, own, rival), expected_units(spec, 0, own, rival_price=rival).sum()
    np.testing.assert_allclose(rewards["rival"], np.full(4, (rival - 1.0) * units[0]), rtol=1e-5)
    np.testing.assert_allclose(rewards["own"], np.full(4, (own - 1.0) * bought), rtol=1e-5)
    assert len({float(reward) for reward in rewards["rival"]}) == 1


def test_a_mixed_policy_gives_each_market_its_own():
    mixed = MixedSellerPolicy(
        [ConstantSellerPolicy(np.array([0.1], np.float32)), ConstantSellerPolicy(np.array([np.nan], np.float32))],
        np.array([1, 0, 1]),
    )
    raw = mixed(np.zeros((3, 5), np.float32), np.ones(3, bool))
    np.testing.assert_array_equal(raw, np.array([[np.nan], [0.1], [np.nan]], np.float32))


@pytest.mark.parametrize("seller", ["own", "rival"])
def test_one_seller_learns_while_the_others_follow_their_policies(seller):
    (other,) = {"own", "rival"} - {seller}
    sellers, twin = (MultiSellerMarket("calvano-duopoly", num_markets=3, seed=2, reward="expected") for _ in range(2))
    policy = MixedSellerPolicy(
        [ConstantSellerPolicy(np.array([value], np.float32)) for value in (-0.2, 0.3)], np.array([0, 1, 0])
    )
    venv = SellerVecEnv(sellers, seller, {other: policy}, reward_scale=2.0)
    np.testing.assert_array_equal(venv.reset(), twin.observe(seller))
    raw = np.array([[0.0], [0.1], [0.2]], np.float32)
    for _ in range(3):
        observed, rewards, done, _ = venv.step(raw)
        outcome = twin.step({seller: raw, other: np.array([[-0.2], [0.3], [-0.2]], np.float32)})
        np.testing.assert_array_equal(rewards, 2 * twin.rewards(outcome)[seller])
        np.testing.assert_array_equal(observed, twin.observe(seller))
        assert not done.any()


def duopoly(periods):
    sides = {"quality": 8.0, "price_sensitivity": 4.0}
    return spec_from_table(
        {
            "name": "duopoly",
            "version": 1,
            "market": {"horizon_periods": periods, "objective": "profit", "ending": "truncated"},
            "products": {"names": ["a"], "regular_price": 1.5, "unit_cost": 1.0},
            "arrivals": {"rate": 1.0},
            "demand": sides,
            "competitors": {"names": ["rival"], "regular_price": 1.5, "unit_cost": 1.0} | sides,
            "prices": {"floor": 1.0, "ceiling": 3.0},
        }
    )


def test_episodes_restart_and_the_last_observation_is_kept():
    venv = SellerVecEnv(MultiSellerMarket(duopoly(2), num_markets=2), "rival")
    opening = venv.reset()
    raw = np.full((2, 1), 0.2, np.float32)
    seen, _, done, infos = venv.step(raw)
    assert not done.any()
    assert infos == [{}, {}]
    fresh, _, done, infos = venv.step(raw)
    assert done.all()
    assert infos[1]["TimeLimit.truncated"]
    assert not np.array_equal(infos[1]["terminal_observation"], fresh[1])
    np.testing.assert_array_equal(fresh, opening)
    assert not np.array_equal(seen, opening)


def test_markets_come_back_in_mid_episode():
    venv = SellerVecEnv(MultiSellerMarket("marketplace", num_markets=2, seed=1), "A")
    venv.reset()
    raw = np.full((2, *venv.action_space.shape), 0.1, np.float32)
    venv.step(raw)
    saved = {name: array.copy() for name, array in venv.arrays().items()}
    wanted = [venv.step(raw) for _ in range(3)]
    other = SellerVecEnv(MultiSellerMarket("marketplace", num_markets=2, seed=1), "A")
    other.reset()
    other.restore_arrays(saved)
    for observed, rewards, *_ in wanted:
        again = other.step(raw)
        np.testing.assert_array_equal(again[0], observed)
        np.testing.assert_array_equal(again[1], rewards)


def test_an_unknown_seller_is_refused():
    with pytest.raises(ValueError, match="seller must be one of own, rival; got 'third'; choose one"):
        SellerVecEnv(MultiSellerMarket("calvano-duopoly"), "third")

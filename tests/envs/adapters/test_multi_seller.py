"""Batches of markets in which every seller decides, and the environment of one of them."""

import numpy as np
import pytest
from repricer.envs import Constant, Market, MarketParallelEnv, Mixed, SeatVecEnv, Sellers, expected_units, rival_units
from repricer.pricing import Action
from repricer.scenarios import load_scenario, spec_from_table

NAMES = ("calvano-duopoly", "marketplace")


def random_actions(sellers, generator):
    shape = {seat: (sellers.market.num_markets, *space.shape) for seat, space in sellers.action_spaces.items()}
    return {seat: generator.uniform(-1, 1, size).astype(np.float32) for seat, size in shape.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_equals_its_singles_and_pettingzoos_face(name):
    batch, alone = Sellers(name, num_markets=3, seed=5), Sellers(name, seed=5, numbers=np.array([2]))
    face = MarketParallelEnv(name)
    face.reset(seed=5)
    generator = np.random.default_rng(1)
    for _ in range(4):
        actions = random_actions(batch, generator)
        many = batch.rewards(batch.step(actions))
        one = alone.rewards(alone.step({seat: raw[2:] for seat, raw in actions.items()}))
        observed, earned, *_ = face.step({seat: raw[0] for seat, raw in actions.items()})
        for seat in batch.seats:
            assert batch.observation_spaces[seat].contains(batch.observe(seat)[0])
            np.testing.assert_array_equal(many[seat][2:], one[seat])
            np.testing.assert_array_equal(batch.observe(seat)[2:], alone.observe(seat))
            np.testing.assert_array_equal(batch.observe(seat)[0], observed[seat])
            assert earned[seat] == many[seat][0]


def test_sellers_who_leave_their_prices_to_the_scenario_make_the_scenarios_own_market():
    sellers, market = (
        Sellers("marketplace", num_markets=2, seed=3),
        Market("marketplace", num_markets=2, seed=3, draw_rivals=True),
    )
    by_rule = {seat: sellers.by_rule(seat) for seat in sellers.seats}
    regular = np.tile(market.catalogue.regular_price, (2, 1))
    for _ in range(6):
        seen, wanted = sellers.play(by_rule), market.step(Action(price=regular))
        np.testing.assert_allclose(seen.rival_price, wanted.rival_price, rtol=1e-6)
        np.testing.assert_array_equal(seen.units, wanted.units)
    assert (seen.rival_price != load_scenario("marketplace").competitors.regular_price).any()


def test_rewards_are_expected_for_all_where_they_are_asked_for():
    sellers = Sellers("calvano-duopoly", num_markets=4, reward="expected")
    outcome = sellers.step({seat: np.full((4, 1), 0.1, np.float32) for seat in sellers.seats})
    rewards, spec = sellers.rewards(outcome), sellers.market.spec
    own, rival = outcome.list_price[0], outcome.rival_price[0]
    units, bought = rival_units(spec, 0, own, rival), expected_units(spec, 0, own, rival_price=rival).sum()
    np.testing.assert_allclose(rewards["rival"], np.full(4, (rival - 1.0) * units[0]), rtol=1e-5)
    np.testing.assert_allclose(rewards["own"], np.full(4, (own - 1.0) * bought), rtol=1e-5)
    assert len({float(reward) for reward in rewards["rival"]}) == 1


def test_a_mixed_policy_gives_each_market_its_own():
    mixed = Mixed(
        [Constant(np.array([0.1], np.float32)), Constant(np.array([np.nan], np.float32))], np.array([1, 0, 1])
    )
    raw = mixed(np.zeros((3, 5), np.float32), np.ones(3, bool))
    np.testing.assert_array_equal(raw, np.array([[np.nan], [0.1], [np.nan]], np.float32))


@pytest.mark.parametrize("seat", ["own", "rival"])
def test_one_seat_learns_while_the_others_do_what_they_are_told(seat):
    (other,) = {"own", "rival"} - {seat}
    sellers, twin = (Sellers("calvano-duopoly", num_markets=3, seed=2, reward="expected") for _ in range(2))
    told = Mixed([Constant(np.array([value], np.float32)) for value in (-0.2, 0.3)], np.array([0, 1, 0]))
    venv = SeatVecEnv(sellers, seat, {other: told}, reward_scale=2.0)
    np.testing.assert_array_equal(venv.reset(), twin.observe(seat))
    raw = np.array([[0.0], [0.1], [0.2]], np.float32)
    for _ in range(3):
        observed, rewards, done, _ = venv.step(raw)
        outcome = twin.step({seat: raw, other: np.array([[-0.2], [0.3], [-0.2]], np.float32)})
        np.testing.assert_array_equal(rewards, 2 * twin.rewards(outcome)[seat])
        np.testing.assert_array_equal(observed, twin.observe(seat))
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
    venv = SeatVecEnv(Sellers(duopoly(2), num_markets=2), "rival")
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
    venv = SeatVecEnv(Sellers("marketplace", num_markets=2, seed=1), "A")
    venv.reset()
    raw = np.full((2, *venv.action_space.shape), 0.1, np.float32)
    venv.step(raw)
    saved = {name: array.copy() for name, array in venv.arrays().items()}
    wanted = [venv.step(raw) for _ in range(3)]
    other = SeatVecEnv(Sellers("marketplace", num_markets=2, seed=1), "A")
    other.reset()
    other.put_back(saved)
    for observed, rewards, *_ in wanted:
        again = other.step(raw)
        np.testing.assert_array_equal(again[0], observed)
        np.testing.assert_array_equal(again[1], rewards)


def test_a_seat_that_nobody_has_is_refused():
    with pytest.raises(ValueError, match="seat must be one of own, rival; got 'third'; choose one of them"):
        SeatVecEnv(Sellers("calvano-duopoly"), "third")

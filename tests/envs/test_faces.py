"""Contracts: every registered scenario through every face."""

import pickle
import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
import repricer
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from repricer.envs import Face, Market, MarketEnv, MarketVecEnv, MarketVectorEnv, make_sb3_env, seed_for
from repricer.scenarios import registered
from repricer.scenarios.registration import gymnasium_id
from stable_baselines3.common.env_checker import check_env as check_env_sb3

SCENARIOS = list(registered())


@pytest.mark.parametrize("name", SCENARIOS)
def test_checkers_pass_with_warnings_as_errors(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make(gymnasium_id(name)).unwrapped)
        check_env_sb3(gymnasium.make(gymnasium_id(name)).unwrapped)


def test_the_full_market_passes_the_checkers_too(shop):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make("repricer/Market-v0", scenario=shop).unwrapped)
        check_env_sb3(MarketEnv(shop))


def test_an_episode_is_the_horizon_and_ends_terminated():
    env = gymnasium.make("repricer/StationaryLogit-v0", render_mode="ansi")
    _, _ = env.reset(seed=1)
    periods, total = 0, 0.0
    while True:
        _, reward, terminated, truncated, info = env.step(np.zeros(1, np.float32))
        periods, total = periods + 1, total + info["revenue"].sum()
        assert reward == pytest.approx(float(info["revenue"].sum()))
        if terminated or truncated:
            break
    assert (periods, terminated, truncated) == (30, True, False)
    assert "30 of 30" in env.render()
    with pytest.raises(RuntimeError, match="not over"):
        env.unwrapped.step(np.zeros(1, np.float32))


@pytest.mark.parametrize("markets", [1, 7, 33])
def test_the_batch_equals_its_singles(shop, markets):
    generator = np.random.default_rng(5)
    together = Market(shop, num_markets=markets, seed=9)
    face = Face(together)
    singles = [Market(shop, seed=9, numbers=np.array([e])) for e in range(markets)]
    for _ in range(4):
        raw = generator.uniform(-1, 1, (markets, face.action_space.shape[0])).astype(np.float32)
        outcome = face.step(raw)
        for e, single in enumerate(singles):
            alone = Face(single).step(raw[e : e + 1])
            for name in ("units", "revenue", "expected_profit", "segment_units", "shown"):
                np.testing.assert_array_equal(getattr(outcome, name)[e], getattr(alone, name)[0], err_msg=name)
            np.testing.assert_array_equal(together.state.on_hand[e], single.state.on_hand[0])


_PRINT_DIGEST = """
import hashlib, numpy as np
from repricer.envs import rollout
from repricer.pricing import FixedPrice
from repricer.scenarios import load_scenario
run = rollout(load_scenario("stationary-logit"), FixedPrice(9.5), episodes=500, seed=3)
print(hashlib.sha256(run.revenue.tobytes()).hexdigest())
"""


def test_the_same_seed_gives_the_same_bytes_in_a_new_process():
    digests = {subprocess.check_output([sys.executable, "-c", _PRINT_DIGEST], text=True) for _ in range(2)}
    assert len(digests) == 1


def test_state_saves_restores_and_pickles_in_mid_episode(shop):
    market = Market(shop, num_markets=5, seed=2)
    face = Face(market)
    raw = np.full((5, face.action_space.shape[0]), 0.2, np.float32)
    face.step(raw)
    saved = pickle.loads(pickle.dumps(market.state))
    first = face.step(raw).revenue
    market.restore(saved)
    np.testing.assert_array_equal(face.step(raw).revenue, first)


def test_vector_env_rows_are_the_single_environments(shop):
    env = gymnasium.make_vec("repricer/Market-v0", num_envs=4, scenario=shop)
    assert isinstance(env.unwrapped, MarketVectorEnv)
    observation, _ = env.reset(seed=11)
    assert env.observation_space.contains(observation)
    for step in range(9):
        observation, reward, terminated, _, _ = env.step(np.zeros(env.action_space.shape, np.float32))
        assert terminated.all() == (step == 7)
        if step == 8:  # NEXT_STEP: the call after an end only opens the next episode
            assert not reward.any()


def test_same_step_mode_hands_over_the_last_observation(shop):
    env = MarketVectorEnv(shop, 3, autoreset_mode=AutoresetMode.SAME_STEP)
    opening, _ = env.reset(seed=0)
    for _ in range(8):
        observation, _, terminated, _, info = env.step(np.zeros(env.action_space.shape, np.float32))
    assert terminated.all()
    assert info["_final_obs"].all()
    assert info["final_obs"][0, 0] == 0  # no time left
    assert observation[0, 0] == opening[0, 0] == 1


def test_disabled_mode_resets_by_mask(shop):
    env = MarketVectorEnv(shop, 2, autoreset_mode=AutoresetMode.DISABLED)
    env.reset(seed=0)
    for _ in range(3):
        env.step(np.zeros(env.action_space.shape, np.float32))
    observation, _ = env.reset(options={"reset_mask": np.array([True, False])})
    assert observation[0, 0] == 1
    assert observation[1, 0] == pytest.approx(5 / 8)
    with pytest.raises(ValueError, match="seed must be one whole number"):
        env.reset(seed=[1, 2])


def test_sb3_env_joint_and_product_wise_share_one_market(shop):
    joint = make_sb3_env(shop, num_envs=4, seed=3)
    rows = make_sb3_env(shop, num_envs=4, seed=3, product_wise=True)
    assert (joint.num_envs, rows.num_envs) == (4, 12)
    joint.seed(5), rows.seed(5)
    # A row that is a product also carries what never changes of it.
    moving = joint.reset().reshape(12, -1)
    np.testing.assert_array_equal(moving, rows.reset()[:, : moving.shape[1]])
    whole = joint.step(np.zeros((4, joint.action_space.shape[0]), np.float32))[1]
    parts = rows.step(np.zeros((12, rows.action_space.shape[0]), np.float32))[1]
    assert whole.shape == (4,)
    assert parts.shape == (12,)
    for _ in range(7):
        _, _, dones, infos = rows.step(np.zeros((12, rows.action_space.shape[0]), np.float32))
    assert dones.all()
    assert infos[3]["terminal_observation"][0] == 0


def test_charges_make_a_rows_reward_the_change_of_the_whole(shop):
    """Difference reward: own money less charge moves, in expectation, as the money of all products does."""
    base = np.array([4.0, 5.0, 3.0], np.float32)

    def run(price: float) -> tuple[float, float]:
        market = Market(shop.with_changes(stock={"initial_units": 1e6, "holding_cost": 0.0}), seed=0)
        vec = MarketVecEnv(Face(market, product_wise=True, reward="expected", base_price=base))
        from repricer.pricing import Action

        asked = Action(np.array([[price, 5.0, 3.0]], np.float32), None, np.full((1, 3, 2), -1.0, np.float32))
        outcome = market.step(asked, credit_price=base)
        return float(vec.face.rewards(outcome)[0]), float(outcome.expected_profit.sum())

    (own, whole), (own_low, whole_low) = run(4.0), run(3.2)
    assert own_low - own == pytest.approx(whole_low - whole, rel=1e-3)


def test_wrong_options_get_one_line(shop):
    with pytest.raises(ValueError, match="num_markets must be at least 1; got 0"):
        Market(shop, num_markets=0)
    with pytest.raises(ValueError, match="reward must be 'drawn' or 'expected'"):
        make_sb3_env(shop, reward="mean")
    with pytest.raises(ValueError, match="base_price must have one price a product"):
        make_sb3_env(shop, base_price=np.ones(2))
    with pytest.raises(ValueError, match="purpose must be one of training"):
        seed_for("fun")
    with pytest.raises(ValueError, match="render_mode must be None, "):
        MarketEnv(shop, render_mode="human")


def test_purposes_never_share_customers():
    seeds = [seed_for(p, s) for p in ("training", "tuning", "validation", "judging") for s in range(50)]
    assert len(set(seeds)) == len(seeds)


def test_the_package_offers_its_names_lazily():
    assert repricer.make_sb3_env is make_sb3_env
    with pytest.raises(AttributeError, match="public names are"):
        _ = repricer.nothing

"""Contracts: every registered scenario through every adapter."""

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
from repricer.envs import (
    LearnerView,
    Market,
    MarketEnv,
    MarketParallelEnv,
    MarketVecEnv,
    MarketVectorEnv,
    make_sb3_env,
    seed_for,
)
from repricer.envs.kernels.state import LAST_UNITS
from repricer.pricing import Action
from repricer.scenarios import registered
from repricer.scenarios.loading import gymnasium_id
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
    with pytest.raises(RuntimeError, match="step needs markets in an episode; got"):
        env.unwrapped.step(np.zeros(1, np.float32))


@pytest.mark.parametrize("markets", [1, 7, 33])
def test_the_batch_equals_its_singles(shop, markets):
    generator = np.random.default_rng(5)
    together = Market(shop, num_markets=markets, seed=9)
    view = LearnerView(together)
    singles = [Market(shop, seed=9, numbers=np.array([e])) for e in range(markets)]
    for _ in range(4):
        raw = generator.uniform(-1, 1, (markets, view.action_space.shape[0])).astype(np.float32)
        outcome = view.step(raw)
        for e, single in enumerate(singles):
            alone = LearnerView(single).step(raw[e : e + 1])
            for name in ("units", "revenue", "expected_profit", "segment_units", "shown"):
                np.testing.assert_array_equal(getattr(outcome, name)[e], getattr(alone, name)[0], err_msg=name)
            np.testing.assert_array_equal(together.state.on_hand[e], single.state.on_hand[0])


_DIGEST = """
import hashlib
from repricer.envs import rollout
from repricer.pricing import FixedPrice
from repricer.scenarios import load_scenario
run = rollout(load_scenario("stationary-logit"), FixedPrice(9.5), episodes=500, seed=3)
digest = hashlib.sha256(run.revenue.tobytes()).hexdigest()
"""


def test_the_same_seed_gives_the_same_bytes_in_a_new_process():
    here: dict[str, str] = {}
    exec(_DIGEST, here)
    there = subprocess.check_output([sys.executable, "-c", _DIGEST + "print(digest)"], text=True)
    assert there.strip() == here["digest"]


def test_state_saves_restores_and_pickles_in_mid_episode(shop):
    market = Market(shop, num_markets=5, seed=2)
    view = LearnerView(market)
    raw = np.full((5, view.action_space.shape[0]), 0.2, np.float32)
    view.step(raw)
    saved = pickle.loads(pickle.dumps(market.state))
    first = view.step(raw).revenue
    market.restore(saved)
    np.testing.assert_array_equal(view.step(raw).revenue, first)


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
    with pytest.raises(ValueError, match="seed must be None with a reset_mask"):
        env.reset(seed=1, options={"reset_mask": np.array([True, False])})
    with pytest.raises(ValueError, match="reset_mask must hold 2 booleans; got bool"):
        env.reset(options={"reset_mask": np.ones(3, dtype=bool)})


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
        vec = MarketVecEnv(LearnerView(market, product_wise=True, reward="expected", base_price=base))

        asked = Action(np.array([[price, 5.0, 3.0]], np.float32), None, np.full((1, 3, 2), -1.0, np.float32))
        outcome = market.step(asked, credit_price=base)
        return float(vec.learner_view.rewards(outcome)[0]), float(outcome.expected_profit.sum())

    (own, whole), (own_low, whole_low) = run(4.0), run(3.2)
    assert own_low - own == pytest.approx(whole_low - whole, rel=1e-3)


def test_wrong_options_get_one_line(shop):
    with pytest.raises(ValueError, match="num_markets must be a whole number of at least 1; got 0"):
        Market(shop, num_markets=0)
    with pytest.raises(ValueError, match="reward must be one of drawn, expected, conversion-difference"):
        make_sb3_env(shop, reward="mean")
    with pytest.raises(ValueError, match="base_price must have one price per product"):
        make_sb3_env(shop, base_price=np.ones(2))
    with pytest.raises(ValueError, match="purpose must be one of training"):
        seed_for("fun")
    with pytest.raises(ValueError, match="render_mode must be None, "):
        MarketEnv(shop, render_mode="human")


def test_purposes_never_share_customers():
    seeds = [seed_for(p, s) for p in ("training", "tuning", "validation", "test") for s in range(50)]
    assert len(set(seeds)) == len(seeds)


def test_the_package_offers_its_names_lazily():
    assert repricer.make_sb3_env is make_sb3_env
    with pytest.raises(AttributeError, match="public names are"):
        _ = repricer.nothing


# History


def test_history_shows_the_last_periods_oldest_first(shop):
    env, plain = MarketEnv(shop, history=3), MarketEnv(shop)
    width = plain.observation_space.shape[0]
    assert env.observation_space.shape == (3 * width,)
    opening, _ = plain.reset(seed=3)
    seen = [opening] * 3
    np.testing.assert_array_equal(env.reset(seed=3)[0], np.concatenate(seen))
    generator = np.random.default_rng(1)
    for _ in range(8):
        action = generator.uniform(-1, 1, env.action_space.shape).astype(np.float32)
        seen = [*seen[1:], plain.step(action)[0]]
        np.testing.assert_array_equal(env.step(action)[0], np.concatenate(seen))
    opening, _ = plain.reset()
    np.testing.assert_array_equal(env.reset()[0], np.concatenate([opening] * 3))
    with pytest.raises(ValueError, match="history must be at least 1; got 0"):
        MarketEnv(shop, history=0)


def test_the_checkers_pass_with_history(shop):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make("repricer/Market-v0", scenario=shop, history=3).unwrapped)
        check_env_sb3(MarketEnv(shop, history=3))


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_history_starts_anew_with_each_episode_in_every_autoreset_mode(shop, mode):
    env = MarketVectorEnv(shop, 3, history=3, autoreset_mode=mode)
    width = env.single_observation_space.shape[0] // 3
    observation, _ = env.reset(seed=0)
    fresh = LearnerView(Market(shop, num_markets=3, seed=0)).observe()
    np.testing.assert_array_equal(observation, np.tile(fresh, (1, 3)))
    action = np.full(env.action_space.shape, 0.4, np.float32)
    for _ in range(8):
        before = observation
        observation, _, terminated, truncated, info = env.step(action)
        last = info["final_obs"] if mode is AutoresetMode.SAME_STEP and terminated.all() else observation
        np.testing.assert_array_equal(last[:, : 2 * width], before[:, width:])
    assert terminated.all()
    assert not truncated.any()
    if mode is AutoresetMode.NEXT_STEP:
        observation, reward, terminated, _, _ = env.step(action)
        assert not reward.any()
        assert not terminated.any()
    elif mode is AutoresetMode.DISABLED:
        observation, _ = env.reset(options={"reset_mask": np.ones(3, dtype=bool)})
    np.testing.assert_array_equal(observation, np.tile(observation[:, -width:], (1, 3)))
    assert (observation[:, 0] == 1).all()


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_restarting_some_markets_leaves_the_others_and_their_history_alone(shop, mode):
    """Market 1 is two periods ahead; each row then goes on as it would alone."""
    env = MarketVectorEnv(shop, 2, history=3, autoreset_mode=mode)
    env.reset(seed=0)
    action = np.full(env.action_space.shape, -0.3, np.float32)
    for _ in range(2):
        env.step(action)
    mask = np.array([True, False])
    observation, _ = env.reset(options={"reset_mask": mask})
    alone = LearnerView(Market(shop, seed=0, numbers=np.array([1])), history=3)
    for _ in range(2):
        alone.step(action[:1])
    np.testing.assert_array_equal(observation[1], alone.observe()[0])
    for _ in range(6):
        observation, reward, terminated, _, info = env.step(action)
        outcome = alone.step(action[:1])
        assert reward[1] == alone.rewards(outcome)[0]
    assert terminated.tolist() == [False, True]
    last = info["final_obs"] if mode is AutoresetMode.SAME_STEP else observation
    np.testing.assert_array_equal(last[1], alone.observe()[0])
    if mode is AutoresetMode.DISABLED:
        observation, _ = env.reset(options={"reset_mask": terminated})
    elif mode is AutoresetMode.NEXT_STEP:
        ahead = observation[0, 0]
        observation, reward, terminated, _, _ = env.step(action)
        assert reward[1] == 0
        assert not terminated.any()
        assert observation[0, 0] < ahead
    alone.restart(np.ones(1, dtype=bool))
    np.testing.assert_array_equal(observation[1], alone.observe()[0])
    for _ in range(2):
        observation, _, terminated, _, info = env.step(action)
        alone.step(action[:1])
        np.testing.assert_array_equal(observation[1], alone.observe()[0])


@pytest.mark.parametrize("product_wise", [False, True])
def test_sb3_rows_have_their_own_history(shop, product_wise):
    env = make_sb3_env(shop, num_envs=3, seed=1, history=3, product_wise=product_wise)
    plain = make_sb3_env(shop, num_envs=3, seed=1, product_wise=product_wise)
    env.seed(1), plain.seed(1)
    seen = [plain.reset()] * 3
    np.testing.assert_array_equal(env.reset(), np.concatenate(seen, axis=1))
    action = np.full((env.num_envs, *env.action_space.shape), 0.2, np.float32)
    for _ in range(7):
        seen = [*seen[1:], plain.step(action)[0]]
        np.testing.assert_array_equal(env.step(action)[0], np.concatenate(seen, axis=1))
    opening, _, dones, infos = plain.step(action)
    observation, _, _, stacked = env.step(action)
    assert dones.all()
    np.testing.assert_array_equal(observation, np.tile(opening, (1, 3)))
    for row in range(env.num_envs):
        seen_last = np.concatenate([seen[1][row], seen[2][row], infos[row]["terminal_observation"]])
        np.testing.assert_array_equal(stacked[row]["terminal_observation"], seen_last)


# Ends and cuts


@pytest.mark.parametrize(("ending", "cut"), [("terminated", False), ("truncated", True)])
def test_an_episode_that_is_cut_is_truncated_on_every_adapter(make_shop, ending, cut):
    spec = make_shop(market={"ending": ending})
    env = MarketEnv(spec)
    env.reset(seed=0)
    ends = [env.step(np.zeros(env.action_space.shape, np.float32))[2:4] for _ in range(8)]
    assert ends == [(False, False)] * 7 + [(not cut, cut)]
    for mode in AutoresetMode:
        vector = MarketVectorEnv(spec, 2, autoreset_mode=mode)
        vector.reset(seed=0)
        steps = [vector.step(np.zeros(vector.action_space.shape, np.float32))[2:4] for _ in range(8)]
        assert [[flags.tolist() for flags in step] for step in steps[:-1]] == [[[False] * 2] * 2] * 7
        assert [flags.tolist() for flags in steps[-1]] == [[not cut] * 2, [cut] * 2]
    rows = make_sb3_env(spec, num_envs=2)
    rows.reset()
    for _ in range(8):
        _, _, dones, infos = rows.step(np.zeros((2, *rows.action_space.shape), np.float32))
    assert dones.all()
    assert [info["TimeLimit.truncated"] for info in infos] == [cut, cut]


# What info tells


def test_info_holds_what_the_environment_promises(shop):
    env = MarketEnv(shop)
    env.reset(seed=1)
    _, reward, _, _, info = env.step(np.zeros(env.action_space.shape, np.float32))
    by_product = {"list_price", "paid", "units", "lost", "revenue", "profit"}
    by_product |= {"expected_revenue", "expected_profit", "trail", "propensity"}
    assert set(info) == by_product | {"shown", "expected_reward"}
    assert {name: np.shape(info[name]) for name in by_product} == dict.fromkeys(by_product, (3,))
    assert info["shown"].shape == (2,)
    assert np.shape(info["expected_reward"]) == ()
    assert reward == pytest.approx(float(info["profit"].sum()))
    assert info["expected_reward"] == pytest.approx(float(info["expected_profit"].sum()))
    expected = MarketEnv(shop, reward="expected")
    expected.reset(seed=1)
    _, reward, _, _, info = expected.step(np.zeros(env.action_space.shape, np.float32))
    assert reward == pytest.approx(float(info["expected_reward"]))


# Rendering


@pytest.mark.parametrize("make", [MarketEnv, MarketParallelEnv])
def test_the_text_of_an_episode_changes_over_time(make):
    env = make("marketplace", render_mode="ansi")
    env.reset(seed=1)
    texts = [env.render()]
    for _ in range(2):
        if isinstance(env, MarketEnv):
            env.step(np.zeros(env.action_space.shape, np.float32))
        else:
            env.step({name: np.zeros(env.action_space(name).shape, np.float32) for name in env.agents})
        texts.append(env.render())
    market = env.learner_view.market
    sold = [f"{units:.0f} sold" for units in market.state.lanes[LAST_UNITS, :, 0]]
    assert [line.rpartition(", ")[2] for line in texts[2].split("\n")[1 : 1 + len(sold)]] == sold
    assert "initial state" in texts[0]
    assert len(set(texts)) == 3
    env.reset(seed=1)
    assert env.render() == texts[0]

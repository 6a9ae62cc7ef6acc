"""What other people's agents need of every environment: options, seeds, spread starts, one set of info keys."""

import gymnasium
import numpy as np
import pytest
import repricer  # noqa: F401  registers the environments
from gymnasium.vector import AutoresetMode
from repricer.envs import LearnerView, Market, MarketEnv, MarketParallelEnv, MarketVectorEnv, make_sb3_env

OPTIONS = {"actions": "discrete", "reward": "expected", "reward_scale": "auto", "price_reach": 1.5, "price_levels": 5}
ID, NAME = "repricer/ThreeStocks-v0", "three-stocks"


def test_every_environment_takes_the_options_of_the_view():
    view = LearnerView(Market(NAME, num_markets=2, seed=3), **OPTIONS)
    choice = np.array([[0, 4, 2], [1, 3, 2]])
    rewards = view.rewards(view.step(choice))
    assert 0.1 < rewards.mean() < 10

    single = gymnasium.make(ID, **OPTIONS)
    single.reset(seed=3)
    assert single.action_space == gymnasium.spaces.MultiDiscrete([5, 5, 5])
    assert single.step(choice[0])[1] == pytest.approx(rewards[0])

    vector = gymnasium.make_vec(ID, num_envs=2, **OPTIONS)
    vector.reset(seed=3)
    np.testing.assert_allclose(vector.step(choice)[1], rewards)

    rows = make_sb3_env(NAME, num_envs=2, seed=3, **OPTIONS)
    rows.reset()
    np.testing.assert_allclose(rows.step(choice)[1], rewards)


def test_the_market_of_several_sellers_takes_them_too():
    env = MarketParallelEnv("calvano-duopoly", **OPTIONS)
    env.reset(seed=0)
    assert (env.action_space("own").n, env.action_space("rival").n) == (15, 5)
    regular = env.learner_view.market.spec.competitors.regular_price[0]
    _, rewards, _, _, infos = env.step({"own": 7, "rival": 4})
    assert infos["rival"]["price"][0] == pytest.approx(
        min(1.5 * regular, env.learner_view.market.spec.competitors.ceiling[0]), rel=1e-3
    )
    assert 0.01 < rewards["own"] < 10


def test_an_automatic_reward_scale_is_that_of_the_trainer():
    plain, scaled = (make_sb3_env("scarce", num_envs=64, reward="expected", reward_scale=s) for s in (1.0, "auto"))
    for env in (plain, scaled):
        env.reset()
    zeros = np.zeros((64, 1), np.float32)
    factor = scaled.step(zeros)[1] / plain.step(zeros)[1]
    np.testing.assert_allclose(factor, scaled.learner_view.reward_scale, rtol=1e-5)
    with pytest.raises(ValueError, match="reward_scale must be a number above 0, or 'auto'; got 'large'"):
        MarketEnv("scarce", reward_scale="large")


def test_each_market_has_the_customers_of_its_seed():
    env, action = MarketVectorEnv(NAME, 3), np.full((3, 3), -0.2, np.float32)
    env.reset(seed=[7, 4_000_000_000, 7])
    alone = [MarketEnv(NAME) for _ in range(3)]
    for each, seed in zip(alone, (7, 4_000_000_000, 7), strict=True):
        each.reset(seed=seed)
    for _ in range(5):
        _, rewards, _, _, info = env.step(action)
        singles = [each.step(action[0]) for each in alone]
        assert rewards.tolist() == [single[1] for single in singles]
        np.testing.assert_array_equal(info["units"], [single[4]["units"] for single in singles])
    assert rewards[0] == rewards[2] != rewards[1]
    with pytest.raises(ValueError, match="seed must hold one for each of 3 markets; got 2"):
        env.reset(seed=[1, 2])


def sales(env):
    """Units of a few periods at the lowest prices after a reset without a seed: enough not to be equal by chance."""
    action = np.full(getattr(env, "single_action_space", env.action_space).shape, -1, np.float32)
    env.reset()
    if isinstance(env, MarketVectorEnv):
        return np.stack([env.step(np.tile(action, (env.num_envs, 1)))[4]["units"] for _ in range(8)])
    return np.stack([env.step(action)[4]["units"] for _ in range(8)])


@pytest.mark.parametrize("make", [lambda: MarketEnv(NAME), lambda: MarketVectorEnv(NAME, 2)])
def test_resets_without_a_seed_differ(make):
    first, second = make(), make()
    one = sales(first)
    assert not np.array_equal(one, sales(first))
    assert not np.array_equal(one, sales(second))


def test_resets_of_sb3_rows_and_sellers_differ():
    rows, zeros = make_sb3_env("bench-1", num_envs=2, seed=0), np.zeros((2, 2), np.float32)
    seen = []
    for _ in range(2):
        rows.reset()
        seen.append(rows.step(zeros)[1].tolist())
    rows.seed(0)
    rows.reset()
    assert seen[0] != seen[1]
    assert rows.step(zeros)[1].tolist() == seen[0]
    sellers = [MarketParallelEnv("marketplace") for _ in range(2)]
    units = []
    for env in sellers:
        env.reset()
        units.append(env.step({name: np.zeros(env.action_space(name).shape) for name in env.agents})[4]["own"]["units"])
    assert not np.array_equal(*units)


def test_staggered_starts_spread_the_markets_over_the_episode():
    horizon = Market(NAME).spec.market.horizon_periods
    vector = MarketVectorEnv(NAME, horizon, staggered=True)
    vector.reset(seed=0)
    rows = make_sb3_env(NAME, num_envs=horizon, staggered=True)
    rows.reset()
    for env in (vector, rows):
        assert sorted(env.learner_view.market.state.period.tolist()) == list(range(horizon))
    action = np.zeros((horizon, 3), np.float32)
    ends = [vector.step(action)[2].sum() for _ in range(horizon)]
    assert ends == [1] * horizon
    assert [rows.step(action)[2].sum() for _ in range(horizon)] == [1] * horizon


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_info_has_the_same_keys_and_types_at_every_step(mode, shop):
    env = MarketVectorEnv(shop, 2, autoreset_mode=mode)
    _, info = env.reset(seed=0)
    like = {name: (value.shape, value.dtype) for name, value in info.items()}
    assert like["trail"] == ((2, 3), np.dtype(np.int32))
    for _ in range(9 if mode is AutoresetMode.NEXT_STEP else 8):
        info = env.step(np.zeros(env.action_space.shape, np.float32))[4]
        info = {name: value for name, value in info.items() if "final_obs" not in name}
        assert {name: (value.shape, value.dtype) for name, value in info.items()} == like
    single = MarketEnv(shop)
    _, first = single.reset(seed=0)
    later = single.step(np.zeros(single.action_space.shape, np.float32))[4]
    assert {k: np.shape(v) for k, v in first.items()} == {k: np.shape(v) for k, v in later.items()}
    assert list(first) == list(like)


def test_a_batch_is_not_rendered():
    with pytest.raises(ValueError, match="render_mode of a batch must be None; got 'rgb_array'"):
        gymnasium.make_vec(ID, num_envs=2, render_mode="rgb_array")


def test_the_spec_tells_the_length_of_an_episode_and_the_market_ends_it():
    env = gymnasium.make("repricer/StationaryLogit-v0")
    assert env.spec.max_episode_steps == 30
    env.reset(seed=0)
    ends = [env.step(np.zeros(1, np.float32))[2:4] for _ in range(30)]
    assert ends == [(False, False)] * 29 + [(True, False)]


def test_after_a_list_of_seeds_the_next_episodes_belong_to_them():
    action, env = np.full((3, 3), -0.2, np.float32), MarketVectorEnv(NAME, 3)
    env.reset(seed=[5, 6, 7])
    alone = [MarketEnv(NAME) for _ in range(3)]
    for seed, each in zip([5, 6, 7], alone, strict=True):
        each.reset(seed=seed)
    env.reset(), [each.reset() for each in alone]
    np.testing.assert_array_equal(env.step(action)[4]["units"], [each.step(action[0])[4]["units"] for each in alone])


def test_the_first_reset_draws_a_seed_whatever_its_mask():
    units = []
    for _ in range(2):
        env = MarketVectorEnv(NAME, 64, autoreset_mode=AutoresetMode.DISABLED)
        env.reset(options={"reset_mask": np.arange(64) < 32})
        units.append(env.step(np.zeros((64, 3), np.float32))[4]["units"])
    assert (units[0] != units[1]).any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reset_mask": [0, 1, 2]}, "reset_mask must hold 3 booleans; got int64"),
        ({"reset_mask": np.ones((3, 1), bool)}, r"got bool \(3, 1\)"),
        ({"reset_mask": None}, "got object"),
        ({"reset_mask": np.zeros(3, bool)}, "reset_mask must be True for a market; got False for all"),
        ({"resetmask": np.ones(3, bool)}, "options of a reset may hold reset_mask; got resetmask"),
    ],
)
def test_what_a_reset_cannot_take_is_refused(options, words):
    env = MarketVectorEnv(NAME, 3)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=words):
        env.reset(options=options)


@pytest.mark.parametrize("seed", [-1, 1 << 70, 1.9, "a"])
def test_a_seed_is_a_whole_number_in_every_environment(seed):
    made = (MarketEnv(NAME), MarketVectorEnv(NAME, 2), MarketParallelEnv("calvano-duopoly"))
    resets = [lambda env=env: env.reset(seed=seed) for env in made]
    for reset in (*resets, lambda: made[1].reset(seed=[seed, 1]), lambda: make_sb3_env(NAME, seed=seed)):
        with pytest.raises(ValueError, match=r"seed must be a whole number from 0 to \d+; got"):
            reset()
    assert MarketVectorEnv(NAME, 2).reset(seed=np.int64(3))[0].shape[0] == 2


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"base": "undercut:1"}, "base must have name and act"),
        ({"base_price": [1.0, 0.0, 1.0]}, "base_price must be positive; got 0.0"),
        ({"base_price": [1.0, np.nan, 1.0]}, "base_price must be positive; got nan"),
        ({"base_price": "regular"}, "base_price must be an array of prices; got 'regular'"),
        ({"history": "2"}, "history must be a whole number; got '2'"),
        ({"price_levels": 2.5}, "price_levels must be a whole number; got 2.5"),
        ({"price_reach": "x"}, "price_reach must be 0 or above 1; got 'x'"),
        ({"layout": 3}, "layout must be an ActionLayout; got int"),
    ],
)
def test_a_wrong_option_is_named_at_once(option, words):
    with pytest.raises(ValueError, match=words):
        MarketEnv(NAME, **option)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"num_envs": 2.5}, "num_envs must be a whole number; got 2.5"),
        ({"product_wise": "yes"}, "product_wise must be true or false; got 'yes'"),
        ({"draw_pool": [0, 1]}, "draw_pool needs draws; got 2 numbers"),
    ],
)
def test_a_wrong_option_of_the_sb3_environment_is_named_at_once(option, words):
    with pytest.raises(ValueError, match=words):
        make_sb3_env(NAME, **option)


def test_the_sb3_environment_has_no_attribute_that_it_lacks():
    venv = make_sb3_env(NAME, num_envs=2)
    assert venv.get_attr("render_mode") == [None, None]
    assert not venv.has_attr("nonsense")

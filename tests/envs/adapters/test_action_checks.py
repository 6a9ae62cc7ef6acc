"""A wrong action is refused in one line by every environment, before anything is read beyond it."""

import numpy as np
import pytest
from repricer.envs import (
    LearnerView,
    Market,
    MarketEnv,
    MarketParallelEnv,
    MarketVectorEnv,
    MultiSellerMarket,
    SellerVecEnv,
    make_sb3_env,
)
from repricer.envs.adapters.learner_view import checked_actions
from repricer.pricing import Action

WIDE = "bench-10"
COLUMNS = 20  # of its actions; to ask the market would compile it in each worker that collects


def single(action):
    env = MarketEnv(WIDE)
    env.reset(seed=0)
    env.step(action[0])


def vector(action):
    env = MarketVectorEnv(WIDE, 2)
    env.reset(seed=0)
    env.step(action)


def rows(action):
    env = make_sb3_env(WIDE, num_envs=2)
    env.reset()
    env.step(action)


def batches(action):
    env = make_sb3_env(WIDE, num_envs=1, variants=[Market(WIDE).spec])
    env.reset()
    env.step(action)


ENVIRONMENTS = [single, vector, rows, batches]


@pytest.mark.parametrize("step", ENVIRONMENTS)
@pytest.mark.parametrize(
    ("action", "message"),
    [
        (np.zeros((2, 3)), "must have shape .*; got \\(3,\\)"),
        (np.zeros((2, COLUMNS + 1)), "must have shape"),
        (np.zeros((2, 1, COLUMNS)), "must have shape"),
        (np.full((2, COLUMNS), np.nan), "must be finite; got nan"),
        (np.full((2, COLUMNS), -np.inf), "must be finite; got -inf"),
    ],
)
def test_another_shape_and_numbers_that_are_not_finite_are_refused(step, action, message):
    with pytest.raises(ValueError, match=message):
        step(action)


@pytest.mark.parametrize("step", ENVIRONMENTS[1:])
@pytest.mark.parametrize("count", [1, 3])
def test_a_wrong_number_of_rows_is_refused(step, count):
    with pytest.raises(ValueError, match=f"in 2 rows; got \\({COLUMNS},\\) in {count}"):
        step(np.zeros((count, COLUMNS), np.float32))


def test_large_actions_are_finite():
    huge = np.full((2, COLUMNS), 1e30, np.float32)
    assert checked_actions(huge, 2, MarketEnv(WIDE).action_space) is huge


@pytest.mark.parametrize("choice", [-1, 21, 0.5, None])
def test_a_choice_that_does_not_exist_is_refused(choice):
    env = MarketEnv("stationary-logit", actions="discrete", price_levels=21)
    env.reset(seed=0)
    count = env.action_space.n
    with pytest.raises(ValueError, match=f"whole numbers from 0 to below {count}"):
        env.step(count if choice == 21 else choice)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (Action(np.ones(1, np.float32)), "price of an action must have shape \\(3, 10\\); got \\(1,\\)"),
        (Action(np.ones((10, 3), np.float32)), "price of an action must have shape \\(3, 10\\); got \\(10, 3\\)"),
        (Action(np.ones((3, 10)), promotion=np.ones((3, 1))), "promotion of an action must have shape"),
        (Action(np.ones((3, 10)), discount=np.ones((3, 10))), "discount of an action must have shape \\(3, 10, 6\\)"),
    ],
)
def test_an_action_of_another_shape_is_refused(action, message):
    with pytest.raises(ValueError, match=message):
        Market(WIDE, num_markets=3).step(action)


def test_every_seller_must_act():
    env, none = MarketParallelEnv("calvano-duopoly"), np.zeros(1, np.float32)
    env.reset(seed=0)
    for actions, message in (
        ({"own": none}, "actions must name own, rival; got own;"),
        ({"own": none, "rival": none, "third": none}, "got own, rival, third"),
        ({"own": none, "rival": np.zeros(4)}, "action of rival must have shape \\(1,\\)"),
        ({"own": none, "rival": np.array([np.nan])}, "action of rival must be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            env.step(actions)
    venv = SellerVecEnv(MultiSellerMarket("calvano-duopoly", num_markets=2), "rival")
    venv.reset()
    with pytest.raises(ValueError, match="action must be finite"):
        venv.step(np.full((2, 1), np.nan, np.float32))


def test_the_view_checks_for_all():
    with pytest.raises(ValueError, match="must be an array of numbers; got str"):
        LearnerView(Market(WIDE)).step("high")

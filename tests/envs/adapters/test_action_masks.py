"""Which discrete actions the price rules allow, in `info` and for MaskablePPO."""

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from repricer.envs import LearnerView, Market, MarketEnv, MarketVectorEnv, make_sb3_env
from repricer.scenarios import load_scenario
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks


@pytest.fixture(scope="module")
def falling():
    return load_scenario("falling-prices")


@pytest.fixture(scope="module")
def stepwise():
    """Two prices that may rise or fall by a tenth."""
    prices = {"max_change": 0.1, "price_ladder": None, "floor": 10.0, "ceiling": 30.0}
    return load_scenario("three-stocks").with_changes(prices=prices)


@pytest.mark.parametrize("name", ["falling", "stepwise"])
def test_an_allowed_level_is_charged_and_another_is_not(name, request):
    spec, generator = request.getfixturevalue(name), np.random.default_rng(0)
    view = LearnerView(Market(spec, num_markets=50), actions="discrete", price_levels=15)
    level, products, refused = len(view.levels[0]), len(spec.products.names), 0
    for _ in range(6):
        mask = view.action_masks().reshape(50, products, level)
        assert mask.any(axis=2).all()
        chosen = generator.integers(level, size=(50, products))
        raw = view.levels[0][chosen][..., None]
        asked = view.base_price * view.layout.decode(raw).price_multiplier
        charged = view.step(chosen[:, 0] if products == 1 else chosen).list_price
        kept = np.take_along_axis(mask, chosen[:, :, None], axis=2)[:, :, 0]
        np.testing.assert_array_equal(np.isclose(charged, asked, rtol=1e-4), kept)
        refused += int((~kept).sum())
    assert refused > 20


def test_info_has_the_mask_of_the_next_action(falling):
    env = gymnasium.make("repricer/Market-v0", scenario=falling, actions="discrete")
    _, info = env.reset(seed=0)
    assert env.action_space.n == info["action_mask"].size
    assert env.observation_space.contains(env.reset(seed=1)[0])
    for action in (5, 3):
        _, _, _, _, info = env.step(action)
        np.testing.assert_array_equal(info["action_mask"], np.arange(env.action_space.n) <= action)
        np.testing.assert_array_equal(info["action_mask"], env.unwrapped.action_masks())
    env.action_space.sample(info["action_mask"])
    assert "action_mask" not in MarketEnv(falling).reset()[1]
    with pytest.raises(ValueError, match="action masks need discrete actions"):
        MarketEnv(falling).action_masks()


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_a_batch_masks_what_its_observation_shows(falling, mode):
    envs, single = (
        MarketVectorEnv(falling, 2, actions="discrete", autoreset_mode=mode),
        MarketEnv(falling, actions="discrete"),
    )
    _, first = envs.reset(seed=0)
    single.reset(seed=0)
    periods = falling.market.horizon_periods
    for period in range(periods + (mode is AutoresetMode.NEXT_STEP)):
        action = max(8 - period, 0)
        *_, infos = envs.step(np.full(2, action))
        if period < periods - 1:
            np.testing.assert_array_equal(single.step(action)[-1]["action_mask"], infos["action_mask"][0])
    np.testing.assert_array_equal(infos["action_mask"], first["action_mask"])


def test_maskable_ppo_charges_allowed_prices_only(falling):
    venv = make_sb3_env(falling, num_envs=4, actions="discrete", reward="expected", reward_scale="auto")
    model = MaskablePPO("MlpPolicy", venv, n_steps=13, batch_size=52, device="cpu", seed=0).learn(104)
    view, observed = venv.learner_view, venv.reset()
    for _ in range(10):
        masks = get_action_masks(venv)
        action, _ = model.predict(observed, action_masks=masks)
        assert masks[np.arange(4), action].all()
        outcome = view.step(action)
        np.testing.assert_allclose(
            outcome.list_price[:, 0], 100 * view.layout.decode(view.raw(action)).price_multiplier, rtol=1e-5
        )
        observed = view.observe()

from dataclasses import replace

import numpy as np
import pytest
from repricer.agents.ppo.expected_values import NextDraws
from repricer.envs import LearnerView, Market
from repricer.envs.seeds import DrawSchedule
from repricer.pricing import feature_names
from repricer.scenarios.sections import Posterior


def view_of(spec, markets=16, draws=None, **options) -> LearnerView:
    view = LearnerView(Market(spec, num_markets=markets, seed=3, draws=draws), **{"reward": "expected"} | options)
    for _ in range(2):
        view.step_raw(np.zeros((markets, view.layout.size * view.base_price.size), np.float32))
    return view


def looked(draws, actions):
    draws.note(actions)
    return draws.observations()[0]


def actions_of(view, seed=0):
    shape = (view.num_rows, *view.action_space.shape)
    if view.levels is not None:
        return np.random.default_rng(seed).integers(0, [len(level) for level in view.levels], shape)
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("scarce", {}),
        ("bench-10-full", {"product_wise": True}),
        ("regimes", {"history": 3}),
        ("stationary-logit", {"actions": "discrete"}),
        ("price-and-order", {"reward": "conversion-difference"}),
    ],
)
def test_draws_differ_come_again_and_leave_the_markets_as_they_are(name, options):
    view = view_of(name, **options)
    before, actions = {k: v.copy() for k, v in view.arrays().items()}, actions_of(view)
    draws = NextDraws(view, 3)
    found = looked(draws, actions)
    for key, array in view.arrays().items():
        np.testing.assert_array_equal(array, before[key])
    np.testing.assert_array_equal(looked(draws, actions), found)
    np.testing.assert_array_equal(looked(NextDraws(view, 3), actions), found)
    view.step(actions)
    reached = view.observe()
    assert found.shape == (3, *reached.shape)
    assert all((one != reached).any() for one in found)
    assert (found[0] != found[1]).any()
    if view.history > 1:
        width = reached.shape[1] // view.history
        np.testing.assert_array_equal(
            found[..., :-width], np.broadcast_to(reached[:, :-width], found[..., :-width].shape)
        )


@pytest.mark.parametrize(("name", "options"), [("regimes", {"history": 3}), ("price-and-order", {})])
def test_periods_that_are_looked_at_together_are_as_one_by_one(name, options):
    view = view_of(name, **options)
    together, apart, found = NextDraws(view, 3), NextDraws(view, 3), []
    for period in range(3):
        actions = actions_of(view, seed=period)
        together.note(actions)
        found.append(looked(apart, actions))
        view.step(actions)
    np.testing.assert_array_equal(together.observations(), np.stack(found))


def test_their_mean_is_that_of_the_market():
    view = view_of("scarce", markets=1)
    action = np.zeros((1, 1), np.float32)
    possible = looked(NextDraws(view, 20_000), action)[:, 0]
    many = view_of("scarce", markets=20_000)
    many.restore_arrays({k: np.repeat(v, 20_000, axis=-1) for k, v in view.arrays().items()})
    clock = many.market.state.clock
    clock[0] = 7_000_000 + np.arange(20_000)
    many.step(np.zeros((20_000, 1), np.float32))
    column = feature_names(view.market.catalogue).index("log_stock_cover")
    one, other = possible[:, column], many.observe()[:, column]
    assert abs(one.mean() - other.mean()) < 4 * np.sqrt((one.var() + other.var()) / 20_000)
    assert one.std() == pytest.approx(other.std(), rel=0.05)


def test_they_follow_the_posterior_draw(shop):
    level = np.linspace(0.8, 1.2, 6)
    posterior = Posterior(draws=6, arrivals=level[:, None, None], unit_cost=level[:, None], sensitivity=level[:, None])
    view = view_of(replace(shop, posterior=posterior), draws=DrawSchedule())
    draws, before = NextDraws(view, 500), view.market.spec.name
    view.restart(np.ones(16, bool))
    assert view.market.spec.name != before
    assert not draws.moved
    actions = np.zeros_like(actions_of(view))
    possible = looked(draws, actions)
    same = looked(NextDraws(view, 500), actions)  # made in this draw
    np.testing.assert_array_equal(possible, same)
    draws.note(actions)
    view.restart(np.ones(16, bool))
    assert draws.moved
    np.testing.assert_array_equal(draws.observations()[0], possible)

"""Revenue is learned at no less profit than the best fixed prices."""

from dataclasses import replace

import numpy as np
import pytest
from repricer.agents import best_fixed, load_run, train, validation
from repricer.agents.posterior import current_prices
from repricer.agents.validation import ProfitFloor
from repricer.envs import Market, make_sb3_env, rollout, seed_for
from repricer.fitting.price_search import shadow_cost
from repricer.pricing import Action
from repricer.scenarios import floor_market, load_scenario, spec_from_table
from repricer.scenarios.sections import Halves, Posterior
from repricer.scenarios.shop_sections import PlanSection

DEAREST = np.array([3.2, 4.0, 3.6])
SETTINGS = {"validation_episodes": 64, "num_envs": 64}
STEPS = 40_000


@pytest.fixture(scope="module")
def held():
    """A shop whose discounts earn profit that fixed prices cannot, with a shadow cost that is right for fixed prices."""
    shop = spec_from_table(
        {
            "name": "shop",
            "version": 1,
            "market": {"horizon_periods": 4},
            "products": {"names": ["a", "b", "c"], "category": ["x"] * 3, "regular_price": [4.0, 5.0, 4.5]},
            "arrivals": {"rate": [300.0], "segments": ["careful", "generous"], "segment_share": [[0.5, 0.5]]},
            "demand": {
                "quality": [[5.0, 5.5, 5.2], [3.0, 3.5, 3.2]],
                "price_sensitivity": [[1.6, 1.6, 1.6], [0.6, 0.6, 0.6]],
            },
            "prices": {"floor": [2.0, 2.5, 2.2], "ceiling": [8.0] * 3, "tick": 0.01, "max_discount": 0.3},
        }
    )
    return shop.with_changes(products={"shadow_cost": shadow_cost(shop, DEAREST, 300.0)})


@pytest.fixture(scope="module")
def spec(held):
    return held.with_changes(products={"floor_cost": DEAREST})


@pytest.fixture(scope="module")
def written(spec, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    return train(spec, steps=STEPS, settings=SETTINGS, out=folder), folder


def weights(run):
    return np.concatenate([p.detach().numpy().reshape(-1) for p in run.actor.parameters()])


def test_profit_above_the_floor_is_turned_into_revenue(held, spec, written):
    run, plain = written[0], train(held, steps=STEPS, settings=SETTINGS)
    # As validation does: policies believe in the market that they learned in, not in the unit costs of its floor.
    asked = {"episodes": 64, "seed": seed_for("test"), "expected": True, "assumed": spec}
    learned, held_back, fixed = (
        rollout(floor_market(spec), policy, **asked) for policy in (run.policy, plain.policy, best_fixed(spec))
    )
    assert learned.objective.mean() > held_back.objective.mean() > fixed.objective.mean()
    assert learned.profit.mean() > 0.98 * fixed.profit.mean()
    assert run.history[-1]["shadow_cost_factor"] < 0.9
    assert run.facts["best"]["profit"] >= run.facts["best"]["profit_floor"]


def test_a_resumed_run_goes_on_with_its_multiplier(spec, written, tmp_path):
    calls = []

    def interrupt(*_):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(spec, steps=STEPS, settings=SETTINGS, out=tmp_path / "cut", progress=interrupt)
    resumed = train(spec, steps=STEPS, settings=SETTINGS, out=tmp_path / "cut")
    np.testing.assert_array_equal(weights(written[0]), weights(resumed))
    assert load_run(written[1]).history == written[0].history


@pytest.mark.parametrize(("kept_by_all", "kept"), [(True, "learned"), (False, "plan")])
def test_what_was_learned_by_half_of_the_sales_keeps_the_floor_by_all_of_them(spec, monkeypatch, kept_by_all, kept):
    """By one half a run kept a profit 3.5% above the floor, which was .9% below it by all sales."""
    plan = PlanSection(price=np.tile(spec.products.regular_price, (4, 1)))
    drawn = {"draws": 4, "sensitivity": np.linspace(0.9, 1.1, 4)[:, None]}
    fitted = replace(spec, plan=plan, posterior=Posterior(**drawn), halves=Halves(**drawn, of="stores"))
    asked = []

    def keeps(profit, floor):
        # By half of the draws the floor is the validation's own; by all of them, that of the same customers.
        asked.append((profit, floor))
        return kept_by_all or len({floor for _, floor in asked}) == 1

    monkeypatch.setattr(validation, "_keeps", keeps)
    run = train(fitted, steps=8_000, settings=SETTINGS)
    assert run.facts["kept"] == kept
    floors = list(dict.fromkeys(floor for _, floor in asked))
    assert len(floors) == 2
    whole = [
        rollout(floor_market(fitted).draw(m), current_prices(fitted), episodes=16, seed=0, expected=True)
        for m in range(4)
    ]
    assert floors[1] == pytest.approx(np.mean([run.profit.mean() for run in whole]), rel=0.02)


def test_the_multiplier_falls_above_the_floor_and_rises_below_it_up_to_the_whole_cost():
    floor = ProfitFloor(profit=10.0, revenue=100.0, share=0.5, validations=12)
    for _ in range(50):
        floor.follow(-200.0)
    assert floor.factor == pytest.approx(2.0)
    floor.follow(30.0)
    assert floor.factor < 2.0
    assert floor.value(np.array([100.0]), 11.0).tolist() == [100.0]
    # One unit of profit below the floor costs more than the revenue that it can bring, one.
    assert floor.value(np.array([100.0]), 9.0).tolist() == [98.0]


def test_markets_charge_the_scaled_unit_cost_and_go_on_where_they_are():
    spec = load_scenario("stationary-logit").with_changes(products={"unit_cost": np.array([4.0])})
    markets = Market(spec, num_markets=3, seed=1), Market(spec, num_markets=3, seed=1)
    markets[1].dynamics.scale_costs(0.5)
    action = Action(price=markets[0].view.list_price)
    plain, half = (market.step(action) for market in markets)
    np.testing.assert_array_equal(plain.units, half.units)
    np.testing.assert_allclose(half.revenue - half.profit, 0.5 * (plain.revenue - plain.profit), rtol=1e-6)


@pytest.fixture
def drawn():
    spec = load_scenario("stationary-logit").with_changes(products={"unit_cost": np.array([4.0])})
    return replace(spec, posterior=Posterior(draws=2, arrivals=[[[0.9]], [[1.1]]]))


def test_the_factor_outlives_a_change_of_the_draw(drawn):
    venv = make_sb3_env(drawn, num_envs=2, draws=2)
    venv.reset()
    venv.scale_costs(0.5)
    dynamics = venv.learner_view.market.dynamics
    cost = dynamics.constants.money.unit_cost.copy()
    dynamics.move_to(drawn.draw(1))
    np.testing.assert_array_equal(dynamics.constants.money.unit_cost, cost)

"""Candidates beside the plan: small steps of regular prices, and a calendar of deals that is optimised, not abolished."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from repricer.agents.posterior import current_prices
from repricer.agents.posterior.deals import (
    BOTH,
    BY_CATEGORY,
    DEALS,
    STEPS,
    Plan,
    PlanValue,
    own_plan,
    path_of,
    plan_policies,
)
from repricer.envs import rollout
from repricer.evaluation.uncertainty import assess
from repricer.scenarios import spec_from_table
from repricer.scenarios.sections import Posterior
from repricer.scenarios.shop_sections import PlanSection


def shop(*, sensitivity=(2.5, 2.5, 2.5), memory=None, **plan):
    """Three substitutes over six weeks, the first on deal in the weeks 2 and 3, the second in week 5."""
    regular = np.array([2.0, 3.0, 4.0])
    table = {
        "name": "shop",
        "version": 1,
        "market": {"horizon_periods": 6, "period": "week", "objective": "profit"},
        "products": {"names": list("abc"), "regular_price": regular, "unit_cost": 0.5 * regular},
        "arrivals": {"rate": 2000.0},
        "demand": {"quality": [[1.5, 1.5, 1.5]], "price_sensitivity": [np.array(sensitivity) / regular]},
        "prices": {"floor": 0.4 * regular, "ceiling": 1.5 * regular},
    }
    if memory is not None:
        table["reference_price"] = {"memory": memory, "gain": 2.0, "loss": 2.0}
    price = np.tile(regular, (6, 1))
    price[1:3, 0] *= 0.75
    price[4, 1] *= 0.8
    spec = replace(spec_from_table(table), plan=PlanSection(price=price, **plan))
    return replace(spec, posterior=Posterior(draws=4, sensitivity=np.linspace(0.9, 1.1, 4)[:, None] * np.ones((4, 3))))


def plan_of(path):
    deal = path.path < 0.98 * path.path.max(axis=0) if path.deal is None else path.deal
    return Plan(path.path, np.zeros(path.path.shape), deal)


@pytest.mark.parametrize("memory", [None, 0.5])
def test_the_value_of_a_plan_is_that_of_the_simulated_market(memory):
    spec = shop(memory=memory)
    value = PlanValue(spec)
    run = rollout(replace(spec, posterior=None), current_prices(spec), episodes=600, seed=5)
    assert value.units(value.planned).sum() == pytest.approx(run.units.mean(), rel=0.005)
    assert value.money(value.planned).sum() == pytest.approx(run.profit.mean(), rel=0.005)


def test_steps_move_regular_prices_and_keep_the_deals():
    spec = shop()
    plan, found = own_plan(spec), plan_policies(spec)
    assert set(found) == {*(f"regular{step:+.0%}" for step in STEPS), BY_CATEGORY, DEALS, BOTH}
    for step in STEPS:
        moved = found[f"regular{step:+.0%}"].path / plan.price
        assert moved[~plan.deal] == pytest.approx(1 + step)
        assert moved[plan.deal] == pytest.approx(1)
    plans = {name: PlanValue(spec).money(plan_of(path)).sum() for name, path in found.items()}
    assert plans[BY_CATEGORY] == pytest.approx(max(plans[f"regular{step:+.0%}"] for step in STEPS), rel=1e-6)
    assert min(plans[BOTH], plans[DEALS]) >= PlanValue(spec).money(plan).sum() - 1e-6


def test_a_deal_that_does_not_pay_is_dropped_and_one_that_does_is_deepened():
    """At a low price sensitivity deals cost money; at a high one they earn it, deeper still."""
    poor, rich = (shop(sensitivity=(b, b, b)) for b in (1.0, 8.0))
    assert not plan_of(plan_policies(poor)[DEALS]).deal.any()
    plan, deals = own_plan(rich), plan_policies(rich)[DEALS].path
    assert (deals[plan.deal] < 0.96 * plan.price[plan.deal]).any()
    assert plan_of(plan_policies(rich)[DEALS]).deal.sum() == plan.deal.sum()


def test_a_deal_moves_to_the_week_where_it_earns_most_with_its_display():
    """Where one week has three times as many customers, the deal that pays goes there, with its display."""
    shown = np.zeros((6, 3))
    shown[4, 1] = 1.0
    spec = shop(sensitivity=(6.0, 6.0, 6.0), promotion=shown, feature_lift=np.array([0.0, 0.6, 0.0]))
    busy = np.array([1.0, 1, 1, 1, 1, 3])[:, None]
    spec = spec.with_changes(arrivals={"rate": spec.arrivals.rate * busy})
    found = plan_policies(spec)[DEALS]
    assert np.flatnonzero(plan_of(found).deal[:, 1]).tolist() == [5]
    assert np.flatnonzero(found.deal[:, 1]).tolist() == [5]
    value, plan = PlanValue(spec), plan_of(found)
    for n, depth in product(range(3), (0.95, 0.9)):
        deeper = plan.price.copy()
        deeper[plan.deal[:, n], n] *= depth
        assert value.money(plan._replace(price=deeper)).sum() <= value.money(plan).sum() + 1e-3


def test_a_deal_is_not_moved_to_the_end_to_escape_what_it_costs_afterwards():
    """Customers stock up: what they buy on deal they do not buy in the weeks after, which the plan does not hold."""
    spec = shop(sensitivity=(3.0, 3.0, 3.0), memory=0.7)
    stocked = {"gain": 0.0, "loss": 0.0, "units_gain": 4.0, "units_loss": 4.0}
    spec = spec.with_changes(reference_price={key: np.full(3, value) for key, value in stocked.items()})
    value, plan = PlanValue(spec), own_plan(spec)
    late = Plan(np.roll(plan.price, 3, axis=0), plan.feature, np.roll(plan.deal, 3, axis=0))
    now, lasting = (value.money(late, after).sum() / value.money(plan, after).sum() - 1 for after in (0, 12))
    assert now > 0.01 > abs(lasting)


def test_a_plan_of_moved_deals_has_the_money_of_the_simulated_market():
    shown = np.zeros((6, 3))
    shown[1:3, 0] = 0.5
    spec = shop(memory=0.5, promotion=shown, feature_lift=np.array([0.8, 0, 0]), funding=np.where(shown > 0, 0.3, 0.0))
    value, plan = PlanValue(spec), own_plan(spec)
    for moved in (plan, Plan(*(np.roll(part, 2, axis=0) for part in plan))):
        run = rollout(replace(spec, posterior=None), path_of(spec, moved, "moved"), episodes=2, seed=5, expected=True)
        assert value.money(moved).sum() == pytest.approx(run.objective.mean(), rel=1e-4)


def test_a_policy_that_abolishes_deals_loses_their_displays_in_every_draw():
    shown = np.zeros((6, 3))
    shown[1:3, 0] = 1.0
    free, paid = (
        assess(shop(sensitivity=(3.0,) * 3, promotion=shown, feature_lift=lift), [], learned=[], draws=4)
        for lift in (np.zeros(3), np.array([1.5, 0, 0]))
    )
    assert paid.gain("regular").share < free.gain("regular").share - 0.02
    assert {one.name for one in paid.candidates} >= {DEALS, BOTH, BY_CATEGORY, "regular+2%"}
    assert paid.recommendation.standings[0].gain.mean >= paid.gain("regular").mean

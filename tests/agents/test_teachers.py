"""What learning starts from: of the policies that need no learning, the best one."""

from dataclasses import replace

import numpy as np
import pytest
from repricer import load_scenario
from repricer.agents import best_fixed
from repricer.agents.plan import plan_for
from repricer.agents.training import OrderAhead, best_teacher, teacher_of
from repricer.envs import Market, rollout
from repricer.optimum import solve
from repricer.scenarios import spec_from_table


def earned(spec, policy):
    return rollout(spec, policy, episodes=400, seed=5, expected=True).objective.mean()


@pytest.fixture
def ordering():
    """Stock that comes two periods after it is ordered, demand that doubles half way."""
    table = {
        "name": "ordering",
        "version": 1,
        "market": {"horizon_periods": 24, "objective": "profit"},
        "products": {"names": ["unit"], "regular_price": 6.0, "unit_cost": 2.5},
        "arrivals": {"rate": [5.0] * 12 + [10.0] * 12},
        "demand": {"quality": 4.5, "price_sensitivity": 0.6},
        "stock": {
            "initial_units": 6,
            "replenishment": "action",
            "max_order_units": 12,
            "lead_time_periods": 2,
            "cost_due": "ordered",
            "lost_sale_cost": 1.0,
        },
        "prices": {"price_ladder": {"start": 3, "stop": 12, "step": 0.5}},
    }
    return spec_from_table(table)


def test_orders_cover_the_demand_until_the_next_delivery_and_none_comes_after_the_end(ordering):
    policy = OrderAhead.of(ordering, np.array([6.0], np.float32), safety=0.0, rise=0.5)
    mean = policy.units[:, 0]
    assert mean[0] == pytest.approx(mean[12] / 2)
    assert policy.level[0, 0] == pytest.approx(mean[:3].sum(), abs=0.5)
    assert policy.level[11, 0] == pytest.approx(mean[11:14].sum(), abs=0.5)
    assert (policy.level[-2:] == 0).all()
    assert policy.level[-3, 0] > 0
    view = replace(Market(ordering, num_markets=2).view, on_hand=np.array([[1.0], [50.0]], np.float32))
    action = policy.act(view)
    assert action.price[0, 0] > action.price[1, 0] == 6
    assert action.order[1, 0] == 0


def test_where_stock_is_ordered_the_teacher_closes_half_of_the_gap(ordering):
    fixed, best = (earned(ordering, policy) for policy in (best_fixed(ordering), solve(ordering).policy))
    teacher = teacher_of(plan_for(ordering, "a2c", 1000, 0))
    assert teacher.name == "order-ahead"
    assert earned(ordering, teacher) > (fixed + best) / 2


def test_where_customers_remember_prices_it_is_a_path_of_prices():
    """Prices that start high and fall slowly: each is a deal beside those before it. Myopic ones spoil the memory."""
    table = {
        "name": "remembering",
        "version": 1,
        "market": {"horizon_periods": 20, "objective": "profit"},
        "products": {"names": ["unit"], "regular_price": 15.0, "unit_cost": 5.0},
        "arrivals": {"rate": 100.0},
        "demand": {"family": "linear", "quality": 1.0, "price_sensitivity": 0.04},
        "reference_price": {"memory": 0.7, "scale": "linear", "gain": 0.06, "loss": 0.06},
        "prices": {"floor": 11.0, "ceiling": 16.5},
    }
    spec = spec_from_table(table)
    teacher = best_teacher(spec)
    assert teacher.name == "time-only"
    assert earned(spec, teacher) > 1.002 * earned(spec, best_fixed(spec))


def test_without_a_policy_worth_imitating_there_is_no_teacher():
    assert best_teacher(load_scenario("price-and-order")) is None
    assert best_teacher(load_scenario("equal-markup")) is None


@pytest.mark.parametrize("settings", [{"opening": "base-price"}, {"variants": 2}])
def test_a_teacher_is_chosen_where_it_is_wanted(settings, ordering):
    assert teacher_of(plan_for(ordering, "ppo", 1000, 0, settings)) is None

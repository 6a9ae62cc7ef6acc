"""Orders that take time: against what the market pays, and one another."""

from dataclasses import replace

import numpy as np
import pytest
from repricer.envs import rollout
from repricer.optimum import solve
from repricer.scenarios import load_scenario

ONE = {"lead_time_periods": 1}


def test_the_market_pays_what_the_solver_promises():
    spec = load_scenario("lead-times")
    optimum = solve(spec)
    assert optimum.method == "value iteration"
    money = rollout(spec, optimum.policy, episodes=2000, seed=1).objective
    assert abs(money.mean() - optimum.value) < 4 * money.std() / np.sqrt(money.size)
    assert money.std() / np.sqrt(money.size) < 0.01 * optimum.value


def test_waiting_costs_money(make):
    """The same market with orders that arrive at once, after one period, two, or at any time."""
    value = [solve(make("price-and-order", stock={"lead_time_periods": lead})).value for lead in (0, 1, 2)]
    late = solve(make("price-and-order", stock={**ONE, "delay_probability": 0.3})).value
    assert value[0] > value[1] > value[2]
    assert value[1] > late
    almost_never = solve(make("price-and-order", stock={**ONE, "delay_probability": 1e-9})).value
    assert almost_never == pytest.approx(value[1], rel=1e-6)


def test_the_last_period_orders_nothing(make):
    spec = make("price-and-order", stock=ONE, market={"horizon_periods": 3, "ending": "terminated"})
    (tables,) = solve(spec).policy.products
    assert tables.order.shape[0] == 3
    assert not tables.order[-1].any()
    assert tables.order[0].any()


@pytest.mark.parametrize(
    "stock",
    [
        {"lead_time_periods": 4},
        {"lead_time_periods": 2, "delay_probability": 0.1},
        {**ONE, "spoilage": 0.1},
        {**ONE, "replenishment": "order-up-to"},
    ],
)
def test_what_is_not_covered(make, stock):
    assert solve(make("price-and-order", stock=stock)) is None


def test_two_suppliers_are_worth_more_than_either():
    spec = load_scenario("dual-sourcing")
    optimum = solve(spec)
    money = rollout(spec, optimum.policy, episodes=4000, seed=1).objective
    # A simulated episode misses what comes after it.
    whole = money.mean() / (1 - spec.market.discount_factor**spec.market.horizon_periods)
    assert abs(whole - optimum.value) < 4 * money.std() / np.sqrt(money.size) + 0.001 * optimum.value
    regular = replace(spec, express=None)
    dearer = spec.products.unit_cost + spec.express.extra_cost
    express = regular.with_changes(stock={"lead_time_periods": 0}, products={"unit_cost": dearer})
    assert 0.94 < solve(regular).value / optimum.value < 0.96
    assert 0.94 < solve(express).value / optimum.value < 0.96
    dear = spec.with_changes(express={"extra_cost": 20.0})
    assert solve(dear).value == pytest.approx(solve(regular).value, rel=1e-9)


def test_express_orders_that_take_time_are_not_covered():
    assert solve(load_scenario("dual-sourcing").with_changes(express={"lead_time_periods": 1})) is None


def test_a_fixed_cost_that_only_large_orders_pay_for_does_not_end_the_search(make):
    """No range of 16 or of 32 units earns the cost of an order; the stock at the start sells nothing at its price."""
    spec = make(
        None,
        market={"horizon_periods": 2, "objective": "profit"},
        arrivals={"rate": [0.0, 250.0]},
        stock={
            "initial_units": 0,
            "replenishment": "action",
            "max_order_units": 100,
            "lead_time_periods": 1,
            "order_cost": 70.0,
        },
        prices={"price_ladder": [1.0, 2.0]},
    )
    # At a price of 1, mean demand is 250 / e = 92: hardly any of 80 units is left.
    assert solve(spec).value > 5.0

import numpy as np
import pytest
from repricer.optimum import dynamic_program, exact_value, solve, upper_bound
from repricer.pricing import FixedPrice


def test_reference_value_and_the_policy_that_earns_it(make):
    spec = make("remembered")
    optimum = solve(spec)
    assert optimum.method == "Riccati recursion"
    assert optimum.value == pytest.approx(8083.385, abs=5e-4)
    assert exact_value(spec, optimum.policy) == pytest.approx(optimum.value, rel=1e-9)


def test_the_steady_price_is_where_price_and_reference_meet(make):
    policy = solve(make("remembered")).policy
    gap = policy.table[0] - policy.reference
    steady = np.interp(0, -gap, policy.reference)
    assert steady == pytest.approx(13.9933, abs=5e-5)


def test_the_myopic_price(make, rule):
    """Maximises (p - 5)(100 - 10 p + 6 r)."""
    spec = make("remembered")
    myopic = rule(lambda view: (150 + 6 * view.reference_price) / 20)
    assert exact_value(spec, myopic) / solve(spec).value == pytest.approx(0.886, abs=5e-4)


def test_interpolation_agrees_with_the_quadratic(make):
    for market in ({}, {"ending": "terminated", "horizon_periods": 20, "discount_factor": 1.0}):
        spec = make("remembered", market=market)
        exact, searched = solve(spec), dynamic_program.solve(spec)
        assert exact.method == "Riccati recursion"
        assert exact_value(spec, exact.policy) == pytest.approx(exact.value, rel=1e-9)
        assert searched.value == pytest.approx(exact.value, rel=1e-5)
        assert exact_value(spec, searched.policy) == pytest.approx(exact.value, rel=1e-5)


def test_selling_nothing_for_a_while_pays_where_prices_may_be_high(make):
    """Demand cannot fall below zero, so a high price costs one period's sales and lifts what customers remember."""
    spec = make("remembered", prices={"ceiling": 25})
    optimum = solve(spec)
    assert optimum.method == "value iteration, interpolated"
    assert optimum.value > 1.03 * 8083.385
    assert exact_value(spec, optimum.policy) == pytest.approx(optimum.value, rel=1e-5)


@pytest.mark.parametrize(
    "effect", [{"loss": 0.05}, {"gain": 0.04}, {"scale": "log", "gain": 0.3, "loss": 0.5}, {"memory": 0.0}]
)
def test_gains_and_losses_of_every_kind(make, effect):
    spec = make("remembered", reference_price=effect, prices={"ceiling": 18})
    optimum = solve(spec)
    assert exact_value(spec, optimum.policy) == pytest.approx(optimum.value, rel=2e-5)
    others = [exact_value(spec, FixedPrice(p)) for p in (12.0, 13.0, 14.0, 15.0, 16.0)]
    assert max(others) < optimum.value * (1 + 1e-5)


@pytest.mark.parametrize("family", ["linear", "mnl"])
@pytest.mark.parametrize("scale", ["log", "linear"])
def test_customers_who_stock_up_are_solved_and_the_bound_holds(make, family, scale):
    """Demand is no longer linear, so the quadratic solution does not hold; the other one counts the units."""
    units = 0.6 if scale == "log" else 0.05
    effect = {"scale": scale, "gain": 0.01, "loss": 0.01}
    demand = {"family": family} | ({"quality": 2.0, "price_sensitivity": 0.2} if family == "mnl" else {})
    plain = make("remembered", reference_price=effect, demand=demand)
    spec = plain.with_changes(reference_price={"units_gain": units, "units_loss": units / 2})
    optimum = solve(spec)
    assert optimum.method == "value iteration, interpolated"
    assert exact_value(spec, optimum.policy) == pytest.approx(optimum.value, rel=1e-4)
    assert optimum.value > 1.001 * exact_value(spec, solve(plain).policy)
    assert optimum.value <= upper_bound(spec).value <= 2 * optimum.value


def test_where_losses_weigh_most_the_best_price_stays_at_the_reference(make):
    """Popescu and Wu (2007), section 4: every price of a range is a steady state."""
    regular = 13.9871
    spec = make("remembered", products={"regular_price": regular}, reference_price={"gain": 0.0, "loss": 0.3})
    optimum, stays = solve(spec), exact_value(spec, FixedPrice(regular))
    assert optimum.value == pytest.approx(stays, rel=1e-6)
    assert exact_value(spec, optimum.policy) == pytest.approx(stays, rel=1e-6)


def test_a_season_by_hand(make):
    """One period remembers nothing: the myopic price is the best."""
    spec = make("remembered", market={"horizon_periods": 1, "ending": "terminated"})
    optimum = solve(spec)
    assert optimum.value == pytest.approx((12 - 5) * (100 - 120 + 90))
    assert np.interp(15, optimum.policy.reference, optimum.policy.table[0]) == pytest.approx(12)


def test_a_calendar(make):
    spec = make(
        "remembered",
        market={"horizon_periods": 4, "ending": "terminated"},
        arrivals={"rate": [200.0, 200, 300, 100]},
        demand={"season": [0.0, 0.02, 0.0, 0.0]},
    )
    optimum = solve(spec)
    assert optimum.method == "Riccati recursion"
    assert exact_value(spec, optimum.policy) == pytest.approx(optimum.value, rel=1e-9)
    assert dynamic_program.solve(spec).value == pytest.approx(optimum.value, rel=1e-5)


def test_the_ladder_is_kept(make):
    spec = make("remembered", prices={"price_ladder": {"start": 5, "stop": 20, "step": 0.5}})
    optimum = solve(spec)
    assert set(np.unique(optimum.policy.products[0].price)) <= set(spec.prices.price_ladder.steps)
    assert exact_value(spec, optimum.policy) == pytest.approx(optimum.value, rel=1e-5)
    assert 0.99 * 8083.385 < optimum.value < 8083.385

import numpy as np
import pytest
from repricer.envs import Market
from repricer.optimum import exact_value, solve, upper_bound
from repricer.pricing import FixedPrice


def test_reference_value_and_the_policy_that_earns_it(make):
    spec = make("remembered")
    optimum = solve(spec)
    assert optimum.method == "value iteration, interpolated"
    assert optimum.value == pytest.approx(8083.385, abs=5e-4)
    assert exact_value(spec, optimum.policy) == pytest.approx(optimum.value, rel=1e-9)


def test_the_steady_price_is_where_price_and_reference_meet(make):
    policy = solve(make("remembered")).policy
    tables = policy.products[0]
    gap = tables.price[0, 0, :, 0, 0] - tables.links.nodes
    steady = np.interp(0, -gap, tables.links.nodes)
    assert steady == pytest.approx(13.9933, abs=5e-5)


def test_the_myopic_price(make, rule):
    """Maximises (p - 5)(100 - 10 p + 6 r)."""
    spec = make("remembered")
    myopic = rule(lambda view: (150 + 6 * view.reference_price) / 20)
    assert exact_value(spec, myopic) / solve(spec).value == pytest.approx(0.886, abs=5e-4)


def riccati(spec):
    """Value and price at the initial reference price, of demand linear in both prices that no bound cuts.

    With a later value of constant + slope * r + curve * r**2, the money of a price p at a reference price r is
    square * p**2 + (flat + cross * r) * p and terms without p: Fibich, Gavious and Lowengart (2003).
    """
    effect, demand, cost = spec.reference_price, spec.demand, spec.products.unit_cost[0]
    gain, memory, fresh = effect.gain[0], effect.memory, 1 - effect.memory
    endless = spec.market.ending == "truncated"
    periods = [0] * 1000 if endless else range(spec.market.horizon_periods)
    constant = slope = curve = intercept = tilt = 0.0
    for number, t in enumerate(reversed(periods)):
        discount = spec.market.discount_factor if number else 0.0
        constant, slope, curve = discount * constant, discount * slope, discount * curve
        customers, quality = spec.arrivals.rate[t, 0], demand.quality[0, 0] + demand.season[t, 0]
        steep = gain + demand.price_sensitivity[0, 0]
        square = curve * fresh**2 - customers * steep
        flat = customers * (quality + cost * steep) + slope * fresh
        cross = customers * gain + 2 * curve * memory * fresh
        constant = constant - customers * cost * quality - flat**2 / (4 * square)
        slope = slope * memory - customers * cost * gain - flat * cross / (2 * square)
        curve = curve * memory**2 - cross**2 / (4 * square)
        intercept, tilt = -flat / (2 * square), -cross / (2 * square)
    reference = spec.initial_reference[0]
    return constant + slope * reference + curve * reference**2, intercept + tilt * reference


@pytest.mark.parametrize("market", [{}, {"ending": "terminated", "horizon_periods": 20, "discount_factor": 1.0}])
def test_interpolation_agrees_with_the_quadratic(make, market):
    spec = make("remembered", market=market)
    optimum, (value, price) = solve(spec), riccati(spec)
    assert optimum.value == pytest.approx(value, rel=1e-7)
    assert exact_value(spec, optimum.policy) == pytest.approx(value, rel=1e-7)
    assert optimum.policy.act(Market(spec, num_markets=1).view).price[0, 0] == pytest.approx(price, abs=1e-4)


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
@pytest.mark.parametrize("scale", ["log", "saturating", pytest.param("linear", marks=pytest.mark.long)])
def test_customers_who_stock_up_are_solved_and_the_bound_holds(make, family, scale):
    """Demand is no longer linear, so the quadratic solution does not hold; the other one counts the units."""
    units = 0.05 if scale == "linear" else 0.6
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
    assert optimum.policy.act(Market(spec, num_markets=1).view).price[0, 0] == pytest.approx(12)


def test_a_calendar(make):
    spec = make(
        "remembered",
        market={"horizon_periods": 4, "ending": "terminated"},
        arrivals={"rate": [200.0, 200, 300, 100]},
        demand={"season": [0.0, 0.02, 0.0, 0.0]},
    )
    optimum = solve(spec)
    assert exact_value(spec, optimum.policy) == pytest.approx(optimum.value, rel=1e-9)
    assert optimum.value == pytest.approx(riccati(spec)[0], rel=1e-9)


def test_the_ladder_is_kept(make):
    spec = make("remembered", prices={"price_ladder": {"start": 5, "stop": 20, "step": 0.5}})
    optimum = solve(spec)
    assert set(np.unique(optimum.policy.products[0].price)) <= set(spec.prices.price_ladder.steps)
    assert exact_value(spec, optimum.policy) == pytest.approx(optimum.value, rel=1e-5)
    assert 0.99 * 8083.385 < optimum.value < 8083.385

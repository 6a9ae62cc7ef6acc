import numpy as np
import pytest
from repricer.optimum import exact_value, solve
from repricer.pricing import FixedPrice, competitor


@pytest.fixture(scope="module")
def undercutter(make):
    return make("undercutter")


def test_reference_value_and_the_policy_that_earns_it(undercutter):
    optimum = solve(undercutter)
    assert optimum.value == pytest.approx(2262.006, abs=5e-4)
    assert optimum.method == "value iteration"
    assert exact_value(undercutter, optimum.policy) == pytest.approx(optimum.value, rel=1e-7)


def test_the_optimum_is_two_bound(undercutter):
    """At most 35: back to 66; above: undercut by 1. Above 65, where play from 20 never comes, it undercuts to 64."""
    policy = solve(undercutter).policy
    (tables,) = policy.products
    assert tables.links.rival.tolist() == list(range(1, 100))
    answers = dict(zip(tables.links.rival, tables.price[0, 0, :, 0, 0], strict=True))
    assert all(answers[b] == 66 for b in range(1, 36))
    assert all(answers[b] == b - 1 for b in range(36, 66))
    assert all(answers[b] == 64 for b in range(66, 100))


@pytest.mark.parametrize(
    ("rule", "share"), [("two-bound:19:30:1", 0.667), ("undercut:1", 0.077), ("two-bound:35:66:1", 1.0)]
)
def test_shares_of_other_rules(undercutter, rule, share):
    value = exact_value(undercutter, competitor(rule))
    assert value / solve(undercutter).value == pytest.approx(share, abs=5e-4)


def test_the_best_fixed_price_is_the_lowest(undercutter):
    """Any other is undercut for good after the first period."""
    assert exact_value(undercutter, FixedPrice(1.0)) / solve(undercutter).value == pytest.approx(0.044, abs=5e-4)
    assert exact_value(undercutter, FixedPrice(19.0)) == pytest.approx(19 * 0.81)


def test_one_period_by_hand(make):
    """The rival stands at 20 in the first half and answers with the price less one in the second."""
    spec = make("undercutter", market={"ending": "terminated", "horizon_periods": 1}, competitors={"floor": 30})
    # The rival opens at its floor, 30: 29 wins both halves, 30 ties twice, 31 and more lose.
    assert exact_value(spec, FixedPrice(29.0)) == pytest.approx(2 * 29 * 0.71)
    assert exact_value(spec, FixedPrice(30.0)) == pytest.approx(30 * 0.70)
    assert solve(spec).value == pytest.approx(2 * 29 * 0.71)
    assert solve(spec).method == "backward induction"


@pytest.mark.parametrize("rule", ["undercut:5%", "match", "two-bound:20:60:3", "edgeworth:7", "fixed"])
def test_other_rivals_costs_and_rates(make, rule):
    spec = make(
        "undercutter",
        market={"objective": "profit", "discount_factor": 0.9},
        products={"unit_cost": 10.0},
        arrivals={"rate": 0.7},
        competitors={"rule": rule, "unit_cost": 15.0, "regular_price": 60.0},
        prices={"price_ladder": {"start": 5, "stop": 90, "step": 5}},
    )
    optimum = solve(spec)
    assert exact_value(spec, optimum.policy) == pytest.approx(optimum.value, rel=1e-7)
    generator = np.random.default_rng(1)
    steps = spec.prices.price_ladder.steps
    others = [exact_value(spec, FixedPrice(float(p))) for p in generator.choice(steps, 5, replace=False)]
    assert max(others) <= optimum.value * (1 + 1e-9)


@pytest.mark.parametrize("rule", ["undercut:0.1", "match"])
def test_equal_prices_tie_in_cents_too(make, rule):
    spec = make(
        "undercutter",
        market={"discount_factor": 0.9},
        demand={"price_sensitivity": 0.1},
        competitors={"rule": rule, "regular_price": 2.3, "price_sensitivity": 0.1, "floor": 0.1, "ceiling": 9.9},
        prices={"price_ladder": {"start": 0.1, "stop": 9.9, "step": 0.1}},
    )
    optimum = solve(spec)
    assert exact_value(spec, optimum.policy) == pytest.approx(optimum.value, rel=1e-7)
    once = make(
        "undercutter",
        market={"ending": "terminated", "horizon_periods": 1},
        demand={"price_sensitivity": 0.1},
        competitors={"rule": "match", "regular_price": 2.3, "price_sensitivity": 0.1},
        prices={"price_ladder": {"start": 0.1, "stop": 9.9, "step": 0.1}},
    )
    assert exact_value(once, FixedPrice(2.3)) == pytest.approx(2.3 * 0.77, rel=1e-6)


def test_a_season_counts_its_periods(make):
    season = make("undercutter", market={"ending": "terminated", "horizon_periods": 40})
    optimum = solve(season)
    assert optimum.policy.products[0].price.shape[0] == 40
    assert exact_value(season, optimum.policy) == pytest.approx(optimum.value, rel=1e-9)
    assert optimum.value > exact_value(season, competitor("two-bound:35:66:1"))


def test_rivals_with_a_memory_have_no_solver(make):
    spec = make("undercutter", competitors={"rule": "learning:1"})
    assert solve(spec) is None
    assert exact_value(spec, FixedPrice(19.0)) is None

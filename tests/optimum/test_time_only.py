import itertools

import numpy as np
import pytest
from repricer.optimum import best_path, exact_value, solve
from repricer.pricing import PricePath
from repricer.scenarios import load_scenario


@pytest.mark.parametrize(("name", "share"), [("low-before-high", 0.956), ("regimes", 0.844)])
def test_reference_values(name, share):
    """I5's to the digit; I3's 95.6 is the best pair of prices, one before and one after the change, and is bettered."""
    spec = load_scenario(name)
    value = exact_value(spec, best_path(spec)) / solve(spec).value
    assert share - 5e-4 <= value < share + 3e-3
    if name == "regimes":
        assert value == pytest.approx(share, abs=5e-4)
        return
    pair = PricePath(np.repeat([14.0, 31.0], [20, 10])[:, None])
    assert exact_value(spec, pair) / solve(spec).value == pytest.approx(share, abs=5e-4)
    assert value > 0.957


def test_all_paths_of_a_short_season_tried(make):
    spec = make(
        None,
        market={"horizon_periods": 4, "discount_factor": 0.9, "objective": "profit"},
        products={"unit_cost": 0.2},
        arrivals={"rate": [3.0, 1.0, 4.0, 2.0]},
        stock={"initial_units": 3, "salvage_value": 0.1},
        prices={"price_ladder": [0.5, 1.0, 1.5, 2.5]},
    )
    steps = spec.prices.price_ladder.steps
    tried = max(exact_value(spec, PricePath(np.array(p)[:, None])) for p in itertools.product(steps, repeat=4))
    assert exact_value(spec, best_path(spec)) == pytest.approx(tried, rel=1e-9)


def test_regimes_that_nobody_sees_are_averaged_over(make):
    spec = make(
        "regimes",
        market={"horizon_periods": 3},
        stock={"initial_units": 3},
        prices={"price_ladder": [4, 8, 12, 16, 20]},
    )
    steps = spec.prices.price_ladder.steps
    tried = max(exact_value(spec, PricePath(np.array(p)[:, None])) for p in itertools.product(steps, repeat=3))
    assert exact_value(spec, best_path(spec)) == pytest.approx(tried, rel=1e-9)


def test_a_season_that_loses_money_at_every_price_comes_to_an_end(make):
    """The search went on for ever where its value was below zero."""
    dear = {"initial_units": 3, "salvage_value": -4}
    spec = make(None, market={"horizon_periods": 2}, stock=dear, prices={"price_ladder": [0.5, 1.0, 1.5]})
    tried = max(exact_value(spec, PricePath(np.array(p)[:, None])) for p in itertools.product([0.5, 1, 1.5], repeat=2))
    assert tried < 0
    assert exact_value(spec, best_path(spec)) == pytest.approx(tried, rel=1e-9)


@pytest.mark.parametrize("name", ["reference-price", "equal-markup"])
def test_where_nothing_hangs_on_luck_the_optimum_is_a_path(name):
    spec = load_scenario(name)
    value = exact_value(spec, best_path(spec))
    assert value == pytest.approx(solve(spec).value, rel=1e-5)


def test_others_have_no_exact_path(shop):
    assert best_path(shop) is None
    assert best_path(load_scenario("three-stocks")) is None

"""Choice models of other packages over several products of a category."""

import numpy as np
import pytest
from repricer.envs import Market, expected_units, rollout
from repricer.evaluation import evaluate
from repricer.optimum import exact_value, solve
from repricer.pricing import FixedPrice
from repricer.scenarios import checks, load_scenario, spec_from_table


def logit(utility, category):
    """The built-in multinomial logit, from outside."""
    weight, member = np.exp(utility), np.eye(category.max() + 1)[category]
    return weight / (1 + weight @ member)[..., category]


def greedy(utility, category):
    return logit(utility, category) + 0.5


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setattr(checks, "_choice_models", lambda: {"outside": logit, "greedy": greedy})


def shop(family, **sections):
    table = {
        "name": "outside",
        "version": 1,
        "market": {"horizon_periods": 6},
        "products": {"names": ["a", "b", "c"], "category": ["x", "x", "y"], "regular_price": [3.0, 4.0, 5.0]},
        "arrivals": {"rate": 30.0, "segments": ["s", "t"], "segment_share": 0.5},
        "demand": {"family": family, "quality": [[2.0, 2.5, 1.0], [1.0, 2.0, 2.0]], "price_sensitivity": 0.6},
        "stock": {"initial_units": [40, 60, 30]},
        "promotion": {"lift": 0.3},
        "prices": {"price_ladder": [2.0, 3.0, 4.0, 5.0, 6.0]},
    }
    return spec_from_table({name: content for name, content in (table | sections).items() if content is not None})


def test_the_logit_from_outside_is_the_logit():
    own, outside = shop("mnl"), shop("outside")
    prices = np.array([[3.0, 4.0, 5.0], [2.0, 5.0, 4.0]])
    for there in (np.ones(3), np.array([1.0, 0.0, 1.0]), np.zeros(3)):
        for lost in (False, True):
            units = [expected_units(spec, 0, prices, in_stock=there, lost=lost) for spec in (own, outside)]
            np.testing.assert_allclose(units[1], units[0], rtol=1e-9)
    policy = FixedPrice(np.array([3.0, 4.0, 5.0], np.float32))
    sold = [rollout(spec, policy, episodes=200, seed=1).objective for spec in (own, outside)]
    np.testing.assert_allclose(sold[1].mean(), sold[0].mean(), rtol=2e-3)


def test_sold_out_products_leave_the_choice_and_lose_customers():
    own, outside = (Market(shop(family), num_markets=5, seed=3) for family in ("mnl", "outside"))
    for _ in range(6):
        first, second = (market.step(FixedPrice(2.0).act(market.view)) for market in (own, outside))
        np.testing.assert_array_equal(first.units, second.units)
        np.testing.assert_allclose(first.lost, second.lost, atol=1)
    assert (first.lost.sum(axis=0) > 0).any()


def test_it_has_an_optimum_with_stock_on_a_ladder():
    sections = {
        "products": {"names": ["a", "b", "c"], "regular_price": [3.0, 4.0, 5.0]},
        "arrivals": {"rate": 0.9, "process": "single", "segments": ["s", "t"], "segment_share": 0.5},
        "stock": {"initial_units": [1, 2, 1]},
    }
    own, outside = (shop(family, **sections, promotion=None) for family in ("mnl", "outside"))
    assert solve(outside).value == pytest.approx(solve(own).value, rel=1e-9)
    assert exact_value(outside, solve(outside).policy) == pytest.approx(solve(own).value, rel=1e-9)
    assert evaluate(outside, ["optimum"], episodes=20).optimum is not None


def test_what_are_no_probabilities_is_an_error():
    with pytest.raises(ValueError, match="greedy must return probabilities of shape"):
        Market(shop("greedy"), num_markets=2)


def test_other_families_still_take_one_product():
    with pytest.raises(ValueError, match="'exponential' allows one product per category"):
        shop("exponential")
    assert load_scenario("three-stocks").demand.family == "mnl"

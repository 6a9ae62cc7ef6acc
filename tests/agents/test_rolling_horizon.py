"""In a market that goes on, the end of the episode leaves no trace in the prices; a season that ends does."""

from dataclasses import replace

import numpy as np
import pytest
from repricer import load_scenario
from repricer.agents import train
from repricer.envs import Market, rollout
from repricer.evaluation import named_policy
from repricer.pricing import product_features


def twelve_weeks(ending):
    """Stationary demand with a reference price, from its steady state on: at the end it pays to give it away."""
    paths = {"season": 0.0, "quality_path": 0.0, "sensitivity_path": 1.0}
    return load_scenario("reference-price").with_changes(
        market={"horizon_periods": 12, "ending": ending},
        products={"regular_price": 13.9933},
        arrivals={"rate": 100.0},
        demand=paths,
    )


def drift(spec, policy):
    """Relative change of the mean price from the first week to the last."""
    path = rollout(spec, policy, episodes=50, seed=5).price_path[:, 0]
    return abs(path[-1] / path[0] - 1)


@pytest.mark.parametrize("discount", [0.95, pytest.param(1.0, marks=pytest.mark.long)])
def test_learned_prices_of_the_first_and_the_last_week_agree(discount):
    market = {"discount_factor": discount}
    moved = {
        ending: drift(spec, train(spec, steps=12_000, seed=1).policy)
        for ending in ("terminated", "truncated")
        if (spec := twelve_weeks(ending).with_changes(market=market))
    }
    assert moved["truncated"] < 0.01
    assert moved["terminated"] > 0.1


def test_the_best_prices_do():
    moved = {
        ending: drift(twelve_weeks(ending), named_policy("optimum", twelve_weeks(ending)))
        for ending in ("terminated", "truncated")
    }
    assert moved["truncated"] < 1e-4
    assert moved["terminated"] > 0.1


def test_no_feature_tells_how_many_weeks_are_left():
    found = {}
    for ending in ("terminated", "truncated"):
        view = Market(twelve_weeks(ending), num_markets=2).view
        first, last = (product_features(replace(view, period=np.array([t, t]))) for t in (1, 11))
        found[ending] = np.array_equal(first, last)
    assert found == {"terminated": False, "truncated": True}

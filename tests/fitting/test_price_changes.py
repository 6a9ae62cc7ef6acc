"""Predicted against realised answers to price changes, on drawn categories."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from repricer.fitting.demand.candidate_models import REDUCED
from repricer.fitting.demand.category_rows import CONTROL, unexplained_prices
from repricer.fitting.price_changes import price_changes
from repricer.tests.fitting.days import WEEKDAYS
from repricer.tests.fitting.demand.markets import grids_of, known_demand, prices

REGULAR, ALPHA = np.full(40, 2.0), 0.08
PRODUCTS = pd.DataFrame({"product": [f"p{i}" for i in range(40)], "category": ["x"] * 20 + ["y"] * 20})


def shop(elasticity: float, level: float, seed: int = 0):
    """Sales at prices that move, of customers with this elasticity, and the demand model that believes in -2.5."""
    generator = np.random.default_rng(seed)
    assumed = known_demand(PRODUCTS, np.full(40, level), REGULAR, np.full(40, -2.5), [0.6, 0.4], draws=200)
    true = known_demand(PRODUCTS, np.full(40, level), REGULAR, np.full(40, elasticity), [0.6, 0.4])
    price = prices(generator, 30, 40) * REGULAR
    mean = level * np.exp(0.1 * generator.standard_normal((30, 1))) * true.lift(price)
    assumed = replace(assumed, posteriors=tuple(replace(p, alpha=np.full(20, ALPHA)) for p in assumed.posteriors))
    units = generator.poisson(mean * generator.gamma(1 / ALPHA, ALPHA, mean.shape)).astype(float)
    return grids_of(units[None], price[None], REGULAR), assumed


@pytest.mark.parametrize("level", [20.0, 0.8])
def test_the_right_model_has_a_slope_of_one_and_covers_with_many_weeks_without_a_sale(level):
    grids, demand = shop(-2.5, level)
    found = price_changes(grids, demand, weeks=24)["pooled"]
    low, high = found["slope_interval90"]
    assert low < 1 < high
    assert high - low < (0.2 if level > 1 else 0.7)
    assert 0.84 < found["coverage90"] < 0.99
    assert found["changes"] > 200


@pytest.mark.parametrize("first", [3, 4])
def test_by_day_reductions_of_weekends_are_told_from_the_weekend(first):
    _, demand = shop(-2.5, 20.0)
    random = np.random.default_rng(1)
    weekday, depth = np.arange(280) % 7, np.where(random.random((40, 40)) < 0.25, 0.25, 0.0).repeat(7, axis=0)
    price = REGULAR * np.where(((weekday >= first) & (weekday < first + 3))[:, None], 1 - depth, 1.0)
    # The weekends of one category are busier than the other's.
    busy = WEEKDAYS[weekday][:, None] ** np.repeat([2.0, 1.0], 20)
    units = random.poisson(20.0 * busy * demand.lift(price) * random.gamma(1 / ALPHA, ALPHA, price.shape))
    by_day = grids_of(units[None].astype(float), price[None], REGULAR)
    by_day = replace(by_day, weeks=pd.date_range("2016-01-04", periods=280))
    found = price_changes(by_day, demand, weeks=84)
    assert found["pooled"]["slope"] == pytest.approx(1.0, abs=0.1)
    assert found["pooled"]["coverage90"] > 0.84
    # Nor is the weekend in the answers that are shown.
    apart = {
        (category, cheaper): np.mean(
            [
                row["realised"] - row["predicted"]
                for row in found["changes"]
                if row["category"] == category and (row["price_change"] < 0) == cheaper
            ]
        )
        for category in "xy"
        for cheaper in (True, False)
    }
    np.testing.assert_allclose(list(apart.values()), 0.0, atol=0.15)


def test_a_model_that_exaggerates_has_a_slope_below_one():
    grids, demand = shop(-1.25, 20.0)
    found = price_changes(grids, demand, weeks=24)
    assert found["pooled"]["slope"] == pytest.approx(0.5, abs=0.1)
    assert found["pooled"]["slope_interval90"][1] < 0.7
    for row in found["categories"]:
        assert row["slope"] == pytest.approx(0.5, abs=0.2)


def test_where_prices_follow_demand_the_shops_own_come_with_more_than_their_price():
    grids, demand = shop(-2.5, 20.0)
    knows = replace(demand, suspects=(REDUCED,), suspected=np.full((demand.num_draws, 2, 1), -0.75))
    reduced = (grids.price < 0.98 * grids.regular).astype(float)
    mean = 20.0 * knows.lift(grids.price[0], suspects=reduced)
    slack = replace(grids, units=np.random.default_rng(1).poisson(mean)[None].astype(float))
    alone, both = (price_changes(slack, model, weeks=24)["pooled"]["slope"] for model in (demand, knows))
    assert alone < 0.8
    assert both == pytest.approx(1.0, abs=0.1)


def test_where_costs_explain_part_of_the_prices_the_rest_comes_with_demand():
    grids, alone = shop(-2.5, 20.0)
    cost = np.exp(0.1 * np.random.default_rng(2).standard_normal((30, 40)))
    grids = replace(grids, price=grids.price * cost, unit_cost=cost)
    knows = known_demand(
        PRODUCTS, np.full(40, 20.0), REGULAR, np.full(40, -2.5), [0.6, 0.4], effects={CONTROL: 1.5}, draws=200
    )
    mean = 20.0 * knows.lift(grids.price[0], control=unexplained_prices(grids, knows.category)[0])
    sold = replace(grids, units=np.random.default_rng(1).poisson(mean)[None].astype(float))
    blind, both = (price_changes(sold, model, weeks=24)["pooled"]["slope"] for model in (alone, knows))
    assert blind < 0.8
    assert both == pytest.approx(1.0, abs=0.1)


def test_where_customers_remember_prices_the_prediction_does_too():
    grids, forgets = shop(-2.5, 20.0)
    remembers = known_demand(
        PRODUCTS, np.full(40, 20.0), REGULAR, np.full(40, -2.5), [0.6, 0.4], deals=(2.0, 0.5, 0.5), draws=200
    )
    mean = 20.0 * remembers.lift(grids.price[0], reference=remembers.remembered.price(grids.price[0]))
    sold = replace(grids, units=np.random.default_rng(1).poisson(mean)[None].astype(float))
    alone, both = (price_changes(sold, model, weeks=24)["pooled"]["slope"] for model in (forgets, remembers))
    assert alone > 1.3
    assert both == pytest.approx(1.0, abs=0.1)


def test_changes_are_those_against_the_week_before_and_each_is_told():
    grids, demand = shop(-2.5, 20.0)
    price = np.tile(REGULAR, (30, 1))
    price[27:29, 3] = 1.5
    price[28, 5] = 1.9  # by 5% only
    found = price_changes(replace(grids, price=price[None]), demand, weeks=4)
    assert [(row["product"], row["week"]) for row in found["changes"]] == [
        ("p3", f"{grids.weeks[27]:%Y-%m-%d}"),
        ("p3", f"{grids.weeks[29]:%Y-%m-%d}"),
    ]
    assert [row["price_change"] for row in found["changes"]] == pytest.approx([-0.25, 1 / 3])
    assert found["changes"][0]["predicted"] == pytest.approx(float(np.log(demand.lift(price)[27, 3])))
    assert found["changes"][0]["units"] == grids.units[0, 26:28, 3].tolist()
    assert found["pooled"]["slope"] is None  # one product is no sample
    assert found["pooled"]["changes"] == 2


def test_without_a_price_change_there_is_nothing_to_say():
    grids, demand = shop(-2.5, 20.0)
    found = price_changes(replace(grids, price=np.tile(REGULAR, (1, 30, 1))), demand, weeks=12)
    assert found["pooled"]["slope"] is None
    assert found["changes"] == []

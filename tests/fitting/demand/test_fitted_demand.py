"""From sales of all categories to the choice model that the market takes."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from repricer.fitting.demand import CONTROL, CategoryModel, Priors, Problem
from repricer.tests.fitting.demand.markets import drawn_category, grids_of, known_demand, prices

PRODUCTS = pd.DataFrame({"product": list("abcdef"), "category": ["x"] * 6})
REGULAR = np.full(6, 2.0)


def test_the_mean_market_sells_the_forecasts_and_draws_keep_their_distance():
    products = pd.DataFrame({"product": list("abc"), "category": ["x", "x", "y"]})
    demand = known_demand(products, [20.0, 10.0, 8.0], [2.0, 3.0, 5.0], [-2.0, -3.0, -2.5], [0.4, 0.6])
    now = demand.at_regular(np.array([30.0, 10.0, 8.0]), pd.date_range("2017-03-06", periods=2, freq="7D"))
    share = np.exp(now.utility[0, 0]) * now.outside[0][[0, 0, 1]]
    np.testing.assert_allclose(share, [0.6 * 0.75, 0.6 * 0.25, 0.4], rtol=1e-9)
    drawn = demand.at_regular(np.array([30.0, 10.0, 8.0]), demand.weeks, draws=True)
    np.testing.assert_allclose(drawn.utility, np.repeat(now.utility, 3, axis=0))
    np.testing.assert_allclose(drawn.arrivals, 1.0)


def test_the_lift_of_a_price_is_that_of_the_model():
    data, theta = drawn_category(0)
    demand = known_demand(
        PRODUCTS, np.exp(theta[:6]), REGULAR, -np.exp(theta[6] + theta[7:13]), [1 / (1 + np.exp(-theta[13]))]
    )
    model = CategoryModel(data, Priors())
    at_price = model.log_mean(torch.as_tensor(theta)).exp().numpy()[0]
    np.testing.assert_allclose(demand.lift(data.price[0] * REGULAR), at_price / np.exp(theta[:6]), rtol=1e-6)
    drawn = demand.lift(data.price[0] * REGULAR, draws=True)
    np.testing.assert_allclose(drawn, np.tile(demand.lift(data.price[0] * REGULAR), (3, 1, 1)), rtol=1e-12)


def test_priors_of_a_category_hold_there_alone():
    data, _ = drawn_category(0)
    grids, products = grids_of(data.units, data.price * REGULAR, REGULAR), PRODUCTS.assign(category=list("xxxyyy"))
    sure = {
        "elasticity": 5.0,
        "category_spread": 0.001,
        "product_spread": 0.001,
        "lasting": 5.0,
        "lasting_spread": 0.001,
    }

    plain, other = (
        Problem(grids, products, REGULAR, Priors(category_priors=given)).solve(draws=10) for given in ({}, {"y": sure})
    )
    # How likely models are, all categories decide together; of one model, no other category changes anything.
    np.testing.assert_array_equal(other.posteriors[0].mode, plain.posteriors[0].mode)
    assert (plain.elasticity[:, 3:] > -4).all()
    assert (other.elasticity[:, 3:] < -4.9).all()


def test_prices_that_follow_demand_are_told_from_those_that_do_not():
    honest = []
    for seed in range(5):
        data, theta = drawn_category(seed, weeks=104)
        found = Problem(grids_of(data.units, data.price * REGULAR, REGULAR), PRODUCTS, REGULAR).solve(draws=10)
        honest.append(found.chance("prices follow")[1])
    suspects = []
    for seed in range(4, 8):
        generator = np.random.default_rng(seed)
        shock = 0.3 * generator.standard_normal((104, 6))
        reduced = generator.random((104, 6)) < 1 / (1 + 4 * np.exp(5 * shock))
        price = np.where(reduced, 1 - generator.uniform(0.08, 0.35, (104, 6)), 1.0)
        units = np.exp(theta[:6] + shock - np.exp(theta[6] + theta[7:13]) * np.log(price))
        sold = generator.poisson(units).astype(float)[None]
        suspects.append(Problem(grids_of(sold, price[None] * REGULAR, REGULAR), PRODUCTS, REGULAR).solve())
    assert max(honest) < 0.5
    assert np.mean(honest) < 0.2
    assert np.mean([found.chance("prices follow")[1] for found in suspects]) > 0.8
    suspect = suspects[0]
    plain, at = suspect.posteriors[0].mode, suspect.posteriors[0].model.layout
    # The draws hold the doubt, the mode is that of prices taken at their word.
    assert -suspect.elasticity.mean() > np.exp(plain[at.category] + plain[at.product]).mean()


def test_prices_that_rise_together_with_demand_do_not_hide_the_customers_who_leave():
    """A shop that prices a whole category by its weeks: customers seem to stay at any price."""
    generator = np.random.default_rng(3)
    demand = known_demand(PRODUCTS, np.full(6, 30.0), REGULAR, np.full(6, -2.5), [0.6])
    shock = 0.25 * generator.standard_normal((104, 1))
    price = np.exp(0.2 * shock + 0.04 * generator.standard_normal((104, 6)))
    price = np.where(generator.random((104, 6)) < 0.15, 0.8 * price, price)
    units = generator.poisson(30.0 * np.exp(shock) * demand.lift(price * REGULAR)).astype(float)[None]
    found = Problem(grids_of(units, price[None] * REGULAR, REGULAR), PRODUCTS, REGULAR).solve()
    low, high = np.quantile(found.outside, [0.05, 0.95])
    assert found.chance("prices follow")[1] > 0.9
    assert low < 0.6 < high


def test_the_shape_of_demand_does_not_tell_regular_prices_that_follow_it_from_the_answer_to_them():
    """Only dearer and cheaper weeks are known, and no list price: how elastic customers are stays open."""
    generator = np.random.default_rng(6)
    demand = known_demand(PRODUCTS, np.full(6, 30.0), REGULAR, np.full(6, -3.0), [0.6])
    shock = 0.25 * generator.standard_normal((104, 6))
    price = np.exp(0.2 * shock + 0.03 * generator.standard_normal((104, 6)))
    price = np.where(shock < -0.25, generator.uniform(0.7, 0.9, (104, 6)) * price, price)
    units = generator.poisson(30.0 * np.exp(shock) * demand.lift(price * REGULAR)).astype(float)[None]
    found = Problem(grids_of(units, price[None] * REGULAR, price * REGULAR), PRODUCTS, REGULAR).solve()
    low, high = np.quantile(-found.elasticity.mean(axis=1), [0.05, 0.95])
    assert found.chance("prices follow")[1] > 0.5
    assert low < 3.0 < high


@pytest.mark.parametrize("curvature", [0.0, 1.0])
def test_sales_tell_whether_prices_or_their_logarithms_are_felt(curvature):
    """Of one category alone they tell little, of all together they do; elasticities at regular prices stay the same."""
    generator, count = np.random.default_rng(4), 30
    products = pd.DataFrame({"product": [str(i) for i in range(count)], "category": np.repeat(list("abcde"), 6)})
    regular, reduced = np.full(count, 2.0), generator.random((104, count)) < 0.2
    price = np.where(reduced, 1 - generator.uniform(0.08, 0.5, reduced.shape), 1.0)
    truth = known_demand(products, np.full(count, 200.0), regular, np.full(count, -2.5), [0.5] * 5)
    mean = 200.0 * replace(truth, curvature=curvature).lift(price * regular)
    sold = generator.poisson(mean * generator.gamma(20.0, 0.05, mean.shape)).astype(float)
    found = Problem(grids_of(sold[None], price[None] * regular, regular), products, regular).solve()
    assert found.curvature == pytest.approx(curvature, abs=0.05)
    assert -found.elasticity.mean() == pytest.approx(2.5, abs=0.15)
    deep = np.full((1, count), 2 * price.min())
    assert found.lift(deep).mean() == pytest.approx(replace(truth, curvature=curvature).lift(deep).mean(), rel=0.05)


def test_stores_with_prices_of_their_own_tell_the_elasticity():
    generator = np.random.default_rng(2)
    level, price = np.array([0.6, 0.4])[:, None, None], np.stack([prices(generator, 90, 6) for _ in range(2)])
    demand = known_demand(PRODUCTS, np.full(6, 30.0), REGULAR, np.full(6, -2.5), [0.5])
    units = generator.poisson(30.0 * level * np.stack([demand.lift(p * REGULAR) for p in price])).astype(float)
    found = Problem(grids_of(units, price * REGULAR, REGULAR), PRODUCTS, REGULAR).solve()
    assert -found.elasticity.mean() == pytest.approx(2.5, abs=0.25)
    assert found.outside.mean() == pytest.approx(0.5, abs=0.2)


@pytest.mark.parametrize("passed_on", [0.0, 0.8])
def test_costs_are_an_instrument_where_they_move_prices(passed_on):
    generator = np.random.default_rng(6)
    cost = np.exp(0.15 * generator.standard_normal((90, 6)).cumsum(axis=0) / 3)
    price = 2.0 * cost**passed_on * np.exp(0.05 * generator.standard_normal((90, 6)))
    units = generator.poisson(30.0 * (price / 2.0) ** -2.5).astype(float)
    found = Problem(grids_of(units[None], price[None], price, unit_cost=cost), PRODUCTS, REGULAR).solve()
    assert (CONTROL in found.effects) == (passed_on > 0)
    assert (found.first_stage_f > 10).all() == (passed_on > 0)


def test_what_costs_do_not_explain_of_prices_that_were_drawn_by_chance_is_used_too():
    generator = np.random.default_rng(11)
    cost = np.exp(0.1 * generator.standard_normal((104, 6)).cumsum(axis=0) / 3)
    price = 2.0 * cost**0.8 * prices(generator, 104, 6)
    demand = known_demand(PRODUCTS, np.full(6, 30.0), REGULAR, np.full(6, -2.5), [0.5])
    units = generator.poisson(30.0 * demand.lift(price)).astype(float)
    found = Problem(grids_of(units[None], price[None], price, unit_cost=cost), PRODUCTS, REGULAR).solve()
    assert CONTROL in found.effects
    assert found.chance("prices follow what costs")[1] < 0.5
    assert -found.elasticity.mean() == pytest.approx(2.5, abs=0.25)
    assert found.elasticity.mean(axis=1).std() < 0.25


def test_where_costs_are_an_instrument_what_the_shop_adds_to_them_is_no_curvature():
    """It raises prices in busy weeks, and reduces some whatever the week; customers feel prices."""
    generator = np.random.default_rng(7)
    cost = np.exp(0.15 * generator.standard_normal((104, 6)).cumsum(axis=0) / 3)
    shock = 0.3 * generator.standard_normal((104, 6))
    reduced = np.where(generator.random((104, 6)) < 0.2, generator.uniform(0.65, 0.9, (104, 6)), 1.0)
    price = 2.0 * cost**0.8 * np.exp(0.3 * shock) * reduced
    demand = known_demand(PRODUCTS, np.full(6, 60.0), REGULAR, np.full(6, -2.5), [0.6])
    units = generator.poisson(60.0 * np.exp(shock) * demand.lift(price)).astype(float)
    found = Problem(grids_of(units[None], price[None], price, unit_cost=cost), PRODUCTS, REGULAR).solve()
    assert CONTROL in found.effects
    assert found.curvature < 1e-6
    assert found.chance("prices follow what costs")[1] > 0.99
    assert -found.elasticity.mean() == pytest.approx(2.5, abs=0.6)

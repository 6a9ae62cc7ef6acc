"""What the sales say about prices: the placebo, and products that are not identified."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from repricer.fitting.demand import Priors, Problem
from repricer.fitting.demand.residuals import Residuals
from repricer.fitting.identification import identification_checks, identified
from repricer.tests.fitting.demand.markets import drawn_category, grids_of

PRODUCTS = pd.DataFrame({"product": list("abcdefghijkl"), "category": ["x"] * 6 + ["y"] * 6})
REGULAR = np.full(12, 2.0)


@pytest.fixture(scope="module")
def honest():
    (first, _), (second, _) = drawn_category(1, weeks=104), drawn_category(2, weeks=104)
    units, price = np.concatenate([first.units, second.units], -1), np.concatenate([first.price, second.price], -1)
    return units, price, Problem(grids_of(units, price * REGULAR, REGULAR), PRODUCTS, REGULAR).solve()


def test_the_placebo_is_zero_where_prices_are_moved_by_chance(honest):
    found = identification_checks(honest[2])["lead_price"]
    pooled = found["pooled"]
    assert pooled["p_value"] > 0.01
    assert pooled["products"] == 12
    assert pooled["se"] < 0.2
    assert [row["category"] for row in found["categories"]] == ["x", "y"]


def test_prices_that_answer_last_weeks_sales_fail_the_placebo(honest):
    units, price, _ = honest
    generator = np.random.default_rng(3)
    shock = 0.25 * generator.standard_normal(units.shape)
    follow = np.ones_like(price)
    # After a good week the price is reduced.
    follow[:, 1:] = np.where(shock[:, :-1] > 0.2, 0.8, 1.0)
    busy = generator.poisson(20 * np.exp(shock) * follow**-2.3).astype(float)
    demand = Problem(grids_of(busy, follow * REGULAR, REGULAR), PRODUCTS, REGULAR).solve()
    pooled = identification_checks(demand)["lead_price"]["pooled"]
    assert pooled["p_value"] < 0.001
    assert pooled["effect"] < 0


def test_products_are_identified_where_prices_moved_units(honest):
    found = identified(honest[2], Priors().unlike)
    assert found["identified"].all()
    assert found["reason"].isna().all()


def with_elasticity(honest, elasticity, units_a_week):
    """The demand where the units of the third product have this elasticity."""
    units, price, _ = honest
    faulty = units.copy()
    faulty[..., 2] = np.random.default_rng(5).poisson(units_a_week * price[..., 2] ** elasticity)
    return Problem(grids_of(faulty, price * REGULAR, REGULAR), PRODUCTS, REGULAR).solve()


@pytest.mark.parametrize(("elasticity", "units_a_week"), [(1.0, 20), (2.0, 50)])
def test_a_product_whose_units_do_not_fall_with_its_price_is_not_identified(honest, elasticity, units_a_week):
    demand = with_elasticity(honest, elasticity, units_a_week)
    found = identified(demand, Priors().unlike).set_index("product")
    assert found.index[~found["identified"]].tolist() == ["c"]
    assert "do not fall" in found.loc["c", "reason"]


@pytest.mark.parametrize("units_a_week", [20, 200])
def test_of_a_product_that_ignores_its_price_the_sales_say_enough_for_its_price_not_to_fall(honest, units_a_week):
    demand = with_elasticity(honest, 0.0, units_a_week)
    assert identified(demand, Priors().unlike)["identified"].all()
    assert demand.elasticity[:, 2].mean() > -1 > demand.elasticity.mean()


def test_no_product_keeps_its_price_by_chance():
    """The interval of one, alone, holds no answer to its price, though it has that of the others."""
    drawn, _ = drawn_category(27, weeks=40)
    grids = grids_of(drawn.units, drawn.price * REGULAR[:6], REGULAR[:6])
    demand = Problem(grids, PRODUCTS[:6], REGULAR[:6]).solve()
    assert Residuals(demand.posteriors[0]).unmoved(demand.elasticity.mean(axis=0)).sum() == 1
    assert identified(demand, Priors().unlike)["identified"].all()


@pytest.mark.parametrize("regular_and_deal", [pytest.param(1e-6, marks=pytest.mark.long), 0.8])
def test_products_whose_regular_prices_follow_demand_are_judged_by_the_model_that_knows_it(regular_and_deal):
    generator = np.random.default_rng(8)
    shock = 0.6 * generator.standard_normal((104, 12))
    listed, reduced = np.exp(0.3 * shock), np.where(generator.random((104, 12)) < 0.15, 0.7, 1.0)
    units = generator.poisson(60 * np.exp(shock) * (listed * reduced) ** -2.2).astype(float)[None]
    grids = grids_of(units, (listed * reduced)[None] * REGULAR, listed * REGULAR)
    demand = Problem(grids, PRODUCTS, REGULAR, Priors(regular_and_deal=regular_and_deal)).solve()
    assert sum(demand.chance(words)[1] for words in ("prices follow", "regular prices and deals")) > 0.9
    # Prices taken at their word look as if units did not fall with them.
    at_their_word = replace(demand, likeliest=demand.posteriors)
    assert (
        identified(at_their_word, Priors().unlike)["identified"].mean()
        < 0.2
        < 0.7
        < identified(demand, Priors().unlike)["identified"].mean()
    )


def test_little_is_known_of_a_rarely_sold_product_but_not_nothing(honest):
    units, price, _ = honest
    rare = units.copy()
    rare[..., 2] = np.random.default_rng(6).poisson(0.3 * price[..., 2] ** -2.0)
    demand = Problem(grids_of(rare, price * REGULAR, REGULAR), PRODUCTS, REGULAR).solve()
    assert identified(demand, Priors().unlike)["identified"].all()
    still = price.copy()
    still[..., 2] = 1.0
    demand = Problem(grids_of(rare, still * REGULAR, REGULAR), PRODUCTS, REGULAR).solve()
    found = identified(demand, Priors().unlike).set_index("product")
    assert found.index[~found["identified"]].tolist() == ["c"]
    assert "never moved" in found.loc["c", "reason"]


def test_a_shop_whose_prices_never_move_identifies_nothing():
    units = np.random.default_rng(0).poisson(20.0, (1, 60, 12)).astype(float)
    demand = Problem(grids_of(units, np.ones(units.shape) * REGULAR, REGULAR), PRODUCTS, REGULAR).solve()
    assert not identified(demand, Priors().unlike)["identified"].any()
    assert identification_checks(demand)["lead_price"]["pooled"]["effect"] is None

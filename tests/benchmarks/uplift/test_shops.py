"""The synthetic shops are what they claim: shares, elasticities, sales, optimum, and tables that import."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from repricer.benchmarks.uplift import FAMILIES, draw_shop, shop_tables
from repricer.benchmarks.uplift.choice import Cheapest, Logit
from repricer.benchmarks.uplift.history import CATEGORY, CHAIN_DEALS, DEALS, ENDOGENOUS, MISSPECIFIED
from repricer.benchmarks.uplift.parameters import COST_SHARE, ELASTICITY, OUTSIDE_SHARE, UNITS
from repricer.benchmarks.uplift.shop import FIRST_DAY, mean_units, write_files
from repricer.data import import_tables, product_weeks

MODELS = {draw_shop("misspecified", seed).model: seed for seed in range(20)}
PLAIN = tuple(family for family in FAMILIES if family not in (*ENDOGENOUS, "stores", *DEALS))
# In the middle of the history, where drifting elasticities are as drawn.
MIDDLE = np.array([52.0])


def shop_of(family):
    """A shop of a family, or a misspecified one with this choice model."""
    return draw_shop("misspecified", MODELS[family]) if family in MODELS else draw_shop(family, seed=3)


@pytest.mark.parametrize("products", [12, 30])
def test_parameters_lie_in_their_ranges(products):
    for seed in range(20):
        p = draw_shop("clean", seed, products).parameters
        for values, (low, high) in ((p.elasticity, ELASTICITY), (p.outside, OUTSIDE_SHARE), (p.units, UNITS)):
            assert ((low <= values) & (values <= high)).all()
        assert (
            (p.unit_cost / p.regular > COST_SHARE[0] - 0.02) & (p.unit_cost / p.regular < COST_SHARE[1] + 0.02)
        ).all()
        np.testing.assert_allclose(np.bincount(p.category, p.share) + p.outside, 1)


@pytest.mark.parametrize("family", [*PLAIN[:-1], *MISSPECIFIED])
def test_shares_and_elasticities_at_regular_prices_are_those_drawn(family):
    shop = shop_of(family)
    for number, choice in enumerate(shop.choices):
        own = shop.parameters.category == number
        regular, share = shop.parameters.regular[own], shop.parameters.share[own]
        moved = np.concatenate([regular[None], regular * (1 - 1e-5 * np.eye(own.sum()))])
        bought = choice.by_segment(moved[:, None], MIDDLE, 0.0, 1.0).sum(axis=-2)[:, 0]
        np.testing.assert_allclose(bought[0], share, rtol=1e-6)
        found = (np.diag(bought[1:]) / share - 1) / 1e-5
        np.testing.assert_allclose(found, shop.parameters.elasticity[own], rtol=1e-3)


@pytest.mark.parametrize("family", ["clean", "segments"])
def test_logit_probabilities_are_the_choices_of_single_customers(family):
    choice, random = shop_of(family).choices[0], np.random.default_rng(0)
    assert isinstance(choice, Logit)
    prices = choice.regular * random.uniform(0.7, 1.2, choice.regular.size)
    segment = random.choice(choice.weight.size, 40_000, p=choice.weight)
    value = choice.utility[segment] - choice.sensitivity[segment] * (prices - choice.regular)
    noisy = np.column_stack([np.zeros(len(value)), value]) + random.gumbel(size=(len(value), prices.size + 1))
    counted = np.bincount(noisy.argmax(axis=1), minlength=prices.size + 1)[1:] / len(value)
    expected = choice.by_segment(prices[None], MIDDLE, 0.0, 1.0)[0].sum(axis=0)
    np.testing.assert_allclose(counted, expected, atol=4 * np.sqrt(0.25 / len(value)))


def test_each_customer_buys_the_cheapest_product_that_is_acceptable():
    choice, random = shop_of("cheapest-first").choices[0], np.random.default_rng(0)
    assert isinstance(choice, Cheapest)
    prices = choice.regular * random.uniform(0.7, 1.2, choice.regular.size)
    value = choice.utility - choice.sensitivity * (prices - choice.regular)
    accepted = random.logistic(size=(40_000, prices.size)) < value
    cost = np.where(accepted, prices, np.inf)
    buyers = np.isfinite(cost).any(axis=1)
    counted = np.bincount(cost.argmin(axis=1)[buyers], minlength=prices.size) / len(cost)
    expected = choice.by_segment(prices[None], MIDDLE, 0.0, 1.0)[0, 0]
    np.testing.assert_allclose(counted, expected, atol=4 * np.sqrt(0.25 / len(cost)))


@pytest.mark.parametrize("family", [family for family in PLAIN if family not in ("seasonal", CATEGORY, "scarce")])
def test_expected_units_at_the_shops_own_prices_are_the_mean_of_its_sales(family):
    shop = draw_shop(family, seed=1)
    expected = shop.units(shop.own_prices(0, shop.weeks), first=0)
    np.testing.assert_allclose(mean_units(shop).sum(axis=(1, 2)), expected, rtol=1e-9)
    sold = shop_tables(shop).sales.groupby("product")["units"].sum().to_numpy()
    noise = np.sqrt((expected + shop.parameters.dispersion * expected**2).sum(axis=0))
    assert (np.abs(sold - expected.sum(axis=0)) < 4 * noise).all()


def test_expected_units_are_averaged_over_demand_shocks():
    shop = draw_shop("endogenous", seed=1, weeks=2000)
    own = shop.parameters.category == 0
    prices, shock = shop.regular[own] * 0.9, shop.history.shock[:2000, own]
    path, weeks = np.repeat(prices[None], 2000, axis=0), np.arange(2000.0)
    drawn = shop.choices[0].by_segment(path, weeks, shock, 1.0)[:, 0].mean(axis=0)
    averaged = (
        shop.units(np.where(own, shop.regular * 0.9, shop.regular), horizon=1)[0][own] / shop.parameters.arrivals[0]
    )
    np.testing.assert_allclose(averaged, drawn, rtol=0.05)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in DEALS])
def test_no_prices_within_the_bounds_earn_more_than_the_optimum(family):
    shop, random = draw_shop(family, seed=2), np.random.default_rng(0)
    low, high = 0.5 * shop.regular, 1.3 * shop.regular
    best = shop.optimum(low, high)
    assert ((low <= best) & (best <= high)).all()
    tried = [shop.realised(random.uniform(low, high)) for _ in range(200)]
    # Near the optimum, where random prices of all products never are.
    tried += [shop.realised(np.clip(best * random.normal(1, 0.02, best.size), low, high)) for _ in range(100)]
    assert max(tried) <= shop.realised(best) * (1 + 1e-6)
    assert shop.realised(best, objective="revenue") < shop.realised(
        shop.optimum(low, high, objective="revenue"), objective="revenue"
    )


@pytest.mark.parametrize(
    ("family", "seed"), [*((family, 4) for family in FAMILIES), *((family, 3) for family in DEALS)]
)
def test_the_files_of_every_family_import_without_rejects_as_its_tables(family, seed, tmp_path):
    shop, deals = draw_shop(family, seed), family in DEALS
    tables, report = import_tables(write_files(shop, tmp_path), key=b"a key for tests only")
    assert report.rejects.empty
    assert report.notes == (("sales: no column regular_price; price_paid is used instead",) if deals else ())
    imported, kept = product_weeks(tables), product_weeks(shop_tables(shop))
    pd.testing.assert_frame_equal(imported, kept, check_dtype=False)
    assert kept["week"].min() == FIRST_DAY
    assert kept["week"].nunique() == shop.weeks == (40 if family == "short" else 104)
    assert (tables.stock is not None) == (family == "scarce")
    assert (tables.promotions is not None) == (family == "promoted" or deals)
    assert (tables.plan is not None) == (not deals or seed == 4)
    assert (tables.sales["regular_price"] > tables.sales["price_paid"]).any() != deals
    assert ("unit_cost" in tables.sales) == (family == "endogenous" or (deals and seed == 3))
    assert ("customer" in tables.sales) == (family == "segments")
    assert ("store" in tables.sales) == (family in ("stores", CHAIN_DEALS) or (deals and seed == 3))
    assert tables.promotions is None or ("store" in tables.promotions) == (family == CHAIN_DEALS)


def test_what_each_family_adds_is_in_its_history():
    clean, promoted = draw_shop("clean", 5), draw_shop("promoted", 5)
    reduced = promoted.history.prices[:, 0] < promoted.history.listed[:, 0]
    assert promoted.history.display[reduced].mean() > 0.5 > 0.2 > promoted.history.display[~reduced].mean() > 0
    blind, endogenous = draw_shop("endogenous-blind", 5), draw_shop("endogenous", 5)
    np.testing.assert_array_equal(blind.history.prices, endogenous.history.prices)
    lower = endogenous.history.prices[:, 0] < endogenous.history.listed[:, 0]
    assert endogenous.history.shock[lower].mean() < -0.1 < endogenous.history.shock[~lower].mean()
    category = draw_shop(CATEGORY, 5)
    level = np.log(category.history.prices[:, 0]) @ (category.parameters.category == 0)
    assert np.corrcoef(level, np.log(category.shocks[:, 0]))[0, 1] > 0.8
    scarce = shop_tables(draw_shop("scarce", 5))
    assert scarce.stock is not None
    assert 0.03 < (scarce.stock["on_hand"] == 0).mean() < 0.3
    assert scarce.sales["units"].sum() < shop_tables(clean).sales["units"].sum()
    seasonal = draw_shop("seasonal", 5)
    assert seasonal.traffic[:104].max() / seasonal.traffic[:104].min() > 1.3
    assert len({choice.drift for choice in draw_shop("drifting", 5).choices}) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sunny", 0), "truth must be one of clean, .*; got 'sunny'; choose one"),
        (("clean", 0, 13), "products must be 12 or 30; got 13; choose one"),
        (("clean", 0, 12, 0), "weeks must be 1 or more; got 0"),
    ],
)
def test_a_shop_that_does_not_exist_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        draw_shop(*arguments)


def test_regular_prices_of_customers_who_stock_up_move_a_few_times_a_year():
    shop = draw_shop("stockpiling", seed=5)
    listed = shop.history.listed[:, 0]
    moves = np.count_nonzero(np.diff(listed, axis=0), axis=0)
    assert ((moves >= len(listed) // 14 - 1) & (moves <= len(listed) // 8 + 1)).all()
    assert np.abs(np.log(listed / shop.parameters.regular)).max() < 0.11

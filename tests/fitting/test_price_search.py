"""Prices leave what was charged only where that pays."""

import numpy as np
import pytest
from repricer.envs import expected_units
from repricer.fitting import Assumptions, ShopRules, build_market
from repricer.fitting.price_search import PriceSearch, narrowest
from repricer.tests.fitting.test_market_builder import models


def chosen(objective, **changes):
    fitted, allowed = models(**changes), Assumptions(price_widening=0.2)
    spec = build_market(fitted, name="shop", assumptions=allowed, objective=objective)
    return narrowest(spec, fitted, allowed).price_widening


def test_where_higher_prices_earn_more_than_any_that_was_charged_the_range_is_wide():
    assert chosen("profit", elasticity=np.full(4, -1.3)) == 0.2


def test_where_the_best_prices_were_charged_the_range_is_theirs():
    regular = np.array([2.0, 3.0, 4.0, 5.0])
    assert chosen("profit", charged=np.array([0.5, 1.3])[:, None] * regular) == 0.0


def test_a_product_that_is_not_priced_keeps_no_range_wide_and_counts_at_its_planned_prices():
    regular, plan = np.array([2.0, 3.0, 4.0, 5.0]), np.tile([2.0, 3.0, 4.0, 5.0], (3, 1))
    plan[1, 1] = 2.0
    silent = [None, "its units do not fall with its price", None, None]
    changes = {"current_price": plan, "unidentified": silent, "charged": np.array([0.5, 1.3])[:, None] * regular}
    assert chosen("profit", **changes) == 0.0
    spec = build_market(models(**changes), name="shop", assumptions=Assumptions(), objective="revenue")
    search = PriceSearch(spec)
    units = expected_units(spec, np.arange(3), plan).sum(axis=1)
    assert search.money(regular, 0.0) == pytest.approx((plan * units).sum())
    low, high = (bound * np.ones(4) for bound in spec.price_bounds)
    assert search.best(0.0, low, high)[1] == pytest.approx(3.0)


def test_a_range_without_an_allowed_price_is_not_chosen():
    regular, rules = np.array([2.0, 3.0, 4.0, 5.0]), ShopRules.of({"shop": {"price_endings": [0.39, 0.8]}})
    fitted = models(charged=np.array([0.97, 1.03])[:, None] * regular, elasticity=np.full(4, -1.2))
    allowed = Assumptions.under(rules, price_widening=0.1)
    spec = build_market(fitted, name="shop", assumptions=allowed, objective="revenue")
    narrow = narrowest(spec, fitted, allowed)
    low, high = build_market(fitted, name="shop", assumptions=narrow, objective="revenue").price_bounds
    assert (low <= high).all()


def test_the_search_finds_the_best_prices():
    spec = build_market(models(), name="shop", assumptions=Assumptions(price_widening=None), objective="profit")
    search, cost = PriceSearch(spec), spec.products.unit_cost
    best = search.best(cost, *spec.price_bounds)
    top = search.money(best, cost)
    generator = np.random.default_rng(0)
    for _ in range(50):
        other = np.clip(best * generator.uniform(0.95, 1.05, best.size), *spec.price_bounds)
        assert search.money(other, cost) <= top + 1e-6 * top


def test_the_search_takes_bounds_of_which_a_soft_one_gives_way():
    spec = build_market(models(), name="shop", assumptions=Assumptions(price_widening=None), objective="profit")
    low = spec.price_bounds[0]
    assert PriceSearch(spec).best(spec.products.unit_cost, low, 0.9 * low) == pytest.approx(low)

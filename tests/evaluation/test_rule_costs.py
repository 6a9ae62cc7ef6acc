"""The cost of a price rule: paired, never below zero, exactly zero where it binds nothing, as an exhaustive search has it."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from repricer.agents.posterior import PosteriorMoney, draws_of
from repricer.evaluation.rule_costs import (
    ALL,
    FROM_SALES,
    RuleCost,
    RuleCosts,
    _RuledMarket,
    rule_costs,
    rules_of,
    without,
)
from repricer.scenarios import MarketSpec
from repricer.scenarios.sections import Fairness, Posterior
from repricer.scenarios.shop_sections import PlanSection

DRAWS = 12


@pytest.fixture(scope="module")
def market(make_shop) -> MarketSpec:
    """A shop with a cap on moves that binds, a margin that binds nothing, a line, and a floor and a ceiling of each kind."""
    spec = make_shop(
        stock=None,
        reference_price=None,
        recommendation=None,
        prices={
            "tick": 0.05,
            "max_discount": 0.0,
            "floor": [2.0, 3.0, 1.5],
            "ceiling": [4.2, 9.0, 6.0],
            "bounds_from_sales": ["a"],
            "max_change": 0.02,
            "minimum_margin": 0.01,
            "line_order": [["c", "a"]],
        },
    )
    rng = np.random.default_rng(5)
    posterior = Posterior(
        draws=DRAWS,
        arrivals=np.exp(rng.normal(0, 0.1, (DRAWS, 1, 1))),
        sensitivity=np.exp(rng.normal(0, 0.2, (DRAWS, 3))),
    )
    return replace(spec, posterior=posterior)


@pytest.fixture(scope="module")
def found(market: MarketSpec) -> RuleCosts:
    return rule_costs(market)


def of(found: RuleCosts, rule: str) -> RuleCost:
    return next(one for one in (*found.rules, *found.groups, found.together) if one.rule == rule)


def test_its_rules_are_those_of_the_market_sorted_by_cost(market: MarketSpec, found: RuleCosts) -> None:
    assert {one.rule for one in found.rules} == set(rules_of(market))
    assert f"ceiling{FROM_SALES}" in rules_of(market)
    costs = [one.cost for one in found.rules]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > 0
    assert found.chosen_by == market.market.objective
    assert of(found, ALL).rules == tuple(sorted(rules_of(market)))


def test_a_rule_that_binds_nothing_costs_exactly_zero(found: RuleCosts) -> None:
    free = of(found, "minimum_margin")
    assert (free.cost, free.revenue, free.profit, free.products) == (0.0, 0.0, 0.0, ())
    assert free.cost_interval90 == free.revenue_interval90 == (0.0, 0.0)


def test_fewer_rules_never_cost_more(found: RuleCosts) -> None:
    every = (*found.rules, *found.groups, found.together)
    for one in every:
        assert one.cost >= 0
        for other in every:
            if set(one.rules) < set(other.rules):
                assert one.cost <= other.cost + 1e-9 * abs(other.cost), (one.rule, other.rule)


def test_its_money_is_that_of_the_posterior(market: MarketSpec) -> None:
    shop = _RuledMarket(market, range(DRAWS))
    best = shop.best_without([frozenset()])[frozenset()]
    fixed = without(market, frozenset({"max_change"}))
    price = best.price[-1]
    by_draw = PosteriorMoney(fixed, draws_of(fixed)).by_draw(price)
    course = np.tile(price, (1, len(best.price), 1))
    assert np.stack([one[0].sum() for one in shop.money(course)]) == pytest.approx(by_draw)


def test_it_agrees_with_every_price_tried(make_shop) -> None:
    """One product with a ladder: the best price with and without a ceiling, by trying all."""
    spec = make_shop(
        stock=None,
        reference_price=None,
        recommendation=None,
        prices={
            "tick": None,
            "price_ladder": np.arange(2.0, 12.01, 0.5).tolist(),
            "floor": None,
            "ceiling": [3.0, 12.0, 12.0],
            "max_discount": 0.0,
        },
    )
    found = rule_costs(spec)
    money = PosteriorMoney(spec, draws_of(spec))
    ladder = np.asarray(spec.prices.price_ladder.steps)
    tried = [(money.value(np.array(row)).sum(), row) for row in product(ladder, ladder, ladder) if row[2] == ladder[4]]
    # c has a category of its own.
    limited = max(value for value, row in tried if row[0] <= 3.0)
    assert of(found, "ceiling").cost == pytest.approx(max(tried)[0] - limited)
    assert of(found, "ceiling").products[0].product == "a"


def test_rules_that_leave_no_choice_are_named(market: MarketSpec) -> None:
    stuck = market.with_changes(
        prices={
            "floor": [4.0, 3.0, 1.5],
            "ceiling": [4.02, 9.0, 6.0],
            "frozen": ("b",),
            "bounds_from_sales": (),
            "line_order": (),
        }
    )
    found = {(one.rules, one.product) for one in rule_costs(stuck, draws=2).no_choice}
    assert (("frozen",), "b") in found
    assert (("floor", "ceiling"), "a") in found
    assert not any(name == "c" for _, name in found)


def test_a_frozen_product_that_moves_takes_its_plan_along(market: MarketSpec) -> None:
    planned = np.tile(market.products.regular_price, (market.market.horizon_periods, 1))
    planned[2, 1] *= 0.8
    spec = replace(market.with_changes(prices={"frozen": ("b",), "max_change": None}), plan=PlanSection(price=planned))
    shop = _RuledMarket(spec, range(DRAWS))
    best = shop.best_without([frozenset(), frozenset({"frozen"})])
    assert np.array_equal(best[frozenset()].price[:, 1], planned[:, 1])
    moved = best[frozenset({"frozen"})].price[:, 1] - planned[:, 1]
    assert np.ptp(moved) < 1e-6
    assert abs(moved[0]) > 0.1


def test_discounts_are_part_of_the_best_prices(market: MarketSpec) -> None:
    spec = market.with_changes(prices={"max_discount": 0.1, "max_segment_spread": 0.05})
    found = rule_costs(spec)
    assert {"max_discount", "segment_spread", "paid_floor"} <= set(of(found, "discounts").rules)
    shop = _RuledMarket(spec, range(DRAWS))
    best = shop.best_without([frozenset()])[frozenset()]
    assert best.discount.max() <= 0.1
    assert np.ptp(best.discount, axis=1).max() <= 0.05 + 1e-9
    plain = shop.money(best.price[None])
    assert best.money[0].sum() >= sum(one[0].sum() for one in plain) - 1e-6


def test_a_cap_between_protected_groups_is_a_rule(market: MarketSpec) -> None:
    groups = Fairness(("young", "old"), ("age", "age"), np.array([[0.9, 0.1], [0.1, 0.9]]))
    spec = replace(market, fairness=groups).with_changes(prices={"max_discount": 0.3, "max_group_spread": 0.05})
    found = rule_costs(spec, draws=4)
    assert of(found, "group_spread").cost > 0
    assert of(found, "group_spread").cost <= of(found, "discounts").cost
    best = _RuledMarket(spec, range(4)).best_without([frozenset()])[frozenset()]
    assert abs(best.discount @ spec.guardrails.contrasts.T).max() <= 0.05 + 1e-6


def test_a_direction_and_a_rival_are_rules(market: MarketSpec, make_shop) -> None:
    rising = market.with_changes(prices={"direction": "falling", "max_change": None})
    shop = _RuledMarket(rising, range(DRAWS))
    best = shop.best_without([frozenset(), frozenset({"direction"})])
    assert (best[frozenset()].price <= market.products.regular_price + 1e-6).all()
    assert (best[frozenset({"direction"})].price > market.products.regular_price + 0.01).any()
    rivals = {"names": ["r"], "regular_price": [3.0], "quality": 2.0, "price_sensitivity": 0.8}
    spec = make_shop(
        stock=None,
        reference_price=None,
        recommendation=None,
        competitors=rivals,
        prices={"max_discount": 0.0, "rival_at_least": 0.0, "rival_at_most": [1.1, 1e9, 1e9]},
    )
    cost = of(rule_costs(spec), "rival_price")
    assert cost.cost > 0
    assert next(one.price for one in cost.products if one.product == "a") == pytest.approx(3.3)


def test_packs_and_baskets_are_rules(market: MarketSpec) -> None:
    spec = market.with_changes(
        prices={
            "max_change": None,
            "line_order": (),
            "packs": (("a", "c"),),
            "pack_shares": [1.1],
            "index_names": ("month",),
            "index_weights": np.full((1, 3), 1 / 12),
            "index_at_most": [0.85],
            "priority": {"pack_price": "hard", "price_index": "hard"},
        }
    )
    assert {"pack_price", "price_index"} <= set(rules_of(spec))
    shop = _RuledMarket(spec, range(DRAWS))
    assert shop.component.max() == 0
    price = shop.best_without([frozenset()])[frozenset()].price
    assert (price.sum(axis=1) / 12 <= 0.85 + 1e-6).all()
    assert (price[:, 0] <= 1.1 * price[:, 2] + 1e-6).all()
    found = rule_costs(spec, draws=4)
    assert of(found, "price_index").cost > 0
    assert of(found, "price_index").cost <= of(found, ALL).cost


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stock": {"initial_units": 3.0}}, "ample stock"),
        ({}, "draws must lie in 1 to 12"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_line(market: MarketSpec, changes, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        rule_costs(market.with_changes(**changes), draws=99)
    assert "\n" not in str(error.value)


def test_it_prints_short_and_is_a_table_and_plain_data(found: RuleCosts) -> None:
    assert len(repr(found)) < 150
    table = found.to_frame()
    assert table["rule"].tolist() == [one.rule for one in (*found.rules, *found.groups, found.together)]
    assert table["cost"].iloc[-1] == found.together.cost
    assert (table["cost_low"] <= table["cost_high"]).all()
    assert json.loads(json.dumps(found.to_dict()))["together"]["cost"] == found.together.cost

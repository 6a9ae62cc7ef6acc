"""The price rules from week to week."""

from __future__ import annotations

import numpy as np
import pytest
from repricer.envs import catalogue_of
from repricer.pricing.price_rules.overrides import allowed_path, breaches, gave_way_by_product
from repricer.scenarios import MarketSpec, spec_from_table


@pytest.fixture
def spec() -> MarketSpec:
    return spec_from_table(
        {
            "name": "food",
            "version": 1,
            "market": {"horizon_periods": 8},
            "products": {"names": ["anchovy", "bread", "cocoa"], "regular_price": [2.0, 3.0, 5.0]},
            "arrivals": {"rate": 20.0},
            "demand": {"quality": 3.0, "price_sensitivity": 1.0},
            "prices": {"floor": [1.0, 1.5, 3.0], "ceiling": [4.0, 6.0, 9.0], "tick": 0.05, "max_change": 0.15},
        }
    )


def test_changes_are_counted_along_the_weeks(spec: MarketSpec) -> None:
    rare = spec.with_changes(prices={"max_change": None, "max_changes": 1, "change_window_periods": 4})
    current = np.tile(spec.products.regular_price, (6, 1))
    wanted = current * np.array([1.1, 1.2, 1.3, 1.4, 1.5, 1.5])[:, None]
    allowed, steps, _ = allowed_path(rare.guardrails, catalogue_of(rare), wanted, current, current[:1])
    np.testing.assert_allclose(allowed[:, 0], [2.2, 2.2, 2.2, 2.2, 3.0, 3.0], rtol=1e-6)
    assert [[step.rule for step in week[0]] for week in steps] == [[], *[["max_changes"]] * 3, [], []]


def test_changes_before_the_first_week_count_and_a_plan_may_be_followed(spec: MarketSpec) -> None:
    rare = spec.with_changes(prices={"max_change": None, "max_changes": 1, "change_window_periods": 4})
    current = np.tile(spec.products.regular_price, (3, 1))
    # The first product's price changed two weeks ago, the second's never, the third's was reduced last week.
    before = np.array([[1.8, 3.0, 5.0], [1.8, 3.0, 5.0], [2.0, 3.0, 5.0], [2.0, 3.0, 4.0]])
    allowed, *_ = allowed_path(rare.guardrails, catalogue_of(rare), 1.2 * current, current, before)
    np.testing.assert_allclose(allowed, [[2.0, 3.6, 5.0], [2.0, 3.6, 5.0], [2.4, 3.6, 5.0]], rtol=1e-6)


def test_frozen_products_follow_the_plan(spec: MarketSpec) -> None:
    frozen = spec.with_changes(prices={"frozen": ("anchovy",), "max_change": None})
    current = np.tile(spec.products.regular_price, (2, 1)) * np.array([[1.0], [0.9]])
    allowed, *_ = allowed_path(frozen.guardrails, catalogue_of(frozen), 1.2 * current, current, current[:1])
    np.testing.assert_allclose(allowed[:, 0], [2.0, 1.8])
    np.testing.assert_allclose(allowed[:, 2], [6.0, 5.4], rtol=1e-6)


def test_the_plan_is_left_alone(spec: MarketSpec) -> None:
    """A deal of 60% breaks the largest change of 15% and the tick; it stays where it is planned, and counts afterwards."""
    current = np.tile(spec.products.regular_price, (3, 1))
    current[1, 0] = 1.237
    wanted = current.copy()
    wanted[2, 0] = 1.0
    allowed, steps, _ = allowed_path(spec.guardrails, catalogue_of(spec), wanted, current, current[:1])
    np.testing.assert_allclose(allowed[:, 0], [2.0, 1.237, 1.1], rtol=1e-6)
    assert [step.rule for step in steps[2][0]] == ["max_change"]
    assert not any(steps[1])


def test_the_first_change_counts_from_the_price_that_was_charged_last(spec: MarketSpec) -> None:
    """All are planned at 2, 3 and 5: after lower prices they may rise to that, after a price near it by 15%."""
    current = np.tile(spec.products.regular_price, (1, 1))
    before = np.array([1.2, 2.9, 4.0])
    for share, expected in ((2.0, [2.0, 3.3, 5.0]), (0.6, [1.2, 2.5, 3.4])):
        allowed, *_ = allowed_path(spec.guardrails, catalogue_of(spec), share * current, current, before[None])
        np.testing.assert_allclose(allowed[0], expected, rtol=1e-6)


def test_a_reduction_may_be_smaller_than_planned_and_ends_at_the_planned_price(spec: MarketSpec) -> None:
    current = np.tile(spec.products.regular_price, (3, 1))
    current[1, 0] = 1.2
    wanted = 1.1 * current
    allowed, *_ = allowed_path(spec.guardrails, catalogue_of(spec), wanted, current, current[:1])
    np.testing.assert_allclose(allowed[:, 0], [2.2, 1.3, 2.0], rtol=1e-6)


def test_a_price_that_stays_at_its_bound_was_not_changed(spec: MarketSpec) -> None:
    """The bounds are single precision: 1.99 brought within them is another number in double precision."""
    rare = {"max_change": None, "max_changes": 1, "change_window_periods": 4, "floor": [1.99, 1.5, 3.0], "tick": 0.01}
    bound = spec.with_changes(products={"regular_price": [1.99, 3.0, 5.0]}, prices=rare)
    rules, regular = bound.guardrails, bound.products.regular_price
    current = np.tile(regular, (3, 1))
    wanted = current * np.array([1.0, 1.2, 1.2])[:, None]
    allowed, *_ = allowed_path(rules, catalogue_of(bound), wanted, current, rules.prices_before(regular))
    np.testing.assert_allclose(allowed[:, 0], [1.99, 2.39, 2.39], rtol=1e-6)


def test_what_gave_way_is_that_of_the_prices_returned_and_names_the_basket(spec: MarketSpec) -> None:
    weights, most = np.array([[0.0, 0.2, 0.2], [0.5, 0.0, 0.0]]), np.array([1.4, 0.9])
    index = {"index_weights": weights, "index_names": ("rival", "month"), "index_at_most": most}
    ruled = spec.with_changes(prices=index)
    current = spec.products.regular_price * np.array([[1.0], [0.9]])
    listed, _, gave_way = allowed_path(ruled.guardrails, catalogue_of(ruled), current, current, current[:1])
    assert (listed == current).all()
    assert [one.amount for one in gave_way[0]] == pytest.approx([0.2, 0.1])
    assert [one.amount for one in gave_way[1]] == pytest.approx([0.04])
    said = [(n, words) for _, n, _, words in gave_way_by_product(ruled.guardrails, gave_way[0])]
    rival, month = (f"price index against {name} gave way by {by}" for name, by in (("rival", 0.2), ("month", 0.1)))
    assert said == [(1, rival), (2, rival), (0, month)]


def test_a_product_that_the_basket_moves_is_not_named_with_a_line_of_others(spec: MarketSpec) -> None:
    weights, most = np.array([[0.1, 0.1, 0.1]]), np.array([0.8])
    index = {"index_weights": weights, "index_names": ("rival",), "index_at_most": most}
    ruled = spec.with_changes(prices={**index, "line_order": [["anchovy", "bread"]], "max_change": None})
    current = spec.products.regular_price[None]
    wanted = np.array([[3.5, 3.0, 5.0]])
    _, steps, _ = allowed_path(ruled.guardrails, catalogue_of(ruled), wanted, 1.01 * current, current)
    assert [[step.rule for step in trail] for trail in steps[0]] == [["line_order"], ["line_order"], ["price_index"]]


def test_a_price_that_would_be_allowed_is_one_that_can_be_charged(spec: MarketSpec) -> None:
    margin = spec.with_changes(products={"unit_cost": [1.0, 1.0, 2.0]}, prices={"minimum_margin": 0.34, "floor": 0.1})
    current = spec.products.regular_price[None]
    found = breaches(margin.guardrails, catalogue_of(margin), np.array([[1.2, 3.0, 5.0]]), current, current)
    assert [one.allowed for one in found] == [1.55]  # 1 / 0.66 is 1.515, the tick 0.05

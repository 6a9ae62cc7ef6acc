from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from repricer.envs import expected_units
from repricer.scenarios import MarketSpec
from repricer.serving import Bundle, Predictor, StateError
from repricer.serving.explanation.what_if import NoResponseError, what_if
from repricer.serving.market_state import market_view

from .conftest import usual_state


def curve_of(one: Bundle, state: dict[str, Any], prices: Any = None) -> Any:
    view = market_view(one.catalogue, state)
    return what_if(one, view, Predictor(one).price(state), "biscuit", prices)


def test_the_curve_is_the_markets_expectation(one: Bundle, spec: MarketSpec) -> None:
    state = usual_state(one)
    answer = Predictor(one).price(state)
    curve = curve_of(one, state, [2.0, 3.0])
    price = np.array([[item.price for item in answer.prices]] * 2)
    price[:, 1] = [2.0, 3.0]
    discount = np.array([list(item.discounts.values()) for item in answer.prices])
    places = {name: n for n, name in enumerate(one.catalogue.products)} | {None: -1}
    shown = np.array([[places[answer.recommendations[segment]] for segment in one.catalogue.segments]] * 2)
    wanted = expected_units(spec, 0, price, discount=np.array([discount] * 2), shown=shown)
    units = wanted[:, :, 1]
    assert [point.units.mean for point in curve.points] == pytest.approx(units.sum(axis=1), rel=1e-5)
    revenue = (units * np.array([[2.0], [3.0]]) * (1 - discount[1])).sum(axis=1)
    assert [point.revenue.mean for point in curve.points] == pytest.approx(revenue, rel=1e-5)
    assert [point.profit.mean for point in curve.points] == pytest.approx(revenue - units.sum(axis=1), rel=1e-5)


def test_demand_falls_and_the_grid_is_what_the_rules_allow(one: Bundle) -> None:
    state = usual_state(one)
    curve, given = curve_of(one, state), Predictor(one).price(state).prices[1].discounts.values()
    prices, units = ([getattr(point, name) for point in curve.points] for name in ("price", "units"))
    assert prices == sorted(prices)
    # Where the lowest price paid cuts the discounts of all segments, they pay the same at each price.
    falls, cut = np.diff([u.mean for u in units]), np.array(prices[1:]) * (1 - min(given)) <= one.guardrails.paid_low[1]
    assert (falls[~cut] < 0).all()
    np.testing.assert_allclose(falls[cut], 0, atol=1e-4)
    assert all(u.ci95[0] <= u.mean <= u.ci95[1] for u in units)
    # max_change is 15% of a price in force of 3.
    assert {p.price for p in curve.points if p.allowed_now} == {p for p in prices if 2.55 - 1e-6 <= p <= 3.45 + 1e-6}
    assert curve.best["profit"] in {p.price for p in curve.points if p.allowed_now}


def test_stock_cuts_the_curve(one: Bundle) -> None:
    state = usual_state(one)
    state["products"][1]["on_hand"] = 2
    for point in curve_of(one, state).points:
        assert point.units.mean <= 2
        assert point.units.ci95[1] <= 2


def test_orders_that_arrive_at_once_can_be_sold(one: Bundle) -> None:
    state = usual_state(one)
    for item in state["products"]:
        item["on_hand"] = 0
    answer = Predictor(one).price(state)
    orders = [replace(item, order_units=5.0, express_units=2.0) for item in answer.prices]
    answer = replace(answer, prices=orders)

    def most(at_once: Any, *, backlog: bool = False) -> float:
        catalogue = replace(one.catalogue, at_once=at_once, backlog=backlog)
        points = what_if(one, market_view(catalogue, state), answer, "biscuit").points
        return max(point.units.ci95[1] for point in points)

    # The product of the question is the second of three.
    assert most(None) == 0
    assert most(np.array([[0, 0, 0], [0, 1, 0]], np.float32)) == 2
    assert most(np.array([[0, 1, 0], [0, 1, 0]], np.float32)) == 7
    assert most(None, backlog=True) > 7


def test_a_discount_falls_no_further_than_the_price_paid_may(one: Bundle) -> None:
    state = usual_state(one)
    answer = Predictor(one).price(state)
    given = [replace(item, discounts=dict.fromkeys(item.discounts, 0.3)) for item in answer.prices]
    low = float(one.guardrails.paid_low[1])
    prices = [1.05 * low, 1.2 * low, 2 * low]
    curve = what_if(one, market_view(one.catalogue, state), replace(answer, prices=given), "biscuit", prices)
    paid = [point.revenue.mean / point.units.mean for point in curve.points]
    assert paid == pytest.approx([low, low, 0.7 * 2 * low], rel=1e-4)


@pytest.mark.parametrize("prices", [[], [0], ["2"], [True], [float("nan")], [1.0] * 201, 3, {"a": 1}])
def test_prices_to_try_are_numbers(one: Bundle, prices: Any) -> None:
    with pytest.raises(StateError, match="prices must be"):
        curve_of(one, usual_state(one), prices)


def test_without_a_response_there_is_no_curve(one: Bundle) -> None:
    without = replace(one, response=None)
    with pytest.raises(NoResponseError):
        curve_of(without, usual_state(one))


def test_a_price_is_allowed_now_beside_the_others_of_its_line(ruled: Bundle) -> None:
    state = usual_state(ruled)
    state["products"][0]["list_price"], state["products"][1]["list_price"] = 3.0, 3.4
    curve = curve_of(ruled, state)
    smaller = Predictor(ruled).price(state).prices[0].price
    allowed = {point.price for point in curve.points if point.allowed_now}
    assert allowed
    assert min(allowed) >= smaller - 1e-6
    assert min(point.price for point in curve.points) < smaller


def test_a_price_out_of_changes_has_its_whole_curve_and_one_allowed_price(ruled: Bundle) -> None:
    state = usual_state(ruled)
    state["products"][1]["changes"] = 1
    tried = curve_of(ruled, state, [2.5, 3.0, 3.5])
    assert [point.allowed_now for point in tried.points] == [False, True, False]
    assert len(curve_of(ruled, state).points) > 10

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from repricer.envs import expected_units
from repricer.scenarios import MarketSpec
from repricer.serving import Bundle, Predictor, StateError, example_state, export, load_bundle
from repricer.serving.decision import Decision
from repricer.serving.explanation.sales_distribution import sales_range
from repricer.serving.explanation.sentences import explain
from repricer.serving.explanation.shapley import attribution
from repricer.serving.explanation.what_if import NoResponseError, what_if
from repricer.serving.market_state import market_view, random_states
from scipy import stats

from ..conftest import make_run


@pytest.mark.parametrize(("mean", "variance"), [(0.3, 0.0), (12.0, 0.0), (12.0, 0.5), (900.0, 0.01), (4e5, 0.0)])
@pytest.mark.parametrize("share", [0.0, 0.4, 1.1, np.inf])
def test_sales_are_those_of_the_distribution(mean: float, variance: float, share: float) -> None:
    stock = np.floor(mean * share)
    demand = stats.poisson(mean) if not variance else stats.nbinom(1 / variance, 1 / (1 + variance * mean))
    sold = sales_range(mean, variance, stock, single=False)
    draws = np.minimum(demand.rvs(200_000, random_state=np.random.default_rng(0)), stock)
    error = 5 * draws.std() / draws.size**0.5 + 1e-9 * mean
    assert abs(sold.mean - draws.mean()) < max(error, 1e-6)
    for got, q in ((sold.low, 0.025), (sold.high, 0.975)):
        assert abs(got - min(demand.ppf(q), stock)) <= 1 + 1e-4 * mean


def test_at_most_one_customer_is_a_coin() -> None:
    sold = sales_range([0.01, 0.4, 0.99], 0.0, [1.0, 1.0, 0.0], single=True)
    np.testing.assert_allclose(sold.mean, [0.01, 0.4, 0])
    assert (sold.low.tolist(), sold.high.tolist()) == ([0, 0, 0], [0, 1, 0])


def usual(one: Bundle) -> dict[str, Any]:
    state = example_state(one.catalogue)
    for item in state["products"]:
        item["on_hand"] = None
    return state


def curve_of(one: Bundle, state: dict[str, Any], prices: Any = None) -> Any:
    view = market_view(one.catalogue, state)
    return what_if(one, view, Predictor(one).price(state), "biscuit", prices)


def test_the_curve_is_the_markets_expectation(one: Bundle, spec: MarketSpec) -> None:
    state = usual(one)
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
    curve = curve_of(one, usual(one))
    prices, units = ([getattr(point, name) for point in curve.points] for name in ("price", "units"))
    assert prices == sorted(prices)
    assert (np.diff([u.mean for u in units]) < 0).all()
    assert all(u.ci95[0] <= u.mean <= u.ci95[1] for u in units)
    # max_change is 15% of a price in force of 3.
    assert {p.price for p in curve.points if p.allowed_now} == {p for p in prices if 2.55 - 1e-6 <= p <= 3.45 + 1e-6}
    assert curve.best["profit"] in {p.price for p in curve.points if p.allowed_now}


def test_stock_cuts_the_curve(one: Bundle) -> None:
    state = usual(one)
    state["products"][1]["on_hand"] = 2
    for point in curve_of(one, state).points:
        assert point.units.mean <= 2
        assert point.units.ci95[1] <= 2


@pytest.mark.parametrize("prices", [[], [0], ["2"], [True], [float("nan")], [1.0] * 201, 3, {"a": 1}])
def test_prices_to_try_are_numbers(one: Bundle, prices: Any) -> None:
    with pytest.raises(StateError, match="prices must be"):
        curve_of(one, usual(one), prices)


def test_without_a_response_there_is_no_curve(one: Bundle) -> None:
    without = replace(one, response=None)
    with pytest.raises(NoResponseError):
        curve_of(without, usual(one))
    assert "no sales can be foretold" in " ".join(explained(without, usual(one)).sentences)


def explained(one: Bundle, state: dict[str, Any], product: str = "anchovy", arm: str = "policy") -> Any:
    decision = Decision(state, Predictor(one).price(state), arm, 1.0, None, [])
    return explain(one, one.policy, market_view(one.catalogue, state), decision, product)


def test_the_parts_of_a_price_add_up(one: Bundle) -> None:
    for state in random_states(one.catalogue, one.guardrails, 5, seed=2):
        for product in one.catalogue.products:
            found = explained(one, state, product)
            parts = found.attribution
            assert parts.ordinary + sum(p.effect for p in parts.inputs) == pytest.approx(parts.proposed, rel=1e-4)
            assert parts.proposed + sum(p.effect for p in parts.rules) == pytest.approx(parts.price, rel=1e-4)
            assert found.price == parts.price


def test_an_input_that_the_policy_does_not_see_has_no_part(one: Bundle) -> None:
    class StockOnly:
        name = "stock-only"

        def act(self, view: Any) -> Any:
            from repricer.pricing import Action

            return Action(1 + 1 / (1 + np.minimum(view.on_hand, 1e6)))

    view = market_view(one.catalogue, random_states(one.catalogue, one.guardrails, 3, seed=9)[1])
    ordinary, effects = attribution(StockOnly(), view, 0)
    moved = {name for name, effect in effects.items() if abs(effect) > 1e-9}
    assert moved <= {"stock", "calendar"}  # the ordinary stock depends on the time that is left
    assert ordinary + sum(effects.values()) == pytest.approx(StockOnly().act(view).price[0, 0])


def test_the_sentences_name_the_price_the_rules_and_the_demand(one: Bundle) -> None:
    text = " ".join(explained(one, usual(one)).sentences)
    for words in (
        "The price of anchovy is 1.90",
        "down from 2.00",
        "learned policy ppo:3",
        "'price ladder'",
        "units are expected",
    ):
        assert words in text, text
    assert "fallback rule" in " ".join(explained(one, usual(one), arm="fallback").sentences)
    with pytest.raises(StateError, match="product must be one of"):
        explained(one, usual(one), "dates")


def test_the_best_alternative_is_the_best_of_the_others(one: Bundle) -> None:
    found = explained(one, usual(one))
    others = [p for p in found.curve.points if p.allowed_now and abs(p.price - found.price) > 1e-6]
    assert found.best_alternative.profit.mean == max(p.profit.mean for p in others)


@pytest.fixture(scope="module")
def ruled(spec: MarketSpec, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Rules that look back, and at other products."""
    rules = {
        "max_changes": 1,
        "change_window_periods": 4,
        "line_order": (("anchovy", "biscuit"),),
        "frozen": ("cider",),
    }
    run = make_run(spec.with_changes(prices=rules), product_wise=True)
    return load_bundle(export(run, tmp_path_factory.mktemp("ruled") / "bundle"))


def test_a_price_is_allowed_now_beside_the_others_of_its_line(ruled: Bundle) -> None:
    state = usual(ruled)
    state["products"][0]["list_price"], state["products"][1]["list_price"] = 3.0, 3.4
    curve = curve_of(ruled, state)
    smaller = Predictor(ruled).price(state).prices[0].price
    allowed = {point.price for point in curve.points if point.allowed_now}
    assert allowed
    assert min(allowed) >= smaller - 1e-6
    assert min(point.price for point in curve.points) < smaller


def test_a_price_out_of_changes_has_its_whole_curve_and_one_allowed_price(ruled: Bundle) -> None:
    state = usual(ruled)
    state["products"][1]["changes"] = 1
    tried = curve_of(ruled, state, [2.5, 3.0, 3.5])
    assert [point.allowed_now for point in tried.points] == [False, True, False]
    assert len(curve_of(ruled, state).points) > 10
    for product in ruled.catalogue.products:
        parts = explained(ruled, state, product).attribution
        assert "past changes" in {part.cause for part in parts.inputs}
        assert parts.ordinary + sum(p.effect for p in parts.inputs) == pytest.approx(parts.proposed, rel=1e-4)
        assert parts.proposed + sum(p.effect for p in parts.rules) == pytest.approx(parts.price, rel=1e-4)

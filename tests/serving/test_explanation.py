"""What-if and explanations are right, and follow the bundle's response and rules."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from repricer.cli import main
from repricer.envs import expected_units
from repricer.pricing import ChargedRange
from repricer.scenarios import MarketSpec, save_scenario
from repricer.serving import Bundle, Predictor, StateError, example_state, export, load_bundle
from repricer.serving.decision import Decision
from repricer.serving.explanation import NoResponseError, _rule, explain_decision, sales_range, what_if
from repricer.serving.market_state import market_view
from repricer.serving.product_prices import Change
from repricer.serving.sample_states import random_states
from scipy import stats

from .conftest import make_run


def usual_state(one: Bundle) -> dict[str, Any]:
    state = example_state(one.catalogue)
    for item in state["products"]:
        item["on_hand"] = None
    return state


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


def explained(one: Bundle, state: dict[str, Any], product: str = "anchovy", arm: str = "policy") -> Any:
    decision = Decision(state, Predictor(one).price(state), arm, 1.0, [])
    return explain_decision(one, one.policy, market_view(one.catalogue, state), decision, product)


def test_the_parts_of_a_price_add_up(one: Bundle) -> None:
    for state in random_states(one.catalogue, one.guardrails, 5, seed=2):
        for product in one.catalogue.products:
            found = explained(one, state, product)
            parts = found.attribution
            assert parts.ordinary + sum(p.effect for p in parts.inputs) == pytest.approx(parts.proposed, rel=1e-4)
            assert parts.proposed + sum(p.effect for p in parts.rules) == pytest.approx(parts.price, rel=1e-4)
            assert found.price == parts.price


def test_the_sentences_name_the_price_the_rules_and_the_demand(one: Bundle) -> None:
    text = " ".join(explained(one, usual_state(one)).sentences)
    for words in (
        "The price of anchovy is 1.90",
        "down from 2.00",
        "learned policy (ppo, training seed 3)",
        "'rounding to the price grid'",
        "units are expected",
    ):
        assert words in text, text
    assert "fallback rule" in " ".join(explained(one, usual_state(one), arm="fallback").sentences)
    with pytest.raises(StateError, match="product must be one of"):
        explained(one, usual_state(one), "dates")


def test_the_best_alternative_is_the_best_of_the_others(one: Bundle) -> None:
    found = explained(one, usual_state(one))
    others = [p for p in found.curve.points if p.allowed_now and abs(p.price - found.price) > 1e-6]
    assert found.best_alternative.profit.mean == max(p.profit.mean for p in others)


def test_without_a_response_the_sentences_say_so(one: Bundle) -> None:
    assert "no sales can be predicted" in " ".join(explained(replace(one, response=None), usual_state(one)).sentences)


def test_past_changes_have_a_part_where_the_rules_count_them(ruled: Bundle) -> None:
    state = usual_state(ruled)
    state["products"][1]["changes"] = 1
    for product in ruled.catalogue.products:
        parts = explained(ruled, state, product).attribution
        assert "past changes" in {part.cause for part in parts.inputs}
        assert parts.ordinary + sum(p.effect for p in parts.inputs) == pytest.approx(parts.proposed, rel=1e-4)
        assert parts.proposed + sum(p.effect for p in parts.rules) == pytest.approx(parts.price, rel=1e-4)


def test_the_command_and_the_service_give_the_same_contributions(
    one: Bundle, one_run: Any, spec: MarketSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`repricer explain` on a run, and the bundle exported from it, for the same states."""
    monkeypatch.setattr("repricer.agents.load_run", lambda path: one_run)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    save_scenario(spec, tmp_path / "market")
    for state in random_states(one.catalogue, one.guardrails, 2, seed=4):
        (tmp_path / "state.json").write_text(json.dumps(state))
        asked = ["explain", str(tmp_path / "market"), "--policy", str(tmp_path / "run"), "--product", "biscuit"]
        result = CliRunner().invoke(main, [*asked, "--state", str(tmp_path / "state.json"), "--json"])
        assert result.exit_code == 0, result.output
        document = json.loads(result.stdout)
        served = explained(one, state, "biscuit").attribution
        assert document["attribution"]["baseline"] == pytest.approx(served.ordinary, rel=1e-5)
        effects = {part.cause: part.effect for part in served.inputs}
        assert document["attribution"]["inputs"] == pytest.approx(effects, rel=1e-4, abs=1e-5)
        assert sum(abs(effect) for effect in effects.values()) > 1e-3
        assert document["price"] == pytest.approx(served.price, rel=1e-6)


def test_a_price_that_was_never_charged_is_said_to_be_so(one: Bundle) -> None:
    charged = replace(one, charged=ChargedRange(np.array([3.0, 1.0, 1.0]), np.array([3.5, 9.0, 9.0])))
    found = explained(charged, usual_state(one))
    assert (
        "It is outside what was mostly charged: 3.00 to 3.50; hardly any data say how customers respond to it."
        in found.sentences
    )
    assert found.attribution == explained(one, usual_state(one)).attribution


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [(2.3141, 2.3099, "moved it by less than is shown, to 2.31 $"), (2.32, 2.31, "lowered it from 2.32 $ to 2.31 $")],
)
def test_a_move_is_told_only_where_it_can_be_seen(before: float, after: float, said: str) -> None:
    sentence = _rule(Change("price_ladder", before, after, "a step"), "$")
    assert said in sentence
    assert "from 2.31" not in sentence


def test_many_units_are_no_power_of_ten(one: Bundle) -> None:
    busy = replace(one, response=replace(one.response, rate=5000 * one.response.rate))
    (sentence,) = [line for line in explained(busy, usual_state(one)).sentences if "units are expected" in line]
    assert "e+" not in sentence
    assert re.search(r"about \d{1,3}(,\d{3})+ units are expected .*: \d{1,3}(,\d{3})+ to \d{1,3}(,\d{3})+\)", sentence)


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

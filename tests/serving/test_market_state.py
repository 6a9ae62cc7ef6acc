from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repricer.serving import Bundle, StateError, example_state
from repricer.serving.documents import fields
from repricer.serving.market_state import ProductDocument, StateDocument, market_view
from repricer.serving.sample_states import random_states


@pytest.fixture
def state(one: Bundle) -> dict[str, Any]:
    return example_state(one.catalogue)


def test_the_view_holds_what_the_state_says_in_the_catalogues_order(one: Bundle) -> None:
    products = [
        {
            "product": name,
            "list_price": 1.0 + n,
            "on_hand": 10 + n,
            "on_order": 20 + n,
            "reference_price": 3.0 + n,
            "last_units": 40 + n,
        }
        for n, name in enumerate(one.catalogue.products)
    ]
    products[1]["on_hand"] = None
    view = market_view(one.catalogue, {"products": products[::-1], "period": 5})
    assert view.period.tolist() == [5]
    assert view.list_price.tolist() == [[1, 2, 3]]
    assert view.on_hand.tolist() == [[10, math.inf, 12]]
    assert view.on_order.tolist() == [[20, 21, 22]]
    assert view.reference_price.tolist() == [[3, 4, 5]]
    assert view.last_units.tolist() == [[40, 41, 42]]
    assert view.list_price.dtype == np.float32


@pytest.mark.parametrize("period", [0, 1, 7])
def test_what_is_left_out_has_a_default(one: Bundle, period: int) -> None:
    short = [{"product": name, "list_price": 2.5, "on_hand": 1} for name in one.catalogue.products]
    view = market_view(one.catalogue, {"period": period, "products": short})
    assert view.on_order.tolist() == [[0, 0, 0]]
    assert view.reference_price.tolist() == [[2.5, 2.5, 2.5]]
    np.testing.assert_array_equal(view.last_units[0], one.catalogue.forecast_units[max(period - 1, 0)])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.5, "2", True, [2], {}, 10**400, 1e13])
@pytest.mark.parametrize("key", ["list_price", "on_hand", "on_order", "reference_price", "last_units"])
def test_what_is_no_number_is_refused(one: Bundle, state: dict[str, Any], key: str, value: Any) -> None:
    state["products"][2][key] = value
    with pytest.raises(StateError, match=f"state: {key} of 'cider' must be a number from"):
        market_view(one.catalogue, state)


@pytest.mark.parametrize(("key", "good"), [("list_price", False), ("reference_price", False), ("last_units", True)])
def test_a_price_is_above_zero(one: Bundle, state: dict[str, Any], key: str, good: bool) -> None:
    state["products"][0][key] = 0
    if good:
        market_view(one.catalogue, state)
    else:
        with pytest.raises(StateError, match="got 0; fix it"):
            market_view(one.catalogue, state)


@pytest.mark.parametrize("key", ["list_price", "on_order", "reference_price", "last_units"])
def test_only_stock_may_be_unlimited(one: Bundle, state: dict[str, Any], key: str) -> None:
    state["products"][0][key] = None
    with pytest.raises(StateError, match=f"{key} of 'anchovy' must be a number.*got None"):
        market_view(one.catalogue, state)


@pytest.mark.parametrize("period", [-1, 8, 10**30, 1.0, True, None, "1", math.nan])
def test_the_period_is_one_of_the_horizon(one: Bundle, state: dict[str, Any], period: Any) -> None:
    state["period"] = period
    with pytest.raises(StateError, match="period must be a whole number from 0 to 7"):
        market_view(one.catalogue, state)


def change(state: dict[str, Any], how: str) -> Any:
    """A state with one mistake in it."""
    state = copy.deepcopy(state)
    first = state["products"][0]
    match how:
        case "unknown key":
            state["perod"] = 1
        case "unknown product key":
            first["onhand"] = 1
        case "strange key":
            first["zzz"] = 1
        case "no period":
            del state["period"]
        case "no price":
            del first["list_price"]
        case "no stock":
            del first["on_hand"]
        case "unknown product":
            first["product"] = "anchovies"
        case "product without a name":
            first["product"] = ["anchovy"]
        case "product twice":
            state["products"][1] = first
        case "one lacks":
            del state["products"][1]
        case "two lack":
            del state["products"][1:]
        case "products in an object":
            state["products"] = {"anchovy": first}
        case "products in a text":
            state["products"] = "anchovy"
        case "a product that is a text":
            state["products"][0] = "anchovy"
        case "list":
            return [state]
        case "nothing":
            return None
    return state


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ("unknown key", "got 'perod'; did you mean 'period'?"),
        ("unknown product key", "item 1 must have known keys; got 'onhand'; did you mean 'on_hand'?"),
        ("strange key", "got 'zzz'; known are product, list_price"),
        ("no period", "got no period; add it"),
        ("no price", "item 1 must have product, list_price, on_hand; got no list_price"),
        ("no stock", "got no on_hand; add it"),
        ("unknown product", "got 'anchovies' (item 1); did you mean 'anchovy'?"),
        ("product without a name", "got ['anchovy'] (item 1)"),
        ("product twice", "got 'anchovy' again (item 2)"),
        ("one lacks", "must hold all 3 of the catalogue; got 2, without 'biscuit'; add it"),
        ("two lack", "got 1, without 'biscuit'; add the 2 that are missing"),
        ("products in an object", "products must be a list of objects"),
        ("products in a text", "products must be a list of objects; got 'anchovy'"),
        ("a product that is a text", "item 1 must be an object"),
        ("list", "state must be an object with market, date, period, products"),
        ("nothing", "got None"),
    ],
)
def test_a_mistake_is_named_in_one_line(one: Bundle, state: dict[str, Any], how: str, line: str) -> None:
    with pytest.raises(StateError) as caught:
        market_view(one.catalogue, change(state, how))
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
KEYS = st.sampled_from([*fields(ProductDocument)])
NAMES = st.sampled_from(["anchovy", "biscuit", "cider"]) | st.text(max_size=5)
ITEMS = st.dictionaries(KEYS, JSON | NAMES, max_size=6)
BESIDE = {name: JSON | NAMES for name in fields(StateDocument) if name not in ("period", "products")}
DOCUMENTS = st.fixed_dictionaries({"period": st.integers(0, 7) | JSON, "products": st.lists(ITEMS)}, optional=BESIDE)


@settings(max_examples=200, deadline=None)
@given(document=JSON | DOCUMENTS)
def test_any_json_is_a_view_or_one_line(one: Bundle, document: Any) -> None:
    try:
        market_view(one.catalogue, document)
    except StateError as error:
        line = str(error)
        assert "\n" not in line
        assert len(line) < 600
        line.encode()


def test_a_long_mistake_makes_a_short_line(one: Bundle, state: dict[str, Any]) -> None:
    state["products"][0]["product"] = "x" * 1_000_000
    with pytest.raises(StateError) as caught:
        market_view(one.catalogue, state)
    assert len(str(caught.value)) < 300


def test_made_up_states_are_valid_and_the_same_again(one: Bundle) -> None:
    states = random_states(one.catalogue, one.guardrails, 50, seed=4)
    assert states == random_states(one.catalogue, one.guardrails, 50, seed=4)
    views = [market_view(one.catalogue, state) for state in states]
    prices = np.concatenate([view.list_price for view in views])
    assert (prices >= one.guardrails.low - 1e-3).all()
    assert (prices <= one.guardrails.high + 1e-3).all()
    assert {int(view.period[0]) for view in views} == set(range(8))
    assert any(np.isinf(view.on_hand).any() for view in views)


def test_the_example_is_valid(one: Bundle, state: dict[str, Any]) -> None:
    view = market_view(one.catalogue, state)
    np.testing.assert_allclose(view.list_price[0], one.catalogue.regular_price)
    assert view.period.tolist() == [0]


def test_price_changes_are_needed_where_the_price_rules_count_them(one: Bundle, state: dict[str, Any]) -> None:
    assert market_view(one.catalogue, state).changes is None
    counting = replace(one.catalogue, change_window_periods=7)
    with pytest.raises(StateError, match="must have product, list_price, on_hand, changes; got no changes"):
        market_view(counting, state)
    assert market_view(counting, example_state(counting)).changes.tolist() == [[0, 0, 0]]
    for number, item in enumerate(state["products"]):
        item["changes"] = number
    assert market_view(counting, state).changes.tolist() == [[0, 1, 2]]
    state["products"][1]["changes"] = 1.5
    with pytest.raises(StateError, match=r"changes of 'biscuit' must be a whole number from 0 to 1e\+12; got 1\.5"):
        market_view(counting, state)
    for drawn in random_states(counting, one.guardrails, 5, seed=0):
        assert market_view(counting, drawn).changes.max() < 7


@pytest.mark.parametrize(
    ("due", "line"),
    [
        ([1, -1], "state: due of 'biscuit' must be a number from 0 to 1e+12; got -1 (item 2); fix it"),
        ([1, math.nan], "must be a number from 0 to 1e+12; got nan (item 2)"),
        (["1", 1], "must be a number from 0 to 1e+12; got '1' (item 1)"),
        ([1, None], "must be a number from 0 to 1e+12; got None (item 2)"),
        ([[1], 1], "must be a number from 0 to 1e+12; got [1] (item 1)"),
        ([1], "state: due of 'biscuit' must be a list of 2, each a number from 0 to 1e+12; got [1]; fix it"),
        ([], "must be a list of 2, each a number from 0 to 1e+12; got []"),
        ([1, 1, 1], "must be a list of 2, each a number from 0 to 1e+12; got [1, 1, 1]"),
        (2, "must be a list of 2, each a number from 0 to 1e+12; got 2"),
        (None, "must be a list of 2, each a number from 0 to 1e+12; got None"),
        ([4, 3], "state: due of 'biscuit' must add up to at most its on_order (6); got 7; fix it"),
    ],
)
def test_deliveries_are_checked_one_by_one(one: Bundle, state: dict[str, Any], due: Any, line: str) -> None:
    seeing = replace(one.catalogue, due_periods=2)
    for item in state["products"]:
        item |= {"on_order": 6, "due": [2, 1]}
    assert market_view(seeing, state).due.tolist() == [[[2, 1], [2, 1], [2, 1]]]
    state["products"][1]["due"] = due
    with pytest.raises(StateError) as caught:
        market_view(seeing, state)
    assert line in str(caught.value)


def test_fractions_of_units_may_all_be_due(one: Bundle, state: dict[str, Any]) -> None:
    assert 0.1 + 0.2 > 0.3
    state["products"][0] |= {"on_order": 0.3, "due": [0.1, 0.2]}
    assert market_view(one.catalogue, state).due is None


@pytest.mark.parametrize("value", [["1"], [-1], [math.nan], [True], [None], "1", 1, {"1": 1}])
def test_deliveries_are_checked_where_the_policy_does_not_read_them(
    one: Bundle, state: dict[str, Any], value: Any
) -> None:
    assert not one.catalogue.due_periods
    state["products"][1] |= {"on_order": 6, "due": value}
    with pytest.raises(StateError, match="due of 'biscuit' must be a"):
        market_view(one.catalogue, state)


def test_the_lowest_price_may_be_known_for_some(one: Bundle, state: dict[str, Any]) -> None:
    assert market_view(one.catalogue, state).lowest_price_30_days is None
    state["products"][0]["lowest_price_30_days"] = 1.5
    state["products"][1]["lowest_price_30_days"] = None
    np.testing.assert_array_equal(
        market_view(one.catalogue, state).lowest_price_30_days, np.float32([[1.5, np.nan, np.nan]])
    )
    state["products"][0]["lowest_price_30_days"] = 2.5
    with pytest.raises(StateError, match="lowest_price_30_days of 'anchovy' must be at most its list_price"):
        market_view(one.catalogue, state)
    state["products"][0]["lowest_price_30_days"] = "1.5"
    with pytest.raises(StateError, match="lowest_price_30_days of 'anchovy' must be a number from"):
        market_view(one.catalogue, state)


def test_a_state_may_name_its_market_for_the_log(one: Bundle, state: dict[str, Any]) -> None:
    assert market_view(one.catalogue, state | {"market": "Oslo"}).num_markets == 1
    for wrong in ("", "x" * 201, "a\0b", "\ud800", 7, None):
        with pytest.raises(StateError, match="market must be 1 to 200 printable characters; got"):
            market_view(one.catalogue, state | {"market": wrong})


def test_whole_numbers_stand_for_what_is_left_out(one: Bundle) -> None:
    products = [{"product": name, "list_price": 2, "on_hand": None} for name in one.catalogue.products]
    view = market_view(one.catalogue, {"period": 0, "products": products})
    np.testing.assert_array_equal(view.reference_price, [[2, 2, 2]])
    assert np.isinf(view.on_hand).all()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"loyalty": [1]}, "state: loyalty must be an object with thrifty, loyal; got [1]; fix it"),
        ({"loyalty": None}, "state: loyalty must be an object with thrifty, loyal; got None"),
        ({"loyalty": {"thriftty": 1}}, "loyalty must have known keys; got 'thriftty'; did you mean 'thrifty'?"),
        ({"loyalty": {"thrifty": "1"}}, "loyalty of 'thrifty' must be a number from 0.001 to 1000; got '1'"),
        ({"loyalty": {"thrifty": True}}, "loyalty of 'thrifty' must be a number from 0.001 to 1000; got True"),
        ({"loyalty": {"loyal": 0}}, "loyalty of 'loyal' must be a number from 0.001 to 1000; got 0"),
        ({"loyalty": {"loyal": math.nan}}, "loyalty of 'loyal' must be a number from 0.001 to 1000; got nan"),
        ({"regime": 3}, "state: regime must be 1 to 200 printable characters; got 3; fix it"),
        ({"regime": None}, "state: regime must be 1 to 200 printable characters; got None"),
        ({"regime": "a\0b"}, "state: regime must be 1 to 200 printable characters; got"),
        ({"memory": 3}, "state: memory must be text, or null; got 3; fix it"),
    ],
)
def test_a_field_of_the_market_that_the_policy_does_not_read_is_checked_too(
    one: Bundle, state: dict[str, Any], change: dict[str, Any], line: str
) -> None:
    assert (one.catalogue.loyal, one.catalogue.regimes) == (False, ())
    with pytest.raises(StateError) as caught:
        market_view(one.catalogue, state | change)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["1", -1, 0, math.nan, math.inf, True, [1.0], {}, 10**400, 1e13])
def test_a_competitors_price_is_checked_where_the_policy_does_not_read_it(
    one: Bundle, state: dict[str, Any], value: Any
) -> None:
    assert not one.catalogue.rivals
    state["products"][1]["competitor_price"] = value
    with pytest.raises(
        StateError, match=r"competitor_price of 'biscuit' must be a number from 1e-09 to .*, or null for"
    ):
        market_view(one.catalogue, state)


@pytest.mark.parametrize("value", ["1", -1, 1.5, math.nan, math.inf, True, None, [1], 1e13])
def test_changes_are_checked_where_no_rule_counts_them(one: Bundle, state: dict[str, Any], value: Any) -> None:
    assert not one.catalogue.change_window_periods
    state["products"][1]["changes"] = value
    with pytest.raises(StateError, match="changes of 'biscuit' must be a whole number from 0 to"):
        market_view(one.catalogue, state)


def test_what_the_policy_does_not_read_may_be_sent(one: Bundle, state: dict[str, Any]) -> None:
    wanted = market_view(one.catalogue, state)
    for item in state["products"]:
        item |= {"competitor_price": 2.0, "changes": 3.0, "lowest_price_30_days": None}
    view = market_view(one.catalogue, state | {"regime": "boom", "loyalty": {"loyal": 2}, "memory": None})
    assert (view.competitor_price, view.changes, view.regime, view.loyalty) == (None, None, None, None)
    np.testing.assert_array_equal(view.list_price, wanted.list_price)


def test_a_date_names_the_period_that_holds_it(dated: Bundle) -> None:
    state = example_state(dated.catalogue)
    assert state["date"] == "2018-01-01"
    for day, period in (("2018-01-07", 0), ("2018-01-08", 1), ("2018-02-25", 7)):
        assert market_view(dated.catalogue, state | {"date": day}).period.tolist() == [period]
    del state["date"]
    assert market_view(dated.catalogue, state | {"period": 7}).period.tolist() == [7]


@pytest.mark.parametrize(
    ("when", "line"),
    [
        (
            {"date": "2018-02-26"},
            "state: date must be 2018-01-01 to 2018-02-25, the weeks of this market; got 2018-02-26; "
            "refresh it with newer tables: repricer refresh",
        ),
        (
            {"period": 8},
            "state: period must be a whole number from 0 to 7 (2018-01-01 to 2018-02-25); got 8; "
            "give the date, or refresh the bundle with newer tables: repricer refresh",
        ),
        ({}, "state must name its period by date, or by period, its number; got neither; give the date"),
        (
            {"date": "2018-01-01", "period": 0},
            "state must name its period by date, or by period, its number; got both; give the date",
        ),
        ({"date": "January"}, "state: date must be YYYY-MM-DD; got 'January'; fix it"),
    ],
)
def test_another_date_is_refused_with_the_dates_that_are_priced(dated: Bundle, when: dict[str, Any], line: str) -> None:
    state = example_state(dated.catalogue)
    del state["date"]
    with pytest.raises(StateError) as caught:
        market_view(dated.catalogue, state | when)
    assert str(caught.value) == line


def test_a_date_needs_a_calendar(one: Bundle, state: dict[str, Any]) -> None:
    with pytest.raises(StateError, match="date needs a market with a calendar; got 2018-01-01; give period"):
        market_view(one.catalogue, state | {"date": "2018-01-01"})


def test_regimes_and_loyalty_are_read_where_the_policy_observes_them(one: Bundle, state: dict[str, Any]) -> None:
    seeing = replace(one.catalogue, regimes=("calm", "boom"), loyal=True, rivals=True)
    with pytest.raises(StateError, match="state must have period, products, regime; got no regime; add it"):
        market_view(seeing, state)
    with pytest.raises(StateError, match="regime must be one of calm, boom; got 'bom'; name the current regime"):
        market_view(seeing, state | {"regime": "bom"})
    state["products"][0]["competitor_price"] = 1.5
    view = market_view(seeing, state | {"regime": "boom", "loyalty": {"loyal": 2}})
    assert (view.regime.tolist(), view.loyalty.tolist()) == ([1], [[1, 2]])
    assert view.competitor_price.tolist() == [[1.5, math.inf, math.inf]]
    assert market_view(seeing, example_state(seeing)).regime.tolist() == [0]

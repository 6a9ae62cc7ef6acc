"""The basket index: its weights by hand, and the basket and reference prices of a split from the raw tables."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from repricer.data import Tables
from repricer.fitting.fit_split import charged_prices
from repricer.fitting.price_index import basket_columns, index_rules, index_weights, past_rival_price
from repricer.fitting.shop_rules import IndexRule
from repricer.fitting.split import Split, held_out, weeks_to_come

START, WEEKS = pd.Timestamp("2023-01-02"), 60
PRODUCTS = pd.DataFrame({"product": ["a", "b"], "category": "x"})


def shop() -> Tables:
    """Product a costs 2 + week / 100 and sells 3 units a week; b costs 5 and sells 1; a rival charges for a from week 20 on."""
    rows = [
        {"date": START + pd.Timedelta(weeks=w), "product": name, "units": units, "price_paid": price}
        for w in range(WEEKS)
        for name, units, price in (("a", 3.0, 2 + w / 100), ("b", 1.0, 5.0))
        for _ in range(8)
    ]
    sales = pd.DataFrame(rows).assign(regular_price=lambda own: own["price_paid"], store="s")
    dates = [START + pd.Timedelta(weeks=w) for w in (20, 40)]
    signals = pd.DataFrame({"date": dates, "name": "competitor_price", "value": [1.9, 2.1], "product": "a"})
    return Tables(sales, PRODUCTS, signals=signals)


@pytest.fixture(scope="module")
def split() -> Split:
    return weeks_to_come(shop(), held_out(shop(), PRODUCTS, 4), 4)


def test_basket_and_references_are_those_of_the_tables(split: Split) -> None:
    found = basket_columns(split)
    np.testing.assert_allclose(found["basket_units"], [52 * 24.0, 52 * 8.0])
    np.testing.assert_allclose(found["last_rival_price"], [2.1, 0.0])
    np.testing.assert_allclose(found["month_ago_price"], [2.56, 5.0])  # week 56, the first to come is week 60
    np.testing.assert_allclose(found["year_ago_price"], [2.08, 5.0])  # week 8
    rival = past_rival_price(split)
    assert rival is not None
    np.testing.assert_allclose(rival[[19, 20, 39, 40], 0], [0.0, 1.9, 1.9, 2.1])


def test_a_short_history_has_no_prices_of_a_year_ago(split: Split) -> None:
    short = replace(split, past=split.past[split.past["week"] >= START + pd.Timedelta(weeks=30)])
    found = basket_columns(short)
    np.testing.assert_allclose(found["basket_units"], [30 * 24.0, 30 * 8.0])
    assert not found["year_ago_price"].any()
    assert found["month_ago_price"].all()


def test_a_rule_has_the_weights_of_the_basket(split: Split) -> None:
    rules = index_rules(IndexRule(rival_at_most=1.02, year_at_most=1.1), charged_prices(split).products)
    assert rules["index_names"] == ("rival", "year")
    assert rules["index_at_most"].tolist() == [1.02, 1.1]
    price = np.array([2.31, 5.5])
    np.testing.assert_allclose(rules["index_weights"] @ price, [2.31 / 2.1, (3 * 2.31 + 5.5) / (3 * 2.08 + 5.0)])


def test_a_reference_that_nobody_knows_has_no_rule(split: Split) -> None:
    silent = charged_prices(replace(split, past=split.past.drop(columns="competitor_price"))).products
    assert index_rules(IndexRule(rival_at_most=1.02), silent) == {}
    assert index_rules(IndexRule(month_at_most=1.02), silent)["index_names"] == ("month",)


@given(st.lists(st.tuples(*[st.floats(0.01, 1e4)] * 2), min_size=1, max_size=6), st.floats(0.1, 10))
def test_prices_at_the_reference_times_a_factor_have_it_as_index(
    rows: list[tuple[float, float]], factor: float
) -> None:
    units, reference = np.array(rows).T
    assert index_weights(units, reference) @ (factor * reference) == pytest.approx(factor)

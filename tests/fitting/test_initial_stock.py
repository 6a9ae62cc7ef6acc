"""What a market starts with: counts less later sales, by store, plus the deliveries of the first week; else it says so."""

import numpy as np
import pandas as pd
from repricer.data import Tables
from repricer.fitting.initial_stock import initial_stock, units_on_hand
from repricer.fitting.planned_weeks import planned_weeks
from repricer.forecasting import example_panel

END = pd.Timestamp("2024-02-05")
PRODUCTS = pd.DataFrame({"product": ["tea", "jam"], "name": ["Tea", "Jam"]})
USUAL = pd.Series({"tea": 4.0, "jam": 4.0})


def sold(*rows):
    return pd.DataFrame(rows, columns=["days", "store", "product", "units"]).assign(date=_date).drop(columns="days")


def counts(*rows):
    return pd.DataFrame(rows, columns=["days", "store", "product", "on_hand"]).assign(date=_date).drop(columns="days")


def _date(rows):
    return END - pd.to_timedelta(rows["days"], unit="D")


SALES = sold((3, "a", "tea", 5.0), (3, "b", "tea", 2.0), (1, "a", "tea", 1.0), (1, "a", "jam", 1.0))


def test_the_last_count_of_each_store_less_what_it_sold_since():
    stock = counts((9, "a", "tea", 99.0), (2, "a", "tea", 10.0), (5, "b", "tea", 7.0), (-3, "a", "tea", 50.0))
    found = units_on_hand(Tables(SALES, stock=stock), ["tea", "jam"], END)
    assert found["tea"] == (10 - 1) + (7 - 2)
    assert np.isnan(found["jam"])


def test_a_store_without_a_recent_count_leaves_the_product_unknown():
    for stock in (counts((2, "a", "tea", 10.0)), counts((2, "a", "tea", 10.0), (40, "b", "tea", 7.0))):
        assert units_on_hand(Tables(SALES, stock=stock), ["tea", "jam"], END).isna().all()


def test_counts_by_store_and_sales_of_the_shop():
    stock = counts((3, "a", "tea", 10.0), (2, "b", "tea", 10.0))
    assert units_on_hand(Tables(SALES.drop(columns="store"), stock=stock), ["tea"], END).tolist() == [19.0]


def test_deliveries_of_the_first_week_are_added_and_what_is_missing_is_said():
    stock = counts((2, "a", "tea", 2.0), (2, "b", "tea", 1.0), (2, "a", "jam", 3.0))
    plan = pd.DataFrame(
        {
            "date": END + pd.to_timedelta([2, 4, 9, 1], unit="D"),
            "product": ["tea", "tea", "tea", "no"],
            "delivery": [5.0, 1.0, 9.0, 7.0],
        }
    )
    units, said = initial_stock(Tables(SALES, stock=stock, plan=plan), PRODUCTS, END, USUAL)
    assert units.tolist() == [(2 - 1) + 1 + 6, 3 - 1]
    assert (
        "deliveries planned for its first week, and orders the rest by itself in place of later deliveries (1)"
        in said[0]
    )
    assert said[1].startswith("For 1 of 2 products that is less than a usual week's sales: Jam;")
    _, said = initial_stock(Tables(SALES, stock=stock.iloc[:2]), PRODUCTS, END, USUAL)
    assert said[0].endswith("without a recent count in every store, with the most that it orders up to: Jam.")
    units, said = initial_stock(Tables(SALES, plan=plan), PRODUCTS, END, USUAL)
    assert np.isnan(units).all()
    assert said[0].endswith("orders up to, and planned deliveries are not used.")


def test_counts_that_come_too_late_or_too_early_are_not_left_out_in_silence():
    for days, counted in ((-3, "2024-02-08 to 2024-02-08"), (40, "2023-12-27 to 2023-12-27")):
        _, said = initial_stock(Tables(SALES, stock=counts((days, "a", "tea", 9.0))), PRODUCTS, END, USUAL)
        assert f"from 2024-01-08 to 2024-02-04 (the table stock has counts of {counted}): the market starts" in said[0]
    _, said = initial_stock(Tables(SALES), PRODUCTS, END, USUAL)
    assert "are not known: the market starts" in said[0]


def test_a_plan_of_deliveries_alone_leaves_prices_as_they_are():
    panel = example_panel(n_products=1)
    sales = panel.assign(price_paid=panel["price"])
    regular = panel.groupby("product")["regular_price"].last()
    plan = pd.DataFrame(
        {"date": [panel["week"].max() + pd.Timedelta(weeks=1)], "product": regular.index, "delivery": 3.0}
    )
    pd.testing.assert_frame_equal(
        planned_weeks(panel, Tables(sales, plan=plan), regular, 3)[0],
        planned_weeks(panel, Tables(sales), regular, 3)[0],
    )

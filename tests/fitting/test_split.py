"""Which weeks and sale lines a market is fitted on."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from repricer.data import Tables
from repricer.fitting.demand import SalesGrids
from repricer.fitting.split import held_out, regular_price, weeks_to_come
from repricer.fitting.zones import Zone

START = pd.Timestamp("2023-01-02")
PRODUCTS = pd.DataFrame({"product": ["a", "b"], "category": "x"})


def shop(weeks: range | list[int], *stray: str, per_week: int = 1) -> Tables:
    """Eight lines of each of two products in every week, on as many days, and one line on each stray day."""
    open_ = [START + pd.Timedelta(weeks=week, days=day % per_week) for week in weeks for day in range(8)]
    dates = sorted([*open_, *map(pd.Timestamp, stray)])
    rows = [{"date": date, "product": name} for date in dates for name in "ab"]
    sales = pd.DataFrame(rows).assign(units=2.0, price_paid=3.0, regular_price=3.0)
    return Tables(sales, PRODUCTS)


@pytest.mark.filterwarnings("ignore:sales. left out")
@pytest.mark.parametrize(("period", "days"), [("week", 1), ("day", 6)])
@pytest.mark.parametrize("stray", ["2020-12-28", "2025-09-20"])
def test_stray_lines_change_neither_weeks_nor_lines(period, days, stray):
    good, odd = (shop(range(30), *lines, per_week=days) for lines in ((), (stray,)))
    for tables in (good, odd):
        tables.sales["store"] = "s"
    zone = Zone("s", {"s": ["s"]})
    expected, found = (held_out(tables, PRODUCTS, 4, zone, period) for tables in (good, odd))
    for proof, tables in ((expected, good), (found, odd)):
        assert proof.zones["units"].sum() == good.sales["units"].sum()
        assert weeks_to_come(tables, proof, 4, zone).sales["date"].between(START, "2023-07-31").all()
    pd.testing.assert_frame_equal(found.past, expected.past)
    pd.testing.assert_frame_equal(found.future, expected.future)
    pd.testing.assert_frame_equal(found.sales.reset_index(drop=True), expected.sales)
    assert found.plan == expected.plan


@pytest.mark.parametrize("zone", [None, Zone("z1", {"z1": ("s1",), "z2": ("s2", "s3")})])
def test_displays_and_stock_outs_of_one_store_say_nothing_of_the_others(zone):
    """Displays of all stores took the chain's share, and what one of them sold out of sold out everywhere; in a zone's fit all zones had its own."""
    tables = shop(range(30))
    sales = pd.concat([tables.sales.assign(store=store) for store in ("s1", "s2", "s3")])
    third = START + pd.Timedelta(weeks=2)
    tables = replace(
        tables,
        sales=sales,
        promotions=pd.DataFrame({"start_date": [third], "product": ["a"], "store": ["s2"]}),
        stock=pd.DataFrame({"date": [third], "product": ["b"], "store": ["s3"], "on_hand": [0.0]}),
    )
    proof = held_out(tables, PRODUCTS, 4, zone)
    for split in (proof, weeks_to_come(tables, proof, 4, zone)):
        grids = SalesGrids.of(split.past, ["a", "b"], split.past_places)
        shown, out = ([0, 1, 0], [0, 0, 1]) if zone is None else ([0, 0.5], [0, 1])
        assert grids.promotions["promotion"][:, 2, 0].tolist() == shown
        assert grids.sold_out[:, 2, 1].tolist() == out
        assert (grids.promotions["promotion"].sum(), grids.sold_out.sum()) == (sum(shown), 1)


def test_a_long_closure_is_said_to_leave_forecasts_uncertain():
    short = held_out(shop([*range(20), *range(22, 40)]), PRODUCTS, 4).plan
    assert "sold nothing, or less than 30% of the usual, in 2 of the weeks" in short[-1]
    said = held_out(shop([0, *range(2, 20), *range(30, 60)]), PRODUCTS, 4).plan
    assert "in 11 of the weeks" in said[-2]
    assert said[-1].startswith("The shop was closed for 10 weeks from 2023-05-22: forecasts are less certain")


def test_the_last_cost_in_the_sales_is_the_unit_cost_that_the_products_do_not_give():
    tables = shop(range(30))
    last = tables.sales["date"] >= START + pd.Timedelta(weeks=29)
    sales = tables.sales.assign(unit_cost=last.map({True: 1.5, False: 2.0}))
    assert held_out(replace(tables, sales=sales), PRODUCTS, 4).products["unit_cost"].tolist() == [1.5, 1.5]
    given = PRODUCTS.assign(unit_cost=[1.0, None])
    both = replace(tables, sales=sales, products=given)
    assert held_out(both, PRODUCTS, 4).products["unit_cost"].tolist() == [1.0, 1.5]
    assert held_out(both, given, 4).products["unit_cost"].tolist() == [1.0, 1.5]


@pytest.mark.parametrize(("period", "days"), [("week", 1), ("day", 6)])
def test_a_regular_price_is_that_since_its_last_move(period, days):
    """Three weeks ago, and again in the last week alone."""
    tables, end = shop(range(30), per_week=days), START + pd.Timedelta(weeks=30)
    moved = tables.sales["date"] >= end - pd.Timedelta(weeks=3)
    varied = (tables.sales["product"] == "b") & (tables.sales["date"] >= end - pd.Timedelta(weeks=1))
    sales = tables.sales.assign(regular_price=3.0 + 0.5 * moved + 0.1 * varied)
    proof = held_out(replace(tables, sales=sales), PRODUCTS, 4, period=period)
    assert regular_price(pd.concat([proof.past, proof.future])).to_dict() == pytest.approx({"a": 3.5, "b": 3.6})
    planned = weeks_to_come(replace(tables, sales=sales), proof, 4).future
    assert set(planned.loc[planned["product"] == "a", "regular_price"]) == {3.5}


def test_a_regular_price_that_varies_as_a_mean_over_stores_does_is_the_median_since_its_last_move():
    weeks = pd.date_range(START, periods=12, freq="7D")
    price = [3.0] * 7 + [3.5, 3.52, 3.49, 3.51, 3.5]
    assert regular_price(pd.DataFrame({"week": weeks, "product": "a", "regular_price": price})).to_dict() == {"a": 3.5}


@pytest.mark.parametrize(("last", "expected"), [([2.5], 3.0), ([2.8], 2.8), ([3.6], 3.6), ([2.5, 2.5], 2.5)])
def test_a_deep_fall_in_the_last_week_alone_is_no_move_of_the_regular_price(last, expected):
    weeks = pd.date_range(START, periods=12, freq="7D")
    price = [3.0] * (12 - len(last)) + last
    panel = pd.DataFrame({"week": weeks, "product": "a", "regular_price": price})
    assert regular_price(panel).to_dict() == {"a": expected}


def test_a_product_that_sold_nothing_in_the_last_week_has_the_regular_price_of_the_week_before():
    weeks = pd.date_range(START, periods=10, freq="7D")
    rows = [{"week": week, "product": name, "regular_price": 3.0} for week in weeks for name in "ab"]
    panel = pd.DataFrame(rows[:-1]).assign(regular_price=lambda table: 3.0 + (table["week"] >= weeks[8]))
    assert regular_price(panel).to_dict() == {"a": 4.0, "b": 4.0}


def test_the_weeks_of_a_zone_are_those_of_the_chain():
    """They began with the zone's first sale: a market of other weeks than those of the accounts and the other zones."""
    tables, zone = shop(range(30)), Zone("new", {"old": ("s1",), "new": ("s2",)})
    late = tables.sales[tables.sales["date"] >= START + pd.Timedelta(weeks=3)]
    late = late.assign(store="s2", date=late["date"] + pd.Timedelta(days=2))
    proof = held_out(replace(tables, sales=pd.concat([tables.sales.assign(store="s1"), late])), PRODUCTS, 4, zone)
    assert proof.past["week"].min() == START + pd.Timedelta(weeks=3)
    assert proof.weeks[-1] == START + pd.Timedelta(weeks=29)
    assert proof.zones.indexes["week"].equals(
        pd.DatetimeIndex(pd.unique(pd.concat([proof.past, proof.future])["week"]))
    )


def test_by_day_a_reduction_of_every_weekend_is_one_and_its_regular_price_that_of_the_week():
    """Regular prices were found by week, in which each mean holds a weekend."""
    days = pd.date_range(START, periods=7 * 20)
    paid = pd.Series(days).dt.day_of_week.ge(5).map({True: 3.0, False: 4.0})
    sales = pd.DataFrame({"date": days, "product": "a", "units": 5.0, "price_paid": paid, "regular_price": paid})
    sales = pd.concat([sales, sales.assign(product="b")])
    proof = held_out(Tables(sales, PRODUCTS), PRODUCTS, 4, period="day")
    assert (proof.past["regular_price"] == 4).all()
    assert (proof.sales["regular_price"] == 4).all()

"""The prices, promotions and holidays of the weeks to come: the plan first, then the tables, then the usual pattern."""

import numpy as np
import pandas as pd
import pytest
from repricer.data import DataError, Tables, product_weeks
from repricer.data.panel.aggregation import sales_panel
from repricer.data.panel.charged import with_charged
from repricer.fitting.planned_weeks import planned_weeks
from repricer.fitting.split import held_out, regular_price

FIRST = pd.Timestamp("2024-01-01")


def days(*weeks):
    return [FIRST + pd.Timedelta(days=7 * week) for week in weeks]


def shop(weeks, **tables):
    """Two products at 10 and 20; the first is at half its price in every fourth week."""
    rows = [
        (w, p, 10.0 * (1 + p) * (0.5 if p == 0 and w % 4 == 1 else 1.0), 10.0 * (1 + p))
        for w in range(weeks)
        for p in (0, 1)
    ]
    sales = pd.DataFrame(
        {
            "date": days(*[w for w, *_ in rows]),
            "product": [f"p{p}" for _, p, *_ in rows],
            "units": 3.0,
            "price_paid": [price for *_, price, _ in rows],
            "regular_price": [regular for *_, regular in rows],
        }
    )
    return Tables(sales, pd.DataFrame({"product": ["p0", "p1"], "category": "x"}), **tables)


def ahead(tables, weeks=8, regular=(12.0, 20.0)):
    panel = product_weeks(tables)
    rows, said = planned_weeks(panel, tables, pd.Series(regular, ["p0", "p1"]), weeks)
    return {
        name: rows.pivot(index="week", columns="product", values=name)
        for name in rows
        if name not in ("product", "week")
    }, said


def test_planned_prices_are_in_whole_cents():
    found, _ = ahead(shop(60), regular=(11.995, 0.123))
    assert found["price"]["p0"].tolist()[:2] == [12.0, 6.0]
    assert (found["price"]["p1"] == 0.123).all()
    # 11% off 0.97 is no 0.8633 in a shop that charges whole cents.
    dear = shop(60)
    dear.sales["price_paid"] = np.where(dear.sales["price_paid"] == 5, 8.9, dear.sales["price_paid"])
    found, _ = ahead(dear, regular=(0.97, 0.03))
    assert found["price"]["p0"].tolist()[:2] == [0.97, 0.86]
    assert (found["price"]["p1"] == 0.03).all()


def usual_plan(sales):
    """The rows of eight weeks to come of a shop without a plan."""
    tables = Tables(sales)
    panel = with_charged(product_weeks(sales), tables, sales_panel(tables))
    return planned_weeks(panel, tables, regular_price(panel), 8)[0]


def test_stores_with_price_levels_of_their_own_reduce_nothing_by_that():
    """Four zones of two stores with prices of their own, which sell more by turns; a deal of all, and one of a zone."""
    rows = [
        (week, store, round(level * off, 2), 30.0 if zone == week % 4 else 5.0)
        for week in range(60)
        for zone, level in enumerate((3.6, 3.9, 4.2, 4.5))
        for store in (2 * zone, 2 * zone + 1)
        for off in [0.75 if week % 4 == 1 or (zone == 0 and week % 4 == 3) else 1.0]
        if week != 50 or zone == 1
    ]
    sales = pd.DataFrame(rows, columns=["date", "store", "price_paid", "units"])
    sales = sales.assign(
        product="p0", regular_price=sales["price_paid"], date=days(*sales["date"]), store=sales["store"].astype(str)
    )
    rows = usual_plan(sales)
    np.testing.assert_allclose(rows["price"] / rows["regular_price"], [1, 0.75, 1, 1, 1, 0.75, 1, 1], atol=0.01)
    # No zone's price stands for all of them, even if a few stores had one in common for a week.
    # Whichever zone sold most lately.
    assert rows["regular_price"].unique() == pytest.approx([4.05], rel=0.01)


def test_a_move_of_all_stores_prices_counts_though_what_they_sell_varies():
    rows = [
        (week, store, round((3.6 + 0.3 * store) * (1.05 if week >= 58 else 1.0), 2), 30.0 if store == week % 4 else 5.0)
        for week in range(60)
        for store in range(4)
    ]
    sales = pd.DataFrame(rows, columns=["date", "store", "price_paid", "units"])
    sales = sales.assign(
        product="p0", regular_price=sales["price_paid"], date=days(*sales["date"]), store=sales["store"].astype(str)
    )
    assert usual_plan(sales)["regular_price"].unique() == pytest.approx([4.05 * 1.05], rel=0.01)


def test_products_for_which_stores_have_prices_of_their_own_are_named():
    rows = [
        (week, store, 4.0 + store * (product == "p1"), product)
        for week in range(30)
        for store in range(4)
        for product in ("p0", "p1")
    ]
    sales = pd.DataFrame(rows, columns=["date", "store", "price_paid", "product"])
    sales = sales.assign(
        units=3.0, regular_price=sales["price_paid"], date=days(*sales["date"]), store=sales["store"].astype(str)
    )
    products = pd.DataFrame({"product": ["p0", "p1"], "category": "x"})
    said = [line for line in held_out(Tables(sales, products), products, 6).plan if "no price in common" in line]
    assert len(said) == 1
    assert "Most of the 4 stores have no price in common for 1 of 2 products" in said[0]


def test_a_column_of_regular_prices_that_is_what_was_charged_before_is_named():
    """Tills keep what was charged in most of the last weeks: a deal of six weeks becomes the regular price, and is none then."""
    deal = np.array([week % 26 in range(8, 14) for week in range(52)])
    paid = np.where(deal, 3.0, 4.0)
    trailing = pd.Series(paid).rolling(8, min_periods=1).median().to_numpy()
    sales = pd.DataFrame({"date": days(*range(52)), "product": "p0", "units": 3.0, "price_paid": paid, "store": "s"})
    products = pd.DataFrame({"product": ["p0"], "category": "x"})

    def said(regular):
        found = held_out(Tables(sales.assign(regular_price=regular), products), products, 6)
        return [line for line in found.plan if "is another than the upper envelope" in line]

    assert len(said(np.fmax(trailing, paid))) == 1
    assert said(4.0) == [], "the shop's own regular price"
    assert said(paid) == [], "the tables give none"


def test_planned_prices_were_charged_and_are_no_means_over_stores():
    """In each week one of three stores charges less than the others, and coupons make single lines cheaper."""
    rows = [
        (week, store, price * (0.9 if store == week % 3 else 1.0) * coupon, price, units)
        for week in range(60)
        for store in range(3)
        for price in [1.99 if week % 4 == 1 else 2.79]
        for coupon, units in ((1.0, 5.0), (0.8, 2.0))
    ]
    sales = pd.DataFrame(rows, columns=["date", "store", "price_paid", "regular_price", "units"])
    sales = sales.assign(
        product="p0",
        regular_price=2.79 - 0.05 * (sales["store"] == 1),
        date=days(*sales["date"]),
        store=sales["store"].astype(str),
    )
    rows = usual_plan(sales)
    assert rows["price"].tolist() == [2.79, 1.99, 2.79, 2.79, 2.79, 1.99, 2.79, 2.79]
    assert (rows["regular_price"] == 2.79).all()


def test_the_usual_pattern_is_that_of_a_year_ago_at_current_regular_prices():
    found, said = ahead(shop(60))
    # Week 60 repeats week 8, and week 61 week 9, in which the first product was reduced by half.
    assert found["price"]["p0"].tolist() == [12, 6, 12, 12, 12, 6, 12, 12]
    assert found["price"]["p1"].tolist() == [20] * 8
    assert (found["regular_price"]["p0"] == 12).all()
    assert found["price"].index[0] == days(60)[0]
    assert "reductions of the same weeks a year ago" in said[0]


def test_without_regular_prices_the_envelope_of_those_paid_stands_in_and_it_says_so():
    tables, paid = shop(60), shop(60)
    paid.sales["regular_price"] = paid.sales["price_paid"]
    found, said = ahead(paid)
    pd.testing.assert_frame_equal(found["price"], ahead(tables)[0]["price"])
    assert "upper envelope of what was charged in the 13 weeks" in said[1]


def test_prices_that_never_fell_plan_no_reduction_and_say_so():
    tables = shop(60)
    tables.sales[["regular_price", "price_paid"]] = 12.0
    found, said = ahead(tables)
    assert (found["price"]["p0"] == 12).all()
    assert said[0] == "Current prices of the weeks to come: each product at its regular price."
    assert "import regular_price" in said[1]


def test_without_a_year_the_last_weeks_are_repeated():
    found, said = ahead(shop(42), weeks=4)
    assert found["price"]["p0"].tolist() == [12, 12, 12, 6]  # weeks 38 to 41
    assert "last 4 weeks (there is less than a year of history)" in said[0]


def test_weeks_that_a_year_ago_has_are_taken_from_there():
    found, said = ahead(shop(51), weeks=4)
    assert found["price"]["p0"].tolist() == [12, 12, 6, 12]  # week 47, then weeks 0 to 2
    assert "same weeks a year ago in 3 of 4 weeks" in said[0]


def test_promotions_and_holidays_in_the_tables_replace_the_pattern_as_far_as_they_reach():
    promotions = pd.DataFrame({"start_date": days(9, 11, 61), "product": ["p1", "p1", "p0"]})
    signals = pd.DataFrame({"date": days(8, 63), "name": "holiday", "value": 1.0})
    found, said = ahead(shop(60, promotions=promotions, signals=signals), weeks=4)
    assert found["promotion"]["p0"].tolist() == [0, 1, 0, 0]
    assert found["promotion"]["p1"].tolist() == [0, 0, 0, 1]  # of week 9 nothing is left, of week 11 the pattern
    assert found["holiday"]["p0"].tolist() == [0, 0, 0, 1]  # not that of week 8
    assert "displays and mailers, holidays" in said[0]
    assert [line.split(" are")[0] for line in said[1:]] == [
        "Displays and mailers until 2025-03-09",
        "Holidays until 2025-03-23",
    ]


@pytest.mark.parametrize("begin", ["2023-01-02", "2024-01-02", "2024-10-01"])
def test_holidays_of_past_years_come_on_their_dates_again(begin):
    known = ["2023-11-23", "2023-12-25", "2024-01-01", "2024-11-21"]
    signals = pd.DataFrame({"date": pd.to_datetime(["2022-11-24", "2022-12-25", "2023-01-01", *known]), "value": 1.0})
    sales = pd.DataFrame({"date": pd.date_range(begin, "2024-12-15"), "product": "p0", "units": 3.0})
    tables = Tables(sales.assign(price_paid=2.0, regular_price=2.0), signals=signals.assign(name="holiday"))
    rows, _ = planned_weeks(product_weeks(tables, days=1), tables, pd.Series([2.0], ["p0"]), 350)
    # The fourth Thursday of November moves; of Christmas and New Year not even a leap year moves the date.
    found = [f"{day:%Y-%m-%d}" for day in rows["week"][rows["holiday"] > 0]]
    assert found == ["2024-12-25", "2025-01-01", "2025-11-20"]


def test_discounts_of_promotions_to_come_reduce_the_regular_price():
    promotions = pd.DataFrame(
        {
            "start_date": [*days(60, 61, 62), days(63)[0] + pd.Timedelta(days=5)],
            "end_date": [pd.NaT, pd.NaT, days(62)[0] + pd.Timedelta(days=6), pd.NaT],
            "product": "p1",
            "store": [None, "a", None, None],
            "discount": [0.25, 0.3, None, 0.35],
        }
    )
    tables = shop(60, promotions=promotions)
    tables.sales["store"] = np.where(tables.sales["product"] == "p0", "a", "b")
    found, said = ahead(tables, weeks=5)
    # Of a store alone, half; of two days, two sevenths; the week after has the other five.
    assert found["price"]["p1"].tolist() == [15, 17, 20, 18, 15]
    assert found["price"]["p0"].tolist() == [12, 6, 12, 12, 12]
    assert list(said[-2:]) == [
        "Displays and mailers until 2025-03-23 are those that the tables hold already.",
        "Promotions that the tables hold already state a discount for 4 of these prices.",
    ]
    given = pd.DataFrame({"date": days(60), "product": ["p1"], "price": [19.0]})
    found, said = ahead(shop(60, promotions=promotions, plan=given), weeks=2)
    assert found["price"]["p1"].tolist() == [19, 14]


def test_a_promotion_that_runs_on_is_known_in_all_its_weeks():
    promotions = pd.DataFrame({"start_date": days(59), "end_date": days(62), "product": "p1"})
    found, said = ahead(shop(60, promotions=promotions), weeks=4)
    assert found["promotion"]["p1"].tolist() == [1, 1, 1, 0]
    assert list(said[1:]) == ["Displays and mailers that run on are those that the tables hold already."]


def test_the_plan_wins():
    plan = pd.DataFrame(
        {
            "date": [days(60)[0] + pd.Timedelta(days=2), days(61)[0], days(30)[0]],
            "product": ["p0", "p1", "p1"],
            "price": [9.0, 25.0, 1.0],
        }
    )
    found, said = ahead(shop(60, plan=plan), weeks=2)
    assert found["price"].to_numpy().tolist() == [[9, 20], [6, 25]]
    assert found["regular_price"].to_numpy().tolist() == [[12, 20], [12, 25]]
    assert (
        said[0]
        == "The plan gives 2 of 4 current prices of the weeks to come; 1 of its rows are for other weeks or products."
    )


def test_prices_that_the_plan_leaves_open_go_with_the_regular_prices_that_it_states():
    plan = pd.DataFrame(
        {
            "date": days(60, 61, 61),
            "product": ["p1", "p1", "p0"],
            "price": [None, 21.0, None],
            "regular_price": [22, 22, 10.0],
        }
    )
    found, _ = ahead(shop(60, plan=plan), weeks=2)
    assert found["price"].to_numpy().tolist() == [[12, 22], [5, 21]]
    assert found["regular_price"].to_numpy().tolist() == [[12, 22], [10, 22]]


def test_the_usual_pattern_is_said_only_of_what_the_plan_leaves_open():
    plan = pd.DataFrame({"date": days(60, 60, 61, 61), "product": ["p0", "p1"] * 2, "price": 9.0})
    _, said = ahead(shop(60, plan=plan), weeks=2)
    assert said == ("The plan gives 4 of 4 current prices of the weeks to come.",)
    promotions = pd.DataFrame({"start_date": days(9), "product": ["p1"]})
    for tables in (shop(60, plan=plan[:3]), shop(60, plan=plan, promotions=promotions)):
        _, said = ahead(tables, weeks=2)
        assert said[1].startswith("What the plan does not say: each product at its regular price, with the reductions")
    _, said = ahead(shop(60, plan=plan.assign(promotion=0.5), promotions=promotions), weeks=2)
    assert len(said) == 1


def test_several_planned_prices_of_a_week_are_said_to_be_averaged():
    plan = pd.DataFrame({"date": days(60, 60, 61), "product": "p0", "price": [9.0, 7.0, 9.0]})
    found, said = ahead(shop(60, plan=plan), weeks=2)
    assert found["price"]["p0"].tolist() == [8, 9]
    assert said[0] == (
        "The plan gives 2 of 4 current prices of the weeks to come; 1 of them is the mean of several in its rows."
    )


def test_a_plan_for_other_weeks_is_refused():
    plan = pd.DataFrame({"date": days(30), "product": ["p0"], "price": [9.0]})
    with pytest.raises(DataError, match=r"plan must hold dates from 2025-02-24 to 2025-03-09 .* got 2024-07-29 to"):
        ahead(shop(60, plan=plan), weeks=2)


def test_a_longer_market_than_the_history_goes_round():
    found, _ = ahead(shop(30), weeks=70)
    assert np.isfinite(found["price"].to_numpy()).all()

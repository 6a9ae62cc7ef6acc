from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repricer.data import DataError, product_weeks
from repricer.data.panel import aggregation


def sales_of(*lines, **more) -> pd.DataFrame:
    sales = pd.DataFrame(lines, columns=["date", "product", "units", "price_paid", "regular_price"])
    return sales.astype({"date": "datetime64[ns]", "units": float}).assign(**more)


@pytest.fixture
def shop() -> pd.DataFrame:
    """Three weeks from Wednesday 2024-01-03; B is first sold in the second, A not in the second."""
    return sales_of(
        ("2024-01-03", "A", 1, 2.0, 2.0),
        ("2024-01-09", "A", 3, 1.0, 2.0),
        ("2024-01-10", "B", 2, 5.0, 4.0),
        ("2024-01-17", "A", 4, 3.0, 4.0),
        customer=["x", "x", "y", None],
        basket=["1", "2", "3", "4"],
    )


def test_panel_by_hand(shop):
    products = pd.DataFrame({"product": ["A", "B", "C"], "category": ["fruit", "cheese", "fish"]})
    panel = product_weeks(shop, products=products)
    weeks = pd.to_datetime(["2024-01-03", "2024-01-10", "2024-01-17"])
    expected = pd.DataFrame(
        {
            "product": ["A"] * 3 + ["B"] * 3,
            "week": [*weeks, *weeks],
            "category": ["fruit"] * 3 + ["cheese"] * 3,
            "units": [4.0, 0, 4, 0, 2, 0],
            "revenue": [5.0, 0, 12, 0, 10, 0],
            "price": [1.25, 1.25, 3, None, 5, 5],
            "regular_price": [2.0, 2, 4, None, 4, 4],
            "discount_share": [0.375, 0.375, 0.25, None, 0, 0],
            "traffic": [2.0, 1, 1, 2, 1, 1],
        }
    )
    pd.testing.assert_frame_equal(panel, expected, check_dtype=False)


def test_unit_cost_is_weighted_by_the_units_whose_cost_is_known_and_carried_forward(shop):
    more = shop.iloc[[1]].assign(units=1.0, basket="5", unit_cost=0.8)
    panel = product_weeks(pd.concat([shop.assign(unit_cost=[1.0, 0.4, None, None]), more]).sort_values("date"))
    assert list(panel).index("unit_cost") == list(panel).index("traffic") - 1
    by_product = panel.groupby("product")["unit_cost"].apply(list)
    # The week without a sale and the one without a known cost keep the last known cost.
    np.testing.assert_allclose(by_product["A"], [(1 * 1.0 + 3 * 0.4 + 1 * 0.8) / 5] * 3)
    assert panel.loc[panel["product"] == "B", "unit_cost"].isna().all()


def test_many_rows_are_added_up_some_weeks_at_a_time_with_the_same_result(shop, monkeypatch):
    whole, seen = product_weeks(shop), []
    monkeypatch.setattr("repricer.data.weeks._ROWS_AT_ONCE", 2)
    monkeypatch.setattr(
        "repricer.data.panel.aggregation._visits", lambda rows, of=aggregation._visits: seen.append(rows) or of(rows)
    )
    pd.testing.assert_frame_equal(product_weeks(shop), whole)
    assert len(seen) > 1


@pytest.mark.parametrize("cost", [{}, {"unit_cost": None}])
def test_without_costs_in_the_sales_the_panel_has_none(shop, cost):
    assert "unit_cost" not in product_weeks(shop.assign(**cost))


def test_a_subset_keeps_the_weeks_and_the_traffic_of_the_whole_shop(shop):
    products = pd.DataFrame({"product": ["B"], "category": ["cheese"]})
    panel = product_weeks(shop, products=products)
    assert panel["product"].tolist() == ["B"] * 3
    assert panel["traffic"].tolist() == [2, 1, 1]


def test_without_baskets_traffic_counts_lines(shop):
    panel = product_weeks(pd.concat([shop, shop.head(1)]).drop(columns=["customer", "basket"]))
    assert panel["traffic"].tolist() == [3, 1, 1] * 2
    assert "category" not in panel


def test_lines_without_a_basket_are_visits_of_their_own(shop):
    panel = product_weeks(pd.concat([shop, shop.head(1), shop.head(1)]).assign(basket=["1", "1", "3", "4", None, None]))
    assert panel["traffic"].tolist() == [3, 1, 1] * 2


def test_a_week_without_any_sale_is_on_the_grid():
    panel = product_weeks(sales_of(("2024-01-01", "A", 1, 2.0, 2.0), ("2024-01-15", "A", 1, 3.0, 3.0)))
    assert panel["units"].tolist() == [1, 0, 1]
    assert panel["price"].tolist() == [2, 2, 3]
    assert panel["traffic"].tolist() == [1, 0, 1]


def test_something_given_away_has_no_discount_share_of_its_own():
    panel = product_weeks(sales_of(("2024-01-01", "A", 1, 0.0, 0.0), ("2024-01-01", "B", 1, 0.0, 2.0)))
    assert panel["discount_share"].tolist() == [0, 1]


def test_an_unfinished_last_week_is_left_out_with_a_warning():
    days = pd.date_range("2024-01-01", periods=7 * 5 + 3)
    sales = sales_of(*((day, "A", 1, 2.0, 2.0) for day in days))
    with pytest.warns(UserWarning, match=r"2024-02-05 ends after 3 days .* \(3 sale lines\)"):
        panel = product_weeks(sales)
    assert panel["week"].max() == pd.Timestamp("2024-01-29")
    assert panel["units"].tolist() == [7] * 5


@pytest.mark.parametrize("step", [1, 7])
def test_finished_weeks_all_stay(step, recwarn):
    days = pd.date_range("2024-01-01", "2024-02-11", freq=f"{step}D")
    panel = product_weeks(sales_of(*((day, "A", 1, 2.0, 2.0) for day in days)))
    assert len(panel) == 6
    assert not recwarn.list


def test_no_sales_are_refused(shop):
    with pytest.raises(DataError, match="must hold rows; got none"):
        product_weeks(shop.head(0))


SALES = st.lists(
    st.tuples(st.integers(0, 27), st.sampled_from("ABC"), st.integers(1, 9), st.integers(0, 50), st.integers(0, 50)),
    min_size=1,
    max_size=40,
).map(
    lambda lines: sales_of(
        *(
            (pd.Timestamp("2024-01-01") + pd.Timedelta(days=day), product, units, paid / 10, (paid + off) / 10)
            for day, product, units, paid, off in lines
        )
    )
)


@settings(deadline=None, max_examples=60)
@given(SALES, st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(sales, random):
    order = list(range(len(sales)))
    random.shuffle(order)
    pd.testing.assert_frame_equal(product_weeks(sales), product_weeks(sales.iloc[order]), check_exact=True)


@settings(deadline=None, max_examples=60)
@given(SALES, st.sampled_from([0.5, 4.0, 100.0]))
def test_another_currency_scales_money_and_nothing_else(sales, rate):
    priced = product_weeks(sales)
    other = product_weeks(
        sales.assign(price_paid=sales["price_paid"] * rate, regular_price=sales["regular_price"] * rate)
    )
    money = ["revenue", "price", "regular_price"]
    np.testing.assert_allclose(other[money], priced[money] * rate)
    pd.testing.assert_frame_equal(other.drop(columns=money), priced.drop(columns=money), atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(SALES)
def test_units_revenue_and_grid_are_whole(sales):
    panel = product_weeks(sales)
    assert panel["units"].sum() == sales["units"].sum()
    assert panel["revenue"].sum() == pytest.approx((sales["units"] * sales["price_paid"]).sum())
    assert len(panel) == panel["product"].nunique() * panel["week"].nunique()
    assert panel[["product", "week"]].equals(panel[["product", "week"]].sort_values(["product", "week"]))
    assert panel["discount_share"].dropna().between(0, 1).all()
    # Nothing but the prices before a product's first sale is unknown.
    sold_by_then = panel.groupby("product")["units"].cumsum() > 0
    for column in ("price", "regular_price", "discount_share"):
        assert panel[column].notna().equals(sold_by_then)
    assert not panel[["units", "revenue", "traffic"]].isna().any(axis=None)


@settings(deadline=None, max_examples=60)
@given(SALES, st.integers(1, 3), st.sampled_from([0.5, 3.0]))
def test_a_later_price_changes_no_earlier_row(sales, week, factor):
    """From week `week` on, everything is sold at other prices."""
    start = sales["date"].min() + pd.Timedelta(days=7 * week)
    later = sales["date"] >= start
    other = sales.assign(
        price_paid=sales["price_paid"].where(~later, sales["price_paid"] * factor),
        regular_price=sales["regular_price"].where(~later, sales["regular_price"] * factor),
    )
    before, after = product_weeks(sales), product_weeks(other)
    pd.testing.assert_frame_equal(before[before["week"] < start], after[after["week"] < start], check_exact=True)


def test_days_have_the_traffic_of_an_average_weekday():
    busy = {5: 3}
    lines = [
        (f"{day:%Y-%m-%d}", "A", 1, 2.0, 2.0)
        for day in pd.date_range("2024-01-01", periods=28)
        for _ in range(busy.get(day.day_of_week, 1) * (2 if day >= pd.Timestamp("2024-01-15") else 1))
    ]
    panel = product_weeks(sales_of(*lines), days=1)
    assert panel["week"].diff().dropna().unique().tolist() == [pd.Timedelta(days=1)]
    assert panel["units"].iloc[4:7].tolist() == [1.0, 3.0, 1.0]
    # Saturdays are no busier than other days; the second half is twice as busy as the first.
    np.testing.assert_allclose(panel["traffic"][14:] / panel["traffic"][13], 2.0)

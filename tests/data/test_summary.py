"""None"""

from __future__ import annotations

import json
from contextlib import nullcontext

import pandas as pd
import pytest
from repricer.data import Tables, plot_summary, sales_summary


@pytest.fixture
def sales() -> pd.DataFrame:
    """Four products; revenue 80 + 15 + 4 + 1 = 100, all but 10 units of A in the first week."""
    lines = [
        ("2024-01-30", "A", 10, 4.0, 5.0),
        ("2024-02-06", "A", 10, 4.0, 5.0),
        ("2024-01-30", "B", 5, 3.0, 3.0),
        ("2024-01-31", "C", 1, 4.0, 4.0),
        ("2024-02-06", "D", 1, 1.0, 9.0),
    ]
    frame = pd.DataFrame(lines, columns=["date", "product", "units", "price_paid", "regular_price"])
    return frame.astype({"date": "datetime64[ns]", "units": float})


def test_totals_by_hand(sales):
    summary = sales_summary(Tables(sales))
    assert (summary.lines, summary.products, summary.weeks) == (5, 4, 2)
    assert (summary.customers, summary.baskets) == (None, None)
    assert summary.first_day == pd.Timestamp("2024-01-30")
    assert summary.last_day == pd.Timestamp("2024-02-06")
    assert summary.revenue == pytest.approx(100)
    assert summary.units == 27
    assert summary.average_transaction_price == pytest.approx(100 / 27)
    assert summary.discount_share == pytest.approx(1 - 100 / 128)


def test_discounts_without_regular_prices_are_those_of_the_weekly_figures():
    """One week in four at 3 instead of 4, twice as many units: 60 of 200 units at a discount of 25%."""
    days = pd.date_range("2024-01-01", periods=20, freq="7D")
    low = pd.Series(days).index % 4 == 3
    sales = pd.DataFrame({"date": days, "product": "A", "units": 10.0, "price_paid": 4.0, "regular_price": 4.0})
    sales.loc[low, ["units", "price_paid", "regular_price"]] = [20.0, 3.0, 3.0]
    products = pd.DataFrame({"product": ["A"], "category": ["tea"]})
    summary = sales_summary(Tables(sales, products))
    share = 1 - summary.weekly["revenue"].sum() / (4.0 * summary.units)
    assert share == pytest.approx(0.1)
    assert summary.weekly["discount_share"].max() == pytest.approx(0.25)
    assert summary.discount_share == pytest.approx(share)
    assert summary.top_products["discount_share"].tolist() == pytest.approx([share])
    assert summary.categories["discount_share"].tolist() == pytest.approx([share])


@pytest.mark.parametrize("rate", [1, 0.1, 0.7, 1.1, 1 / 3])
def test_abc_classes_by_hand(sales, rate):
    """B starts at 80% and C at 95%, whatever the rounding of the currency: each is the first of its class."""
    abc = sales_summary(Tables(sales.assign(price_paid=sales["price_paid"] * rate))).abc
    assert abc["products"].to_dict() == {"A": 1, "B": 1, "C": 2}
    assert abc["revenue_share"].to_dict() == pytest.approx({"A": 0.80, "B": 0.15, "C": 0.05})


def test_one_product_is_class_a():
    sales = pd.DataFrame(
        {"date": pd.to_datetime(["2024-01-01"]), "product": ["A"], "units": [2.0], "price_paid": [3.0]}
    ).assign(regular_price=3.0, customer="c_1", basket="r1")
    summary = sales_summary(Tables(sales))
    assert summary.abc["products"].to_dict() == {"A": 1, "B": 0, "C": 0}
    assert (summary.customers, summary.baskets) == (1, 1)


def test_price_index_by_hand(sales):
    """The basket of 20 A, 5 B, 1 C and 1 D costs 100 and, with A at 6, 140."""
    dearer = sales.assign(price_paid=[4.0, 6.0, 3.0, 4.0, 1.0])
    assert sales_summary(Tables(dearer)).price_index.tolist() == pytest.approx([1.0, 140 / 100])


def test_price_index_does_not_see_a_shift_to_cheaper_products(sales):
    shifted = sales.assign(units=[1, 30, 9, 1, 7])
    assert sales_summary(Tables(shifted)).price_index.tolist() == pytest.approx([1, 1])


def test_seasonality_is_revenue_a_day_over_the_mean_day(sales):
    """59 in two days of January, 41 in six days of February, 100 in eight days."""
    seasonality = sales_summary(Tables(sales)).seasonality
    assert seasonality.to_dict() == pytest.approx({1: (59 / 2) / (100 / 8), 2: (41 / 6) / (100 / 8)})


def test_another_currency_changes_money_only(sales):
    summary = sales_summary(Tables(sales)).to_dict()
    rated = sales.assign(price_paid=sales["price_paid"] * 7, regular_price=sales["regular_price"] * 7)
    other = sales_summary(Tables(rated)).to_dict()
    for name in ("revenue", "average_transaction_price"):
        assert other.pop(name) == pytest.approx(7 * summary.pop(name))
    for rows in zip(
        [*other["weekly"].values(), *other["top_products"]],
        [*summary["weekly"].values(), *summary["top_products"]],
        strict=True,
    ):
        for name in {"revenue", "price"} & set(rows[0]):
            assert rows[0].pop(name) == pytest.approx(7 * rows[1].pop(name))
    assert json.loads(json.dumps(other), parse_float=lambda text: round(float(text), 9)) == json.loads(
        json.dumps(summary), parse_float=lambda text: round(float(text), 9)
    )


def test_weekdays_are_revenue_a_day_over_the_mean_day(sales):
    """Tuesdays 55 + 41, a Wednesday 4, in eight days from a Tuesday; no other day sells."""
    weekdays = sales_summary(Tables(sales)).weekdays
    mean = 100 / 8
    assert weekdays.to_dict() == pytest.approx({1: 0, 2: 48 / mean, 3: 4 / mean, 4: 0, 5: 0, 6: 0, 7: 0})


def test_weekly_totals_by_hand(sales):
    weekly = sales_summary(Tables(sales)).weekly
    assert weekly["revenue"].tolist() == pytest.approx([59, 41])
    assert weekly["units"].tolist() == [16, 11]
    assert weekly["discount_share"].tolist() == pytest.approx([1 - 59 / 69, 1 - 41 / 59])


def test_best_sellers_come_first_with_names_where_known(sales):
    products = pd.DataFrame({"product": list("ABCD"), "category": list("xxyy"), "name": ["Apple", None, "C", "D"]})
    summary = sales_summary(Tables(sales, products))
    assert summary.top_products["product"].tolist() == list("ABCD")
    assert summary.top_products["name"].tolist() == ["Apple", "B", "C", "D"]
    assert summary.top_products["revenue_share"].tolist() == pytest.approx([0.8, 0.15, 0.04, 0.01])
    assert summary.top_products["price"].tolist() == pytest.approx([4, 3, 4, 1])
    assert summary.top_products["discount_share"].tolist() == pytest.approx([0.2, 0, 0, 8 / 9])
    categories = summary.categories.set_index("category")
    assert categories["products"].to_dict() == {"x": 2, "y": 2}
    assert categories["revenue"].to_dict() == pytest.approx({"x": 95, "y": 5})
    assert categories["discount_share"].to_dict() == pytest.approx({"x": 1 - 95 / 115, "y": 1 - 5 / 13})


def test_what_no_table_tells_is_not_known(sales):
    summary = sales_summary(Tables(sales))
    assert (summary.categories, summary.stockouts, summary.promoted_units_share) == (None, None, None)


def test_stockouts_and_promotions_by_hand(sales):
    day = pd.to_datetime(["2024-02-07", "2024-02-07"])
    stock = pd.DataFrame({"date": day, "product": ["A", "B"], "on_hand": [0.0, 3.0]})
    promotions = pd.DataFrame({"start_date": pd.to_datetime(["2024-01-30"]), "product": ["A"]})
    summary = sales_summary(Tables(sales, stock=stock, promotions=promotions))
    assert summary.stockouts.tolist() == [0, 1]
    assert summary.promoted_units_share == pytest.approx(10 / 27)


def test_a_product_that_comes_late_does_not_move_the_price_index(sales):
    assert sales_summary(Tables(sales)).price_index.tolist() == pytest.approx([1, 1])


pytest.importorskip("matplotlib")
SALES = pd.DataFrame(
    {
        "date": pd.date_range("2024-01-01", periods=28),
        "product": ["tea", "jam"] * 14,
        "units": 1.0,
        "price_paid": [2.0, 3.0] * 14,
        "regular_price": [2.0, 3.0] * 14,
    }
)
PRODUCTS = pd.DataFrame({"product": ["tea", "jam"], "category": ["hot", "sweet"]})


@pytest.mark.parametrize(
    ("products", "title", "bars"),
    [
        (PRODUCTS, "revenue of the largest categories (currency)", ["hot", "sweet"]),
        (None, "revenue of the best sellers (currency)", ["tea", "jam"]),
    ],
)
def test_bars_are_named_as_what_they_are(products, title, bars, monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, *_, **__: drawn.append(figure))
    monkeypatch.setattr("repricer.data.summary.whole_file", nullcontext)
    plot_summary(sales_summary(Tables(SALES, products)), tmp_path / "sales.svg")
    axes = next(one for one in drawn[0].axes if one.get_title() == title)
    assert [label.get_text() for label in axes.get_yticklabels()] == bars

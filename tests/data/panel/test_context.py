from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from repricer.data import Tables, context_ahead, context_by_store, product_weeks, sales_panel

DAY = pd.Timestamp("2024-01-01")


def days(*offsets: int) -> pd.DatetimeIndex:
    return pd.DatetimeIndex([DAY + pd.Timedelta(days=offset) for offset in offsets])


@pytest.fixture
def sales() -> pd.DataFrame:
    """A and B in three weeks, two stores."""
    return pd.DataFrame(
        {
            "date": days(0, 0, 7, 14),
            "product": ["A", "B", "A", "A"],
            "units": 1.0,
            "price_paid": 2.0,
            "regular_price": 2.0,
            "store": ["s1", "s2", "s1", "s1"],
        }
    )


def panel(sales: pd.DataFrame, column: str, **tables: pd.DataFrame) -> list[list[float]]:
    """Three weeks of the column for A, and for B."""
    made = product_weeks(Tables(sales, **tables))
    return [made.loc[made["product"] == product, column].tolist() for product in "AB"]


def test_sales_alone_give_no_further_column(sales):
    assert product_weeks(Tables(sales)).equals(product_weeks(sales))


def test_tables_bring_their_product_table(sales):
    products = pd.DataFrame({"product": ["A", "B"], "category": ["x", "y"]})
    made = product_weeks(Tables(sales, products))
    pd.testing.assert_frame_equal(made, product_weeks(sales, products=products))
    subset = product_weeks(Tables(sales, products), products=products.head(1))
    assert subset["category"].unique().tolist() == ["x"]


def test_a_kind_that_is_the_price_reduction_is_no_display(sales):
    promotions = pd.DataFrame({"start_date": days(0, 0, 7), "product": "A", "kind": ["Deal", "feature", "TPR"]})
    assert panel(sales, "promotion", promotions=promotions) == [[1, 0, 0], [0, 0, 0]]
    # Of weeks to come, it says the discount all the same.
    ahead = promotions.assign(start_date=days(21, 28, 28), discount=0.2)
    found = context_ahead(Tables(sales, promotions=ahead), ["A"], DAY + pd.Timedelta(days=21), 2)
    assert found["promotion"].tolist() == [0, 1]
    assert found["discount"].tolist() == pytest.approx([0.2, 0.2])


def test_promotion_is_the_share_of_the_stores(sales):
    promotions = pd.DataFrame(
        {
            "start_date": days(0, 6, 14, 14, 14, -30),
            "end_date": [DAY, None, DAY + pd.Timedelta(days=15), DAY + pd.Timedelta(days=15), None, None],
            "product": ["A", "A", "A", "A", "B", "B"],
            "store": ["s1", "s2", "s1", "s1", None, "s1"],
        }
    ).astype({"end_date": "datetime64[ns]"})
    # Of two stores: both at some time of week 1, s2 in week 2 too, s1 (told twice) in week 3.
    assert panel(sales, "promotion", promotions=promotions) == [[1.0, 0.5, 0.5], [0, 0, 1]]


@pytest.mark.parametrize("dtype", ["object", "category"])
def test_stores_count_from_their_first_sale_to_their_last(dtype):
    opened = {"s1": range(8), "s2": range(4, 8), "s3": range(2), "s4": range(6)}
    sold = pd.DataFrame([(store, week) for store, weeks in opened.items() for week in weeks], columns=["store", "week"])
    sales = pd.DataFrame({"date": days(*(7 * sold["week"])), "product": "A", "units": 1.0, "price_paid": 2.0})
    sales = sales.assign(regular_price=2.0, store=sold["store"].astype(dtype))
    promoted = [(0, "s1"), (3, "s1"), (3, "s4"), (5, "s1"), (5, "s2"), (7, "s1"), (8, "s1"), (8, "s2"), (8, "s3")]
    promotions = pd.DataFrame({"start_date": days(*(7 * week for week, _ in promoted)), "product": "A"})
    tables = Tables(sales, promotions=promotions.assign(store=[store for _, store in promoted]))
    # Three stores at first, then s1 and s4, then s2 as well; s4 without a sale for two weeks may be small.
    expected = [1 / 3, 0, 0, 1, 0, 2 / 3, 0, 1 / 3]
    assert product_weeks(tables)["promotion"].tolist() == pytest.approx(expected)
    assert context_ahead(tables, ["A"], days(56)[0], 1)["promotion"].tolist() == pytest.approx([2 / 3])
    west = context_by_store(tables, sales_panel(tables), {"west": ["s1", "s2"]})
    assert west["promotion"].sel(store="west", product="A").to_numpy().tolist() == pytest.approx(
        [1, 0, 0, 1, 0, 1, 0, 0.5]
    )


def test_discounts_that_follow_one_another_in_a_week_add_up(sales):
    promotions = pd.DataFrame({"start_date": days(21, 24, 21), "end_date": days(23, 27, 22), "product": "A"})
    tables = Tables(sales, promotions=promotions.assign(discount=[0.2, 0.3, 0.1]))
    # Of those of the same days, the largest holds.
    assert context_ahead(tables, ["A"], days(21)[0], 1)["discount"].item() == pytest.approx((3 * 0.2 + 4 * 0.3) / 7)


def test_promotion_may_come_as_a_share_and_from_unknown_stores(sales):
    promotions = pd.DataFrame(
        {
            "start_date": days(0, 0, 7),
            "product": ["A", "A", "A"],
            "store": [None, "s1", "closed"],
            "store_share": [0.3, None, None],
        }
    )
    assert panel(sales, "promotion", promotions=promotions) == [[0.5, 0, 0], [0, 0, 0]]


def test_without_stores_in_the_sales_those_of_the_promotions_count(sales):
    promotions = pd.DataFrame({"start_date": days(0, 0, 7), "product": ["A", "A", "A"], "store": ["s1", "s2", "s1"]})
    expected = [[1, 0.5, 0], [0, 0, 0]]
    assert panel(sales.drop(columns="store"), "promotion", promotions=promotions) == expected
    assert panel(sales.assign(store=None), "promotion", promotions=promotions) == expected


def test_holidays_are_days(sales):
    signals = pd.DataFrame(
        {"date": days(0, 1, 1, 8, 40), "name": "holiday", "value": [None, 1.0, 1.0, 0.0, 1.0], "product": None}
    )
    assert panel(sales, "holiday", signals=signals) == [[2, 0, 0], [2, 0, 0]]


def test_stockouts_are_weeks_with_a_day_of_none(sales):
    stock = pd.DataFrame(
        {"date": days(0, 1, 8, 14, 99), "product": ["A", "A", "A", "B", "A"], "on_hand": [5.0, 0, 1, 0, 0]}
    )
    made = product_weeks(Tables(sales, stock=stock))
    assert made["stockout"].dtype == bool
    assert panel(sales, "stockout", stock=stock) == [[True, False, False], [False, False, True]]


def test_the_last_competitor_price_is_carried_forward(sales):
    signals = pd.DataFrame(
        {
            "date": days(-20, 2, 6, 6, 14, 30),
            "name": "competitor_price",
            "value": [9.0, 3.0, 4.0, 6.0, 7.0, 1.0],
            "product": ["B", "A", "A", "A", "A", "A"],
        }
    )
    assert panel(sales, "competitor_price", signals=signals) == [[5, 5, 7], [9, 9, 9]]


def test_a_competitor_price_is_unknown_before_the_first(sales):
    signals = pd.DataFrame({"date": days(8), "name": "competitor_price", "value": [3.0], "product": ["A"]})
    a, b = panel(sales, "competitor_price", signals=signals)
    np.testing.assert_equal(a, [np.nan, 3, 3])
    assert np.isnan(b).all()


def test_an_index_is_the_same_for_all_products(sales):
    signals = pd.DataFrame({"date": days(1, 2, 15), "name": "news", "value": [1.0, 2.0, 5.0]})
    assert panel(sales, "signal_news", signals=signals) == [[1.5, 1.5, 5]] * 2


def test_behaviour_is_counted_and_ratings_are_carried(sales):
    events = pd.DataFrame(
        {
            "date": days(0, 1, 8, 0, 1, 15),
            "product": ["A", "A", "A", "A", "A", "B"],
            "event": ["view", "view", "cart", "rating", "review", "rating"],
            "value": [None, 10.0, None, 4.0, 2.0, 5.0],
        }
    )
    assert panel(sales, "views", behaviour=events) == [[11, 0, 0], [0, 0, 0]]
    assert panel(sales, "carts", behaviour=events) == [[0, 1, 0], [0, 0, 0]]
    np.testing.assert_equal(panel(sales, "rating", behaviour=events), [[3, 3, 3], [np.nan, np.nan, 5]])
    views = events.query("event == 'view'")
    assert {"carts", "rating"}.isdisjoint(product_weeks(Tables(sales, behaviour=views)))


def test_order_of_rows_does_not_matter(sales):
    rng = np.random.default_rng(0)
    signals = pd.DataFrame({"date": days(*range(20)), "name": "competitor_price", "value": rng.random(20) + 0.1})
    signals = pd.concat([signals.assign(product="A"), signals.assign(name="news", product=None)], ignore_index=True)
    events = pd.DataFrame({"date": days(*range(20)), "product": "A", "event": "rating", "value": rng.random(20)})
    tables = Tables(sales, signals=signals, behaviour=events)
    turned = Tables(sales.iloc[::-1], signals=signals.sample(frac=1, random_state=0), behaviour=events.iloc[::-1])
    pd.testing.assert_frame_equal(product_weeks(tables), product_weeks(turned), check_exact=True)


def test_what_happens_later_changes_no_earlier_row(sales):
    signals = pd.DataFrame({"date": days(1, 8, 15), "name": "news", "value": [1.0, 2.0, 3.0]})
    events = pd.DataFrame({"date": days(1, 8, 15), "product": "A", "event": "rating", "value": [1.0, 2.0, 3.0]})
    cut = DAY + pd.Timedelta(days=14)
    whole = product_weeks(Tables(sales, signals=signals, behaviour=events))
    early = product_weeks(Tables(sales, signals=signals[signals["date"] < cut], behaviour=events[events["date"] < cut]))
    assert whole[whole["week"] < cut].equals(early[early["week"] < cut])


def test_context_by_store_keeps_the_order_of_the_products(sales):
    shown = pd.DataFrame({"start_date": [DAY], "product": ["B"], "store": ["s2"]})
    found = context_by_store(
        Tables(sales, promotions=shown), sales_panel(Tables(sales)).sel(product=["B", "A"]), {"south": ["s2"]}
    )
    assert found.indexes["product"].tolist() == ["B", "A"]
    assert found["promotion"].sel(store="south", product="B").to_numpy()[0] == 1.0

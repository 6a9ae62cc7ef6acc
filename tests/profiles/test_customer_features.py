from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from repricer.profiles import FEATURES, customer_features

PRODUCTS = pd.DataFrame({"product": ["tea", "jam", "soap"], "category": ["drinks", "spreads", "care"]})


@pytest.fixture
def sales():
    """Two weeks: Ann twice in one day and once later, Bob once."""
    return pd.DataFrame(
        {
            "date": pd.to_datetime(["2024-01-01", "2024-01-01", "2024-01-01", "2024-01-10", "2024-01-14"]),
            "product": ["tea", "jam", "tea", "tea", "jam"],
            "units": [1.0, 2.0, 3.0, 2.0, 4.0],
            "price_paid": [4.0, 3.0, 4.0, 3.0, 3.0],
            "regular_price": [4.0, 3.0, 4.0, 4.0, 4.0],
            "customer": ["ann", "ann", "ann", "ann", "bob"],
            "basket": ["b1", "b1", "b2", "b3", "b4"],
        }
    )


def test_by_hand(sales):
    features = customer_features(sales, products=PRODUCTS)
    # Below regular price: tea 2 of 6 units, jam 4 of 6. Ann would take 6/3 + 2·2/3 = 10/3 so, and took 2;
    # Bob would take 8/3, and took 4.
    expected = pd.DataFrame(
        {
            "recency_days": [4.0, 0.0],
            "frequency": [3 / 2, 1 / 2],
            "spend": [(4 + 6 + 12 + 6) / 2, 12 / 2],
            "visit_units": [8 / 3, 4.0],
            "n_categories": [2.0, 1.0],
            "discount_share": [2 / 30, 4 / 16],
            "promotion_affinity": [(2 + 1) / (10 / 3 + 1), (4 + 1) / (8 / 3 + 1)],
            # Tea is paid 22/6 a unit on average, jam 3.
            "price_sensitivity": [(6 * 22 / 6 + 2 * 3) / 28, 1.0],
        },
        index=pd.Index(["ann", "bob"], name="customer"),
    )
    pd.testing.assert_frame_equal(features, expected, check_index_type=False)
    behaviour = {"view_rate", "cart_rate", "rating_rate", "rating"}
    assert list(features) == [name for name in FEATURES if name not in behaviour]


def test_missing_kinds_of_data_leave_features_out_not_customers(sales):
    features = customer_features(sales.drop(columns=["regular_price", "basket"]))
    assert list(features) == ["recency_days", "frequency", "spend", "visit_units", "price_sensitivity"]
    assert features.loc["ann", "frequency"] == 1.0  # two days in two weeks
    assert list(features.index) == ["ann", "bob"]


def test_single_missing_entries(sales):
    sales.loc[[0, 1, 2], "basket"] = None
    sales.loc[0, "regular_price"] = np.nan  # as if bought at regular price
    extra = sales.assign(customer=None)
    features = customer_features(pd.concat([sales, extra], ignore_index=True))
    assert features.loc["ann", "frequency"] == 1.0  # lines of one day without a basket are one visit
    assert features.loc["ann", "discount_share"] == pytest.approx(2 / 30)
    assert list(features.index) == ["ann", "bob"]


def test_products_without_a_category_are_no_category(sales):
    features = customer_features(sales, products=PRODUCTS[PRODUCTS["product"] != "jam"])
    assert features["n_categories"].to_dict() == {"ann": 1.0, "bob": 0.0}


def test_as_of_looks_no_further(sales):
    early = customer_features(sales, as_of="2024-01-07")
    pd.testing.assert_frame_equal(early, customer_features(sales.iloc[:3], as_of="2024-01-07"))
    assert early.loc["ann", ["recency_days", "frequency"]].tolist() == [6.0, 2.0]


def test_order_of_rows_changes_nothing(sales):
    shuffled = sales.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(
        customer_features(shuffled, products=PRODUCTS), customer_features(sales, products=PRODUCTS)
    )


def test_currency_scales_spend_alone(sales):
    other = sales.assign(price_paid=sales["price_paid"] * 7, regular_price=sales["regular_price"] * 7)
    expected = customer_features(sales)
    expected["spend"] *= 7
    pd.testing.assert_frame_equal(customer_features(other), expected)


def test_free_goods_and_dearer_than_regular(sales):
    sales["regular_price"] = 0.0
    assert (customer_features(sales)["discount_share"] == 0).all()


def test_average_taker_of_promotions_is_one():
    rng = np.random.default_rng(0)
    n = 20_000
    promoted = rng.random(n) < 0.3
    sales = pd.DataFrame(
        {
            "date": pd.Timestamp("2024-01-01"),
            "product": rng.choice(["tea", "jam"], n),
            "units": 1.0,
            "price_paid": np.where(promoted, 3.0, 4.0),
            "regular_price": 4.0,
            "customer": rng.choice(["ann", "bob", "cy"], n),
        }
    )
    features = customer_features(sales)
    assert features["promotion_affinity"].to_numpy() == pytest.approx(1, abs=0.05)
    assert features["discount_share"].to_numpy() == pytest.approx(0.3 * 0.25, abs=0.005)


@pytest.fixture
def behaviour():
    rows = [
        ("2024-01-02", "ann", "view", np.nan),
        ("2024-01-03", "ann", "view", np.nan),
        ("2024-01-03", "ann", "rating", 2.0),
        ("2024-01-04", "ann", "review", 5.0),
        ("2024-01-04", "ann", "wink", 9.0),
        ("2024-01-04", "zoe", "view", np.nan),
        ("2024-01-20", "bob", "cart", 2.0),
    ]
    table = pd.DataFrame(rows, columns=["date", "customer", "event", "value"])
    return table.assign(date=pd.to_datetime(table["date"]), product="tea")


def test_behaviour(sales, behaviour):
    plain = customer_features(sales)
    features = customer_features(sales, behaviour=behaviour)
    # The only cart is filled after the last sale.
    assert list(features) == [*plain, "view_rate", "rating_rate", "rating"]
    assert features.loc["ann", ["view_rate", "rating_rate", "rating"]].tolist() == [1.0, 1.0, 3.5]
    assert features.loc["bob", ["view_rate", "rating_rate", "rating"]].tolist() == [0.0, 0.0, 3.5]
    later = customer_features(sales, behaviour=behaviour, as_of="2024-01-28")
    assert later["cart_rate"].to_dict() == {"ann": 0.0, "bob": 0.5}
    assert list(customer_features(sales, behaviour=behaviour, as_of="2024-01-28")) == [
        name for name in FEATURES if name != "n_categories"
    ]


def test_what_customers_did_before_the_sales_begin_is_in_no_rate(sales, behaviour):
    early = behaviour.assign(date=sales["date"].min() - pd.Timedelta(days=1), value=1.0)
    both = pd.concat([early, behaviour], ignore_index=True)
    pd.testing.assert_frame_equal(
        customer_features(sales, behaviour=both), customer_features(sales, behaviour=behaviour)
    )
    first = both.assign(date=sales["date"].min())
    assert (customer_features(sales, behaviour=first)["view_rate"].max()) > 0


def test_behaviour_of_the_wrong_shape(sales, behaviour):
    with pytest.raises(ValueError, match="behaviour: column 'event' is missing"):
        customer_features(sales, behaviour=behaviour.drop(columns="event"))


def test_traits_that_many_share():
    n = 120
    names = [f"c{i:03d}" for i in range(n)]
    sales = pd.DataFrame(
        {"date": pd.Timestamp("2024-01-01"), "product": "tea", "units": 1.0, "price_paid": 1.0, "customer": names}
    )
    # 60 are young, 50 old, one of a kind, and nine are not known at all.
    customers = pd.DataFrame(
        {
            "customer": names[:111],
            "age": ["young"] * 60 + ["old"] * 50 + ["ancient"],
            "children": [1.0] * 70 + [3.0] * 41,
            "debt": -1.0,
            "pet": [None] * 100 + ["dog"] * 11,
        }
    )
    features = customer_features(sales, customers=customers)
    traits = features.filter(like="trait:")
    assert list(traits) == ["trait:age=old", "trait:age=young", "trait:children"]
    assert traits["trait:age=young"].sum() == 60
    assert traits.loc["c110"].tolist() == [0.0, 0.0, 3.0]
    assert traits.loc["c119"].tolist() == [0.0, 0.0, 1.0]


def test_errors(sales):
    with pytest.raises(ValueError, match=r"sales: column 'customer' is missing; needed are .*; got date"):
        customer_features(sales.drop(columns="customer"))
    with pytest.raises(ValueError, match="no customer's sale up to as_of; got as_of 2023"):
        customer_features(sales, as_of="2023-01-01")

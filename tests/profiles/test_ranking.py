from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from repricer.profiles import Ease, Popularity, ndcg_at_k, rank_on_later_sales, recall_at_k
from sklearn.metrics import ndcg_score


def _recommended(**lists: str) -> pd.DataFrame:
    rows = [
        (customer, rank, product) for customer, products in lists.items() for rank, product in enumerate(products, 1)
    ]
    return pd.DataFrame(rows, columns=["customer", "rank", "product"])


def _relevant(**lists: str) -> pd.DataFrame:
    return pd.DataFrame([(c, p) for c, products in lists.items() for p in products], columns=["customer", "product"])


def test_by_hand():
    recommended = _recommended(ann="pqrs", bob="pqrs", eve="pqrs")
    relevant = _relevant(ann="qs", bob="x", cy="p")  # Cy was recommended nothing, Eve has nothing to hit
    # At 3, Ann: q at rank 2, out of two possible. Bob and Cy: none.
    assert recall_at_k(recommended, relevant, k=3) == pytest.approx((1 / 2) / 3)
    assert ndcg_at_k(recommended, relevant, k=3) == pytest.approx((1 / np.log2(3)) / (1 + 1 / np.log2(3)) / 3)
    # At 4, s at rank 4 as well.
    assert recall_at_k(recommended, relevant, k=4) == pytest.approx(1 / 3)
    gain = 1 / np.log2(3) + 1 / np.log2(5)
    assert ndcg_at_k(recommended, relevant, k=4) == pytest.approx(gain / (1 + 1 / np.log2(3)) / 3)


def test_best_possible_is_one():
    recommended = _recommended(ann="pq", bob="rs")
    relevant = _relevant(ann="pqrs", bob="r")
    assert recall_at_k(recommended, relevant, k=2) == 1
    assert ndcg_at_k(recommended, relevant, k=2) == 1
    assert recall_at_k(recommended, relevant, k=1) == 1


@pytest.mark.parametrize("k", [1, 3, 8])
def test_ndcg_agrees_with_scikit_learn(k):
    rng = np.random.default_rng(k)
    scores, truth = rng.random((30, 8)), rng.random((30, 8)) < 0.3
    truth[:, 0] |= ~truth.any(axis=1)  # everyone has something to hit
    order = np.argsort(-scores, axis=1)
    recommended = pd.DataFrame(
        {"customer": np.repeat(np.arange(30), 8), "rank": np.tile(np.arange(1, 9), 30), "product": order.ravel()}
    )
    relevant = pd.DataFrame(np.argwhere(truth), columns=["customer", "product"])
    assert ndcg_at_k(recommended, relevant, k=k) == pytest.approx(ndcg_score(truth, scores, k=k))


def test_nothing_to_measure():
    with pytest.raises(ValueError, match="got k 3 and 0 rows"):
        recall_at_k(_recommended(ann="p"), _relevant(), k=3)
    with pytest.raises(ValueError, match="got k 0 and 1 rows"):
        ndcg_at_k(_recommended(ann="p"), _relevant(ann="p"), k=0)


@pytest.fixture
def later_sales(block_sales):
    """After the block sales, everyone buys what was missing of their taste, and something new."""
    customers = block_sales["customer"].drop_duplicates()
    missing = customers.str[0] + "-" + (customers.str[1:].astype(int) % 6).astype(str)
    later = [pd.DataFrame({"customer": customers, "product": product}) for product in (missing, "new")]
    stranger = pd.DataFrame({"customer": ["zoe"], "product": ["milk"]})
    return pd.concat(
        [block_sales, pd.concat([*later, stranger]).assign(date=pd.Timestamp("2024-05-01"), units=1.0, price_paid=1.0)],
        ignore_index=True,
    )


def test_personal_beats_popular_where_tastes_differ(later_sales):
    models = {"popular": Popularity(), "personal": Ease(regularisation=5.0)}
    table = rank_on_later_sales(models, later_sales, test_from="2024-05-01", k=1)
    # a0 already had all of his taste: nothing new of it is left to hit.
    assert table["customers_new"].tolist() == [23, 23]
    assert table.loc["personal", ["recall_new", "ndcg_new"]].tolist() == [1, 1]
    assert table.loc["popular", "recall_new"] < 0.7
    assert "new" not in models["personal"].products_


def test_repeated_purchases_count_among_all(later_sales):
    table = rank_on_later_sales({"popular": Popularity()}, later_sales, test_from="2024-05-01", k=13)
    assert table.loc["popular", ["recall", "customers"]].tolist() == [1, 24]


def test_customers_with_few_purchases_are_left_out_on_demand(later_sales):
    again = later_sales[later_sales["customer"].isin(["a3", "b4"]) & (later_sales["date"] >= "2024-05-01")]
    sales = pd.concat([later_sales, again], ignore_index=True)
    table = rank_on_later_sales({"popular": Popularity()}, sales, test_from="2024-05-01", min_purchases=2)
    assert table["customers"].tolist() == [2]


def test_nothing_new_has_no_figures(block_sales):
    later = block_sales.assign(date=pd.Timestamp("2024-05-01"))
    table = rank_on_later_sales({"popular": Popularity()}, pd.concat([block_sales, later]), test_from="2024-05-01")
    assert table.loc["popular", "customers_new"] == 0
    assert np.isnan(table.loc["popular", "ndcg_new"])
    assert table.loc["popular", "recall"] > 0


def test_no_customer_on_both_sides(block_sales):
    with pytest.raises(ValueError, match="no customer to test on; got test_from 2030-01-01"):
        rank_on_later_sales({"popular": Popularity()}, block_sales, test_from="2030-01-01")

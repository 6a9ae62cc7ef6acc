"""One suite for every recommender, then what is particular to each."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from repricer.profiles import ItemItem, Popularity, recommend, segment_affinity, segment_candidates
from sklearn.exceptions import NotFittedError
from sklearn.metrics.pairwise import cosine_similarity

MODELS = {"popularity": Popularity, "item-item": ItemItem}


@pytest.fixture(params=MODELS.values(), ids=MODELS.keys())
def model(request):
    return request.param()


@pytest.fixture
def personal():
    return ItemItem(neighbours=6, shrinkage=1.0)


def test_scores_have_a_row_a_customer_and_a_column_a_product(model, block_sales):
    assert model.fit(block_sales) is model
    assert list(model.products_) == sorted(block_sales["product"].unique())
    scores = model.scores(["b3", "a0"])
    assert scores.shape == (2, 13)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores[1:], model.scores(["a0"]), rtol=1e-6)


def test_what_all_others_buy_comes_first(model, block_sales):
    best = model.fit(block_sales).recommend(["a0"], n=1)
    assert best["product"].tolist() == ["milk"]


def test_table_is_in_order(model, block_sales):
    table = model.fit(block_sales).recommend(["b3", "a1"], n=4, filter_seen=False)
    assert list(table.columns) == ["customer", "rank", "product", "score"]
    assert table["customer"].tolist() == ["b3"] * 4 + ["a1"] * 4
    assert table["rank"].tolist() == [1, 2, 3, 4] * 2
    for row, (_, part) in zip(model.scores(["b3", "a1"]), table.groupby("customer", sort=False), strict=True):
        np.testing.assert_allclose(part["score"], np.sort(row)[::-1][:4])
        np.testing.assert_allclose(part["score"], row[model.products_.get_indexer(part["product"])])


def test_seen_products_are_left_out_on_demand(model, block_sales):
    model.fit(block_sales)
    seen = set(map(tuple, block_sales[["customer", "product"]].to_numpy()))
    fresh = model.recommend(model.customers_, n=99)
    assert not seen & set(zip(fresh["customer"], fresh["product"], strict=True))
    assert len(fresh) + len(seen) == len(model.customers_) * len(model.products_)
    everything = model.recommend(model.customers_, n=99, filter_seen=False)
    assert everything.groupby("customer")["product"].nunique().eq(13).all()


def test_order_of_rows_and_batches_change_nothing(model, block_sales, monkeypatch):
    expected = model.fit(block_sales).recommend(model.customers_, n=3)
    monkeypatch.setattr(recommend, "_BATCH", 5)
    monkeypatch.setattr(recommend, "_PRODUCTS_AT_ONCE", 4)
    again = model.fit(block_sales.sample(frac=1, random_state=0)).recommend(model.customers_, n=3)
    pd.testing.assert_frame_equal(again, expected)


def test_nobody_gets_nothing(model, block_sales):
    table = model.fit(block_sales).recommend([], n=3)
    assert table.empty
    assert list(table.columns) == ["customer", "rank", "product", "score"]


def test_lines_without_customer_are_passed_over(model, block_sales):
    expected = model.fit(block_sales).scores(["a0"])
    nobody = block_sales.assign(customer=None, product="x-1")
    np.testing.assert_allclose(model.fit(pd.concat([block_sales, nobody])).scores(["a0"]), expected)


def test_errors(model, block_sales):
    with pytest.raises(NotFittedError):
        model.scores(["a0"])
    with pytest.raises(ValueError, match="column 'customer' is missing"):
        model.fit(block_sales.drop(columns="customer"))
    with pytest.raises(ValueError, match="lines with a customer; got none"):
        model.fit(block_sales.assign(customer=None))
    model.fit(block_sales)
    with pytest.raises(ValueError, match="got 2 unknown, the first 'zoe'"):
        model.recommend(["a0", "zoe", "yan"], n=1)
    with pytest.raises(ValueError, match="n must be 1 or more; got 0"):
        model.recommend(["a0"], n=0)


def test_popularity_counts_customers_not_lines(block_sales):
    model = Popularity().fit(block_sales)
    buyers = pd.Series(model.buyers_, index=model.products_)
    assert buyers["milk"] == 23
    assert buyers["b-2"] == 10  # b1's three more lines of it count once, and he was among the ten before
    assert buyers["a-0"] == 11


def test_item_item_completes_each_taste(personal, block_sales):
    best = personal.fit(block_sales).recommend(personal.customers_.drop("a0"), n=1)
    missing = [f"{customer[0]}-{int(customer[1:]) % 6}" for customer in best["customer"]]
    assert best["product"].tolist() == missing


@pytest.mark.parametrize("shrinkage", [0.0, 2.5])
def test_item_item_against_dense_algebra(block_sales, shrinkage):
    model = ItemItem(neighbours=13, shrinkage=shrinkage).fit(block_sales)
    counts = pd.crosstab(block_sales["customer"], block_sales["product"])
    weights = np.log1p(counts.to_numpy())
    norms = np.linalg.norm(weights, axis=0)
    likeness = weights.T @ weights / (np.outer(norms, norms) + shrinkage)
    if shrinkage == 0:
        np.testing.assert_allclose(likeness, cosine_similarity(weights.T))
    np.fill_diagonal(likeness, 0)
    np.testing.assert_allclose(model.likeness_.toarray(), likeness, rtol=1e-5)
    np.testing.assert_allclose(model.scores(counts.index), weights @ likeness, rtol=1e-5)


def test_item_item_keeps_the_nearest_of_each_product_scored(block_sales):
    full = ItemItem(neighbours=13).fit(block_sales).likeness_.toarray()
    few = ItemItem(neighbours=2).fit(block_sales).likeness_.toarray()
    assert ((few > 0).sum(axis=0) == 2).all()
    np.testing.assert_allclose(np.sort(few, axis=0)[-2:], np.sort(full, axis=0)[-2:])


@pytest.mark.parametrize("options", [{"neighbours": 0}, {"shrinkage": -1.0}])
def test_item_item_options(block_sales, options):
    with pytest.raises(ValueError, match="neighbours must be 1 or more and shrinkage 0 or more"):
        ItemItem(**options).fit(block_sales)


def test_affinity_is_the_mean_score_of_a_segment(model, block_sales, monkeypatch):
    monkeypatch.setattr(recommend, "_BATCH", 2)
    model.fit(block_sales)
    labels = pd.Series([1, 0, 1, 1], index=["b3", "a0", "b4", "b5"])
    products = ["milk", "b-0", "a-1"]
    affinity = segment_affinity(model, labels, products)
    scores = pd.DataFrame(model.scores(labels.index), index=labels.index, columns=model.products_)[products]
    assert affinity.shape == (2, 3)
    np.testing.assert_allclose(affinity.loc[0], scores.loc["a0"], rtol=1e-6)
    np.testing.assert_allclose(affinity.loc[1], scores.loc[["b3", "b4", "b5"]].mean(), rtol=1e-6)
    assert (affinity.index.name, affinity.columns.name) == ("segment", "product")


def test_candidates_follow_the_taste_of_the_segment(personal, block_sales):
    personal.fit(block_sales)
    labels = pd.Series([int(c[0] == "b") for c in personal.customers_], index=personal.customers_)
    products = personal.products_.drop("milk")
    candidates = segment_candidates(segment_affinity(personal, labels, products), 6)
    assert candidates.dtypes.eq(bool).all()
    assert set(products[candidates.loc[0]]) == {f"a-{j}" for j in range(6)}
    assert set(products[candidates.loc[1]]) == {f"b-{j}" for j in range(6)}


def test_candidates_are_n_even_with_ties():
    affinity = pd.DataFrame([[1.0, 1.0, 1.0], [0.0, 2.0, 0.0]], columns=["x", "y", "z"])
    expected = [[True, True, False], [True, True, False]]
    np.testing.assert_array_equal(segment_candidates(affinity, 2), expected)
    for n in (0, 4):
        with pytest.raises(ValueError, match=f"between 1 and the 3 products; got {n}"):
            segment_candidates(affinity, n)


def test_affinity_errors(model, block_sales):
    labels = pd.Series([0], index=["a0"])
    with pytest.raises(NotFittedError):
        segment_affinity(model, labels, ["milk"])
    with pytest.raises(ValueError, match="products must occur in the sales fitted; got 1 unknown, the first 'tea'"):
        segment_affinity(model.fit(block_sales), labels, ["milk", "tea"])

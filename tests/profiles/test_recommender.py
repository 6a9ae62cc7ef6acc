"""One suite for every recommender, then what is particular to each."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from repricer.profiles import (
    ContentBased,
    Ease,
    OwnFrequency,
    Popularity,
    recommenders,
    segment_affinity,
    segment_candidates,
)
from sklearn.exceptions import NotFittedError

IMPERSONAL = {
    "popularity": lambda _: Popularity(),
    "own-frequency": lambda _: OwnFrequency(),
    "own-frequency-decayed": lambda _: OwnFrequency(half_life_weeks=4),
}
PERSONAL = {
    "ease": lambda _: Ease(regularisation=5.0),
    "content": lambda attributes: ContentBased(attributes[~attributes["product"].str.endswith("new")]),
}
MODELS = IMPERSONAL | PERSONAL


@pytest.fixture(params=MODELS.values(), ids=MODELS.keys())
def model(request, attributes):
    return request.param(attributes)


@pytest.fixture(params=PERSONAL.values(), ids=PERSONAL.keys())
def personal(request, attributes):
    return request.param(attributes)


@pytest.fixture(params=[*IMPERSONAL.values(), PERSONAL["ease"]], ids=[*IMPERSONAL, "ease"])
def collaborative(request, attributes):
    return request.param(attributes)


def test_scores_have_a_row_a_customer_and_a_column_a_product(model, block_sales):
    assert model.fit(block_sales) is model
    assert list(model.products_) == sorted(block_sales["product"].unique())
    scores = model.scores(["b3", "a0"])
    assert scores.shape == (2, 13)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores[1:], model.scores(["a0"]), rtol=1e-6)


def test_what_all_others_buy_comes_first(collaborative, block_sales):
    best = collaborative.fit(block_sales).recommend(["a0"], n=1)
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
    scores = model.fit(block_sales).scores(model.customers_)
    expected = model.recommend(model.customers_, n=1)
    monkeypatch.setattr(recommenders, "_BATCH", 5)
    model.fit(block_sales.sample(frac=1, random_state=0))
    np.testing.assert_allclose(model.scores(model.customers_), scores, rtol=1e-4, atol=1e-5)
    pd.testing.assert_frame_equal(model.recommend(model.customers_, n=1), expected, rtol=1e-4)


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
    with pytest.raises(ValueError, match="got 2 unknown of 3; leave"):
        model.recommend(["a0", "zoe", "yan"], n=1)
    with pytest.raises(ValueError, match="n must be 1 or more; got 0"):
        model.recommend(["a0"], n=0)


def test_popularity_counts_customers_not_lines(block_sales):
    model = Popularity().fit(block_sales)
    buyers = pd.Series(model.buyers_, index=model.products_)
    assert buyers["milk"] == 23
    assert buyers["b-2"] == 10  # b1's three more lines of it count once, and he was among the ten before
    assert buyers["a-0"] == 11


def test_personal_models_complete_each_taste(personal, block_sales):
    best = personal.fit(block_sales).recommend(personal.customers_.drop("a0"), n=1)
    missing = [f"{customer[0]}-{int(customer[1:]) % 6}" for customer in best["customer"]]
    assert best["product"].tolist() == missing


def test_affinity_is_the_mean_score_of_a_segment(model, block_sales, monkeypatch):
    monkeypatch.setattr(recommenders, "_BATCH", 2)
    model.fit(block_sales)
    labels = pd.Series([1, 0, 1, 1], index=["b3", "a0", "b4", "b5"])
    products = ["milk", "b-0", "a-1"]
    affinity = segment_affinity(model, labels, products, min_size=1)
    scores = pd.DataFrame(model.scores(labels.index), index=labels.index, columns=model.products_)[products]
    assert affinity.shape == (2, 3)
    np.testing.assert_allclose(affinity.loc[0], scores.loc["a0"], rtol=1e-6)
    np.testing.assert_allclose(affinity.loc[1], scores.loc[["b3", "b4", "b5"]].mean(), rtol=1e-6)
    assert (affinity.index.name, affinity.columns.name) == ("segment", "product")


def test_candidates_follow_the_taste_of_the_segment(personal, block_sales):
    personal.fit(block_sales)
    labels = pd.Series([int(c[0] == "b") for c in personal.customers_], index=personal.customers_)
    products = personal.products_.drop("milk")
    candidates = segment_candidates(segment_affinity(personal, labels, products, min_size=1), 6)
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
        segment_affinity(model, labels, ["milk"], min_size=1)
    with pytest.raises(ValueError, match="sales fitted or in attributes; got 1 unknown, the first 'tea'"):
        segment_affinity(model.fit(block_sales), labels, ["milk", "tea"], min_size=1)


def test_products_never_sold_take_after_those_like_them(personal, block_sales, attributes):
    personal.fit(block_sales)
    labels = pd.Series([int(c[0] == "b") for c in personal.customers_], index=personal.customers_)
    affinity = segment_affinity(personal, labels, ["a-new", "b-new", "a-1"], attributes=attributes, min_size=1)
    assert affinity.loc[0, "a-new"] > affinity.loc[0, "b-new"]
    assert affinity.loc[1, "b-new"] > affinity.loc[1, "a-new"]
    # By category alone, a product is as much like each of its taste.
    by_category = segment_affinity(personal, labels, ["a-new"], attributes=attributes.drop(columns="name"), min_size=1)
    alike = segment_affinity(personal, labels, [f"a-{j}" for j in range(6)], min_size=1)
    np.testing.assert_allclose(by_category["a-new"], alike.mean(axis="columns"), rtol=1e-5)


def test_a_product_like_no_other_gets_the_mean(block_sales, attributes):
    model = Popularity().fit(block_sales)
    odd = pd.DataFrame({"product": ["kite"], "category": ["toys"], "name": ["paper kite"]})
    affinity = segment_affinity(
        model, pd.Series([0], index=["a0"]), ["kite"], attributes=pd.concat([attributes, odd]), min_size=1
    )
    assert affinity.loc[0, "kite"] == pytest.approx(model.buyers_.mean())


def test_content_scores_what_was_never_sold(block_sales, attributes):
    model = ContentBased(attributes).fit(block_sales)
    assert {"a-new", "b-new"} <= set(model.products_)
    best = model.recommend(["a0", "b3"], n=1)
    assert best["product"].tolist()[0] == "a-new"
    assert best["product"].tolist()[1] in {"b-3", "b-new"}
    with pytest.raises(ValueError, match="a product has one row; got 1 rows too many"):
        ContentBased(pd.concat([attributes, attributes.head(1)])).fit(block_sales)


def test_content_without_names_and_attributes(block_sales, attributes):
    known = attributes.drop(columns="name")[attributes["product"] != "milk"]
    scores = ContentBased(known).fit(block_sales).scores(["a0"])
    products = ContentBased(known).fit(block_sales).products_
    assert scores[0, products.get_loc("milk")] == 0
    assert scores[0, products.get_loc("a-new")] > scores[0, products.get_loc("b-new")] == 0


def test_own_frequency_by_hand():
    sales = pd.DataFrame(
        {
            "date": pd.to_datetime(["2024-01-01", "2024-01-01", "2024-01-16", "2024-01-29"]),
            "product": ["tea", "tea", "jam", "tea"],
            "customer": ["ann", "ann", "ann", "bob"],
        }
    )
    assert OwnFrequency().fit(sales).recommend(["ann"], n=1, filter_seen=False)["product"].tolist() == ["tea"]
    # Four weeks ago and one: 2 / 16 of tea against 1 / 2 of jam.
    model = OwnFrequency(half_life_weeks=1).fit(sales)
    np.testing.assert_allclose(model.scores(["ann"]), [[1 / 2, 2 / 16]], atol=2e-3)
    # What Bob never bought follows what he did.
    assert model.recommend(["bob"], n=2, filter_seen=False)["product"].tolist() == ["tea", "jam"]
    with pytest.raises(ValueError, match="half_life_weeks must be above 0, or None; got 0"):
        OwnFrequency(half_life_weeks=0).fit(sales)
    with pytest.raises(ValueError, match="column 'date' is missing"):
        OwnFrequency().fit(sales.drop(columns="date"))


def test_ease_against_its_definition(block_sales):
    """Each column of B is the ridge regression of a product on all the others."""
    model = Ease(regularisation=5.0).fit(block_sales)
    logs = np.log1p(pd.crosstab(block_sales["customer"], block_sales["product"]).to_numpy())
    for j in range(logs.shape[1]):
        others = np.arange(logs.shape[1]) != j
        x = logs[:, others]
        ridge = np.linalg.solve(x.T @ x + 5 * np.eye(x.shape[1]), x.T @ logs[:, j])
        np.testing.assert_allclose(model.weights_[others, j], ridge, atol=1e-4)
        assert model.weights_[j, j] == 0


def test_ease_of_a_larger_catalogue_takes_the_most_bought(block_sales):
    # No two products have as many lines at the border.
    block_sales = pd.concat([block_sales, block_sales[block_sales["product"].isin(["a-1", "a-2", "b-1"])]])
    model = Ease(regularisation=5.0, max_products=7).fit(block_sales)
    most_bought = block_sales["product"].value_counts().index[:7]
    assert set(model.products_) == set(most_bought)
    alone = Ease(regularisation=5.0).fit(block_sales[block_sales["product"].isin(most_bought)])
    np.testing.assert_allclose(model.scores(["a1", "b1"]), alone.scores(["a1", "b1"]), rtol=1e-4)


@pytest.mark.parametrize("options", [{"regularisation": 0.0}, {"max_products": 0}])
def test_ease_options(block_sales, options):
    with pytest.raises(ValueError, match="regularisation must be above 0 and max_products 1 or more"):
        Ease(**options).fit(block_sales)


def test_no_message_names_a_customer(block_sales):
    model = Popularity().fit(block_sales)
    with pytest.raises(ValueError, match="1 unknown") as caught:
        model.scores(["c_0123456789abcdef"])
    assert "c_0123456789abcdef" not in str(caught.value)

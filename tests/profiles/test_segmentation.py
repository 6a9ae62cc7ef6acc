from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from repricer.profiles import Segmentation
from repricer.profiles.segmentation import choose, merge_small, segment_names
from sklearn.exceptions import NotFittedError
from sklearn.metrics import adjusted_rand_score


@pytest.fixture(scope="module")
def chosen(planted):
    """Fitted with the number of segments left to the model."""
    return Segmentation().fit(planted[0])


@pytest.fixture(scope="module")
def three(planted):
    return Segmentation(n_segments=3).fit(planted[0])


def test_planted_groups_and_their_number_are_found(planted, chosen):
    _, truth = planted
    assert chosen.n_segments_ == 3
    assert adjusted_rand_score(truth, chosen.labels_[truth.index]) > 0.95
    table = chosen.selection_.set_index("k")
    assert list(table.index) == [2, 3, 4, 5, 6]
    assert table.loc[3, "stability"] > 0.95
    assert table["silhouette"].idxmax() == 3
    assert chosen.chosen_["k"] == 3


def test_new_customers_join_their_group(planted, three):
    drawn = planted[0].sample(40, random_state=3)
    truth = planted[1][drawn.index]
    new = (drawn * 1.02).set_axis([f"new{i}" for i in range(40)])
    labels = three.assign(new)
    assert list(labels.index) == list(new.index)
    assert adjusted_rand_score(truth, labels) > 0.95
    # Columns are found by name.
    pd.testing.assert_series_equal(three.assign(new[new.columns[::-1]]), labels)


def test_labels_are_what_assign_says(planted, three):
    pd.testing.assert_series_equal(three.assign(planted[0]), three.labels_)


def test_summary(planted, three):
    features, truth = planted
    summary = three.summary_
    assert list(summary.columns) == ["name", "size", "share", "value", *features.columns]
    assert list(summary.index) == [0, 1, 2]
    assert summary["size"].tolist() == three.labels_.value_counts().sort_index().tolist()
    assert summary["share"].sum() == pytest.approx(1)
    assert summary["value"].is_monotonic_decreasing
    means = features.groupby(three.labels_).mean()
    np.testing.assert_allclose(summary[features.columns], means)
    np.testing.assert_allclose(summary["value"], means["spend"])
    name = {group: summary["name"][three.labels_[truth == group].mode()[0]] for group in truth.unique()}
    assert "high-spending" in name["heavy"]
    assert "deal-seeking" in name["deals"]
    assert "full-price" in name["full"]


def test_tree_explains_the_segments(planted, three):
    features, _ = planted
    assert three.fidelity_ >= 0.95
    assert (three.tree_.predict(features[three.features_].to_numpy()) == three.labels_).mean() >= 0.95
    rules = three.rules()
    assert "discount_share <=" in rules
    assert all(name in rules for name in three.summary_["name"])


def test_no_figure_or_rule_describes_fewer_than_min_size(planted):
    features, truth = planted
    tiny = pd.concat([features[truth == "heavy"], features[truth == "deals"], features[truth == "full"][:10]])
    loose = Segmentation(n_segments=3, min_size=5).fit(tiny)
    assert loose.summary_["size"].min() == 10
    tight = Segmentation(n_segments=3, min_size=50).fit(tiny)
    assert tight.n_segments_ == 2
    assert tight.summary_["size"].min() >= 50
    assert set(tight.assign(features)) == {0, 1}


def test_no_leaf_of_the_tree_is_smaller_than_min_size(continuum):
    nodes = Segmentation(n_segments=5, min_size=40).fit(continuum).tree_.tree_
    leaves = nodes.n_node_samples[nodes.children_left == -1]
    assert len(leaves) > 1
    assert leaves.min() >= 40


def test_nothing_but_labels_carries_customer_ids(planted, three):
    text = three.summary_.to_string() + three.selection_.to_string() + three.rules()
    assert not any(customer in text for customer in planted[0].index)


@pytest.fixture(scope="module")
def five(continuum):
    return Segmentation(n_segments=5).fit(continuum)


@pytest.mark.parametrize("seed", [0, 1])
def test_order_and_names_of_customers_change_nothing(continuum, five, seed):
    expected = five.labels_
    shuffled = continuum.sample(frac=1, random_state=seed)
    labels = Segmentation(n_segments=5).fit(shuffled).labels_
    assert list(labels.index) == list(shuffled.index)
    pd.testing.assert_series_equal(labels, expected[shuffled.index])
    renamed = Segmentation(n_segments=5).fit(shuffled.set_axis(range(len(shuffled)))).labels_
    np.testing.assert_array_equal(renamed, labels)


@pytest.mark.parametrize("rate", [1e-3, 0.9, 117.0])
def test_currency_changes_nothing(continuum, five, rate):
    expected = five
    other = Segmentation(n_segments=5).fit(continuum.assign(spend=continuum["spend"] * rate))
    pd.testing.assert_series_equal(other.labels_, expected.labels_)
    np.testing.assert_allclose(other.summary_["value"], expected.summary_["value"] * rate)
    assert other.summary_["name"].tolist() == expected.summary_["name"].tolist()


def test_same_seed_same_result(planted, three):
    again = Segmentation(n_segments=3).fit(planted[0])
    pd.testing.assert_frame_equal(again.summary_, three.summary_)
    assert again.rules() == three.rules()


def test_processes_change_nothing(planted):
    alone, two = (Segmentation(candidates=[2, 3], n_jobs=jobs).fit(planted[0]) for jobs in (None, 2))
    pd.testing.assert_frame_equal(two.selection_, alone.selection_)


def test_price_response_outweighs_a_habit():
    # Two splits, equally wide: by discount share and, across it, by units a visit.
    rng = np.random.default_rng(0)
    deals, large = (rng.random((2, 400)) < 0.5).astype(float)
    noise = rng.lognormal(0, 0.1, (3, 400))
    features = pd.DataFrame(
        {
            "spend": 20 * noise[0],
            "visit_units": (1 + 3 * large) * noise[1],
            "discount_share": (1 + 3 * deals) * noise[2] / 10,
        }
    )
    labels = Segmentation(n_segments=2).fit(features).labels_
    assert adjusted_rand_score(deals, labels) > 0.95


def test_customers_all_alike_are_one_segment():
    features = pd.DataFrame({"spend": np.full(60, 5.0), "discount_share": 0.1})
    with pytest.warns(UserWarning, match="distinct clusters"):
        alike = Segmentation(candidates=[2]).fit(features)
    assert alike.n_segments_ == 1
    assert alike.summary_["name"].tolist() == ["all customers"]
    assert alike.fidelity_ == 1


def test_names_are_never_shared():
    deviations = pd.DataFrame({"spend": [0.9, 0.8, 0.7, -1.0], "frequency": [-0.5] * 4, "age": [0.1, 0.1, 0.1, 0.6]})
    assert segment_names(deviations) == [
        "high-spending, occasional",
        "high-spending, high age",
        "occasional, high age",
        "low-spending, high age",
    ]
    two = deviations[["spend", "frequency"]].head(2)
    assert segment_names(two) == ["high-spending, occasional", "segment 1"]


@pytest.mark.parametrize(
    ("stability", "silhouette", "k"),
    [
        ([0.95, 0.99, 0.60], [0.5, 0.7, 0.6], 3),  # the best by both
        ([0.95, 0.90, 0.85], [0.50, 0.45, 0.41], 4),  # all repeat and stand apart: the most
        ([0.95, 0.90, 0.85], [0.50, 0.45, 0.39], 3),  # the last splits clusters
        ([0.95, 0.79, 0.79], [0.3, 0.9, 0.9], 2),  # the others do not repeat
        ([0.50, 0.70, 0.60], [0.9, 0.3, 0.3], 3),  # none repeats: the most stable
    ],
)
def test_choose(stability, silhouette, k):
    table = pd.DataFrame({"k": [2, 3, 4], "stability": stability, "silhouette": silhouette})
    assert choose(table)["k"] == k


def test_merge_small_joins_the_nearest():
    points = np.array([0.0, 0.2, 0.1, 5.0, 10.0, 10.1, 10.2, 11.0, 11.1])[:, None]
    clusters = np.array([0, 0, 0, 1, 2, 2, 2, 3, 3])
    # The one at 5 is nearer to the mean at 0.1 than to 10.1; then the pair at 11 joins 10.1.
    np.testing.assert_array_equal(merge_small(points, clusters, 3), [0, 0, 2, 2])
    np.testing.assert_array_equal(merge_small(points, clusters, 1), [0, 1, 2, 3])
    assert len(set(merge_small(points, clusters, 100))) == 1


def test_features_that_cannot_be_used(planted, three):
    features, _ = planted
    one = features.index[0]
    cases = {
        "column 'spend' is missing": features.drop(columns="spend"),
        "a customer has one row; got 1 rows too many": pd.concat([features, features.loc[[one]]]),
        "frequency must be finite and 0 or more; got .* 1 missing": features.assign(
            frequency=features["frequency"].mask(features.index == one)
        ),
        "recency_days must be finite and 0 or more; got -3": features.assign(recency_days=-3.0),
        "at least 50 customers are needed .* got 49": features.head(49),
    }
    for message, table in cases.items():
        with pytest.raises(ValueError, match=message):
            Segmentation().fit(table)
    with pytest.raises(ValueError, match="column 'frequency' is missing; needed are recency_days"):
        three.assign(features.drop(columns="frequency"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_size": 0}, "min_size must be 1 or more"),
        ({"candidates": []}, "must be 1 or more; got"),
        ({"n_segments": 0}, "must be 1 or more; got"),
        ({"n_segments": 200}, "at least 600 customers are needed"),
    ],
)
def test_wrong_options(planted, options, message):
    with pytest.raises(ValueError, match=message):
        Segmentation(**options).fit(planted[0])


def test_unfitted(planted):
    for use in (lambda s: s.rules(), lambda s: s.assign(planted[0])):
        with pytest.raises(NotFittedError):
            use(Segmentation())

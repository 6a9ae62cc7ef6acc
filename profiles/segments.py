"""Customers to a few segments that differ in how they buy and how they answer to prices."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, RobustScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier, export_text
from sklearn.utils.validation import check_is_fitted

# Weights on standardised features. Segments serve to set prices: what customers are worth and how they answer
# to reductions lead, the latter most; the other features largely repeat these two and only decide close cases.
WEIGHTS = {"spend": 1.0, "discount_share": 1.25}
_OTHER_WEIGHT = 0.25

_WORDS = {
    "recency_days": ("recent", "lapsed"),
    "frequency": ("occasional", "frequent"),
    "spend": ("low-spending", "high-spending"),
    "visit_units": ("small-basket", "large-basket"),
    "n_categories": ("narrow-range", "wide-range"),
    "discount_share": ("full-price", "deal-seeking"),
    "promotion_affinity": ("promotion-shy", "promotion-led"),
}

# An adjusted Rand index above .8 counts as good agreement (Steinley 2004, Psychological Methods 9).
_STABLE = 0.8
# Splitting well separated clusters costs more silhouette than this; splitting a continuum does not.
_SILHOUETTE_KEPT = 0.8
_REPEATS = 20
_LARGEST_SAMPLE = 5000
# Cuts off splits between leaves of one segment; the tree answers the same with about half the rules.
_PRUNING = 0.01


class Segmentation(BaseEstimator):
    """Group customers by their features, explain the groups by a decision tree, and assign new customers.

    Features are scaled by x -> log(1 + x / interquartile range), standardised, cut at 3 standard deviations
    and weighted (`WEIGHTS`); the groups are KMeans clusters. A change of currency therefore changes
    nothing, nor does the order of the rows or what the customers are called.

    Args:
        n_segments: how many clusters to fit; None picks one of `candidates`, see `choose_k`.
        candidates: numbers of clusters to try.
        min_size: customers a segment must have. Smaller clusters join the nearest one, and no leaf of the
            tree is smaller, so that no figure or rule describes fewer customers (k-anonymity).
        seed: of the clusters, the halves and the tree.

    Attributes:
        features_: names of the features, in the order of the columns fitted.
        labels_: Series customer -> segment; segments count from 0 by falling value.
        n_segments_: how many segments there are, after merging.
        selection_: DataFrame with `k`, `stability` and `silhouette` of every number that was tried.
        summary_: DataFrame indexed by segment: `name`, `size` (customers), `share` (of customers), `value`
            (mean currency per week) and the means of the features, in their own units.
        tree_: decision tree on the features as they are, fitted on three quarters of the customers.
        fidelity_: share of the other quarter to whom the tree gives the segment of `assign`.
    """

    def __init__(
        self,
        *,
        n_segments: int | None = None,
        candidates: Sequence[int] = range(2, 7),
        min_size: int = 50,
        seed: int = 0,
    ):
        self.n_segments = n_segments
        self.candidates = candidates
        self.min_size = min_size
        self.seed = seed

    def fit(self, features: pd.DataFrame) -> Self:
        """Fit segments and tree on `features` (customers x features, all finite and 0 or more, with `spend`).

        Raises:
            ValueError: a feature is missing, negative or not finite, a customer occurs twice, or there are
                fewer customers than `min_size` or than three times the largest number of clusters.
        """
        if "spend" not in features:
            raise ValueError(
                f"features: column 'spend' is missing; got {', '.join(map(str, features.columns))}; add it"
            )
        self.features_ = list(features.columns)
        table = self._checked(features)
        candidates = self._candidates(len(table))
        # Sorted by what they hold, rows give the same result whatever their order and index.
        table = table.sort_values(self.features_)
        self._scaler: Pipeline = _scaler().fit(table.to_numpy())
        points = self._points(table)
        self.selection_ = pd.DataFrame([self._trial(k, points) for k in candidates])
        self._clusters = self._clusterer(choose_k(self.selection_)).fit(points)
        clusters = self._clusters.predict(points)
        merged = merge_small(points, clusters, self.min_size)
        value = table["spend"].groupby(merged[clusters]).mean().sort_values(ascending=False)
        self._segment_of_cluster = value.index.get_indexer(pd.Index(merged))
        self.n_segments_ = len(value)
        labels = self._segment_of_cluster[clusters]
        self.labels_ = _series(labels, table.index).reindex(features.index)
        self.summary_ = _summary(table, points, labels)
        self._explain(table, labels)
        return self

    def assign(self, features: pd.DataFrame) -> pd.Series:
        """Give each customer of `features` the segment of the nearest cluster.

        Raises:
            ValueError: a feature that was fitted is missing, negative or not finite.
        """
        check_is_fitted(self)
        table = self._checked(features)
        return _series(self._segment_of_cluster[self._clusters.predict(self._points(table))], table.index)

    def assign_by_tree(self, features: pd.DataFrame) -> pd.Series:
        """Give each customer of `features` the segment that the rules of the tree say; errors as `assign`."""
        check_is_fitted(self)
        table = self._checked(features)
        return _series(self.tree_.predict(table.to_numpy()), table.index)

    def rules(self) -> str:
        """Write the tree as indented text, with the names of the segments."""
        check_is_fitted(self)
        names = self.summary_["name"].loc[self.tree_.classes_]
        return export_text(self.tree_, feature_names=self.features_, class_names=list(names), decimals=3)

    def _clusterer(self, k: int) -> Any:
        """Make an unfitted model with `fit` and `predict`; what another kind of segmentation overrides."""
        return KMeans(k, n_init=10, random_state=self.seed)  # pyright: ignore[reportArgumentType]

    def _checked(self, features: pd.DataFrame) -> pd.DataFrame:
        missing = [name for name in self.features_ if name not in features]
        if missing:
            raise ValueError(
                f"features: column {missing[0]!r} is missing; needed are {', '.join(self.features_)}; "
                f"got {', '.join(map(str, features.columns))}; make them from the same kinds of tables"
            )
        table = features[self.features_].astype(float)
        if table.index.has_duplicates:
            raise ValueError(
                f"features: a customer has one row; got {table.index.duplicated().sum()} rows too many; drop them"
            )
        right = (table.ge(0) & table.lt(np.inf)).all()
        if not right.all():
            name = right.idxmin()
            raise ValueError(
                f"features: {name} must be finite and 0 or more; got {table[name].min()} to {table[name].max()}, "
                f"{table[name].isna().sum()} missing; leave those customers out"
            )
        return table

    def _candidates(self, n_customers: int) -> list[int]:
        if self.min_size < 1:
            raise ValueError(f"min_size must be 1 or more customers; got {self.min_size}")
        candidates = list(self.candidates) if self.n_segments is None else [self.n_segments]
        if not candidates or min(candidates) < 1:
            raise ValueError(f"numbers of segments must be 1 or more; got {candidates}; name at least one")
        needed = max(self.min_size, 3 * max(candidates))
        if n_customers < needed:
            raise ValueError(
                f"features: at least {needed} customers are needed for {max(candidates)} segments of "
                f"{self.min_size}; got {n_customers}; add customers, or lower min_size or the number of segments"
            )
        return candidates

    def _points(self, table: pd.DataFrame) -> NDArray[np.float64]:
        return self._scaler.transform(table.to_numpy()) * [WEIGHTS.get(f, _OTHER_WEIGHT) for f in self.features_]

    def _trial(self, k: int, points: NDArray[np.float64]) -> dict[str, float]:
        """Measure how well `k` clusters repeat and how far apart they lie."""
        rng = np.random.default_rng(self.seed)
        half = min(2 * len(points) // 5, _LARGEST_SAMPLE)
        agreement = []
        for _ in range(_REPEATS):
            shuffled = rng.permutation(points)
            held_out = shuffled[2 * half : 3 * half]
            one, other = (
                self._clusterer(k).fit(part).predict(held_out) for part in (shuffled[:half], shuffled[half : 2 * half])
            )
            agreement.append(adjusted_rand_score(one, other))
        sample = rng.permutation(points)[:_LARGEST_SAMPLE]
        labels = self._clusterer(k).fit_predict(sample)
        separation = silhouette_score(sample, labels) if 1 < len(np.unique(labels)) < len(sample) else 0.0
        return {"k": k, "stability": float(np.mean(agreement)), "silhouette": float(separation)}

    def _explain(self, table: pd.DataFrame, labels: NDArray[np.intp]) -> None:
        seen, unseen, answers, truth = train_test_split(
            table.to_numpy(), labels, test_size=0.25, random_state=self.seed
        )
        self.tree_ = DecisionTreeClassifier(
            min_samples_leaf=self.min_size, ccp_alpha=_PRUNING, random_state=self.seed
        ).fit(seen, answers)
        self.fidelity_ = float(self.tree_.score(unseen, truth))


def choose_k(selection: pd.DataFrame) -> int:
    """Choose the number of clusters from the columns `k`, `stability` and `silhouette` of `selection`.

    Stability is the adjusted Rand index (Hubert and Arabie 1985), on held-out customers, between models
    fitted on two disjoint samples. Of the numbers whose stability is at least .8, and whose silhouette
    (Rousseeuw 1987) is at least .8 of the best of these, the largest is taken: as many segments as
    repeat and stand apart. If none is so stable, the most stable one is taken.
    """
    stable = selection[selection["stability"] >= _STABLE]
    if stable.empty:
        return int(selection["k"].iloc[selection["stability"].argmax()])
    apart = stable["silhouette"] >= _SILHOUETTE_KEPT * stable["silhouette"].max()
    return int(stable["k"][apart].max())


def merge_small(points: NDArray[np.float64], clusters: NDArray[np.intp], min_size: int) -> NDArray[np.intp]:
    """Say which cluster each cluster joins, so that none with fewer than `min_size` points is left.

    Step by step the smallest joins the one with the nearest mean. Returns one entry a cluster, its own
    number where it stays.
    """
    merged = np.arange(clusters.max() + 1)
    while len(left := np.unique(merged[clusters])) > 1:
        sizes = np.array([(merged[clusters] == cluster).sum() for cluster in left])
        if sizes.min() >= min_size:
            break
        means = np.array([points[merged[clusters] == cluster].mean(axis=0) for cluster in left])
        smallest = sizes.argmin()
        distances = np.linalg.norm(means - means[smallest], axis=1)
        distances[smallest] = np.inf
        merged[merged == left[smallest]] = left[distances.argmin()]
    return merged


def _scaler() -> Pipeline:
    return make_pipeline(
        RobustScaler(with_centering=False),
        FunctionTransformer(np.log1p),
        StandardScaler(),
        FunctionTransformer(np.clip, kw_args={"a_min": -3, "a_max": 3}),
    )


def _series(labels: NDArray[Any], customers: pd.Index) -> pd.Series:
    return pd.Series(labels.astype(int), index=customers, name="segment")


def _summary(table: pd.DataFrame, points: NDArray[np.float64], labels: NDArray[np.intp]) -> pd.DataFrame:
    by_segment = table.groupby(labels)
    sizes = by_segment.size()
    centres = pd.DataFrame(points, columns=table.columns).groupby(labels).mean()
    summary = by_segment.mean()
    summary.insert(0, "name", _names(centres - points.mean(axis=0)))
    summary.insert(1, "size", sizes)
    summary.insert(2, "share", sizes / len(table))
    summary.insert(3, "value", summary["spend"])
    return summary.rename_axis("segment")


def _names(deviations: pd.DataFrame) -> list[str]:
    """Name each segment by the two features in which it differs most, no two alike."""
    names: list[str] = []
    if len(deviations) == 1:
        return ["all customers"]
    for segment, row in deviations.iterrows():
        telling = row.abs().sort_values(ascending=False, kind="stable").index
        pairs = (", ".join(_word(name, row[name]) for name in pair) for pair in combinations(telling, 2))
        names.append(next((pair for pair in pairs if pair not in names), f"segment {segment}"))
    return names


def _word(feature: str, deviation: float) -> str:
    low, high = _WORDS.get(feature, (f"low {feature}", f"high {feature}"))
    return high if deviation > 0 else low

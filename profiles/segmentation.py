"""Segments of customers that differ in how they buy and how they respond to prices."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, RobustScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier, export_text
from sklearn.utils.validation import check_is_fitted

from .cluster_selection import KINDS, choose, clusterer, compare, merge_small
from .customer_features import LEAST_CUSTOMERS, TRAIT

WEIGHTS = {"spend": 1.0, "discount_share": 1.25}
"""Weights on the standardised features.

Segments serve to set prices, so the value of customers and their response to reductions lead, the
response most. The other features largely repeat these two and decide close cases only.
"""

_OTHER_WEIGHT = 0.25


def fit_scaler(table: pd.DataFrame) -> Pipeline:
    """Fit x -> log(1 + x / interquartile range), standardised and cut at 3 standard deviations.

    A change of currency changes nothing, and a few very large customers do not get a segment of
    their own.
    """
    scaler = make_pipeline(
        RobustScaler(with_centering=False),
        FunctionTransformer(np.log1p),
        StandardScaler(),
        FunctionTransformer(np.clip, kw_args={"a_min": -3, "a_max": 3}),
    )
    return scaler.fit(table.to_numpy())


def weighted_points(scaler: Pipeline, table: pd.DataFrame, features: Sequence[str]) -> NDArray[np.float64]:
    """Customers as points (customers, features), in which the distance says how alike they are."""
    return scaler.transform(table.to_numpy()) * [WEIGHTS.get(name, _OTHER_WEIGHT) for name in features]


# Removes splits between leaves of one segment: half the rules, the same answers.
_PRUNING = 0.01


class Segmentation(BaseEstimator):
    """Clusters customers by their features and explains the clusters by a decision tree.

    `WEIGHTS` says which features count and how much. The result depends neither on the
    currency nor on the order or the names of the customers. Traits (columns "trait:...") are
    averaged by segment but do not form segments: prices by age or income are not for this model to
    set.

    Args:
        n_segments: number of clusters; None chooses one of `candidates` (see
            `cluster_selection.choose`).
        candidates: numbers of clusters to compare.
        kinds: kinds of clusters to compare, of `cluster_selection.KINDS`.
        min_size: least number of customers in a segment. Smaller clusters join the nearest one, and
            no leaf of the tree is smaller, so that no figure or rule describes fewer customers
            (k-anonymity).
        seed: seed of the clusters, of the samples that judge them and of the tree.
        n_jobs: processes that compare the clusters (joblib); the result does not depend on it.

    Attributes:
        features_: names of the features that form segments, in the order fitted.
        labels_: Series customer -> segment; segments count from 0 by falling value.
        n_segments_: number of segments, after merging.
        selection_: the comparison of the clusters, see `cluster_selection.compare`.
        chosen_: the row of `selection_` that was chosen.
        summary_: one row per segment: `name`, `size` (customers), `share` (of customers), `value`
            (mean currency per week) and the means of the features, in their own units.
        tree_: decision tree on the features in their own units, fitted on three quarters of the
            customers.
        fidelity_: share of the other quarter to which the tree gives the segment of `assign`.

    Example:
        >>> import numpy as np, pandas as pd
        >>> rng = np.random.default_rng(0)
        >>> spend, discount = np.repeat([[90.0, 0.1], [10.0, 0.3]], 100, axis=0).T * rng.lognormal(0, 0.1, (2, 200))
        >>> features = pd.DataFrame({"spend": spend, "discount_share": discount})
        >>> segments = Segmentation(n_segments=2).fit(features)
        >>> segments.summary_["size"].tolist()
        [100, 100]
        >>> segments.assign(pd.DataFrame({"spend": [12.0], "discount_share": [0.25]})).tolist()
        [1]
    """

    def __init__(
        self,
        *,
        n_segments: int | None = None,
        candidates: Sequence[int] = range(2, 7),
        kinds: Sequence[str] = KINDS,
        min_size: int = LEAST_CUSTOMERS,
        seed: int = 0,
        n_jobs: int | None = None,
    ):
        self.n_segments = n_segments
        self.candidates = candidates
        self.kinds = kinds
        self.min_size = min_size
        self.seed = seed
        self.n_jobs = n_jobs

    def fit(self, features: pd.DataFrame) -> Self:
        """Fit segments and tree.

        Args:
            features: customers x features, all finite and 0 or more, with the column `spend`.

        Raises:
            ValueError: a feature is missing, negative or not finite, a customer occurs twice, or
                there are fewer customers than `min_size` or three times the largest number of
                clusters.
        """
        if "spend" not in features:
            raise ValueError(
                f"features: column 'spend' is missing; got {', '.join(map(str, features.columns))}; add it"
            )
        self.features_ = [name for name in features.columns if not str(name).startswith(TRAIT)]
        table = self._checked(features)
        candidates = self._candidates(len(table))
        # Sorted by value, so that neither order nor index of the rows matters.
        table = table.sort_values(self.features_)
        self._scaler: Pipeline = fit_scaler(table)
        points = self._points(table)
        self.selection_ = compare(points, self.kinds, candidates, self.seed, n_jobs=self.n_jobs)
        self.chosen_ = choose(self.selection_)
        self._clusters = clusterer(self.chosen_["clusters"], self.chosen_["k"], self.seed).fit(points)
        clusters = self._clusters.predict(points)
        merged = merge_small(points, clusters, self.min_size)
        value = table["spend"].groupby(merged[clusters]).mean().sort_values(ascending=False)
        self._segment_of_cluster = value.index.get_indexer(pd.Index(merged))
        self.n_segments_ = len(value)
        labels = self._segment_of_cluster[clusters]
        self.labels_ = _series(labels, table.index).reindex(features.index)
        traits = features.drop(columns=self.features_).loc[table.index]
        self.summary_ = _summary(table, points, labels).join(traits.groupby(labels).mean())
        self._explain(table, labels)
        return self

    def assign(self, features: pd.DataFrame) -> pd.Series:
        """Return the segment of the nearest cluster for each customer of `features`.

        Raises:
            ValueError: a feature that was fitted is missing, negative or not finite.
        """
        check_is_fitted(self)
        table = self._checked(features)
        return _series(self._segment_of_cluster[self._clusters.predict(self._points(table))], table.index)

    def assign_by_tree(self, features: pd.DataFrame) -> pd.Series:
        """Return the segment that the tree gives each customer of `features`; errors as `assign`."""
        check_is_fitted(self)
        table = self._checked(features)
        return _series(self.tree_.predict(table.to_numpy()), table.index)

    def rules(self) -> str:
        """Return the tree as indented text, with the names of the segments."""
        check_is_fitted(self)
        names = self.summary_["name"].loc[self.tree_.classes_]
        return export_text(self.tree_, feature_names=self.features_, class_names=list(names), decimals=3)

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
        if not self.kinds:
            raise ValueError("kinds of clusters must be one or more; got none; name at least one")
        needed = max(self.min_size, 3 * max(candidates))
        if n_customers < needed:
            raise ValueError(
                f"features: at least {needed} customers are needed for {max(candidates)} segments of "
                f"{self.min_size}; got {n_customers}; add customers, lower min_size or the number of segments, or import the "
                "sales without the column customer"
            )
        return candidates

    def _points(self, table: pd.DataFrame) -> NDArray[np.float64]:
        return weighted_points(self._scaler, table, self.features_)

    def _explain(self, table: pd.DataFrame, labels: NDArray[np.intp]) -> None:
        seen, unseen, answers, truth = train_test_split(
            table.to_numpy(), labels, test_size=0.25, random_state=self.seed
        )
        self.tree_ = DecisionTreeClassifier(
            min_samples_leaf=self.min_size, ccp_alpha=_PRUNING, random_state=self.seed
        ).fit(seen, answers)
        self.fidelity_ = float(self.tree_.score(unseen, truth))


def _series(labels: NDArray[Any], customers: pd.Index) -> pd.Series:
    return pd.Series(labels.astype(int), index=customers, name="segment")


def _summary(table: pd.DataFrame, points: NDArray[np.float64], labels: NDArray[np.intp]) -> pd.DataFrame:
    by_segment = table.groupby(labels)
    sizes = by_segment.size()
    centres = pd.DataFrame(points, columns=table.columns).groupby(labels).mean()
    summary = by_segment.mean()
    summary.insert(0, "name", segment_names(centres - points.mean(axis=0)))
    summary.insert(1, "size", sizes)
    summary.insert(2, "share", sizes / len(table))
    summary.insert(3, "value", summary["spend"])
    return summary.rename_axis("segment")


_WORDS = {
    "recency_days": ("recent", "lapsed"),
    "frequency": ("occasional", "frequent"),
    "spend": ("low-spending", "high-spending"),
    "visit_units": ("small-basket", "large-basket"),
    "n_categories": ("narrow-range", "wide-range"),
    "discount_share": ("full-price", "deal-seeking"),
    "promotion_affinity": ("promotion-shy", "promotion-led"),
    "price_sensitivity": ("price-insensitive", "price-sensitive"),
    "view_rate": ("seldom-looking", "often-looking"),
    "cart_rate": ("seldom-choosing", "often-choosing"),
    "rating_rate": ("seldom-rating", "often-rating"),
    "rating": ("critical", "content"),
}
"""A feature's words for below and above the average."""


def segment_names(deviations: pd.DataFrame) -> list[str]:
    """Name each segment by the two features in which it differs most; no two names are equal.

    Args:
        deviations: segments x features, the distance of a segment's mean from that of all
            customers.
    """
    names: list[str] = []
    if len(deviations) == 1:
        return ["all customers"]
    for segment, row in deviations.iterrows():
        strongest = row.abs().sort_values(ascending=False, kind="stable").index
        pairs = (", ".join(_word(name, row[name]) for name in pair) for pair in combinations(strongest, 2))
        names.append(next((pair for pair in pairs if pair not in names), f"segment {segment}"))
    return names


def _word(feature: str, deviation: float) -> str:
    low, high = _WORDS.get(feature, (f"low {feature}", f"high {feature}"))
    return high if deviation > 0 else low

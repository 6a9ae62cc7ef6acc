"""Segments of customers that differ in how they buy and how they respond to prices."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import norm
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, RobustScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier, export_text
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from ..privacy.noise import Array, noise_of_sums, noisy_sums
from .customer_features import LEAST_CUSTOMERS, TRAIT, require_columns

WEIGHTS = {"spend": 1.0, "discount_share": 1.25}
"""Weights on the standardised features.

Segments serve to set prices, so the value of customers and their response to reductions lead, the
response most. The other features largely repeat these two and decide close cases only.
"""

_OTHER_WEIGHT = 0.25
STABLE = 0.8
"""An adjusted Rand index above it counts as good agreement (Steinley 2004,
Psychological Methods 9).
"""
# Splitting well separated clusters costs more silhouette than this; splitting a continuum does not.
_SILHOUETTE_KEPT = 0.8
_REPEATS = 10
_LARGEST_SAMPLE = 5000
FORMED_BY = ("spend", "discount_share")
"""The features that form segments; the others need what other customers do."""
# Spend per week in octaves, from .01 to 10 million of any currency.
_SPEND = np.log(2.0) * np.arange(-7, 24)
_DISCOUNT_CELLS = 12
_CANDIDATES = range(2, 5)
# Where a cell has fewer customers than noise, a region still has more: counts are averaged over neighbours, with the
# weights of a normal distribution of this deviation in cells, which leaves this much of their noise.
_BLUR = 1.0
_LEFT = 1 / (2 * np.sqrt(np.pi) * _BLUR)
# Of 350 empty cells, noise alone lifts one above this, in its standard deviations.
_NOISE_ALONE = 3.0


def fit_scaler(table: pd.DataFrame) -> Pipeline:
    """Fit x -> log(1 + x / interquartile range), standardised and cut at 3 standard deviations.

    A change of currency changes nothing, and a few very large customers do not get a segment of
    their own.
    """
    cut = FunctionTransformer(np.clip, kw_args={"a_min": -3, "a_max": 3})
    logs = FunctionTransformer(np.log1p)
    return make_pipeline(RobustScaler(with_centering=False), logs, StandardScaler(), cut).fit(table.to_numpy())


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
            `choose`).
        candidates: numbers of clusters to compare.
        min_size: least number of customers in a segment. Smaller clusters join the nearest one, and
            no leaf of the tree is smaller, so that no figure or rule describes fewer customers
            (k-anonymity).
        seed: seed of the clusters, of the samples that judge them and of the tree.
        n_jobs: processes that compare the clusters (joblib); the result does not depend on it.

    Attributes:
        features_: names of the features that form segments, in the order fitted.
        labels_: Series customer -> segment; segments count from 0 by falling value.
        n_segments_: number of segments, after merging.
        selection_: the comparison of the clusters, see `compare`.
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
        min_size: int = LEAST_CUSTOMERS,
        seed: int = 0,
        n_jobs: int | None = None,
    ):
        self.n_segments = n_segments
        self.candidates = candidates
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
        require_columns(features, "spend", table="features")
        self.features_ = [name for name in features.columns if not str(name).startswith(TRAIT)]
        table = self._checked(features)
        candidates = self._candidates(len(table))
        # Sorted by value, so that neither order nor index of the rows matters.
        table = table.sort_values(self.features_)
        self._scaler: Pipeline = fit_scaler(table)
        points = self._points(table)
        self.selection_ = compare(points, candidates, self.seed, n_jobs=self.n_jobs)
        self.chosen_ = choose(self.selection_)
        self._clusters = clusterer(int(self.chosen_["k"]), self.seed).fit(points)
        clusters = self._clusters.predict(points)
        merged = merge_small(points, clusters, self.min_size)
        value = table["spend"].groupby(merged[clusters]).mean().sort_values(ascending=False)
        self._segment_of_cluster = value.index.get_indexer(pd.Index(merged))
        self.n_segments_ = len(value)
        labels = self._segment_of_cluster[clusters]
        self.labels_ = _series(labels, table.index).reindex(features.index)
        traits = features.drop(columns=self.features_).loc[table.index]
        self.summary_ = _summary(table, points, labels).join(traits.groupby(labels).mean())
        parts = train_test_split(table.to_numpy(), labels, test_size=0.25, random_state=self.seed)
        seen, unseen, answers, truth = parts
        tree = DecisionTreeClassifier(min_samples_leaf=self.min_size, ccp_alpha=_PRUNING, random_state=self.seed)
        self.tree_ = tree.fit(seen, answers)
        self.fidelity_ = float(self.tree_.score(unseen, truth))
        return self

    def assign(self, features: pd.DataFrame) -> pd.Series:
        """Return the segment of the nearest cluster for each customer of `features`.

        Raises:
            ValueError: a feature that was fitted is missing, negative or not finite.
        """
        check_is_fitted(self)
        table = self._checked(features)
        return _series(self._segment_of_cluster[self._clusters.predict(self._points(table))], table.index)

    def rules(self) -> str:
        """Return the tree as indented text, with the names of the segments."""
        check_is_fitted(self)
        names = self.summary_["name"].loc[self.tree_.classes_]
        return export_text(self.tree_, feature_names=self.features_, class_names=list(names), decimals=3)

    def _checked(self, features: pd.DataFrame) -> pd.DataFrame:
        require_columns(features, *self.features_, table="features")
        table = features[self.features_].astype(float)
        if table.index.has_duplicates:
            must = "features: a customer has one row"
            raise ValueError(f"{must}; got {table.index.duplicated().sum()} rows too many; drop them")
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
                f"{self.min_size}; got {n_customers}; add customers, lower min_size or the number of segments, or import the "
                "sales without the column customer"
            )
        return candidates

    def _points(self, table: pd.DataFrame) -> NDArray[np.float64]:
        return weighted_points(self._scaler, table, self.features_)


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


_FEATURE_WORDS = {
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
    if len(deviations) == 1:
        return ["all customers"]
    names: list[str] = []
    for segment, row in deviations.iterrows():
        strongest_first = row.abs().sort_values(ascending=False, kind="stable").index
        # Where another segment has the name of the two strongest, the next pair is tried.
        candidates = (", ".join(_word(name, row[name]) for name in pair) for pair in combinations(strongest_first, 2))
        names.append(next((name for name in candidates if name not in names), f"segment {segment}"))
    return names


def _word(feature: str, deviation: float) -> str:
    low, high = _FEATURE_WORDS.get(feature, (f"low {feature}", f"high {feature}"))
    return high if deviation > 0 else low


# The number of clusters, chosen by stability and silhouette on held-out customers.


def clusterer(k: int, seed: int) -> Any:
    """An unfitted model."""
    return KMeans(k, n_init=10, random_state=seed)  # pyright: ignore[reportArgumentType]


def compare(
    points: NDArray[np.float64], numbers: Sequence[int], seed: int, *, n_jobs: int | None = None
) -> pd.DataFrame:
    """Judge every number of clusters.

    Args:
        points: (customers, features) scaled and weighted.
        numbers: numbers of clusters.
        seed: seed of the samples and the clusters.
        n_jobs: processes (joblib).

    Returns:
        One row per number: `k`, `stability` and `silhouette`. Stability is the
        adjusted Rand index (Hubert and Arabie 1985), on held-out customers, between models fitted
        on two disjoint samples; silhouette (Rousseeuw 1987) is that of the held-out customers,
        labelled by the first model. Both are means over 10 draws.
    """
    trials: Any = Parallel(n_jobs=n_jobs)(delayed(_trial)(k, points, seed) for k in numbers)
    return pd.DataFrame(trials)


def choose(table: pd.DataFrame) -> pd.Series:
    """Choose a row of the table that `compare` returns.

    Among the rows with a stability of at least .8 and a silhouette of at least .8 of the best of
    these, those with the most clusters are kept (as many segments as repeat and stand apart), and
    the most stable of them is chosen. If no row is that stable, the most stable one is chosen.
    """
    stable = table[table["stability"] >= STABLE]
    if stable.empty:
        return table.iloc[table["stability"].argmax()]
    apart = stable[stable["silhouette"] >= _SILHOUETTE_KEPT * stable["silhouette"].max()]
    most = apart[apart["k"] == apart["k"].max()]
    return most.iloc[most["stability"].argmax()]


def _trial(k: int, points: NDArray[np.float64], seed: int) -> dict[str, Any]:
    """Stability and silhouette of one number of clusters."""
    rng = np.random.default_rng(seed)
    half = min(2 * len(points) // 5, _LARGEST_SAMPLE)
    agreement = []
    separation = []
    # On a few thousand points threads mostly wait for each other.
    with threadpool_limits(1):
        for _ in range(_REPEATS):
            shuffled = rng.permutation(points)
            held_out = shuffled[2 * half : 3 * half]
            parts = (shuffled[:half], shuffled[half : 2 * half])
            one, other = (clusterer(k, seed).fit(part).predict(held_out) for part in parts)
            agreement.append(adjusted_rand_score(one, other))
            apart = 1 < len(np.unique(one)) < len(one)
            separation.append(silhouette_score(held_out, one) if apart else 0.0)
    return {"k": k, "stability": float(np.mean(agreement)), "silhouette": float(np.mean(separation))}


def merge_small(points: NDArray[np.float64], clusters: NDArray[np.intp], min_size: int) -> NDArray[np.intp]:
    """Merge clusters of fewer than `min_size` points.

    Step by step, the smallest cluster joins the one with the nearest mean.

    Args:
        points: (n, features).
        clusters: (n,) cluster of each point.
        min_size: least number of points in a cluster.

    Returns:
        (clusters,) the cluster that each one joins; its own number where it stays.
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


# Segments of customers under differential privacy, by spend and by how much they buy at reduced prices.
#
# Everything that is learned of the customers, the number of segments too, is computed from one table of noisy counts.
# One customer's whole history is what is protected.


class PrivateSegments(NamedTuple):
    """Segments, and what may be known about how they were found.

    Attributes:
        labels: (customers,) segment of each, which is not to be released.
        centres: (K, 2) spend per week and discount share in the middle of each segment.
        customers: (K,) noisy number of customers, from the cells of the grid.
        most_spend: spend per week that about 5% of the customers exceed.
    """

    labels: NDArray[np.intp]
    centres: Array
    customers: Array
    most_spend: float


def private_segments(
    features: pd.DataFrame, epsilon: float, delta: float, *, min_size: int = LEAST_CUSTOMERS, seed: int = 0
) -> PrivateSegments:
    """Cluster noisy counts of the customers; how well the clusters stand apart there sets their number.

    Args:
        features: customers x features, with `spend` (currency per week) and `discount_share`.
        epsilon: cost of the counts, which is all that is asked.
        delta: probability with which epsilon may fail to hold.
        min_size: least noisy number of customers in a segment.
        seed: seed of the clusters; the noise has none.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> spend, share = np.repeat([[90.0, 0.05], [10.0, 0.4]], 500, axis=0).T * rng.lognormal(0, 0.1, (2, 1000))
        >>> segments = private_segments(pd.DataFrame({"spend": spend, "discount_share": share}), 50.0, 1e-9)
        >>> np.bincount(segments.labels).tolist()
        [500, 500]
    """
    spend, share = (features[name].to_numpy(dtype=np.float64) for name in FORMED_BY)
    # The square root tells small shares apart.
    places = np.column_stack([np.log(np.maximum(spend, 1e-9)), np.sqrt(np.clip(share, 0, 1))])
    middles, noisy, counts = _grid(places, epsilon, delta)
    factor = _factor(middles, counts)
    found = [_clusters(middles * factor, counts, k, seed) for k in _CANDIDATES]
    # All customers are one segment where nothing stands out of the noise.
    whole = _clusters(middles * factor, counts, 1, seed)
    apart = [(centres, sizes) for centres, sizes in found if sizes.min() >= min_size] or [whole]
    # By the counts themselves, whose noise cancels in the sum, as averaging them has blurred the gaps.
    seen = np.where(counts > 0, noisy, 0.0)
    centres, sizes = max(apart, key=lambda one: float(seen @ _separation(middles * factor, one[0])))
    order = np.argsort(-centres[:, 0])
    place = centres[order] / factor
    return PrivateSegments(
        _distances(places * factor, centres[order]).argmin(axis=1),
        np.column_stack([np.exp(place[:, 0]), place[:, 1] ** 2]),
        sizes[order],
        _most_spend(counts),
    )


def _grid(places: Array, epsilon: float, delta: float) -> tuple[Array, Array, Array]:
    """The middles of the cells (cells, 2), noisy customers in each, and their average around each where it is no noise."""
    edges = _SPEND, np.linspace(0, 1, _DISCOUNT_CELLS + 1)
    shape = tuple(len(side) - 1 for side in edges)
    sides = zip(edges, places.T, shape, strict=True)
    cell = [np.clip(side.searchsorted(place, side="right") - 1, 0, size - 1) for side, place, size in sides]
    cells = np.asarray(np.ravel_multi_index(cell, shape))
    noisy = noisy_sums(np.ones((len(places), 1)), cells, shape[0] * shape[1], epsilon, delta).reshape(shape)
    blurred = gaussian_filter(noisy, _BLUR, mode="constant")
    counts = np.where(blurred > _NOISE_ALONE * _LEFT * noise_of_sums(epsilon, delta), blurred, 0.0).ravel()
    middles = np.stack(np.meshgrid(*((side[1:] + side[:-1]) / 2 for side in edges), indexing="ij"), axis=-1)
    return middles.reshape(-1, 2), noisy.ravel(), counts if counts.any() else (blurred == blurred.max()).ravel() * 1.0


def _most_spend(counts: Array) -> float:
    """The 95% quantile of spend, as of a normal distribution of its log with these quartiles: noise moves outer ones most."""
    below = np.append(0.0, counts.reshape(len(_SPEND) - 1, -1).sum(axis=1).cumsum())
    low, median, high = np.interp(np.array([0.25, 0.5, 0.75]) * below[-1], below, _SPEND)
    # Cells and their averages have widened it; where hardly a cell stands out, it is wider than it looks.
    variance = ((high - low) / (2 * norm.ppf(0.75))) ** 2 - (_SPEND[1] - _SPEND[0]) ** 2 * (_BLUR**2 + 1 / 12)
    return float(np.exp(median + norm.ppf(0.95) * np.sqrt(max(variance, 0.5))))


def _factor(middles: Array, counts: Array) -> Array:
    """(2,) what makes a standard deviation the weight of the feature in `segment_features`."""
    middle = np.average(middles, axis=0, weights=counts)
    spread = np.sqrt(np.average((middles - middle) ** 2, axis=0, weights=counts))
    return np.array([WEIGHTS[name] for name in FORMED_BY]) / np.maximum(spread, 0.02)


def _clusters(points: Array, weight: Array, k: int, seed: int) -> tuple[Array, Array]:
    """Centres (k, 2) and weights (k,) of the clusters of weighted points."""
    if (weight > 0).sum() < k:
        return np.zeros((k, 2)), np.zeros(k)
    model = clusterer(k, seed)
    cluster = model.fit_predict(points, sample_weight=weight)
    return model.cluster_centers_, np.bincount(cluster, weights=weight, minlength=k).astype(np.float64)


def _separation(points: Array, centres: Array) -> Array:
    """(customers,) from 0 to 1: the simplified silhouette (Hruschka et al. 2004), to which only the customer's own
    place and the centres matter.
    """
    near, next_ = np.sort(_distances(points, centres), axis=1)[:, [0, min(1, len(centres) - 1)]].T
    return 0.5 + 0.5 * (next_ - near) / np.maximum(next_, 1e-12)


def _distances(points: Array, centres: Array) -> Array:
    return np.linalg.norm(points[:, None] - centres, axis=2)

"""The number and the kind of clusters, chosen by stability and silhouette on held-out customers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

KINDS = ("kmeans", "mixture")
"""KMeans, and a mixture of Gaussians with diagonal covariances."""

STABLE = 0.8
"""An adjusted Rand index above it counts as good agreement (Steinley 2004,
Psychological Methods 9).
"""
# Splitting well separated clusters costs more silhouette than this; splitting a continuum does not.
_SILHOUETTE_KEPT = 0.8
_REPEATS = 10
_LARGEST_SAMPLE = 5000


def clusterer(kind: str, k: int, seed: int) -> Any:
    """Return an unfitted model with `fit` and `predict`.

    Raises:
        ValueError: `kind` is not one of `KINDS`.
    """
    if kind == "kmeans":
        return KMeans(k, n_init=10, random_state=seed)  # pyright: ignore[reportArgumentType]
    if kind == "mixture":
        return GaussianMixture(k, covariance_type="diag", n_init=3, reg_covar=1e-3, random_state=seed)
    raise ValueError(f"kinds of clusters must be among {', '.join(KINDS)}; got {kind!r}")


def compare(
    points: NDArray[np.float64], kinds: Sequence[str], numbers: Sequence[int], seed: int, *, n_jobs: int | None = None
) -> pd.DataFrame:
    """Judge every kind of cluster with every number of clusters.

    Args:
        points: (customers, features) scaled and weighted.
        kinds: of `KINDS`.
        numbers: numbers of clusters.
        seed: seed of the samples and the clusters.
        n_jobs: processes (joblib).

    Returns:
        One row per kind and number: `clusters`, `k`, `stability` and `silhouette`. Stability is the
        adjusted Rand index (Hubert and Arabie 1985), on held-out customers, between models fitted
        on two disjoint samples; silhouette (Rousseeuw 1987) is that of the held-out customers,
        labelled by the first model. Both are means over 10 draws.
    """
    trials: Any = Parallel(n_jobs=n_jobs)(delayed(_trial)(kind, k, points, seed) for kind in kinds for k in numbers)
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


def _trial(kind: str, k: int, points: NDArray[np.float64], seed: int) -> dict[str, Any]:
    """Stability and silhouette of one kind and number of clusters."""
    rng = np.random.default_rng(seed)
    half = min(2 * len(points) // 5, _LARGEST_SAMPLE)
    agreement, separation = [], []
    # On a few thousand points threads mostly wait for each other.
    with threadpool_limits(1):
        for _ in range(_REPEATS):
            shuffled = rng.permutation(points)
            held_out = shuffled[2 * half : 3 * half]
            one, other = (
                clusterer(kind, k, seed).fit(part).predict(held_out)
                for part in (shuffled[:half], shuffled[half : 2 * half])
            )
            agreement.append(adjusted_rand_score(one, other))
            apart = 1 < len(np.unique(one)) < len(one)
            separation.append(silhouette_score(held_out, one) if apart else 0.0)
    return {"clusters": kind, "k": k, "stability": float(np.mean(agreement)), "silhouette": float(np.mean(separation))}


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

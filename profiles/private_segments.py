"""Segments of customers under differential privacy, by spend and by how much they buy at reduced prices.

Everything that is learned of the customers comes out of noisy counts and one noisy choice; the rest is computed from
those. One customer's whole history is what is protected.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.cluster import KMeans

from .least_size import LEAST_CUSTOMERS
from .noise import Array, noisy_best, noisy_counts
from .segment_features import WEIGHTS

FORMED_BY = ("spend", "discount_share")
"""The features that form segments; the others need what other customers do."""
# Spend per week in octaves, from .01 to 10 million of any currency.
_SPEND = 2.0 ** np.arange(-7, 24)
_DISCOUNT_CELLS, _SPEND_CELLS, _REACH = 12, 8, 2.0
_CANDIDATES = range(2, 7)
# Of 100 empty cells, noise alone lifts one above this, in units of its scale.
_NOISE_ALONE = 4.0


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
    features: pd.DataFrame, epsilons: tuple[float, float, float], *, min_size: int = LEAST_CUSTOMERS, seed: int = 0
) -> PrivateSegments:
    """Cluster a noisy grid of the customers; a noisy choice among the clusters that result sets their number.

    Args:
        features: customers x features, with `spend` (currency per week) and `discount_share`.
        epsilons: costs of the range of spend, of the grid, and of the number of segments.
        min_size: least noisy number of customers in a segment.
        seed: seed of the clusters; the noise has none.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> spend, share = np.repeat([[90.0, 0.05], [10.0, 0.4]], 500, axis=0).T * rng.lognormal(0, 0.1, (2, 1000))
        >>> segments = private_segments(pd.DataFrame({"spend": spend, "discount_share": share}), (50.0, 50.0, 50.0))
        >>> np.bincount(segments.labels).tolist()
        [500, 500]
    """
    spend, share = (features[name].to_numpy(dtype=np.float64) for name in FORMED_BY)
    logs = np.log(np.clip(spend, _SPEND[0], _SPEND[-1]))
    high, middle, deviation = _spend_distribution(logs, epsilons[0])
    low = middle - _REACH * deviation
    x = np.clip((logs - low) / (2 * _REACH * deviation), 0, 1 - 1e-9)
    # The square root tells small shares apart.
    y = np.sqrt(np.clip(share, 0, 1))
    grid, edges = _grid(x, y, epsilons[1])
    scaled, spread = _scaled(edges, grid)
    points = np.column_stack([x, y]) * spread
    found = [_clusters(scaled, grid, k, seed) for k in _CANDIDATES]
    # All customers are one segment where nothing stands out of the noise.
    apart = [(centres, sizes) for centres, sizes in found if sizes.min() >= min_size] or [
        _clusters(scaled, grid, 1, seed)
    ]
    best = noisy_best(np.array([_separation(points, centres).sum() for centres, _ in apart]), epsilons[2])
    centres, sizes = apart[best]
    unscaled = centres / spread
    money = np.exp(low + 2 * _REACH * deviation * unscaled[:, 0])
    order = np.argsort(-money)
    rank = np.argsort(order)
    return PrivateSegments(
        rank[_distances(points, centres).argmin(axis=1)],
        np.column_stack([money, unscaled[:, 1] ** 2])[order],
        sizes[order],
        float(np.exp(high)),
    )


def _spend_distribution(logs: Array, epsilon: float) -> tuple[float, float, float]:
    """The 95% quantile, the median and the standard deviation of log spend, from the quartiles of noisy counts."""
    edges = np.log(_SPEND)
    below = np.maximum.accumulate(np.append(0.0, noisy_counts(np.histogram(logs, edges)[0], epsilon).cumsum()))
    # As of a normal distribution, since noise moves outer quantiles most.
    low, median, high = np.interp(np.array([0.25, 0.5, 0.75]) * below[-1], below, edges)
    quartile = norm.ppf(0.75)
    return (
        float(median + norm.ppf(0.95) * (high - median) / quartile),
        float(median),
        float(max((high - low) / (2 * quartile), 0.1)),
    )


def _grid(x: Array, y: Array, epsilon: float) -> tuple[Array, Array]:
    """Noisy customers in each cell, and the middles of the cells (cells, 2)."""
    edges = np.linspace(0, 1, _SPEND_CELLS + 1), np.linspace(0, 1, _DISCOUNT_CELLS + 1)
    noisy = noisy_counts(np.histogram2d(x, y, edges)[0], epsilon)
    middles = np.stack(np.meshgrid(*((side[1:] + side[:-1]) / 2 for side in edges), indexing="ij"), axis=-1)
    return np.where(noisy > _NOISE_ALONE / epsilon, noisy, 0.0).ravel(), middles.reshape(-1, 2)


def _scaled(middles: Array, weight: Array) -> tuple[Array, Array]:
    """The middles in standard deviations, weighted as in `segment_features`, and the factors."""
    if not weight.any():
        weight = np.ones_like(weight)
    spread = np.sqrt(np.average((middles - np.average(middles, axis=0, weights=weight)) ** 2, axis=0, weights=weight))
    factor = np.array([WEIGHTS[name] for name in FORMED_BY]) / np.maximum(spread, 1 / _DISCOUNT_CELLS / 4)
    return middles * factor, factor


def _clusters(points: Array, weight: Array, k: int, seed: int) -> tuple[Array, Array]:
    """Centres (k, 2) and weights (k,) of the clusters of weighted points."""
    if not weight.any():
        weight = np.ones_like(weight)
    if (weight > 0).sum() < k:
        return np.zeros((k, 2)), np.zeros(k)
    model = KMeans(k, n_init=10, random_state=seed)  # pyright: ignore[reportArgumentType]
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

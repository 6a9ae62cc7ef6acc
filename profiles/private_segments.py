"""Segments of customers under differential privacy, by spend and by how much they buy at reduced prices.

Everything that is learned of the customers, the number of segments too, is computed from one table of noisy counts. One
customer's whole history is what is protected.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import norm
from sklearn.cluster import KMeans

from ..privacy.noise import Array, noise_of_sums, noisy_sums
from .customer_features import LEAST_CUSTOMERS
from .segmentation import WEIGHTS

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
    apart = [(centres, sizes) for centres, sizes in found if sizes.min() >= min_size] or [
        _clusters(middles * factor, counts, 1, seed)
    ]
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
    cell = [
        np.clip(side.searchsorted(place, side="right") - 1, 0, size - 1)
        for side, place, size in zip(edges, places.T, shape, strict=True)
    ]
    one = np.ones((len(places), 1))
    noisy = noisy_sums(one, np.asarray(np.ravel_multi_index(cell, shape)), shape[0] * shape[1], epsilon, delta).reshape(
        shape
    )
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

"""A market description laid out for the kernels: parameters repeated along the lanes of E markets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..scenarios import MarketSpec
from . import kernels

_FAMILIES = {
    "mnl": kernels.MNL,
    "exponential": kernels.EXPONENTIAL,
    "linear": kernels.LINEAR,
    "constant-elasticity": kernels.CONSTANT_ELASTICITY,
}


@dataclass(frozen=True)
class Tiling:
    """Constants of the kernels for E markets. M = E * N lanes, G = E * C groups.

    group: (M,) int32. quality, sensitivity: (K, M). cost, gain, loss, holding, lost_cost, overdispersion: (M,).
    rate: (T, C, K), season and path: (T, C), by period. candidates: (K, N) bool.
    """

    markets: int
    products: int
    categories: int
    segments: int
    family: int
    group: NDArray[np.int32]
    quality: NDArray
    sensitivity: NDArray
    cost: NDArray
    gain: NDArray | None
    loss: NDArray | None
    holding: NDArray
    lost_cost: NDArray
    overdispersion: NDArray
    rate: NDArray
    season: NDArray
    path: NDArray
    lift: NDArray | None
    candidates: NDArray[np.bool_] | None
    default_score: NDArray | None

    @classmethod
    def of(cls, spec: MarketSpec, markets: int, dtype: DTypeLike = np.float32) -> Tiling:
        """Lay out a spec for E markets; float64 where exact solvers need it."""
        products, categories = len(spec.products.names), len(spec.category_names)

        def lanes(values: NDArray) -> NDArray:
            return np.tile(values, markets).astype(dtype)

        reference, slots = spec.reference_price, spec.recommendation
        group = spec.category_index + categories * np.arange(markets)[:, None]
        rate = spec.arrivals.rate[:, :, None] * spec.arrivals.segment_share
        return cls(
            markets=markets,
            products=products,
            categories=categories,
            segments=len(spec.arrivals.segments),
            family=_FAMILIES[spec.demand.family],
            group=group.reshape(-1).astype(np.int32),
            quality=lanes(spec.demand.quality),
            sensitivity=lanes(spec.demand.price_sensitivity),
            cost=lanes(spec.products.unit_cost),
            gain=None if reference is None else lanes(reference.gain),
            loss=None if reference is None else lanes(reference.loss),
            holding=lanes(spec.stock.holding_cost),
            lost_cost=lanes(spec.stock.lost_sale_cost),
            overdispersion=lanes(spec.arrivals.overdispersion),
            rate=rate.astype(dtype),
            season=spec.demand.season.astype(dtype),
            path=spec.demand.sensitivity_path.astype(dtype),
            lift=None if slots is None else slots.lift,
            candidates=None if slots is None else slots.candidates > 0,
            default_score=None if slots is None else _positive(slots.affinity).astype(dtype),
        )


def _positive(affinity: NDArray) -> NDArray:
    """(N, K) scores above zero in the order of the recommender's (K, N) affinities, whatever their sign."""
    return (affinity - affinity.min(axis=1, keepdims=True) + 1.0).T


def group_values(table: NDArray, period: NDArray[np.int64]) -> NDArray:
    """A (T, C) table read at each market's period: (G,)."""
    return table[period].reshape(-1)

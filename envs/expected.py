"""Expectations in closed form from the same kernels: what the catalogue, the classical policies and solvers need."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..pricing import Catalogue
from ..scenarios import MarketSpec
from .choice import mean_demand
from .tiling import Tiling


def expected_units(
    spec: MarketSpec,
    period: int | NDArray[np.int64],
    price: ArrayLike,
    *,
    reference: ArrayLike | None = None,
    discount: NDArray | None = None,
    shown: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """Mean units by segment with ample stock, (B, K, N) float64, at B price rows (B, N) in one period each.

    reference: (N,) or (B, N) reference price, the regular price where left out. discount: (B, N, K). shown: (B, K).
    """
    price = np.ascontiguousarray(np.atleast_2d(price), dtype=np.float64)
    rows, products = price.shape
    reference = spec.products.regular_price if reference is None else reference
    reference = np.ascontiguousarray(np.broadcast_to(np.asarray(reference, np.float64), price.shape)).reshape(-1)
    periods = np.broadcast_to(np.asarray(period, dtype=np.int64), rows)
    tiling = Tiling.of(spec, rows, np.float64)
    ample = np.full(price.size, np.inf)
    choice = mean_demand(tiling, periods, price.reshape(-1), reference, ample, discount=discount, shown=shown)
    return choice.mean.reshape(-1, rows, products).swapaxes(0, 1)


@functools.lru_cache(maxsize=32)
def catalogue_of(spec: MarketSpec) -> Catalogue:
    """What a policy may know of this market beforehand: forecasts and elasticities at the regular price."""
    regular = spec.products.regular_price
    periods = np.arange(spec.market.horizon_periods)
    rows = np.broadcast_to(regular, (len(periods), regular.size))
    units = expected_units(spec, periods, rows)
    step = 1e-4
    nudged = np.stack(
        [
            expected_units(spec, 0, np.where(np.eye(regular.size, dtype=bool), regular * f, regular))
            for f in (1 + step, 1 - step)
        ]
    )
    own = np.einsum("sbkb->skb", np.maximum(nudged, 1e-300))
    elasticity = np.log(own[0] / own[1]) / np.log((1 + step) / (1 - step))
    return Catalogue(
        products=spec.products.names,
        segments=spec.arrivals.segments,
        category=spec.category_index,
        regular_price=regular.astype(np.float32),
        unit_cost=spec.products.unit_cost.astype(np.float32),
        segment_elasticity=elasticity.astype(np.float32),
        segment_units=units.mean(axis=0).astype(np.float32),
        forecast_units=units.sum(axis=1).astype(np.float32),
    )

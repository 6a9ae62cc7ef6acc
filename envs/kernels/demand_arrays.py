"""A market description laid out for the compiled loops: plain arrays, each section's empty where it is off."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...scenarios import MarketSpec
from ...scenarios.families import BUILT_IN

MNL, CHEAPEST, EXPONENTIAL, LINEAR, CONSTANT_ELASTICITY, EXTENSION = range(6)
_OFF = np.empty(0)


class ChoiceParameters(NamedTuple):
    """How customers choose. T periods, C categories, N products, K segments, R rival offers, Z regimes.

    category: (N,). quality, sensitivity: (K, N). quality_path: (N, T), or (0, T) where flat. rate, season, path: (C, T).
    share: (C, K). gain, loss: (N,). promotion: (K, N) utility of being on promotion. lift: (K,) factor of the weight in the
    slot. rival_category: (R,). rival_quality, rival_sensitivity: (K, R). regime_utility, regime_sensitivity, regime_arrivals:
    (Z,). strategic_share, patience: (K,).
    """

    family: int
    linear_reference: bool
    category: NDArray[np.int64]
    quality: NDArray
    sensitivity: NDArray
    quality_path: NDArray
    rate: NDArray
    season: NDArray
    path: NDArray
    share: NDArray
    gain: NDArray
    loss: NDArray
    promotion: NDArray
    lift: NDArray
    rival_category: NDArray[np.int64]
    rival_quality: NDArray
    rival_sensitivity: NDArray
    regime_utility: NDArray
    regime_sensitivity: NDArray
    regime_arrivals: NDArray
    strategic_share: NDArray
    patience: NDArray

    @classmethod
    def of(cls, spec: MarketSpec, dtype: DTypeLike = np.float32) -> ChoiceParameters:
        """From a spec; float32 for the simulated market, float64 for exact solvers."""
        family = BUILT_IN.index(spec.demand.family) if spec.demand.family in BUILT_IN else EXTENSION
        reference, promotion, slots = spec.reference_price, spec.promotion, spec.recommendation
        rivals, regimes, strategic = spec.competitors, spec.regimes, spec.strategic
        empty_pair = np.empty((spec.sizes["K"], 0))
        rival_category = spec.category_index[spec.competitor_product]
        values = {
            "quality": spec.demand.quality,
            "sensitivity": spec.demand.price_sensitivity,
            "quality_path": spec.demand.quality_path.T[: None if spec.demand.quality_path.any() else 0],
            "rate": spec.arrivals.rate.T,
            "season": spec.demand.season.T,
            "path": spec.demand.sensitivity_path.T,
            "share": spec.arrivals.segment_share,
            "gain": _OFF if reference is None else reference.gain,
            "loss": _OFF if reference is None else reference.loss,
            "promotion": empty_pair if promotion is None else promotion.lift,
            "lift": _OFF if slots is None else np.exp(slots.lift),
            "rival_quality": empty_pair if rivals is None else rivals.quality,
            "rival_sensitivity": empty_pair if rivals is None else rivals.price_sensitivity,
            "regime_utility": _OFF if regimes is None else regimes.utility,
            "regime_sensitivity": _OFF if regimes is None else regimes.sensitivity,
            "regime_arrivals": _OFF if regimes is None else regimes.arrivals,
            "strategic_share": _OFF if strategic is None else strategic.share,
            "patience": _OFF if strategic is None else strategic.patience,
        }
        return cls(
            family=family,
            linear_reference=reference is not None and reference.scale == "linear",
            category=spec.category_index.astype(np.int64),
            rival_category=rival_category.astype(np.int64),
            **{name: np.array(value, dtype=dtype, order="C") for name, value in values.items()},
        )

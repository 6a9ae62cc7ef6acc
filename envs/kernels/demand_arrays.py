"""A market description laid out for the compiled loops: plain arrays, each section's empty where it is off."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...scenarios import MarketSpec, choice_model
from ...scenarios.families import BUILT_IN

MNL, CHEAPEST, EXPONENTIAL, LINEAR, CONSTANT_ELASTICITY, EXTENSION = range(6)


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
        model, family = choice_model(spec), spec.demand.family
        integers = {name: getattr(model, name).astype(np.int64) for name in ("category", "rival_category")}
        others = [name for name in cls._fields if name not in ("family", "linear_reference", *integers)]
        return cls(
            family=BUILT_IN.index(family) if family in BUILT_IN else EXTENSION,
            linear_reference=model.linear_reference,
            **integers,
            **{name: np.array(getattr(model, name), dtype=dtype, order="C") for name in others},
        )

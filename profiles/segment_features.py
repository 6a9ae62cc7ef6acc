"""The features that make a segment: how they are scaled and how much each counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, RobustScaler, StandardScaler

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

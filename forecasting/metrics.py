"""Accuracy of point and quantile forecasts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import mean_pinball_loss


def wape(actual: ArrayLike, forecast: ArrayLike) -> float:
    """Return the sum of absolute errors over that of the actual values; NaN without sales."""
    actual = np.asarray(actual, float)
    forecast = np.asarray(forecast, float)
    return _ratio(np.abs(actual - forecast).sum(), actual.sum())


def bias(actual: ArrayLike, forecast: ArrayLike) -> float:
    """Return the sum of forecasts over that of the actual values, less 1; NaN without sales."""
    actual = np.asarray(actual, float)
    forecast = np.asarray(forecast, float)
    return _ratio((forecast - actual).sum(), actual.sum())


def mase(actual: ArrayLike, forecast: ArrayLike, scale: ArrayLike) -> float:
    """Return the mean absolute scaled error (Hyndman and Koehler 2006).

    Args:
        actual: units.
        forecast: units.
        scale: for each row, the mean absolute change from week to week in its series' history,
            which is the error of the one-step naive forecast. Rows with a constant history (0) are
            left out.
    """
    errors, scale = np.broadcast_arrays(np.abs(np.subtract(actual, forecast, dtype=float)), np.asarray(scale, float))
    scaled = errors[scale > 0] / scale[scale > 0]
    return float(scaled.mean()) if len(scaled) else float("nan")


def pinball(actual: ArrayLike, quantiles: Mapping[float, ArrayLike]) -> float:
    """Return the weighted quantile loss.

    Twice the pinball loss, averaged over the quantiles, per unit sold. With the median alone it is
    the WAPE. NaN if nothing was sold.

    Args:
        actual: units.
        quantiles: forecast units by probability.
    """
    actual = np.asarray(actual, float)
    losses = [mean_pinball_loss(actual, values, alpha=level) for level, values in quantiles.items()]
    return _ratio(2 * float(np.mean(losses)) * len(actual), actual.sum())


def coverage(actual: ArrayLike, low: ArrayLike, high: ArrayLike) -> float:
    """Return the share of the actual values in [low, high]."""
    actual = np.asarray(actual, float)
    return float(np.mean((actual >= np.asarray(low, float)) & (actual <= np.asarray(high, float))))


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator > 0 else float("nan")

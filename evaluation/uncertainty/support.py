"""Prices outside the range that the shop charged, where no data say how customers respond."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...scenarios import MarketSpec

_SAME = 1e-4


def charged_range(spec: MarketSpec) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """(N,) lowest and highest price that the shop charged, currency per unit; None where the market does not say.

    Example:
        >>> from repricer import load_scenario
        >>> charged_range(load_scenario("stationary-logit")) is None
        True
    """
    if spec.history is None or spec.history.charged_low is None or spec.history.charged_high is None:
        return None
    return spec.history.charged_low, spec.history.charged_high


def outside_range(price: ArrayLike, low: ArrayLike, high: ArrayLike) -> NDArray[np.bool_]:
    """Whether prices lie outside a range.

    Args:
        price: (…, N) currency per unit.
        low: (N,) lower end of the range.
        high: (N,) upper end.

    Example:
        >>> outside_range([1.4, 2.0, 2.3], 1.5, 2.3).tolist()
        [True, False, False]
    """
    price, low, high = (np.asarray(part, dtype=np.float64) for part in (price, low, high))
    return (price < low * (1 - _SAME)) | (price > high * (1 + _SAME))

"""Checks that a gain must pass before it is believed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

CONSTANT = "this policy is a constant"
NOT_FRESH = "its gain does not hold on the second test set"
FRESH = 1 << 20
"""Added to the user's seed for the second test set, which shares no episode with any other set
of that seed.
"""
_CONFIDENCE = 0.995


def shrinks(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    """Whether a gain on the first test set exceeds the gain on the second by more
    than sampling noise.

    A policy that was tuned on the first test set, or knows its future, gains there and not
    elsewhere. Welch's one-sided t-test at the 0.5% level: an honest policy is flagged in one
    evaluation out of two hundred.

    Args:
        first: Paired differences on the first test set, one per episode.
        second: The same on the second test set.
    """
    if min(first.size, second.size) < 2:
        return False
    parts = np.array([first.var(ddof=1) / first.size, second.var(ddof=1) / second.size])
    error = parts.sum()
    gap = first.mean() - second.mean()
    if error == 0:
        return bool(gap > 0)
    freedom = error**2 / (parts**2 / np.array([first.size - 1, second.size - 1])).sum()
    return bool(gap > student_t.ppf(_CONFIDENCE, freedom) * np.sqrt(error))

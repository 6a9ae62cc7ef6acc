"""What a reader must be told of a policy before its gain is believed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

CONSTANT = "this policy is a constant"
NOT_FRESH = "its gain does not hold on fresh customers"
FRESH = 1 << 20
"""Added to the user's seed for a second judging set, which shares nobody with the first or with any set of that seed."""
_CONFIDENCE = 0.995


def shrinks(judged: NDArray[np.float64], fresh: NDArray[np.float64]) -> bool:
    """Whether paired differences on the judging customers, one a market, exceed those on fresh ones beyond luck.

    A policy that was tuned on the judging customers, or knows what they will do, gains on them and not on others. Welch's
    one-sided t-test at the 0.5% level: an honest policy is flagged in one evaluation out of two hundred.
    """
    if min(judged.size, fresh.size) < 2:
        return False
    parts = np.array([judged.var(ddof=1) / judged.size, fresh.var(ddof=1) / fresh.size])
    error = parts.sum()
    gap = judged.mean() - fresh.mean()
    if error == 0:
        return bool(gap > 0)
    freedom = error**2 / (parts**2 / np.array([judged.size - 1, fresh.size - 1])).sum()
    return bool(gap > student_t.ppf(_CONFIDENCE, freedom) * np.sqrt(error))

"""Results of several training seeds in one figure."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import trim_mean

from .comparison import Estimate


def interquartile_mean(values: ArrayLike, *, resamples: int = 10_000, seed: int = 0) -> Estimate:
    """The mean of the middle half of some runs' results, with a 95% percentile bootstrap interval over runs.

    It is not moved by one lucky or failed run as the mean is, and uses more of the runs than the median does: Agarwal et al.
    (2021), Deep Reinforcement Learning at the Edge of the Statistical Precipice, NeurIPS 34. values: one result a training
    seed, all on the same judging customers. The interval is infinite for a single run. Raises ValueError for none.
    """
    runs = np.asarray(values, dtype=np.float64).ravel()
    if runs.size == 0 or not np.isfinite(runs).all():
        raise ValueError(f"values must be finite, at least one; got {runs.tolist()}; give one result a training seed")
    mean = float(trim_mean(runs, 0.25))
    if runs.size == 1:
        return Estimate(mean, -np.inf, np.inf)
    draws = np.random.default_rng(seed).choice(runs, (resamples, runs.size))
    low, high = np.quantile(trim_mean(draws, 0.25, axis=1), [0.025, 0.975])
    return Estimate(mean, float(low), float(high))

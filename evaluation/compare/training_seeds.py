"""One figure for the results of several training seeds."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import trim_mean

from .comparison import Estimate


def interquartile_mean(
    values: ArrayLike, *, strata: ArrayLike | None = None, resamples: int = 10_000, seed: int = 0
) -> Estimate:
    """The mean of the middle half of several runs' results, with a 95% percentile bootstrap
    interval over runs.

    One lucky or failed run moves it less than it moves the mean, and it uses more of the runs than
    the median does: Agarwal et al. (2021), Deep Reinforcement Learning at the Edge of the
    Statistical Precipice, NeurIPS 34.

    Args:
        values: One result per training seed, all on the same test seeds.
        strata: For each result the task that it belongs to; the bootstrap then draws within each
            task, so that all tasks keep their number of runs.
        resamples: Bootstrap resamples.
        seed: Seed of the bootstrap.

    Returns:
        The estimate; its interval is infinite for a single run.

    Raises:
        ValueError: Where there is no value, or one that is not finite.

    Example:
        >>> from repricer.evaluation import interquartile_mean
        >>> interquartile_mean([1.0, 10.0, 11.0, 12.0, 13.0, 90.0, 11.0, 12.0]).mean
        11.5
    """
    runs = np.asarray(values, dtype=np.float64).ravel()
    if runs.size == 0 or not np.isfinite(runs).all():
        raise ValueError(f"values must be finite, at least one; got {runs.tolist()}; give one result per training seed")
    mean = float(trim_mean(runs, 0.25))
    if runs.size == 1:
        return Estimate(mean, -np.inf, np.inf)
    rng, tasks = np.random.default_rng(seed), np.zeros(runs.size) if strata is None else np.asarray(strata).ravel()
    by_task = [runs[tasks == task] for task in np.unique(tasks)]
    draws = np.hstack([rng.choice(task, (resamples, task.size)) for task in by_task])
    low, high = np.quantile(trim_mean(draws, 0.25, axis=1), [0.025, 0.975])
    return Estimate(mean, float(low), float(high))

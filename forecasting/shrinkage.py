"""Empirical-Bayes shrinkage of noisy estimates to their group, and of groups to the whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Shrunk:
    """Estimates after shrinkage to their group.

    Attributes:
        mean: posterior means, on the index of the estimates.
        se: posterior standard errors.
        within_variance: variance of the true values around their group's mean.
        between_variance: variance of the groups' means around the mean of all.
    """

    mean: pd.Series
    se: pd.Series
    within_variance: float
    between_variance: float


def shrink(raw: pd.Series, raw_se: pd.Series, groups: pd.Series) -> Shrunk:
    """Shrink estimates to the mean of their group, and the groups' means to the mean of all.

    The model is raw_i ~ N(b_i, se_i²), b_i ~ N(m_g, within), m_g ~ N(m, between). Both variances
    are moment estimates (DerSimonian and Laird 1986); the within variance is common to all groups.
    A standard error of 0 returns the raw value, a variance of 0 the mean of the level above. The
    standard errors include that of the mean shrunk to (Morris 1983), but not that of the variances.

    Args:
        raw: estimates; NaN gives the mean of the group (NaN if no estimate is known).
        raw_se: their standard errors, on the same index.
        groups: their groups, on the same index.
    """
    known = raw.notna() & raw_se.notna()
    if not known.any():
        return Shrunk(raw, raw_se, np.nan, np.nan)
    # An exact estimate gets a weight that is large, not infinite.
    variance = raw_se.clip(lower=1e-9) ** 2
    within = _moment_variance(raw[known], variance[known], groups[known])
    mean, mean_variance = _group_means(raw[known], variance[known] + within, groups[known])
    whole = pd.Series(0, index=mean.index)
    between = _moment_variance(mean, mean_variance, whole)
    top, top_variance = _group_means(mean, mean_variance + between, whole)
    every = pd.Index(groups.unique())
    mean, mean_variance = _posterior(
        mean.reindex(every), mean_variance.reindex(every), between, top[0], top_variance[0]
    )
    posterior, posterior_variance = _posterior(
        raw.where(known), variance.where(known), within, groups.map(mean), groups.map(mean_variance)
    )
    return Shrunk(posterior, posterior_variance.pow(0.5), within, between)


def _moment_variance(value: pd.Series, variance: pd.Series, groups: pd.Series) -> float:
    """Estimate the variance of the true values around their groups' means, from Cochran's Q."""
    weight = 1 / variance
    total = weight.groupby(groups).sum()
    centre = (weight * value).groupby(groups).sum() / total
    q = (weight * (value - groups.map(centre)) ** 2).sum()
    freedom = len(value) - len(total)
    scale = (total - (weight**2).groupby(groups).sum() / total).sum()
    return max(0.0, float((q - freedom) / scale)) if freedom > 0 and scale > 0 else 0.0


def _group_means(value: pd.Series, variance: pd.Series, groups: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Return the precision-weighted mean of each group, and its variance."""
    weight = 1 / variance
    total = weight.groupby(groups).sum()
    return (weight * value).groupby(groups).sum() / total, 1 / total


def _posterior(
    value: pd.Series, variance: pd.Series, spread: float, mean: pd.Series | float, mean_variance: pd.Series | float
) -> tuple[pd.Series, pd.Series]:
    """Weight each value and the mean that it is drawn around; a missing value has no weight."""
    trust = (spread / (spread + variance)).fillna(0.0)
    own = variance.where(variance.notna(), 0.0)
    posterior = trust * value.fillna(0.0) + (1 - trust) * mean
    left = (trust * own).where(variance.notna(), spread)
    return posterior, left + (1 - trust) ** 2 * mean_variance

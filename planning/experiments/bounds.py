"""Confidence bounds for a mean: at one time, or at all times at once.

Observations are independent given the past and lie between two known ends. What differs is what may be read when:

- `betting_bounds`, `betting_capital`: by hedged capital (Waudby-Smith and Ramdas 2024, Estimating means of bounded random
  variables by betting, JRSS B 86(1), sections 4.2 and 4.4). The tightest here. The mean must not change over time.
- `maurer_pontil_bound`: in closed form, at one time (Maurer and Pontil 2009, Empirical Bernstein Bounds and Sample
  Variance Penalization, COLT 22, theorem 4); of independent observations whose means may differ, it is of their average.
- `mixture_capital`: at all times, of the average so far of means that change (Howard, Ramdas, McAuliffe and Sekhon 2021,
  Time-uniform, nonparametric, nonasymptotic confidence sequences, Annals of Statistics 49(2), theorem 4 and
  proposition 9). A betting sequence does not cover that: its bets weigh some times more than others.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammainc, gammaln

Array = NDArray[np.float64]
# Share of the capital that a bet may lose; the paper's section 4 takes 1/2 or 3/4.
BET_AT_ALL_TIMES = 0.5
BET_AT_ONE_TIME = 0.75
_BOUND_HALVINGS = 26


def betting_bounds(
    values: ArrayLike, alpha: float = 0.05, *, low: float = 0.0, high: float = 1.0, looks: ArrayLike | None = None
) -> tuple[Array, Array]:
    """Bounds for an unchanging mean by hedged capital with predictable plug-in bets.

    Capital that is staked on a mean above m, at odds that are fair if it is m, exceeds 1 / alpha with probability alpha
    at most. It falls as m rises, so the lower bound is where it is 1 / alpha. The paper's hedged capital max(K+ / 2, K- / 2)
    gives the lower bound of K+ and the upper bound of K- at alpha / 2 each (equation 24 and theorem 3).

    Args:
        values: (n,) observations in [low, high], in the order of time.
        alpha: Probability of an error, in (0, 1).
        low: Least value that an observation can have.
        high: Greatest value that it can have.
        looks: (L,) numbers of observations at which the bounds are read, rising; all of n by default.

    Returns:
        Lower and upper bounds, (L,) each; together they hold at all looks with probability 1 - alpha.

    Raises:
        ValueError: A value lies outside the range, or an argument is not allowed.

    Example:
        >>> lower, upper = betting_bounds([0.2, 0.4, 0.3, 0.25, 0.35] * 40)
        >>> bool(lower[0] < 0.3 < upper[0]), round(float(upper[0] - lower[0]), 3)
        (True, 0.043)
    """
    x = np.asarray(values, dtype=np.float64)
    at = np.array([x.size]) if looks is None else np.asarray(looks, dtype=np.intp)
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie in (0, 1); got {alpha:g}; 0.05 for 95% confidence")
    if x.ndim != 1 or not x.size:
        raise ValueError(f"values must be a row of 1 or more; got shape {x.shape}; give all observations")
    if not low <= x.min() <= x.max() <= high:
        must = f"values must lie in [{low:g}, {high:g}]"
        got = f"{x.min():g} to {x.max():g}"
        raise ValueError(f"{must}; got {got}; clip, or widen the range")
    if at.min() < 1 or at.max() > x.size:
        must = f"looks must lie in 1 to {x.size}"
        got = f"{at.min()} to {at.max()}"
        raise ValueError(f"{must}; got {got}; look at observations there are")

    def lower(x: Array) -> Array:
        def rejected(mean: Array) -> NDArray[np.bool_]:
            capital = np.maximum.accumulate(betting_capital(x, mean, alpha / 2), axis=1)
            return capital[np.arange(at.size), at - 1] >= -np.log(alpha / 2)

        return largest(rejected, np.zeros(at.size), np.ones(at.size))

    x = (x - low) / (high - low)
    return low + (high - low) * lower(x), high - (high - low) * lower(1 - x)


def largest(rejected: Callable[[Array], NDArray[np.bool_]], below: Array, above: Array) -> Array:
    """The largest values that are rejected, where all smaller ones are, too: by halving.

    Args:
        rejected: Which of some values are.
        below: Where they are rejected.
        above: Where they are not.

    Example:
        >>> largest(lambda value: value < 0.3, np.zeros(1), np.ones(1)).round(6)
        array([0.3])
    """
    for _ in range(_BOUND_HALVINGS):
        middle = (below + above) / 2
        worse = rejected(middle)
        below = np.where(worse, middle, below)
        above = np.where(worse, above, middle)
    return below


def betting_capital(
    x: Array, mean: ArrayLike, alpha: float, *, planned: int | None = None, prior_variance: float = 0.25
) -> Array:
    """(M, n) log capital K+ after each observation, staked on a mean above each of M candidates.

    Bets are the paper's equations 26 and 27, cut to a share of what the least observation could lose.

    Args:
        x: (n,) observations, 0 or above; 1 is where bets suppose the upper end, and nothing else depends on it.
        mean: (M,) candidates in (0, 1).
        alpha: Probability of an error that the bets are best for.
        planned: Number of observations that they are best for; None for all times.
        prior_variance: The variance that the first bets suppose; the paper takes 1/4, the largest.

    Example:
        >>> betting_capital(np.full(100, 0.6), [0.5], 0.05).shape
        (1, 100)
    """
    mean = np.atleast_1d(np.asarray(mean, dtype=np.float64))[:, None]
    time = np.arange(1, x.size + 1)
    horizon = time * np.log1p(time) if planned is None else planned
    _, variance = predictions(x, prior_variance)
    bets = np.sqrt(-2 * np.log(alpha) / (horizon * variance))
    most = BET_AT_ALL_TIMES if planned is None else BET_AT_ONE_TIME
    return np.log1p(np.minimum(bets, most / mean) * (x - mean)).cumsum(axis=1)


def maurer_pontil_bound(values: Array, alpha: float, width: float) -> float:
    """Lower bound for the mean of n observations, read once (Maurer and Pontil 2009, theorem 4).

    Args:
        values: (n,) observations, 2 or more.
        alpha: Probability of an error.
        width: Of the range that they lie in.

    Example:
        >>> round(maurer_pontil_bound(np.array([0.2, 0.4, 0.3, 0.25, 0.35] * 40), 0.025, 1.0), 3)
        0.234
    """
    n = values.size
    log = np.log(2 / alpha)
    return float(values.mean() - np.sqrt(2 * values.var(ddof=1) * log / n) - width * 7 * log / (3 * (n - 1)))


def mixture_capital(total: ArrayLike, spent: ArrayLike, alpha: float, planned: float, *, scale: float = 1.0) -> Array:
    """Log of the gamma-exponential mixture (Howard et al. 2021, proposition 9), a supermartingale that starts at 0.

    Args:
        total: Sum of observations less their means, each above -scale times 1.
        spent: Sum of the squared errors of their predictions.
        alpha: Probability of an error that it is best for.
        planned: The sum `spent` that it is best for.
        scale: The paper's c.

    Example:
        >>> round(float(mixture_capital(10, 100, 0.05, 100, scale=2)), 5)
        -0.24902
    """
    s = np.asarray(total, dtype=np.float64) / scale
    v = np.asarray(spent, dtype=np.float64) / scale**2
    log = -2 * np.log(2 * alpha)
    prior = planned / (log + np.log1p(log)) / scale**2
    start = prior * np.log(prior) - gammaln(prior) - np.log(gammainc(prior, prior))
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = np.log(gammainc(v + prior, np.maximum(s + v + prior, 0))) - (v + prior) * np.log(s + v + prior)
    return np.where(s + v + prior > 0, start + gammaln(v + prior) + reach + s + v, -np.inf)


def predictions(x: Array, prior_variance: float = 0.25) -> tuple[Array, Array]:
    """(…, n) mean and variance of the observations before each, with one made up at 1/2 (the first paper, equation 16).

    Example:
        >>> predictions(np.array([1.0, 1.0, 0.0]))[0]
        array([0.5       , 0.75      , 0.83333333])
    """
    time = np.arange(1, x.shape[-1] + 1)
    mean = (0.5 + x.cumsum(axis=-1)) / (time + 1)
    variance = (prior_variance + ((x - mean) ** 2).cumsum(axis=-1)) / (time + 1)
    first = np.full((*x.shape[:-1], 1), 0.5)
    return np.append(first, mean[..., :-1], axis=-1), np.append(2 * prior_variance * first, variance[..., :-1], axis=-1)

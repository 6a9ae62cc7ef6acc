"""Confidence bounds for a mean: at one time, or at all times at once.

Observations are independent given the past and lie between two known ends. What differs is what may be read when:

- `betting_bounds`: by hedged capital (Waudby-Smith and Ramdas 2024, Estimating means of bounded random variables by
  betting, JRSS B 86(1), sections 4.2 and 4.4). The tightest here. The mean must not change over time.
- `empirical_bernstein_bounds`: in closed form, at all times (the same paper, theorem 2), the mean unchanged.
- `maurer_pontil_bounds`: in closed form, at one time (Maurer and Pontil 2009, Empirical Bernstein Bounds and Sample
  Variance Penalization, COLT 22, theorem 4); of independent observations whose means may differ, the bounds are of
  their average.
- `drifting_bounds`: at all times, of the average so far of means that change (Howard, Ramdas, McAuliffe and Sekhon 2021,
  Time-uniform, nonparametric, nonasymptotic confidence sequences, Annals of Statistics 49(2), theorem 4 and
  proposition 9). A betting sequence does not cover that: its bets weigh some times more than others.
- `mixture_boundary`: at all times, for sums that are about normal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammainc, gammaln

Array = NDArray[np.float64]
Sided = Literal["lower", "upper", "two"]
SIDES = ("lower", "upper", "two")
BET_AT_ALL_TIMES, BET_AT_ONE_TIME = 0.5, 0.75
"""Share of the capital that a bet may lose; the paper's section 4 takes 1/2 or 3/4."""
_HALVINGS = 50


def betting_bounds(
    values: ArrayLike,
    alpha: float = 0.05,
    *,
    low: float = 0.0,
    high: float = 1.0,
    sided: Sided = "two",
    planned: int | None = None,
    looks: ArrayLike | None = None,
    running: bool = True,
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
        sided: "two", or "lower" or "upper" for one bound at the whole alpha; the other is the end of the range.
        planned: Number of observations at which the bets are best; None for bets that are good at all times.
        looks: (L,) numbers of observations at which the bounds are read, rising; all of n by default.
        running: Whether a bound also holds those of earlier times, not only of earlier looks.

    Returns:
        Lower and upper bounds, (L,) each; together they hold at all looks with probability 1 - alpha.

    Raises:
        ValueError: A value lies outside the range, or an argument is not allowed.

    Example:
        >>> lower, upper = betting_bounds([0.2, 0.4, 0.3, 0.25, 0.35] * 40)
        >>> bool(lower[0] < 0.3 < upper[0]), round(float(upper[0] - lower[0]), 3)
        (True, 0.043)
    """

    def lower(x: Array, error: float, at: NDArray[np.intp]) -> Array:
        below, above = np.zeros(at.size), np.ones(at.size)
        later = np.arange(1, x.size + 1) > at[:, None]
        for _ in range(_HALVINGS):
            mean = (below + above) / 2
            capital = betting_capital(x, mean, error, planned=planned)
            most = np.where(later, -np.inf, capital).max(axis=1) if running else capital[range(at.size), at - 1]
            rejected = most >= -np.log(error)
            below, above = np.where(rejected, mean, below), np.where(rejected, above, mean)
        return below

    found = _of_sides(lower, values, alpha, low, high, sided, looks)
    return (np.maximum.accumulate(found[0]), np.minimum.accumulate(found[1])) if running else found


def betting_capital(x: Array, mean: ArrayLike, alpha: float, *, planned: int | None = None) -> Array:
    """(M, n) log capital K+ after each observation, staked on a mean above each of M candidates.

    Bets are the paper's equations 26 and 27, cut to a share of what the least observation could lose.

    Args:
        x: (n,) observations, 0 or above; 1 is where bets suppose the upper end, and nothing else depends on it.
        mean: (M,) candidates in (0, 1).
        alpha: Probability of an error that the bets are best for.
        planned: Number of observations that they are best for; None for all times.

    Example:
        >>> betting_capital(np.full(100, 0.6), [0.5], 0.05).shape
        (1, 100)
    """
    mean, time = np.atleast_1d(np.asarray(mean, dtype=np.float64))[:, None], np.arange(1, x.size + 1)
    horizon = time * np.log1p(time) if planned is None else planned
    _, variance = predictions(x)
    bets = np.sqrt(-2 * np.log(alpha) / (horizon * variance))
    most = BET_AT_ALL_TIMES if planned is None else BET_AT_ONE_TIME
    return np.log1p(np.minimum(bets, most / mean) * (x - mean)).cumsum(axis=1)


def empirical_bernstein_bounds(
    values: ArrayLike,
    alpha: float = 0.05,
    *,
    low: float = 0.0,
    high: float = 1.0,
    sided: Sided = "two",
    planned: int | None = None,
    looks: ArrayLike | None = None,
) -> tuple[Array, Array]:
    """Bounds for an unchanging mean in closed form, the paper's theorem 2 with bets of equation 15 up to 1/2.

    Args:
        values: As for `betting_bounds`, and so are alpha, low, high, sided, planned and looks.

    Example:
        >>> lower, upper = empirical_bernstein_bounds([0.2, 0.4, 0.3, 0.25, 0.35] * 40)
        >>> bool(lower[0] < 0.3 < upper[0]), round(float(upper[0] - lower[0]), 3)
        (True, 0.078)
    """

    def lower(x: Array, error: float, at: NDArray[np.intp]) -> Array:
        time, (mean, variance) = np.arange(1, x.size + 1), predictions(x)
        horizon = time * np.log1p(time) if planned is None else planned
        bets = np.minimum(np.sqrt(-2 * np.log(error) / (horizon * variance)), 0.5)
        paid = (x - mean) ** 2 * (-np.log1p(-bets) - bets)
        return ((np.cumsum(bets * x - paid) + np.log(error)) / np.cumsum(bets))[at - 1]

    return _of_sides(lower, values, alpha, low, high, sided, looks)


def maurer_pontil_bounds(
    values: ArrayLike, alpha: float = 0.05, *, low: float = 0.0, high: float = 1.0, sided: Sided = "two"
) -> tuple[float, float]:
    """Bounds for the mean of n observations, read once (Maurer and Pontil 2009, theorem 4).

    Args:
        values: As for `betting_bounds`, and so are alpha, low, high and sided.

    Example:
        >>> lower, upper = maurer_pontil_bounds([0.2, 0.4, 0.3, 0.25, 0.35] * 40)
        >>> round(lower, 3), round(upper, 3)
        (0.234, 0.366)
    """

    def lower(x: Array, error: float, at: NDArray[np.intp]) -> Array:
        log = np.log(2 / error)
        return x.mean() - np.sqrt(2 * x.var(ddof=1) * log / x.size) - 7 * log / (3 * (x.size - 1)) + 0.0 * at

    found = _of_sides(lower, values, alpha, low, high, sided, None, least=2)
    return float(found[0][0]), float(found[1][0])


def drifting_bounds(
    values: ArrayLike,
    alpha: float = 0.05,
    *,
    low: float = 0.0,
    high: float = 1.0,
    sided: Sided = "two",
    variance: float = 0.05,
    planned: int | None = None,
    looks: ArrayLike | None = None,
) -> tuple[Array, Array]:
    """Bounds for the average so far of means that may change with every observation, at all times.

    Args:
        values: As for `betting_bounds`, and so are alpha, low, high, sided and looks.
        variance: The variance, as a share of (high - low) ** 2, for which the bounds are tightest; they hold for all.
        planned: Number of observations for which they are tightest; by default n.

    Example:
        >>> drift = np.repeat([0.3, 0.7], 500)
        >>> lower, upper = drifting_bounds(drift, looks=[500, 1000])
        >>> bool((lower < [0.3, 0.5]).all() and (upper > [0.3, 0.5]).all())
        True
    """

    def lower(x: Array, error: float, at: NDArray[np.intp]) -> Array:
        below, above = np.zeros(at.size), np.ones(at.size)
        spent, total = np.cumsum((x - predictions(x)[0]) ** 2)[at - 1], np.cumsum(x)[at - 1]
        for _ in range(_HALVINGS):
            mean = (below + above) / 2
            log = mixture_capital(total - at * mean, spent, error, variance * (planned or x.size))
            rejected = log >= -np.log(error)
            below, above = np.where(rejected, mean, below), np.where(rejected, above, mean)
        return below

    return _of_sides(lower, values, alpha, low, high, sided, looks)


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
    s, v = np.asarray(total, dtype=np.float64) / scale, np.asarray(spent, dtype=np.float64) / scale**2
    prior = planned / _log_odds(2 * alpha) / scale**2
    start = prior * np.log(prior) - gammaln(prior) - np.log(gammainc(prior, prior))
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = np.log(gammainc(v + prior, np.maximum(s + v + prior, 0))) - (v + prior) * np.log(s + v + prior)
    return np.where(s + v + prior > 0, start + gammaln(v + prior) + reach + s + v, -np.inf)


def mixture_boundary(
    times: ArrayLike, planned: float, alpha: float = 0.05, sided: Literal["one", "two"] = "two"
) -> Array:
    """Factor on the standard error of a mean that covers at all times at once, by a normal mixture (Robbins 1970).

    Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, Time-uniform central limit theory and asymptotic confidence
    sequences, Annals of Statistics 52(6), theorem 2.2, and its appendix for one side; rho as they tune it for a time.

    Args:
        times: Numbers of observations, or information, above 0.
        planned: The time at which the factor is about least.
        alpha: Probability of an error at any time.
        sided: Both sides, or one.

    Returns:
        The factor, in the shape of `times`; for one look it would be the normal quantile.

    Example:
        >>> mixture_boundary([50, 100, 200], planned=100).round(3)
        array([3.084, 3.035, 3.061])
    """
    if sided not in ("one", "two"):
        raise ValueError(f"sided must be one or two; got '{sided}'; choose one of them")
    _check_alpha(alpha)
    if not (planned > 0 and np.all(np.asarray(times) > 0)):
        raise ValueError(f"times and planned must be above 0; got times {times} and planned {planned}; count from 1")
    error = alpha if sided == "two" else 2 * alpha
    informed = np.asarray(times, dtype=np.float64) * _log_odds(error) / planned
    root = np.sqrt(informed + 1)
    height = np.log(root / alpha) if sided == "two" else np.log1p(root / error)
    return np.sqrt(2 * (informed + 1) / informed * height)


def _log_odds(alpha: float) -> float:
    """rho squared of the normal mixture at time 1; planned over it is Howard's rho."""
    return float(-2 * np.log(alpha) + np.log(1 - 2 * np.log(alpha)))


def predictions(x: Array) -> tuple[Array, Array]:
    """(…, n) mean and variance of the observations before each, with one made up at 1/2 (the first paper, equation 16).

    Example:
        >>> predictions(np.array([1.0, 1.0, 0.0]))[0]
        array([0.5       , 0.75      , 0.83333333])
    """
    time = np.arange(1, x.shape[-1] + 1)
    mean = (0.5 + x.cumsum(axis=-1)) / (time + 1)
    variance = (0.25 + ((x - mean) ** 2).cumsum(axis=-1)) / (time + 1)
    first = np.full((*x.shape[:-1], 1), 0.5)
    return np.append(first, mean[..., :-1], axis=-1), np.append(first / 2, variance[..., :-1], axis=-1)


def _of_sides(
    lower: Callable[[Array, float, NDArray[np.intp]], Array],
    values: ArrayLike,
    alpha: float,
    low: float,
    high: float,
    sided: Sided,
    looks: ArrayLike | None,
    least: int = 1,
) -> tuple[Array, Array]:
    """The bounds of the sides asked for, from a lower bound for observations in [0, 1]; the upper is that of 1 - x."""
    x = np.asarray(values, dtype=np.float64)
    _check_alpha(alpha)
    if sided not in SIDES:
        raise ValueError(f"sided must be one of {', '.join(SIDES)}; got '{sided}'; choose one of them")
    if x.ndim != 1 or x.size < least:
        raise ValueError(f"values must be a row of {least} or more; got shape {x.shape}; give all observations")
    if not (x.min() >= low and x.max() <= high and low < high):
        raise ValueError(
            f"values must lie in [{low:g}, {high:g}]; got {x.min():g} to {x.max():g}; clip, or widen the range"
        )
    at = np.array([x.size]) if looks is None else np.asarray(looks, dtype=np.intp)
    if at.min() < 1 or at.max() > x.size:
        raise ValueError(
            f"looks must lie in 1 to {x.size}; got {at.min()} to {at.max()}; look at observations there are"
        )
    x, error = (x - low) / (high - low), alpha / 2 if sided == "two" else alpha
    below = np.clip(lower(x, error, at), 0, 1) if sided != "upper" else np.zeros(at.size)
    above = 1 - np.clip(lower(1 - x, error, at), 0, 1) if sided != "lower" else np.ones(at.size)
    return low + (high - low) * below, low + (high - low) * above


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie in (0, 1); got {alpha:g}; 0.05 for 95% confidence")

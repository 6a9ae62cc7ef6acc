"""Negative binomial counts with mean mu and variance mu + alpha mu^2, some of them cut by stock."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaln, gammaln

Array = NDArray[np.float64]
# Prior of alpha: between Poisson and a standard deviation of a third or more of the mean.
_MEDIAN = 0.1
_SPREAD = 1.5
_CANDIDATES = np.geomspace(1e-4, 5.0, 41)
_LEAST = 1e-290


class Counts(NamedTuple):
    """Log likelihood of counts and its derivatives in log mu, all of the shape of the counts.

    Args:
        log_likelihood: Without terms that depend on the counts alone.
        score: First derivative.
        information: Minus the (expected, for censored counts observed) second derivative.

    Example:
        >>> counts(np.array([3.0]), np.array([3.0]), np.array([0.5])).score.tolist()
        [0.0]
    """

    log_likelihood: Array
    score: Array
    information: Array


def counts(units: Array, mean: Array, alpha: Array, censored: NDArray[np.bool_] | None = None) -> Counts:
    """Likelihood of negative binomial counts.

    Args:
        units: Counts; where censored, what was sold before the stock was gone.
        mean: Their means mu.
        alpha: Variance of the gamma multiplier, above 0.
        censored: Where the count was at least `units`; its likelihood is P(Y >= units).
    """
    size = 1 / alpha
    log_likelihood = gammaln(units + size) - gammaln(size) - gammaln(units + 1)
    log_likelihood = log_likelihood - size * np.log1p(alpha * mean) + units * np.log(alpha * mean / (1 + alpha * mean))
    score = (units - mean) / (1 + alpha * mean)
    information = mean / (1 + alpha * mean)
    if censored is None or not censored.any():
        return Counts(log_likelihood, score, information)
    cut = _censored(units, mean, np.broadcast_to(size, units.shape))
    # A count of at least nothing says nothing.
    empty = units <= 0
    parts = (log_likelihood, score, information)
    return Counts(*(np.where(censored, np.where(empty, 0.0, new), old) for new, old in zip(cut, parts, strict=True)))


def _censored(units: Array, mean: Array, size: Array) -> Counts:
    """P(Y >= y) = I_p(y, size) with p = mu / (mu + size), a regularised incomplete beta function."""
    y = np.maximum(units, 1e-6)
    chance = mean / (mean + size)
    tail = np.maximum(betainc(y, size, chance), _LEAST)
    log_density = y * np.log(chance) + size * np.log1p(-chance) - betaln(y, size)
    score = np.exp(log_density - np.log(tail))
    information = score * (score + size * chance - y * (1 - chance))
    return Counts(np.log(tail), score, np.maximum(information, 0.0))


class Dispersion:
    """The dispersion of each product with the highest posterior, given the means of its counts.

    Args:
        units: (…, J) counts.
        known: (…, J) which of them count; censored ones should not.

    Example:
        >>> units = np.random.default_rng(0).negative_binomial(4, 4 / 24, (2000, 1))
        >>> Dispersion(units, np.full(units.shape, True)).fitted(np.full(units.shape, 20.0)).round(2).tolist()
        [0.24]
    """

    def __init__(self, units: Array, known: NDArray[np.bool_]) -> None:
        self._products = units.shape[-1]
        self._here = known.reshape(-1, self._products)
        self._units = np.where(self._here, units.reshape(-1, self._products), 0.0)
        # What does not depend on the means, by candidate and product.
        prior = -0.5 * ((np.log(_CANDIDATES) - np.log(_MEDIAN)) / _SPREAD) ** 2
        units = self._units
        fixed = [gammaln(units + 1 / alpha) - gammaln(1 / alpha) + units * np.log(alpha) for alpha in _CANDIDATES]
        self._fixed = np.array([np.where(self._here, part, 0.0).sum(axis=0) for part in fixed]) + prior[:, None]

    def fitted(self, mean: Array) -> Array:
        """(J,) alpha, between 0.0001 and 5, for the (…, J) means."""
        mu = np.where(self._here, mean.reshape(-1, self._products), 0.0)
        moved = [((self._units + 1 / alpha) * np.log1p(alpha * mu)).sum(axis=0) for alpha in _CANDIDATES]
        value = self._fixed - np.array(moved)
        best = np.clip(value.argmax(axis=0), 1, len(_CANDIDATES) - 2)
        left, top, right = (value[best + step, np.arange(self._products)] for step in (-1, 0, 1))
        bend = left - 2 * top + right
        shift = np.where(bend < 0, 0.5 * (left - right) / np.where(bend < 0, bend, 1.0), 0.0)
        step = np.log(_CANDIDATES[1] / _CANDIDATES[0])
        return np.exp(np.log(_CANDIDATES[best]) + np.clip(shift, -1, 1) * step)

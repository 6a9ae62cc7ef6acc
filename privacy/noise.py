"""The noise of differential privacy, from OpenDP: sums that one customer hardly changes, and what they may tell.

Two sets of customers are neighbours if one customer, with all their purchases, is in one of them only.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Array = NDArray[np.float64]
# Sums of floats are exact to much less than this, so that rounding cannot hide a larger contribution.
_SENSITIVITY = 1.0 + 1e-9


def noisy_sums(rows: Array, labels: NDArray[np.intp], groups: int, epsilon: float, delta: float) -> Array:
    """(groups, columns) sums of the customers' rows with Gaussian noise of deviation `noise_of_sums`.

    Args:
        rows: (customers, columns); a row longer than 1 is shortened to 1, in the Euclidean norm.
        labels: (customers,) the group of each.
        epsilon: cost of all sums together.
        delta: probability with which epsilon may fail to hold.
    """
    sums = clipped_sums(rows, labels, groups)
    noisy = _gaussian(noise_of_sums(epsilon, delta))
    return np.array(noisy(sums.ravel().tolist())).reshape(sums.shape)


def clipped_sums(rows: Array, labels: NDArray[np.intp], groups: int) -> Array:
    """What `noisy_sums` adds its noise to."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    sums = np.zeros((groups, rows.shape[1]))
    np.add.at(sums, labels, rows / np.maximum(length, 1.0))
    return sums


@cache
def noise_of_sums(epsilon: float, delta: float) -> float:
    """Standard deviation of the noise of `noisy_sums`: the least that OpenDP finds sufficient."""
    return _opendp().binary_search_param(
        lambda scale: _approximate(_gaussian(scale), delta), d_in=_SENSITIVITY, d_out=(epsilon, delta), T=float
    )


def most_advantage(deviations: Sequence[float]) -> float:
    """The most by which an attacker tells better than by guessing who was in all of these sums together.

    The share of members found less the share of others accused, for one who knows everybody else (Dong, Roth and Su
    2022): Gaussian mechanisms compose to one.

    Args:
        deviations: standard deviations of the noise of sums that one customer moves by 1 at most.

    Example:
        >>> round(most_advantage([20.0, 20.0]), 3)
        0.028
    """
    return float(2 * norm.cdf(np.sqrt(np.sum(np.array(deviations) ** -2.0)) / 2) - 1)


def _gaussian(scale: float) -> Any:
    dp = _opendp()
    return dp.m.make_gaussian(dp.vector_domain(dp.atom_domain(T=float, nan=False)), dp.l2_distance(T=float), scale)


def _approximate(measurement: Any, delta: float) -> Any:
    dp = _opendp()
    return dp.c.make_fix_delta(dp.c.make_zCDP_to_approxDP(measurement), delta)


@cache
def _opendp() -> Any:
    import opendp.prelude as dp

    dp.enable_features("contrib")  # pyright: ignore[reportPrivateImportUsage]
    return dp

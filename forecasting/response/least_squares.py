"""Least squares with one slope per group and common coefficients, without a matrix of dummies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr

Array = NDArray[np.floating]
STILL = 1e-10
"""Relative size below which a number counts as rounding."""


@dataclass(frozen=True)
class CoefficientEstimate:
    """A coefficient with its standard error.

    Example:
        >>> price = CoefficientEstimate(-2.1, se=0.3)
        >>> price.coefficient / price.se < -2
        True
    """

    coefficient: float
    se: float


class Groups:
    """N groups of consecutive rows.

    Args:
        labels: (n,) the group of each row, sorted.
    """

    def __init__(self, labels: NDArray) -> None:
        changes = np.flatnonzero(labels[1:] != labels[:-1]) + 1
        self.starts = np.r_[0, changes]
        self.sizes = np.diff(np.r_[self.starts, len(labels)])
        self.labels = labels[self.starts]
        self.codes = np.repeat(np.arange(len(self.starts)), self.sizes)

    def sum(self, values: Array) -> Array:
        """Sum the rows of each group: (n, …) to (N, …)."""
        return np.add.reduceat(values, self.starts, axis=0)

    def demean(self, values: Array) -> Array:
        """Subtract each group's mean, which removes the group effects (within transformation)."""
        means = self.sum(values) / self.sizes.reshape(-1, *[1] * (values.ndim - 1))
        return values - means[self.codes]


@dataclass(frozen=True)
class Slopes:
    """A slope for each of N groups, and the coefficients of q columns common to all.

    Attributes:
        coefficient: (N,) slopes.
        se: (N,) their standard errors.
        common: the q common coefficients, with standard errors clustered by group.
    """

    coefficient: Array
    se: Array
    common: tuple[CoefficientEstimate, ...]


def fit_slopes(y: Array, x: Array, common: Array, groups: Groups, *, instrument: Array | None = None) -> Slopes:
    r"""Fit :math:`y = a_g + e_g x + Z\gamma + \varepsilon` by least squares, or just-identified instruments.

    With w the instrument (x itself for least squares), the moment conditions :math:`D_w'\varepsilon
    = 0` and :math:`Z'\varepsilon = 0` have a block that is diagonal in the groups; eliminating it
    leaves q equations for :math:`\gamma`, so that neither time nor memory grows with the square of
    N (Frisch and Waugh 1933, Lovell 1963).

    The standard error of a slope is the larger of HC3 and the conventional one with one error
    variance for each group: Angrist and Pischke's (2009, section 8.1) guard against robust errors
    that are too small by chance. Both count the group effects. With an instrument, the leverages
    are those of the instruments' projection.

    Args:
        y: (n,) outcome, with the groups' means removed.
        x: (n,) regressor, likewise.
        common: (n, q) columns Z, likewise; q may be 0.
        instrument: (n,) instrument for x, likewise.

    Raises:
        numpy.linalg.LinAlgError: columns and slopes are collinear.
    """
    w = x if instrument is None else instrument
    moment = groups.sum(w * x)
    forward, back = groups.sum(w[:, None] * common), groups.sum(x[:, None] * common)
    ratio = forward / moment[:, None]
    # Row j of `cleaned` is the contribution of row j to the equations that remain for gamma.
    cleaned = common - w[:, None] * (back / moment[:, None])[groups.codes]
    weights = np.linalg.solve(_regular(common.T @ common - back.T @ ratio), cleaned.T)
    gamma = weights @ y
    slope = groups.sum(w * y) / moment - ratio @ gamma
    residual = y - x * slope[groups.codes] - common @ gamma
    # Of least squares, the weights are what the projection on the cleaned columns needs.
    own_share = (cleaned * weights.T).sum(axis=1) if instrument is None else _leverage(w, common, groups)
    freedom = 1 - w**2 / groups.sum(w**2)[groups.codes] - own_share - (1 / groups.sizes)[groups.codes]
    own = w / moment[groups.codes]
    variances = [
        _slope_variance(own, ratio, weights, omega, groups) for omega in _error_variances(residual, freedom, groups)
    ]
    errors = _clustered(weights, residual, groups)
    return Slopes(
        slope, np.sqrt(np.maximum(*variances)), tuple(map(CoefficientEstimate, gamma.tolist(), errors.tolist()))
    )


def independent(columns: Array) -> Array:
    """Drop columns that are linear combinations of the others, by a QR decomposition with pivots."""
    if not columns.size:
        return columns
    triangle, order = qr(columns, mode="r", pivoting=True)
    size = np.abs(np.diag(triangle))
    return columns[:, np.sort(order[: len(size)][size > STILL * size[0]])]


def without_slopes(columns: Array, w: Array, groups: Groups) -> Array:
    """Return what the groups' slopes on w leave of each column."""
    return columns - w[:, None] * (groups.sum(w[:, None] * columns) / groups.sum(w**2)[:, None])[groups.codes]


def _regular(matrix: Array) -> Array:
    """Return a square matrix unless it is singular."""
    scale = np.sqrt(np.abs(np.diag(matrix)))
    if (scale == 0).any():
        raise np.linalg.LinAlgError("a column is zero")
    scaled = matrix / np.outer(scale, scale)
    if len(matrix) and np.linalg.svd(scaled, compute_uv=False).min() < STILL:
        raise np.linalg.LinAlgError("columns are linearly dependent")
    return matrix


def _leverage(w: Array, common: Array, groups: Groups) -> Array:
    """Return the diagonal of the projection on the common columns without what the groups' w explain."""
    left = without_slopes(common, w, groups)
    return (left * np.linalg.solve(left.T @ left, left.T).T).sum(axis=1)


def _error_variances(residual: Array, freedom: Array, groups: Groups) -> tuple[Array, Array]:
    """Return the squared errors of HC3, and one variance for each group."""
    # A row that alone determines a coefficient has no residual; the conventional error is used.
    alone = freedom < 1e-9
    robust = np.where(alone, 0.0, residual / np.where(alone, 1.0, freedom)) ** 2
    return robust, (groups.sum(residual**2) / groups.sum(freedom))[groups.codes]


def _slope_variance(own: Array, ratio: Array, weights: Array, omega: Array, groups: Groups) -> Array:
    """Add up omega times the squared influence, own - ratio @ weights, of every row on each slope."""
    weighted = weights * omega
    cross = groups.sum((own * weighted).T)
    return (
        groups.sum(omega * own**2) - 2 * (ratio * cross).sum(axis=1) + ((ratio @ (weighted @ weights.T)) * ratio).sum(1)
    )


def _clustered(weights: Array, residual: Array, groups: Groups) -> Array:
    """Return standard errors of the common coefficients, clustered by group; NaN with a single group."""
    rows, count = len(residual), len(groups.sizes)
    if count == 1:
        return np.full(len(weights), np.nan)
    scores = groups.sum((weights * residual).T)
    scale = count / (count - 1) * (rows - 1) / (rows - count - len(weights))
    return np.sqrt(scale * (scores**2).sum(axis=0))

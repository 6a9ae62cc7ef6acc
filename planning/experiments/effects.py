"""The effect of varied prices, with an interval that may be looked at every day of the experiment.

Sales of a unit (a group of products in a store) are taken relative to its own past, less the mean of all stores on the same
day, and regressed on its arm. Errors of a store last for weeks; the regression is therefore generalised least squares with
the autocorrelation of the past, whose sales before the experiment count as observations (the optimal form of CUPED: Deng,
Xu, Kohavi and Walker 2013, Improving the sensitivity of online controlled experiments by utilizing pre-experiment data,
WSDM). What it leaves are increments that are nearly independent, day by day, and standard errors are clustered by store.

The interval of every look has the half-width `height * shape(t) * standard error`. The shape is that of a normal mixture
(Robbins 1970; Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, Annals of Statistics, equation 7). Its height is such
that of experiments on the shop's own past, with assignments drawn anew and no effect, 95% stay inside on all looks together:
a randomisation test with few stores, their autocorrelation and the looks accounted for. It holds from the first look to the
planned end, not beyond.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.linalg import solve_triangular, toeplitz

from .designs import DAYS, Design

Array = NDArray[np.float64]
# Days before the experiment that count as observations.
MEMORY_DAYS = 56
ALPHA = 0.05
POWER = 0.8
NORMAL95 = 1.645
# Spread of the mixture at the planned end: larger would favour the first looks, at the cost of the last.
_RATIO = 1.0
_LAGS = 28
_WINDOWS = 8
_REDRAWS = 1_200
_LEAST_DAYS = 28
_PERSISTENCE = np.concatenate([np.linspace(0.0, 0.9, 10), 1 - np.geomspace(0.08, 0.002, 12)])
_EVEN = 2


class Path(NamedTuple):
    """(…, T) relative effect by look, and its standard error; NaN before anything can be read."""

    effect: Array
    error: Array


@dataclass(frozen=True)
class Cells:
    """The U units whose sales are read.

    Attributes:
        store: (U,) number of the store, the cluster of the standard errors.
        loading: (U, G) what a group's test price adds to the regressor: 1 for the effect of its arm, the logarithm of the
            price ratio for an elasticity, the group's share for the effect on a whole category.

    Example:
        >>> Cells.of_groups(stores=2, changes=np.ones(3)).loading.shape
        (6, 3)
    """

    store: NDArray[np.intp]
    loading: Array

    @classmethod
    def of_groups(cls, stores: int, changes: Array) -> Cells:
        """A unit per group and store, group by group."""
        groups = len(changes)
        return cls(np.tile(np.arange(stores), groups), np.repeat(np.diag(changes), stores, axis=0))

    @classmethod
    def of_stores(cls, stores: int, shares: Array) -> Cells:
        """A unit per store, in which each group has a share (G,)."""
        return cls(np.arange(stores), np.broadcast_to(shares, (stores, len(shares))))

    def regressor(self, design: Design, arms: NDArray[np.int8]) -> tuple[Array, NDArray[np.bool_]]:
        """(…, U, T) regressor and whether the day is read.

        Args:
            design: The design.
            arms: (…, G, S, B) arms of the groups in the stores, by block.
        """
        by_day, read = design.by_day(arms)
        of_store = np.moveaxis(by_day, -3, 0)[..., self.store, :], np.moveaxis(read, -3, 0)[..., self.store, :]
        z = np.einsum("ug,g...ut->...ut", self.loading, of_store[0])
        late = np.moveaxis(~of_store[1], 0, -1) & (self.loading != 0)[:, None, :]
        return z, ~late.any(axis=-1)


@dataclass(frozen=True)
class Analysis:
    """How an effect is read, fixed before the experiment begins.

    Attributes:
        height: Of the boundary.
        lasting: Share of the variance of a unit's errors that lasts.
        persistence: What is left of that from one day to the next.
        first_look: Day of the first look, from 1.
        days: T, the planned days.

    Example:
        >>> analysis = Analysis(height=1.0, lasting=0.0, persistence=0.0, first_look=7, days=56)
        >>> round(float(analysis.shape()[-1]), 2)
        3.66
    """

    height: float
    lasting: float
    persistence: float
    first_look: int
    days: int

    def shape(self) -> Array:
        """(T,) half-width in standard errors that a normal mixture has at each look, for a height of 1."""
        passed = _RATIO * np.arange(1, self.days + 1) / self.days
        return np.sqrt((1 + 1 / passed) * np.log((1 + passed) / ALPHA**2))

    def interval(self, path: Path) -> tuple[Array, Array]:
        """Ends (…, T) of the interval at each look; NaN before the first."""
        half = self.height * self.shape()[: path.error.shape[-1]] * path.error
        return path.effect - half, path.effect + half

    def path(self, cells: Cells, past: Array, values: Array, z: Array, read: NDArray[np.bool_]) -> Path:
        """The effect as it is read on each day.

        Args:
            cells: The units.
            past: (U, H) their sales (units or money) by day before the experiment, NaN while closed.
            values: (U, t) those of the days of the experiment so far.
            z: (…, U, t) the regressor, see `Cells.regressor`.
            read: (…, U, t) days that are read.
        """
        weight = np.maximum(np.nan_to_num(np.nanmean(past, axis=1)), 0.0)[:, None]
        ratio = np.concatenate([past[:, -MEMORY_DAYS:], values], axis=1) / np.where(weight > 0, weight, np.nan)
        memory = ratio.shape[1] - values.shape[1]
        known = np.isfinite(ratio)
        share = weight / max(weight.sum(), 1e-12)
        family = _families(cells)
        relative = np.nan_to_num(ratio[:, memory:])
        whiten = _whitening(self.lasting, self.persistence, ratio.shape[1])[memory:]
        use = np.where(read & known[:, memory:], share, 0.0)
        before = _centred(ratio[:, :memory], known[:, :memory] * share, family) @ whiten[:, :memory].T
        moved, arm = (_centred(each, use, family) @ whiten[:, memory:].T for each in (relative, z))
        member = (cells.store == np.unique(cells.store)[:, None]).astype(np.float64)
        if len(member) == 1:  # with one store, products are the clusters
            member = np.eye(len(cells.store))
        top, bottom = (np.cumsum(member @ (share * arm * other), axis=-1) for other in (before + moved, arm))
        total = bottom.sum(axis=-2)
        count = len(member)
        seen = np.maximum(np.cumsum(use.sum(axis=-2), axis=-1), 1e-12)
        level, mean = (np.cumsum((use * each).sum(axis=-2), axis=-1) / seen for each in (relative, z))
        with np.errstate(invalid="ignore", divide="ignore"):
            slope = top.sum(axis=-2) / np.where(total > 1e-9, total, np.nan)
            left = top - slope[..., None, :] * bottom
            error = np.sqrt(count / max(count - 1, 1) * (left**2).sum(axis=-2)) / total
            # Relative to what the units sell at planned prices in the same weeks.
            found = np.stack([slope, error]) / (level - slope * mean)
        return Path(*np.where(np.arange(1, slope.shape[-1] + 1) < self.first_look, np.nan, found))


@dataclass(frozen=True)
class Power:
    """The smallest relative effects that an experiment finds by its end in 80 of 100 cases.

    Attributes:
        planning: From weeks of the past that had no part in the choice of the design.
        optimistic: From the weeks by which the design was chosen; choosing flatters it.

    Example:
        >>> Power(planning=0.05, optimistic=0.045).planning
        0.05
    """

    planning: float
    optimistic: float


@np.errstate(divide="ignore", invalid="ignore")  # of two stores, an experiment without an effect may leave no error
def calibrated(cells: Cells, history: Array, design: Design, random: Generator) -> tuple[Analysis, Power]:
    """Fix the analysis of an experiment by what the same experiment would have read in the shop's past.

    Args:
        cells: The units.
        history: (U, H) their sales by day, NaN while closed, up to the day before the experiment.
        design: How the arms are drawn.
        random: Source of the assignments that are drawn anew.

    Raises:
        ValueError: The past is too short, or nothing is compared with anything.
    """
    days = design.days
    length = history.shape[1]
    if length < days + _LEAST_DAYS:
        must = f"an experiment of {days} days needs {days + _LEAST_DAYS} days of sales before it"
        raise ValueError(f"{must}; got {length}; run a shorter one, or bring a longer history")
    first = min(MEMORY_DAYS, length - days)
    starts = np.unique(np.linspace(first, length - days, _WINDOWS).round().astype(int))
    lasting, persistence = _autocorrelation(cells, history)
    first_look = min(design.washout_days + DAYS, days)
    if design.kind == "switchback" and len(np.unique(cells.store)) == 1:
        first_look = min(design.block_weeks * DAYS + first_look, days)
    open_ended = Analysis(1.0, lasting, persistence, first_look, days)
    paths = []
    for start in starts:
        draws = -(-_REDRAWS // len(starts))
        groups = cells.loading.shape[1]
        arms = design.draw(random, draws * groups)
        z, read = cells.regressor(design, arms.reshape(draws, groups, *arms.shape[1:]))
        # The mean of a unit is that of its whole history, as it will be of the experiment.
        past = np.where(np.arange(length) < start, history, np.nan)[:, :start]
        paths.append(open_ended.path(cells, past, history[:, start : start + days], z, read))
    effect, error = (np.concatenate(each) for each in zip(*paths, strict=True))
    window = np.repeat(np.arange(len(starts)), len(effect) // len(starts))
    # Of one store, all products may be drawn into the same arm, which tells nothing.
    readable = np.isfinite(effect[:, -1])
    effect = effect[readable]
    error = error[readable]
    window = window[readable]
    shape = open_ended.shape()
    furthest = np.nanmax(np.abs(effect) / (error * shape), axis=-1)
    if not len(furthest):
        must = "an experiment needs stores, or in one store groups of products, that are compared with each other"
        raise ValueError(f"{must}; got {len(cells.store)} of them; vary more groups, or take more stores")
    # The upper end of what so many draws tell of the quantile.
    rank = 1 - ALPHA + NORMAL95 * np.sqrt(ALPHA * (1 - ALPHA) / len(furthest))
    height = float(np.quantile(furthest, rank, method="higher"))
    analysis = Analysis(height, lasting, persistence, first_look, days)
    chosen = window % _EVEN == 0 if len(starts) > 1 else np.ones(len(window), dtype=bool)
    found = [detectable(effect[rows], error[rows], height * shape) for rows in (~chosen, chosen) if rows.any()]
    return analysis, Power(found[0], found[-1])


def detectable(effect: Array, error: Array, reach: Array) -> float:
    """The smallest effect that leaves the interval around it without 0 by the last look in 80% of some experiments.

    Args:
        effect: (R, T) what experiments without an effect read.
        error: (R, T) standard errors.
        reach: (T,) half-width of the interval in standard errors.
    """
    # An experiment finds an effect on its own side of zero from this size on.
    needed = np.nanmin(reach * error - effect, axis=-1)
    return float(np.quantile(needed, POWER))


def _families(cells: Cells) -> Array:
    """(F, U) which units share an effect of the day: those of a group, or with one store all."""
    if len(np.unique(cells.store)) == 1:
        return np.ones((1, len(cells.store)))
    kinds, number = np.unique(cells.loading, axis=0, return_inverse=True)
    return (number.ravel()[None, :] == np.arange(len(kinds))[:, None]).astype(np.float64)


def _centred(values: Array, weight: Array, family: Array) -> Array:
    """Values less the weighted mean of their family on the same day; 0 without a weight."""
    total = family @ weight
    mean = (family @ (weight * np.nan_to_num(values))) / np.where(total > 0, total, 1.0)
    return np.where(weight > 0, np.nan_to_num(values) - family.T @ mean, 0.0)


def _autocorrelation(cells: Cells, history: Array) -> tuple[float, float]:
    """Share of a unit's errors that lasts, and its persistence from day to day, fitted to four weeks of lags."""
    weight = np.nan_to_num(np.nanmean(history, axis=1))[:, None]
    known = np.isfinite(history) & (weight > 0)
    relative = _centred(history / np.where(weight > 0, weight, 1.0), known * weight, _families(cells))
    lags = list[float]()
    length = relative.shape[1]
    for lag in range(min(_LAGS, length - 1) + 1):
        both = weight * (known[:, lag:] & known[:, : length - lag])
        lags.append((both * relative[:, lag:] * relative[:, : length - lag]).sum() / max(both.sum(), 1e-12))
    lags = np.array(lags)
    if lags[0] <= 0:
        return 0.0, 0.0
    curve = _PERSISTENCE[:, None] ** np.arange(1, len(lags))
    share = np.clip((curve @ lags[1:]) / np.maximum((curve**2).sum(axis=1), 1e-12) / lags[0], 0.0, 0.95)
    misfit = ((lags[1:] / lags[0] - share[:, None] * curve) ** 2).sum(axis=1)
    best = int(np.argmin(misfit))
    return float(share[best]), float(_PERSISTENCE[best])


def _whitening(lasting: float, persistence: float, length: int) -> Array:
    """(L, L) matrix that makes errors with this autocorrelation independent, each day from those before it."""
    correlation = lasting * persistence ** np.arange(length)
    correlation[0] = 1.0
    return solve_triangular(np.linalg.cholesky(toeplitz(correlation)), np.eye(length), lower=True)

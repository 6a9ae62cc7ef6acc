"""Exponential smoothing and, for slow sellers, the method of Teunter, Syntetos and Babai."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.tools.sm_exceptions import ConvergenceWarning
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

from .series import CannotFit, SeriesForecaster, filled

_SMOOTHING_WEEKS = 8
_TSB_GRID = (0.02, 0.05, 0.1, 0.2, 0.3)


class ExponentialSmoothing(SeriesForecaster):
    r"""ETS(A, N, N) of log units: simple exponential smoothing (Hyndman et al. 2008).

    Level and smoothing are estimated by maximum likelihood with statsmodels. The log forecast is
    normal with variance :math:`\\sigma^2 (1 + (h - 1) \\alpha^2)` (their table 6.1) h weeks ahead;
    the mean is that of the log-normal. There is no trend: a year of weekly sales shows none that
    lasts. A series that is too short or does not converge is forecast by the mean of its last four
    weeks and recorded in `failures_`.

    Example:
        >>> from repricer.forecasting import example_panel
        >>> panel = example_panel(n_products=1)
        >>> forecast = ExponentialSmoothing().fit(panel[:30]).predict(panel[30:].drop(columns="units"))
        >>> forecast.shape
        (10, 8)
    """

    def _fit_series(self, series: pd.DataFrame) -> _Ets:
        target = np.log1p(filled(series))
        if len(target) < _SMOOTHING_WEEKS:
            raise CannotFit(f"{len(target)} weeks since the first sale, {_SMOOTHING_WEEKS} are needed")
        if np.ptp(target) == 0:
            raise CannotFit("the units never changed")
        with warnings.catch_warnings():
            # Recorded in `failures_` instead.
            warnings.simplefilter("ignore", ConvergenceWarning)
            results: Any = ETSModel(target).fit(disp=False)
        if not results.mle_retvals["converged"]:
            raise CannotFit("the likelihood did not converge")
        errors = target - results.fittedvalues
        smoothing = float(results.params[0])
        start = float(results.params[1])
        return _Ets.of(series, smoothing, start, float(np.sqrt(np.mean(errors**2))))


@dataclass(frozen=True)
class _Ets:
    smoothing: float
    start: float
    deviation: float
    level: float

    @classmethod
    def of(cls, series: pd.DataFrame, smoothing: float, start: float, deviation: float) -> _Ets:
        level = start
        for value in np.log1p(filled(series)):
            level += smoothing * (value - level)
        return cls(smoothing, start, deviation, level)

    def updated(self, series: pd.DataFrame) -> _Ets:
        return _Ets.of(series, self.smoothing, self.start, self.deviation)

    def forecast(self, future: pd.DataFrame, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        spread = self.deviation * np.sqrt(1 + (future["step"].to_numpy() - 1) * self.smoothing**2)
        # The log-normal factor of one week; that of a distant week grows without bound.
        mean = np.expm1(np.full(len(future), self.level + self.deviation**2 / 2))
        return mean, np.expm1(self.level + np.outer(spread, stats.norm.ppf(levels)))


class Intermittent(SeriesForecaster):
    """The method of Teunter, Syntetos and Babai (2011) for slow sellers.

    The probability and the size of a sale are smoothed separately; the forecast is their product.
    Unlike Croston's method and its Syntetos-Boylan correction, the forecast falls while nothing is
    sold, so that a discontinued product is not ordered for ever. Intervals are negative binomial.
    Both smoothing constants are chosen on a grid by the squared one-step error.

    Example:
        >>> from repricer.forecasting import example_panel
        >>> panel = example_panel(n_products=1)
        >>> rare = panel.assign(units=panel["units"] // 120)
        >>> bool(Intermittent().fit(rare[:30]).predict(rare[30:].drop(columns="units"))["mean"].max() < 1)
        True
    """

    def _fit_series(self, series: pd.DataFrame) -> _Tsb:
        demand = filled(series)
        fits = (_Tsb.of(demand, *pair) for pair in itertools.product(_TSB_GRID, repeat=2))
        return min(fits, key=lambda fit: fit.squared_error)


@dataclass(frozen=True)
class _Tsb:
    chance_smoothing: float
    size_smoothing: float
    mean: float
    squared_error: float

    @classmethod
    def of(cls, demand: np.ndarray, chance_smoothing: float, size_smoothing: float) -> _Tsb:
        sold = demand > 0
        chance = sold.mean()
        size = demand[sold].mean() if sold.any() else 0.0
        total = 0.0
        for value in demand:
            total += (value - chance * size) ** 2
            chance += chance_smoothing * ((value > 0) - chance)
            if value > 0:
                size += size_smoothing * (value - size)
        return cls(chance_smoothing, size_smoothing, chance * size, total / len(demand))

    def updated(self, series: pd.DataFrame) -> _Tsb:
        return _Tsb.of(filled(series), self.chance_smoothing, self.size_smoothing)

    def forecast(self, future: pd.DataFrame, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = max(self.mean, 1e-9)
        # In so thin a series, a variance below Poisson's cannot be distinguished from chance.
        variance = max(self.squared_error, 1.001 * mean)
        bands = stats.nbinom.ppf(levels, mean**2 / (variance - mean), mean / variance)
        return np.full(len(future), self.mean), np.tile(bands, (len(future), 1))

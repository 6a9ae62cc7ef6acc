"""Forecasts without a model: the baselines that a model has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...data.weeks import WEEK, YEAR_WEEKS, period_of
from .series import CannotFit, Level, SeriesForecaster, filled


class MovingAverage(SeriesForecaster):
    """The mean of the last weeks, for every week ahead; intervals are quantiles of its errors.

    Args:
        window: number of weeks averaged.

    Example:
        >>> from repricer.forecasting import example_panel
        >>> panel = example_panel(n_products=1, n_weeks=8)
        >>> history, future = panel[:7], panel[7:].drop(columns="units")
        >>> bool(MovingAverage(window=4).fit(history).predict(future)["mean"].item() == history["units"][-4:].mean())
        True
    """

    def __init__(self, *, window: int = 4) -> None:
        self.window = window

    def _fit_series(self, series: pd.DataFrame) -> Level:
        if self.window < 1:
            raise ValueError(f"MovingAverage: window must be 1 week or more; got {self.window}")
        return Level.of(series, self.window)


class SeasonalNaive(SeriesForecaster):
    """The units of the same week one season ago.

    Intervals are quantiles of the past season-on-season changes. A product with less than a season
    and a week of history is forecast by its last week's units and recorded in `failures_`.

    Args:
        season_length: weeks in a season; by default a year of 52, and for days a week of 7.

    Example:
        >>> from repricer.forecasting import example_panel
        >>> panel = example_panel(n_products=1, n_weeks=8)
        >>> history, future = panel[:7], panel[7:].drop(columns="units")
        >>> forecast = SeasonalNaive(season_length=4).fit(history).predict(future)
        >>> bool(forecast["mean"].item() == history["units"].iloc[-4])
        True
    """

    def __init__(self, *, season_length: int | None = None) -> None:
        self.season_length = season_length

    def _fit_series(self, series: pd.DataFrame) -> _LastSeason:
        length = self.season_length
        if length is None:
            length = YEAR_WEEKS if period_of(series["week"]) == WEEK else WEEK.days
        if length < 1:
            raise ValueError(f"SeasonalNaive: season_length must be 1 week or more; got {length}")
        if len(series) <= length:
            raise CannotFit(f"{len(series)} weeks of history, the season has {length}")
        return _LastSeason(filled(series), length)

    def _fall_back(self, series: pd.DataFrame) -> Level:
        return Level.of(series, window=1)


@dataclass(frozen=True)
class _LastSeason:
    units: np.ndarray
    length: int

    def updated(self, series: pd.DataFrame) -> _LastSeason:
        return _LastSeason(filled(series), self.length)

    def forecast(self, future: pd.DataFrame, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        season = self.units[-self.length :]
        level = season[(future["step"].to_numpy() - 1) % self.length]
        change = np.quantile(self.units[self.length :] - self.units[: -self.length], levels)
        return level, level[:, None] + change

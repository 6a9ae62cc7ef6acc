"""Forecasters that fit one model to each product's series, and the model that they fall back on."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import pandas as pd

from ...data.weeks import periods_in_a_week
from .base import Forecaster


class CannotFit(Exception):
    """Raised for a series that cannot be fitted as intended; the message says why."""


class SeriesModel(Protocol):
    """A fitted model of one product."""

    def updated(self, series: pd.DataFrame) -> Self:
        """Return the model with the same parameters at the end of this series."""
        ...

    def forecast(self, future: pd.DataFrame, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Forecast rows of this product (see `Forecaster._forecast`)."""
        ...


class SeriesForecaster(Forecaster):
    """Fits one model per product to the weeks since its first sale.

    A subclass implements `_fit_series`, which raises `CannotFit` for a series that it cannot fit;
    `_fall_back` then fits the simpler model, by default the mean of the last four weeks.

    Attributes:
        models_: fitted model of each product.
    """

    models_: dict[str, SeriesModel]

    def _fit(self, history: pd.DataFrame) -> None:
        self.models_ = {}
        for product, listed in since_first_sale(history).items():
            try:
                if not listed["units"].any():
                    raise CannotFit("nothing was ever sold")
                self.models_[product] = self._fit_series(listed)
            except CannotFit as failure:
                self.failures_[product] = str(failure)
                self.models_[product] = self._fall_back(listed)

    def _update(self, history: pd.DataFrame) -> None:
        series = since_first_sale(history)
        self.models_ = {product: self.models_[product].updated(rows) for product, rows in series.items()}

    def _forecast(self, future: pd.DataFrame, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        parts = [self.models_[str(product)].forecast(rows, levels) for product, rows in future.groupby("product")]
        means, bands = zip(*parts, strict=True)
        return np.concatenate(means), np.concatenate(bands)

    @abstractmethod
    def _fit_series(self, series: pd.DataFrame) -> SeriesModel:
        """Fit one product's rows, sorted by week; raises `CannotFit`."""

    def _fall_back(self, series: pd.DataFrame) -> SeriesModel:
        return Level.of(series, window=4)


def since_first_sale(history: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Rows of each product without the weeks before its first sale, in which it was not on offer."""
    sold = history.groupby("product")["units"].cumsum() > 0
    never = ~sold.groupby(history["product"]).transform("any")
    return {str(product): rows for product, rows in history[sold | never].groupby("product")}


def filled(series: pd.DataFrame) -> np.ndarray:
    """Demand of one product; a missing week has the value of the week before (the first ones, of the next)."""
    demand = series["demand"].to_numpy(dtype=float)
    known = np.flatnonzero(~np.isnan(demand))
    if not known.size:
        return np.zeros(demand.size)
    last = np.searchsorted(known, np.arange(demand.size), side="right") - 1
    return demand[known[np.maximum(last, 0)]]


@dataclass(frozen=True)
class Level:
    """The mean of the last `window` weeks; intervals from its own past errors, for each step ahead."""

    units: np.ndarray
    window: int

    @classmethod
    def of(cls, series: pd.DataFrame, window: int) -> Level:
        """Return the model of one product; a panel of days has seven times as many in the window."""
        return cls(filled(series), window * periods_in_a_week(series["week"]))

    def updated(self, series: pd.DataFrame) -> Level:
        """Return the model at the end of this series."""
        return Level(filled(series), self.window)

    def forecast(self, future: pd.DataFrame, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Forecast rows of this product (see `Forecaster._forecast`)."""
        means = pd.Series(self.units).rolling(self.window, min_periods=1).mean().to_numpy()
        level = np.full(len(future), means[-1])
        steps, row = np.unique(future["step"].to_numpy(), return_inverse=True)
        bands = [means[-1] + np.quantile(self._errors(means, step), levels) for step in steps]
        return level, np.array(bands)[row]

    def _errors(self, means: np.ndarray, step: int) -> np.ndarray:
        """Return the past errors at `step`, or at the longest step that fits into half of the history."""
        step = min(step, max(len(means) // 2, 1))
        return self.units[step:] - means[:-step] if len(means) > 1 else np.zeros(1)

"""The mean of the pooled regression and each product's own model: the basis of `Lstm`."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ...data.weeks import period_of
from .base import Forecaster
from .pooled import STEPS, PooledRegression, interval, mean_over_median, past_errors
from .sarimax import FittedSarimax, Sarimax
from .series import since_first_sale
from .weekly_design import WeeklyDesign, covariate_names


class MeanOfModels(Forecaster):
    """Mean, in logs, of the medians of `PooledRegression` and `Sarimax`.

    Intervals come from its own past errors. Both forecast from every past week with the knowledge
    of that week, except that the ARMA parameters and the variance of `Sarimax` are those of the
    whole history. A product that `Sarimax` cannot fit has the pooled regression alone.

    Args:
        arma: as for `Sarimax`.

    Example:
        >>> from repricer.forecasting import example_panel
        >>> panel = example_panel(n_products=1)
        >>> ahead = panel[39:].drop(columns="units")
        >>> list(MeanOfModels().fit(panel[:39]).predict(ahead, quantiles=[0.5]))
        ['product', 'week', 'mean', 'q0.5']
    """

    _past: tuple[WeeklyDesign, np.ndarray, np.ndarray] | None = None

    def __init__(self, *, arma: Mapping[str, Sequence[float]] | None = None) -> None:
        self.arma = arma

    def _fit(self, history: pd.DataFrame) -> None:
        self._past = None
        self.pooled_, self.sarimax_ = PooledRegression(), Sarimax(arma=self.arma)
        self.pooled_._fit(history)
        self.sarimax_.failures_ = {}
        self.sarimax_._fit(history)
        self._note_weeks(history)
        weekly = WeeklyDesign.of(history)
        self.errors_, totals = past_errors(weekly, *self.past_forecasts(weekly))
        self.mean_over_median_ = mean_over_median(totals)

    def _update(self, history: pd.DataFrame) -> None:
        self.pooled_, self.sarimax_ = copy.copy(self.pooled_), copy.copy(self.sarimax_)
        self.pooled_._update(history)
        self.sarimax_._update(history)
        self._note_weeks(history)

    def _note_weeks(self, history: pd.DataFrame) -> None:
        """Keep the names of the covariates, and the weeks (columns of the design) of each product."""
        self.columns_ = covariate_names(history)
        self.first_week_ = history["week"].min()
        self.step_ = period_of(history["week"])
        self.weeks_ = {
            name: ((rows["week"] - self.first_week_) // self.step_).to_numpy()
            for name, rows in since_first_sale(history).items()
        }

    def _forecast(self, future: pd.DataFrame, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        centre, spread = self.central(future)
        bands = interval(centre, spread, future["step"].to_numpy(), self.errors_, levels)
        return np.expm1(centre) * self.mean_over_median_, np.expm1(bands)

    def central(self, future: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return median and deviation of log(1 + units), as `PooledRegression.central`."""
        pooled, spread = self.pooled_.central(future)
        median = self.sarimax_._forecast(future, np.array([0.5]))[1][:, 0]
        own = np.log1p(np.maximum(median, 0.0))
        fitted = {name for name, model in self.sarimax_.models_.items() if isinstance(model, FittedSarimax)}
        return np.where(future["product"].isin(fitted), (pooled + own) / 2, pooled), spread

    def past_forecasts(self, weekly: WeeklyDesign) -> tuple[np.ndarray, np.ndarray]:
        """Forecast from every past week of the last history, as `PooledRegression` does."""
        if self._past is not None and self._past[0].begins_with(weekly):
            weeks = weekly.target.shape[1]
            centre, spread = (values[:, :weeks].copy() for values in self._past[1:])
            beyond = np.arange(weeks)[:, None] + np.arange(1, STEPS + 1) >= weeks
            centre[:, beyond] = np.nan
            spread[:, beyond] = np.nan
            return centre, spread
        centre, spread = self.pooled_.past_forecasts(weekly)
        planned = _planned(weekly)
        for row, product in enumerate(weekly.products):
            model = self.sarimax_.models_[str(product)]
            if isinstance(model, FittedSarimax):
                weeks = self.weeks_[str(product)]
                rows = self._rows(planned[row, weeks], weeks)
                own = np.maximum(model.past_centres(rows, STEPS), 0.0)
                centre[row, weeks] = (centre[row, weeks] + own) / 2
        self._past = weekly, centre, spread
        return centre.copy(), spread.copy()

    def _rows(self, planned: np.ndarray, weeks: np.ndarray) -> pd.DataFrame:
        """Covariates (T, STEPS, K) of one product as prepared rows."""
        names = len(self.columns_)
        rows = pd.DataFrame(planned[..., :names].reshape(-1, names), columns=self.columns_)
        ahead = (weeks[:, None] + np.arange(1, STEPS + 1)).ravel()
        return rows.assign(log_price=rows["discount"] + rows["log_regular"], week=self.first_week_ + ahead * self.step_)


def _planned(weekly: WeeklyDesign) -> np.ndarray:
    """Covariates (N, T, STEPS, K) of the weeks ahead as known in each week; 0 beyond the last week."""
    products, weeks, size = weekly.x.shape
    ahead = np.zeros((products, weeks, STEPS, size))
    for origin in range(weeks - 1):
        for step in range(1, min(STEPS, weeks - 1 - origin) + 1):
            ahead[:, origin, step - 1] = weekly.planned(origin, step)
    return ahead

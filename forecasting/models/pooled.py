"""Regression of log units whose coefficients are shrunk towards those of all products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
from scipy import stats

from .base import Forecaster
from .random_coefficients import Common, ProductEffects, estimate
from .weekly_design import FOURIER_PAIRS, YEAR, WeeklyDesign, covariate_matrix

STEPS = 12
"""Past forecasts are judged up to this many weeks ahead; later weeks get the intervals of the last."""

_FIRST_ORIGIN = 6
_PRIOR_ERRORS = 40
# Shares of a week's error that move the level, and of a moved level that are left a week later.
_SMOOTHING = 0.2
_DAMPING = 0.9


class PooledRegression(Forecaster):
    r"""Regression of log units on prices, promotion and rivals, with a drifting level.

    .. math:: \log(1 + u_{it}) = a_i + x_{it}' b_i + e_{it}, \quad b_i \sim N(\beta, \Sigma), \quad e \sim N(0, \sigma_i^2)

    (Swamy 1970), where x holds the log discount, log regular price, promotion, holidays, the
    discounts and promotions of the category's other products, log traffic, observed columns with
    their lag, and from a year of history on two Fourier pairs. Common mean and covariance are
    estimated by EM (empirical Bayes; Dempster, Rubin and Tsutakawa 1981), so a product with little
    information responds to its price as the others do. The residuals are followed by damped
    exponential smoothing.

    Intervals are quantiles of the model's own past forecast errors: it is refitted at every past
    origin, which takes milliseconds, and its errors, divided by the standard deviation claimed at
    the time, are pooled over products for each step ahead. The mean is the median times the ratio
    of units sold to units forecast there.

    Args:
        common: what the products of many shops have in common (`repricer federate`), instead of what
            these products have.

    Example:
        >>> from repricer.forecasting import example_panel
        >>> panel = example_panel()
        >>> model = PooledRegression().fit(panel[panel["week"] < "2024-09-01"])
        >>> later = panel[panel["week"] >= "2024-09-01"].drop(columns="units")
        >>> dear, cheap = (model.predict(later.assign(price=price))["mean"].sum() for price in (2.0, 1.6))
        >>> bool(1.2 < cheap / dear < 2.0)
        True
    """

    _past: tuple[WeeklyDesign, np.ndarray, np.ndarray] | None = None

    def __init__(self, *, common: Common | None = None) -> None:
        self.common = common

    def _fit(self, history: pd.DataFrame) -> None:
        weekly = WeeklyDesign.of(history)
        self._past = None
        self._update(history)
        centre, spread = self.past_forecasts(weekly)
        self.errors_, self.totals_ = past_errors(weekly, centre, spread)
        shared = None if self.common is None else self.common.mean_over_median
        self.mean_over_median_ = mean_over_median(self.totals_) if shared is None else shared

    def _update(self, history: pd.DataFrame) -> None:
        weekly = WeeklyDesign.of(history)
        self.names_ = weekly.products
        self.state_ = self._estimate(weekly, weekly.target.shape[1])

    def _forecast(self, future: pd.DataFrame, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        centre, spread = self.central(future)
        bands = interval(centre, spread, future["step"].to_numpy(), self.errors_, levels)
        return np.expm1(centre) * self.mean_over_median_, np.expm1(bands)

    def central(self, future: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return median and claimed standard deviation of log(1 + units) for R prepared rows: (R,), (R,)."""
        product = self.names_.get_indexer(pd.Index(future["product"]))
        return self.state_.ahead(product, covariate_matrix(future), future["step"].to_numpy())

    def past_forecasts(self, weekly: WeeklyDesign) -> tuple[np.ndarray, np.ndarray]:
        """Forecast from every past week with the knowledge of that week.

        Returns:
            Median and standard deviation of log(1 + units), each (N, T, STEPS) by product, last
            week seen and steps ahead less 1; NaN where there is none.
        """
        products, weeks = weekly.target.shape
        centre = np.full((products, weeks, STEPS), np.nan)
        spread = np.full((products, weeks, STEPS), np.nan)
        first = 0
        if self._past is not None and weekly.begins_with(self._past[0]):
            # Later weeks change no forecast from a week whose steps ahead all lay in the earlier history.
            before, *forecasts = self._past
            first = weeks if before.target.shape[1] == weeks else max(before.target.shape[1] - STEPS, 0)
            centre[:, :first], spread[:, :first] = (values[:, :first] for values in forecasts)
        for origin in range(max(first, _FIRST_ORIGIN * weekly.per_week), weeks - 1):
            state = self._estimate(weekly, origin + 1)
            for step in range(1, min(STEPS, weeks - 1 - origin) + 1):
                ahead = state.ahead(np.arange(products), weekly.planned(origin, step), np.array(step))
                centre[:, origin, step - 1], spread[:, origin, step - 1] = ahead
        # Before its first sale no product could be forecast.
        unknown = weekly.seen.cumsum(axis=1) == 0
        centre[unknown] = np.nan
        spread[unknown] = np.nan
        self._past = weekly, centre, spread
        return centre.copy(), spread.copy()

    def products(self, names: tuple[str, ...], *, seasonal: bool) -> ProductEffects:
        """Return the part of the products fitted in a regression over many shops.

        Args:
            names: its covariates; those that the panel lacks are 0.
            seasonal: whether it knows a season.
        """
        weekly = cast(tuple, self._past)[0]
        _, _, residual, own, count = _centred(weekly, weekly.target.shape[1], seasonal)
        x = np.zeros((*residual.shape, len(names)))
        x[:, :, [names.index(name) for name in weekly.names]] = own
        return ProductEffects(residual, x, count)

    def _estimate(self, weekly: WeeklyDesign, weeks: int) -> _State:
        """Estimate from the first `weeks` weeks."""
        common = None if self.common is None else self.common.restricted_to(weekly.names)
        seasonal = weeks >= YEAR * weekly.per_week or (common is not None and common.seasonal)
        level, middle, residual, centred, count = _centred(weekly, weeks, seasonal)
        found = estimate(residual, centred, count, common)
        seen = weekly.seen
        error = residual - np.einsum("ntk,nk->nt", centred, found.coefficients)
        drift = np.zeros(len(error))
        per_week = weekly.per_week
        for week in range(weeks):
            drift = _DAMPING ** (1 / per_week) * drift
            drift = drift + _SMOOTHING / per_week * (error[:, week] - drift) * seen[:, week]
        estimates = found.coefficients, found.covariance, found.noise
        return _State(level, middle, *estimates, count, drift, seasonal, per_week)


def _centred(weekly: WeeklyDesign, weeks: int, seasonal: bool) -> tuple[np.ndarray, ...]:
    """Means of target and covariates over the first `weeks` weeks, both around them, and the number of weeks known."""
    y = weekly.target[:, :weeks]
    seen = weekly.seen[:, :weeks]
    x = weekly.x[:, :weeks]
    if not seasonal:
        x = x.copy()
        x[:, :, -2 * FOURIER_PAIRS :] = 0.0
    count = np.maximum(seen.sum(axis=1), 1.0)
    level = (y * seen).sum(axis=1) / count
    middle = (x * seen[..., None]).sum(axis=1) / count[:, None]
    return level, middle, (y - level[:, None]) * seen, (x - middle[:, None]) * seen[..., None], count


@dataclass(frozen=True)
class _State:
    """The estimates of N products at the end of a history."""

    level: np.ndarray
    middle: np.ndarray
    coefficients: np.ndarray
    covariance: np.ndarray
    noise: np.ndarray
    count: np.ndarray
    drift: np.ndarray
    seasonal: bool
    per_week: int

    def ahead(self, product: np.ndarray, x: np.ndarray, step: np.ndarray) -> tuple:
        if not self.seasonal:
            x = x.copy()
            x[:, -2 * FOURIER_PAIRS :] = 0.0
        departure = x - self.middle[product]
        answer = np.einsum("rk,rk->r", departure, self.coefficients[product])
        uncertainty = np.einsum("rk,rkl,rl->r", departure, self.covariance[product], departure)
        variance = self.noise[product] * (1 + 1 / self.count[product]) + uncertainty
        # Units are not negative, so log(1 + units) has no median below 0.
        drift = self.drift[product] * _DAMPING ** (step / self.per_week)
        return np.maximum(self.level[product] + answer + drift, 0.0), np.sqrt(variance)


def interval(
    centre: np.ndarray, spread: np.ndarray, step: np.ndarray, errors: dict[int, np.ndarray], levels: np.ndarray
) -> np.ndarray:
    """Quantiles in logs (R, Q): the `past_errors` of each step, times `spread`, around `centre`."""
    bands = np.empty((len(centre), len(levels)))
    for reached, standardised in errors.items():
        # Later steps have the errors of the last step judged.
        rows = step >= reached
        bands[rows] = centre[rows, None] + spread[rows, None] * np.quantile(standardised, levels)
    return bands


def past_errors(
    weekly: WeeklyDesign, centre: np.ndarray, spread: np.ndarray
) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """Standardised errors by step, after a few normal ones, and the units sold and forecast then."""
    normal = stats.norm.ppf((np.arange(_PRIOR_ERRORS) + 0.5) / _PRIOR_ERRORS)
    errors = {}
    sold = 0.0
    forecast = 0.0
    for step in range(1, STEPS + 1):
        ahead = centre[:, :-step, step - 1]
        scale = spread[:, :-step, step - 1]
        known = (weekly.seen[:, step:] > 0) & np.isfinite(ahead)
        actual = weekly.target[:, step:][known]
        if known.any() or step == 1:
            errors[step] = np.concatenate([normal, (actual - ahead[known]) / scale[known]])
            sold = sold + np.expm1(actual).sum()
            forecast = forecast + np.expm1(ahead[known]).sum()
    return errors, np.array([sold, forecast])


def mean_over_median(totals: np.ndarray) -> float:
    """Units sold over units forecast (2,), within what a mean over a median can be."""
    sold, forecast = totals
    return float(np.clip(sold / forecast if forecast > 0 else 1.0, 1.0, 1.5))

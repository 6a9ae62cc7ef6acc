"""Regression of log units with ARMA errors: one state-space model per product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.tsa.statespace.initialization import Initialization
from statsmodels.tsa.statespace.sarimax import SARIMAX

from .covariates import WEEKDAYS, fourier
from .series import CannotFit, SeriesForecaster

_ARIMA_WEEKS = 12
_LEVEL_SD = 10.0
_REGULAR_PRICE_SD = 1.0
_TRAFFIC_SD = 0.5
_SEASONAL_SD = 0.1
# Of the optimiser (BFGS on the ARMA parameters and the variance).
_OPTIMISER_STEPS = 50
_OPTIONAL_SD = {
    "promotion": 0.5,
    "holiday": 0.2,
    "rival_discount": 0.7,
    "rival_promotion": 0.3,
    "lag_competitor_price": 0.5,
    **dict.fromkeys(WEEKDAYS, 0.5),
}


class Sarimax(SeriesForecaster):
    r"""SARIMAX of a product's log units, with weakly informative priors on the regression.

    .. math:: \log(1 + u_t) = \log(w_t / \bar w) + x_t' b + n_t, \qquad n_t \sim ARMA(p, d, q)

    u is units, w the traffic of the shop; x holds a constant, log price, log regular price, log
    traffic, `fourier_pairs` sine and cosine terms of the year and, where they moved in the
    product's history, promotion, holidays, discounts and promotions of the category's other
    products and last week's log competitor price. The coefficients b are states with a normal prior
    (Harvey 1989, section 3.4; Durbin and Koopman 2012, section 6.2), so the forecast's standard
    errors include their uncertainty, and less than a year of history can be fitted:

    - log price: `elasticity_prior`, mean and standard deviation. The default mean is that of 1,851
      published elasticities (Bijmolt, van Heerde and Pieters 2005); the standard deviation is wide.
    - log regular price: N(0, 1), the effect of a lasting change of the regular price beyond its
      effect on the price. (In terms of the price ratio p/r: coefficient b_p on log p/r and b_p +
      b_r on log r.)
    - log traffic: N(0, 0.5²), the deviation from sales in proportion to traffic.
    - the optional ones: mean 0 and the standard deviations in `_OPTIONAL_SD`.
    - each Fourier term: N(0, 0.1²). A part of the year without data then adds uncertainty
      rather than a wild curve, and a long history outweighs the prior.

    Quantiles are those of Student's t around the log forecast, with the forecast's standard error.
    The mean is the median times the ratio of units sold to units fitted one step ahead (the ratio
    estimator of Snowdon 1991), held between 1 and the log-normal factor exp(variance / 2) of one
    step: the full log-normal mean of a distant week grows without bound with the uncertainty of the
    coefficients.

    A series that is too short, without a positive price or whose likelihood does not converge is
    forecast by the mean of its last four weeks and recorded in `failures_`.

    Args:
        order: (p, d, q) of the ARMA part.
        fourier_pairs: sine and cosine pairs of the year.
        elasticity_prior: mean and standard deviation of the coefficient of log price.
        arma: `arma_` of an earlier fit, which is taken as it is; of other products it is estimated.


    Example:
        >>> from repricer.forecasting import example_panel
        >>> panel = example_panel(n_products=1)
        >>> model = Sarimax().fit(panel[:36])
        >>> later = panel[36:].drop(columns="units")
        >>> dear, cheap = (model.predict(later.assign(price=price))["mean"].sum() for price in (2.0, 1.6))
        >>> bool(1.2 < cheap / dear < 2.0)
        True
    """

    def __init__(
        self,
        *,
        order: tuple[int, int, int] = (1, 0, 0),
        fourier_pairs: int = 1,
        elasticity_prior: tuple[float, float] = (-2.62, 2.0),
        arma: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        self.order = order
        self.fourier_pairs = fourier_pairs
        self.elasticity_prior = elasticity_prior
        self.arma = arma

    @property
    def arma_(self) -> dict[str, list[float]]:
        """ARMA parameters and variance of each product that could be fitted, for `arma` of a later model."""
        fitted = {name: model for name, model in self.models_.items() if isinstance(model, FittedSarimax)}
        return {product: model.parameters.tolist() for product, model in fitted.items()}

    def _fit_series(self, series: pd.DataFrame) -> FittedSarimax:
        if series["demand"].count() < _ARIMA_WEEKS:
            raise CannotFit(f"{series['demand'].count()} weeks since the first sale, {_ARIMA_WEEKS} are needed")
        regressors = _Regressors.of(series, self.fourier_pairs)
        target = regressors.target(series)
        design = regressors.design(series)
        states = design.shape[1] + self.order[1] + max(self.order[0], self.order[2] + 1)
        model = _state_space(target, design, self.order, self._initial_state(states, regressors.optional))
        known = (self.arma or {}).get(str(series["product"].iloc[0]), ())
        taken = len(known) == self.order[0] + self.order[2] + 1
        results = model.filter(np.array(known), cov_type="none") if taken else self._most_likely(model, target)
        return FittedSarimax.of(results, series, regressors, self.order)

    def _most_likely(self, model: SARIMAX, target: np.ndarray) -> Any:
        """The results of statsmodels at the most likely ARMA parameters and variance."""
        start = np.append(np.zeros(self.order[0] + self.order[2]), np.nanvar(target) + 1e-4)
        try:
            quiet = {"disp": False, "warn_convergence": False}
            results: Any = model.fit(start, method="bfgs", maxiter=_OPTIMISER_STEPS, cov_type="none", **quiet)
        except np.linalg.LinAlgError as error:
            raise CannotFit(f"numerical failure: {error}") from error
        if not results.mle_retvals["converged"]:
            raise CannotFit(f"the likelihood did not converge in {_OPTIMISER_STEPS} steps")
        return results

    def _initial_state(self, n_states: int, optional: tuple[str, ...]) -> Initialization:
        """Set the priors of the states: differences, ARMA, then the regression coefficients."""
        differences = self.order[1]
        # A differenced series has its level in the first state, so it needs no constant.
        level_sd = 0.0 if differences else _LEVEL_SD
        sd = [level_sd, self.elasticity_prior[1], _REGULAR_PRICE_SD, _TRAFFIC_SD]
        sd += [_OPTIONAL_SD[name] for name in optional]
        sd += [_SEASONAL_SD] * (2 * self.fourier_pairs)
        mean = np.zeros(len(sd))
        mean[1] = self.elasticity_prior[0]
        regression = n_states - len(sd)
        state = Initialization(n_states)
        if differences:
            spread = _LEVEL_SD**2 * np.eye(differences)
            state.set((0, differences), "known", constant=np.zeros(differences), stationary_cov=spread)
        state.set((differences, regression), "stationary")
        state.set((regression, n_states), "known", constant=mean, stationary_cov=np.diag(np.square(sd)))
        return state


@dataclass(frozen=True)
class _Regressors:
    """Regressors around their means in the history, so that a currency changes nothing."""

    level: float
    means: pd.Series
    optional: tuple[str, ...]
    fourier_pairs: int

    @classmethod
    def of(cls, series: pd.DataFrame, fourier_pairs: int) -> _Regressors:
        optional = tuple(name for name in _OPTIONAL_SD if name in series and series[name].std() > 0)
        means = series[["log_price", "log_regular", "log_traffic", *optional]].mean()
        empty = cls(0.0, means, optional, fourier_pairs)
        return replace(empty, level=float(np.nanmean(empty.target(series))))

    def offset(self, rows: pd.DataFrame) -> np.ndarray:
        return rows["log_traffic"].to_numpy() - self.means["log_traffic"]

    def target(self, series: pd.DataFrame) -> np.ndarray:
        return np.log1p(series["demand"].to_numpy()) - self.offset(series) - self.level

    def design(self, rows: pd.DataFrame) -> np.ndarray:
        """Return the regressors in the order of `Sarimax._initial_state`; an unknown value is the mean."""
        # Column by column, which is several times as fast as a part of the table.
        columns = [rows[name].to_numpy(dtype=float) - mean for name, mean in self.means.items()]
        centred = np.column_stack(columns)
        centred[np.isnan(centred)] = 0.0
        return np.column_stack([np.ones(len(rows)), centred, fourier(rows["week"], self.fourier_pairs)])


def _state_space(
    target: np.ndarray, design: np.ndarray, order: tuple[int, int, int], initial: Initialization
) -> SARIMAX:
    model = SARIMAX(target, exog=design, order=order, mle_regression=False, loglikelihood_burn=0)
    model.initialization = initial
    return model


def _filtered(results: Any) -> dict[str, np.ndarray]:
    """What the filter knew after each week, as fields of `FittedSarimax`; the results of statsmodels take ten times the memory."""
    model = results.model
    system = results.model.ssm
    enters = system["selection"]
    size = results.predicted_state.shape[0] - model.k_exog
    return {
        "rows": np.column_stack([model.endog, model.exog]),
        "filtered": results.filtered_state.T.copy(),
        "predicted": results.predicted_state.T.copy(),
        "covariance": np.moveaxis(results.predicted_state_cov, 2, 0).copy(),
        "transition": system["transition"].copy(),
        "noise": enters @ system["state_cov"] @ enters.T,
        "errors": system["design"][0, :size, 0].copy(),
    }


@dataclass(frozen=True)
class FittedSarimax:
    """One product's model at the end of its history: after the first `weeks` of the T that were filtered.

    Attributes:
        rows: (T, 1 + K) target and regressors.
        filtered: (T, S) mean of the states after each week.
        predicted: (T + 1, S) mean of the next week's.
        covariance: (T + 1, S, S) its covariance.
        transition: (S, S) matrix.
        noise: (S, S) covariance of what enters in a week.
        errors: weights of the states that are no coefficients in an observation.
    """

    weeks: int
    order: tuple[int, int, int]
    initial: Initialization
    parameters: np.ndarray
    regressors: _Regressors
    degrees_of_freedom: int
    mean_over_median: float
    rows: np.ndarray
    filtered: np.ndarray
    predicted: np.ndarray
    covariance: np.ndarray
    transition: np.ndarray
    noise: np.ndarray
    errors: np.ndarray

    @classmethod
    def of(
        cls, results: Any, series: pd.DataFrame, regressors: _Regressors, order: tuple[int, int, int]
    ) -> FittedSarimax:
        """Keep what forecasts need of the results of statsmodels, and the ratio of units sold to units fitted."""
        # The first forecasts of the filter rest on the priors alone.
        settled = results.model.k_exog + 1
        weeks = int(results.nobs)
        fitted = np.expm1(results.fittedvalues + regressors.level + regressors.offset(series)).clip(0)
        units = series["demand"].to_numpy()
        known = ~np.isnan(units)
        known[:settled] = False
        ratio = units[known].sum() / fitted[known].sum() if fitted[known].sum() > 0 else 1.0
        mean_over_median = float(np.clip(ratio, 1.0, np.exp(results.params[-1] / 2)))
        model = (weeks, order, results.model.initialization, results.params, regressors)
        return cls(*model, max(weeks - settled, 1), mean_over_median, **_filtered(results))

    def updated(self, series: pd.DataFrame) -> FittedSarimax:
        """Return a model with the same parameters at the end of another history."""
        weeks = len(series)
        target = self.regressors.target(series)
        design = self.regressors.design(series)
        # What the filter knew in an earlier week does not depend on later ones.
        if np.array_equal(self.rows[:weeks], np.column_stack([target, design]), equal_nan=True):
            return replace(self, weeks=weeks)
        model = _state_space(target, design, self.order, self.initial)
        return replace(self, weeks=weeks, **_filtered(model.filter(self.parameters, cov_type="none")))

    def past_centres(self, planned: pd.DataFrame, steps: int) -> np.ndarray:
        """Forecast from every week of the series with the coefficients as known in that week.

        Args:
            planned: one row for each week and step ahead, in this order, with the covariates as
                known in that week.
            steps: weeks ahead.

        Returns:
            (T, steps) medians of log(1 + units).
        """
        states = self.filtered[: self.weeks]
        errors = len(self.errors)
        design = self.regressors.design(planned).reshape(len(states), steps, -1)
        regression = np.einsum("thk,tk->th", design, states[:, errors:])
        state = states[:, :errors]
        noise = []
        for _ in range(steps):
            state = state @ self.transition[:errors, :errors].T
            noise.append(state @ self.errors)
        offset = self.regressors.offset(planned).reshape(regression.shape)
        return regression + np.stack(noise, axis=1) + self.regressors.level + offset

    def forecast(self, future: pd.DataFrame, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Forecast rows of this product (see `Forecaster._forecast`)."""
        step = future["step"].to_numpy()
        design = self.regressors.design(future)
        mean, variance = self._ahead(step, design)
        centre = mean + self.regressors.level + self.regressors.offset(future)
        # Sales are in proportion to traffic, so its uncertainty adds to theirs.
        deviation = np.hypot(np.sqrt(variance), future["traffic_sd"].to_numpy())
        spread = np.outer(deviation, stats.t.ppf(levels, self.degrees_of_freedom))
        return np.expm1(centre) * self.mean_over_median, np.expm1(centre[:, None] + spread)

    def _ahead(self, step: np.ndarray, design: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of log demand for R rows, each 1, 2, ... weeks ahead.

        The coefficients are constant, so the covariates of the weeks in between do not matter.

        Args:
            step: (R,) weeks ahead.
            design: (R, covariates) those of the rows.
        """
        # The first one is of the week after the history, one step ahead.
        states = [self.predicted[self.weeks]]
        covariances = [self.covariance[self.weeks]]
        for _ in range(step.max() - 1):
            states.append(self.transition @ states[-1])
            covariances.append(self.transition @ covariances[-1] @ self.transition.T + self.noise)
        # A state is what is left of the errors, then the coefficients: log demand is its product with a row of these.
        loadings = np.hstack([np.tile(self.errors, (len(step), 1)), design])
        mean = np.einsum("ri,ri->r", loadings, np.stack(states)[step - 1])
        variance = np.einsum("ri,rij,rj->r", loadings, np.stack(covariances)[step - 1], loadings)
        return mean, variance

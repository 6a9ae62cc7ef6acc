"""The forecaster to use: each product has the weighted mean of its best candidates."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self, cast

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy import stats
from sklearn.base import clone

from .backtest import forecasts_from, score
from .models.base import QUANTILES, Forecaster
from .models.log_log import LogLogRegression
from .models.lstm import Lstm
from .models.mean_of_models import MeanOfModels
from .models.naive import MovingAverage, SeasonalNaive
from .models.pooled import PooledRegression
from .models.sarimax import Sarimax
from .models.smoothing import ExponentialSmoothing, Intermittent

_LEAST_SLOPE = 0.05
_MOST_STRETCH = 5.0
_FEW_PRODUCTS = 100
_POWER = 12
"""Weights fall with this power of the error: shrunk errors of good candidates differ by a few percent."""
_INTERVAL_LEVELS = (0.01, *QUANTILES[:2], 0.25, 0.5, 0.75, *QUANTILES[-2:], 0.99)
"""Symmetric: the first and the last level bound the widest interval, and so on inwards."""


def candidates(*, seed: int = 0) -> dict[str, Forecaster]:
    """Return every forecaster of this package with its defaults, by its name in tables.

    Args:
        seed: seed of the LSTM.

    Example:
        >>> list(candidates())[:3]
        ['moving-average', 'seasonal-naive', 'exponential-smoothing']
    """
    return {
        "moving-average": MovingAverage(),
        "seasonal-naive": SeasonalNaive(),
        "exponential-smoothing": ExponentialSmoothing(),
        "intermittent": Intermittent(),
        "sarimax": Sarimax(),
        "log-log-regression": LogLogRegression(),
        "pooled-regression": PooledRegression(),
        "lstm": Lstm(seed=seed),
    }


def with_stores(forecaster: Forecaster, stores: pd.DataFrame | None) -> Forecaster:
    """The forecaster, or one whose candidates use the sales of single stores where they can.

    Args:
        stores: As `LogLogRegression` takes them; None leaves the forecaster as it is.

    Example:
        >>> with_stores(MovingAverage(), None)
        MovingAverage()
    """
    if stores is None or not isinstance(forecaster, Selected | LogLogRegression):
        return forecaster
    if isinstance(forecaster, LogLogRegression):
        return cast(Forecaster, clone(forecaster)).set_params(stores=stores)
    named = candidates(seed=forecaster.seed) if forecaster.forecasters is None else forecaster.forecasters
    with_them = {name: with_stores(model, stores) for name, model in named.items()}
    return cast(Forecaster, clone(forecaster)).set_params(forecasters=with_them)


class Selected(Forecaster):
    """For each product, the weighted mean of the candidates that forecast its last weeks best.

    Selection is by rolling origin, never in-sample: every candidate is fitted to the weeks before
    the last `horizon` and forecasts the remaining weeks from each origin among them, with a growing
    history and fixed parameters. A candidate's absolute error (of the median, in all weeks ahead, as a market needs
    them all) in a series, relative to that of all candidates, is shrunk towards its mean over all series, as a dozen
    weeks alone are mostly noise: the less the first half of them tells of the second, the more (empirical Bayes:
    Efron and Morris 1975). The `combine` best are averaged, quantile by quantile, with weights that fall
    with their error: combinations usually beat the single best (Bates and Granger 1969; Lichtendahl,
    Grushka-Cockayne and Winkler 2013).
    Intervals that covered less on those weeks than they claim are stretched around the median, in
    logs, until they cover enough (split conformal: Lei et al. 2018).

    Args:
        forecasters: candidates by name; by default `candidates(seed=seed)`.
        combine: most candidates averaged for each product.
        horizon: number of last weeks judged, of those in which the shop was open, and most weeks ahead; at most a
            third of the history.
        n_jobs: processes (joblib); the result does not depend on it.
        seed: seed of the default candidates.
        chosen: a choice made before: the weight of each candidate in use, by product. Nothing is
            judged then.
        stretch: `stretch_` of that choice.
        networks: `Lstm.kept_networks` of that choice; without them `lstm` stands for its base
            forecast, since networks are not trained.

    Attributes:
        scores_: one row per candidate: the figures of `backtest` on the judged weeks, pooled, and
            `chosen`, its mean weight over products.
        selection_: one row per product: the relative error of each candidate (1: the mean of all),
            shrunk towards the pooled one, and `chosen`, names joined by "+", the best first.
        weights_: the weight of each candidate (products x candidates); 0 where it is not used.
        models_: the candidates in use, by name, fitted to the whole history.
        failures_: reasons for the products that a candidate in use could not fit, by "name:
            product".

    Example:
        >>> from repricer.forecasting import example_panel
        >>> few = {"average": MovingAverage(), "naive": SeasonalNaive(), "pooled": PooledRegression()}
        >>> chosen = Selected(few, combine=1).fit(example_panel(n_products=3, n_weeks=24)).selection_["chosen"]
        >>> chosen.unique().tolist()
        ['pooled']
    """

    def __init__(
        self,
        forecasters: Mapping[str, Forecaster] | None = None,
        *,
        combine: int = 4,
        horizon: int = 12,
        n_jobs: int | None = None,
        seed: int = 0,
        chosen: Mapping[str, Mapping[str, float]] | None = None,
        stretch: Sequence[float] = (),
        networks: str | None = None,
    ) -> None:
        self.forecasters = forecasters
        self.combine = combine
        self.horizon = horizon
        self.n_jobs = n_jobs
        self.seed = seed
        self.chosen = chosen
        self.stretch = stretch
        self.networks = networks

    def _fit(self, history: pd.DataFrame) -> None:
        if self.chosen is not None:
            self._fit_chosen(self.chosen, history)
            return
        found = _each(self.n_jobs, _judged, self._candidates(), history, self.horizon)
        tables = {name: run.rows for name, run in found.items()}
        self._choose(tables)
        self.scores_ = pd.DataFrame(
            [
                {"forecaster": name, **score(run.rows), **run.cost, "chosen": self.weights_[name].mean()}
                for name, run in found.items()
            ]
        )
        self._calibrate(tables)
        self._keep({name: found[name].fitted for name in self._used()})

    def _used(self) -> list[str]:
        return [str(name) for name in self.weights_.columns[(self.weights_ > 0).any()]]

    def _fit_chosen(self, chosen: Mapping[str, Mapping[str, float]], history: pd.DataFrame) -> None:
        """Fit the models of a choice made before."""
        self.weights_ = pd.DataFrame([chosen[product] for product in self.products_], index=self.products_).fillna(0.0)
        self.stretch_ = np.array(self.stretch)
        named = self._candidates()
        lstm = cast(Lstm, clone(named.get("lstm", Lstm(seed=self.seed))))
        named["lstm"] = MeanOfModels(arma=lstm.arma) if self.networks is None else lstm.set_params(kept=self.networks)
        self._keep(_each(self._jobs, _fitted, {name: named[name] for name in self._used()}, history))

    def _keep(self, models: dict[str, Forecaster]) -> None:
        self.models_ = models
        self.failures_ = {
            f"{name}: {product}": reason
            for name, model in self.models_.items()
            for product, reason in model.failures_.items()
            if (self.weights_.loc[[product], name] > 0).any()
        }

    def refitted(self, history: pd.DataFrame) -> Self:
        """Return the same choice for each product, with the models in use fitted to another history."""
        later = self.updated(history)
        later.models_ = _each(self._jobs, _refitted, self.models_, history)
        return later

    @property
    def _jobs(self) -> int | None:
        """Processes in which a choice is fitted: with few products these take longer to start."""
        return self.n_jobs if len(self.products_) > _FEW_PRODUCTS else 1

    def _update(self, history: pd.DataFrame) -> None:
        self.models_ = {name: model.updated(history) for name, model in self.models_.items()}

    def _forecast(self, future: pd.DataFrame, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        wanted = ["mean", "q0.5", *(f"q{level}" for level in levels)]
        quantiles = np.union1d(levels, 0.5).tolist()
        forecasts = {name: model.predict(future, quantiles=quantiles) for name, model in self.models_.items()}
        tables = {name: forecast[wanted].to_numpy() for name, forecast in forecasts.items()}
        combined = _combine(tables, self.weights_.loc[future["product"]])
        return combined[:, 0], self._stretched(combined[:, 1:], levels)

    def _candidates(self) -> dict[str, Forecaster]:
        named = dict(candidates(seed=self.seed) if self.forecasters is None else self.forecasters)
        if self.combine < 1:
            raise ValueError(f"Selected: combine must be 1 or more; got {self.combine}; 1 takes the best alone")
        return named

    def _choose(self, tables: Mapping[str, pd.DataFrame]) -> None:
        """Rank the candidates of each product, and give weights to the best."""
        relative = _relative_errors(tables, self.products_)
        # Products that appeared in the judged weeks get the candidates that are best for all.
        pooled = relative.mean().fillna(1.0)
        weeks = next(iter(tables.values())).groupby("product")["week"].nunique().reindex(self.products_).fillna(0)
        trust = weeks / (weeks + _prior_weeks(tables, self.products_)).clip(lower=1)
        shrunk = relative.fillna(pooled).mul(trust, axis=0) + np.outer(1 - trust, pooled)
        errors = shrunk.to_numpy()
        order = np.argsort(errors, axis=1, kind="stable")[:, : self.combine]
        best = np.maximum(np.take_along_axis(errors, order, axis=1), np.finfo(float).tiny)
        share = (best[:, :1] / best) ** _POWER
        weights = np.zeros_like(errors)
        np.put_along_axis(weights, order, share / share.sum(axis=1, keepdims=True), axis=1)
        self.weights_ = pd.DataFrame(weights, index=shrunk.index, columns=shrunk.columns)
        names = ["+".join(row) for row in shrunk.columns.to_numpy(dtype=object)[order]]
        self.selection_ = shrunk.assign(chosen=names).rename_axis("product").reset_index()

    def _calibrate(self, tables: Mapping[str, pd.DataFrame]) -> None:
        """Keep the factors by which intervals must be stretched to cover as much as they claim."""
        rows = next(iter(tables.values()))
        values = {name: table[[f"q{level}" for level in _INTERVAL_LEVELS]].to_numpy() for name, table in tables.items()}
        bands = np.log1p(_combine(values, self.weights_.loc[rows["product"]]))
        inner = len(_INTERVAL_LEVELS) // 2
        error = np.log1p(rows["units"].to_numpy()) - bands[:, inner]
        side = np.where(error[:, None] >= 0, bands[:, -inner:], bands[:, :inner][:, ::-1]) - bands[:, [inner]]
        ratio = np.abs(error[:, None]) / np.maximum(np.abs(side), 1e-9)
        claimed = 2 * np.array(_INTERVAL_LEVELS[-inner:]) - 1
        stretch = [np.quantile(ratio[:, k], width) for k, width in enumerate(claimed)]
        # A dozen weeks with common shocks can show that intervals are too narrow, not that they are too wide.
        self.stretch_ = np.clip(stretch, 1.0, _MOST_STRETCH)

    def _stretched(self, bands: np.ndarray, levels: np.ndarray) -> np.ndarray:
        """Stretch quantiles (R, 1 + Q), of which the first is the median, to those of `levels` (R, Q)."""
        middle = np.log1p(bands[:, :1])
        logs = np.log1p(bands[:, 1:])
        scores = np.abs(stats.norm.ppf(levels))
        known = stats.norm.ppf(_INTERVAL_LEVELS[-len(self.stretch_) :])
        factor = np.interp(scores, known, self.stretch_)
        return np.expm1(middle + factor * (logs - middle))


def _relative_errors(
    tables: Mapping[str, pd.DataFrame], products: pd.Index, weeks: np.ndarray | None = None
) -> pd.DataFrame:
    """Absolute error of each candidate in each series (products x candidates), relative to that of all."""
    errors = {}
    for name, rows in tables.items():
        part = rows if weeks is None else rows[rows["week"].isin(weeks)]
        errors[name] = (part["units"] - part["q0.5"]).abs().groupby(part["product"]).sum()
    table = pd.DataFrame(errors).reindex(products)
    return table.div(table.mean(axis=1).where(lambda mean: mean > 0), axis=0)


def _prior_weeks(tables: Mapping[str, pd.DataFrame], products: pd.Index) -> float:
    """How many judged weeks of its own weigh as much as those of all series, by what the first half of them
    tells of the second: the slope of a regression.
    """
    weeks = np.sort(next(iter(tables.values()))["week"].unique())
    half = len(weeks) // 2
    early, late = (_relative_errors(tables, products, part) for part in (weeks[:half], weeks[half:]))
    early, late = ((part - part.mean()).to_numpy(dtype=np.float64) for part in (early, late))
    known = np.isfinite(early) & np.isfinite(late)
    spread = (early[known] ** 2).sum()
    slope = np.clip((early[known] * late[known]).sum() / spread, _LEAST_SLOPE, 1.0) if spread else 1.0
    return float(half * (1 - slope) / slope)


class _Run(NamedTuple):
    """Forecasts of the judged weeks from every origin, failures and seconds, and the model of the whole history."""

    rows: pd.DataFrame
    cost: dict[str, float]
    fitted: Forecaster


def _judged(forecaster: Forecaster, history: pd.DataFrame, horizon: int) -> _Run:
    started = time.perf_counter()
    weeks = np.sort(history.loc[history["traffic"] > 0, "week"].unique())
    if len(weeks) < 2:
        raise ValueError(
            f"Selected: the panel must hold 2 weeks or more with sales; got {len(weeks)}; use MovingAverage"
        )
    judged = max(min(horizon, len(weeks) // 3), 1)
    origins = list(weeks[-judged - 1 : -1])
    model = _fitted(forecaster, history[history["week"] <= origins[0]])
    # At the end of the whole history a model knows what it knew in each earlier week.
    whole = model.updated(history)
    tables = [forecasts_from(whole, history, origin=at, horizon=judged, quantiles=_INTERVAL_LEVELS) for at in origins]
    cost = {"failures": len(model.failures_), "seconds": time.perf_counter() - started}
    return _Run(pd.concat(tables, ignore_index=True), cost, model.refitted(history))


def _each(jobs: int | None, work: Callable[..., Any], models: Mapping[str, Forecaster], *given: Any) -> dict[str, Any]:
    """What some work makes of each model; the slowest, listed last, start first."""
    found: Any = Parallel(n_jobs=jobs)(delayed(work)(models[name], *given) for name in reversed(list(models)))
    return dict(zip(models, reversed(found), strict=True))


def _fitted(forecaster: Forecaster, history: pd.DataFrame) -> Forecaster:
    return cast(Forecaster, clone(forecaster)).fit(history)


def _refitted(model: Forecaster, history: pd.DataFrame) -> Forecaster:
    return model.refitted(history)


def _combine(values: Mapping[str, np.ndarray], weights: pd.DataFrame) -> np.ndarray:
    """Weighted mean of the values (R, Q) by forecaster; weights: (R, forecasters)."""
    total = np.zeros_like(next(iter(values.values())), dtype=np.float64)
    for name, table in values.items():
        weight = weights[[name]].to_numpy()
        # What is not used may be anything, as infinite.
        total += weight * np.where(weight > 0, table, 0.0)
    return total

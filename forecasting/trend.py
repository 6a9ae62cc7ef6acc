"""The size of the market in the weeks ahead, by random forest or support vectors."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from ..data.weeks import WEEK, YEAR_WEEKS, period_of, periods_in_a_week
from .market_paths import MarketPaths
from .market_weeks import market_weeks

Array = NDArray[np.float64]

_KNOWN_AHEAD = ("holiday", "promotion")
_TREND_WEEKS = 2
_LEAST_ROWS = 7
# With fewer weeks judged, a model that seems better may be so by chance.
_LEAST_JUDGED = 6
_SIGNIFICANT = 2.0
# A week is learned from if the shop was open in at least this share of its window.
_LEAST_OPEN = 0.5
_WITHOUT_MODEL = ["moving average", "naive"]
# A fit serves so many weeks of the comparison: one each would take four times as long and says the same.
_REFIT_WEEKS = 4


class LastWeek(RegressorMixin, BaseEstimator):
    """The naive forecast: traffic stays at that of the last week, by day at the mean of its days."""

    def __init__(self, lags: int, days: int = 1) -> None:
        self.lags = lags
        self.days = days

    def fit(self, features: Array, target: Array) -> Self:
        """Do nothing."""
        del features, target
        self.fitted_ = True
        return self

    def predict(self, features: Array) -> Array:
        """Return last week's traffic relative to the window, as a logarithm."""
        return np.log(np.exp(features[:, self.lags - self.days : self.lags]).mean(axis=1))


class MarketTrend(BaseEstimator):
    """Weekly traffic (baskets of the whole shop) from its past, prices, promotions and signals.

    The target is log(traffic / mean of the last `lags` weeks). Trees and radial kernels (forest:
    Breiman 2001; support vectors: Smola and Schölkopf 2004) cannot predict levels outside the data;
    relative to its own recent past, a shop that grows or shrinks stays inside. The features of a
    week are lagged traffic; the last weeks of each driver, relative to the window's mean;
    `promotion` and `holiday` as planned; the growth of the same week a year ago, from the second
    year on; and the place in the month. Drivers are a chained price index, the discount share and,
    where the panel has them, views, carts, rating, the competitors' price relative to the shop's,
    and every `signal_*`. They enter with lags only.

    Four candidates are compared by one-week-ahead forecasts of the later half of the history, from
    fits to the weeks before that are renewed every four weeks. The one with the least mean absolute error is used; a model
    only if it beats both forecasts without a model by more than one standard error over six
    weeks or more. Products are weighted by their revenue so far, so that no later week can change
    an earlier forecast. A week without traffic, when the shop was closed, tells nothing: it is neither
    learned nor judged, nor is a week after it before half of its window is open again, and none of them stands
    for the same week a year later. In windows it has the traffic of the week before.

    Args:
        n_estimators: number of trees.
        lags: number of past weeks used.
        seed: seed of the trees and of the paths.
        chosen: the candidate to use, if it is known; the others are then not fitted.

    Attributes:
        errors_: log(actual / forecast), one row per week forecast and one column per candidate.
        scores_: `candidate`, `mae` (baskets per week), `mape`, `bias` (mean log error), `weeks`,
            `chosen`.
        chosen_: name of the candidate used.
        history_: traffic and drivers, one row per week.
        silent_: weeks that tell nothing, as the shop was closed then or for most of the window before.
        revenue_: revenue of each product, the weight of its planned promotions.

    Example:
        >>> from repricer.forecasting import example_panel
        >>> trend = MarketTrend(n_estimators=5).fit(example_panel(n_products=2, n_weeks=20))
        >>> list(trend.roll(4))
        ['week', 'traffic', 'low', 'high']
    """

    errors_: pd.DataFrame
    scores_: pd.DataFrame
    chosen_: str
    history_: pd.DataFrame
    silent_: pd.DatetimeIndex
    revenue_: pd.Series
    period_: pd.Timedelta

    def __init__(self, *, n_estimators: int = 100, lags: int = 4, seed: int = 0, chosen: str | None = None) -> None:
        self.n_estimators = n_estimators
        self.lags = lags
        self.seed = seed
        self.chosen = chosen

    def fit(self, panel: pd.DataFrame) -> Self:
        """Fit to a weekly panel.

        Args:
            panel: as `repricer.data.product_weeks` returns, in any row order.

        Raises:
            ValueError: the panel is faulty, the first week has no traffic, or the history is too short.
        """
        if self.lags < 1:
            raise ValueError(f"MarketTrend: lags must be 1 week or more; got {self.lags}")
        weeks, open_ = market_weeks(panel)
        self.period_ = period_of(weeks.index)
        self.history_, self.silent_ = weeks, _silent(open_, self.lags)
        known = min(len(weeks), self.lags) + len(self._learned)
        if known < self.lags + _LEAST_ROWS:
            raise ValueError(
                f"panel: the trend needs {self.lags + _LEAST_ROWS} weeks with lags={self.lags}; "
                f"got {known} in which the shop was open; give a longer history or fewer lags"
            )
        rows = panel.sort_values(["product", "week"])
        self.revenue_ = (rows["units"] * rows["price"]).groupby(rows["product"]).sum()
        features, target = self._learnable(weeks)
        self.errors_ = self._rolling_errors(features, target)
        self.scores_ = _scores(self.errors_, weeks["traffic"], self.chosen)
        self.chosen_ = str(self.scores_.loc[self.scores_["chosen"], "candidate"].item())
        self.model_ = self._candidates()[self.chosen_].fit(features, target)
        return self

    def roll(self, horizon: int, *, level: float = 0.8, planned: pd.DataFrame | None = None) -> pd.DataFrame:
        """Return the median and a band of 1,000 paths.

        Args:
            horizon: weeks ahead.
            level: share of the paths inside the band.
            planned: see `sample_paths`.

        Returns:
            `week`, `traffic`, `low` and `high`, in baskets per week.
        """
        return self.sample_paths(horizon, planned=planned).bands(level)

    def sample_paths(self, horizon: int, n_paths: int = 1000, *, planned: pd.DataFrame | None = None) -> MarketPaths:
        """Simulate paths of traffic and drivers, each week from the weeks before it.

        Every driver is a first-order autoregression around its mean. The errors added to a week's
        traffic and drivers are those of one past week, drawn at random, so that series that moved
        together do so again. A mean error that is not significant is removed.

        Args:
            horizon: weeks ahead.
            n_paths: number of paths.
            planned: `week` and any of `promotion` and `holiday` of the weeks ahead, one row per
                week or per product and week. By default promotions stay at their last value and
                there is no holiday.
        """
        if horizon < 1 or n_paths < 1:
            raise ValueError(f"horizon and n_paths must be 1 or more; got {horizon} and {n_paths}; raise them")
        rng = np.random.default_rng(self.seed)
        drivers = list(self._drivers)
        mean, memory, shocks = _autoregressions(self.history_[drivers], ~self.history_.index.isin(self.silent_))
        pool = _noise(self.errors_[self.chosen_].to_numpy(), WEEK // self.period_)
        shocks = shocks[self.history_.index.get_indexer(self.errors_.index) - 1]
        window = np.tile(self.history_[["traffic", *drivers]].to_numpy()[-self._year - self.lags :], (n_paths, 1, 1))
        known = window.shape[1]
        ahead = self._plan(horizon, planned)
        for step in range(horizon):
            recent = window[:, -self.lags :]
            features = self._features(window, ahead.iloc[step : step + self.lags + 1])
            drawn = rng.integers(len(pool), size=n_paths)
            growth = self.model_.predict(features) + pool[drawn]
            traffic = recent[:, :, 0].mean(axis=1) * np.exp(growth)
            moved = mean + memory * (recent[:, -1, 1:] - mean) + shocks[drawn]
            window = np.concatenate([window, np.column_stack([traffic, moved])[:, None]], axis=1)
        future = window[:, known:]
        return MarketPaths(
            weeks=pd.DatetimeIndex(ahead.index[self.lags :]),
            traffic=future[:, :, 0],
            drivers={name: future[:, :, place] for place, name in enumerate(drivers, start=1)},
            level=float(self.history_["traffic"].iloc[-self.lags :].mean()),
        )

    @property
    def _year(self) -> int:
        """Weeks, or days, in a year of whole weeks."""
        return YEAR_WEEKS * (WEEK // self.period_)

    @property
    def _learned(self) -> pd.DatetimeIndex:
        """The weeks of `history_` after the first `lags` that tell something."""
        weeks = pd.DatetimeIndex(self.history_.index[self.lags :])
        return weeks[~weeks.isin(self.silent_)]

    @property
    def _drivers(self) -> pd.Index:
        return self.history_.columns.drop(["traffic", *_KNOWN_AHEAD], errors="ignore")

    def _plan(self, horizon: int, planned: pd.DataFrame | None) -> pd.DataFrame:
        """Planned promotions and holidays of the last `lags` weeks and the weeks ahead."""
        known = [column for column in _KNOWN_AHEAD if column in self.history_]
        past = self.history_[known].iloc[-self.lags :]
        weeks = past.index[-1] + self.period_ * np.arange(1, horizon + 1)
        ahead = pd.DataFrame(index=weeks, columns=known, dtype=float)
        if planned is not None:
            given = [column for column in known if column in planned]
            # Averaged by revenue, like the history.
            weight = planned["product"].map(self.revenue_).fillna(0.0) if "product" in planned else 1.0
            sums = planned[given].mul(weight, axis=0).assign(weight=weight).groupby(planned["week"]).sum()
            ahead.update(sums[given].div(sums["weight"], axis=0))
        rest = past.iloc[-1].where(past.columns != "holiday", 0.0)
        return pd.concat([past, ahead.fillna(rest)])

    def _learnable(self, weeks: pd.DataFrame) -> tuple[Array, Array]:
        """Features and target, log growth on the mean of the window, of the weeks in `_learned`."""
        known = [column for column in _KNOWN_AHEAD if column in weeks]
        values = weeks[["traffic", *self._drivers]].to_numpy(dtype=float)
        ends = np.flatnonzero(weeks.index.isin(self._learned))
        planned = ((values[None, :end], weeks[known].iloc[end - self.lags : end + 1]) for end in ends)
        features = np.vstack([self._features(past, plan) for past, plan in planned])
        base = np.array([values[end - self.lags : end, 0].mean() for end in ends])
        return features, np.log(values[ends, 0] / base)

    def _features(self, past: Array, planned: pd.DataFrame) -> Array:
        """The features of a week, from what was before it and what is planned for it.

        Args:
            past: (P, weeks, 1 + drivers) traffic and drivers of the weeks before it, on each of P paths.
            planned: What is planned, of the last `lags` weeks and, in the last row, of the week itself.

        Returns:
            (P, features) of each path.
        """
        week = planned.index[-1]
        traffic = past[:, -self.lags :, 0]
        drivers = past[:, -self.lags :, 1:]
        relative_traffic = np.log(traffic / traffic.mean(axis=1, keepdims=True))
        moves = (drivers - drivers.mean(axis=1, keepdims=True))[:, -_TREND_WEEKS:].reshape(len(past), -1)
        plan = planned.to_numpy()
        planned_moves = plan[-1] - plan[:-1].mean(axis=0)
        middle = week + self.period_ / 2
        month = 2 * np.pi * (middle.day - 1) / middle.days_in_month  # wages and benefits are paid monthly
        same_on_all_paths = np.tile([*planned_moves, np.sin(month), np.cos(month)], (len(past), 1))
        last_year = self._last_year(past[:, :, 0], week)
        return np.column_stack([relative_traffic, moves, last_year, same_on_all_paths])

    def _last_year(self, traffic: Array, week: pd.Timestamp) -> Array:
        """(P, 2) log growth of the same week a year ago, alone and with its neighbours."""
        then = traffic.shape[1] - self._year
        if then < self.lags or week - self._year * self.period_ in self.silent_:
            return np.zeros((len(traffic), 2))
        base = traffic[:, then - self.lags : then].mean(axis=1)
        around = traffic[:, then - 1 : then + 2].mean(axis=1)
        return np.log(np.column_stack([traffic[:, then], around]) / base[:, None])

    def _candidates(self) -> dict[str, Any]:
        """Forecasts without a model first."""
        forest = RandomForestRegressor(self.n_estimators, min_samples_leaf=3, max_features=0.5, random_state=self.seed)
        scaled = make_pipeline(StandardScaler(), SVR())
        return {
            "moving average": DummyRegressor(strategy="constant", constant=0.0),
            "naive": LastWeek(self.lags, min(self.lags, WEEK // self.period_)),
            "support vectors": TransformedTargetRegressor(scaled, transformer=StandardScaler()),
            "random forest": make_pipeline(StandardScaler(), forest),
        }

    def _rolling_errors(self, features: Array, target: Array) -> pd.DataFrame:
        """Errors of the later half, each week forecast one week ahead from a fit to earlier weeks alone."""
        first = len(target) // 2
        length = _REFIT_WEEKS * (WEEK // self.period_)
        starts = range(first, len(target), length)
        candidates = {name: model for name, model in self._candidates().items() if self.chosen in (None, name)}
        forecasts = {
            name: [model.fit(features[:at], target[:at]).predict(features[at : at + length]) for at in starts]
            for name, model in candidates.items()
        }
        errors = {name: target[first:] - np.concatenate(parts) for name, parts in forecasts.items()}
        return pd.DataFrame(errors, index=self._learned[first:])


def _scores(errors: pd.DataFrame, traffic: pd.Series, chosen: str | None) -> pd.DataFrame:
    actual = traffic.loc[errors.index].to_numpy()[:, None]
    forecast = actual * np.exp(-errors)
    miss = (actual - forecast).abs()
    table = pd.DataFrame({"mae": miss.mean(), "mape": (miss / actual).mean(), "bias": errors.mean()})
    best = errors.columns == (chosen or _choice(miss, forecast, traffic))
    return table.assign(weeks=len(errors), chosen=best).rename_axis("candidate").reset_index()


def _choice(miss: pd.DataFrame, forecast: pd.DataFrame, traffic: pd.Series) -> str:
    """The least mean, or a forecast without a model within one standard error of it, or with too few weeks."""
    # Forecasts without a model are judged by the seven days to come, as the next day alone is like those just past.
    days = periods_in_a_week(traffic.index)
    weekly = forecast[_WITHOUT_MODEL].rsub(traffic.rolling(days).mean().shift(1 - days), axis=0).abs()
    best = miss.drop(columns=_WITHOUT_MODEL).mean().idxmin()
    simple = weekly.mean().idxmin()
    lead = miss[simple] - miss[best]
    return str(simple if len(lead) < _LEAST_JUDGED or lead.mean() <= lead.std() / np.sqrt(len(lead)) else best)


def _noise(errors: Array, days: int) -> Array:
    """Log errors to draw from: without an insignificant mean, and scaled for the next error; `days` of a week are alike.

    As factors, they have a mean of 1: each week's traffic is a multiple of that of the weeks before, and large errors
    up and down would else make it grow.
    """
    mean = errors.mean()
    deviation = errors - errors.mean()
    bias = mean if abs(mean) > _SIGNIFICANT * errors.std(ddof=1) / np.sqrt(len(errors) / days) else 0.0
    scaled = deviation * np.sqrt((len(errors) + 1) / (len(errors) - 1))
    return bias + scaled - np.log(np.exp(scaled).mean())


def _silent(open_: pd.Series, lags: int) -> pd.DatetimeIndex:
    """The weeks in which the shop was closed, or had been for most of the `lags` weeks before."""
    before = open_.astype(float).rolling(lags).mean().shift(1)
    return pd.DatetimeIndex(open_.index[~open_ | (before < _LEAST_OPEN)])


def _autoregressions(series: pd.DataFrame, known: NDArray[np.bool_]) -> tuple[Array, Array, Array]:
    """Mean and autocorrelation of each of D columns over the weeks known, (D,), and all residuals, (weeks - 1, D)."""
    values = series.to_numpy(dtype=float)
    mean = values.mean(axis=0, where=known[:, None])
    deviation = values - mean
    before = deviation[:-1]
    after = deviation[1:]
    power = (before**2).sum(axis=0, where=known[1:, None])
    moved = (before * after).sum(axis=0, where=known[1:, None])
    memory = np.clip(np.divide(moved, power, out=np.zeros_like(power), where=power > 0), 0, 1)
    return mean, memory, after - memory * before

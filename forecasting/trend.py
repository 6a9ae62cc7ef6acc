"""The market's size in the weeks ahead: a random forest on the shop's traffic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestRegressor

from .base import WEEK, check_rows

_YEAR_WEEKS = 52.1775
_N_PATHS = 200
_HOLDOUT_SHARE = 0.25
_LEAST_ROWS = 12


@dataclass(frozen=True)
class TrendScore:
    """One-step errors in baskets a week over the last quarter of the history, from a fit to what came before.

    Attributes:
        forest: mean absolute error of the forest.
        naive: that of the last week's traffic.
        moving_average: that of the mean of the last `lags` weeks.
    """

    forest: float
    naive: float
    moving_average: float


class MarketTrend(BaseEstimator):
    """Weekly traffic (baskets of the whole shop) from its own past, the prices of the past and the calendar.

    The forest learns log(traffic / mean of the last `lags` weeks). A tree predicts a mean of what it saw, so a
    forest on levels could never leave their range; relative to its own recent past a shop that grows or
    shrinks stays inside (Breiman 2001 for the forest, the choice of target is ours). Features: the lagged
    traffic relative to that mean, the price index (fixed weights: shares of revenue) relative to its
    own, the discount share, and sine and cosine of the year.

    Args:
        n_estimators: trees.
        lags: past weeks that are looked at.
        seed: of the trees and of the simulated paths.

    Attributes:
        score_: `TrendScore`, against two forecasts without a model. Use the trend only where it wins.
    """

    score_: TrendScore

    def __init__(self, *, n_estimators: int = 200, lags: int = 4, seed: int = 0) -> None:
        self.n_estimators = n_estimators
        self.lags = lags
        self.seed = seed

    def fit(self, panel: pd.DataFrame) -> Self:
        """Fit to a weekly panel.

        Raises:
            ValueError: the panel is faulty, a week has no traffic, or the history is too short.
        """
        if self.lags < 1:
            raise ValueError(f"MarketTrend: lags must be 1 week or more; got {self.lags}")
        weeks = _weeks(panel)
        if len(weeks) < self.lags + _LEAST_ROWS:
            raise ValueError(
                f"panel: the trend needs {self.lags + _LEAST_ROWS} weeks with lags={self.lags}; "
                f"got {len(weeks)}; give a longer history or fewer lags"
            )
        ends = range(self.lags, len(weeks))
        features = np.vstack([self._features(weeks.iloc[end - self.lags : end]) for end in ends])
        base = np.array([weeks["traffic"].iloc[end - self.lags : end].mean() for end in ends])
        traffic = weeks["traffic"].to_numpy()
        target = np.log(traffic[self.lags :] / base)
        self.score_ = self._score(features, target, base, traffic[self.lags - 1 :])
        self.forest_ = self._forest().fit(features, target)
        self.residuals_ = target - self.forest_.oob_prediction_
        self.history_ = weeks.iloc[-self.lags :]
        return self

    def roll(self, horizon: int, *, level: float = 0.8) -> pd.DataFrame:
        """Roll forward, each week on the paths of the weeks before it.

        Each of 200 paths adds out-of-bag residuals drawn at random; price index and discounts of the weeks
        ahead are held at their last values, as nobody has set them yet.

        Args:
            horizon: weeks ahead.
            level: share of the paths between `low` and `high`.

        Returns:
            `week`, `traffic` (median path), `low`, `high`, in baskets a week.
        """
        rng = np.random.default_rng(self.seed)
        past = np.tile(self.history_["traffic"].to_numpy(), (_N_PATHS, 1))
        other = self.history_.drop(columns="traffic")
        for _ in range(horizon):
            window = past[:, -self.lags :]
            base = window.mean(axis=1)
            features = np.tile(self._features(other.assign(traffic=1.0)), (_N_PATHS, 1))
            features[:, : self.lags] = np.log(window / base[:, None])
            growth = self.forest_.predict(features) + rng.choice(self.residuals_, _N_PATHS)
            past = np.column_stack([past, base * np.exp(growth)])
            other = pd.concat([other, other.iloc[[-1]].set_axis(other.index[-1:] + WEEK)]).iloc[1:]
        tail = (1 - level) / 2
        low, middle, high = np.quantile(past[:, self.lags :], [tail, 0.5, 1 - tail], axis=0)
        weeks = self.history_.index[-1] + WEEK * np.arange(1, horizon + 1)
        return pd.DataFrame({"week": weeks, "traffic": middle, "low": low, "high": high})

    def _features(self, window: pd.DataFrame) -> np.ndarray:
        """Describe the week after `window` by its past; traffic comes first."""
        traffic, prices = np.log(window["traffic"].to_numpy()), window["log_price"].to_numpy()
        year = 2 * np.pi * (window.index[-1] + WEEK).day_of_year / 365.25
        return np.concatenate(
            [
                traffic - np.log(window["traffic"].mean()),
                prices - prices.mean(),
                window["discount_share"].to_numpy(),
                [np.sin(year), np.cos(year)],
            ]
        )

    def _forest(self) -> RandomForestRegressor:
        return RandomForestRegressor(
            self.n_estimators, min_samples_leaf=3, max_features=0.5, oob_score=True, random_state=self.seed
        )

    def _score(self, features: np.ndarray, target: np.ndarray, base: np.ndarray, traffic: np.ndarray) -> TrendScore:
        """Score the last quarter; `traffic` starts one week before the first target."""
        start = len(target) - max(1, int(_HOLDOUT_SHARE * len(target)))
        growth = self._forest().fit(features[:start], target[:start]).predict(features[start:])
        actual = traffic[1:][start:]
        forecasts = (base[start:] * np.exp(growth), traffic[:-1][start:], base[start:])
        return TrendScore(*(float(np.abs(actual - forecast).mean()) for forecast in forecasts))


def _weeks(panel: pd.DataFrame) -> pd.DataFrame:
    """One row a week: `traffic`, `log_price` (index) and `discount_share`, the last two by revenue."""
    rows = check_rows(panel, ["product", "week", "units", "price", "discount_share", "traffic"], name="panel")
    if (rows["traffic"] <= 0).any():
        raise ValueError("panel: traffic must be positive in every week; got 0; leave weeks without sales out")
    rows = rows[rows["price"] > 0]
    revenue = (rows["units"] * rows["price"]).groupby(rows["product"]).transform("sum")
    rows = rows.assign(log_price=np.log(rows["price"]) * revenue, discount_share=rows["discount_share"] * revenue)
    sums = rows.assign(weight=revenue).groupby("week")[["log_price", "discount_share", "weight"]].sum()
    weeks = sums[["log_price", "discount_share"]].div(sums["weight"], axis=0)
    return weeks.assign(traffic=rows.groupby("week")["traffic"].first())

"""Covariates and target as arrays over products and weeks, for models of all products at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...data.weeks import WEEK, period_of
from .covariates import OBSERVED, TRAFFIC_WEEKS, WEEKDAYS, fourier

YEAR = 52
"""Weeks of history from which on a season of the year can be separated from a trend."""

FOURIER_PAIRS = 2

_TRAFFIC = "log_traffic"
_COLUMN_NAMES = ("discount", "log_regular", "promotion", "holiday", "rival_discount", "rival_promotion", _TRAFFIC)
_SEASON = tuple(f"season_{number}" for number in range(1, 2 * FOURIER_PAIRS + 1))


@dataclass(frozen=True)
class WeeklyDesign:
    """N products in T weeks without gaps.

    Attributes:
        products: N names.
        carried: indices of the covariates that are not known ahead; the first one is traffic.
        target: (N, T) log(1 + demand); 0 where missing.
        per_week: number of these weeks in a calendar week: 7 for a panel of days.
        names: K names of the covariates.
        seen: (N, T) 1 where demand is known, from the first sale on; else 0.
        open: (T,) whether the shop sold anything in a week.
        x: (N, T, K) covariates, 0 where there is no row; the last `2 FOURIER_PAIRS` are the season.
    """

    products: pd.Index
    carried: np.ndarray
    target: np.ndarray
    seen: np.ndarray
    open: np.ndarray
    x: np.ndarray
    per_week: int = 1
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, history: pd.DataFrame) -> WeeklyDesign:
        """Arrange prepared rows (see `Forecaster._prepare`)."""
        products = pd.Index(history["product"].unique())
        first = history["week"].min()
        period = period_of(history["week"])
        row = products.get_indexer(pd.Index(history["product"]))
        column = ((history["week"] - first) // period).to_numpy()
        shape = (len(products), column.max() + 1)
        listed = history.groupby("product")["units"].cumsum() > 0
        known = (listed & history["demand"].notna()).to_numpy()
        target = np.zeros(shape)
        seen = np.zeros(shape)
        open_ = np.zeros(shape[1], dtype=bool)
        x = np.zeros((*shape, len(covariate_names(history)) + 2 * FOURIER_PAIRS))
        target[row[known], column[known]] = np.log1p(history["demand"].to_numpy()[known])
        seen[row[known], column[known]] = 1.0
        open_[column[history["traffic"] > 0]] = True
        x[row, column] = covariate_matrix(history)
        carried = [k for k, name in enumerate(covariate_names(history)) if name == _TRAFFIC or name.startswith("lag_")]
        names = (*covariate_names(history), *_SEASON)
        return cls(products, np.array(carried), target, seen, open_, x, WEEK // period, names)

    def begins_with(self, earlier: WeeklyDesign) -> bool:
        """Whether the first weeks of this history are the whole of an earlier one."""
        weeks = earlier.target.shape[1]
        return (
            weeks <= self.target.shape[1]
            and self.products.equals(earlier.products)
            and all(
                np.array_equal(getattr(self, name)[:, :weeks], getattr(earlier, name))
                for name in ("target", "seen", "x")
            )
        )

    def planned(self, origin: int, step: int) -> np.ndarray:
        """Return the covariates (N, K) of week `origin` + `step` as known at the end of `origin`.

        Traffic is the mean of the last weeks in which the shop was open, as in `Covariates.of_future`; lagged columns keep
        their last value.
        """
        x = self.x[:, origin + step].copy()
        x[:, self.carried] = self.x[:, origin + 1, self.carried]
        recent = np.flatnonzero(self.open[: origin + 1])[-TRAFFIC_WEEKS * self.per_week :]
        traffic = self.x[:, recent, self.carried[0]]
        # A new product has no rows in some of these weeks, in which the shop had customers.
        x[:, self.carried[0]] = np.where(traffic > 0, traffic, traffic.max(axis=0)).mean(axis=1)
        return x


def covariate_names(rows: pd.DataFrame) -> list[str]:
    """Names of the covariates in these rows, without the season."""
    return [*_COLUMN_NAMES, *sorted(str(name) for name in rows if str(name).startswith(("lag_", "weekday_")))]


def all_names(*, daily: bool) -> tuple[str, ...]:
    """Names of all covariates that a panel may have, with the season."""
    lagged = (f"lag_{name}" for name in OBSERVED)
    return (*_COLUMN_NAMES, *sorted((*lagged, *(WEEKDAYS if daily else ()))), *_SEASON)


def covariate_matrix(rows: pd.DataFrame) -> np.ndarray:
    """Return the covariates of R rows, (R, K); unknown values are 0."""
    known = rows[covariate_names(rows)].fillna(0.0).to_numpy(dtype=float)
    return np.hstack([known, fourier(rows["week"], FOURIER_PAIRS)])

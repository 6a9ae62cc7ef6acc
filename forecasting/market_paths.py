"""Simulated paths of the size of the market, and the shock that sums them up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MarketShock:
    """Summary of the paths that a scenario can hold.

    Attributes:
        multiplier: (T,) mean of the paths over the mean traffic of the last weeks.
        volatility: standard deviation of the log deviation from that mean, over all T periods.
        persistence: its autocorrelation from one period to the next, in [0, 0.999].

    Example:
        >>> shock = MarketShock(np.ones(4), volatility=0.1, persistence=0.5)
        >>> shock.multiplier.shape
        (4,)
    """

    multiplier: Array
    volatility: float
    persistence: float


@dataclass(frozen=True)
class MarketPaths:
    """P simulated paths of the market over T weeks.

    Attributes:
        weeks: (T,) first days.
        traffic: (P, T) baskets per week.
        drivers: (P, T) for each series that drives traffic, in the units of `MarketTrend.history_`.
        level: mean traffic of the last weeks before the first.

    Example:
        >>> weeks = pd.date_range("2024-01-01", periods=2, freq="7D")
        >>> paths = MarketPaths(weeks, np.array([[90.0, 95.0], [110.0, 105.0]]), {}, level=100.0)
        >>> paths.bands()["traffic"].tolist()
        [100.0, 100.0]
        >>> paths.shock().multiplier.tolist()
        [1.0, 1.0]
    """

    weeks: pd.DatetimeIndex
    traffic: Array
    drivers: dict[str, Array]
    level: float

    def bands(self, level: float = 0.8) -> pd.DataFrame:
        """Return `week`, `traffic` (median), `low` and `high`; a share `level` of paths lies between."""
        tail = (1 - level) / 2
        low, middle, high = np.quantile(self.traffic, [tail, 0.5, 1 - tail], axis=0)
        return pd.DataFrame({"week": self.weeks, "traffic": middle, "low": low, "high": high})

    def shock(self) -> MarketShock:
        """Summarise the paths as a mean and a first-order autoregressive shock around it."""
        mean = self.traffic.mean(axis=0)
        deviation = np.log(self.traffic / mean)
        deviation -= deviation.mean(axis=0)
        before = deviation[:, :-1].ravel()
        after = deviation[:, 1:].ravel()
        power = before @ before
        persistence = float(np.clip(before @ after / power, 0.0, 0.999)) if power else 0.0
        return MarketShock(mean / self.level, float(np.sqrt((deviation**2).mean())), persistence)

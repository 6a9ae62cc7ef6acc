"""Covariates of demand: prices, promotions, rivals, traffic and the calendar."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ...data.panel.promotion_kinds import column_of, kinds_in
from ...data.weeks import DAY, WEEK, WEEKS_A_YEAR, period_of, periods_in_a_week

PLANNED = ("promotion", "holiday")
"""Optional columns of a panel that are known ahead; 0 where a panel or future has none."""


def planned_columns(rows: pd.DataFrame) -> list[str]:
    """The optional columns of a panel that are known ahead: those of `PLANNED`, and the kinds of promotions.

    Example:
        >>> planned_columns(pd.DataFrame(columns=["units", "holiday", "promotion", "promotion: display"]))
        ['promotion', 'holiday', 'promotion: display']
    """
    return [*(name for name in PLANNED if name in rows), *map(column_of, kinds_in(rows))]


OBSERVED = ("competitor_price", "views", "carts", "rating")
"""Optional columns known only afterwards: they enter a week later; a forecast uses the last value."""

WEEKDAYS = tuple(f"weekday_{number}" for number in range(1, 7))
"""Columns of a panel of days: whether a row is of that day of the week, Monday apart."""

TRAFFIC_WEEKS = 4
"""Where future traffic is not given, the mean of this many last weeks is used."""


@dataclass(frozen=True)
class Covariates:
    """What each row needs from the history: usual discounts, categories and last values.

    Attributes:
        category: category of each product (its own where the panel has none).
        usual: mean of `discount` and `promotion` of each product.
        last: last value of each observed column, by product.
        traffic: expected baskets per week, where none are given.
        traffic_sd: standard deviation of its error one week ahead, in logs.
        observed: the `OBSERVED` columns that the panel has.
        daily: whether the panel is one of days.
    """

    category: pd.Series
    usual: pd.DataFrame
    last: pd.DataFrame
    traffic: float
    traffic_sd: float
    observed: tuple[str, ...]
    daily: bool

    @classmethod
    def of(cls, history: pd.DataFrame) -> Covariates:
        """Compute from checked rows."""
        daily = period_of(history["week"]) == DAY
        rows = _own(history, daily)
        products = rows.groupby("product")
        names = pd.Index(list(products.groups))
        category = products["category"].first() if "category" in rows else pd.Series(dtype=object)
        return cls(
            category=category.reindex(names).fillna(pd.Series(names, index=names)),
            usual=products[["discount", "promotion"]].mean(),
            last=pd.DataFrame(),
            traffic=0.0,
            traffic_sd=_traffic_sd(history),
            observed=tuple(name for name in OBSERVED if name in rows),
            daily=daily,
        ).at_end_of(history)

    def at_end_of(self, history: pd.DataFrame) -> Covariates:
        """Return a copy with the last values of this history."""
        values = _observed(history, self.observed)
        weekly = _open_traffic(history).tail(TRAFFIC_WEEKS * periods_in_a_week(history["week"]))
        return replace(self, last=values.groupby(history["product"]).last(), traffic=float(weekly.mean()))

    def of_history(self, history: pd.DataFrame) -> pd.DataFrame:
        """Add the covariates to past rows; observed columns enter one week later."""
        values = _observed(history, self.observed)
        lagged = values.groupby(history["product"]).shift(1)
        # Before the first known value: that value.
        lagged = lagged.groupby(history["product"]).bfill()
        if self.observed:
            lagged = lagged.fillna(values.groupby(history["product"]).transform("last"))
        return _with_lagged(self._rivals(_own(history, self.daily)), lagged)

    def of_future(self, future: pd.DataFrame) -> pd.DataFrame:
        """Add the covariates to future rows; values that are not known ahead are carried forward."""
        given = "traffic" in future
        rows = self._rivals(_own(future if given else future.assign(traffic=self.traffic), self.daily))
        carried = self.last.reindex(rows["product"]).set_axis(rows.index)
        rows = rows.assign(traffic_sd=0.0 if given else self.traffic_sd)
        rows = _with_lagged(rows, carried)
        return rows if given else rows.drop(columns="traffic")

    def _rivals(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Add the mean departure of the category's other products from their usual discount and promotion.

        A rival without a row in that week counts as usual.
        """
        category = rows["product"].map(self.category)
        if "category" in rows:
            category = category.fillna(rows["category"])
        category = category.fillna(rows["product"])
        others = (category.map(self.category.value_counts()) - rows["product"].isin(self.category.index)).clip(lower=1)
        added = {}
        for name in ("discount", "promotion"):
            departure = (rows[name] - rows["product"].map(self.usual[name])).fillna(0.0)
            total = departure.groupby([category, rows["week"]]).transform("sum")
            added[f"rival_{name}"] = ((total - departure) / others).fillna(0.0)
        return rows.assign(**added)


def fourier(weeks: pd.Series, pairs: int) -> np.ndarray:
    """Return `pairs` sines and as many cosines of the year, (R, 2 pairs)."""
    elapsed = (weeks.to_numpy() - np.datetime64("2000-01-01")) / WEEK.to_timedelta64()
    angles = 2 * np.pi * np.outer(elapsed / WEEKS_A_YEAR, np.arange(1, pairs + 1))
    return np.hstack([np.sin(angles), np.cos(angles)])


def _own(rows: pd.DataFrame, daily: bool) -> pd.DataFrame:
    """Add logs of a row's own prices and traffic (NaN where 0), weekdays, and planned columns that it lacks."""
    # An exchange rate must change nothing: only logs, and only their differences, are used.
    price, regular = (np.log(rows[name].where(rows[name] > 0)) for name in ("price", "regular_price"))
    planned = {name: rows[name].fillna(0.0) if name in rows else 0.0 for name in PLANNED}
    return rows.assign(
        log_price=price,
        log_regular=regular,
        discount=price - regular,
        log_traffic=np.log(rows["traffic"].where(rows["traffic"] > 0).clip(lower=1)),
        **planned,
        **(_weekdays(rows["week"]) if daily else {}),
    )


def _weekdays(days: pd.Series) -> dict[str, pd.Series]:
    """The columns `WEEKDAYS` of some days."""
    return {name: (days.dt.day_of_week == number).astype(float) for number, name in enumerate(WEEKDAYS, start=1)}


def _with_lagged(rows: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(**{f"lag_{name}": values[name] for name in values})


def _traffic_sd(history: pd.DataFrame) -> float:
    weekly = pd.Series(np.log(_open_traffic(history).clip(lower=1)))
    errors = weekly - weekly.rolling(TRAFFIC_WEEKS * periods_in_a_week(weekly.index)).mean().shift(1)
    return float(errors.std()) if errors.count() > 1 else 0.0


def _open_traffic(history: pd.DataFrame) -> pd.Series:
    """Baskets of each week in which the shop was open."""
    weekly = history.groupby("week")["traffic"].first()
    return weekly[weekly > 0]


def _observed(rows: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    """Logs of the observed columns."""
    logs = {name: np.log(rows[name]) if name == "competitor_price" else np.log1p(rows[name]) for name in names}
    return pd.DataFrame(logs, index=rows.index)

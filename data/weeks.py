"""The periods of a shop: weeks, 7-day blocks that start with the day of its first sale, or days."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from .schema import DataError

WEEK = pd.Timedelta(days=7)
DAY = pd.Timedelta(days=1)
YEAR_WEEKS = 52
"""Whole weeks of a year."""
WEEKS_A_YEAR = 52.1775
"""Weeks of the mean year."""
_ROWS_AT_ONCE = 1_000_000
PERIODS = {"week": WEEK, "day": DAY}
"""The periods that a shop can be priced by."""


def period_of(first_days: Any) -> pd.Timedelta:
    """The length of the periods of a panel: a day where some of them begin a day apart, else a week.

    Args:
        first_days: First days of the periods, such as the column `week` of a panel.

    Example:
        >>> period_of(pd.date_range("2024-01-01", periods=3)).days
        1
    """
    days = np.unique(np.asarray(first_days, dtype="datetime64[D]"))
    return DAY if (np.diff(days) == np.timedelta64(1, "D")).any() else WEEK


def periods_in_a_week(first_days: Any) -> int:
    """The number of a panel's periods in a week.

    Example:
        >>> periods_in_a_week(pd.date_range("2024-01-01", periods=3))
        7
    """
    return WEEK // period_of(first_days)


def name_of(period: pd.Timedelta) -> str:
    """What a period is called: week or day.

    Example:
        >>> name_of(DAY)
        'day'
    """
    return next(name for name, length in PERIODS.items() if length == period)


@dataclass(frozen=True)
class Weeks:
    """The first day of the first week, the number of weeks, and their days; numbered from 0."""

    first: datetime
    count: int
    days: int = WEEK.days

    @classmethod
    def of(cls, lines: pl.LazyFrame, days: int = WEEK.days, anchor: date | None = None) -> Weeks:
        """The weeks of so many days from the first to the last `date` of some sale lines, of which there must be one.

        Args:
            lines: The sale lines.
            days: Length of a week.
            anchor: First day of any of these weeks; by default the first date.
        """
        date = pl.col("date")
        first, last = lines.select(first=date.min(), last=date.max()).collect(engine="streaming").row(0)
        if first is None:
            raise DataError("sales must hold rows; got none; check which products and dates were selected")
        if anchor is not None:
            day = datetime(anchor.year, anchor.month, anchor.day)
            first = day + (first - day).days // days * timedelta(days=days)
        return cls(first, (last - first).days // days + 1, days)

    @classmethod
    def over(cls, first_days: Any) -> Weeks:
        """The weeks of a panel, of which these are the first days, perhaps repeated."""
        days = np.unique(np.asarray(first_days, dtype="datetime64[ns]"))
        return cls(pd.Timestamp(days[0]).to_pydatetime(), len(days), period_of(days).days)

    def split(self, lines: pl.LazyFrame, *, stored: bool) -> Iterator[pl.DataFrame]:
        """Rows with the number of their `week`, from the first week to the last.

        Args:
            stored: Whether they are on the disk, and too many for the memory: then those of seven days
                come at a time; else about a million, for what is made from them takes memory too.
        """
        week = self.number(pl.col("date"))
        step = WEEK.days // self.days
        if not stored:
            rows = lines.collect()
            lines = rows.lazy()
            step = max(1, self.count * _ROWS_AT_ONCE // max(1, len(rows)))
        for start in range(0, self.count, step):
            end = min(start + step, self.count)
            within = (pl.col("date") >= self.first_day(start)) & (pl.col("date") < self.first_day(end))
            yield lines.filter(within).with_columns(week=week).collect(engine="streaming")

    def number(self, date: pl.Expr) -> pl.Expr:
        """The week of a date; negative before the first week, `count` or more after the last."""
        # The quotient is rounded down, also below zero.
        return ((date - self.first).dt.total_days() // self.days).cast(pl.Int32)

    def numbers(self) -> pl.Series:
        """The numbers of all weeks."""
        return pl.int_range(self.count, dtype=pl.Int32, eager=True)

    def first_day(self, number: int) -> datetime:
        """The first day of a week."""
        return self.first + timedelta(days=self.days * number)

    def first_days(self, numbers: pl.Series) -> pl.Series:
        """The first days of weeks."""
        days = pl.duration(days=pl.first().cast(pl.Int64) * self.days)
        first_days = (pl.lit(self.first) + days).cast(pl.Datetime("ns")).alias(numbers.name)
        return numbers.to_frame().select(first_days).to_series()


def to_polars(table: pd.DataFrame, columns: list[str]) -> pl.DataFrame:
    """Those of `columns` that a table has; dates in microseconds, which cover all years."""
    picked = pl.from_pandas(table[[column for column in columns if column in table]])
    return picked.with_columns(pl.col(pl.Datetime).cast(pl.Datetime("us")), pl.col(pl.Null).cast(pl.String))

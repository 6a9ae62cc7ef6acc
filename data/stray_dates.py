"""Sale lines with dates far before or after all others, such as 2034 for 2024: they are in no week of the panel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd
import polars as pl

from .weeks import WEEK

_SILENCE = timedelta(weeks=4)
"""Stray lines lie at least so long before or after the others."""
_FEW_LINES = 0.25
"""They are at most this share of the lines of an ordinary week."""


@dataclass(frozen=True)
class Stray:
    """Stray sale lines on one side of the others.

    Attributes:
        lines: Their number.
        first: Their first day.
        last: Their last day.
        weeks: Whole weeks between them and the others.
        early: Whether they lie before the others.
    """

    lines: int
    first: date
    last: date
    weeks: int
    early: bool

    def __str__(self) -> str:
        many = "1 line" if self.lines == 1 else f"{self.lines:,} lines"
        days = f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"
        lies = "lies" if self.lines == 1 else "lie"
        return f"{many} dated {days}, which {lies} {self.weeks} weeks {'before' if self.early else 'after'} all others"


def stray_dates(days: pl.DataFrame) -> list[Stray]:
    """The sale lines, few and after a long silence, before or after all others.

    Few are at most a quarter of those of an ordinary week, the median of the weeks with sales; a silence has four
    weeks or more. A shop that closed for a season has more lines on both sides, and keeps them.

    Args:
        days: `date` and `lines`, the number of sale lines, one row per day with sales.

    Example:
        >>> week = [date(2024, 1, 1) + timedelta(days=n) for n in range(14)]
        >>> days = pl.DataFrame({"date": [date(2014, 1, 1), *week], "lines": [1] + 14 * [5]})
        >>> [str(found) for found in stray_dates(days)]
        ['1 line dated 2014-01-01, which lies 521 weeks before all others']
    """
    if days.is_empty():
        return []
    days = days.sort("date").with_columns(pl.col("date").cast(pl.Date))
    week = (pl.col("date") - pl.col("date").min()).dt.total_days() // WEEK.days
    usual = days.group_by(week).agg(pl.col("lines").sum())["lines"].median()
    assert isinstance(usual, float)
    part = (pl.col("date").diff() > _SILENCE).fill_null(False).cum_sum()
    parts = days.group_by(part.alias("part"), maintain_order=True)
    sums = parts.agg(first=pl.col("date").min(), last=pl.col("date").max(), lines=pl.col("lines").sum())
    runs = sums.rows(named=True)
    kept = [place for place, run in enumerate(runs) if run["lines"] > _FEW_LINES * usual]
    return list(_around(runs, kept[0], kept[-1])) if kept else []


def without_stray_dates(sales: pd.DataFrame) -> pd.DataFrame:
    """The sale lines that are in the weeks of the panel, or after them.

    Example:
        >>> week = pd.date_range("2024-01-01", periods=14).repeat(5)
        >>> len(without_stray_dates(pd.DataFrame({"date": [pd.Timestamp("2034-01-01"), *week]})))
        70
    """
    by_day = sales["date"].dt.normalize().value_counts()
    for stray in stray_dates(pl.DataFrame({"date": by_day.index.to_numpy(), "lines": by_day.to_numpy()})):
        inside = sales["date"] > pd.Timestamp(stray.last) if stray.early else sales["date"] < pd.Timestamp(stray.first)
        sales = sales[inside]
    return sales


def _around(runs: list[dict], start: int, end: int) -> Iterator[Stray]:
    """The runs of days before one and after another."""
    for some, early in ((runs[:start], True), (runs[end + 1 :], False)):
        if some:
            first = some[0]["first"]
            last = some[-1]["last"]
            between = runs[start]["first"] - last if early else first - runs[end]["last"]
            yield Stray(sum(run["lines"] for run in some), first, last, between.days // WEEK.days, early)

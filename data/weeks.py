"""The weeks of a shop: 7-day blocks that start with the day of its first sale."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import pandas as pd
import polars as pl

_DAYS = 7


@dataclass(frozen=True)
class Weeks:
    """The first day of the first week, and the number of weeks; weeks are numbered from 0."""

    first: datetime
    count: int

    @classmethod
    def of(cls, dates: pl.Series) -> Weeks:
        """The weeks from the first to the last of `dates`."""
        first, last = dates.min(), dates.max()
        return cls(first, (last - first).days // _DAYS + 1)  # pyright: ignore

    def number(self, date: pl.Expr) -> pl.Expr:
        """The week of a date; negative before the first week, `count` or more after the last."""
        # The quotient is rounded down, also below zero.
        return ((date - self.first).dt.total_days() // _DAYS).cast(pl.Int32)

    def numbers(self) -> pl.Series:
        """The numbers of all weeks."""
        return pl.int_range(self.count, dtype=pl.Int32, eager=True)

    def first_day(self, number: int) -> datetime:
        """The first day of a week."""
        return self.first + timedelta(days=_DAYS * number)

    def first_days(self, numbers: pl.Series) -> pl.Series:
        """The first days of weeks."""
        days = pl.duration(days=pl.first().cast(pl.Int64) * _DAYS)
        return (
            numbers.to_frame()
            .select((pl.lit(self.first) + days).cast(pl.Datetime("ns")).alias(numbers.name))
            .to_series()
        )


def to_polars(table: pd.DataFrame, columns: list[str]) -> pl.DataFrame:
    """Those of `columns` that a table has; dates in microseconds, which cover all years."""
    picked = pl.from_pandas(table[[column for column in columns if column in table]])
    return picked.with_columns(pl.col(pl.Datetime).cast(pl.Datetime("us")), pl.col(pl.Null).cast(pl.String))

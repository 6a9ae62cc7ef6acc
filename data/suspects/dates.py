"""Dates of sale lines that can be read but hardly be meant: they are kept, and said."""

from __future__ import annotations

from datetime import date

import polars as pl

from ..stray_dates import stray_dates

# A day with less than this share of the lines that are usual is hardly whole, where so many lines are usual at least.
_THIN, _MANY = 0.2, 50
# The usual number is the median of so many days with the same weekday around it.
_AROUND, _LEAST = 9, 4
_NAMED = 7


def odd_dates(days: pl.DataFrame, today: date | None = None) -> list[str]:
    """Notes on sale lines far before or after all others, and after today, and on days with far fewer lines than usual.

    Args:
        days: `date` and `lines`, the number of sale lines, one row per day with sales.
        today: The day of the import; by default this one.

    Example:
        >>> days = pl.DataFrame({"date": [date(2024, 3, 4), date(2024, 3, 5)], "lines": [7, 9]})
        >>> odd_dates(days, date(2024, 3, 4))
        ['dates after today, 2024-03-04: 9 lines, the first on 2024-03-05; correct or delete them']
    """
    notes = [f"{found}; models leave that out; {_them(found.lines)}" for found in stray_dates(days)]
    today, day = today or date.today(), pl.col("date").cast(pl.Date)
    count, first = days.filter(day > today).select(pl.col("lines").sum(), day.min().alias("first")).row(0)
    if count:
        lines = f"{count:,} line{'s' * (count > 1)}"
        notes.append(f"dates after today, {today}: {lines}, the first on {first}; {_them(count)}")
    return notes + _thin_days(days)


def _thin_days(days: pl.DataFrame) -> list[str]:
    """A note on days of which most lines seem to be missing."""
    lines, weekday = pl.col("lines"), pl.col("date").dt.weekday()
    usual = lines.rolling_median(_AROUND, min_samples=_LEAST, center=True).over(weekday)
    thin = days.sort("date").with_columns(usual=usual).filter((pl.col("usual") >= _MANY) & (lines < _THIN * usual))
    if thin.is_empty():
        return []
    named = [f"{day:%Y-%m-%d} ({few:,}, usually {many:,.0f})" for day, few, many in thin.head(_NAMED).iter_rows()]
    more = f" and {len(thin) - _NAMED:,} more" if len(thin) > _NAMED else ""
    return [
        f"days with less than a fifth of the lines that are usual on their weekday: {', '.join(named)}{more}; models take "
        "what is missing for low demand: complete them, or leave these days out"
    ]


def _them(lines: int) -> str:
    return "correct or delete it" if lines == 1 else "correct or delete them"

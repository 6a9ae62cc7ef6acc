"""Dates of sale lines that can be read but hardly be meant: they are kept, and said."""

from __future__ import annotations

from datetime import date

import polars as pl

from ..stray_dates import stray_dates


def odd_dates(days: pl.DataFrame, today: date | None = None) -> list[str]:
    """Notes on sale lines far before or after all others, and after today.

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
    return notes


def _them(lines: int) -> str:
    return "correct or delete it" if lines == 1 else "correct or delete them"

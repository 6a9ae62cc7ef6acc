"""The calendar of a market: which dates its periods are."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Calendar:
    """Consecutive periods of equal length, numbered from 0.

    Args:
        first_day: First day of period 0.
        period_days: Length of a period, days.
        periods: Number of periods.

    Raises:
        ValueError: A length or number below 1.

    Example:
        >>> weeks = Calendar(datetime.date(2018, 1, 1), period_days=7, periods=12)
        >>> weeks.period("2018-01-10"), weeks.label(1), weeks.last_day.isoformat()
        (1, '2018-01-08', '2018-03-25')
    """

    first_day: datetime.date
    period_days: int
    periods: int

    def __post_init__(self) -> None:
        for name in ("period_days", "periods"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"calendar: {name} must be a whole number from 1; got {value!r}; fix it")

    @property
    def last_day(self) -> datetime.date:
        """Last day of the last period."""
        return self.first_day + datetime.timedelta(days=self.period_days * self.periods - 1)

    def day(self, period: int) -> datetime.date:
        """First day of a period, which may lie outside the calendar."""
        return self.first_day + datetime.timedelta(days=self.period_days * int(period))

    def period(self, day: datetime.date | str) -> int:
        """The number of the period that holds a day.

        Args:
            day: A date, or its text as YYYY-MM-DD.

        Raises:
            ValueError: The day is no date or lies outside the calendar.
        """
        try:
            date = day if isinstance(day, datetime.date) else datetime.date.fromisoformat(day)
        except (TypeError, ValueError):
            raise ValueError(f"date must be YYYY-MM-DD; got {day!r:.40}; fix it") from None
        number = (date - self.first_day).days // self.period_days
        if not 0 <= number < self.periods:
            raise ValueError(
                f"date must be {self.first_day} to {self.last_day}, the {self.unit} of this market; got {date}; "
                "refresh it with newer tables: repricer refresh"
            )
        return number

    def label(self, period: int) -> str:
        """First day of a period as text, YYYY-MM-DD."""
        return self.day(period).isoformat()

    @property
    def labels(self) -> list[str]:
        """The label of every period."""
        return [self.label(period) for period in range(self.periods)]

    @property
    def unit(self) -> str:
        """What the periods are called: weeks, days or periods."""
        return {7: "weeks", 1: "days"}.get(self.period_days, "periods")

    def to_dict(self) -> dict[str, Any]:
        """The calendar as plain JSON."""
        return {"first_day": self.first_day.isoformat(), "period_days": self.period_days, "periods": self.periods}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Calendar:
        """The calendar of `to_dict`. Raises ValueError, KeyError or TypeError for something else."""
        first = datetime.date.fromisoformat(document["first_day"])
        return cls(first, document["period_days"], document["periods"])

"""What a policy knows of a market in advance: its calendar, products and segments."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .value_added_tax import without_vat


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


# What a policy knows in advance; what it observes in a period is in `observed.py`.


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Facts about products and segments that hold for a whole episode: N products, K
    segments, T periods.

    Args:
        products: N names.
        segments: K names.
        category: (N,) index of each product's category.
        regular_price: (N,) currency per unit.
        unit_cost: (N,) currency per unit.
        segment_elasticity: (K, N) own-price elasticity at the regular price, negative.
        segment_units: (K, N) expected units per period at the regular price, mean over periods.
        forecast_units: (T, N) expected units at the regular price in each period.
        endless: whether the horizon is infinite; an episode is then truncated, and no period
            is the last.
        regimes: names of the Z regimes that a policy observes; empty where there are none or
            they are hidden.
        rivals: whether competitors' prices are observed.
        loyal: whether the segments' loyalty varies and is observed.
        max_order_units: (N,) largest order, units; None where policies do not order.
        max_express_units: (N,) largest express order, units; None where there is no second supplier.
        express_periods: (N,) periods from an express order to its delivery; None where all of them come at once.
        at_once: (2, N) 1 where an order, and an express order, can be sold in the period in which it is placed; None
            where none can.
        backlog: whether customers wait for what is sold out, and pay at once.
        change_window_periods: window in which the price rules count a product's price changes; 0
            where they do not.
        due_periods: D, how many periods ahead policies that order see deliveries one by one; 0
            where the units on order tell as much.
        since_change_periods: up to how many periods since its last price change policies see of a product; 0 for
            none.
        vat: (N,) value added tax that prices hold, a share of the price without it; None for none. Unit costs and all
            money are without it.
        elasticity_error: (N,) posterior standard deviation of the logarithm of the elasticity; None
            where the market has no posterior.
        level_error: (N,) the same of the logarithm of the units sold at regular prices.
        calendar: the dates of the periods; None where they have none.

    Example:
        >>> import repricer
        >>> catalogue = repricer.Market("three-stocks").view.catalogue
        >>> catalogue.num_products, catalogue.num_segments, catalogue.horizon
        (3, 1, 50)
    """

    products: tuple[str, ...]
    segments: tuple[str, ...]
    category: NDArray[np.intp]
    regular_price: NDArray[np.float32]
    unit_cost: NDArray[np.float32]
    segment_elasticity: NDArray[np.float32]
    segment_units: NDArray[np.float32]
    forecast_units: NDArray[np.float32]
    endless: bool = False
    regimes: tuple[str, ...] = ()
    rivals: bool = False
    loyal: bool = False
    max_order_units: NDArray[np.float32] | None = None
    max_express_units: NDArray[np.float32] | None = None
    express_periods: NDArray[np.float32] | None = None
    at_once: NDArray[np.float32] | None = None
    backlog: bool = False
    change_window_periods: int = 0
    due_periods: int = 0
    elasticity_error: NDArray[np.float32] | None = None
    level_error: NDArray[np.float32] | None = None
    calendar: Calendar | None = None
    since_change_periods: int = 0
    vat: NDArray[np.float32] | None = None

    def net(self, price: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shelf prices, or sums of them, without VAT: what the shop keeps of them; products are the last axis."""
        return without_vat(price, self.vat)

    @property
    def shelf_cost(self) -> NDArray[np.float32]:
        """(N,) shelf prices at which a unit earns nothing: its cost and the VAT on it, currency per unit."""
        return self.unit_cost if self.vat is None else self.unit_cost * (1 + self.vat)

    @property
    def num_products(self) -> int:
        """N."""
        return len(self.products)

    @property
    def num_segments(self) -> int:
        """K."""
        return len(self.segments)

    @property
    def horizon(self) -> int:
        """T, in periods."""
        return self.forecast_units.shape[0]

    def amount(self, fact: str) -> int:
        """How much of something policies observe: a number, how many names, or 1 for true; 0 where nothing.

        Args:
            fact: Name of a field of the catalogue.
        """
        return amount_of(getattr(self, fact))


def amount_of(fact: bool | int | tuple[str, ...]) -> int:
    """How much a fact of a catalogue stands for: a number, how many names, or 1 for true.

    Example:
        >>> amount_of(("high", "low")), amount_of(True), amount_of(0)
        (2, 1, 0)
    """
    return len(fact) if isinstance(fact, tuple) else int(fact)

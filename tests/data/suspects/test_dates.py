"""Dates of sale lines that can hardly be meant are said by the import and the check, and are in no week."""

from __future__ import annotations

from datetime import date

import pandas as pd
import polars as pl
import pytest
from repricer.data import import_tables, product_weeks
from repricer.data.stray_dates import stray_dates
from repricer.data.suspects.dates import odd_dates

START = pd.Timestamp("2023-01-02")


def sales_of(weeks: list[int], stray: tuple[str, ...] = (), each: int = 10) -> pd.DataFrame:
    """So many lines on Monday and Saturday of some weeks, and one on each stray day."""
    days = [START + pd.Timedelta(weeks=week, days=day) for week in weeks for day in (0, 5) for _ in range(each // 2)]
    dates = sorted([*days, *map(pd.Timestamp, stray)])
    return pd.DataFrame({"date": dates, "product": "A", "units": 1.0, "price_paid": 2.0, "regular_price": 2.0})


def days_of(sales: pd.DataFrame) -> pl.DataFrame:
    return pl.from_pandas(sales[["date"]]).group_by("date").agg(lines=pl.len())


def test_lines_far_from_all_others_are_stray():
    found = stray_dates(days_of(sales_of(list(range(30)), ("2009-12-28", "2020-12-28", "2034-09-23"))))
    assert [str(one) for one in found] == [
        "2 lines dated 2009-12-28 to 2020-12-28, which lie 105 weeks before all others",
        "1 line dated 2034-09-23, which lies 582 weeks after all others",
    ]


@pytest.mark.parametrize(
    ("weeks", "stray", "each"),
    [
        ([*range(20), *range(50, 90)], (), 10),  # a closure
        ([*range(40), 60], (), 10),  # a shop that has just opened again
        ([0, *range(30, 60)], (), 10),  # or that tried a week before it opened
        (list(range(30)), ("2023-08-20",), 10),  # three weeks
        ([0, 5, 11, 12, 19, 30], (), 2),  # a shop that sells next to nothing has no silence of its own
        ([3], (), 10),
    ],
)
def test_a_closure_leaves_nothing_stray(weeks, stray, each):
    assert stray_dates(days_of(sales_of(weeks, stray, each))) == []
    assert stray_dates(days_of(sales_of([], ()))) == []


@pytest.mark.parametrize("days", [7, 1])
@pytest.mark.parametrize("stray", ["2020-12-28", "2023-12-20", "2034-09-23"])
def test_a_stray_line_changes_no_panel(stray, days):
    good, odd = sales_of(list(range(30))), sales_of(list(range(30)), (stray,))
    with pytest.warns(UserWarning, match=rf"left out 1 line dated {stray}, which lies .* correct or delete it"):
        panel = product_weeks(odd, days=days)
    pd.testing.assert_frame_equal(panel, product_weeks(good, days=days))


def test_days_after_today_are_said():
    days = pl.DataFrame({"date": pd.date_range("2024-03-01", periods=3), "lines": [5, 1, 2]})
    assert odd_dates(days, date(2024, 3, 3)) == []
    assert odd_dates(days, date(2024, 3, 1)) == [
        "dates after today, 2024-03-01: 3 lines, the first on 2024-03-02; correct or delete them"
    ]


def test_the_import_says_odd_dates(write, key):
    sales = sales_of(list(range(30)), ("2020-12-28", "2090-09-23")).assign(basket=range(302))
    _, report = import_tables({"sales": write("sales.csv", sales.to_csv(index=False))}, key=key)
    early, late, future = report.notes
    assert early == (
        "sales: 1 line dated 2020-12-28, which lies 105 weeks before all others; models leave that out; "
        "correct or delete it"
    )
    assert "2090-09-23, which lies 3504 weeks after all others" in late
    assert "dates after today" in future
    assert future.endswith("1 line, the first on 2090-09-23; correct or delete it")
    assert report.kept == {"sales": 302}


def test_days_with_a_fifth_of_the_usual_lines_are_named():
    """A hundred lines a day, ten on Sundays, and nineteen on one Tuesday."""
    dates = pd.date_range("2023-01-02", periods=70)
    lines = [10 if day.day_of_week == 6 else 100 for day in dates]
    days = pl.DataFrame({"date": dates, "lines": lines})
    assert odd_dates(days) == []
    thin = days.with_columns(lines=pl.when(pl.col("date") == pl.lit(dates[29])).then(19).otherwise("lines"))
    (note,) = odd_dates(thin)
    assert note.startswith(
        "days with less than a fifth of the lines that are usual on their weekday: 2023-01-31 (19, usually 100); models"
    )
    assert odd_dates(days.with_columns(pl.col("lines") // 10)) == []  # of few lines, few are nothing unusual

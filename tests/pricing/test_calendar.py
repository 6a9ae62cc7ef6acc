import datetime

import pytest
from repricer.pricing import Calendar

WEEKS = Calendar(datetime.date(2018, 1, 1), period_days=7, periods=12)


def test_every_day_belongs_to_the_period_that_begins_on_or_before_it():
    days = [WEEKS.first_day + datetime.timedelta(days=i) for i in range(84)]
    assert [WEEKS.period(day) for day in days] == [i // 7 for i in range(84)]
    assert [WEEKS.period(WEEKS.label(period)) for period in range(12)] == list(range(12))
    assert WEEKS.labels[-1] == "2018-03-19"
    assert WEEKS.day(12).isoformat() == "2018-03-26"


@pytest.mark.parametrize("day", ["2017-12-31", "2018-03-26", "2018-05-01"])
def test_a_day_outside_is_refused_with_the_days_that_are_covered(day):
    words = f"date must be 2018-01-01 to 2018-03-25, the weeks of this market; got {day}; refresh it with newer tables"
    with pytest.raises(ValueError, match=words + ": repricer refresh$"):
        WEEKS.period(day)


@pytest.mark.parametrize("day", ["monday", "2018-02-30", 3, None])
def test_what_is_no_date_is_refused(day):
    with pytest.raises(ValueError, match="date must be YYYY-MM-DD; got"):
        WEEKS.period(day)


def test_a_calendar_survives_json():
    assert Calendar.from_dict(WEEKS.to_dict()) == WEEKS
    with pytest.raises(ValueError, match="period_days must be a whole number from 1; got 0"):
        Calendar.from_dict(WEEKS.to_dict() | {"period_days": 0})

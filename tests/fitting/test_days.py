"""A shop fitted by day: weekdays and price responses are recovered; what days cannot tell is said."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from repricer.data import DataError
from repricer.fitting import Zone, fit, refit
from repricer.forecasting import PooledRegression
from repricer.tests.fitting.days import WEEKDAYS, daily_shop, elasticities


@pytest.fixture(scope="module")
def shop():
    return daily_shop()


@pytest.fixture(scope="module")
def fitted(shop):
    return fit(shop, shop.products, period="day", forecaster=PooledRegression(), draws=50)


def by_weekday(spec) -> np.ndarray:
    """(7, C) customers of each weekday, Monday first, over those of an average one."""
    rate = spec.arrivals.rate
    mean = np.roll(rate.reshape(-1, 7, rate.shape[1]).mean(axis=0), spec.calendar.first_day.weekday(), axis=0)
    return mean / mean.mean(axis=0)


def test_the_market_is_one_of_days_to_come_with_the_shops_weekdays(fitted):
    calendar = fitted.spec.calendar
    assert (str(calendar.first_day), calendar.period_days, calendar.periods) == ("2024-04-22", 1, 28)
    np.testing.assert_allclose(by_weekday(fitted.spec), np.tile(WEEKDAYS, (2, 1)).T, rtol=0.1)


def test_weekdays_and_elasticities_are_recovered(fitted):
    found = np.array([row["elasticity"] for row in fitted.report["price_response"]])
    assert np.abs(found / elasticities() - 1).mean() < 0.2
    assert fitted.report["unidentified"] == []
    posterior = fitted.spec.posterior
    assert posterior is not None
    assert posterior.arrivals.shape == (50, 28, 2)


def test_forecasts_beat_a_week_over_seven(fitted):
    errors = {row["forecaster"]: row["wape"] for row in fitted.report["proof"]["backtest"]}
    assert errors["pooled-regression"] < 0.8 * errors["moving-average"]


def test_what_days_cannot_tell_is_said(fitted):
    said = " ".join(fitted.report["plan"])
    assert "Sales are taken by day: the share of each weekday" in said
    assert "no season of the year can be known" in said
    assert "last 28 days (there is less than a year of history)" in said
    assert "delivered after 7;" in " ".join(fitted.spec.assumptions)


def test_later_tables_give_the_days_after_them(fitted):
    later = daily_shop(17)
    spec = refit(later, fitted.report["refit"]).spec
    assert str(spec.calendar.first_day) == "2024-04-29"
    assert spec.market.horizon_periods == 28


def test_a_shop_that_is_closed_on_sundays_stays_closed(shop):
    sales = shop.sales[shop.sales["date"].dt.day_of_week != 6]
    spec, report, _ = fit(
        replace(shop, sales=sales), shop.products, period="day", forecaster=PooledRegression(), draws=4
    )
    assert (by_weekday(spec)[6] < 0.01).all()
    assert "never sold anything on Sundays" in " ".join(report["plan"])


def test_what_cannot_be_fitted_by_day_is_refused_in_one_line(shop):
    sums = shop.sales.assign(date=lambda rows: rows["date"] - pd.to_timedelta(rows["date"].dt.day_of_week, unit="D"))
    for tables, how, said in (
        (shop, {"period": "hour"}, "period must be one of week, day; got 'hour'"),
        (shop, {"period": "day", "zone": Zone("a", {"a": ["s"]})}, "price zones must be fitted by week"),
        (replace(shop, sales=sums), {"period": "day"}, "got one date a week (2024-01-01, 2024-01-08 ...)"),
        (daily_shop(7), {"period": "day"}, "sales must cover at least 8 weeks; got 7"),
    ):
        with pytest.raises((DataError, ValueError)) as refused:
            fit(tables, shop.products, **how)
        assert said in str(refused.value)

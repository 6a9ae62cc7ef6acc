"""Alarms against series whose changes are known, and against series without any."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from repricer.forecasting.alarms import LEARNING_WEEKS, Limits, find_alarms, series_alarms, weekly_series

pytestmark = pytest.mark.filterwarnings("error")

START = pd.Timestamp("2020-01-06")
WEEK = pd.Timedelta(days=7)


def long_table(values: np.ndarray, name: str = "index") -> pd.DataFrame:
    """One series for each row of `values`."""
    many, weeks = values.shape
    return pd.DataFrame(
        {
            "name": np.repeat([f"{name}{number:03d}" for number in range(many)], weeks),
            "week": np.tile(pd.date_range(START, periods=weeks, freq="7D"), many),
            "value": values.ravel(),
            "product": "",
            "explained": 0.0,
        }
    )


def quiet(kind: str, many: int, weeks: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(many, weeks))
    if kind == "season":
        return 2 * np.sin(2 * np.pi * (np.arange(weeks) / 52.18 + rng.random((many, 1)))) + noise
    if kind == "growth":
        return 0.1 * np.arange(weeks) + noise
    memory = {"white": 0.0, "autocorrelated": 0.6, "walk": 1.0}[kind]
    series = noise.copy()
    for week in range(1, weeks):
        series[:, week] += memory * series[:, week - 1]
    return series


def number(alarms: pd.DataFrame) -> pd.Series:
    return (alarms["week"] - START) // WEEK


@pytest.mark.parametrize("kind", ["white", "autocorrelated", "walk", "season", "growth"])
@pytest.mark.parametrize("rate", [0.2, 1.0])
def test_false_alarms_are_as_few_as_stated(kind, rate):
    many, weeks = 100, 116
    found = series_alarms(long_table(quiet(kind, many, weeks, seed=3)), false_alarms_per_year=rate)
    years = many * (weeks - LEARNING_WEEKS) / 52.18
    assert 0.2 * rate < len(found) / years < 1.1 * rate
    # The year in which least is known yet, too.
    first = (number(found) < LEARNING_WEEKS + 52).sum() / (many * 52 / 52.18)
    assert first < 1.25 * rate


@pytest.mark.parametrize(("size", "share", "delay"), [(2.0, 0.45, 4), (3.0, 0.8, 2), (5.0, 0.95, 1)])
def test_shifts_are_found_in_time(size, share, delay):
    values = quiet("white", 100, 70, seed=4)
    values[:, 40:] += size
    found = series_alarms(long_table(values))
    after = found[(number(found) >= 40) & (found["kind"] != "spike")]
    weeks = number(after).groupby(after["signal"]).min().reindex(pd.unique(long_table(values)["name"])) - 40
    assert (weeks <= 8).mean() > share
    assert weeks.median() <= delay
    assert (after["size"] > 0).mean() > 0.95
    assert (after.groupby("signal")["kind"].first() == "level shift").mean() > 0.85


def test_change_is_dated():
    values = quiet("white", 100, 60, seed=5)
    values[:, 40:] += 4
    found = series_alarms(long_table(values))
    first = found[(number(found) >= 40) & (found["kind"] == "level shift")].groupby("signal").first()
    assert (first["since"] == START + 40 * WEEK).mean() > 0.7
    assert first["before"].median() == pytest.approx(0, abs=0.2)
    assert first["after"].median() == pytest.approx(4, abs=0.5)
    assert first["size"].median() == pytest.approx(4, abs=1)


def test_spike_alarms_at_once_and_does_not_deafen():
    values = quiet("white", 60, 60, seed=6)
    values[:, [30, 50]] += 7
    found = series_alarms(long_table(values))
    for week in (30, 50):
        kinds = found.loc[number(found) == week, "kind"]
        assert len(kinds) >= 57
        assert (kinds == "spike").mean() > 0.9
    assert number(found).isin([30, 50]).mean() > 0.8


def test_lasting_slope_is_a_trend():
    values = quiet("white", 60, 60, seed=7)
    values[:, 30:] -= 0.8 * np.arange(30)
    found = series_alarms(long_table(values))
    after = found[number(found) > 30]
    assert after.groupby("signal").ngroups >= 57
    trends = after[after["kind"] == "trend"]
    assert trends.groupby("signal").ngroups >= 0.6 * 60
    assert (trends["size"] < 0).all()


def test_no_later_week_changes_an_alarm():
    """One-sided: what was raised by a week is the same whatever comes after it."""
    values = quiet("autocorrelated", 10, 80, seed=8)
    values[:, 45:] += 4
    whole = series_alarms(long_table(values), false_alarms_per_year=1)
    assert len(whole) > 10
    for end in (46, 48, 60):
        changed = values.copy()
        changed[:, end:] = 1e6
        earlier = whole[number(whole) < end].reset_index(drop=True)
        for later in (values[:, :end], changed):
            found = series_alarms(long_table(later), false_alarms_per_year=1)
            pd.testing.assert_frame_equal(found[number(found) < end].reset_index(drop=True), earlier)


def test_rows_come_in_any_order():
    table = long_table(np.exp(quiet("walk", 5, 60, seed=9)))
    found = series_alarms(table, false_alarms_per_year=2)
    assert len(found) > 0
    pd.testing.assert_frame_equal(series_alarms(table.sample(frac=1, random_state=0), false_alarms_per_year=2), found)


@pytest.mark.parametrize("factor", [1e-4, 130.0])
def test_another_currency_changes_only_amounts(factor):
    prices = 5 * np.exp(0.02 * quiet("white", 8, 60, seed=10))
    prices[:, 50:] *= 0.9
    for name in ("competitor_price", "index"):
        table = long_table(prices).assign(name=name, product=lambda rows: rows.groupby("week").cumcount().astype(str))
        found = series_alarms(table)
        other = series_alarms(table.assign(value=table["value"] * factor))
        assert len(found) >= 8
        pd.testing.assert_frame_equal(other[["product", "week", "kind"]], found[["product", "week", "kind"]])
        np.testing.assert_allclose(other["size"], found["size"], rtol=1e-3)
        np.testing.assert_allclose(other["before"], factor * found["before"], rtol=1e-4)


def test_price_that_never_moved_breaks():
    prices = np.full((1, 40), 9.99)
    prices[0, 30:] = 7.99
    found = series_alarms(long_table(prices).assign(name="competitor_price", product="jam"))
    assert found["week"].iloc[0] == START + 30 * WEEK
    assert found["after"].iloc[0] == pytest.approx(7.99)
    assert "competitor_price of jam fell to 7.99" in found["sentence"].iloc[0]
    assert series_alarms(long_table(np.full((1, 40), 9.99))).empty
    assert series_alarms(long_table(np.zeros((1, 40)))).empty
    rounding = np.tile([9.99, 10.0], 20)[None]
    assert series_alarms(long_table(rounding).assign(name="competitor_price")).empty


def test_panel_gives_its_signals(panel):
    rng = np.random.default_rng(0)
    weeks = panel["week"].unique()
    news = pd.Series(np.where(np.arange(40) < 35, 0.0, 9.0) + rng.normal(0, 1, 40), weeks)
    sold_out = (panel["product"] == "p00") & (panel["week"] == weeks[30])
    wide = panel.assign(signal_news=panel["week"].map(news), stockout=sold_out, views=20.0)
    wide.loc[sold_out, "units"] = 0.0
    wide.loc[(wide["product"] == "p01") & (wide["week"] == weeks[30]), "units"] = 2000.0
    series = weekly_series(wide)
    assert set(series["name"]) == {"units", "traffic", "signal_news", "views"}
    assert (series[series["name"] == "traffic"].groupby("week").size() == 1).all()
    found = find_alarms(wide)
    raised = set(zip(found["signal"], found["product"], found["week"], strict=True))
    assert ("signal_news", "", weeks[35]) in raised
    assert ("units", "p01", weeks[30]) in raised
    assert not any(product == "p00" and week == weeks[30] for _, product, week in raised)


def test_a_week_in_which_the_shop_was_closed_raises_no_alarm_of_its_products(panel):
    closed = panel["week"] == panel["week"].unique()[30]
    shut = panel.assign(units=panel["units"].where(~closed, 0.0), traffic=panel["traffic"].where(~closed, 0.0))
    pd.testing.assert_frame_equal(find_alarms(shut), find_alarms(panel[~closed]))


def test_units_that_follow_the_shops_own_reductions_are_no_alarm(simulate):
    panel = simulate(n_products=20, n_weeks=60, elasticity=-3.0, noise=0.1, seed=2)
    explained = find_alarms(panel)
    blind = find_alarms(panel.drop(columns=["price", "regular_price"]))
    share = {name: (table["signal"] == "units").sum() for name, table in (("own", explained), ("blind", blind))}
    assert share["own"] < share["blind"]


def test_yearly_peak_is_named():
    values = quiet("white", 1, 120, seed=11)
    values[0, [40, 92]] += 9
    sentences = series_alarms(long_table(values)).set_index("week")["sentence"]
    assert "a year ago" not in sentences[START + 40 * WEEK]
    assert sentences[START + 92 * WEEK].endswith("It did the same a year ago.")


def test_limits_are_the_textbook_ones():
    """Of a nominal rate of one in 370.4 weeks for the single error: three standard deviations."""
    nominal = 52.1775 * 2 * 3 * 0.0026998
    assert Limits.of_rate(nominal).error == pytest.approx(3.0, abs=1e-3)
    assert Limits.of_rate(0.1).cusum > Limits.of_rate(1.0).cusum


def test_mistakes(panel):
    with pytest.raises(ValueError, match=r"false_alarms_per_year must lie in \(0, 12\]; got 0"):
        find_alarms(panel, false_alarms_per_year=0)
    with pytest.raises(ValueError, match="column 'traffic' is missing"):
        find_alarms(panel.drop(columns="traffic"))
    with pytest.raises(ValueError, match="one row for each product and week is allowed; got duplicates"):
        find_alarms(pd.concat([panel] * 2))
    assert series_alarms(long_table(np.ones((1, LEARNING_WEEKS)))).empty

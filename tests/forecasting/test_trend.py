from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from repricer.forecasting import MarketTrend
from repricer.forecasting.trend import _noise

pytestmark = pytest.mark.filterwarnings("error")

CANDIDATES = ["moving average", "naive", "support vectors", "random forest"]


def with_traffic(panel: pd.DataFrame, traffic: np.ndarray) -> pd.DataFrame:
    weeks = panel["week"].unique()
    return panel.assign(traffic=panel["week"].map(dict(zip(weeks, traffic, strict=True))))


def one_product(traffic: np.ndarray, **columns: np.ndarray) -> pd.DataFrame:
    weeks = pd.date_range("2023-01-02", periods=len(traffic), freq="7D")
    fixed = {"product": "a", "week": weeks, "units": 10.0, "price": 2.0, "regular_price": 2.0, "discount_share": 0.0}
    return pd.DataFrame({**fixed, "traffic": traffic, **columns})


def wide(panel: pd.DataFrame) -> pd.DataFrame:
    """The panel with every optional column."""
    rng = np.random.default_rng(0)
    count = len(panel)
    known = panel["week"] > panel["week"].unique()[5]
    return panel.assign(
        promotion=(rng.random(count) < 0.3).astype(float),
        holiday=(panel["week"].dt.day < 8).astype(float),
        competitor_price=(panel["price"] * rng.uniform(0.9, 1.1, count)).where(known),
        views=rng.poisson(50, count).astype(float),
        carts=rng.poisson(5, count).astype(float),
        rating=rng.uniform(3, 5, count),
        signal_news=panel["week"].dt.day.astype(float),
        stockout=False,
    )


@pytest.fixture(scope="module")
def trend(panel):
    return MarketTrend(n_estimators=10).fit(panel)


def test_rolls_forward_without_gaps(panel, trend):
    path = trend.roll(30)
    assert list(path) == ["week", "traffic", "low", "high"]
    assert path.notna().all(axis=None)
    assert (path["week"].diff().dropna() == pd.Timedelta(days=7)).all()
    assert path["week"].iloc[0] == panel["week"].max() + pd.Timedelta(days=7)
    assert ((path["low"] <= path["traffic"]) & (path["traffic"] <= path["high"])).all()
    assert (path["low"] > 0).all()
    wider = trend.roll(30, level=0.95)
    assert (wider["high"] - wider["low"] > path["high"] - path["low"]).all()


def test_is_deterministic_and_does_not_depend_on_row_order(panel, trend):
    again = MarketTrend(n_estimators=10).fit(panel.sample(frac=1, random_state=0))
    pd.testing.assert_frame_equal(again.roll(5), trend.roll(5))
    pd.testing.assert_frame_equal(again.scores_, trend.scores_)
    pd.testing.assert_frame_equal(trend.roll(9)[:5], trend.roll(9)[:5])
    assert not MarketTrend(n_estimators=10, seed=1).fit(panel).roll(5).equals(trend.roll(5))


def test_no_later_week_changes_a_past_forecast(panel):
    """One-sided: the rolling-origin errors of a week are the same whatever came after it."""
    rows = wide(panel)
    weeks = panel["week"].unique()
    changed = rows.copy()
    later = changed["week"] >= weeks[34]
    columns = ["price", "units", "traffic", "competitor_price", "views", "carts", "rating", "signal_news", "promotion"]
    changed.loc[later, columns] = changed.loc[later, columns] * 3 + 1
    before, after = (MarketTrend(n_estimators=10).fit(table).errors_ for table in (rows, changed))
    pd.testing.assert_frame_equal(before.loc[: weeks[33]], after.loc[: weeks[33]])
    assert not before.loc[weeks[34] :].equals(after.loc[weeks[34] :])


def test_unit_of_traffic_and_currency_are_irrelevant(panel):
    rows = wide(panel)
    path = MarketTrend(n_estimators=10).fit(rows).roll(5)
    eight = MarketTrend(n_estimators=10).fit(rows.assign(traffic=rows["traffic"] * 8)).roll(5)
    np.testing.assert_allclose(eight["traffic"], 8 * path["traffic"], rtol=1e-6)
    money = ["price", "regular_price", "competitor_price"]
    other = MarketTrend(n_estimators=10).fit(rows.assign(**{column: rows[column] * 128 for column in money})).roll(5)
    np.testing.assert_allclose(other["traffic"], path["traffic"], rtol=1e-6)


def test_leaves_the_range_that_it_saw(panel):
    """A shop that grows by 2% a week goes on growing, which a forest on levels could not; one that shrinks, likewise."""
    rng = np.random.default_rng(0)
    for slope in (0.02, -0.02):
        course = 1000 * np.exp(slope * np.arange(40) + rng.normal(0, 0.005, 40))
        trend = MarketTrend(n_estimators=10).fit(with_traffic(panel, course))
        path = trend.roll(12)
        assert path["traffic"].iloc[-1] == pytest.approx(course[-1] * np.exp(slope * 12), rel=0.06)
        scores = trend.scores_.set_index("candidate")["mae"]
        assert scores[["random forest", "support vectors"]].min() < 0.6 * scores["moving average"]
        assert trend.chosen_ in ("random forest", "support vectors")


def autoregression(memory: float, rng: np.random.Generator, weeks: int) -> np.ndarray:
    log = np.zeros(weeks)
    for week in range(1, weeks):
        log[week] = memory * log[week - 1] + rng.normal(0, 0.05)
    return 1000 * np.exp(log)


@pytest.mark.parametrize("memory", [0.0, 0.7, 1.0])
def test_intervals_cover_what_comes(memory):
    inside = []
    for seed in range(10):
        traffic = autoregression(memory, np.random.default_rng(100 + seed), 64)
        path = MarketTrend(n_estimators=5).fit(one_product(traffic[:52])).roll(12)
        inside.append((traffic[52:] > path["low"]) & (traffic[52:] < path["high"]))
    assert np.mean(inside) == pytest.approx(0.8, abs=0.13)


def test_score_compares_with_known_forecasts(panel):
    alternating = np.where(np.arange(40) % 2, 900.0, 1100.0)
    trend = MarketTrend(n_estimators=10).fit(with_traffic(panel, alternating))
    table = trend.scores_.set_index("candidate")
    assert list(table.index) == CANDIDATES
    assert table.loc["naive", "mae"] == pytest.approx(200)
    assert table.loc["moving average", "mae"] == pytest.approx(100)
    assert table.loc["random forest", "mae"] < 40
    assert table["chosen"].sum() == 1
    assert table["mae"].idxmin() == trend.chosen_ == table.index[table["chosen"]].item()
    assert (table["weeks"] == len(trend.errors_)).all()


def test_model_is_not_chosen_on_noise():
    chosen = [
        MarketTrend(n_estimators=10).fit(one_product(autoregression(0.0, np.random.default_rng(seed), 52))).chosen_
        for seed in range(8)
    ]
    assert chosen.count("moving average") >= 6


def test_outside_signal_that_leads_is_used():
    """Traffic follows last week's bad news: the models see it, the flat forecasts cannot."""
    rng = np.random.default_rng(3)
    news = rng.normal(0, 1, 70)
    traffic = 1000 * np.exp(-0.1 * np.r_[0.0, news[:-1]] + rng.normal(0, 0.01, 70))
    with_news = MarketTrend(n_estimators=10).fit(one_product(traffic, signal_news=news))
    without = MarketTrend(n_estimators=10).fit(one_product(traffic))
    best = with_news.scores_.set_index("candidate")["mae"]
    assert best.min() < 0.75 * without.scores_["mae"].min()
    assert with_news.chosen_ in ("random forest", "support vectors")


def test_every_optional_column_enters_and_is_rolled(panel):
    trend = MarketTrend(n_estimators=10).fit(wide(panel))
    drivers = {"log_price", "discount_share", "competitor", "views", "carts", "rating", "signal_news"}
    assert set(trend.history_) == {"traffic", "promotion", "holiday"} | drivers
    paths = trend.sample_paths(6, 50)
    assert paths.traffic.shape == (50, 6)
    assert set(paths.drivers) == drivers
    assert all(path.shape == (50, 6) and np.isfinite(path).all() for path in paths.drivers.values())
    news = trend.history_["signal_news"]
    assert paths.drivers["signal_news"].mean() == pytest.approx(news.mean(), abs=2 * news.std())


def test_planned_holidays_are_followed():
    rng = np.random.default_rng(4)
    traffic = 1000 * np.exp(0.3 * (np.arange(80) % 8 == 0) + rng.normal(0, 0.01, 80))
    feast = (np.arange(80) % 8 == 0).astype(float)
    trend = MarketTrend(n_estimators=10, lags=3).fit(one_product(traffic, holiday=feast))
    weeks = trend.roll(3)["week"]
    planned = pd.DataFrame({"week": weeks, "holiday": [0.0, 1.0, 0.0]})
    assert trend.roll(3, planned=planned)["traffic"][1] > 1.15 * trend.roll(3)["traffic"][1]


def test_plans_are_averaged_like_the_past(panel):
    rows = wide(panel)
    weeks = rows["week"].unique()
    trend = MarketTrend(n_estimators=5).fit(rows[rows["week"] < weeks[36]])
    ahead = trend._plan(4, rows[rows["week"] >= weeks[36]])
    whole = MarketTrend(n_estimators=5).fit(rows).history_
    np.testing.assert_allclose(ahead["promotion"].iloc[-4:], whole["promotion"].iloc[-4:], atol=0.05)
    np.testing.assert_array_equal(ahead["holiday"].iloc[-4:], whole["holiday"].iloc[-4:])


def test_shock_is_that_of_the_series():
    """The paths of an autoregression around a mean have its memory and no more than its spread, to a scenario's use."""
    rng = np.random.default_rng(5)
    walk = MarketTrend(n_estimators=10).fit(one_product(autoregression(1.0, rng, 80))).sample_paths(12).shock()
    white = MarketTrend(n_estimators=10).fit(one_product(autoregression(0.0, rng, 80))).sample_paths(12).shock()
    assert walk.multiplier.shape == (12,)
    assert white.multiplier == pytest.approx(np.ones(12), abs=0.08)
    assert white.volatility == pytest.approx(0.05, abs=0.025)
    assert walk.volatility > 1.5 * white.volatility
    assert 0 <= white.persistence < walk.persistence < 1


def test_mistakes(panel):
    with pytest.raises(ValueError, match="the trend needs 11 weeks with lags=4; got 10"):
        MarketTrend().fit(panel[panel["week"] < panel["week"].unique()[10]])
    with pytest.raises(ValueError, match="lags must be 1 week or more; got 0"):
        MarketTrend(lags=0).fit(panel)
    with pytest.raises(ValueError, match="traffic must be positive"):
        MarketTrend().fit(with_traffic(panel, np.r_[0.0, np.ones(39)]))
    with pytest.raises(ValueError, match="horizon and n_paths must be 1 or more; got 0 and 1000"):
        MarketTrend(n_estimators=5).fit(panel).sample_paths(0)


def test_a_long_closure_tells_nothing_and_is_no_shock(panel):
    """A shop closed for 20 of its 72 weeks: neither the silence nor the level after it enters the shocks."""
    rng = np.random.default_rng(0)
    traffic = 500 * np.exp(rng.normal(0, 0.1, 72))
    traffic[45:] *= 2
    traffic[25:45] = 0
    history = one_product(traffic)
    trend = MarketTrend(n_estimators=10).fit(history)
    weeks = history["week"]
    assert list(trend.silent_) == list(weeks[25:47])  # and the two after it of which the window is mostly closed
    assert trend.errors_.index.min() > weeks[10]
    assert not trend.errors_.index.isin(trend.silent_).any()
    assert trend.sample_paths(8).shock().volatility < 0.2
    # A year later, the closed weeks stand for nothing.
    assert not trend._last_year(np.ones((1, 80)), weeks[30] + pd.Timedelta(weeks=52)).any()


def test_a_shop_that_was_hardly_open_has_no_trend():
    traffic = np.where(np.arange(40) % 12 == 0, 100.0, 0.0)
    with pytest.raises(ValueError, match="needs 11 weeks with lags=4; got 4 in which the shop was open"):
        MarketTrend().fit(one_product(traffic))


def test_by_day_the_market_is_as_uncertain_as_the_weeks_are():
    """A day is like the one before it, as of the same week: what repeats it ended far from every week of the past."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        level = np.exp(0.1 * rng.standard_normal(12)).repeat(7)
        days = pd.date_range("2023-01-02", periods=84, freq="D")
        panel = one_product(np.round(1000 * level * np.exp(0.05 * rng.standard_normal(84)))).assign(week=days)
        trend = MarketTrend(lags=28, n_estimators=10).fit(panel)
        assert 0.05 < trend.sample_paths(28).shock().volatility < 0.25


def test_errors_as_factors_have_a_mean_of_one():
    """Up and down by a factor of three, they would otherwise make traffic grow by two thirds each week."""
    errors = np.log(np.array([3.0, 1 / 3] * 6))
    assert np.exp(_noise(errors, 1)).mean() == pytest.approx(1.0)
    growing = _noise(0.5 + 0.01 * errors, 1)
    assert growing.mean() == pytest.approx(0.5, abs=0.01)

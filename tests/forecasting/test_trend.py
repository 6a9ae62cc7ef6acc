from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from repricer.forecasting import MarketTrend

pytestmark = pytest.mark.filterwarnings("error")


def with_traffic(panel: pd.DataFrame, traffic: np.ndarray) -> pd.DataFrame:
    weeks = panel["week"].unique()
    return panel.assign(traffic=panel["week"].map(dict(zip(weeks, traffic, strict=True))))


@pytest.fixture(scope="module")
def trend(panel):
    return MarketTrend(n_estimators=50).fit(panel)


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
    again = MarketTrend(n_estimators=50).fit(panel.sample(frac=1, random_state=0))
    pd.testing.assert_frame_equal(again.roll(5), trend.roll(5))
    pd.testing.assert_frame_equal(trend.roll(9)[:5], trend.roll(9)[:5])
    assert not MarketTrend(n_estimators=50, seed=1).fit(panel).roll(5).equals(trend.roll(5))


def test_unit_of_traffic_is_irrelevant(panel, trend):
    path = MarketTrend(n_estimators=50).fit(panel.assign(traffic=panel["traffic"] * 8)).roll(5)
    np.testing.assert_allclose(path["traffic"], 8 * trend.roll(5)["traffic"], rtol=1e-6)


def test_leaves_the_range_that_it_saw(panel):
    """A shop that grows by 2% a week goes on growing, which a forest on levels could not."""
    rng = np.random.default_rng(0)
    growth = 1000 * np.exp(0.02 * np.arange(40) + rng.normal(0, 0.005, 40))
    trend = MarketTrend(n_estimators=50).fit(with_traffic(panel, growth))
    expected = growth[-1] * np.exp(0.02 * 12)
    path = trend.roll(12)
    assert path["traffic"].iloc[-1] > 1.15 * growth.max()
    assert path["traffic"].iloc[-1] == pytest.approx(expected, rel=0.05)
    assert trend.score_.forest < 0.6 * trend.score_.moving_average


def test_intervals_cover_what_comes(panel):
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(8):
        traffic = 1000 * np.exp(rng.normal(0, 0.05, 52))
        trend = MarketTrend(n_estimators=30).fit(with_traffic(panel, traffic[:40]))
        path = trend.roll(12)
        inside += list((traffic[40:] > path["low"]) & (traffic[40:] < path["high"]))
    assert np.mean(inside) == pytest.approx(0.8, abs=0.12)


def test_score_compares_with_known_forecasts(panel):
    alternating = np.where(np.arange(40) % 2, 900.0, 1100.0)
    score = MarketTrend(n_estimators=30).fit(with_traffic(panel, alternating)).score_
    assert score.naive == pytest.approx(200)
    assert score.moving_average == pytest.approx(100)
    assert score.forest < 30


def test_mistakes(panel):
    with pytest.raises(ValueError, match="the trend needs 16 weeks with lags=4; got 15"):
        MarketTrend().fit(panel[panel["week"] < panel["week"].unique()[15]])
    with pytest.raises(ValueError, match="lags must be 1 week or more; got 0"):
        MarketTrend(lags=0).fit(panel)
    with pytest.raises(ValueError, match="traffic must be positive"):
        MarketTrend().fit(with_traffic(panel, np.r_[0.0, np.ones(39)]))

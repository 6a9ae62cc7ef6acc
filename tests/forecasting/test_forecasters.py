from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from repricer.forecasting import Forecaster, MovingAverage, Sarimax, SeasonalNaive
from sklearn.base import clone

FORECASTERS = [
    MovingAverage(),
    SeasonalNaive(season_length=8),
    Sarimax(),
    Sarimax(order=(1, 1, 0), fourier_pairs=0),
]
AHEAD = 6

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(params=FORECASTERS, ids=lambda forecaster: repr(forecaster)[:30])
def forecaster(request) -> Forecaster:
    return clone(request.param)


@pytest.fixture
def parts(panel, split):
    history, future = split(panel, AHEAD)
    return history, future.drop(columns="units")


class TestContract:
    def test_shape_sign_and_order(self, forecaster, parts):
        history, future = parts
        forecast = forecaster.fit(history).predict(future, quantiles=(0.9, 0.1, 0.5))
        assert list(forecast) == ["product", "week", "mean", "q0.1", "q0.5", "q0.9"]
        pd.testing.assert_frame_equal(forecast[["product", "week"]], future[["product", "week"]].reset_index(drop=True))
        assert forecast.notna().all(axis=None)
        assert (forecast[["mean", "q0.1"]] >= 0).all(axis=None)
        assert (forecast["q0.1"] <= forecast["q0.5"]).all()
        assert (forecast["q0.5"] <= forecast["q0.9"]).all()
        assert forecaster.failures_ == {}

    def test_a_later_price_changes_no_earlier_forecast(self, forecaster, parts):
        history, future = parts
        model = forecaster.fit(history)
        cut = future["week"].unique()[2]
        changed = future.copy()
        later = changed["week"] > cut
        changed.loc[later, ["price", "regular_price", "traffic"]] *= 0.5
        before, after = model.predict(future), model.predict(changed)
        seen = before["week"] <= cut
        pd.testing.assert_frame_equal(before[seen], after[seen])

    def test_a_week_alone_is_forecast_as_among_others(self, forecaster, parts):
        history, future = parts
        model = forecaster.fit(history)
        last = future["week"] == future["week"].max()
        together = model.predict(future)
        alone = model.predict(future[last])
        expected = together[together["week"] == future["week"].max()].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, expected)

    def test_row_order_is_irrelevant(self, forecaster, parts):
        history, future = parts
        expected = clone(forecaster).fit(history).predict(future)
        shuffled = clone(forecaster).fit(history.sample(frac=1, random_state=1))
        pd.testing.assert_frame_equal(shuffled.predict(future.sample(frac=1, random_state=2)), expected)

    def test_products_do_not_influence_each_other(self, forecaster, parts):
        history, future = parts
        expected = clone(forecaster).fit(history).predict(future)
        few = ["p00", "p03"]
        alone = clone(forecaster).fit(history[history["product"].isin(few)])
        actual = alone.predict(future[future["product"].isin(few)])
        pd.testing.assert_frame_equal(actual, expected[expected["product"].isin(few)].reset_index(drop=True))

    def test_currency_changes_no_units(self, forecaster, parts):
        history, future = parts
        prices = ["price", "regular_price"]
        expected = clone(forecaster).fit(history).predict(future)
        cents = [part.assign(**{name: part[name] * 100 for name in prices}) for part in parts]
        actual = clone(forecaster).fit(cents[0]).predict(cents[1])
        pd.testing.assert_frame_equal(actual, expected, rtol=1e-4)

    def test_fit_forgets_the_fit_before(self, forecaster, parts):
        history, future = parts
        expected = clone(forecaster).fit(history).predict(future)
        forecaster.fit(history.assign(units=1.0))
        pd.testing.assert_frame_equal(forecaster.fit(history).predict(future), expected)

    def test_nothing_ever_sold(self, forecaster, parts):
        history, future = parts
        idle = history.assign(units=history["units"].where(history["product"] != "p01", 0.0))
        model = forecaster.fit(idle)
        assert model.failures_ == {"p01": "nothing was ever sold"}
        forecast = model.predict(future)
        assert (forecast.loc[forecast["product"] == "p01", ["mean", "q0.975"]] == 0).all(axis=None)


class TestMistakes:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda h: h.drop(columns="price"), "panel: column 'price' is missing"),
            (lambda h: h.iloc[:0], "at least one row"),
            (lambda h: pd.concat([h, h.iloc[:1]]), "one row for each product and week"),
            (lambda h: h.assign(units=-1.0), "units must be given, finite and not negative"),
            (lambda h: h.assign(traffic=np.nan), "traffic must be given"),
            (lambda h: h.assign(price=np.inf), "price must be given, finite"),
        ],
    )
    def test_panel(self, parts, change, message):
        with pytest.raises(ValueError, match=message):
            MovingAverage().fit(change(parts[0]))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda f: f.replace({"product": {"p01": "new"}}), "must have been fitted; got 'new'"),
            (lambda f: f.assign(price=0.0), "price and regular_price must be positive"),
            (lambda f: f.assign(week=f["week"] - pd.Timedelta(days=7 * AHEAD)), "weeks must follow 2023"),
            (lambda f: f.assign(week=f["week"] + pd.Timedelta(days=1)), "in steps of 7 days"),
        ],
    )
    def test_future(self, parts, change, message):
        with pytest.raises(ValueError, match=message):
            MovingAverage().fit(parts[0]).predict(change(parts[1]))

    def test_quantiles(self, parts):
        with pytest.raises(ValueError, match="strictly between 0 and 1"):
            MovingAverage().fit(parts[0]).predict(parts[1], quantiles=[0.5, 1.0])

    def test_window_and_season(self, parts):
        with pytest.raises(ValueError, match="window must be 1 week or more; got 0"):
            MovingAverage(window=0).fit(parts[0])
        with pytest.raises(ValueError, match="season_length must be 1 week or more; got 0"):
            SeasonalNaive(season_length=0).fit(parts[0])


class TestNaive:
    @pytest.fixture
    def ramp(self, panel):
        one = panel[panel["product"] == "p00"]
        return one.assign(units=np.arange(1.0, len(one) + 1))

    def test_moving_average(self, ramp, split):
        history, future = split(ramp, 3)
        forecast = MovingAverage(window=4).fit(history).predict(future)
        last = history["units"].iloc[-1]
        np.testing.assert_allclose(forecast["mean"], last - 1.5)
        # On a ramp the error is 1.5 and one more for each step ahead, whatever the quantile.
        np.testing.assert_allclose(forecast["q0.1"], last + np.arange(1, 4), rtol=0.05)

    def test_seasonal_naive_repeats_the_season(self, ramp, split):
        history, future = split(ramp, 10)
        forecast = SeasonalNaive(season_length=8).fit(history).predict(future)
        season = history["units"].to_numpy()[-8:]
        np.testing.assert_allclose(forecast["mean"], np.tile(season, 2)[:10])
        np.testing.assert_allclose(forecast["q0.5"], forecast["mean"] + 8)

    def test_short_history_falls_back_on_the_last_value(self, ramp, split):
        history, future = split(ramp, 3)
        model = SeasonalNaive(season_length=52).fit(history)
        assert model.failures_ == {"p00": f"{len(history)} weeks of history, the season has 52"}
        np.testing.assert_allclose(model.predict(future)["mean"], history["units"].iloc[-1])

    def test_one_week_of_history(self, ramp):
        model = MovingAverage().fit(ramp.iloc[:1])
        np.testing.assert_allclose(model.predict(ramp.iloc[1:3])[["mean", "q0.1", "q0.9"]], 1.0)

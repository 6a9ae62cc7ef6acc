from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from repricer.forecasting import (
    ExponentialSmoothing,
    Forecaster,
    Intermittent,
    LogLogRegression,
    Lstm,
    MovingAverage,
    Newcomers,
    PooledRegression,
    Sarimax,
    SeasonalNaive,
    Selected,
)
from sklearn.base import clone

ALONE = [
    MovingAverage(),
    SeasonalNaive(season_length=8),
    ExponentialSmoothing(),
    Intermittent(),
    Sarimax(),
    Sarimax(order=(1, 1, 0), fourier_pairs=0),
]
LSTM = Lstm(steps=15, seeds=2)
POOLING = [
    PooledRegression(),
    LSTM,
    LogLogRegression(),
    Newcomers(),
    Selected(
        {"average": MovingAverage(), "smoothing": ExponentialSmoothing(), "pooled": PooledRegression()},
        combine=2,
        horizon=3,
    ),
]
AHEAD = 6

pytestmark = pytest.mark.filterwarnings("error")


def name(forecaster: Forecaster) -> str:
    return repr(forecaster)[:30]


@pytest.fixture(params=[*ALONE, *POOLING], ids=name)
def forecaster(request) -> Forecaster:
    return clone(request.param)


@pytest.fixture(scope="module")
def panel(simulate) -> pd.DataFrame:
    """As few products as all forecasters take: the contract fits each of them again and again."""
    return simulate(n_products=5, seed=2)


@pytest.fixture
def parts(panel, split):
    history, future = split(panel, AHEAD)
    return history, future.drop(columns="units")


@pytest.fixture(scope="module")
def models() -> dict[str, Forecaster]:
    return {}


@pytest.fixture
def fitted(forecaster, parts, models) -> Forecaster:
    """The forecaster fitted to the history, once for all tests that only predict."""
    if repr(forecaster) not in models:
        models[repr(forecaster)] = clone(forecaster).fit(parts[0])
    return models[repr(forecaster)]


class TestContract:
    def test_shape_sign_and_order(self, fitted, parts):
        _, future = parts
        forecast = fitted.predict(future, quantiles=(0.9, 0.1, 0.5))
        assert list(forecast) == ["product", "week", "mean", "q0.1", "q0.5", "q0.9"]
        pd.testing.assert_frame_equal(forecast[["product", "week"]], future[["product", "week"]].reset_index(drop=True))
        assert forecast.notna().all(axis=None)
        assert (forecast[["mean", "q0.1"]] >= 0).all(axis=None)
        assert (forecast["q0.1"] <= forecast["q0.5"]).all()
        assert (forecast["q0.5"] <= forecast["q0.9"]).all()
        assert fitted.failures_ == {}

    def test_a_later_price_changes_no_earlier_forecast(self, forecaster, parts):
        history, future = (part.assign(promotion=0.0) for part in parts)
        model = forecaster.fit(history)
        cut = future["week"].unique()[2]
        changed = future.copy()
        later = changed["week"] > cut
        changed.loc[later, ["price", "regular_price", "traffic"]] *= 0.5
        changed.loc[later, "promotion"] = 1.0
        before, after = model.predict(future), model.predict(changed)
        seen = before["week"] <= cut
        pd.testing.assert_frame_equal(before[seen], after[seen])

    def test_a_week_alone_is_forecast_as_among_others(self, fitted, parts):
        _, future = parts
        last = future["week"] == future["week"].max()
        together = fitted.predict(future)
        alone = fitted.predict(future[last])
        expected = together[together["week"] == future["week"].max()].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, expected)

    def test_row_order_is_irrelevant(self, forecaster, fitted, parts):
        history, future = parts
        expected = fitted.predict(future)
        shuffled = clone(forecaster).fit(history.sample(frac=1, random_state=1))
        pd.testing.assert_frame_equal(shuffled.predict(future.sample(frac=1, random_state=2)), expected)

    @pytest.mark.parametrize("forecaster", ALONE, ids=name)
    def test_products_of_other_categories_have_no_influence(self, forecaster, fitted, parts):
        history, future = parts
        expected = fitted.predict(future)
        few = history.loc[history["category"] == "c1", "product"].unique()
        alone = clone(forecaster).fit(history[history["product"].isin(few)])
        actual = alone.predict(future[future["product"].isin(few)])
        pd.testing.assert_frame_equal(actual, expected[expected["product"].isin(few)].reset_index(drop=True))

    def test_currency_changes_no_units(self, forecaster, parts):
        history, future = parts
        prices = ["price", "regular_price", "competitor_price"]
        history, future = (part.assign(competitor_price=1.1 * part["price"].shift(2)) for part in parts)
        expected = clone(forecaster).fit(history).predict(future)
        cents = [part.assign(**{name: part[name] * 100 for name in prices}) for part in (history, future)]
        actual = clone(forecaster).fit(cents[0]).predict(cents[1])
        pd.testing.assert_frame_equal(actual, expected, rtol=1e-4)

    def test_fit_forgets_the_fit_before(self, forecaster, fitted, parts):
        history, future = parts
        expected = fitted.predict(future)
        forecaster.fit(history.assign(units=1.0))
        pd.testing.assert_frame_equal(forecaster.fit(history).predict(future), expected)

    def test_traffic_ahead_is_not_needed(self, fitted, parts):
        history, future = parts
        recent = history.groupby("week")["traffic"].first().tail(4).mean()
        expected = fitted.predict(future.assign(traffic=recent))
        unknown = fitted.predict(future.drop(columns="traffic"))
        np.testing.assert_allclose(unknown["mean"], expected["mean"])
        assert (unknown["q0.9"] >= expected["q0.9"] - 1e-9).all()

    def test_history_in_is_the_end_of_another_past(self, forecaster, parts):
        """A longer past moves the forecast, the fitted object stays, and the past that was fitted changes nothing."""
        history, future = parts
        weeks = history["week"].unique()
        model = forecaster.fit(history[history["week"] <= weeks[-4]])
        before = model.predict(future)
        later = model.predict(future, history=history.sample(frac=1, random_state=3))
        assert list(later["week"]) == list(before["week"])
        pd.testing.assert_frame_equal(model.predict(future), before)
        pd.testing.assert_frame_equal(model.predict(future, history=history[history["week"] <= weeks[-4]]), before)
        if not isinstance(forecaster, Newcomers):
            assert not np.allclose(later["mean"], before["mean"], rtol=1e-3)

    def test_what_is_not_known_ahead_has_no_influence(self, forecaster, parts):
        history, future = parts
        model = forecaster.fit(history.assign(competitor_price=history["price"], views=history["units"]))
        expected = model.predict(future)
        shown = future.assign(units=9e9, buyers=9e9, competitor_price=1.0, views=9e9, signal_index=3.0)
        pd.testing.assert_frame_equal(model.predict(shown), expected)

    def test_far_ahead(self, fitted, parts):
        _, future = parts
        late = future[future["week"] == future["week"].max()]
        late = late.assign(week=late["week"] + pd.Timedelta(days=7 * 40))
        forecast = fitted.predict(late)
        assert np.isfinite(forecast.drop(columns=["product", "week"])).all(axis=None)


class TestNothingEverSold:
    @pytest.mark.parametrize("forecaster", ALONE, ids=name)
    def test_alone(self, forecaster, parts):
        history, future = parts
        idle = history.assign(units=history["units"].where(history["product"] != "p01", 0.0))
        model = clone(forecaster).fit(idle)
        assert model.failures_ == {"p01": "nothing was ever sold"}
        forecast = model.predict(future)
        assert (forecast.loc[forecast["product"] == "p01", ["mean", "q0.975"]] == 0).all(axis=None)

    @pytest.mark.parametrize("forecaster", POOLING, ids=name)
    def test_among_others(self, forecaster, parts):
        history, future = parts
        idle = history.assign(units=history["units"].where(history["product"] != "p01", 0.0))
        forecast = clone(forecaster).fit(idle).predict(future)
        assert np.isfinite(forecast.drop(columns=["product", "week"])).all(axis=None)


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

    def test_weeks_sold_out_count_as_missing(self, ramp, split):
        history, future = split(ramp.assign(units=5.0, stockout=False), 3)
        out = history["week"] == history["week"].max()
        history = history.assign(units=history["units"].mask(out, 1.0), stockout=out)
        np.testing.assert_allclose(MovingAverage().fit(history).predict(future)["mean"], 5.0)

    def test_one_week_of_history(self, ramp):
        model = MovingAverage().fit(ramp.iloc[:1])
        np.testing.assert_allclose(model.predict(ramp.iloc[1:3])[["mean", "q0.1", "q0.9"]], 1.0)

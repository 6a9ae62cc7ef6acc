from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from repricer.forecasting import MovingAverage, Sarimax, backtest
from repricer.forecasting.models import sarimax
from statsmodels.tsa.statespace.sarimax import SARIMAX

pytestmark = pytest.mark.filterwarnings("error")


def elasticity(model: Sarimax, week: pd.DataFrame) -> pd.Series:
    """Return log-log slopes of the forecast between two prices of a week."""
    dear = week.assign(price=week["price"] * 1.1)
    units = [1 + model.predict(rows).set_index("product")["q0.5"] for rows in (week, dear)]
    return np.log(units[1] / units[0]) / np.log(1.1)


def test_recovers_elasticities(simulate, split):
    truth = np.linspace(-4, -1, 8)
    history, future = split(simulate(elasticity=truth, n_weeks=104, noise=0.1, seed=3), 1)
    slopes = elasticity(Sarimax().fit(history), future)
    np.testing.assert_allclose(slopes, truth, atol=0.35)


def test_price_that_never_moved_keeps_the_prior(simulate, split):
    panel = simulate(n_products=2).assign(price=2.0, regular_price=2.0)
    history, future = split(panel, 1)
    slopes = elasticity(Sarimax(elasticity_prior=(-3.0, 1.0)).fit(history), future)
    np.testing.assert_allclose(slopes, -3.0, atol=0.01)
    width = [
        Sarimax(elasticity_prior=(-3.0, sd)).fit(history).predict(future.assign(price=1.0)).eval("`q0.9` / `q0.1`")
        for sd in (0.1, 2.0)
    ]
    assert (width[1] > 1.5 * width[0]).all()


def test_agrees_with_generalised_least_squares_when_priors_are_flat(simulate, split):
    """White errors and wide priors: the point forecast is that of ordinary least squares."""
    history, future = split(simulate(n_products=1, n_weeks=156, noise=0.3), 4)
    model = Sarimax(order=(0, 0, 0), fourier_pairs=0, elasticity_prior=(0.0, 1e3)).fit(history)
    logs = [
        np.log(rows[["price", "regular_price", "traffic"]] / history[["price", "regular_price", "traffic"]].mean())
        for rows in (history, future)
    ]
    target = np.log1p(history["units"].to_numpy()) - logs[0]["traffic"].to_numpy()
    # Regular price and traffic keep their own weak priors, which 152 weeks leave little of.
    ols = sm.OLS(target, sm.add_constant(logs[0].to_numpy())).fit()
    expected = ols.predict(sm.add_constant(logs[1].to_numpy(), has_constant="add")) + logs[1]["traffic"]
    np.testing.assert_allclose(np.log1p(model.predict(future)["q0.5"]), expected, atol=0.05)


def test_traffic_scales_units(panel, split):
    history, future = split(panel, 1)
    model = Sarimax().fit(history)
    units = [1 + model.predict(future.assign(traffic=level))["q0.5"] for level in (1000.0, 1100.0)]
    response = np.log(units[1] / units[0]) / np.log(1.1)
    assert ((response > 0.4) & (response < 1.8)).all()


def test_intervals_are_calibrated(simulate, split):
    panel = simulate(n_products=60, n_weeks=52, noise=0.3, seed=5)
    table = backtest({"sarimax": Sarimax()}, panel, origins=[panel["week"].unique()[39]], horizon=12)
    pooled = table[table["step"] == 0].iloc[0]
    assert pooled["cover80"] == pytest.approx(0.8, abs=0.06)
    assert pooled["cover95"] == pytest.approx(0.95, abs=0.035)


def test_has_little_bias_where_the_traffic_is_known(simulate, split):
    history, future = split(simulate(n_products=60, n_weeks=52, noise=0.3, seed=5), 12)
    forecast = Sarimax().fit(history).predict(future)
    assert abs(forecast["mean"].sum() / future["units"].sum() - 1) < 0.06


def test_mean_lies_between_median_and_lognormal_mean(panel, split):
    history, future = split(panel, 4)
    forecast = Sarimax().fit(history).predict(future)
    ratio = forecast["mean"] / forecast["q0.5"]
    assert (ratio >= 1).all()
    assert (ratio <= np.exp(0.35**2 / 2) + 1e-6).all()
    assert (ratio > 1).any()


def test_season_is_learnt_from_years_and_held_back_on_months(simulate, split):
    panel = simulate(n_products=3, n_weeks=182, noise=0.1)
    angle = 2 * np.pi * panel["week"].dt.day_of_year / 365.25
    panel["units"] *= np.exp(0.5 * np.sin(angle))
    long, future = split(panel, 26)
    season = {}
    for name, history in {"long": long, "short": long[long["week"] > long["week"].unique()[-20]]}.items():
        forecast = Sarimax().fit(history).predict(future)["q0.5"]
        season[name] = np.abs(np.log(forecast / future["units"].to_numpy())).mean()
    assert season["long"] < 0.2 < season["short"]
    flat = MovingAverage().fit(long).predict(future)["mean"]
    assert season["long"] < 0.6 * np.abs(np.log(flat / future["units"].to_numpy())).mean()


def test_known_arma_parameters_are_not_estimated_again(panel, split, monkeypatch):
    history, future = split(panel, 6)
    fitted = Sarimax().fit(history)
    monkeypatch.setattr(SARIMAX, "fit", lambda *_, **__: pytest.fail("the optimiser was called"))
    same = Sarimax(arma=fitted.arma_).fit(history)
    pd.testing.assert_frame_equal(same.predict(future), fitted.predict(future))
    later = Sarimax(arma=fitted.arma_).fit(panel[panel["week"] <= future["week"].min()])
    assert later.arma_ == fitted.arma_


class TestFailures:
    def test_are_counted_with_their_reason_and_fall_back(self, panel, split):
        history, future = split(panel, 3)
        weeks = history["week"].unique()
        late = (history["product"] == "p00") & (history["week"] < weeks[-8])
        free = history["product"] == "p01"
        history = history.assign(units=history["units"].mask(late, 0.0), price=history["price"].mask(free, 0.0))
        model = Sarimax().fit(history)
        assert model.failures_ == {
            "p00": "8 weeks since the first sale, 12 are needed",
            "p01": "0 weeks since the first sale, 12 are needed",
        }
        few = model.predict(future).query("product in ['p00', 'p01']")
        expected = MovingAverage().fit(history).predict(future).query("product in ['p00', 'p01']")
        pd.testing.assert_frame_equal(few, expected)

    def test_no_convergence(self, panel, split, monkeypatch):
        monkeypatch.setattr(sarimax, "_OPTIMISER_STEPS", 0)
        history, future = split(panel, 3)
        model = Sarimax().fit(history)
        assert set(model.failures_.values()) == {"the likelihood did not converge in 0 steps"}
        pd.testing.assert_frame_equal(model.predict(future), MovingAverage().fit(history).predict(future))

    def test_constant_units_and_closed_weeks(self, panel, split):
        history, future = split(panel, 3)
        closed = history["week"] == history["week"].unique()[5]
        history = history.assign(
            units=history["units"].where(history["product"] != "p00", 5.0).mask(closed, 0.0),
            traffic=history["traffic"].mask(closed, 0.0),
        )
        forecast = Sarimax().fit(history).predict(future)
        assert np.isfinite(forecast.drop(columns=["product", "week"])).all(axis=None)

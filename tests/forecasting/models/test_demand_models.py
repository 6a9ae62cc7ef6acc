"""Each model against what it must recover, a hand-solved case, or statsmodels."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from repricer.forecasting import (
    ExponentialSmoothing,
    Intermittent,
    Lstm,
    MovingAverage,
    Newcomers,
    PooledRegression,
    Sarimax,
    SeasonalNaive,
    Selected,
    backtest,
)
from repricer.forecasting.models.mean_of_models import MeanOfModels
from repricer.forecasting.selected import _combine
from sklearn.base import clone
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

pytestmark = pytest.mark.filterwarnings("error")


def scores(forecaster, panel, *, origin: int, horizon: int) -> pd.Series:
    table = backtest({"one": forecaster}, panel, origins=[panel["week"].unique()[origin]], horizon=horizon)
    return table.iloc[0]


@pytest.fixture(scope="module")
def promoted() -> pd.DataFrame:
    """30 products; a promotion doubles sales, a rival's discount takes a share of them."""
    rng = np.random.default_rng(4)
    n_products, n_weeks = 30, 45
    shape = (n_products, n_weeks)
    discount = np.where(rng.random(shape) < 0.3, np.log(rng.uniform(0.6, 0.9, shape)), 0.0)
    promotion = (rng.random(shape) < 0.3).astype(float)
    pairs = discount.reshape(n_products // 2, 2, n_weeks)[:, ::-1].reshape(shape)
    popular = rng.normal(3.5, 0.6, (n_products, 1))
    log_units = popular - 2.0 * discount + np.log(2) * promotion + 0.8 * pairs + rng.normal(0, 0.15, shape)
    regular = np.exp(rng.normal(1, 0.3, (n_products, 1))) * np.ones(shape)
    index = pd.MultiIndex.from_product(
        [[f"p{k:02d}" for k in range(n_products)], pd.date_range("2023-01-02", periods=n_weeks, freq="7D")],
        names=["product", "week"],
    )
    return index.to_frame(index=False).assign(
        category=np.repeat([f"c{k // 2:02d}" for k in range(n_products)], n_weeks),
        units=rng.poisson(np.exp(log_units)).ravel().astype(float),
        price=(regular * np.exp(discount)).ravel(),
        regular_price=regular.ravel(),
        promotion=promotion.ravel(),
        traffic=1000.0,
    )


class TestExponentialSmoothing:
    def test_is_that_of_statsmodels(self, simulate, split):
        history, future = split(simulate(n_products=1, n_weeks=60), 6)
        forecast = ExponentialSmoothing().fit(history).predict(future)
        results = ETSModel(np.log1p(history.set_index("week")["units"].asfreq("7D"))).fit(disp=False)
        expected = results.get_prediction(start=len(history), end=len(history) + 5)
        low, high = np.expm1(expected.pred_int(alpha=0.2).to_numpy().T)
        np.testing.assert_allclose(forecast["q0.5"], np.expm1(expected.predicted_mean), rtol=1e-6)
        np.testing.assert_allclose(forecast["q0.1"], low, rtol=1e-4)
        np.testing.assert_allclose(forecast["q0.9"], high, rtol=1e-4)

    def test_failures_are_counted(self, panel, split):
        history, future = split(panel, 3)
        weeks = history["week"].unique()
        late = (history["product"] == "p00") & (history["week"] < weeks[-5])
        history = history.assign(units=history["units"].mask(late, 0.0).mask(history["product"] == "p01", 7.0))
        model = ExponentialSmoothing().fit(history)
        assert model.failures_ == {
            "p00": "5 weeks since the first sale, 8 are needed",
            "p01": "the units never changed",
        }
        assert model.predict(future).query("product == 'p01'")["mean"].tolist() == [7.0] * 3


class TestIntermittent:
    def test_by_hand(self, simulate):
        """Two sales of 4 in four weeks: chance 1/2 and size 4 at first; each week moves the chance by alpha."""
        weeks = simulate(n_products=1, n_weeks=5)
        history = weeks.iloc[:4].assign(units=[4.0, 0.0, 4.0, 0.0])
        model = Intermittent().fit(history)
        alpha = model.models_["p00"].chance_smoothing
        chance = 0.5
        for sold in (1, 0, 1, 0):
            chance += alpha * (sold - chance)
        assert model.predict(weeks.iloc[4:])["mean"].item() == pytest.approx(4 * chance)

    def test_falls_while_nothing_is_sold(self, simulate, split):
        history, future = split(simulate(n_products=1, n_weeks=60), 1)
        dead = history.assign(units=[3.0, 0.0] * 15 + [0.0] * 29)
        assert Intermittent().fit(dead).predict(future)["mean"].item() < 0.9

    def test_intervals_are_calibrated_on_thin_counts(self, simulate):
        panel = simulate(n_products=150, n_weeks=60)
        panel["units"] = np.random.default_rng(1).negative_binomial(0.7, 0.5, len(panel)).astype(float)
        table = scores(Intermittent(), panel, origin=51, horizon=8)
        # Counts: an interval holds at least what it claims.
        assert 0.8 <= table["cover80"] <= 0.93
        assert table["cover95"] >= 0.93
        assert abs(table["bias"]) < 0.1


class TestPooledRegression:
    def test_recovers_the_answers_to_price_promotion_and_rivals(self, promoted):
        model = PooledRegression().fit(promoted)
        discount, _, promotion, _, rival, *_ = model.state_.coefficients.mean(axis=0)
        assert discount == pytest.approx(-2.0, abs=0.15)
        assert promotion == pytest.approx(np.log(2), abs=0.06)
        assert rival == pytest.approx(0.8, abs=0.15)

    def test_intervals_are_calibrated(self, simulate):
        panel = simulate(n_products=60, n_weeks=60, noise=0.3, seed=5)
        table = scores(PooledRegression(), panel.assign(traffic=1000.0), origin=47, horizon=12)
        assert table["cover80"] == pytest.approx(0.8, abs=0.05)
        assert table["cover95"] == pytest.approx(0.95, abs=0.03)

    def test_a_product_with_little_to_tell_answers_as_the_others(self, promoted):
        """Six weeks at one price: alone nothing could be known of its answer."""
        weeks = promoted["week"].unique()
        fresh = promoted["product"] == "p00"
        thin = promoted[~fresh | (promoted["week"] >= weeks[-6])]
        still = thin["product"] == "p00"
        thin = thin.assign(price=thin["price"].mask(still, thin["regular_price"]))
        model = PooledRegression().fit(thin)
        week = thin[still].tail(1).assign(week=weeks[-1] + pd.Timedelta(days=7))
        units = [1 + model.predict(week.assign(price=week["regular_price"] * k))["q0.5"].item() for k in (1.0, 0.8)]
        assert np.log(units[1] / units[0]) / np.log(0.8) == pytest.approx(-2.0, abs=0.4)

    def test_season_only_from_a_year_on(self, simulate):
        panel = simulate(n_products=10, n_weeks=140, noise=0.1).assign(traffic=1000.0)
        panel["units"] *= np.exp(0.5 * np.sin(2 * np.pi * panel["week"].dt.day_of_year / 365.25))
        assert scores(PooledRegression(), panel, origin=113, horizon=26)["wape"] < 0.25
        assert not PooledRegression().fit(panel[panel["week"] <= panel["week"].unique()[50]]).state_.seasonal


class TestOptionalColumns:
    @pytest.mark.parametrize("forecaster", [Sarimax(), PooledRegression()], ids=["sarimax", "pooled"])
    def test_promotion_helps_where_the_panel_has_it(self, forecaster, promoted):
        with_it = scores(forecaster, promoted, origin=36, horizon=8)["wape"]
        without = scores(forecaster, promoted.drop(columns="promotion"), origin=36, horizon=8)["wape"]
        assert with_it < 0.75 * without

    def test_last_weeks_competitor_price_helps(self, promoted):
        rng = np.random.default_rng(0)
        competitor = np.exp(rng.normal(0, 0.3, len(promoted)))
        before = pd.Series(np.log(competitor)).groupby(promoted["product"].to_numpy()).shift(1).fillna(0.0)
        panel = promoted.assign(units=promoted["units"] * np.exp(before.to_numpy()), competitor_price=competitor)
        for forecaster in (PooledRegression(), Sarimax()):
            with_it = scores(forecaster, panel, origin=43, horizon=1)["wape"]
            assert (
                with_it
                < 0.85 * scores(forecaster, panel.drop(columns="competitor_price"), origin=43, horizon=1)["wape"]
            )

    def test_sold_out_weeks_do_not_pull_the_forecast_down(self, promoted):
        few = promoted[promoted["product"] < "p12"]
        weeks = few["week"].unique()
        history, future = few[few["week"] < weeks[-1]], few[few["week"] == weeks[-1]]
        out = history["week"].isin(weeks[-5:-1])
        cut = history.assign(units=history["units"].mask(out, 1.0))
        for forecaster in (PooledRegression(), Sarimax()):
            right = forecaster.fit(history).predict(future)["mean"].sum()
            told = forecaster.fit(cut.assign(stockout=out)).predict(future)["mean"].sum()
            assert told == pytest.approx(right, rel=0.1)
            assert forecaster.fit(cut).predict(future)["mean"].sum() < 0.8 * right


class TestLstm:
    def test_learns_what_the_regression_cannot_say(self, promoted):
        """A promotion works only together with a discount."""
        rng, some = np.random.default_rng(0), promoted[promoted["product"] < "p20"]
        both = some["promotion"] * (some["price"] < some["regular_price"])
        mean = 40 * np.exp(1.2 * both)
        panel = some.assign(units=rng.poisson(mean).astype(float))
        pooled = scores(PooledRegression(), panel, origin=36, horizon=8)
        lstm = scores(Lstm(steps=300, seeds=1, dropout=0.1), panel, origin=36, horizon=8)
        assert lstm["pinball"] < 0.92 * pooled["pinball"]
        assert lstm["wape_median"] < pooled["wape_median"]

    def test_a_seed_gives_one_forecast_and_another_another(self, promoted, split):
        history, future = split(promoted[promoted["product"] < "p12"], 2)
        forecast = [Lstm(steps=20, seeds=1, seed=seed).fit(history) for seed in (0, 0, 1)]
        same, again, other = (model.predict(future)["q0.975"] for model in forecast)
        np.testing.assert_array_equal(same, again)
        assert forecast[0].weight_ == 0 or not np.allclose(same, other, rtol=1e-6)

    def test_a_short_history_gives_the_base_forecast(self, panel, split):
        history, future = split(panel[panel["week"] <= panel["week"].unique()[15]], 2)
        expected = MeanOfModels().fit(history).predict(future)
        pd.testing.assert_frame_equal(Lstm().fit(history).predict(future), expected)

    def test_kept_networks_forecast_as_they_did(self, promoted, split, monkeypatch):
        history, future = split(promoted[promoted["product"] < "p12"], 2)
        first = Lstm(steps=20, seeds=2).fit(history)
        monkeypatch.delattr("repricer.forecasting.models.lstm_network.train")
        for again in (Lstm(kept=first.kept_networks()).fit(history), first.refitted(history)):
            pd.testing.assert_frame_equal(again.predict(future), first.predict(future))

    def test_torch_is_loaded_only_when_it_is_fitted(self):
        code = "import sys, repricer.forecasting as f; f.Lstm(), f.Selected(); sys.exit('torch' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestNewcomers:
    @pytest.fixture(scope="class")
    @staticmethod
    def shop(promoted) -> pd.DataFrame:
        """The level of a product follows its category."""
        popular = promoted["category"].str[1:].astype(int) % 3
        return promoted.assign(
            category=popular.map({0: "rare", 1: "usual", 2: "popular"}),
            units=np.random.default_rng(2).poisson(np.exp(2.0 + popular) * (promoted["price"] / promoted["regular_price"]) ** -2),
        )  # fmt: skip

    def test_category_and_price_tell(self, shop):
        new = shop["product"].isin(["p00", "p02", "p04"])
        history, ahead = shop[~new], shop[new].assign(week=shop["week"] + pd.Timedelta(days=7 * 60))
        forecast = Newcomers().fit(history).predict(ahead.drop(columns=["units", "traffic"]))
        level = forecast.groupby("product")["q0.5"].median()
        np.testing.assert_allclose(level, np.exp([2.0, 3.0, 4.0]), rtol=0.35)
        actual = ahead["units"].to_numpy()
        assert ((actual >= forecast["q0.1"]) & (actual <= forecast["q0.9"])).mean() > 0.7

    def test_intervals_are_wider_than_those_of_a_known_product(self, shop, split):
        history, future = split(shop, 2)
        known, new = (
            PooledRegression().fit(history).predict(future),
            Newcomers().fit(history).predict(future.assign(product="new " + future["product"])),
        )
        width = [(forecast["q0.9"] / forecast["q0.1"].clip(lower=0.1)).median() for forecast in (new, known)]
        assert width[0] > width[1]

    def test_unknown_category_and_too_few_products(self, shop, split):
        history, future = split(shop, 1)
        strange = future.head(1).assign(product="new", category="never seen")
        assert np.isfinite(Newcomers().fit(history).predict(strange)["mean"]).all()
        few = history[history["product"].isin(["p00", "p01"])]
        with pytest.raises(ValueError, match="must hold 5 products or more; got 2"):
            Newcomers().fit(few)
        with pytest.raises(ValueError, match="must have been fitted; got 'new'"):
            Selected({"flat": MovingAverage()}, combine=1).fit(few).predict(strange)


class TestSelected:
    CANDIDATES = {"naive": SeasonalNaive(season_length=4), "flat": MovingAverage(), "sarimax": Sarimax()}  # noqa: RUF012

    def test_takes_what_is_best_for_each_product(self, simulate, split):
        """Half of the products answer to prices, half repeat every four weeks and ignore them."""
        panel = simulate(n_products=8, n_weeks=60, noise=0.1).assign(traffic=1000.0)
        cycle = 20.0 + 15.0 * np.array([0, 1, 3, -1])
        repeats = panel["product"] >= "p04"
        week = (panel["week"] - panel["week"].min()).dt.days // 7
        panel["units"] = panel["units"].mask(repeats, cycle[week % 4])
        model = Selected(self.CANDIDATES, combine=1).fit(split(panel, 4)[0])
        chosen = model.selection_.set_index("product")["chosen"]
        assert (chosen[["p00", "p01", "p02", "p03"]] == "sarimax").all()
        assert (chosen[["p04", "p05", "p06", "p07"]] == "naive").all()
        table = model.scores_.set_index("forecaster")
        assert table["chosen"].to_dict() == {"naive": 0.5, "flat": 0.0, "sarimax": 0.5}
        assert set(model.models_) == {"naive", "sarimax"}

    @pytest.fixture(scope="class")
    @staticmethod
    def panel(panel) -> pd.DataFrame:
        """Four products: the candidates are fitted to each by itself."""
        return panel[panel["product"] < "p04"]

    def test_combines_the_best_by_their_errors(self, panel, split):
        history, future = split(panel, 3)
        model = Selected(self.CANDIDATES, combine=2, horizon=3).fit(history)
        errors = model.selection_.set_index("product")[list(self.CANDIDATES)]
        weight = (errors**-12.0).where(errors.rank(axis=1) <= 2, 0.0)
        weight = weight.div(weight.sum(axis=1), axis=0)
        pd.testing.assert_frame_equal(model.weights_, weight, check_names=False)
        parts = {name: model.fit(history).predict(future)["mean"] for name, model in self.CANDIDATES.items()}
        expected = sum(weight[name].loc[future["product"]].to_numpy() * part for name, part in parts.items())
        np.testing.assert_allclose(model.predict(future)["mean"], expected)

    def test_what_has_no_weight_may_be_anything(self):
        weights = pd.DataFrame({"used": [1.0, 1.0], "not": [0.0, 0.0]})
        values = {"used": np.array([[1.0], [2.0]]), "not": np.array([[np.inf], [np.nan]])}
        np.testing.assert_array_equal(_combine(values, weights), [[1.0], [2.0]])

    def test_a_perfect_candidate_has_all_the_weight(self, panel, split):
        history, _ = split(panel, 3)
        history = history.assign(units=7.0)
        model = Selected({"flat": MovingAverage(), "naive": SeasonalNaive()}, combine=2, horizon=3).fit(history)
        assert np.isfinite(model.weights_.to_numpy()).all()
        np.testing.assert_allclose(model.weights_.sum(axis=1), 1.0)

    def test_refitted_keeps_the_choice_and_fits_what_is_chosen(self, panel, split):
        history, future = split(panel, 3)
        short = history[history["week"] < np.sort(history["week"].unique())[-8]]
        model = Selected(self.CANDIDATES, combine=1, horizon=3).fit(short)
        again = model.refitted(history)
        pd.testing.assert_frame_equal(again.weights_, model.weights_)
        assert model.last_week_ == short["week"].max()
        chosen = model.selection_.set_index("product")["chosen"]
        for name in chosen.unique():
            own = chosen.index[chosen == name]
            rows = future[future["product"].isin(own)]
            expected = self.CANDIDATES[name].fit(history).predict(rows)["mean"]
            np.testing.assert_allclose(again.predict(rows)["mean"], expected)

    def test_intervals_that_cover_too_little_are_stretched(self, simulate):
        """The candidate claims a quarter of the spread that there is."""
        panel = simulate(n_products=40, n_weeks=60, noise=0.3, seed=2).assign(traffic=1000.0)

        class Sure(PooledRegression):
            def _fit(self, history):
                super()._fit(history)
                self.errors_ = {step: error / 4 for step, error in self.errors_.items()}

        lied = scores(Sure(), panel, origin=47, horizon=12)
        stretched = scores(Selected({"sure": Sure()}, combine=1), panel, origin=47, horizon=12)
        assert lied["cover80"] < 0.4
        assert stretched["cover80"] == pytest.approx(0.8, abs=0.06)
        assert stretched["cover95"] == pytest.approx(0.95, abs=0.04)

    def test_failures_name_the_candidate(self, panel, split):
        history, _ = split(panel, 3)
        late = (history["product"] == "p00") & (history["week"] < history["week"].unique()[-8])
        model = Selected(self.CANDIDATES, combine=3, horizon=3).fit(
            history.assign(units=history["units"].mask(late, 0.0))
        )
        assert model.failures_ == {"sarimax: p00": "8 weeks since the first sale, 12 are needed"}

    def test_processes_change_nothing(self, panel, split):
        history, future = split(panel, 3)
        model = Selected(self.CANDIDATES, combine=2, horizon=3)
        one = clone(model).fit(history).predict(future)
        with parallel_config("multiprocessing"):  # whose processes need not import everything anew
            pd.testing.assert_frame_equal(model.set_params(n_jobs=2).fit(history).predict(future), one)

    def test_mistakes(self, panel):
        with pytest.raises(ValueError, match="combine must be 1 or more; got 0"):
            Selected(self.CANDIDATES, combine=0).fit(panel)
        with pytest.raises(ValueError, match="must hold 2 weeks or more with sales; got 1"):
            Selected(self.CANDIDATES).fit(panel[panel["week"] == panel["week"].min()])

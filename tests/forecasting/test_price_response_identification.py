"""Prices that follow demand: instruments find what effects cannot, and say how far they go."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from linearmodels.iv import IV2SLS
from repricer.forecasting import PriceResponse
from repricer.tests.forecasting.price_response_recovery import recover, simulate

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module")
def shop() -> tuple[pd.DataFrame, pd.Series]:
    return simulate(0, endogenous=True)


@pytest.fixture(scope="module")
def fitted(shop) -> PriceResponse:
    return PriceResponse().fit(shop[0])


class TestRecovery:
    @pytest.mark.parametrize("endogenous", [False, True])
    def test_of_products_and_pool(self, endogenous):
        found = recover(range(4), endogenous=endogenous)
        assert found.count == 160
        for kind in ("raw", "shrunk"):
            assert abs(found.bias[kind]) < 0.05
            assert 0.9 <= found.coverage[kind] <= 0.99
        assert (abs(found.least_squares_bias) > 0.1) == endogenous

    def test_shrunk_estimates_are_nearer_than_raw_ones(self, shop, fitted):
        table = fitted.elasticity_.set_index("product").assign(truth=shop[1]).dropna()
        error = {name: ((table[name] - table["truth"]) ** 2).mean() for name in ("raw", "shrunk")}
        assert error["shrunk"] < error["raw"]


def test_a_cost_that_was_computed_from_the_price_is_no_instrument(shop):
    with pytest.warns(UserWarning, match=r"instruments \(unit_cost\) move exactly as prices do"):
        found = PriceResponse().fit(shop[0].assign(unit_cost=0.6 * shop[0]["price"])).identification_
    assert found.method == "fixed effects"
    assert found.instrumented is None


class TestAgreement:
    def test_pooled_with_two_stage_least_squares_on_dummies(self, fitted, shop):
        rows = shop[0].assign(y=np.log(shop[0]["units"]), x=np.log(shop[0]["price"]), z=np.log(shop[0]["unit_cost"]))
        angle = 2 * np.pi * rows["week"].dt.day_of_year / 365.25
        others = pd.get_dummies(rows["category"], dtype=float).iloc[:, 1:]
        season = pd.concat([others.mul(np.sin(angle), axis=0), others.mul(np.cos(angle), axis=0)], axis=1)
        effects = pd.get_dummies(rows[["product", "week"]].astype(str), drop_first=True, dtype=float)
        exog = np.column_stack([np.ones(len(rows)), season, effects])
        other = IV2SLS(rows["y"], exog, rows[["x"]], rows[["z"]]).fit(
            cov_type="clustered", clusters=pd.factorize(rows["product"])[0]
        )
        found = fitted.identification_
        assert found.method == "instruments"
        assert found.used == fitted.pooled_ == found.instrumented
        assert fitted.pooled_.coefficient == pytest.approx(other.params["x"])
        assert fitted.pooled_.se == pytest.approx(other.std_errors["x"], rel=0.03)
        robust = IV2SLS(rows["y"], exog, rows[["x"]], rows[["z"]]).fit(cov_type="robust")
        strength = [fit.first_stage.diagnostics.loc["x", "f.stat"] for fit in (other, robust)]
        assert found.first_stage_f == pytest.approx(min(strength), rel=0.06)

    def test_a_product_with_the_textbook_ratio_of_covariances(self, fitted, shop):
        """Without anything in common, the slope of a product is cov(z, y) / cov(z, x) within it."""
        rows = shop[0].assign(y=np.log(shop[0]["units"]), x=np.log(shop[0]["price"]), z=np.log(shop[0]["unit_cost"]))
        alone = rows[rows["product"] == "p003"]
        ratio = np.cov(alone["z"], alone["y"])[0, 1] / np.cov(alone["z"], alone["x"])[0, 1]
        mine = fitted.elasticity_.set_index("product").loc["p003"]
        assert mine["raw"] == pytest.approx(ratio, abs=1.5 * mine["raw_se"])


class TestWeakness:
    def test_a_weak_instrument_warns_and_is_not_used(self):
        panel, _ = simulate(1, endogenous=True, pass_through=0.0)
        with pytest.warns(UserWarning, match=r"unit_cost.* weak: .*first-stage F of .* is below 10.*not used"):
            model = PriceResponse().fit(panel)
        found = model.identification_
        assert found.method == "fixed effects"
        assert model.pooled_ == found.fixed_effects
        assert found.instrumented is not None
        assert "because of that product's own demand" in str(found)
        assert "Warning: the instruments" in str(found)

    def test_a_product_without_a_strong_instrument_has_its_categorys_elasticity(self, shop):
        panel = shop[0].copy()
        stuck = panel["product"].isin(["p000", "p001"])
        noise = np.random.default_rng(0).normal(0, 0.02, len(panel))
        panel["unit_cost"] = panel["unit_cost"].mask(stuck, np.exp(noise)).mask(panel["product"] == "p000", 1.0)
        table = PriceResponse().fit(panel).elasticity_.set_index("product")
        assert table.loc[["p000", "p001"], "raw"].isna().all()
        assert (table.loc[["p000", "p001"], "shrunk"] < -0.5).all()
        assert table["raw"].drop(["p000", "p001"]).notna().sum() > 30

    def test_the_words_name_what_cannot_be_ruled_out(self, fitted, shop):
        assert "unit_cost moved demand other than through the price" in str(fitted.identification_)
        promoted = shop[0].assign(promotion=np.random.default_rng(0).random(len(shop[0])))
        text = str(PriceResponse(instruments=()).fit(promoted).identification_)
        assert "Identified by fixed effects" in text
        assert "season of the category, promotion" in text
        assert "displays" not in text

    def test_of_all_but_one_product_leaves_the_pooled_response(self):
        panel, _ = simulate(1, endogenous=True, n_products=6, n_categories=1, pass_through=3.0)
        noise = np.exp(np.random.default_rng(0).normal(0, 0.01, len(panel)))
        weak = panel["unit_cost"].where(panel["product"] == "p000", noise)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = PriceResponse().fit(panel.assign(unit_cost=weak))
        assert model.identification_.method == "instruments"
        assert (model.elasticity_.set_index("product")["first_stage_f"] > 10).sum() == 1
        assert model.elasticity_["raw"].isna().all()
        assert model.elasticity_["shrunk"].notna().all()


class TestControls:
    def test_promotion_that_comes_with_reductions(self):
        panel, truth = simulate(2, endogenous=False)
        log_price = np.log(panel["price"])
        cheap = log_price < log_price.groupby(panel["product"]).transform("median") - 0.1
        rng = np.random.default_rng(5)
        panel["promotion"] = np.where(cheap & (rng.random(len(panel)) < 0.7), rng.uniform(0.3, 1, len(panel)), 0.0)
        panel["units"] *= np.exp(0.8 * panel["promotion"])
        held = PriceResponse().fit(panel)
        effect = held.control_effects_["promotion"]
        assert effect.coefficient == pytest.approx(0.8, abs=3 * effect.se)
        assert held.elasticity_["raw"].mean() == pytest.approx(truth.mean(), abs=0.1)
        assert PriceResponse().fit(panel.drop(columns="promotion")).elasticity_["raw"].mean() < truth.mean() - 0.2

    def test_weeks_sold_out_are_left_out(self, shop):
        panel = shop[0].drop(columns="unit_cost")
        out = np.random.default_rng(0).random(len(panel)) < 0.1
        censored = panel.assign(units=panel["units"].where(~out, panel["units"] * 0.2), stockout=out)
        pd.testing.assert_frame_equal(
            PriceResponse().fit(censored).elasticity_, PriceResponse().fit(panel[~out]).elasticity_
        )

    def test_a_column_that_the_weeks_hold_already(self, shop):
        panel = shop[0].assign(holiday=(shop[0]["week"].dt.month == 12).astype(float))
        with pytest.raises(ValueError, match="holiday must change within products and differently"):
            PriceResponse(controls=["holiday"]).fit(panel)
        with pytest.raises(ValueError, match="'nothing' is named as instrument or control"):
            PriceResponse(instruments=["nothing"]).fit(panel)

    def test_order_of_rows_and_currency_with_instruments(self, shop, fitted):
        panel = shop[0].sample(frac=1, random_state=0)
        money = panel[["price", "unit_cost"]] * 100
        again = PriceResponse().fit(panel.assign(**money))
        pd.testing.assert_frame_equal(again.elasticity_, fitted.elasticity_)
        assert again.pooled_.se == pytest.approx(fitted.pooled_.se)

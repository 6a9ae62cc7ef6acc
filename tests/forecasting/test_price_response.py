from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from repricer.forecasting import PriceResponse, segment_response

pytestmark = pytest.mark.filterwarnings("error")

TRUTH = np.linspace(-3.5, -1.0, 8)


def by_product(model: PriceResponse) -> pd.DataFrame:
    return model.elasticity_.set_index("product")


@pytest.fixture(scope="module")
def fitted(panel) -> PriceResponse:
    return PriceResponse().fit(panel)


class TestRecovery:
    @pytest.mark.parametrize(
        "links", [{}, {"product_link": 0.6}, {"week_link": 1.0}, {"product_link": 0.6, "week_link": 1.0}]
    )
    def test_price_that_follows_the_product_or_the_week(self, simulate, links):
        model = PriceResponse().fit(simulate(elasticity=TRUTH, n_weeks=80, seed=1, **links))
        table = model.elasticity_
        score = (table["raw"] - TRUTH) / table["raw_se"]
        assert score.abs().max() < 3.5
        assert np.abs(table["shrunk"] - TRUTH).max() < 0.4
        assert model.pooled_.coefficient == pytest.approx(TRUTH.mean(), abs=3 * model.pooled_.se + 0.05)

    def test_a_season_of_the_category_that_prices_follow(self, simulate):
        panel = simulate(n_weeks=104, seed=2)
        angle = 2 * np.pi * panel["week"].dt.day_of_year / 365.25
        season = np.where(panel["category"] == "c0", np.sin(angle), 0.0)
        panel["units"] *= np.exp(season - 2.0 * -0.2 * season)
        panel["price"] *= np.exp(-0.2 * season)
        model = PriceResponse().fit(panel)
        np.testing.assert_allclose(model.elasticity_["shrunk"], -2, atol=0.35)

    def test_standard_errors_are_those_of_repeated_samples(self, simulate):
        scores = []
        for seed in range(20):
            table = PriceResponse().fit(simulate(seed=seed)).elasticity_
            scores.append((table["raw"] + 2) / table["raw_se"])
        assert np.mean(np.abs(scores) < 1.96) == pytest.approx(0.955, abs=0.035)
        assert 0.75 < np.std(scores) < 1.1


class TestAgreement:
    @pytest.fixture
    def gappy(self, panel):
        rng = np.random.default_rng(0)
        return panel.assign(units=panel["units"].where(rng.random(len(panel)) > 0.1, 0.0))

    def test_with_ols_on_dummies(self, gappy):
        sold = gappy[gappy["units"] > 0].assign(
            log_units=lambda rows: np.log(rows["units"]),
            log_price=lambda rows: np.log(rows["price"]),
            angle=lambda rows: 2 * np.pi * rows["week"].dt.day_of_year / 365.25,
            other=lambda rows: (rows["category"] == "c1").astype(float),
        )
        sold["week"] = sold["week"].astype(str)
        formula = "log_units ~ {} + C(product) + C(week) + other:np.sin(angle) + other:np.cos(angle) - other"
        each = smf.ols(formula.format("C(product):log_price"), sold).fit(cov_type="HC3")
        table = PriceResponse().fit(gappy).elasticity_
        names = [f"C(product)[{name}]:log_price" for name in table["product"]]
        np.testing.assert_allclose(table["raw"], each.params[names])
        # The larger of two, where the week effects' share in each row's error is taken as even.
        usual = smf.ols(formula.format("C(product):log_price"), sold).fit()
        scale = pd.Series(usual.resid**2).groupby(sold["product"]).mean() / (usual.resid**2).mean()
        expected = np.maximum(each.bse[names].to_numpy(), usual.bse[names].to_numpy() * np.sqrt(scale.to_numpy()))
        np.testing.assert_allclose(table["raw_se"], expected, rtol=0.08)
        one = smf.ols(formula.format("log_price"), sold)
        clusters = {"groups": pd.factorize(sold["product"])[0]}
        expected, robust = one.fit(cov_type="cluster", cov_kwds=clusters), one.fit(cov_type="HC1")
        pooled = PriceResponse().fit(gappy).pooled_
        assert pooled.coefficient == pytest.approx(expected.params["log_price"])
        # Effects nested in the clusters do not count in the degrees of freedom.
        freedom = (len(sold) - one.rank) / (len(sold) - one.rank + sold["product"].nunique())
        clustered = expected.bse["log_price"] * np.sqrt(freedom)
        assert pooled.se == pytest.approx(max(clustered, robust.bse["log_price"]), rel=2e-3)

    def test_weeks_without_sales_are_left_out_and_counted(self, gappy):
        table = by_product(PriceResponse().fit(gappy))
        assert table["weeks"].equals((gappy["units"] > 0).groupby(gappy["product"]).sum().rename("weeks"))
        absurd = gappy.assign(price=gappy["price"].where(gappy["units"] > 0, 99.0))
        np.testing.assert_allclose(by_product(PriceResponse().fit(absurd))["raw"], table["raw"])


class TestInvariance:
    def test_row_order(self, panel, fitted):
        again = PriceResponse().fit(panel.sample(frac=1, random_state=0))
        pd.testing.assert_frame_equal(again.elasticity_, fitted.elasticity_)

    def test_currency_and_pack_size(self, panel, fitted):
        scaled = panel.assign(price=panel["price"] * 100, units=panel["units"] * 6)
        again = PriceResponse().fit(scaled)
        pd.testing.assert_frame_equal(again.elasticity_, fitted.elasticity_)

    def test_without_categories_all_products_are_one(self, panel):
        model = PriceResponse().fit(panel.drop(columns="category"))
        assert set(model.elasticity_["category"]) == {"all"}


class TestEdges:
    def test_implausible_signs_are_shrunk_and_reported(self, simulate):
        truth = np.r_[0.8, np.full(7, -2.0)]
        table = by_product(PriceResponse().fit(simulate(elasticity=truth, noise=0.6, seed=3)))
        assert table["implausible"].equals((table["raw"] > 0).rename("implausible"))
        assert table["implausible"]["p00"]
        assert table["shrunk"]["p00"] < table["raw"]["p00"]

    def test_a_price_that_did_not_move_has_no_estimate_of_its_own(self, panel):
        stuck = panel["product"] == "p00"
        table = by_product(PriceResponse().fit(panel.assign(price=panel["price"].mask(stuck, 2.0))))
        assert np.isnan(table["raw"]["p00"])
        assert not table["implausible"]["p00"]
        peers = table[(table["category"] == "c0") & table["raw"].notna()]
        assert peers["shrunk"].min() - 0.2 < table["shrunk"]["p00"] < peers["shrunk"].max() + 0.2
        assert table["shrunk_se"]["p00"] > 0

    def test_a_single_reduction_has_a_wide_error(self, panel):
        alone = panel["product"] == "p00"
        week = panel["week"] == panel["week"].unique()[10]
        price = panel["price"].mask(alone, 2.0).mask(alone & week, 1.2)
        table = by_product(PriceResponse().fit(panel.assign(price=price)))
        assert table["raw_se"]["p00"] > 1.2 * table["raw_se"].drop("p00").median()

    @pytest.mark.parametrize("products", [1, 2])
    def test_few_products_are_estimated_without_week_effects(self, simulate, products):
        few = simulate(n_products=products, n_categories=1, n_weeks=100, seed=4)
        assert PriceResponse().fit(few).pooled_.coefficient == pytest.approx(-2, abs=0.5)

    def test_mistakes(self, panel):
        with pytest.raises(
            ValueError, match="a product with 8 weeks of sales and moving prices is needed; got none of 1"
        ):
            PriceResponse().fit(panel[panel["product"] == "p00"].assign(price=2.0))
        alike = panel.groupby("week")["price"].transform("first")
        with pytest.raises(ValueError, match="prices must move differently"):
            PriceResponse().fit(panel.assign(price=alike))


class TestSegments:
    @pytest.fixture
    def shop(self, panel):
        """Sale lines of two segments that differ in elasticity, and few enough sales for many zeros."""
        # Another seed than the panel's: the same stream would tie the sales to the prices.
        rng = np.random.default_rng(1)
        lines = []
        for customer, elasticity in (("brand", -1.0), ("deal", -3.5)):
            mean = 1.5 * (panel["price"] / panel["price"].mean()) ** elasticity
            lines.append(panel[["product", "week"]].assign(customer=customer, units=rng.poisson(mean)))
        sales = pd.concat(lines)
        sales["date"] = sales["week"] + pd.to_timedelta(rng.integers(0, 7, len(sales)), unit="D")
        stray = sales.iloc[:5].assign(customer="unknown", units=500.0)
        outside = sales.iloc[:5].assign(date=panel["week"].max() + pd.Timedelta(days=7), units=500.0)
        return pd.concat([sales[sales["units"] > 0].drop(columns="week"), stray, outside])

    def test_recovers_elasticities_from_rare_sales(self, panel, shop):
        table = segment_response(shop, pd.Series({"brand": 0, "deal": 1}), panel).set_index("segment")
        for segment, truth in ((0, -1.0), (1, -3.5)):
            assert table.loc[segment, "elasticity"] == pytest.approx(truth, abs=3 * table.loc[segment, "se"])
        assert (table["se"] < 0.5).all()
        assert list(table["customers"]) == [1, 1]
        known = shop[shop["customer"].isin(["brand", "deal"]) & (shop["units"] < 500)]
        assert table["units"].sum() == known["units"].sum()

    def test_mistakes(self, panel, shop):
        with pytest.raises(ValueError, match="column 'customer' is missing"):
            segment_response(shop.drop(columns="customer"), pd.Series({"brand": 0}), panel)
        with pytest.raises(ValueError, match="no customer with sales in the panel has one"):
            segment_response(shop, pd.Series({"nobody": 0}), panel)

    def test_agrees_with_a_poisson_regression_on_dummies(self, panel, shop):
        table = segment_response(shop, pd.Series({"brand": 0, "deal": 1}), panel).set_index("segment")
        units = shop[(shop["customer"] == "deal") & (shop["units"] < 500)]
        week = units["date"] - pd.to_timedelta(units["date"].dt.day_of_week, unit="D")
        bought = units.groupby([units["product"], week.rename("week")])["units"].sum().rename("bought")
        rows = panel.join(bought, on=["product", "week"]).fillna({"bought": 0.0})
        rows = rows.assign(
            log_price=np.log(rows["price"]),
            angle=2 * np.pi * rows["week"].dt.day_of_year / 365.25,
            other=(rows["category"] == "c1").astype(float),
            week=rows["week"].astype(str),
        )
        formula = "bought ~ log_price + C(product) + C(week) + other:np.sin(angle) + other:np.cos(angle) - other"
        groups = {"groups": pd.factorize(rows["product"])[0]}
        other = smf.glm(formula, rows, family=sm.families.Poisson()).fit(cov_type="cluster", cov_kwds=groups)
        assert table.loc[1, "elasticity"] == pytest.approx(other.params["log_price"], rel=1e-6)
        assert table.loc[1, "se"] == pytest.approx(other.bse["log_price"], rel=1e-4)


def test_by_day_reductions_of_weekends_are_told_from_the_weekend_of_each_category():
    """Category x is three times as busy at weekends, y is not; all answer to prices by -2."""
    random, weekday = np.random.default_rng(0), np.arange(7 * 26) % 7
    reduced = np.where(random.random((26, 8)) < 0.3, random.choice([0.1, 0.2, 0.3], (26, 8)), 0.0).repeat(7, axis=0)
    price = 2 * (1 - reduced * (weekday > 3)[:, None])
    busy = np.where((weekday > 3)[:, None] & (np.arange(8) < 4), 3.0, 1.0)
    units = random.poisson(30 * busy * (price / 2) ** -2.0)
    names, days = [f"p{i}" for i in range(8)], pd.date_range("2024-01-01", periods=len(weekday))
    panel = pd.DataFrame(
        {
            "product": np.tile(names, len(days)),
            "category": np.tile(list("xxxxyyyy"), len(days)),
            "week": np.repeat(days, 8),
            "units": units.ravel(),
            "price": price.ravel(),
            "traffic": 300.0,
        }
    )
    model = PriceResponse().fit(panel)
    assert model.elasticity_["raw"].to_numpy() == pytest.approx(-2.0, abs=0.5)
    # Each segment buys of one category.
    sales = panel.rename(columns={"week": "date"}).assign(customer=panel["category"])
    response = segment_response(sales, pd.Series({"x": 0, "y": 1}), panel)
    assert response["elasticity"].to_numpy() == pytest.approx(-2.0, abs=0.25)

"""The choice model against shares that were made by one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from repricer.forecasting import LogitDemand, Substitution, logit_elasticities

pytestmark = pytest.mark.filterwarnings("error")


def shares(price: np.ndarray, quality: np.ndarray, coefficient: float, nesting: float = 0.0) -> np.ndarray:
    """(M, N) choice probabilities of a nested logit with all products in one nest (Berry 1994, equation 24)."""
    pull = np.exp((quality + coefficient * price) / (1 - nesting))
    whole = pull.sum(axis=1, keepdims=True)
    return pull / whole * whole ** (1 - nesting) / (1 + whole ** (1 - nesting))


def market_table(seed: int, *, coefficient: float = -1.5, nesting: float = 0.0, follow: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    shape = (120, 6)
    cost, shock = rng.normal(2, 0.3, shape), rng.normal(0, 0.3, shape)
    price = cost + follow * shock + rng.normal(0, 0.1, shape)
    share = shares(price, rng.normal(0.5, 0.4, 6) + shock, coefficient, nesting)
    names, weeks = [f"p{i}" for i in range(6)], pd.date_range("2023-01-02", periods=120, freq="7D")
    table = pd.DataFrame({"market": np.repeat(weeks, 6), "product": np.tile(names, 120), "share": share.ravel()})
    return table.assign(price=price.ravel(), unit_cost=cost.ravel())


class TestLogit:
    @pytest.mark.parametrize("follow", [0.0, 0.5])
    def test_recovers_the_price_coefficient(self, follow):
        scores = []
        for seed in range(20):
            found = LogitDemand(instruments=["unit_cost"]).fit(market_table(seed, follow=follow)).price_coefficient_
            scores.append((found.coefficient + 1.5) / found.se)
        assert np.mean(np.abs(scores) < 1.96) >= 0.8
        assert abs(np.mean(scores)) < 0.8

    def test_least_squares_on_prices_that_follow_demand_is_wrong(self):
        found = LogitDemand().fit(market_table(0, follow=0.5)).price_coefficient_
        assert found.coefficient > -1.5 + 4 * found.se

    @pytest.mark.parametrize("nesting", [0.0, 0.6])
    def test_recovers_the_nesting(self, nesting):
        table = market_table(1, nesting=nesting)
        model = LogitDemand(effects=("product",), nested=True).fit(table)
        assert model.nesting_ is not None
        assert model.nesting_.coefficient == pytest.approx(nesting, abs=3.5 * model.nesting_.se)
        assert model.nesting_.se < 0.1
        assert model.price_coefficient_.coefficient == pytest.approx(-1.5, abs=3.5 * model.price_coefficient_.se)
        assert model.nesting_f_ > 100

    @pytest.mark.parametrize("nesting", [0.0, 0.6])
    def test_elasticities_are_derivatives_of_the_shares(self, nesting):
        price, quality = np.array([[1.0, 1.5, 2.0]]), np.array([0.5, 0.8, 1.0])
        share = shares(price, quality, -1.5, nesting)
        table = pd.DataFrame({"product": list("abc"), "share": share[0], "price": price[0]})
        matrix = logit_elasticities(table, -1.5, nesting)
        for column in range(3):
            up = price * np.where(np.arange(3) == column, 1 + 1e-6, 1.0)
            slope = np.log(shares(up, quality, -1.5, nesting) / share)[0] / 1e-6
            np.testing.assert_allclose(matrix.iloc[:, column], slope, atol=1e-5)

    def test_row_order_currency_and_size_of_the_market(self):
        table = market_table(2)
        first = LogitDemand().fit(table).price_coefficient_
        shuffled = table.sample(frac=1, random_state=0).assign(price=lambda rows: rows["price"] * 100)
        again = LogitDemand().fit(shuffled).price_coefficient_
        assert again.coefficient == pytest.approx(first.coefficient / 100)
        assert again.se == pytest.approx(first.se / 100)
        larger = LogitDemand().fit(table.assign(share=table["share"] / 5)).price_coefficient_
        assert larger.coefficient == pytest.approx(first.coefficient)

    def test_mistakes(self):
        table = market_table(0)
        with pytest.raises(ValueError, match="nested=True must come without market effects"):
            LogitDemand(nested=True).fit(table)
        with pytest.raises(ValueError, match="effects must be of"):
            LogitDemand(effects=("store",)).fit(table)
        with pytest.raises(ValueError, match="sum to less than 1"):
            LogitDemand().fit(table.assign(share=0.3))
        with pytest.raises(ValueError, match="column 'cost' is missing"):
            LogitDemand(instruments=["cost"]).fit(table)
        with pytest.raises(ValueError, match="duplicates"):
            LogitDemand().fit(pd.concat([table, table]))
        with pytest.raises(ValueError, match="every share must be above 0"):
            LogitDemand().fit(table.assign(share=0.0))


@pytest.fixture(scope="module")
def panel() -> pd.DataFrame:
    """Two categories, 1,000 baskets a week; a nest of .5 in one of them and none in the other."""
    parts = []
    for name, nesting in (("close", 0.5), ("plain", 0.0)):
        table = market_table(7, nesting=nesting).rename(columns={"market": "week"})
        table["product"] = name + "-" + table["product"]
        parts.append(table.assign(category=name, units=1000 * table["share"], traffic=1000.0))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def fitted(panel) -> Substitution:
    return Substitution().fit(panel)


class TestPanel:
    def test_categories(self, fitted):
        table = fitted.categories_.set_index("category")
        # Within a nest, the logit on the shares inside sees the coefficient divided by 1 - rho.
        np.testing.assert_allclose(table["price_coefficient"][["close", "plain"]], [-3.0, -1.5], atol=0.25)
        # Units per basket never exceed half the market, so that its size is not the true one and rho bends with it.
        assert table["nesting"]["close"] > table["nesting"]["plain"] + 0.25
        assert not table["implausible"].any()

    def test_own_elasticities_beside_cross_ones(self, fitted, panel):
        for name, matrix in fitted.cross_.items():
            assert list(matrix.index) == list(matrix.columns)
            values = matrix.to_numpy()
            assert (np.diag(values) < 0).all()
            assert (values[~np.eye(6, dtype=bool)] > 0).all(), name
        assert set(fitted.own_["product"]) == set(panel["product"])
        assert (fitted.own_["logit_se"] > 0).all()

    def test_row_order_and_currency(self, fitted, panel):
        money = panel.sample(frac=1, random_state=0).assign(price=lambda rows: rows["price"] * 100)
        again = Substitution().fit(money)
        pd.testing.assert_frame_equal(again.own_, fitted.own_)
        scaled = again.categories_.assign(
            **{
                n: again.categories_[n] * 100
                for n in ("price_coefficient", "price_coefficient_se", "shrunk", "shrunk_se")
            }
        )
        pd.testing.assert_frame_equal(scaled, fitted.categories_)

    def test_a_category_with_one_product_has_none(self, panel):
        lone = panel[(panel["category"] == "plain") | (panel["product"] == "close-p0")]
        model = Substitution().fit(lone)
        assert np.isnan(model.categories_.set_index("category").loc["close", "price_coefficient"])
        assert list(model.cross_) == ["plain"]
        with pytest.raises(ValueError, match="a category with two products"):
            Substitution().fit(lone[lone["category"] == "close"])

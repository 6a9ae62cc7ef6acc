"""The choice model against shares that were made by one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from repricer.forecasting import LogitDemand

pytestmark = pytest.mark.filterwarnings("error")


def shares(price: np.ndarray, quality: np.ndarray, coefficient: float) -> np.ndarray:
    """(M, N) choice probabilities of a logit."""
    pull = np.exp(quality + coefficient * price)
    return pull / (1 + pull.sum(axis=1, keepdims=True))


def market_table(seed: int, *, follow: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    shape = (120, 6)
    cost, shock = rng.normal(2, 0.3, shape), rng.normal(0, 0.3, shape)
    price = cost + follow * shock + rng.normal(0, 0.1, shape)
    share = shares(price, rng.normal(0.5, 0.4, 6) + shock, -1.5)
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

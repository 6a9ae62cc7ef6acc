import numpy as np
import pandas as pd
import pytest
from repricer.forecasting import PriceResponse
from repricer.forecasting.response import estimates
from repricer.forecasting.response.estimates import batches_of

PRODUCTS = 24


@pytest.fixture
def panel(simulate) -> pd.DataFrame:
    """Products of eight categories with a season each, and costs that move their prices."""
    panel = simulate(n_products=PRODUCTS, elasticity=np.linspace(-3.5, -1.0, PRODUCTS), n_weeks=104, seed=3)
    number = panel["product"].factorize()[0] % 8
    year = 2 * np.pi * panel["week"].dt.day_of_year / 365.25
    return panel.assign(category=[f"c{n}" for n in number], units=panel["units"] * np.exp(0.3 * np.sin(year + number)))


def test_batches_of_categories_say_what_the_whole_says(panel, monkeypatch):
    whole = PriceResponse().fit(panel)
    monkeypatch.setattr(estimates, "_LARGEST", 2**17)
    parts = PriceResponse()._batches(panel)
    assert len(parts) > 2
    split = PriceResponse().fit(panel.sample(frac=1, random_state=0))
    for name in ("elasticity_", "category_elasticity_"):
        one, other = getattr(whole, name), getattr(split, name)
        assert list(one.columns) == list(other.columns)
        pd.testing.assert_frame_equal(one.select_dtypes("str"), other.select_dtypes("str"))
        assert (np.abs(one["raw"] - other["raw"]) < 1.5 * one["raw_se"]).all()
        assert (np.abs(one["shrunk"] - other["shrunk"]) < 1.5 * one["shrunk_se"]).all()
        assert (one["weeks"] == other["weeks"]).all()
    assert split.pooled_.coefficient == pytest.approx(whole.pooled_.coefficient, abs=whole.pooled_.se)
    assert split.pooled_.se == pytest.approx(whole.pooled_.se, rel=0.5)
    assert split.variance_["within_category"] == pytest.approx(whole.variance_["within_category"], rel=0.3)
    assert str(split.identification_).startswith("Identified by fixed effects; held fixed: product, week")


def test_of_a_large_catalogue_no_batch_shares_more_columns_than_it_may_and_each_can_be_estimated():
    weeks = pd.date_range("2024-01-01", periods=104, freq="W")
    names = [f"p{i}" for i in range(10_000)]
    rows = pd.DataFrame({"product": np.repeat(names, 104), "week": np.tile(weeks, 10_000)})
    rows["category"] = rows["product"].map({name: f"c{i // 6}" for i, name in enumerate(names)})
    usable = rows.groupby("category")["product"].nunique().where(lambda s: s.index > "c2", 0)
    batches = batches_of(rows, usable, least=3)
    assert sorted(np.concatenate(batches)) == sorted(rows["category"].unique())
    for batch in batches:
        assert 6 * len(batch) * 104 * (104 + 2 * len(batch)) <= 1.01 * estimates._LARGEST
        assert usable[batch].sum() >= 0.9 * usable.sum() / len(batches)


def test_where_hardly_a_product_can_be_used_all_are_estimated_together():
    weeks = pd.date_range("2024-01-01", periods=104, freq="W")
    rows = pd.DataFrame({"product": np.repeat([f"p{i}" for i in range(5_000)], 104), "week": np.tile(weeks, 5_000)})
    rows["category"] = rows["product"]
    usable = pd.Series(0, index=rows["category"].unique())
    assert len(batches_of(rows, usable, least=3)) == 1
    usable.iloc[:7] = 1
    assert len(batches_of(rows, usable, least=3)) == 2

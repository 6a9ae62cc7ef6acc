"""The price regression of small assortments."""

import numpy as np
import pandas as pd
import pytest
from repricer.fitting.regression import price_regression
from repricer.forecasting import example_panel


def test_a_single_category_is_enough():
    panel = example_panel(elasticity=-2.0).assign(category="all")
    assert price_regression(panel).pooled_.coefficient == pytest.approx(-2.0, abs=0.4)


def test_a_dear_product_that_comes_is_no_rise_of_the_other_prices():
    """Own prices move demand by -2.5, those of the category's others by 1."""
    random, category = np.random.default_rng(3), np.arange(8) // 4
    reduced = np.where(random.random((100, 2)) < 0.35, np.log(0.75), 0.0)[:, category]
    own = reduced + np.where(random.random((100, 8)) < 0.2, np.log(0.8), 0.0)
    others = (own @ (category[:, None] == category) - own) / 3
    panel = pd.DataFrame(
        {
            "product": np.tile(list("abcdefgh"), 100),
            "category": np.tile(list("xxxxyyyy"), 100),
            "week": pd.date_range("2023-01-02", periods=100, freq="7D").repeat(8),
            "units": random.poisson(60 * np.exp(others - 2.5 * own)).ravel(),
            "price": (np.exp(own) * [2, 2, 2, 8, 2, 2, 2, 8]).ravel(),
            "traffic": 1000.0,
        }
    )
    late = (panel["product"] == "d") & (panel["week"] < "2023-12-18")
    found = price_regression(panel[~late])
    assert found.control_effects_["rival_log_price"].coefficient == pytest.approx(1.0, abs=0.15)
    assert found.pooled_.coefficient == pytest.approx(-2.5, abs=0.1)


def test_all_products_of_a_catalogue_of_thousands_are_estimated():
    random, shape = np.random.default_rng(4), (2500, 52)
    log_price = np.where(random.random(shape) < 0.3, np.log(0.75), 0.0)
    log_price += np.tile(np.where(random.random((40, 52)) < 0.2, np.log(0.85), 0.0), (63, 1))[:2500]
    panel = pd.DataFrame(
        {
            "product": np.repeat([f"p{i}" for i in range(shape[0])], shape[1]),
            "category": np.repeat([f"c{i % 40}" for i in range(shape[0])], shape[1]),
            "week": np.tile(pd.date_range("2023-01-02", periods=shape[1], freq="7D"), shape[0]),
            "units": np.exp(3 - 2 * log_price + random.normal(0, 0.2, shape)).ravel(),
            "price": np.exp(log_price).ravel(),
            "traffic": 1000.0,
        }
    )
    found = price_regression(panel)
    score = (found.elasticity_["raw"] + 2) / found.elasticity_["raw_se"]
    assert (score.abs() < 1.96).mean() == pytest.approx(0.95, abs=0.02)

"""The price regression of small assortments."""

import pytest
from repricer.fitting.regression import price_regression
from repricer.forecasting import example_panel


def test_a_single_category_is_enough():
    panel = example_panel(elasticity=-2.0).assign(category="all")
    assert price_regression(panel).pooled_.coefficient == pytest.approx(-2.0, abs=0.4)

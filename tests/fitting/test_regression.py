"""The price regression of small assortments."""

import pytest
from repricer.fitting.regression import price_regression
from repricer.forecasting import example_panel


def test_a_single_category_is_enough():
    panel = example_panel(elasticity=-2.0).assign(category="all")
    assert price_regression(panel).pooled_.coefficient == pytest.approx(-2.0, abs=0.4)


def test_the_answer_of_a_whole_category_is_not_held_fixed_by_its_own_prices():
    # Products that do not take customers from each other: their category answers as each of them does.
    whole = price_regression(example_panel(n_weeks=80, elasticity=-2.0)).category_elasticity_
    assert whole["raw"].tolist() == pytest.approx([-2.0] * 2, abs=0.5)
    assert (whole["raw_se"] < 0.5).all()

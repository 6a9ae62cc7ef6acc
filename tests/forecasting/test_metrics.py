from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from repricer.forecasting.metrics import bias, coverage, mase, pinball, wape
from sklearn.metrics import mean_pinball_loss

ACTUAL, FORECAST = [2.0, 4.0, 6.0], [3.0, 4.0, 2.0]
units = arrays(float, 5, elements=st.floats(1, 1e4))


def test_by_hand():
    assert wape(ACTUAL, FORECAST) == pytest.approx(5 / 12)
    assert bias(ACTUAL, FORECAST) == pytest.approx(-3 / 12)
    # History 1, 3, 2 has changes 2 and -1: mean absolute 1.5.
    assert mase(ACTUAL, FORECAST, 1.5) == pytest.approx(5 / 3 / 1.5)
    assert coverage(ACTUAL, [2, 5, 0], [2, 9, 5]) == pytest.approx(1 / 3)


def test_scales_by_row_and_leaves_constant_histories_out():
    assert mase(ACTUAL, FORECAST, [1.0, 1.0, 0.0]) == pytest.approx(0.5)


def test_nothing_sold_has_no_relative_error():
    assert np.isnan(wape([0.0], [1.0]))
    assert np.isnan(bias([0.0], [1.0]))
    assert np.isnan(pinball([0.0], {0.5: [1.0]}))


@given(units, units, st.floats(0.01, 0.99))
def test_pinball_agrees_with_scikit_learn(actual, forecast, level):
    expected = 2 * mean_pinball_loss(actual, forecast, alpha=level) / actual.mean()
    assert pinball(actual, {level: forecast}) == pytest.approx(expected)


@given(units, units)
def test_pinball_of_the_median_is_the_wape(actual, forecast):
    assert pinball(actual, {0.5: forecast}) == pytest.approx(wape(actual, forecast))


@given(units, units, st.floats(0.1, 100))
def test_unit_of_measure_is_irrelevant(actual, forecast, unit):
    assert wape(unit * actual, unit * forecast) == pytest.approx(wape(actual, forecast))
    assert mase(unit * actual, unit * forecast, unit) == pytest.approx(mase(actual, forecast, 1))

"""Draws of all models in proportion to their evidence."""

import numpy as np
from repricer.fitting.demand.model_averaging import mean_probability
from scipy.special import softmax


def test_a_mean_of_certainties_is_certain_though_weights_sum_to_one_but_for_rounding():
    weights = [softmax(odds) for odds in np.random.default_rng(0).normal(0, 3, (100, 2))]
    assert max(weight @ [1.0, 1.0] for weight in weights) > 1
    assert {mean_probability(weight, [1.0, 1.0]) <= 1 for weight in weights} == {True}
    assert np.isnan(mean_probability(weights[0], [np.nan, np.nan]))

"""Negative binomial counts against scipy, and their derivatives against differences."""

import numpy as np
import pytest
from repricer.fitting.demand.counts import Dispersion, counts
from scipy.stats import nbinom

UNITS, MEAN, ALPHA = np.array([0.0, 3.0, 40.0, 7.0]), np.array([2.0, 2.5, 30.0, 20.0]), np.array([0.1, 0.5, 0.05, 2.0])


def test_the_likelihood_is_scipys():
    expected = nbinom.logpmf(UNITS, 1 / ALPHA, 1 / (1 + ALPHA * MEAN))
    np.testing.assert_allclose(counts(UNITS, MEAN, ALPHA).log_likelihood, expected, rtol=1e-9)


def test_a_count_cut_by_stock_was_at_least_what_was_sold():
    cut = counts(UNITS, MEAN, ALPHA, np.array([True, True, True, False]))
    expected = nbinom.sf(UNITS[1:3] - 1, 1 / ALPHA[1:3], 1 / (1 + ALPHA[1:3] * MEAN[1:3]))
    np.testing.assert_allclose(np.exp(cut.log_likelihood[1:3]), expected, rtol=1e-8)
    assert cut.log_likelihood[0] == 0
    assert cut.score[0] == 0
    assert cut.log_likelihood[3] == counts(UNITS, MEAN, ALPHA).log_likelihood[3]


@pytest.mark.parametrize("censored", [False, True])
def test_scores_are_derivatives_in_log_mean(censored):
    flags, step = np.array([False, censored, censored, censored]), 1e-5
    up, down = (counts(UNITS, MEAN * np.exp(d), ALPHA, flags) for d in (step, -step))
    at = counts(UNITS, MEAN, ALPHA, flags)
    np.testing.assert_allclose(at.score, (up.log_likelihood - down.log_likelihood) / (2 * step), rtol=1e-5, atol=1e-7)
    if censored:
        second = -(up.score - down.score) / (2 * step)
        np.testing.assert_allclose(at.information[1:], second[1:], rtol=1e-4)


def test_the_dispersion_is_found_again():
    generator = np.random.default_rng(0)
    mean, alpha = np.full((600, 2), 25.0), np.array([0.02, 0.4])
    units = generator.poisson(mean * generator.gamma(1 / alpha, alpha, mean.shape)).astype(float)
    np.testing.assert_allclose(Dispersion(units, np.ones(units.shape, bool)).fitted(mean), alpha, rtol=0.25)

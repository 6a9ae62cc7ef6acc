"""Noise: as large as the theory says, no smaller, and hiding one customer."""

import numpy as np
import pytest
from repricer.privacy.noise import clipped_sums, most_advantage, noise_of_sums, noisy_sums


def test_sums_have_gaussian_noise_and_one_customer_moves_them_by_one_at_most():
    rows = np.array([[3.0, 4.0], [0.3, 0.4]])
    labels = np.array([1, 1])
    np.testing.assert_allclose(clipped_sums(rows, labels, 2), [[0, 0], [0.9, 1.2]])
    # The analytic Gaussian mechanism (Balle and Wang 2018) needs 4.22; zCDP's conversion, as sold here, a little more.
    assert 4.2 < noise_of_sums(1.0, 1e-6) < 5.0
    many = noisy_sums(np.zeros((1, 2000)), np.array([0]), 1, 1.0, 1e-6)
    assert many.std() == pytest.approx(noise_of_sums(1.0, 1e-6), rel=0.08)


def test_an_attacker_tells_two_normal_distributions_one_deviation_apart_as_the_theory_says():
    gain = most_advantage([2.0, 2.0, 2.0, 2.0])
    draws = np.random.default_rng(0).normal(size=20_000)
    assert gain == pytest.approx((draws + 1 > 0.5).mean() - (draws > 0.5).mean(), abs=0.01)

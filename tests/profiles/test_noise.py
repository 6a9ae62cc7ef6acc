"""Noise: as large as the theory says, no smaller, and hiding one customer."""

import numpy as np
import pytest
from repricer.profiles.noise import clipped_sums, noise_of_sums, noisy_best, noisy_counts, noisy_sums


def test_counts_have_laplace_noise_of_their_epsilon():
    noise = noisy_counts(np.full((40, 50), 7.0), 0.5) - 7
    assert noise.shape == (40, 50)
    # The discrete Laplace distribution of scale 2 has a variance of 7.835.
    assert noise.var() == pytest.approx(7.835, rel=0.15)
    assert abs(noise.mean()) < 0.3


def test_sums_have_gaussian_noise_and_one_customer_moves_them_by_one_at_most():
    rows = np.array([[3.0, 4.0], [0.3, 0.4]])
    labels = np.array([1, 1])
    np.testing.assert_allclose(clipped_sums(rows, labels, 2), [[0, 0], [0.9, 1.2]])
    # The analytic Gaussian mechanism (Balle and Wang 2018) needs 4.22; zCDP's conversion, as sold here, a little more.
    assert 4.2 < noise_of_sums(1.0, 1e-6) < 5.0
    many = noisy_sums(np.zeros((1, 2000)), np.array([0]), 1, 1.0, 1e-6)
    assert many.std() == pytest.approx(noise_of_sums(1.0, 1e-6), rel=0.08)


def test_the_best_is_chosen_as_permute_and_flip_does():
    chosen = [noisy_best(np.array([10.0, 10.0 + np.log(3)]), 1.0) for _ in range(2000)]
    # The worse one is chosen if it comes first (1/2) and is accepted (1/3).
    assert np.mean(chosen) == pytest.approx(5 / 6, abs=0.04)

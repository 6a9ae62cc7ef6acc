"""Distribution of the samplers: chi-square at a stated level. With 24 tests at 1e-4 a false alarm has 0.24%."""

import numpy as np
import pytest
from numba import njit
from repricer.envs.fastmath import exponential
from repricer.envs.random import derive, gamma_multiplier, poisson, uniform
from scipy import stats

LEVEL = 1e-4
COUNT = 200_000


@njit
def poissons(mean, seed, count):
    out = np.empty(count)
    for i in range(count):
        out[i] = poisson(mean, derive(np.uint64(seed), i))
    return out


@njit
def gammas(variance, count):
    out = np.empty(count)
    for i in range(count):
        out[i] = gamma_multiplier(variance, derive(np.uint64(3), i))
    return out


@njit
def uniforms(count):
    out = np.empty(count)
    for i in range(count):
        out[i] = uniform(derive(np.uint64(3), i))
    return out


@njit
def exponentials(x):
    out = np.empty_like(x)
    for i in range(x.size):
        out[i] = exponential(x[i])
    return out


@pytest.mark.parametrize("mean", [0.01, 0.3, 1.0, 4.0, 20.0, 63.9, 64.1, 100.0, 1000.0, 10_000.0])
def test_poisson_is_poisson(mean):
    draws = poissons(mean, 7, COUNT)
    edges = np.unique(stats.poisson.ppf(np.linspace(0.001, 0.999, 60), mean))
    expected = np.diff(np.concatenate([[0], stats.poisson.cdf(edges, mean), [1]])) * COUNT
    observed = np.bincount(np.searchsorted(edges, draws, side="left"), minlength=len(edges) + 1)
    keep = expected > 5
    observed, expected = (
        np.append(observed[keep], observed[~keep].sum()),
        np.append(expected[keep], expected[~keep].sum()),
    )
    if expected[-1] == 0:
        observed, expected = observed[:-1], expected[:-1]
    if len(expected) > 1:
        assert stats.chisquare(observed, expected).pvalue > LEVEL


@pytest.mark.parametrize("variance", [0.02, 0.3, 1.0, 3.0])
def test_gamma_is_gamma_with_mean_one(variance):
    assert stats.kstest(gammas(variance, COUNT), stats.gamma(1 / variance, scale=variance).cdf).pvalue > LEVEL


def test_uniform_is_uniform_and_neighbours_are_independent():
    draws = uniforms(COUNT)
    assert stats.kstest(draws, "uniform").pvalue > LEVEL
    pairs, _, _ = np.histogram2d(draws[:-1:2], draws[1::2], bins=20)
    assert stats.chisquare(pairs.reshape(-1)).pvalue > LEVEL


def test_fast_exponential_is_accurate_in_both_types():
    x = np.linspace(-80, 80, 100_001)
    np.testing.assert_allclose(
        exponentials(x.astype(np.float32)), np.exp(x.astype(np.float32).astype(float)), rtol=3e-7
    )
    np.testing.assert_allclose(exponentials(x), np.exp(x), rtol=1e-15)

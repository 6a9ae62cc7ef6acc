"""Elementary functions of the compiled loops: their precision."""

import numpy as np
from numba import njit
from repricer.envs.jit.math import logarithm, multiply_add


@njit
def logarithms(x, out):
    for i in range(x.size):
        out[i] = logarithm(x[i])


@njit
def fused(x, y, z):
    return multiply_add(x, y, z)


def test_logarithms_are_as_precise_as_they_say():
    x = np.exp(np.linspace(-80, 80, 200_001)).astype(np.float32)
    found = np.empty_like(x)
    logarithms(x, found)
    exact = np.log(x.astype(np.float64))
    assert (np.abs(found - exact) <= 2e-7 * np.maximum(np.abs(exact), 1)).all()


def test_a_product_and_a_sum_are_rounded_once():
    x = np.float32(1 + 2**-12)
    exact = np.float32(np.float64(x) * np.float64(x) - 1)
    assert fused(x, x, np.float32(-1)) == exact != np.float32(x * x) - np.float32(1)

"""Counter-based randomness: every draw is a hash of (seed, market, episode, period, product, stream).

A market's path therefore depends neither on how many others run beside it nor on threads, and two policies meet the
same customers. The hash is the finaliser of SplitMix64 (Steele, Lea and Flood 2014, Fast Splittable Pseudorandom
Number Generators); Poisson draws are by inversion, so that they rise with the mean for the same customer, and by
transformed rejection (PTRS; Hörmann 1993, The transformed rejection method for generating Poisson random variables)
for large means; gamma draws are by Marsaglia and Tsang (2000), A simple method for generating gamma variables.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B = np.uint64(0x94D049BB133111EB)
_ONE = np.uint64(1)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_TO_UNIT = 2.0**-53
# Inversion walks up from zero; beyond this mean rejection is cheaper.
_INVERSION_LIMIT = 64.0
_RECIPROCAL = 1.0 / np.maximum(np.arange(256.0), 1.0)


@njit(cache=True, inline="always")
def mix(z: np.uint64) -> np.uint64:
    """The SplitMix64 finaliser: a bijection of 64-bit words that scatters neighbours."""
    z = (z ^ (z >> _S30)) * _MIX_A
    z = (z ^ (z >> _S27)) * _MIX_B
    return z ^ (z >> _S31)


@njit(cache=True, inline="always")
def derive(key: np.uint64, index: int) -> np.uint64:
    """The key of the index-th child of a key."""
    return mix(key + _GOLDEN * (np.uint64(index) + _ONE))


@njit(cache=True, inline="always")
def uniform(key: np.uint64) -> float:
    """A double in (0, 1) from a key."""
    return (float(key >> _S11) + 0.5) * _TO_UNIT


@njit(cache=True)
def market_keys(seed: int, markets: NDArray[np.int64], episodes: NDArray[np.int64]) -> NDArray[np.uint64]:
    """(E,) key of each market's present episode."""
    keys = np.empty(markets.size, dtype=np.uint64)
    root = mix(np.uint64(seed) + _GOLDEN)
    for e in range(markets.size):
        keys[e] = derive(derive(root, markets[e]), episodes[e])
    return keys


@njit(cache=True)
def poisson(mean: float, key: np.uint64) -> float:
    """A Poisson draw with this mean, >= 0."""
    if mean <= 0.0:
        return 0.0
    if mean <= _INVERSION_LIMIT:
        return _poisson_inversion(mean, uniform(key))
    return _poisson_rejection(mean, key)


@njit(cache=True)
def _poisson_inversion(mean: float, u: float) -> float:
    mass = math.exp(-mean)
    total, k = mass, 0
    # Past 255 units the tail of the largest mean here is far below the resolution of u.
    while u > total and k < 255:
        k += 1
        mass *= mean * _RECIPROCAL[k]
        total += mass
    return float(k)


@njit(cache=True)
def _poisson_rejection(mean: float, key: np.uint64) -> float:
    b = 0.931 + 2.53 * math.sqrt(mean)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    v_r = 0.9277 - 3.6224 / (b - 2.0)
    log_mean = math.log(mean)
    attempt = 0
    while True:
        u = uniform(derive(key, attempt)) - 0.5
        v = uniform(derive(key, attempt + 1))
        attempt += 2
        us = 0.5 - abs(u)
        k = math.floor((2.0 * a / us + b) * u + mean + 0.43)
        if us >= 0.07 and v <= v_r:
            return k
        if k < 0.0 or (us < 0.013 and v > us):
            continue
        left = math.log(v) + math.log(inverse_alpha) - math.log(a / (us * us) + b)
        if left <= -mean + k * log_mean - math.lgamma(k + 1.0):
            return k


@njit(cache=True)
def gamma_multiplier(variance: float, key: np.uint64) -> float:
    """A gamma draw with mean 1 and this variance > 0."""
    shape = 1.0 / variance
    boost = 1.0
    attempt = 0
    if shape < 1.0:
        boost = uniform(derive(key, attempt)) ** (1.0 / shape)
        attempt += 1
        shape += 1.0
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        radius = math.sqrt(-2.0 * math.log(uniform(derive(key, attempt))))
        x = radius * math.cos(2.0 * math.pi * uniform(derive(key, attempt + 1)))
        u = uniform(derive(key, attempt + 2))
        attempt += 3
        v = (1.0 + c * x) ** 3
        if v > 0.0 and math.log(u) < 0.5 * x * x + d - d * v + d * math.log(v):
            return boost * d * v * variance

"""Counter-based randomness: every draw is a hash of (seed, market, episode, period, product, stream).

A market's path therefore depends neither on how many others run beside it nor on threads, and two policies meet the
same customers. The hash is the finaliser of SplitMix64 (Steele, Lea and Flood 2014, Fast Splittable Pseudorandom
Number Generators); Poisson draws are by inversion, so that they rise with the mean for the same customer (many lanes at
once in blocks: small means take the lanes in step, the far tail and larger means one by one), and by transformed rejection (PTRS; Hörmann 1993, The transformed rejection method for generating Poisson random variables)
for large means; gamma draws are by Marsaglia and Tsang (2000), A simple method for generating gamma variables.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .fastmath import compiled, exponential, inlined

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B = np.uint64(0x94D049BB133111EB)
_ONE = np.uint64(1)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_TO_UNIT = 2.0**-53
# Inversion walks up from zero; beyond this mean rejection is cheaper.
_INVERSION_LIMIT = 64.0
_RECIPROCAL = 1.0 / np.maximum(np.arange(256.0), 1.0)
_RECIPROCAL32 = _RECIPROCAL.astype(np.float32)
# Lanes that go in step, and what leaves it: single precision is not enough for the far tail of a sum.
BLOCK = 64
_BLOCK_LIMIT, _BLOCK_TAIL = np.float32(48.0), np.float32(0.999)
_S41, _HALF32, _TO_UNIT32 = np.uint64(41), np.float32(0.5), np.float32(2.0**-23)
_ZERO32, _ONE32, _DONE32 = np.float32(0), np.float32(1), np.float32(-1)


@inlined
def mix(z: np.uint64) -> np.uint64:
    """The SplitMix64 finaliser: a bijection of 64-bit words that scatters neighbours."""
    z = (z ^ (z >> _S30)) * _MIX_A
    z = (z ^ (z >> _S27)) * _MIX_B
    return z ^ (z >> _S31)


@inlined
def derive(key: np.uint64, index: int) -> np.uint64:
    """The key of the index-th child of a key."""
    return mix(key + _GOLDEN * (np.uint64(index) + _ONE))


@inlined
def uniform(key: np.uint64) -> float:
    """A double in (0, 1) from a key."""
    return (float(key >> _S11) + 0.5) * _TO_UNIT


@inlined
def uniform32(key: np.uint64) -> np.float32:
    """A float32 in (0, 1) from the same bits that `uniform` uses first."""
    return (np.float32(np.int32(key >> _S41)) + _HALF32) * _TO_UNIT32


@compiled
def period_keys(seed: int, clock: NDArray[np.int64]) -> NDArray[np.uint64]:
    """(E,) key of each market's present period; clock: rows market, episode, period."""
    keys = np.empty(clock.shape[1], dtype=np.uint64)
    root = mix(np.uint64(seed) + _GOLDEN)
    for e in range(keys.size):
        keys[e] = derive(derive(derive(root, clock[0, e]), clock[1, e]), clock[2, e])
    return keys


@compiled
def poisson(mean: float, key: np.uint64) -> float:
    """A Poisson draw with this mean, >= 0."""
    if mean <= 0.0:
        return 0.0
    if mean <= _INVERSION_LIMIT:
        return _poisson_inversion(mean, uniform(key))
    return _poisson_rejection(mean, key)


@compiled
def _poisson_inversion(mean: float, u: float) -> float:
    mass = math.exp(-mean)
    total, k = mass, 0
    # Past 255 units the tail of the largest mean here is far below the resolution of u.
    while u > total and k < 255:
        k += 1
        mass *= mean * _RECIPROCAL[k]
        total += mass
    return float(k)


@compiled
def poisson_lanes(mean, keys, counter, out):
    """Poisson draws of many lanes; lane e is keyed by the counter-th child of keys[e]. mean, out: float32, (lanes,)."""
    poisson_blocks(mean, keys, counter, block_scratch(), out)


@compiled
def block_scratch():
    """Room for one block, to be used by many calls of `poisson_blocks`."""
    # One by one: arrays unpacked from a table would not count as contiguous.
    return np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)


@compiled
def poisson_blocks(mean, keys, counter, scratch, out):
    """As `poisson_lanes`, in a given scratch."""
    u, mass, total = scratch
    offset = _GOLDEN * (np.uint64(counter) + _ONE)
    for first in range(0, mean.size, BLOCK):
        block = mean[first : first + BLOCK]
        drawn = out[first : first + BLOCK]
        stragglers = _start_block(block, keys[first : first + BLOCK], offset, u, mass, total, drawn)
        _walk_block(block, u, mass, total, drawn)
        if stragglers:
            for j in range(block.size):
                if u[j] < _ZERO32:
                    drawn[j] = poisson(float(block[j]), mix(keys[first + j] + offset))


@compiled
def _start_block(mean, keys, offset, u, mass, total, out):
    """Uniforms and first terms of a block; a lane that must go alone gets u = -1. Returns whether any does."""
    stragglers = np.int32(0)
    for j in range(mean.size):
        share = uniform32(mix(keys[j] + offset))
        alone = np.int32(mean[j] > _BLOCK_LIMIT) | np.int32(share > _BLOCK_TAIL)
        u[j] = _DONE32 if alone else share
        stragglers = np.int32(stragglers | alone)
        mass[j] = exponential(-mean[j])
        total[j] = mass[j]
        out[j] = _ZERO32
    return stragglers


@compiled
def _walk_block(mean, u, mass, total, out):
    """Inversion of all lanes of a block in step, until none is below its uniform."""
    for k in range(1, 256):
        reciprocal, going = _RECIPROCAL32[k], np.int32(0)
        for j in range(mean.size):
            more = np.int32(u[j] > total[j])
            out[j] += np.float32(more)
            going = np.int32(going | more)
            mass[j] *= mean[j] * reciprocal
            total[j] += mass[j]
        if going == 0:
            return


@compiled
def _binomial(count: float, probability: float, none: NDArray, key: np.uint64) -> float:
    """How many of `count` >= 1 happen: by inversion, in parts of at most 64; none: (65,) chance that none of so many does."""
    rare = min(probability, 1.0 - probability)
    happened, part, left = 0.0, 0, count
    odds = rare / (1.0 - rare)
    while left >= 1.0:
        size = min(left, 64.0)
        u, k = uniform(derive(key, part)), 0.0
        mass = none[int(size)]
        total = mass
        while u > total and k < size:
            k += 1.0
            mass *= odds * (size - k + 1.0) / k
            total += mass
        happened += k
        left -= size
        part += 1
    return happened if rare == probability else count - happened


@compiled
def binomial_lanes(count, probability, keys, counter, out):
    """Binomial draws of many lanes with one probability; lane e is keyed by the counter-th child of keys[e]."""
    none, probability = np.empty(65), float(probability)
    for size in range(none.size):
        none[size] = (1.0 - min(probability, 1.0 - probability)) ** size
    for e in range(out.size):
        out[e] = _ZERO32
        if count[e] >= _ONE32:
            out[e] = _binomial(float(count[e]), probability, none, derive(keys[e], counter))


@compiled
def normal(key: np.uint64) -> float:
    """A standard normal draw (Box and Muller 1958, A Note on the Generation of Random Normal Deviates)."""
    radius = math.sqrt(-2.0 * math.log(uniform(derive(key, 0))))
    return radius * math.cos(2.0 * math.pi * uniform(derive(key, 1)))


@compiled
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


@compiled
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

"""Counter-based random numbers: every draw is the hash of a key.

The key is (seed, market, episode, period, product, stream). A market's path therefore depends
neither on the other markets of its batch nor on threads, and two policies meet the same customers.
The hash is the finaliser of SplitMix64 (Steele, Lea and Flood 2014, Fast Splittable Pseudorandom
Number Generators). Poisson draws use inversion, so that a draw rises with its mean for the same
customer; lanes are drawn together in blocks, except those in the far tail or with larger means.
Large means use transformed rejection (PTRS; Hörmann 1993, The transformed rejection method for
generating Poisson random variables). Gamma draws follow Marsaglia and Tsang (2000), A simple method
for generating gamma variables.
"""

from __future__ import annotations

import math

import numpy as np

from .compiling import compiled, inlined, merged
from .math import BLOCK, exponential, load_block, logarithm, store_block

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B = np.uint64(0x94D049BB133111EB)
_ONE = np.uint64(1)
_S30 = np.uint64(30)
_S27 = np.uint64(27)
_S31 = np.uint64(31)
_S11 = np.uint64(11)
_TO_UNIT = 2.0**-53
# Inversion counts up from zero; above this mean rejection is cheaper.
_INVERSION_LIMIT = 64.0
_RECIPROCAL = 1.0 / np.maximum(np.arange(256.0), 1.0)
_RECIPROCAL32 = _RECIPROCAL.astype(np.float32)
# Lanes beyond these limits are drawn one by one: single precision is not enough for the far tail of
# a sum.
_BLOCK_LIMIT = np.float32(48.0)
_BLOCK_TAIL = np.float32(0.999)
_S41 = np.uint64(41)
_HALF32 = np.float32(0.5)
_TO_UNIT32 = np.float32(2.0**-23)
_ZERO32 = np.float32(0)
_ONE32 = np.float32(1)
_DONE32 = np.float32(-1)
_TWO32 = np.float32(2)
_FIVE32 = np.float32(5)
_ROOT2 = np.float32(math.sqrt(2))
_TINY32 = np.float32(1e-30)
_LARGEST_PART = 64.0
_S23 = np.uint64(23)
_LEAST_VARIANCE = 1e-3
# Coefficients of Giles' single-precision inverse error function, in the centre and in the tails.
_M0 = np.float32(2.81022636e-08)
_M1 = np.float32(3.43273939e-07)
_M2 = np.float32(-3.5233877e-06)
_M3 = np.float32(-4.39150654e-06)
_M4 = np.float32(0.00021858087)
_M5 = np.float32(-0.00125372503)
_M6 = np.float32(-0.00417768164)
_M7 = np.float32(0.246640727)
_M8 = np.float32(1.50140941)
_M9 = np.float32(2.5)
_T0 = np.float32(-0.000200214257)
_T1 = np.float32(0.000100950558)
_T2 = np.float32(0.00134934322)
_T3 = np.float32(-0.00367342844)
_T4 = np.float32(0.00573950773)
_T5 = np.float32(-0.0076224613)
_T6 = np.float32(0.00943887047)
_T7 = np.float32(1.00167406)
_T8 = np.float32(2.83297682)
_T9 = np.float32(3.0)


@inlined
def mix(z: np.uint64) -> np.uint64:
    """The finaliser of SplitMix64: a bijection of 64-bit words that maps neighbours far apart."""
    z = (z ^ (z >> _S30)) * _MIX_A
    z = (z ^ (z >> _S27)) * _MIX_B
    return z ^ (z >> _S31)


@inlined
def derive(key: np.uint64, index: int) -> np.uint64:
    """The key of the index-th child of a key."""
    return mix(key + child(index))


@inlined
def child(index: int) -> np.uint64:
    """The number that `derive` adds to a key before mixing: the same for all keys of a loop."""
    return _GOLDEN * (np.uint64(index) + _ONE)


@inlined
def uniform(key: np.uint64) -> float:
    """A double in (0, 1) from a key."""
    return (float(key >> _S11) + 0.5) * _TO_UNIT


@inlined
def uniform32(key: np.uint64) -> np.float32:
    """A float32 in (0, 1) from the leading bits of the same key as `uniform`."""
    return (np.float32(np.int32(key >> _S41)) + _HALF32) * _TO_UNIT32


@compiled
def period_keys(seed, clock, keys):
    """Fill (E,) uint64 with the key of each market's period; see `MarketState.clock`."""
    root = mix(np.uint64(seed) + _GOLDEN)
    for e in range(keys.size):
        keys[e] = derive(derive(derive(root, clock[0, e]), clock[1, e]), clock[2, e])


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
    total = mass
    k = 0
    # Past 255 units the tail of the largest mean here is far below the resolution of u.
    while u > total and k < 255:
        k += 1
        mass *= mean * _RECIPROCAL[k]
        total += mass
    return float(k)


@compiled
def poisson_rows(mean, keys, counter, step, out):
    """Poisson draws of rows of lanes, (N, E) float32: lane e of row n has child counter + n * step of keys[e] as key."""
    rows = np.empty((5, BLOCK), np.float32)
    rate = rows[0]
    u = rows[1]
    drawn = rows[2]
    mass = rows[3]
    total = rows[4]
    for n in range(out.shape[0]):
        offset = child(counter + n * step)
        for first in range(0, out.shape[1], BLOCK):
            load_block(mean, n, first, rate)
            stragglers = start_lanes(rate, keys, first, offset, _BLOCK_LIMIT, u)
            walk_poisson(rate, u, mass, total, drawn)
            if stragglers:
                for j in range(min(BLOCK, keys.size - first)):
                    if u[j] < _ZERO32:
                        drawn[j] = poisson(float(rate[j]), mix(keys[first + j] + offset))
            store_block(drawn, n, first, out)


@merged
def start_lanes(size, keys, first, offset, most, u):
    """Fill the uniforms of a block, -1 for lanes to be drawn alone (large or in the far tail).

    Returns whether any are.
    """
    stragglers = np.int32(0)
    lanes = min(BLOCK, keys.size - first)
    for j in range(lanes, BLOCK):
        u[j] = _DONE32
    for j in range(lanes):
        share = uniform32(mix(keys[np.uint64(first) + np.uint64(j)] + offset))
        alone = np.int32(size[j] > most) | np.int32(share > _BLOCK_TAIL)
        u[j] = _DONE32 if alone else share
        stragglers = np.int32(stragglers | alone)
    return stragglers


@merged
def walk_poisson(rate, u, mass, total, drawn):
    """Inversion of all lanes of a block together, until every lane has reached its uniform."""
    for j in range(BLOCK):
        mass[j] = exponential(-rate[j])
        total[j] = mass[j]
        drawn[j] = _ZERO32
    for k in range(1, 256):
        ratio = _RECIPROCAL32[k]
        going = np.int32(0)
        for j in range(BLOCK):
            more = u[j] > total[j]
            drawn[j] += _ONE32 if more else _ZERO32
            going = np.int32(going | np.int32(more))
            # The term of a lane that has reached its uniform is zero: further ones would shrink to subnormal
            # numbers, on which the processor is many times slower.
            mass[j] = mass[j] * (rate[j] * ratio) if more else _ZERO32
            total[j] += mass[j]
        if going == 0:
            return


@compiled
def _binomial(count: float, rare: float, key: np.uint64) -> float:
    """A binomial draw with count >= 1 and rare <= 0.5: by inversion, 64 trials at a time."""
    happened = 0.0
    part = 0
    left = count
    odds = rare / (1.0 - rare)
    while left >= 1.0:
        size = min(left, _LARGEST_PART)
        u = uniform(derive(key, part) if part else key)
        k = 0.0
        mass = (1.0 - rare) ** size
        total = mass
        while u > total and k < size:
            k += 1.0
            mass *= odds * (size - k + 1.0) / k
            total += mass
        happened += k
        left -= size
        part += 1
    return happened


@compiled
def binomial_lanes(count, probability, keys, counter, out):
    """Binomial draws of many lanes with one probability; keys as for `poisson_rows`.

    count, out: float32, (lanes,); a count below 1 gives 0.
    """
    rare = min(float(probability), 1.0 - float(probability))
    counts = count.reshape(1, -1)
    drawn_row = out.reshape(1, -1)
    rows = np.empty((5, BLOCK), np.float32)
    size = rows[0]
    u = rows[1]
    drawn = rows[2]
    mass = rows[3]
    total = rows[4]
    offset = child(counter)
    none = np.float32(math.log1p(-rare))
    odds = np.float32(rare / (1.0 - rare))
    for first in range(0, out.size, BLOCK):
        load_block(counts, 0, first, size)
        stragglers = start_lanes(size, keys, first, offset, np.float32(_LARGEST_PART), u)
        walk_binomial(size, none, odds, u, mass, total, drawn)
        if stragglers:
            for j in range(min(BLOCK, keys.size - first)):
                if u[j] < _ZERO32:
                    drawn[j] = _binomial(float(size[j]), rare, mix(keys[first + j] + offset))
        store_block(drawn, 0, first, drawn_row)
    if rare != float(probability):
        for e in range(out.size):
            out[e] = max(count[e], _ZERO32) - out[e]


@merged
def walk_binomial(size, log_none, odds, u, mass, total, drawn):
    """As `walk_poisson` for binomial draws; log_none: log P(no success in a trial)."""
    for j in range(BLOCK):
        size[j] = max(size[j], _ZERO32)
        mass[j] = exponential(size[j] * log_none)
        total[j] = mass[j]
        drawn[j] = _ZERO32
    for k in range(1, int(_LARGEST_PART) + 1):
        factor = odds * _RECIPROCAL32[k]
        before = np.float32(k - 1)
        going = np.int32(0)
        for j in range(BLOCK):
            more = np.int32(u[j] > total[j])
            drawn[j] += np.float32(more)
            going = np.int32(going | more)
            # Zero once the lane is done, see `walk_poisson`.
            mass[j] = mass[j] * (factor * (size[j] - before)) if more else _ZERO32
            total[j] += mass[j]
        if going == 0:
            return


@inlined
def _quantile_middle(w: np.float32) -> np.float32:
    """Giles' polynomial for w = -log(4 u (1 - u)) < 5."""
    w = w - _M9
    y = (((_M0 * w + _M1) * w + _M2) * w + _M3) * w + _M4
    return (((y * w + _M5) * w + _M6) * w + _M7) * w + _M8


@inlined
def _quantile_tail(w: np.float32) -> np.float32:
    """The same for w >= 5."""
    w = np.sqrt(w) - _T9
    y = (((_T0 * w + _T1) * w + _T2) * w + _T3) * w + _T4
    return (((y * w + _T5) * w + _T6) * w + _T7) * w + _T8


@inlined
def normal(key: np.uint64) -> np.float32:
    """A standard normal draw by inversion (Giles 2010, Approximating the erfinv function)."""
    x = _TWO32 * uniform32(key) - _ONE32
    w = -logarithm((_ONE32 - x) * (_ONE32 + x))
    return _ROOT2 * x * (_quantile_middle(w) if w < _FIVE32 else _quantile_tail(w))


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


@compiled
def gamma_lanes(variance, keys, counter, out):
    """Gamma draws of many lanes with mean 1 and one variance > 0; keys as for `poisson_rows`.

    All lanes make a first proposal together, in single precision; the few that reject it continue
    one by one, as do all lanes with an extreme variance.
    """
    offset = child(counter)
    shape = 1.0 / float(variance)
    out[:] = _DONE32
    if _LEAST_VARIANCE <= float(variance) <= 1.0:
        d = shape - 1.0 / 3.0
        _propose_gamma(np.float32(d), np.float32(1.0 / math.sqrt(9.0 * d)), np.float32(d * variance), keys, offset, out)
    for e in range(out.size):
        if out[e] < _ZERO32:
            out[e] = gamma_multiplier(float(variance), mix(keys[e] + offset))


@compiled
def _propose_gamma(d, c, scale, keys, offset, out):
    """Marsaglia and Tsang's proposal, or -1 where it is rejected."""
    for e in range(out.size):
        key = mix(keys[e] + offset)
        x = normal(key)
        u = uniform32(key << _S23)
        t = _ONE32 + c * x
        v = t * t * t
        bound = _HALF32 * x * x + d * (_ONE32 - v + logarithm(max(v, _TINY32)))
        fine = np.int32(t > _ZERO32) & np.int32(logarithm(u) < bound)
        out[e] = scale * v if fine else _DONE32

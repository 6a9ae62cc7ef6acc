"""Elementary functions of the compiled loops, sums of arrays, and blocks of lanes.

The elementary functions are SIMD polynomials for float32 and those of libm for float64. Also
defines the compiled form of the functions in `pricing/backend.py`, so that the formulas of
`pricing` can be compiled.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numba import types
from numba.core.errors import TypingError
from numba.extending import intrinsic, overload

from ...pricing import action_layout, backend, choice_formulas, features, planned_deals, rival_policies
from ...pricing.price_rules import projection, rule_formulas
from .compiling import callable_formulas, inlined, merged

BLOCK = 64
_LOG2E = np.float32(1.44269504)
_LN2_HIGH = np.float32(0.693359375)
_LN2_LOW = np.float32(-2.12194440e-4)
_LOW = np.float32(-87.0)
_HIGH = np.float32(88.0)
_ZERO = np.float32(0)
_HALF = np.float32(0.5)
_ONE = np.float32(1.0)
# Adding 1.5 * 2**23 to a small number rounds it to an integer, held in the last bits.
_ROUNDING = np.float32(12582912.0)
_MANTISSA = np.int32(23)
_SQRT_HALF_BITS = np.float32(0.707106781186547524).view(np.int32)
# Minimax coefficients of expf and logf in Moshier's Cephes library.
_C0 = np.float32(1.9875691500e-4)
_C1 = np.float32(1.3981999507e-3)
_C2 = np.float32(8.3334519073e-3)
_C3 = np.float32(4.1665795894e-2)
_C4 = np.float32(1.6666665459e-1)
_C5 = np.float32(5.0000001201e-1)
_L0 = np.float32(7.0376836292e-2)
_L1 = np.float32(-1.1514610310e-1)
_L2 = np.float32(1.1676998740e-1)
_L3 = np.float32(-1.2420140846e-1)
_L4 = np.float32(1.4249322787e-1)
_L5 = np.float32(-1.6668057665e-1)
_L6 = np.float32(2.0000714765e-1)
_L7 = np.float32(-2.4999993993e-1)
_L8 = np.float32(3.3333331174e-1)


@intrinsic
def _fused(typing_context, x, y, z):
    def generate(context, builder, signature, arguments):
        return builder.fma(*arguments)

    return x(x, y, z), generate


def multiply_add(x, y, z):
    """x * y + z as one fused operation: faster than two, and with the same result in loops of any
    width.
    """
    return x * y + z


@overload(multiply_add)
def _multiply_add(x, y, z):
    if x == y == z and isinstance(x, types.Float):
        return lambda x, y, z: _fused(x, y, z)  # pyright: ignore[reportCallIssue]
    raise TypingError(f"multiply_add takes numbers of one floating type; got {x}, {y}, {z}; cast first")


@inlined
def _exp32(x: np.float32) -> np.float32:
    x = min(max(x, _LOW), _HIGH)
    rounded = multiply_add(x, _LOG2E, _ROUNDING)
    n = rounded - _ROUNDING
    x = multiply_add(-n, _LN2_LOW, multiply_add(-n, _LN2_HIGH, x))
    y = multiply_add(multiply_add(multiply_add(_C0, x, _C1), x, _C2), x, _C3)
    y = multiply_add(multiply_add(y, x, _C4), x, _C5)
    y = multiply_add(y * x, x, x) + _ONE
    # Multiply by 2**n, in the exponent.
    power = np.int32(np.float32(rounded).view(np.int32) << _MANTISSA)
    return np.int32(np.float32(y).view(np.int32) + power).view(np.float32)


@inlined
def _log32(x: np.float32) -> np.float32:
    """log(x) of a normal positive number."""
    # x = 2**exponent * (1 + m) with 1 + m from sqrt(1/2) to sqrt(2): the exponent is read from the bits.
    bits = np.float32(x).view(np.int32)
    exponent = np.int32(np.int32(bits - _SQRT_HALF_BITS) >> _MANTISSA)
    m = np.int32(bits - np.int32(exponent << _MANTISSA)).view(np.float32) - _ONE
    e = np.float32(exponent)
    # log(1 + m) = m - m**2 / 2 + m**3 * P(m); y is P(m), then m * P(m), then all that comes after m.
    z = m * m
    y = multiply_add(multiply_add(multiply_add(_L0, m, _L1), m, _L2), m, _L3)
    y = multiply_add(multiply_add(multiply_add(y, m, _L4), m, _L5), m, _L6)
    y = multiply_add(multiply_add(y, m, _L7), m, _L8) * m
    # e * log(2) is added in two parts, the small one first, so that no digits are lost.
    y = multiply_add(-_HALF, z, multiply_add(e, _LN2_LOW, y * z))
    return multiply_add(e, _LN2_HIGH, m + y)


def exponential(x):
    """exp(x); for float32 the result is float32 with a relative error below 3e-7."""
    return np.exp(x)


def logarithm(x):
    """log(x) for x > 0; for float32 the result is float32 with an absolute or relative error below
    2e-7.
    """
    return np.log(x)


@overload(exponential)
@overload(backend.exp)
def _exponential(x):
    if x == types.float32:
        return lambda x: _exp32(x)
    return lambda x: math.exp(x)


@overload(logarithm)
@overload(backend.log)
def _logarithm(x):
    if x == types.float32:
        return lambda x: _log32(x)
    return lambda x: math.log(x)


for _function, _form in {
    backend.where: lambda condition, then, otherwise: then if condition else otherwise,
    backend.clip: lambda x, low, high: min(max(x, low), high),
    backend.larger: lambda x, y: x if x > y else y,
    backend.smaller: lambda x, y: x if x < y else y,
}.items():
    overload(_function, strict=False)(functools.partial(lambda form, *types: form, _form))

callable_formulas(action_layout, choice_formulas, features, planned_deals, projection, rival_policies, rule_formulas)


@merged
def load_block(values, n, first, block):
    """Copy up to BLOCK values of row n, from `first` on, into a block; the other lanes are 0.

    Loops over blocks always run over all lanes, whose number the compiler knows.
    """
    lanes = min(BLOCK, values.shape[1] - first)
    for j in range(lanes):
        block[j] = values[n, np.uint64(first) + np.uint64(j)]
    for j in range(lanes, BLOCK):
        block[j] = _ZERO


@merged
def store_block(block, n, first, values):
    """Copy a block back to row n, from `first` on."""
    for j in range(min(BLOCK, values.shape[1] - first)):
        values[n, np.uint64(first) + np.uint64(j)] = block[j]

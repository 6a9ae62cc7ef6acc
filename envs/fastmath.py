"""Elementary functions of the compiled loops: SIMD polynomials for float32, the exact ones for float64.

Also gives the functions of `pricing.elementwise` their compiled meaning, so that the formulas of `pricing` can be compiled.
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core.errors import TypingError
from numba.extending import intrinsic, overload

from ..pricing import elementwise
from . import compiling  # noqa: F401  it says when what is below takes its time

# Division by zero as in numpy: Python's check would keep loops from SIMD.
compiled = njit(cache=True, error_model="numpy")
# For small functions, and for large ones with one caller: LLVM goes over a compiled function again in each of its callers.
inlined = njit(cache=True, error_model="numpy", inline="always")
# For loops over the caller's scratch: where they stand in the function that makes it, the compiler knows that it does not
# overlap with anything, which takes out its checks and keeps lanes in registers.
merged = njit(cache=True, error_model="numpy", forceinline=True)

_LOG2E = np.float32(1.44269504)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_LOW, _HIGH = np.float32(-87.0), np.float32(88.0)
_HALF, _ONE, _SQRT_HALF = np.float32(0.5), np.float32(1.0), np.float32(0.707106781186547524)
# Minimax coefficients of expf and logf in Moshier's Cephes library.
_C0, _C1, _C2 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
_C3, _C4, _C5 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)
_L0, _L1, _L2 = np.float32(7.0376836292e-2), np.float32(-1.1514610310e-1), np.float32(1.1676998740e-1)
_L3, _L4, _L5 = np.float32(-1.2420140846e-1), np.float32(1.4249322787e-1), np.float32(-1.6668057665e-1)
_L6, _L7, _L8 = np.float32(2.0000714765e-1), np.float32(-2.4999993993e-1), np.float32(3.3333331174e-1)


def _reinterpret(source, target, llvm_type):
    @intrinsic
    def cast(typing_context, value):
        if value != source:
            raise TypingError(f"value must be {source}; got {value}; cast first")

        def generate(context, builder, signature, arguments):
            return builder.bitcast(arguments[0], llvm_type)

        return target(source), generate

    return cast


_bits_to_float = _reinterpret(types.int32, types.float32, ir.FloatType())
_float_to_bits = _reinterpret(types.float32, types.int32, ir.IntType(32))


@inlined
def _exp32(x: np.float32) -> np.float32:
    x = min(max(x, _LOW), _HIGH)
    n = np.float32(math.floor(x * _LOG2E + _HALF))
    x = x - n * _LN2_HIGH - n * _LN2_LOW
    y = ((((_C0 * x + _C1) * x + _C2) * x + _C3) * x + _C4) * x + _C5
    y = y * x * x + x + _ONE
    return y * _bits_to_float(np.int32((np.int32(n) + np.int32(127)) << np.int32(23)))  # pyright: ignore[reportCallIssue]


@inlined
def _log32(x: np.float32) -> np.float32:
    """For normal positive numbers."""
    bits = _float_to_bits(x)  # pyright: ignore[reportCallIssue]
    e = np.float32(np.int32(np.int32(bits >> np.int32(23)) - np.int32(126)))
    m = _bits_to_float(np.int32(np.int32(bits & np.int32(0x007FFFFF)) | np.int32(0x3F000000)))  # pyright: ignore[reportCallIssue]
    low = m < _SQRT_HALF
    e = e - _ONE if low else e
    m = m + m - _ONE if low else m - _ONE
    z = m * m
    y = ((((((((_L0 * m + _L1) * m + _L2) * m + _L3) * m + _L4) * m + _L5) * m + _L6) * m + _L7) * m + _L8) * m * z
    y = y + e * _LN2_LOW - _HALF * z
    return m + y + e * _LN2_HIGH


def exponential(x):
    """exp(x); float32 in gives float32 out with a relative error below 3e-7."""
    return np.exp(x)


def logarithm(x):
    """log(x) for x > 0; float32 in gives float32 out with an error below 2e-7, relative or absolute."""
    return np.log(x)


@overload(exponential)
@overload(elementwise.exp)
def _exponential(x):
    if x == types.float32:
        return lambda x: _exp32(x)
    return lambda x: math.exp(x)


@overload(logarithm)
@overload(elementwise.log)
def _logarithm(x):
    if x == types.float32:
        return lambda x: _log32(x)
    return lambda x: math.log(x)


@overload(elementwise.where)
def _where(condition, then, otherwise):
    return lambda condition, then, otherwise: then if condition else otherwise


@overload(elementwise.clip)
def _clip(x, low, high):
    return lambda x, low, high: min(max(x, low), high)


@overload(elementwise.larger)
def _larger(x, y):
    return lambda x, y: x if x > y else y


@overload(elementwise.smaller)
def _smaller(x, y):
    return lambda x, y: x if x < y else y


@overload(elementwise.floor)
def _floor(x):
    return lambda x: np.floor(x)


@overload(elementwise.integer)
def _integer(x):
    return lambda x: np.int64(x)


@overload(elementwise.single)
def _single(x):
    return lambda x: np.float32(x)


@overload(elementwise.double)
def _double(x):
    return lambda x: np.float64(x)

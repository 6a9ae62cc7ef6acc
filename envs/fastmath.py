"""The exponential that the kernels use: a SIMD polynomial for float32, the exact one for float64."""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core.errors import TypingError
from numba.extending import intrinsic, overload

_LOG2E = np.float32(1.44269504)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_LOW, _HIGH = np.float32(-87.0), np.float32(88.0)
# Minimax coefficients of expf in Moshier's Cephes library.
_C0, _C1, _C2 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
_C3, _C4, _C5 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)
_HALF, _UNIT = np.float32(0.5), np.float32(1.0)


@intrinsic
def _bits_to_float(typing_context, bits):
    """Read the bits of an int32 as a float32."""
    if bits != types.int32:
        raise TypingError(f"bits must be int32; got {bits}; cast first")

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@njit(cache=True, inline="always")
def _exp32(x: np.float32) -> np.float32:
    x = min(max(x, _LOW), _HIGH)
    n = np.float32(math.floor(x * _LOG2E + _HALF))
    x = x - n * _LN2_HIGH - n * _LN2_LOW
    y = ((((_C0 * x + _C1) * x + _C2) * x + _C3) * x + _C4) * x + _C5
    y = y * x * x + x + _UNIT
    return y * _bits_to_float(np.int32((np.int32(n) + np.int32(127)) << np.int32(23)))  # pyright: ignore[reportCallIssue]


def exponential(x):
    """exp(x), elementwise; float32 in gives float32 out with a relative error below 3e-7."""
    return np.exp(x)


@overload(exponential, inline="always")
def _exponential(x):
    if x == types.float32:
        return lambda x: _exp32(x)
    return lambda x: math.exp(x)

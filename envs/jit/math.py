"""Decorators and elementary functions of the compiled loops.

The elementary functions are SIMD polynomials for float32 and those of libm for float64. Also
defines the compiled form of the functions in `pricing/backend.py`, so that the formulas of
`pricing` can be compiled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, NoReturn

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core.errors import TypingError
from numba.core.registry import CPUDispatcher
from numba.extending import intrinsic, overload, register_jitable

from ...pricing import backend
from . import compile_notice  # noqa: F401  imported for its effect: see the module
from .caches import SourceCache


class _Kernel(CPUDispatcher):
    """A function that only compiled code calls: without the wrappers that Python's calls need.

    The wrappers of all functions take a third of the time that the market takes to compile.
    """

    by_constant = False

    def enable_caching(self) -> None:
        """Keep what is compiled on disk."""
        self._cache = SourceCache(self.py_func)

    @cached_property
    def entry(self) -> Any:
        """The same function for a call from Python, as in tests; compiled anew, not cached."""
        return CPUDispatcher(self.py_func, targetoptions=self.targetoptions | {"no_cpython_wrapper": False})

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """The signature for these types; that of a constant is its type, without its value."""
        if not self.by_constant:
            args = [types.unliteral(kind) for kind in args]
        return super().get_call_template(args, kws)

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: without a wrapper, a call from Python would end the process."""
        name = self.py_func.__qualname__
        raise TypeError(f"{name} is for compiled callers; got a call from Python; decorate it with `.entry`")


class _Loops:
    """A decorator of functions that compiled code calls; `entry` decorates those that Python calls.

    Division by zero is as in numpy: Python's check would keep loops from SIMD. Whether a function
    counts references must be explicit: otherwise it would depend on its first caller.
    """

    def __init__(self, counted: bool, **options: Any) -> None:
        self._options = {"error_model": "numpy", "_nrt": counted, "no_cfunc_wrapper": True} | options

    def __call__(self, function: Callable[..., Any]) -> Any:
        options = {"nopython": True, "no_cpython_wrapper": True} | self._options
        kernel = _Kernel(function, targetoptions=options)
        kernel.enable_caching()
        return kernel

    def by_constant(self, function: Callable[..., Any]) -> Any:
        """Decorate a function that is compiled once for each value of its constant arguments."""
        kernel = self(function)
        kernel.by_constant = True
        return kernel

    def entry(self, function: Callable[..., Any]) -> Any:
        """Decorate a function that Python calls."""
        dispatcher: Any = njit(**self._options)(function)
        dispatcher._cache = SourceCache(function)
        return dispatcher


def instructions(build: Callable[..., Any]) -> Any:
    """An intrinsic that sees the values of constants; the caller omits its first argument."""
    return intrinsic(prefer_literal=True)(build)  # pyright: ignore[reportCallIssue]


compiled = _Loops(counted=True)
# For functions that neither create nor return arrays. Elsewhere every slice is reference-counted by
# an atomic operation, which takes a tenth of a period.
lean = _Loops(counted=False)
# For small functions, and for large ones with one caller: LLVM optimises a compiled function again
# in each of its callers.
inlined = _Loops(counted=True, inline="always").entry
# For loops over the caller's scratch: inside the function that allocates it, the compiler knows
# that the scratch overlaps with nothing, removes its checks and keeps lanes in registers.
merged = _Loops(counted=False, forceinline=True)

# For the form that a function has in compiled code, and for functions that are compiled as they are.
_compiled_form = partial(overload, jit_options={"no_cfunc_wrapper": True})  # pyright: ignore[reportArgumentType]
callable_formula = register_jitable(error_model="numpy", no_cfunc_wrapper=True)

_LOG2E = np.float32(1.44269504)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_LOW, _HIGH = np.float32(-87.0), np.float32(88.0)
_HALF, _ONE = np.float32(0.5), np.float32(1.0)
# Adding 1.5 * 2**23 to a small number rounds it to an integer, held in the last bits.
_ROUNDING, _MANTISSA = np.float32(12582912.0), np.int32(23)
_SQRT_HALF_BITS = np.float32(0.707106781186547524).view(np.int32)
# Minimax coefficients of expf and logf in Moshier's Cephes library.
_C0, _C1, _C2 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
_C3, _C4, _C5 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)
_L0, _L1, _L2 = np.float32(7.0376836292e-2), np.float32(-1.1514610310e-1), np.float32(1.1676998740e-1)
_L3, _L4, _L5 = np.float32(-1.2420140846e-1), np.float32(1.4249322787e-1), np.float32(-1.6668057665e-1)
_L6, _L7, _L8 = np.float32(2.0000714765e-1), np.float32(-2.4999993993e-1), np.float32(3.3333331174e-1)


def _reinterpret(source, target, llvm_type):
    @instructions
    def cast(typing_context, value):
        if value != source:
            raise TypingError(f"value must be {source}; got {value}; cast first")

        def generate(context, builder, signature, arguments):
            return builder.bitcast(arguments[0], llvm_type)

        return target(source), generate

    return cast


# Non-negative floats have the same order as their bits read as integers.
bits_to_float = _reinterpret(types.int32, types.float32, ir.FloatType())
float_to_bits = _reinterpret(types.float32, types.int32, ir.IntType(32))


@instructions
def _fused(typing_context, x, y, z):
    def generate(context, builder, signature, arguments):
        return builder.fma(*arguments)

    return x(x, y, z), generate


def multiply_add(x, y, z):
    """x * y + z as one fused operation: faster than two, and with the same result in loops of any
    width.
    """
    return x * y + z


@_compiled_form(multiply_add)
def _multiply_add(x, y, z):
    if x == y == z and isinstance(x, types.Float):
        return lambda x, y, z: _fused(x, y, z)
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
    power = np.int32(float_to_bits(rounded) << _MANTISSA)
    return bits_to_float(np.int32(float_to_bits(y) + power))


@inlined
def _log32(x: np.float32) -> np.float32:
    """log(x) of a normal positive number."""
    bits = float_to_bits(x)
    exponent = np.int32(np.int32(bits - _SQRT_HALF_BITS) >> _MANTISSA)
    m = bits_to_float(np.int32(bits - np.int32(exponent << _MANTISSA))) - _ONE
    e, z = np.float32(exponent), m * m
    y = multiply_add(multiply_add(multiply_add(_L0, m, _L1), m, _L2), m, _L3)
    y = multiply_add(multiply_add(multiply_add(y, m, _L4), m, _L5), m, _L6)
    y = multiply_add(multiply_add(y, m, _L7), m, _L8) * m
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


@_compiled_form(exponential)
@_compiled_form(backend.exp)
def _exponential(x):
    if x == types.float32:
        return lambda x: _exp32(x)
    return lambda x: math.exp(x)


@_compiled_form(logarithm)
@_compiled_form(backend.log)
def _logarithm(x):
    if x == types.float32:
        return lambda x: _log32(x)
    return lambda x: math.log(x)


@_compiled_form(backend.where)
def _where(condition, then, otherwise):
    return lambda condition, then, otherwise: then if condition else otherwise


@_compiled_form(backend.clip)
def _clip(x, low, high):
    return lambda x, low, high: min(max(x, low), high)


@_compiled_form(backend.larger)
def _larger(x, y):
    return lambda x, y: x if x > y else y


@_compiled_form(backend.smaller)
def _smaller(x, y):
    return lambda x, y: x if x < y else y


@_compiled_form(backend.floor)
def _floor(x):
    return lambda x: np.floor(x)


# Numba's own searchsorted takes seconds to compile, for each type of its arguments.
@_compiled_form(backend.count_below)
def _count_below(values, x):
    def count(values, x):
        low, high = 0, len(values)
        while low < high:
            middle = (low + high) >> 1
            if values[middle] >= x:
                high = middle
            else:
                low = middle + 1
        return low

    return count


@_compiled_form(backend.count_up_to)
def _count_up_to(values, x):
    def count(values, x):
        low, high = 0, len(values)
        while low < high:
            middle = (low + high) >> 1
            if values[middle] > x:
                high = middle
            else:
                low = middle + 1
        return low

    return count


@_compiled_form(backend.integer)
def _integer(x):
    return lambda x: np.int64(x)


@_compiled_form(backend.single)
def _single(x):
    return lambda x: np.float32(x)


@_compiled_form(backend.double)
def _double(x):
    return lambda x: np.float64(x)

"""Python functions that compiled code calls by their address."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numpy.typing import NDArray

from .math import instructions

Elementwise = Callable[[NDArray[np.floating]], NDArray[np.floating]]
_ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
_TYPES = {4: np.float32, 8: np.float64}


class Callback:
    """A function of an array, for `call_back`.

    Compiled code cannot pass an error on: after it has run, `check` raises the error of the function.

    Args:
        function: From an array to one of the same shape.
    """

    def __init__(self, function: Elementwise) -> None:
        self.function = function
        self.error: BaseException | None = None
        # Kept, because the address is that of this object.
        self._entry = _ENTRY(self._replace)
        self.address = int(ctypes.cast(self._entry, ctypes.c_void_p).value or 0)

    def _replace(self, place: int, count: int, width: int) -> None:
        memory: Any = (ctypes.c_char * (count * width)).from_address(place)
        values = np.frombuffer(memory, _TYPES[width])
        try:
            found = np.asarray(self.function(values))
            if found.shape != values.shape:
                name = getattr(self.function, "__name__", self.function)
                raise ValueError(
                    f"{name} must return a number for each it is given, {values.shape}; got shape {found.shape}; fix it"
                )
            values[:] = found
        except BaseException as error:
            self.error = self.error or error
            values[:] = np.nan

    def check(self) -> None:
        """Raise the first error of the function since the last check."""
        error, self.error = self.error, None
        if error is not None:
            raise error


callback_of = functools.cache(Callback)


@instructions
def call_back(typing_context, address, values):
    """Replace a contiguous array by what the `Callback` at an address makes of it."""

    def generate(context, builder, signature, arguments):
        array = context.make_array(signature.args[1])(context, builder, arguments[1])
        word, data = ir.IntType(64), builder.bitcast(array.data, cgutils.voidptr_t)
        function = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, word, word])
        width = context.get_constant(types.intp, context.get_abi_sizeof(context.get_value_type(values.dtype)))
        builder.call(builder.inttoptr(arguments[0], function.as_pointer()), [data, array.nitems, width])
        return context.get_dummy_value()

    return types.void(types.int64, values), generate

"""Blocks of 64 lanes, one lane per market, in scratch whose size the compiler knows."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.np.arrayobj import populate_array

from .math import instructions, merged

BLOCK = 64
_LINE = 64
# Side of the squares that are transposed in registers.
WIDE = 8
_ZERO = np.float32(0)


@instructions
def block_rows(typing_context, count, kind):
    """Scratch of (count, BLOCK) numbers on the stack of the function, aligned with cache lines.

    Arrays from numpy are not aligned, so that every step over them touches two lines.

    Args:
        typing_context: Passed by the compiler.
        count: Number of rows, a constant.
        kind: Numpy type of the numbers.
    """
    if not isinstance(count, types.IntegerLiteral):
        raise TypingError(f"count must be a constant; got {count}; write a number")
    rows, array = count.literal_value, types.Array(kind.dtype, 2, "C")

    def generate(context, builder, signature, arguments):
        held = context.make_array(array)(context, builder)
        size = context.get_abi_sizeof(held.data.type.pointee)
        place = cgutils.alloca_once(builder, ir.ArrayType(held.data.type.pointee, rows * BLOCK))
        place.align = _LINE
        whole = [context.get_constant(types.intp, number) for number in (rows, BLOCK, BLOCK * size, size)]
        shape, strides = cgutils.pack_array(builder, whole[:2]), cgutils.pack_array(builder, whole[2:])
        data = builder.bitcast(place, held.data.type)
        populate_array(held, data=data, shape=shape, strides=strides, itemsize=whole[3], meminfo=None)
        return held._getvalue()

    return array(count, kind), generate


@merged
def load_block(values, n, first, block):
    """Copy up to BLOCK values of row n, from `first` on, into a block; the other lanes are 0.

    Loops over blocks always run over all lanes, whose number the compiler knows. A slice would cost
    more than the block.
    """
    lanes = min(BLOCK, values.shape[1] - first)
    for j in range(lanes):
        block[j] = values[n, np.uint64(first) + np.uint64(j)]
    for j in range(lanes, BLOCK):
        block[j] = _ZERO


@merged
def add_block(values, n, first, block):
    """Add up to BLOCK values of row n, from `first` on, to a block."""
    for j in range(min(BLOCK, values.shape[1] - first)):
        block[j] += values[n, np.uint64(first) + np.uint64(j)]


@merged
def store_block(block, n, first, values):
    """Copy a block back to row n, from `first` on."""
    for j in range(min(BLOCK, values.shape[1] - first)):
        values[n, np.uint64(first) + np.uint64(j)] = block[j]


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Transpose eight rows of eight numbers: shuffle pairs, then pairs of pairs, then halves."""
    ends = ((0, 8, 1, 9, 4, 12, 5, 13), (2, 10, 3, 11, 6, 14, 7, 15))
    sides = ((0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15))
    halves = ((0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15))

    def mixed(left, right, order):
        return builder.shuffle_vector(left, right, ir.Constant(ir.VectorType(ir.IntType(32), WIDE), order))

    fours = []
    for i in (0, 4):
        pairs = [(mixed(rows[i], rows[i + 1], order), mixed(rows[i + 2], rows[i + 3], order)) for order in ends]
        fours += [mixed(first, second, order) for first, second in pairs for order in sides]
    return [mixed(fours[i], fours[i + 4], half) for half in halves for i in range(4)]


@instructions
def transpose(typing_context, source, start, step, target, place, stride):
    """Transpose a square of eight by eight float32 numbers in registers. Bounds are not checked.

    Args:
        typing_context: Passed by the compiler.
        source: Contiguous array; the rows of the square start at start, start + step, … (flat
            indices).
        start: See source.
        step: See source.
        target: Contiguous array; the columns are written to place, place + stride, …
        place: See target.
        stride: See target.
    """
    floats = [isinstance(array, types.Array) and array.dtype == types.float32 for array in (source, target)]
    if not all(floats) or not (source.layout == target.layout == "C"):
        raise TypingError(f"transpose takes contiguous arrays of float32; got {source} and {target}; copy them first")
    eight = ir.VectorType(ir.FloatType(), WIDE)

    def generate(context, builder, signature, arguments):
        def row(array, first, apart, i):
            kind, value = signature.args[array], arguments[array]
            data = context.make_array(kind)(context, builder, value).data
            offset = builder.add(arguments[first], builder.mul(arguments[apart], arguments[apart].type(i)))
            return builder.bitcast(builder.gep(data, [offset]), eight.as_pointer())

        rows: list[Any] = [builder.load(row(0, 1, 2, i)) for i in range(WIDE)]
        for each in rows:
            each.align = 4
        for i, column in enumerate(_transposed(builder, rows)):
            builder.store(column, row(3, 4, 5, i)).align = 4
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, target, types.intp, types.intp), generate

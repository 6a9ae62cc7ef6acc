"""Blocks of lanes: where scratch lies, and transposed squares."""

import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError
from repricer.envs.jit.blocks import BLOCK, block_rows, transpose


@njit
def transposed(source, target, start, place):
    transpose(source, start, 12, target, place, 9)


@njit
def scratch_of_three(kind, out):
    """What stands in two pieces of scratch that do not overlap, and where they lie in a line of the cache."""
    first, second = block_rows(2, kind), block_rows(1, kind)
    for i in range(2):
        first[i] = i + 1
    second[0] = 3
    for lane in range(BLOCK):  # a copy of whole rows takes seconds to compile: the message for unequal shapes
        out[0, lane], out[1, lane], out[2, lane] = first[0, lane], first[1, lane], second[0, lane]
    return first.ctypes.data % 64, second.ctypes.data % 64


@njit
def scratch_of(count):
    return block_rows(count, np.float32).size


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int32])
def test_scratch_lies_on_lines_of_the_cache(kind):
    out = np.zeros((3, BLOCK), kind)
    assert scratch_of_three(kind, out) == (0, 0)
    np.testing.assert_array_equal(out, np.repeat([[1], [2], [3]], BLOCK, axis=1))


def test_the_size_of_scratch_must_be_known_to_the_compiler():
    with pytest.raises(TypingError, match="count must be a constant"):
        scratch_of(2)


def test_a_square_is_transposed_in_place():
    source, target = np.arange(120, dtype=np.float32).reshape(10, 12), np.zeros(99, np.float32)
    transposed(source.reshape(-1), target, 12 + 2, 9 + 1)
    expected = np.zeros((11, 9), np.float32)
    expected[1:9, 1:9] = source[1:9, 2:10].T
    np.testing.assert_array_equal(target.reshape(11, 9), expected)

"""Blocks of 64 lanes, one lane per market: rows of scratch that loops run over whole."""

from __future__ import annotations

import numpy as np

from .math import merged

BLOCK = 64
_ZERO = np.float32(0)


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

"""Compiled count of the customers whom a sold-out product loses.

A sold-out product leaves the choice, see `demand_kernels`. Of those who would have bought it, some buy another product of
the category; the sales of the others are lost, as much as those beyond the last unit of a product in stock. Their mean is
what the category would sell with everything in stock, less what it sells now; several sold-out products share it as they
would have sold. It is the mean demand for such a product, of which nothing can be sold. Arrays lie (…, N, E).
"""

from __future__ import annotations

import numpy as np

from ..jit.math import lean

_ZERO = np.float32(0)


@lean
def runs_short(available):
    """Whether any product of any market is sold out."""
    least = available[0, 0]
    for n in range(available.shape[0]):
        for e in range(available.shape[1]):
            least = min(least, available[n, e])
    return least <= _ZERO


@lean.entry
def count_lost(category, available, full, units, mean):
    """Fill the mean demand for sold-out products.

    Args:
        category: (N,) category of each product.
        available: (N, E) positive for products in stock.
        full: `Choice` with every product in stock.
        units: (N, E) mean units of all segments.
        mean: (K, N, E) mean units by segment, or (0, N, E).
    """
    for n in range(units.shape[0]):
        for e in range(units.shape[1]):
            if available[n, e] <= _ZERO:
                others = missing(category, n, e, available, full.units)
                share = full.units[n, e] / others if others > _ZERO else _ZERO
                units[n, e] = share * beyond(category, n, e, available, full.units, units)
                for k in range(mean.shape[0]):
                    mean[k, n, e] = share * beyond(category, n, e, available, full.mean[k], mean[k])


@lean
def missing(category, product, e, available, full):
    """What the sold-out products of a product's category would sell in one market."""
    total = _ZERO * full[0, e]
    for n in range(full.shape[0]):
        if category[n] == category[product] and available[n, e] <= _ZERO:
            total += full[n, e]
    return total


@lean
def beyond(category, product, e, available, full, units):
    """What a product's category would sell more in one market with everything in stock."""
    total = _ZERO * full[0, e]
    for n in range(full.shape[0]):
        if category[n] == category[product]:
            total += full[n, e] - (units[n, e] if available[n, e] > _ZERO else _ZERO)
    return max(total, _ZERO)

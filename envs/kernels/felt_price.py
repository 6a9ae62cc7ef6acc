"""Compiled prices as customers feel them: bent, times the multiplier of the price sensitivity, and beside the reference.

Arrays lie (…, N, E).
"""

from __future__ import annotations

import numpy as np

from ...pricing import felt_price
from ..jit.math import callable_formula, exponential, lean, logarithm

callable_formula(felt_price)

_ZERO = np.float32(0)


@lean
def feel(p, price, path, out):
    """Fill (N, E) with what the price sensitivities multiply.

    Args:
        p: `ChoiceParameters`.
        price: (N, E) currency per unit.
        path: (C, E) multiplier of the price sensitivity.
        out: (N, E), filled; may be `price` itself.
    """
    for n in range(out.shape[0]):
        c = p.category[n]
        if p.curvature.size and p.curvature[n] > _ZERO:
            regular, curvature = p.regular[n], p.curvature[n]
            for e in range(out.shape[1]):
                out[n, e] = felt_price(price[n, e], regular, curvature) * path[c, e]
        else:
            for e in range(out.shape[1]):
                out[n, e] = price[n, e] * path[c, e]


@lean
def feel_rivals(p, price, path, out):
    """As `feel` for the rival offers, (R, E), in whose price utility is linear."""
    for r in range(out.shape[0]):
        c = p.rival_category[r]
        for e in range(out.shape[1]):
            out[r, e] = price[r, e] * path[c, e]


@lean
def add_reference_effect(linear, gain, loss, price, reference, effect):
    """Add the reference-price effect to the utility, (N, E); gain, loss: (N,)."""
    for n in range(price.shape[0]):
        up, down = gain[n], loss[n]
        if linear:
            for e in range(price.shape[1]):
                gap = reference[n, e] - price[n, e]
                effect[n, e] += up * gap if gap > _ZERO else down * gap
        else:
            for e in range(price.shape[1]):
                gap = logarithm(reference[n, e] / price[n, e])
                effect[n, e] += up * gap if gap > _ZERO else down * gap


@lean
def units_factor(p, price, reference, out):
    """Fill (N, E) with the factor on the units of those who buy a product at a price below or above the reference."""
    out[:] = _ZERO
    add_reference_effect(p.linear_reference, p.units_gain, p.units_loss, price, reference, out)
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            out[n, e] = exponential(out[n, e])

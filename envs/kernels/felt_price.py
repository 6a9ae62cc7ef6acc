"""Compiled prices as customers feel them: bent, and times the multiplier of the price sensitivity. Arrays lie (…, N, E)."""

from __future__ import annotations

import numpy as np

from ...pricing import felt_price
from ..jit.math import callable_formula, lean

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

"""Exact values: the optimum of a market that a solver reaches, and the value of any deterministic policy in it.

Each solver knows one family of markets and refuses every other: its `covers` lists what must be off. `exact_value` reaches
further than the solvers together, and is written apart from them.
"""

from __future__ import annotations

import functools

from ...scenarios import MarketSpec
from . import ordering, reference, rival, several_stocks, static, stock
from .forward import exact_value
from .problem import Optimum
from .stock import gallego_van_ryzin

__all__ = ["Optimum", "exact_value", "gallego_van_ryzin", "solve"]

_SOLVERS = (stock, several_stocks, static, rival, ordering, reference)


@functools.lru_cache(maxsize=16)
def solve(spec: MarketSpec) -> Optimum | None:
    """The optimum of a market that one of the solvers reaches, else None."""
    found = (solver.solve(spec) for solver in _SOLVERS)
    return next((optimum for optimum in found if optimum is not None), None)

"""Exact values: the optimum of a market that a solver reaches, and the value of any deterministic policy in it;
an upper bound where there is no solver, and classical policies that are solved for.

Each solver knows one family of markets and refuses every other: its `covers` lists what must be off. `exact_value` reaches
further than the solvers together, and is written apart from them.
"""

from __future__ import annotations

import functools

from ...scenarios import MarketSpec
from . import ordering, reference, rival, several_stocks, static, stock
from .bound import Bound, upper_bound
from .fluid import certainty_equivalent
from .forward import exact_value
from .problem import Optimum
from .stock import gallego_van_ryzin
from .timed import best_path

__all__ = [
    "Bound",
    "Optimum",
    "best_path",
    "certainty_equivalent",
    "exact_value",
    "gallego_van_ryzin",
    "solve",
    "upper_bound",
]

_SOLVERS = (stock, several_stocks, static, rival, ordering, reference)


@functools.lru_cache(maxsize=16)
def solve(spec: MarketSpec) -> Optimum | None:
    """The optimum of a market that one of the solvers reaches, else None."""
    found = (solver.solve(spec) for solver in _SOLVERS)
    return next((optimum for optimum in found if optimum is not None), None)

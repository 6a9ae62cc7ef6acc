"""Exact values: the optimum of a market that a solver reaches, and the value of any deterministic policy in it;
an upper bound where there is no solver, and classical policies that are solved for.

Each solver knows one family of markets and refuses every other: its `covers` lists what must be off. `exact_value` reaches
further than the solvers together, and is written apart from them.
"""

from __future__ import annotations

import functools

from ...scenarios import MarketSpec
from . import one_rival, one_stock, price_and_order, reference_price, separate_periods, several_stocks
from .fluid_bound import Bound, upper_bound
from .fluid_policy import certainty_equivalent
from .one_stock import gallego_van_ryzin
from .policy_value import exact_value
from .problem import Optimum
from .time_only import best_path

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

_SOLVERS = (one_stock, several_stocks, separate_periods, one_rival, price_and_order, reference_price)


@functools.lru_cache(maxsize=16)
def solve(spec: MarketSpec) -> Optimum | None:
    """The optimum of a market that one of the solvers reaches, else None."""
    found = (solver.solve(spec) for solver in _SOLVERS)
    return next((optimum for optimum in found if optimum is not None), None)

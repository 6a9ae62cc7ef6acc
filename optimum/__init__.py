"""Exact optima, exact values of policies, an upper bound where no solver applies, and policies that
are solved for.

One solver per family of markets; the `covers` of each says which markets it admits:

- `several_stocks`: several products among which customers choose, each with a stock that is never replenished; where one
  customer comes a period, all with shares in common resources too.
- `separate_periods`: unlimited stock and no link between periods.
- `dynamic_program`: products that are priced and ordered each for itself. The state is what is left of the stock and on
  order, the regime, the current price under price rules, the reference price, and the last price of a competitor.
- `beliefs`: one product whose parameters are drawn anew each episode, and must be learned.

`exact_value` covers more markets than all solvers together, and shares no dynamic
programming with them.
"""

from __future__ import annotations

import functools

from ..scenarios import MarketSpec
from . import beliefs, dynamic_program, separate_periods, several_stocks
from .fluid_bound import Bound, upper_bound
from .fluid_policy import certainty_equivalent
from .policy_value import exact_value
from .problem import Optimum
from .time_only import best_path

__all__ = ["Bound", "Optimum", "best_path", "certainty_equivalent", "exact_value", "solve", "upper_bound"]

_SOLVERS = (several_stocks, separate_periods, dynamic_program, beliefs)


@functools.lru_cache(maxsize=16)
def solve(spec: MarketSpec) -> Optimum | None:
    """The optimum of a market, or None where no solver applies.

    Args:
        spec: The market.

    Example:
        >>> from repricer.evaluation import solve
        >>> from repricer.scenarios import load_scenario
        >>> round(solve(load_scenario("gallego-van-ryzin")).value, 3)
        15.446
    """
    found = (solver.solve(spec) for solver in _SOLVERS)
    return next((optimum for optimum in found if optimum is not None), None)

"""Backward induction over beliefs, between two bounds that meet.

At the nodes of a grid of beliefs the value is kept from both sides. From above, it is interpolated
between nodes: it is convex in the belief, so that this never takes too little (Lovejoy 1991). From
below, each node has a plan, whose money is known for every draw and hence for every belief: after
each outcome it goes on with the best plan of the nodes around the new belief (Pineau, Gordon and
Thrun 2003, Point-Based Value Iteration, IJCAI 18). The grid is refined until the bounds meet.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from ...scenarios import MarketSpec
from ..problem import Array, Optimum, Units
from .demand import DrawnDemand
from .grid import BeliefGrid
from .policy import BeliefPrice

# Distance of the bounds at the prior, as a share of the value.
_AGREEMENT = 2e-5
_FIRST_STEPS = 64
# Products of a plan's money and an outcome's probability, over all periods; and those kept at once.
_MOST_WORK, _MOST_KEPT = 2.5e8, 5e6


def solve(spec: MarketSpec) -> Optimum | None:
    """The optimum of a market whose episodes follow few distinct draws; None where the bounds do not meet in time.

    Args:
        spec: The market.

    Returns:
        The value is the lower bound, which the policy earns; the upper one is at most two parts in 100,000 above it.

    Example:
        >>> from repricer.scenarios import load_scenario
        >>> solve(load_scenario("incomplete-learning")).method
        'backward induction over beliefs'
    """
    demand = DrawnDemand.of(spec)
    if demand is None:
        return None
    # The prior is a node.
    steps = spec.num_draws * -(-_FIRST_STEPS // spec.num_draws)
    while _is_affordable(demand, steps):
        grid = BeliefGrid(demand.prior.size, steps)
        low, high, table = _bounds(demand, grid)
        if high - low <= _AGREEMENT * abs(high):
            policy = BeliefPrice(demand, functools.partial(_by_table, table, grid), "optimum")
            return Optimum(low, "backward induction over beliefs", policy)
        steps *= 2
    return None


def _by_table(table: Units, grid: BeliefGrid, period: int, state: Units, belief: Array) -> Units:
    return table[period, state, grid.nearest(belief)]


class _Outlook(NamedTuple):
    """What may be observed at a price and where that leads, by node and column of `likelihood`: (G, O)
    probabilities; (G, O, M) beliefs, numbers of the nodes around them and their weights.
    """

    chance: Array
    belief: Array
    corner: Units
    weight: Array

    @classmethod
    def of(cls, likelihood: Array, grid: BeliefGrid) -> _Outlook:
        joint = grid.nodes[:, None, :] * likelihood.T
        chance = joint.sum(axis=2)
        belief = np.where(chance[..., None] > 0, joint / np.maximum(chance, 1e-300)[..., None], grid.nodes[:, None])
        return cls(chance, belief, *grid.corners(belief))


def _bounds(demand: DrawnDemand, grid: BeliefGrid) -> tuple[float, float, Units]:
    """The bounds at the prior, and the (T, S, G) numbers of the prices to charge."""
    spec, draws = demand.spec, demand.prior.size
    periods = spec.market.horizon_periods
    left = spec.stock.salvage_value[0] * demand.units
    upper = np.tile(left[:, None], (1, len(grid.nodes)))
    plan, table = np.tile(upper[..., None], (1, 1, draws)), np.empty((periods, *upper.shape), dtype=np.intp)

    @functools.lru_cache(maxsize=1)
    def outlooks(row: int) -> list[_Outlook]:
        return [_Outlook.of(at_price.T, grid) for at_price in demand.likelihood[row].transpose(1, 2, 0)]

    for period in reversed(range(periods)):
        row, factor = demand.period(period), 1.0 if period == periods - 1 else spec.market.discount_factor
        later, upper, plan = (factor * upper, factor * plan), np.full_like(upper, -np.inf), np.full_like(plan, -np.inf)
        for state in range(demand.units.size):
            for price, outlook in enumerate(outlooks(row)):
                parts = demand.likelihood[row, :, price], demand.money[row, :, price, state]
                high, money = _before(parts, outlook, demand.outcomes(state), later, grid)
                upper[state] = np.maximum(upper[state], high)
                better = price == 0 or ((money - plan[state]) * grid.nodes).sum(axis=1) > 0
                plan[state] = np.where(np.reshape(better, (-1, 1)), money, plan[state])
                table[period, state] = np.where(better, price, table[period, state])
    node = grid.nearest(demand.prior)
    return float(demand.prior @ plan[-1, node]), float(upper[-1, node]), table


def _before(
    parts: tuple[Array, Array],
    outlook: _Outlook,
    outcomes: tuple[Units, Units],
    later: tuple[Array, Array],
    grid: BeliefGrid,
) -> tuple[Array, Array]:
    """At one price and state of stock, the upper bound (G,) and the plans' money by draw (G, M)."""
    (likelihood, money), (columns, states), (upper, plan) = parts, outcomes, later
    chance, belief, corner, weight = (part[:, columns] for part in outlook)
    high = grid.nodes @ money + (chance * (weight * upper[states[:, None], corner]).sum(axis=2)).sum(axis=1)
    plans = plan[states[:, None], corner]  # (G, O, corners, M)
    best = (plans @ belief[..., None])[..., 0].argmax(axis=2)
    chosen = np.take_along_axis(plans, best[:, :, None, None], axis=2)[:, :, 0]
    return high, money + np.einsum("mo,gom->gm", likelihood[:, columns], chosen)


def _is_affordable(demand: DrawnDemand, steps: int) -> bool:
    draws, prices = demand.prior.size, demand.prices.size
    nodes = np.prod([(steps + i) / i for i in range(1, draws)])
    seen = sum(demand.outcomes(state)[0].size for state in range(demand.units.size))
    work = demand.spec.market.horizon_periods * prices * seen * nodes * draws**2
    return work <= _MOST_WORK and prices * nodes * demand.likelihood.shape[-1] * draws <= _MOST_KEPT

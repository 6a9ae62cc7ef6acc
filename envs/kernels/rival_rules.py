"""Compiled pricing rules of rivals, and the memory of rivals that learn.

The formulas are those of `pricing.rival_policies`; policies of other packages are called in
`envs/rivals.py`.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from ...pricing import Policy, competitor
from ...pricing.rival_policies import (
    DerivativeFollower,
    Edgeworth,
    Match,
    Stay,
    TwoBound,
    Undercut,
    bounded,
    cycled,
    reduced,
    turned,
)
from ...scenarios import MarketSpec
from ..jit.compiling import compiled

STAY, REDUCE, BOUND, CYCLE, FOLLOW = range(5)


def offer_rule(policy: Policy) -> tuple[int, tuple[float, float, float]]:
    """Kind and parameters of a built-in rule; STAY for a policy of another package."""
    match policy:
        case Undercut():
            factor, step = policy.terms
            return REDUCE, (float(factor), float(step), 0.0)
        case Match():
            return REDUCE, (1.0, 0.0, 0.0)
        case TwoBound(low, high, step):
            return BOUND, (low, high, step)
        case Edgeworth(step):
            return CYCLE, (step, 0.0, 0.0)
        case DerivativeFollower(step):
            return FOLLOW, (step, 0.0, 0.0)
    return STAY, (0.0, 0.0, 0.0)


def is_built_in(policy: Policy) -> bool:
    """Whether a policy is one of the compiled rules."""
    return isinstance(policy, Stay | Undercut | Match | TwoBound | Edgeworth | DerivativeFollower)


class RivalRules(namedtuple("RivalRules", "kind parameters product floor ceiling regular cost within drawn")):
    """Rules by which rivals price their R offers.

    Attributes:
        kind: (R,) kind of rule, see `offer_rule`.
        parameters: (R, 3) its parameters.
        product: (R,) product that each offer competes with.
        floor: (R,) currency per unit.
        ceiling: (R,) currency per unit.
        regular: (R,) regular price, currency per unit.
        cost: (R,) unit cost, currency per unit.
        within: Whether rivals answer within the period.
        drawn: Whether their units are drawn, not expected.
    """

    @classmethod
    def of(cls, spec: MarketSpec, drawn: bool) -> RivalRules:
        """The rival rules of a scenario."""
        rivals = spec.competitors
        single = np.float32
        if rivals is None:
            none = np.empty(0, np.int64)
            off = np.empty(0, single)
            return cls(none, np.empty((0, 3), single), none, off, off, off, off, False, drawn)
        rule = np.broadcast_to(np.array(rivals.rule, dtype=object), len(rivals.names))
        rules = [offer_rule(competitor(text)) for text in rule]
        return cls(
            kind=np.array([kind for kind, _ in rules], np.int64),
            parameters=np.array([parameters for _, parameters in rules], single),
            product=spec.competitor_product.astype(np.int64),
            floor=rivals.floor.astype(single),
            ceiling=rivals.ceiling.astype(single),
            regular=rivals.regular_price.astype(single),
            cost=rivals.unit_cost.astype(single),
            within=rivals.answers_within_period,
            drawn=drawn,
        )


@compiled
def price_offers(p, given, ours, memory, price):
    """Update the prices of the rival offers in place.

    Args:
        p: `RivalRules`.
        given: (R, E) prices to charge, NaN where the rule decides, or (0, E) where it always does.
        ours: (N, E) our prices, currency per unit.
        memory: (2 R, E) memory of learning rivals.
        price: (R, E) current prices, replaced by the new ones.
    """
    for r in range(price.shape[0]):
        other = ours[p.product[r]]
        own = price[r]
        direction = memory[2 * r]
        a = p.parameters[r, 0]
        b = p.parameters[r, 1]
        c = p.parameters[r, 2]
        if p.kind[r] == REDUCE:
            for e in range(own.size):
                own[e] = reduced(other[e], a, b)
        elif p.kind[r] == BOUND:
            for e in range(own.size):
                own[e] = bounded(other[e], a, b, c)
        elif p.kind[r] == CYCLE:
            for e in range(own.size):
                own[e] = cycled(other[e], p.regular[r], p.cost[r], a)
        elif p.kind[r] == FOLLOW:
            for e in range(own.size):
                own[e] += direction[e] * a
        if p.kind[r] != STAY:
            low = p.floor[r]
            high = p.ceiling[r]
            for e in range(own.size):
                own[e] = min(max(own[e], low), high)
        if given.shape[0]:
            for e in range(own.size):
                own[e] = given[r, e] if np.isfinite(given[r, e]) else own[e]


@compiled
def update_memory(p, price, units, memory):
    """Update the memory of learning rivals, (2 R, E), from the profit that they made."""
    for r in range(price.shape[0]):
        if p.kind[r] == FOLLOW:
            for e in range(price.shape[1]):
                profit = (price[r, e] - p.cost[r]) * units[r, e]
                memory[2 * r, e] = turned(memory[2 * r, e], profit, memory[2 * r + 1, e])
                memory[2 * r + 1, e] = profit

"""The built-in rules of rivals, compiled: what each offer costs, and what those that learn note. Arrays lie (R, E).

The formulas are those of `pricing.competitors`; rules of other packages are asked as policies, see `rivals`.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from ...pricing import Policy
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
from ..jit.math import lean

for _formula in (reduced, bounded, cycled, turned):
    register_jitable(error_model="numpy")(_formula)

STAY, REDUCE, BOUND, CYCLE, FOLLOW = range(5)


def offer_rule(policy: Policy) -> tuple[int, tuple[float, float, float]]:
    """Kind and parameters of a built-in rule; another package's stays where it is, its price is given."""
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
    """Whether the compiled rules price and teach this policy's offers."""
    return isinstance(policy, Stay | Undercut | Match | TwoBound | Edgeworth | DerivativeFollower)


@lean
def price_offers(p, given, ours, memory, price):
    """Move the prices of the offers, (R, E): as given, by their rule where that is NaN, or all by rule if it is (0, E).

    ours: (N, E) what we charge. memory: (2 R, E) notes of those that learn.
    """
    for r in range(price.shape[0]):
        other, own, notes = ours[p.product[r]], price[r], memory[2 * r]
        a, b, c = p.parameters[r, 0], p.parameters[r, 1], p.parameters[r, 2]
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
                own[e] += notes[e] * a
        if p.kind[r] != STAY:
            low, high = p.floor[r], p.ceiling[r]
            for e in range(own.size):
                own[e] = min(max(own[e], low), high)
        if given.shape[0]:
            for e in range(own.size):
                own[e] = given[r, e] if np.isfinite(given[r, e]) else own[e]


@lean
def take_notes(p, price, units, memory):
    """Let the offers that learn note what they earned."""
    for r in range(price.shape[0]):
        if p.kind[r] == FOLLOW:
            for e in range(price.shape[1]):
                profit = (price[r, e] - p.cost[r]) * units[r, e]
                memory[2 * r, e] = turned(memory[2 * r, e], profit, memory[2 * r + 1, e])
                memory[2 * r + 1, e] = profit

"""Compiled stock: orders as a period opens; what is left, perishes and arrives as it closes. Arrays lie (…, N, E)."""

from __future__ import annotations

import numpy as np

from .fastmath import compiled
from .random import binomial_lanes
from .selling import SPOIL, counter
from .state import (
    LAST_UNITS,
    LIST_PRICE,
    ON_HAND,
    PERISHED,
    PIPELINE,
    RECEIVED,
    REFERENCE_PRICE,
    RETURNED,
    UNITS,
)

_ZERO, _ONE = np.float32(0), np.float32(1)


@compiled
def order(level, asked, period, immediate, lanes, quantity):
    """Place a period's orders: on hand at once, or in each market's slot of the pipeline.

    level: (N,) what the market orders up to, or (0,) where the policy asks. asked: (N, E). quantity: (N, E), filled.
    """
    products, markets = quantity.shape
    slots = lanes.shape[0] - PIPELINE
    for n in range(products):
        if level.size:
            order_up_to(level[n], lanes[ON_HAND, n], lanes[PIPELINE, n], quantity[n])
            for place in range(1, slots):
                for e in range(markets):
                    quantity[n, e] -= lanes[PIPELINE + place, n, e]
            for e in range(markets):
                quantity[n, e] = max(quantity[n, e], _ZERO)
        else:
            quantity[n] = asked[n]
        if immediate:
            for e in range(markets):
                lanes[ON_HAND, n, e] += quantity[n, e]
    if not immediate:
        for place in range(slots):
            send(period, place, slots, quantity, lanes[PIPELINE + place])


@compiled
def send(period, place, slots, quantity, slot):
    """Put the orders of the markets whose turn it is into a slot of the pipeline."""
    turn = np.empty_like(slot[0])
    for e in range(turn.size):
        turn[e] = _ONE if period[e] % slots == place else _ZERO
    for n in range(slot.shape[0]):
        for e in range(turn.size):
            slot[n, e] = quantity[n, e] if turn[e] > _ZERO else slot[n, e]


@compiled
def whole_orders(proposed, most):
    """Proposed orders, (N, E), in whole units between nothing and the most, (N,); a NaN is none."""
    out = np.empty_like(proposed)
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            units = proposed[n, e] if proposed[n, e] > _ZERO else _ZERO
            out[n, e] = np.rint(min(units, most[n]))
    return out


@compiled
def order_up_to(level, on_hand, first_slot, quantity):
    """What lacks to the level, one slot of the pipeline counted."""
    for e in range(quantity.size):
        quantity[e] = level - on_hand[e] - first_slot[e]


@compiled
def close_period(m, keys, segments, period, delivers, restart, memory, price, money, flows, lanes):
    """Stock and memory at the period's end: what perishes, what arrives, what customers remember of the price.

    period: (E,) the period that opens. delivers: whether orders have a lead time. restart: (E,) whether a new season's
    stock arrives, or (0,). memory: share of the old reference price that is kept, 1 where nobody remembers.
    """
    closing = lanes[ON_HAND]
    copy(price, lanes[LIST_PRICE])
    copy(money[UNITS], lanes[LAST_UNITS])
    take(money[UNITS], closing)
    if memory < _ONE:
        remember(memory, price, lanes[REFERENCE_PRICE])
    if not flows.shape[0]:
        return
    for n in range(price.shape[0]):
        if m.return_probability[n] > _ZERO:
            for e in range(closing.shape[1]):
                closing[n, e] += flows[RETURNED, n, e]
        if m.spoilage[n] > _ZERO:
            binomial_lanes(closing[n], m.spoilage[n], keys, counter(n, SPOIL, segments), flows[PERISHED, n])
            for e in range(closing.shape[1]):
                closing[n, e] -= flows[PERISHED, n, e]
        if restart.size:
            for e in range(closing.shape[1]):
                if restart[e]:
                    flows[PERISHED, n, e] += max(closing[n, e], _ZERO)
                    flows[RECEIVED, n, e] += m.opening_units[n]
                    closing[n, e] = m.opening_units[n] + min(closing[n, e], _ZERO)
    if delivers:
        for place in range(lanes.shape[0] - PIPELINE):
            deliver(period, place, lanes.shape[0] - PIPELINE, closing, flows[RECEIVED], lanes[PIPELINE + place])


@compiled
def copy(values, out):
    """out = values."""
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            out[n, e] = values[n, e]


@compiled
def take(values, out):
    """out -= values."""
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            out[n, e] -= values[n, e]


@compiled
def deliver(period, place, slots, closing, received, slot):
    """Bring a slot of the pipeline onto the shelf, in the markets where it is due."""
    due = np.empty_like(slot[0])
    for e in range(due.size):
        due[e] = _ONE if period[e] % slots == place else _ZERO
    for n in range(closing.shape[0]):
        for e in range(due.size):
            arrived = due[e] * slot[n, e]
            received[n, e] += arrived
            closing[n, e] += arrived
            slot[n, e] -= arrived


@compiled
def remember(memory, price, reference):
    """The reference price after this period's list price."""
    for n in range(price.shape[0]):
        for e in range(price.shape[1]):
            reference[n, e] = memory * reference[n, e] + (_ONE - memory) * price[n, e]

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
        elif slots == 1:
            lanes[PIPELINE, n] = quantity[n]
        else:
            for e in range(markets):
                lanes[PIPELINE + period[e] % slots, n, e] = quantity[n, e]


@compiled
def order_up_to(level, on_hand, first_slot, quantity):
    """What lacks to the level, one slot of the pipeline counted."""
    for e in range(quantity.size):
        quantity[e] = level - on_hand[e] - first_slot[e]


@compiled
def spoil(probability, keys, n, segments, closing, perished):
    """Take what perishes off one product's closing stock, (E,)."""
    gone = np.empty_like(closing)
    binomial_lanes(closing, probability, keys, counter(n, SPOIL, segments), gone)
    for e in range(closing.size):
        closing[e] -= gone[e]
    for e in range(closing.size):
        perished[e] += gone[e]


@compiled
def close_period(m, keys, segments, period, delivers, restart, memory, price, money, flows, lanes):
    """Stock and memory at the period's end: what perishes, what arrives, what customers remember of the price.

    period: (E,) the period that opens. delivers: whether orders have a lead time. restart: (E,) whether a new season's
    stock arrives, or (0,). memory: share of the old reference price that is kept, 1 where nobody remembers.
    """
    products, markets = price.shape
    for n in range(products):
        lanes[LIST_PRICE, n] = price[n]
        if memory < _ONE:
            remember(memory, price[n], lanes[REFERENCE_PRICE, n])
        sell_off(money[UNITS, n], lanes[ON_HAND, n], lanes[LAST_UNITS, n])
        if not flows.shape[0]:
            continue
        closing = lanes[ON_HAND, n]
        if m.return_probability[n] > _ZERO:
            for e in range(markets):
                closing[e] += flows[RETURNED, n, e]
        if m.spoilage[n] > _ZERO:
            spoil(m.spoilage[n], keys, n, segments, closing, flows[PERISHED, n])
        if restart.size:
            for e in range(markets):
                if restart[e]:
                    flows[PERISHED, n, e] += max(closing[e], _ZERO)
                    flows[RECEIVED, n, e] += m.opening_units[n]
                    closing[e] = m.opening_units[n] + min(closing[e], _ZERO)
        if delivers:
            deliver(period, n, closing, flows[RECEIVED, n], lanes)


@compiled
def sell_off(sold, on_hand, last):
    """Take what was sold off the shelf, and note it."""
    for e in range(sold.size):
        on_hand[e] -= sold[e]
        last[e] = sold[e]


@compiled
def deliver(period, n, closing, received, lanes):
    """Bring each market's due slot of the pipeline onto the shelf."""
    slots = lanes.shape[0] - PIPELINE
    for place in range(slots):
        row = lanes[PIPELINE + place, n]
        for e in range(closing.size):
            arrived = row[e] if slots == 1 or period[e] % slots == place else _ZERO
            received[e] += arrived
            row[e] -= arrived
            closing[e] += arrived


@compiled
def remember(memory, price, reference):
    """The reference price after this period's list price."""
    for e in range(price.size):
        reference[e] = memory * reference[e] + (_ONE - memory) * price[e]

"""Compiled stock: orders as a period opens; what is left, perishes and arrives as it closes. Arrays lie (…, N, E)."""

from __future__ import annotations

import numpy as np

from ..jit.math import lean
from ..jit.rng import binomial_lanes
from .sales import SPOIL, counter
from .state import LAST_UNITS, LIST_PRICE, ON_HAND, PIPELINE, REFERENCE_PRICE

_ZERO, _ONE = np.float32(0), np.float32(1)


@lean
def order(level, period, immediate, before, lanes, place, quantity):
    """Place a period's orders: each market's slot of the pipeline takes them, where they are not on hand at once.

    level: (N,) what the market orders up to, or (0,) where `quantity`, (N, E), holds what the policy asks; it is filled
    otherwise. before, lanes: of the state before, and of the one to fill. place: (E,) scratch.
    """
    slots = lanes.shape[0] - PIPELINE
    if level.size:
        order_up_to(level, before, quantity)
    find_place(period, slots, place)
    for i in range(slots):
        # No market's turn is the slot before the first.
        here = np.float32(-1 if immediate else i)
        send(place, here, quantity, before[PIPELINE + i], lanes[PIPELINE + i])


@lean
def find_place(period, slots, place):
    """(E,) the slot of the pipeline whose turn it is."""
    first, same = period[0] % slots, True
    for e in range(period.size):
        same &= period[e] == period[0]
    if same:
        place[:] = np.float32(first)
    else:
        for e in range(period.size):
            place[e] = np.float32(period[e] % slots)


@lean
def send(place, here, quantity, before, slot):
    """Put the orders of the markets whose turn it is into a slot of the pipeline; the others keep what it held before."""
    for n in range(slot.shape[0]):
        for e in range(slot.shape[1]):
            slot[n, e] = quantity[n, e] if place[e] == here else before[n, e]


@lean
def whole_orders(proposed, most, out):
    """Proposed orders, (N, E), in whole units between nothing and the most, (N,), into `out`; a NaN is none."""
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            units = proposed[n, e] if proposed[n, e] > _ZERO else _ZERO
            out[n, e] = np.rint(min(units, most[n]))


@lean
def order_up_to(level, lanes, quantity):
    """What lacks to the level, all that is on the way counted."""
    for n in range(quantity.shape[0]):
        for e in range(quantity.shape[1]):
            quantity[n, e] = level[n] - lanes[ON_HAND, n, e]
        for row in range(PIPELINE, lanes.shape[0]):
            for e in range(quantity.shape[1]):
                quantity[n, e] = max(quantity[n, e] - lanes[row, n, e], _ZERO)


@lean
def season_ends(stock, period, ends):
    """Fill (E,) with whether a selling season ends with this period; nothing to do for (0,)."""
    for e in range(ends.size):
        ends[e] = (period[e] + 1) % stock.season == 0 if stock.season else period[e] + 1 == stock.last


@lean
def close_period(
    m, keys, segments, period, delivers, restart, memory, price, sold, perished, received, reference, lanes, place
):  # fmt: skip
    """Stock and memory at the period's end: what perishes, what arrives, what customers remember of the price.

    period: (E,) the period that opens. delivers: whether orders have a lead time. restart: (E,) whether a new season's
    stock arrives, or (0,). memory: share of the old reference price, (N, E), that is kept, 1 where nobody remembers. lanes:
    on hand is what the sales left. place: (E,) scratch.
    """
    closing = lanes[ON_HAND]
    for n in range(price.shape[0]):
        for e in range(price.shape[1]):
            lanes[LIST_PRICE, n, e] = price[n, e]
        for e in range(price.shape[1]):
            lanes[LAST_UNITS, n, e] = sold[n, e]
    remember(memory, price, reference, lanes[REFERENCE_PRICE])
    for n in range(price.shape[0] if perished.shape[0] else 0):
        if m.spoilage[n] > _ZERO:
            binomial_lanes(closing[n], m.spoilage[n], keys, counter(n, SPOIL, segments), perished[0, n])
            for e in range(closing.shape[1]):
                closing[n, e] -= perished[0, n, e]
        if restart.size:
            for e in range(closing.shape[1]):
                if restart[e]:
                    perished[0, n, e] += max(closing[n, e], _ZERO)
                    received[0, n, e] += m.opening_units[n]
                    closing[n, e] = m.opening_units[n] + min(closing[n, e], _ZERO)
    if delivers:
        slots = lanes.shape[0] - PIPELINE
        find_place(period, slots, place)
        for i in range(slots):
            deliver(place, np.float32(i), closing, received[0], lanes[PIPELINE + i])


@lean
def deliver(place, here, closing, received, slot):
    """Bring a slot of the pipeline onto the shelf, in the markets where it is due."""
    for n in range(closing.shape[0]):
        for e in range(place.size):
            arrived = slot[n, e] if place[e] == here else _ZERO
            received[n, e] += arrived
            closing[n, e] += arrived
            slot[n, e] -= arrived


@lean
def remember(memory, price, before, after):
    """The reference price after this period's list price."""
    for n in range(price.shape[0]):
        for e in range(price.shape[1]):
            after[n, e] = memory * before[n, e] + (_ONE - memory) * price[n, e]

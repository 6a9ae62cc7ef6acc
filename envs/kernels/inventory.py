"""Compiled inventory: orders, leftover stock, spoilage and deliveries.

Also the update of the reference price. Arrays lie (…, N, E).
"""

from __future__ import annotations

import numpy as np

from ..jit.math import lean
from ..jit.rng import binomial_lanes, derive, uniform
from .sales import SPOIL, counter
from .state import LAST_UNITS, LIST_PRICE, ON_HAND, PIPELINE, REFERENCE_PRICE

_ZERO, _ONE = np.float32(0), np.float32(1)


@lean
def order(level, period, lead, before, lanes, place, quantity):
    """Place the orders of a period in the pipeline, but for those that arrive at once.

    Args:
        level: (N,) order-up-to level, or (0,) if the policy orders.
        period: (E,) number of the period.
        lead: (N,) periods from order to delivery.
        before: Lanes of the state before the period.
        lanes: Lanes of the next state; the pipeline is filled.
        place: (E,) scratch.
        quantity: (N, E) the policy's orders, or filled with those of the order-up-to rule.
    """
    slots = lanes.shape[0] - PIPELINE
    if level.size:
        order_up_to(level, before, quantity)
    find_place(period, slots, place)
    for i in range(slots):
        send(place, i, slots, lead, quantity, before[PIPELINE + i], lanes[PIPELINE + i])


@lean
def find_place(period, slots, place):
    """Fill (E,) with the slot of the pipeline that is delivered before this period."""
    first, same = period[0] % slots, True
    for e in range(period.size):
        same &= period[e] == period[0]
    if same:
        place[:] = np.float32(first)
    else:
        for e in range(period.size):
            place[e] = np.float32(period[e] % slots)


@lean
def send(place, i, slots, lead, quantity, before, slot):
    """Copy slot i of the pipeline, with the new orders that are due with it."""
    for n in range(slot.shape[0]):
        # No market has slot -1: orders that arrive at once do not enter the pipeline.
        here = np.float32((i - lead[n]) % slots if lead[n] > 0 else -1)
        for e in range(slot.shape[1]):
            slot[n, e] = before[n, e] + (quantity[n, e] if place[e] == here else _ZERO)


@lean
def receive_at_once(lead, ordered, received, stock):
    """Add the orders of products without a lead time to the units received and on sale, (N, E)."""
    for n in range(stock.shape[0]):
        for e in range(stock.shape[1] if lead[n] == 0 else 0):
            received[n, e] += ordered[n, e]
            stock[n, e] += ordered[n, e]


@lean
def postpone(delay, keys, first, period, lanes):
    """Move deliveries that are due before this period, but late, to the next slot of the pipeline.

    Args:
        delay: (N,) probability that a delivery is late.
        keys: (E,) keys of the period that ends.
        first: Counter of the first product's random stream.
        period: (E,) number of the next period.
        lanes: Lanes of the next state, with a slot more than the longest lead time.
    """
    slots = lanes.shape[0] - PIPELINE
    for n in range(delay.size):
        for e in range(period.size if delay[n] > _ZERO else 0):
            if uniform(derive(keys[e], first + n)) < delay[n]:
                due = period[e] % slots
                lanes[PIPELINE + (due + 1) % slots, n, e] += lanes[PIPELINE + due, n, e]
                lanes[PIPELINE + due, n, e] = _ZERO


@lean
def whole_orders(proposed, most, out):
    """Fill (N, E) with proposed orders in whole units from 0 to the largest order, (N,)."""
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            units = proposed[n, e] if proposed[n, e] > _ZERO else _ZERO
            out[n, e] = np.rint(min(units, most[n]))


@lean
def order_up_to(level, lanes, quantity):
    """Fill (N, E) with the units missing to the order-up-to level."""
    for n in range(quantity.shape[0]):
        for e in range(quantity.shape[1]):
            quantity[n, e] = level[n] - lanes[ON_HAND, n, e]
        for row in range(PIPELINE, lanes.shape[0]):
            for e in range(quantity.shape[1]):
                quantity[n, e] = max(quantity[n, e] - lanes[row, n, e], _ZERO)


@lean
def season_ends(stock, period, ends):
    """Fill (E,) with whether a selling season ends with this period; (0,) if there are no seasons."""
    for e in range(ends.size):
        ends[e] = (period[e] + 1) % stock.season == 0 if stock.season else period[e] + 1 == stock.last


@lean
def close_period(
    m, keys, segments, period, delivers, restart, memory, price, sold, perished, received, reference, lanes, place
):  # fmt: skip
    """Close a period: spoilage, the stock of a new season, deliveries, the reference price.

    Args:
        m: `MoneyParameters`.
        keys: (E,) keys of the period.
        segments: K.
        period: (E,) number of the next period.
        delivers: Whether orders have a lead time.
        restart: (E,) whether the stock of a new season arrives, or (0,).
        memory: Share of the reference price that is kept; 1 if it does not change.
        price: (N, E) list prices.
        sold: (N, E) units sold.
        perished: (1, N, E) or (0, N, E), filled.
        received: (1, N, E) or (0, N, E), filled.
        reference: (N, E) reference prices before the period.
        lanes: Lanes of the next state, with the units that the sales left on hand.
        place: (E,) scratch.
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


@lean.entry
def use_capacity(use, added, period, sold, capacity, on_hand):
    """Take the units sold from the shared resources, and add what is added to them.

    Args:
        use: (H, N) units of a resource that a unit of a product uses.
        added: (T + 1, H) units added at the start of each period.
        period: (E,) number of the next period.
        sold: (N, E) units sold.
        capacity: (H, E) units left of each resource, in place.
        on_hand: (N, E), filled with the units of each product that could be sold if no other were.
    """
    for n in range(on_hand.shape[0]):
        for e in range(on_hand.shape[1]):
            on_hand[n, e] = np.float32(np.inf)
    for h in range(use.shape[0]):
        for e in range(period.size):
            for n in range(use.shape[1]):
                capacity[h, e] -= use[h, n] * sold[n, e]
            capacity[h, e] = max(capacity[h, e] + added[period[e], h], _ZERO)
            for n in range(use.shape[1]):
                if use[h, n] > _ZERO:
                    on_hand[n, e] = min(on_hand[n, e], np.floor(capacity[h, e] / use[h, n]))


@lean
def deliver(place, here, closing, received, slot):
    """Receive one slot of the pipeline in the markets where it is due."""
    for n in range(closing.shape[0]):
        for e in range(place.size):
            arrived = slot[n, e] if place[e] == here else _ZERO
            received[n, e] += arrived
            closing[n, e] += arrived
            slot[n, e] -= arrived


@lean
def remember(memory, price, before, after):
    """Fill the reference price after this period's list price, (N, E): exponential smoothing."""
    for n in range(price.shape[0]):
        for e in range(price.shape[1]):
            after[n, e] = memory * before[n, e] + (_ONE - memory) * price[n, e]

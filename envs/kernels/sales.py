"""Compiled sales: units drawn from their means and cut to stock, with revenue and profit.

Arrays lie (…, N, E).
"""

from __future__ import annotations

import numpy as np

from ..jit.blocks import BLOCK
from ..jit.math import compiled, inlined, lean, merged
from ..jit.rng import binomial_lanes, child, derive, gamma_lanes, mix, poisson_rows, uniform, uniform32
from .demand_kernels import add
from .state import LOST, PROFIT, REVENUE, UNITS

# Random streams of a product in a period; demand uses one per segment.
GAMMA, RATION, RETURN, SPOIL, DEMAND = range(5)
_ZERO, _ONE = np.float32(0), np.float32(1)


@inlined
def counter(n, stream, segments):
    """Counter of a product's random stream among those of its market."""
    return n * (DEMAND + segments) + stream


@lean
def draw_poisson(m, keys, segments, mean, units, by_segment, demand):
    """Draw the demand of each product.

    Args:
        m: `MoneyParameters`.
        keys: (E,) keys of the period.
        segments: K.
        mean: (K, N, E) mean units by segment.
        units: (N, E) mean units of all segments.
        by_segment: (K, N, E), filled with the units of each segment, or (0, N, E) to draw the
            segments together.
        demand: (N, E), filled with the units of all segments.
    """
    if m.dispersed:
        draw_mixed(m.overdispersion, keys, segments, mean, units, by_segment, demand)
    else:
        draw_plain(keys, segments, mean, units, by_segment, demand)
    if by_segment.shape[0]:
        demand[:] = _ZERO
    for k in range(by_segment.shape[0]):
        add(by_segment[k], demand)


@lean
def draw_plain(keys, segments, mean, units, by_segment, demand):
    """As `draw_poisson`, without overdispersion."""
    for k in range(by_segment.shape[0]):
        poisson_rows(mean[k], keys, DEMAND + k, DEMAND + segments, by_segment[k])
    if not by_segment.shape[0]:
        poisson_rows(units, keys, DEMAND, DEMAND + segments, demand)


@compiled
def draw_mixed(overdispersion, keys, segments, mean, units, by_segment, demand):
    """As `draw_poisson`, with a gamma multiplier for each product."""
    multiplier, scaled = np.ones_like(units), np.empty_like(units)
    for n in range(units.shape[0]):
        if overdispersion[n] > _ZERO:
            gamma_lanes(overdispersion[n], keys, counter(n, GAMMA, segments), multiplier[n])
    for k in range(by_segment.shape[0]):
        multiply(mean[k], multiplier, scaled)
        poisson_rows(scaled, keys, DEMAND + k, DEMAND + segments, by_segment[k])
    if not by_segment.shape[0]:
        multiply(units, multiplier, scaled)
        poisson_rows(scaled, keys, DEMAND, DEMAND + segments, demand)


@lean
def multiply(left, right, out):
    """out = left * right."""
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            out[n, e] = left[n, e] * right[n, e]


@lean
def draw_single(categories, category, rival_category, keys, first, mean, rival_mean, by_segment, demand, rival_demand):
    """At most one customer in each category: add the unit that each one buys to the demand.

    The arguments are as for `draw_poisson`; `first` is the counter of category 0 among the market's
    random streams, and the means are purchase probabilities.
    """
    segments, products, markets = mean.shape
    for e in range(markets):
        for c in range(categories):
            ticket = uniform(derive(keys[e], first + c))
            for n in range(products):
                for k in range(segments):
                    if category[n] == c and ticket >= 0.0:
                        ticket -= mean[k, n, e]
                        if ticket < 0.0:
                            demand[n, e] += _ONE
                            if by_segment.shape[0]:
                                by_segment[k, n, e] += _ONE
            for r in range(rival_mean.shape[0]):
                if rival_category[r] == c and ticket >= 0.0:
                    ticket -= rival_mean[r, e]
                    if ticket < 0.0:
                        rival_demand[r, e] += _ONE


@inlined
def settle(m, keys, segments, offered, wanted, paid, money, returned, closing):
    """Cut demand to stock and compute revenue and profit of the units drawn.

    Args:
        m: `MoneyParameters`.
        keys: (E,) keys of the period.
        segments: K.
        offered: List price, (N, E); personal prices, (K, N, E) or (0, N, E); stock, (N, E); units
            ordered, (S, N, E) or (0, N, E); promotions, (N, E) or (0, E); whether a season ends, (E,) or (0,).
        wanted: Mean units by segment, (K, N, E), and in total, (N, E); drawn units by segment, cut
            to stock in place; drawn units in total, (N, E).
        paid: (2, N, E), filled with the mean price paid over the drawn and over the expected units,
            or (0, N, E) if all customers pay the list price.
        money: (4, N, E), filled; see `Outcome.money`.
        returned: (1, N, E), filled with the units returned, or (0, N, E).
        closing: (N, E), filled with the units left.
    """
    price, by_price, stock, ordered, promoted, season_ends = offered
    mean, units, by_segment, demand = wanted
    sold, lost, revenue, profit = money[UNITS], money[LOST], money[REVENUE], money[PROFIT]
    cut_to_stock(m.backlog, demand, stock, sold, lost, closing)
    charged = price
    if by_price.shape[0]:
        charged = paid[0]
        ration(keys, segments, demand, sold, by_segment)
        average_paid(by_price, mean, units, price, paid[1])
        average_paid(by_price, by_segment, sold, paid[1], charged)
    earn(m.sold_cost, m.lost_sale_cost, sold, lost, charged, revenue, profit)
    if returned.shape[0]:
        draw_returns(m.return_probability, keys, segments, sold, returned[0])
        take_back(m, returned[0], charged, closing, revenue, profit)
    keep(m, closing, season_ends, revenue, profit)
    spend(m, ordered, promoted, profit)


@lean
def cut_to_stock(backlog, demand, stock, sold, lost, closing):
    """Fill units sold, units lost and units left, (N, E) each."""
    for n in range(sold.shape[0]):
        for e in range(sold.shape[1]):
            bought = demand[n, e] if backlog else min(demand[n, e], stock[n, e])
            sold[n, e] = bought
            lost[n, e] = demand[n, e] - bought
        for e in range(sold.shape[1]):
            closing[n, e] = stock[n, e] - sold[n, e]


@lean
def charge_rows(cost, units, profit):
    """profit -= cost * units, with one cost per product."""
    for n in range(units.shape[0]):
        if cost[n] != _ZERO:
            for e in range(units.shape[1]):
                profit[n, e] -= cost[n] * units[n, e]


@lean
def earn(cost, lost_cost, sold, lost, paid, revenue, profit):
    """Fill revenue, and profit after unit costs and lost-sale costs, from drawn or expected units."""
    for n in range(sold.shape[0]):
        for e in range(sold.shape[1]):
            earned = sold[n, e] * paid[n, e]
            revenue[n, e] = earned
            profit[n, e] = earned - cost[n] * sold[n, e]
    charge_rows(lost_cost, lost, profit)


@lean
def draw_returns(probability, keys, segments, sold, returned):
    """Draw how many of the units sold are returned."""
    for n in range(sold.shape[0]):
        if probability[n] > _ZERO:
            binomial_lanes(sold[n], probability[n], keys, counter(n, RETURN, segments), returned[n])


@lean
def take_back(m, returned, paid, closing, revenue, profit):
    """Refund the units returned and add them to the stock."""
    for n in range(returned.shape[0]):
        if m.return_probability[n] > _ZERO:
            saved = m.sold_cost[n] - m.handling_cost[n]
            for e in range(returned.shape[1]):
                revenue[n, e] -= returned[n, e] * paid[n, e]
            for e in range(returned.shape[1]):
                profit[n, e] += returned[n, e] * (saved - paid[n, e])
            for e in range(returned.shape[1]):
                closing[n, e] += returned[n, e]


@lean
def keep(m, closing, season_ends, revenue, profit):
    """Book holding costs, backlog costs and the salvage value at the end of a season."""
    for n in range(closing.shape[0]):
        if m.holding_cost[n] > _ZERO:
            for e in range(closing.shape[1]):
                profit[n, e] -= m.holding_cost[n] * max(closing[n, e], _ZERO)
        if m.backlog_cost[n] > _ZERO:
            for e in range(closing.shape[1]):
                profit[n, e] += m.backlog_cost[n] * min(closing[n, e], _ZERO)
        if season_ends.size and m.salvage_value[n] != _ZERO:
            for e in range(closing.shape[1]):
                salvage = m.salvage_value[n] * max(closing[n, e], _ZERO) if season_ends[e] else _ZERO
                revenue[n, e] += salvage
                profit[n, e] += salvage


@lean
def spend(m, ordered, promoted, profit):
    """Subtract the costs of orders and promotions from the profit."""
    charge_rows(m.promotion_cost, promoted, profit)
    for s in range(ordered.shape[0]):
        charge_rows(m.ordered_cost[s], ordered[s], profit)
        for n in range(ordered.shape[1] if m.order_cost[s].max() > _ZERO else 0):
            for e in range(ordered.shape[2]):
                profit[n, e] -= m.order_cost[s, n] if ordered[s, n, e] > _ZERO else _ZERO


@lean
def average_paid(paid, units, total, otherwise, out):
    """Fill (N, E) with the mean price paid over the segments; `otherwise` without units."""
    out[:] = _ZERO
    for k in range(paid.shape[0]):
        for n in range(out.shape[0]):
            for e in range(out.shape[1]):
                out[n, e] += paid[k, n, e] * units[k, n, e]
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            out[n, e] = out[n, e] / total[n, e] if total[n, e] > _ZERO else otherwise[n, e]


@compiled
def ration(keys, segments, demand, sold, by_segment):
    """Ration in random order: the units sold are a random subset of the units demanded."""
    short = np.empty(demand.shape[1], np.uint64)
    left, key = np.empty((by_segment.shape[0], BLOCK), np.float32), np.empty(BLOCK, np.uint64)
    rows = np.empty((3, BLOCK), np.float32)
    total, draws, ticket = rows[0], rows[1], rows[2]
    for n in range(demand.shape[0]):
        count = find_short(demand, sold, n, short)
        for first in range(0, count, BLOCK):
            lanes = min(BLOCK, count - first)
            for j in range(lanes):
                e = short[first + j]
                key[j] = derive(keys[e], counter(n, RATION, segments))
                total[j] = demand[n, e]
                draws[j] = min(sold[n, e], demand[n, e] - sold[n, e])
            for j in range(lanes, BLOCK):
                draws[j] = _ZERO
            accumulate_segments(by_segment, n, short, first, lanes, left)
            draw_units(int(draws.max()), key, total, draws, ticket, left)
            keep_drawn(demand, sold, n, short, first, lanes, left, by_segment)


@lean
def find_short(demand, sold, n, short):
    """Number of markets in which product n runs short; their indices go into `short`, (E,)."""
    count = 0
    for e in range(demand.shape[1]):
        short[count] = e
        count += np.int64(demand[n, e] > sold[n, e])
    return count


@merged
def accumulate_segments(by_segment, n, short, first, lanes, left):
    """Fill the cumulative units of the segments, (K, BLOCK), in a block of markets that run short."""
    for j in range(lanes):
        left[0, j] = by_segment[0, n, short[first + j]]
    for k in range(1, left.shape[0]):
        for j in range(lanes):
            left[k, j] = left[k - 1, j] + by_segment[k, n, short[first + j]]


@merged
def draw_units(most, key, total, draws, ticket, left):
    """Remove `draws` of the `total` units at random, one by one, in `most` steps of all lanes."""
    for attempt in range(most):
        drawn, offset = np.float32(attempt), child(attempt)
        for j in range(BLOCK):
            remaining = total[j] - drawn
            unit = min(np.floor(uniform32(mix(key[j] + offset)) * remaining), remaining - _ONE)
            # A lane that is finished draws beyond its last unit.
            ticket[j] = unit if drawn < draws[j] else total[j]
        for k in range(left.shape[0]):
            for j in range(BLOCK):
                left[k, j] -= _ONE if ticket[j] < left[k, j] else _ZERO


@merged
def keep_drawn(demand, sold, n, short, first, lanes, left, by_segment):
    """Set the units that the segments keep: those drawn or those left, as `draws` counted."""
    for k in range(left.shape[0]):
        for j in range(lanes):
            e = short[first + j]
            rest = left[k, j] - left[k - 1, j] if k else left[k, j]
            drawn = sold[n, e] <= demand[n, e] - sold[n, e]
            by_segment[k, n, e] = by_segment[k, n, e] - rest if drawn else rest


@compiled.entry
def total_by_market(money, scale):
    """(E,) scaled sums over products of (N, E), in an order that does not depend on the batch."""
    out = np.empty(money.shape[1], np.float32)
    total = np.zeros(money.shape[1])
    for n in range(money.shape[0]):
        for e in range(total.size):
            total[e] += money[n, e]
    for e in range(total.size):
        out[e] = total[e] * scale
    return out

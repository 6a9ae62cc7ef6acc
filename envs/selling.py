"""Compiled sales: units drawn from their means, cut to stock, and the money they bring. Arrays lie (…, N, E)."""

from __future__ import annotations

import math

import numpy as np

from .fastmath import compiled, exponential, inlined
from .random import BLOCK, binomial, derive, gamma_multiplier, poisson_lanes, uniform
from .state import (
    EXPECTED_PROFIT,
    EXPECTED_REVENUE,
    LOST,
    ON_HAND,
    PAID,
    PIPELINE,
    PROFIT,
    RETURNED,
    REVENUE,
    UNITS,
)

# Streams of a product's randomness in a period; demand takes one a segment.
GAMMA, RATION, RETURN, SPOIL, DEMAND = range(5)
_ZERO, _ONE, _FOUR, _FIVE, _TWELVE = np.float32(0), np.float32(1), np.float32(4), np.float32(5), np.float32(12)
_BLOCK_LIMIT, _NEGLIGIBLE = np.float32(64.0), np.float32(1e-7)


@inlined
def counter(n, stream, segments):
    """Number of a product's stream among the children of a market's key."""
    return n * (DEMAND + segments) + stream


@compiled
def draw_poisson(overdispersion, keys, segments, mean, units, by_segment, demand):
    """Demand of each product, (N, E): its segments one by one into by_segment (K, N, E), or together if that is (0, …)."""
    products, markets = units.shape
    scaled, multiplier = np.empty(markets, units.dtype), np.empty(markets, units.dtype)
    for n in range(products):
        if overdispersion[n] > 0:
            for e in range(markets):
                multiplier[e] = gamma_multiplier(float(overdispersion[n]), derive(keys[e], counter(n, GAMMA, segments)))
        if not by_segment.shape[0]:
            scale_row(units[n], overdispersion[n], multiplier, scaled)
            poisson_lanes(scaled, keys, counter(n, DEMAND, segments), demand[n])
            continue
        demand[n] = _ZERO
        for k in range(segments):
            scale_row(mean[k, n], overdispersion[n], multiplier, scaled)
            poisson_lanes(scaled, keys, counter(n, DEMAND + k, segments), by_segment[k, n])
            for e in range(markets):
                demand[n, e] += by_segment[k, n, e]


@compiled
def scale_row(mean, overdispersion, multiplier, out):
    """The mean under its gamma multiplier."""
    if overdispersion > 0:
        for e in range(out.size):
            out[e] = mean[e] * multiplier[e]
    else:
        out[:] = mean


@compiled
def draw_single(category, rival_category, keys, first, mean, rival_mean, by_segment, demand, rival_demand):
    """At most one customer a category; adds what they buy. first: counter of category 0 among the market's streams."""
    segments, products, markets = mean.shape
    categories = max(category.max(), rival_category.max() if rival_category.size else 0) + 1
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


@compiled
def settle(
    m, keys, segments, price, paid, stock, mean, units, ordered, promoted, season_ends, by_segment, demand, money, flows
):
    """Cut demand to stock and work out the money, drawn and expected, into `money` and `flows` (see `Outcome`).

    paid: (K, N, E) or (0, N, E). stock, ordered, promoted: (N, E); ordered and promoted may be (0, E). season_ends: (E,)
    or (0,). by_segment is cut in place.
    """
    products, markets = units.shape
    covered, mean_paid = np.empty(markets, units.dtype), np.empty(markets, units.dtype)
    returned, closing = np.zeros(markets, units.dtype), np.empty(markets, units.dtype)
    scratch = (np.empty(markets, units.dtype), np.empty(markets, units.dtype), np.empty(markets, units.dtype))
    blocks = (np.empty(BLOCK, units.dtype), np.empty(BLOCK, units.dtype), np.empty(BLOCK, units.dtype))
    for n in range(products):
        # Numbers, not arrays: a tuple of arrays is slow to hand on.
        own = (
            m.sold_cost[n],
            m.lost_sale_cost[n],
            m.return_probability[n],
            m.handling_cost[n],
            m.holding_cost[n],
            m.backlog_cost[n],
        )
        salvage = m.salvage_value[n]
        cut_to_stock(m.backlog, demand[n], stock[n], money[UNITS, n], money[LOST, n])
        if paid.shape[0]:
            ration_row(keys, counter(n, RATION, segments), demand[n], money[UNITS, n], by_segment[:, n])
            paid_row(paid[:, n], mean[:, n], units[n], price[n], mean_paid)
            paid_row(paid[:, n], by_segment[:, n], money[UNITS, n], mean_paid, money[PAID, n])
        else:
            mean_paid[:] = price[n]
            money[PAID, n] = price[n]
        expected_sales(units[n], m.overdispersion[n], stock[n], blocks, covered)
        if m.return_probability[n] > _ZERO:
            stream = counter(n, RETURN, segments)
            for e in range(markets):
                sold = float(money[UNITS, n, e])
                returned[e] = binomial(sold, float(m.return_probability[n]), derive(keys[e], stream))
            flows[RETURNED, n] = returned
        leftover(stock[n], money[UNITS, n], returned, closing)
        earn(
            own, money[UNITS, n], returned, money[LOST, n], closing, money[PAID, n], money[REVENUE, n], money[PROFIT, n]
        )
        leave(salvage, closing, season_ends, money[REVENUE, n], money[PROFIT, n])
        expected = (money[EXPECTED_REVENUE, n], money[EXPECTED_PROFIT, n])
        expect(m.backlog, own, units[n], covered, stock[n], mean_paid, scratch, closing, *expected)
        leave(salvage, closing, season_ends, *expected)
        spend(m, n, ordered, promoted, money)
        if m.return_probability[n] > _ZERO:
            returned[:] = _ZERO


@compiled
def leftover(stock, sold, returned, closing):
    """Units on hand once a period's sales and returns are done."""
    for e in range(closing.size):
        closing[e] = stock[e] - sold[e] + returned[e]


@compiled
def spend(m, n, ordered, promoted, money):
    """Take what orders and promotions cost off the profit, drawn and expected."""
    if ordered.shape[0] and m.ordered_cost[n] + m.order_cost[n] > _ZERO:
        charge_orders(m.ordered_cost[n], m.order_cost[n], ordered[n], money[PROFIT, n])
        charge_orders(m.ordered_cost[n], m.order_cost[n], ordered[n], money[EXPECTED_PROFIT, n])
    if promoted.shape[0] and m.promotion_cost[n] > _ZERO:
        for e in range(promoted.shape[1]):
            money[PROFIT, n, e] -= m.promotion_cost[n] * promoted[n, e]
            money[EXPECTED_PROFIT, n, e] -= m.promotion_cost[n] * promoted[n, e]


@compiled
def cut_to_stock(backlog, demand, stock, sold, lost):
    """Units sold and lost of one product."""
    if backlog:
        for e in range(sold.size):
            sold[e] = demand[e]
            lost[e] = _ZERO
    else:
        for e in range(sold.size):
            sold[e] = min(demand[e], stock[e])
            lost[e] = demand[e] - sold[e]


@compiled
def paid_row(paid, units, total, otherwise, out):
    """Mean price paid over the segments' units, both (K, E); `otherwise` where there are none."""
    out[:] = _ZERO
    for k in range(paid.shape[0]):
        for e in range(out.size):
            out[e] += paid[k, e] * units[k, e]
    for e in range(out.size):
        out[e] = out[e] / total[e] if total[e] > _ZERO else otherwise[e]


@compiled
def ration_row(keys, stream, demand, sold, by_segment):
    """Serve in random order where demand exceeds stock: the units sold are a random subset of those wanted."""
    for e in range(demand.size):
        if demand[e] > sold[e]:
            _ration(by_segment, e, float(demand[e]), float(sold[e]), derive(keys[e], stream))


@compiled
def _ration(units, e, total, stock, key):
    """Keep `stock` of the `total` units of column e at random, in place, drawing the smaller of kept and dropped."""
    segments = units.shape[0]
    left = np.empty(segments)
    for k in range(segments):
        left[k] = units[k, e]
    keep = stock <= total - stock
    draws = stock if keep else total - stock
    if keep:
        units[:, e] = _ZERO
    attempt = 0
    while draws >= 1.0:
        ticket = uniform(derive(key, attempt)) * total
        attempt += 1
        k = 0
        while k < segments - 1 and ticket >= left[k]:
            ticket -= left[k]
            k += 1
        left[k] -= 1.0
        total -= 1.0
        draws -= 1.0
        if keep:
            units[k, e] += _ONE
    if not keep:
        for k in range(segments):
            units[k, e] = left[k]


@compiled
def expected_sales(mean, overdispersion, stock, blocks, out):
    """E[min(demand, stock)]; demand is Poisson, or negative binomial under a gamma multiplier."""
    for first in range(0, out.size, BLOCK):
        rate, units, block = mean[first : first + BLOCK], stock[first : first + BLOCK], out[first : first + BLOCK]
        scarce, hard, shorts = np.int32(0), np.int32(0), blocks[2]
        for j in range(block.size):
            # Beyond this the shortfall is below float32's resolution; gamma tails are longer than Poisson's.
            spread = np.sqrt(rate[j] + overdispersion * rate[j] * rate[j])
            short = np.int32(units[j] <= rate[j] + (_FIVE + _TWELVE * overdispersion) * spread + _FOUR)
            shorts[j] = np.float32(short)
            alone = short & np.int32((rate[j] > _BLOCK_LIMIT) | (overdispersion > _ZERO))
            block[j] = rate[j]
            scarce = np.int32(scarce | (short & (alone ^ np.int32(1))))
            hard = np.int32(hard | alone)
        if scarce:
            _expected_block(rate, units, blocks[0], blocks[1], block)
            # A lane with ample stock must not depend on the company it keeps.
            for j in range(block.size):
                block[j] = block[j] if shorts[j] > _ZERO else rate[j]
        if hard:
            for j in range(block.size):
                if rate[j] > _BLOCK_LIMIT or overdispersion > _ZERO:
                    block[j] = _expected_sale(float(rate[j]), float(overdispersion), float(units[j]))


@compiled
def _expected_block(rate, stock, mass, beyond, out):
    """The sum of P(demand > k) over k below the stock, all lanes in step; Poisson means up to the block limit."""
    for j in range(out.size):
        mass[j] = exponential(-rate[j])
        # A lane with a larger mean goes alone, later.
        beyond[j] = _ONE - mass[j] if rate[j] <= _BLOCK_LIMIT else _ZERO
        out[j] = min(stock[j], _ZERO)
    for k in range(256):
        here, reciprocal, going = np.float32(k), np.float32(1.0 / (k + 1.0)), np.int32(0)
        for j in range(out.size):
            counts = np.int32(stock[j] > here) & np.int32(beyond[j] > _NEGLIGIBLE)
            out[j] += beyond[j] if counts else _ZERO
            mass[j] *= rate[j] * reciprocal
            beyond[j] -= mass[j]
            going = np.int32(going | counts)
        if going == 0:
            return


@compiled
def _expected_sale(rate, variance, stock):
    """E[min(demand, stock)] of one lane."""
    if rate <= 0.0:
        return min(0.0, stock)
    if stock > rate + (5.0 + 12.0 * variance) * math.sqrt(rate + variance * rate * rate) + 4.0:
        return rate
    if stock <= 0.0:
        return stock
    if stock > rate:
        return rate - _partial_moment(rate, variance, int(stock), 1)
    return stock - _partial_moment(rate, variance, int(stock), -1)


@compiled
def _partial_moment(rate, variance, stock, side):
    """E[(demand - stock)+] for side 1, E[(stock - demand)+] for side -1, summed from the stock outwards."""
    shape, ratio = 0.0, 0.0
    if variance > 0:
        shape = 1.0 / variance
        ratio = rate / (shape + rate)
        mass = math.lgamma(stock + shape) - math.lgamma(shape) - math.lgamma(stock + 1.0)
        mass = math.exp(mass + shape * math.log(shape / (shape + rate)) + stock * math.log(ratio))
    else:
        mass = math.exp(stock * math.log(rate) - rate - math.lgamma(stock + 1.0))
    moment, k, negligible = 0.0, stock, 1e-10 * (rate + 1.0)
    while True:
        # The ratio of neighbouring masses is ratio * (k + shape) / (k + 1), and rate / (k + 1) for the Poisson.
        if side > 0:
            mass *= (ratio * (k + shape) if variance > 0 else rate) / (k + 1.0)
            k += 1
        else:
            if k == 0:
                return moment
            mass *= k / (ratio * (k - 1.0 + shape) if variance > 0 else rate)
            k -= 1
        term = abs(k - stock) * mass
        moment += term
        if term < negligible and abs(k - stock) > 1:
            return moment


@compiled
def earn(own, sold, returned, lost, closing, paid, revenue, profit):
    """Revenue and profit of one product from units sold, returned, lost and left on hand (all drawn, or all expected)."""
    cost, lost_cost, return_probability, handling, holding, owing = own
    for e in range(sold.size):
        revenue[e] = (sold[e] - returned[e]) * paid[e]
    for e in range(sold.size):
        profit[e] = revenue[e] - cost * sold[e] - lost_cost * lost[e]
    if return_probability > _ZERO:
        for e in range(sold.size):
            profit[e] += (cost - handling) * returned[e]
    if holding > _ZERO:
        for e in range(sold.size):
            profit[e] -= holding * max(closing[e], _ZERO)
    if owing > _ZERO:
        for e in range(sold.size):
            profit[e] += owing * min(closing[e], _ZERO)


@compiled
def leave(salvage, closing, season_ends, revenue, profit):
    """What is left at the end of a season brings its salvage value."""
    if season_ends.size and salvage != _ZERO:
        for e in range(closing.size):
            if season_ends[e]:
                left = salvage * max(closing[e], _ZERO)
                revenue[e] += left
                profit[e] += left


@compiled
def expect(backlog, own, mean, covered, stock, paid, scratch, closing, revenue, profit):
    """Expected revenue and profit, and closing stock. covered: E[min(demand, stock)]; with a backlog all demand is sold."""
    sold, lost, returned = scratch
    for e in range(mean.size):
        sold[e] = mean[e] if backlog else covered[e]
    for e in range(mean.size):
        lost[e] = mean[e] - sold[e]
    for e in range(mean.size):
        returned[e] = own[2] * sold[e]
    leftover(stock, covered, returned, closing)
    earn(own, sold, returned, lost, closing, paid, revenue, profit)
    if backlog:
        # `earn` saw the mean of stock left, which is never below zero: what is owed is the demand not covered.
        for e in range(mean.size):
            profit[e] -= own[5] * (mean[e] - covered[e])


@compiled
def charge_orders(unit_cost, order_cost, ordered, profit):
    """Take what an order costs off the profit."""
    for e in range(profit.size):
        if ordered[e] > _ZERO:
            profit[e] -= unit_cost * ordered[e] + order_cost


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
    for e in range(closing.size):
        if closing[e] >= _ONE:
            gone = binomial(float(closing[e]), float(probability), derive(keys[e], counter(n, SPOIL, segments)))
            closing[e] -= gone
            perished[e] += gone

"""Compiled sales: units drawn from their means, cut to stock, and the money they bring. Arrays lie (…, N, E)."""

from __future__ import annotations

import math

import numpy as np

from .fastmath import compiled, exponential, inlined, logarithm
from .random import BLOCK, binomial_lanes, block_scratch, derive, gamma_multiplier, poisson_blocks, uniform
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
_BLOCK_LIMIT, _NEGLIGIBLE, _MOST_TERMS = np.float32(64.0), np.float32(1e-7), 2000


@inlined
def counter(n, stream, segments):
    """Number of a product's stream among the children of a market's key."""
    return n * (DEMAND + segments) + stream


@compiled
def draw_poisson(overdispersion, keys, segments, mean, units, by_segment, demand):
    """Demand of each product, (N, E): its segments one by one into by_segment (K, N, E), or together if that is (0, …)."""
    products, markets = units.shape
    scaled, multiplier, scratch = np.empty(markets, units.dtype), np.empty(markets, units.dtype), block_scratch()
    for n in range(products):
        if overdispersion[n] > 0:
            for e in range(markets):
                multiplier[e] = gamma_multiplier(float(overdispersion[n]), derive(keys[e], counter(n, GAMMA, segments)))
        if not by_segment.shape[0]:
            row = units[n]
            if overdispersion[n] > 0:
                row = scaled
                scale_row(units[n], multiplier, scaled)
            poisson_blocks(row, keys, counter(n, DEMAND, segments), scratch, demand[n])
            continue
        demand[n] = _ZERO
        for k in range(segments):
            row = mean[k, n]
            if overdispersion[n] > 0:
                row = scaled
                scale_row(mean[k, n], multiplier, scaled)
            poisson_blocks(row, keys, counter(n, DEMAND + k, segments), scratch, by_segment[k, n])
            for e in range(markets):
                demand[n, e] += by_segment[k, n, e]


@compiled
def scale_row(mean, multiplier, out):
    """The mean under its gamma multiplier."""
    for e in range(out.size):
        out[e] = mean[e] * multiplier[e]


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
    m,
    keys,
    segments,
    price,
    paid,
    stock,
    mean,
    units,
    chances,
    ordered,
    promoted,
    season_ends,
    by_segment,
    demand,
    money,
    flows,
):
    """Cut demand to stock and work out the money, drawn and expected, into `money` and `flows` (see `Outcome`).

    paid: (K, N, E) or (0, N, E). chances: (H, N, E) probability that each of H customers buys, where no more come, or
    (0, N, E). stock, ordered, promoted: (N, E); ordered and promoted may be (0, E). season_ends: (E,) or (0,). by_segment
    is cut in place.
    """
    sold, lost, mean_paid = money[UNITS], money[LOST], price
    cut_to_stock(m.backlog, demand, stock, sold, lost)
    money[PAID] = price
    if paid.shape[0]:
        mean_paid = np.empty_like(price)
        for n in range(price.shape[0]):
            ration_row(keys, counter(n, RATION, segments), demand[n], sold[n], by_segment[:, n])
        average_paid(paid, mean, units, price, mean_paid)
        average_paid(paid, by_segment, sold, mean_paid, money[PAID])
    covered, closing, spare, kept = (
        np.empty_like(price),
        np.empty_like(price),
        np.empty_like(price),
        np.empty_like(price),
    )
    returns = flows.shape[0] > 0 and m.return_probability.max() > _ZERO
    subtract(stock, sold, closing)
    earn(m.sold_cost, m.lost_sale_cost, sold, lost, money[PAID], money[REVENUE], money[PROFIT])
    if returns:
        draw_returns(m.return_probability, keys, segments, sold, flows[RETURNED])
        take_back(m, flows[RETURNED], money[PAID], closing, money[REVENUE], money[PROFIT])
    keep(m, closing, season_ends, money[REVENUE], money[PROFIT])
    # Those who wait in a backlog are served with what comes back: only what is kept draws on the stock.
    share = _ONE - m.return_probability * np.float32(m.backlog)
    scale_rows(units, share, kept)
    if chances.shape[0]:
        few_sales(chances, share, stock, covered)
    else:
        expected_sales(kept, m.overdispersion, stock, covered)
    bought = units if m.backlog else covered
    subtract(stock, covered, closing)
    subtract(units, bought, spare)
    earn(m.sold_cost, m.lost_sale_cost, bought, spare, mean_paid, money[EXPECTED_REVENUE], money[EXPECTED_PROFIT])
    if m.backlog:
        # The mean of the stock left is never below zero: what is owed is the demand not covered.
        subtract(kept, covered, spare)
        charge_rows(m.backlog_cost, spare, money[EXPECTED_PROFIT])
    if returns:
        scale_rows(bought, m.return_probability, spare)
        shelf = kept if m.backlog else closing
        take_back(m, spare, mean_paid, shelf, money[EXPECTED_REVENUE], money[EXPECTED_PROFIT])
    keep(m, closing, season_ends, money[EXPECTED_REVENUE], money[EXPECTED_PROFIT])
    spend(m, ordered, promoted, money)


@compiled
def few_sales(chances, share, stock, out):
    """E[min(demand, stock)] where each of few customers, (H, N, E), buys at most one unit; share: (N,) that counts."""
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            nobody, mean = _ONE, _ZERO
            for i in range(chances.shape[0]):
                nobody *= _ONE - share[n] * chances[i, n, e]
                mean += share[n] * chances[i, n, e]
            scarce = _ONE - nobody if stock[n, e] > _ZERO else stock[n, e]
            out[n, e] = mean if stock[n, e] > _ONE else scarce


@compiled
def subtract(left, right, out):
    """out = left - right."""
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            out[n, e] = left[n, e] - right[n, e]


@compiled
def scale_rows(values, factor, out):
    """out = values times its product's factor."""
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            out[n, e] = values[n, e] * factor[n]


@compiled
def charge_rows(cost, units, profit):
    """profit -= units times its product's cost."""
    for n in range(units.shape[0]):
        if cost[n] != _ZERO:
            for e in range(units.shape[1]):
                profit[n, e] -= cost[n] * units[n, e]


@compiled
def earn(cost, lost_cost, sold, lost, paid, revenue, profit):
    """Revenue, and profit less unit costs and lost sales, from units sold and lost (all drawn, or all expected)."""
    for n in range(sold.shape[0]):
        for e in range(sold.shape[1]):
            revenue[n, e] = sold[n, e] * paid[n, e]
        for e in range(sold.shape[1]):
            profit[n, e] = revenue[n, e] - cost[n] * sold[n, e] - lost_cost[n] * lost[n, e]


@compiled
def draw_returns(probability, keys, segments, sold, returned):
    """How many of the units sold come back."""
    for n in range(sold.shape[0]):
        if probability[n] > _ZERO:
            binomial_lanes(sold[n], probability[n], keys, counter(n, RETURN, segments), returned[n])


@compiled
def take_back(m, returned, paid, closing, revenue, profit):
    """Refund what came back, and put it on the shelf."""
    for n in range(returned.shape[0]):
        if m.return_probability[n] > _ZERO:
            saved = m.sold_cost[n] - m.handling_cost[n]
            for e in range(returned.shape[1]):
                revenue[n, e] -= returned[n, e] * paid[n, e]
            for e in range(returned.shape[1]):
                profit[n, e] += returned[n, e] * (saved - paid[n, e])
            for e in range(returned.shape[1]):
                closing[n, e] += returned[n, e]


@compiled
def keep(m, closing, season_ends, revenue, profit):
    """What the units left cost to hold, what the units owed cost, and what is salvaged at the end of a season."""
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


@compiled
def spend(m, ordered, promoted, money):
    """Take what orders and promotions cost off the profit, drawn and expected."""
    for row in (PROFIT, EXPECTED_PROFIT):
        if promoted.shape[0]:
            charge_rows(m.promotion_cost, promoted, money[row])
        if ordered.shape[0]:
            charge_rows(m.ordered_cost, ordered, money[row])
            for n in range(ordered.shape[0]):
                if m.order_cost[n] > _ZERO:
                    for e in range(ordered.shape[1]):
                        money[row, n, e] -= m.order_cost[n] if ordered[n, e] > _ZERO else _ZERO


@compiled
def cut_to_stock(backlog, demand, stock, sold, lost):
    """Units sold and lost."""
    for n in range(sold.shape[0]):
        for e in range(sold.shape[1]):
            sold[n, e] = demand[n, e] if backlog else min(demand[n, e], stock[n, e])
        for e in range(sold.shape[1]):
            lost[n, e] = demand[n, e] - sold[n, e]


@compiled
def average_paid(paid, units, total, otherwise, out):
    """Mean price paid over the segments' units, both (K, N, E); `otherwise` where there are none."""
    out[:] = _ZERO
    for k in range(paid.shape[0]):
        for n in range(out.shape[0]):
            for e in range(out.shape[1]):
                out[n, e] += paid[k, n, e] * units[k, n, e]
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            out[n, e] = out[n, e] / total[n, e] if total[n, e] > _ZERO else otherwise[n, e]


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
def expected_sales(mean, overdispersion, stock, out):
    """E[min(demand, stock)]; demand is Poisson, or negative binomial under a gamma multiplier."""
    shorts, mass, beyond = np.empty(BLOCK, mean.dtype), np.empty(BLOCK, mean.dtype), np.empty(BLOCK, mean.dtype)
    for n in range(mean.shape[0]):
        variance = overdispersion[n]
        for first in range(0, mean.shape[1], BLOCK):
            last = min(first + BLOCK, mean.shape[1])
            scarce, hard = np.int32(0), np.int32(0)
            for e in range(first, last):
                short = np.int32(stock[n, e] <= ample(mean[n, e], variance))
                alone = short & np.int32(mean[n, e] > _BLOCK_LIMIT)
                out[n, e] = mean[n, e]
                scarce = np.int32(scarce | (short ^ alone))
                hard = np.int32(hard | alone)
            block = slice(first, last)
            if scarce:
                _expected_block(mean[n, block], variance, stock[n, block], shorts, mass, beyond, out[n, block])
            if hard:
                for e in range(first, last):
                    if mean[n, e] > _BLOCK_LIMIT:
                        out[n, e] = _expected_sale(float(mean[n, e]), float(variance), float(stock[n, e]))


@inlined
def ample(rate, variance):
    """Stock beyond which the shortfall is below float32's resolution; gamma tails are longer than Poisson's."""
    return rate + (_FIVE + _TWELVE * variance) * np.sqrt(rate + variance * rate * rate) + _FOUR


@compiled
def _expected_block(rate, variance, stock, shorts, mass, beyond, out):
    """The sum of P(demand > k) over k below the stock, the lanes that may run short in step.

    P(k + 1) / P(k) is rate (1 + k variance) / ((1 + rate variance) (k + 1)): negative binomial, Poisson for variance 0.
    """
    for j in range(out.size):
        shorts[j] = np.float32(np.int32(stock[j] <= ample(rate[j], variance)) & np.int32(rate[j] <= _BLOCK_LIMIT))
    for j in range(out.size):
        mass[j] = exponential(-logarithm(_ONE + variance * rate[j]) / variance if variance > _ZERO else -rate[j])
    for j in range(out.size):
        # A lane with ample stock must not depend on the company it keeps: it takes no part.
        beyond[j] = (_ONE - mass[j]) * shorts[j]
    for j in range(out.size):
        out[j] = min(stock[j], _ZERO) if shorts[j] > _ZERO else rate[j]
    for k in range(_MOST_TERMS):
        here, step, going = np.float32(k), (_ONE + np.float32(k) * variance) / np.float32(k + 1), np.int32(0)
        for j in range(out.size):
            counts = np.int32(stock[j] > here) & np.int32(beyond[j] > _NEGLIGIBLE)
            out[j] += beyond[j] if counts else _ZERO
            mass[j] *= step * rate[j] / (_ONE + variance * rate[j])
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

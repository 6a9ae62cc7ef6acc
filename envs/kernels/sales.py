"""Compiled sales: units drawn from their means and cut to stock, with revenue and profit as drawn and as expected.

Arrays lie (…, N, E).
"""

from __future__ import annotations

import math

import numpy as np

from ..jit.compiling import compiled, inlined, merged
from ..jit.math import BLOCK, exponential, load_block, logarithm, store_block
from ..jit.rng import binomial_lanes, derive, gamma_lanes, poisson_rows, uniform, uniform32
from .state import LOST, PROFIT, REVENUE, UNITS

# Random streams of a product in a period; demand uses one per segment.
GAMMA, RATION, RETURN, SPOIL, DEMAND = range(5)
_ZERO = np.float32(0)
_ONE = np.float32(1)
_FOUR = np.float32(4)
_FIVE = np.float32(5)
_TWELVE = np.float32(12)
_BLOCK_LIMIT = np.float32(64.0)
_NEGLIGIBLE = np.float32(1e-7)
_TINY = np.float32(1e-30)
_MOST_TERMS = 2000


@inlined
def counter(n, stream, segments):
    """Counter of a product's random stream among those of its market."""
    return n * (DEMAND + segments) + stream


@compiled
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
    multiplier = np.ones_like(units) if m.dispersed else units[:0]
    for n in range(multiplier.shape[0]):
        if m.overdispersion[n] > _ZERO:
            gamma_lanes(m.overdispersion[n], keys, counter(n, GAMMA, segments), multiplier[n])
    if not by_segment.shape[0]:
        draw_scaled(units, multiplier, keys, DEMAND, segments, demand)
        return
    demand[:] = _ZERO
    for k in range(by_segment.shape[0]):
        draw_scaled(mean[k], multiplier, keys, DEMAND + k, segments, by_segment[k])
        np.add(demand, by_segment[k], demand)


@compiled
def draw_scaled(mean, multiplier, keys, stream, segments, out):
    """Poisson draws, (N, E), from the means times a multiplier, (N, E), or (0, E) for none."""
    if multiplier.shape[0]:
        scaled = np.empty_like(mean)
        np.multiply(mean, multiplier, scaled)
        poisson_rows(scaled, keys, stream, DEMAND + segments, out)
    else:
        poisson_rows(mean, keys, stream, DEMAND + segments, out)


@compiled
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


@compiled
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
    sold = money[UNITS]
    lost = money[LOST]
    revenue = money[REVENUE]
    profit = money[PROFIT]
    cut_to_stock(m.backlog, demand, stock, sold, lost, closing)
    charged = price
    if by_price.shape[0]:
        charged = paid[0]
        ration(keys, segments, demand, sold, by_segment)
        average_paid(by_price, mean, units, price, paid[1])
        average_paid(by_price, by_segment, sold, paid[1], charged)
    earn(m, sold, lost, charged, revenue, profit)
    if returned.shape[0]:
        draw_returns(m.return_probability, keys, segments, sold, returned[0])
        take_back(m, returned[0], charged, closing, revenue, profit)
    keep(m, closing, season_ends, revenue, profit)
    spend(m, ordered, promoted, profit)


@compiled
def cut_to_stock(backlog, demand, stock, sold, lost, closing):
    """Fill units sold, units lost and units left, (N, E) each."""
    for n in range(sold.shape[0]):
        for e in range(sold.shape[1]):
            bought = demand[n, e] if backlog else min(demand[n, e], stock[n, e])
            sold[n, e] = bought
            lost[n, e] = demand[n, e] - bought
        for e in range(sold.shape[1]):
            closing[n, e] = stock[n, e] - sold[n, e]


@compiled
def charge_rows(cost, units, profit):
    """profit -= cost * units, with one cost per product."""
    for n in range(units.shape[0]):
        if cost[n] != _ZERO:
            for e in range(units.shape[1]):
                profit[n, e] -= cost[n] * units[n, e]


@compiled
def earn(m, sold, lost, paid, revenue, profit):
    """Fill revenue without VAT, and profit after unit costs and lost-sale costs, from drawn or expected units."""
    cost = m.sold_cost
    net = m.net
    for n in range(sold.shape[0]):
        for e in range(sold.shape[1]):
            earned = sold[n, e] * paid[n, e] * net[n]
            revenue[n, e] = earned
            profit[n, e] = earned - cost[n] * sold[n, e]
    charge_rows(m.lost_sale_cost, lost, profit)


@compiled
def draw_returns(probability, keys, segments, sold, returned):
    """Draw how many of the units sold are returned."""
    for n in range(sold.shape[0]):
        if probability[n] > _ZERO:
            binomial_lanes(sold[n], probability[n], keys, counter(n, RETURN, segments), returned[n])


@compiled
def take_back(m, returned, paid, closing, revenue, profit):
    """Refund the units returned and add them to the stock."""
    probability = m.return_probability
    cost = m.sold_cost
    handling = m.handling_cost
    net = m.net
    for n in range(returned.shape[0]):
        if probability[n] > _ZERO:
            saved = cost[n] - handling[n]
            for e in range(returned.shape[1]):
                revenue[n, e] -= returned[n, e] * paid[n, e] * net[n]
            for e in range(returned.shape[1]):
                profit[n, e] += returned[n, e] * (saved - paid[n, e] * net[n])
            for e in range(returned.shape[1]):
                closing[n, e] += returned[n, e]


@compiled
def keep(m, closing, season_ends, revenue, profit):
    """Book holding costs, backlog costs and the salvage value at the end of a season."""
    holding = m.holding_cost
    owed = m.backlog_cost
    worth = m.salvage_value
    for n in range(closing.shape[0]):
        if holding[n] > _ZERO:
            for e in range(closing.shape[1]):
                profit[n, e] -= holding[n] * max(closing[n, e], _ZERO)
        if owed[n] > _ZERO:
            for e in range(closing.shape[1]):
                profit[n, e] += owed[n] * min(closing[n, e], _ZERO)
        if season_ends.size and worth[n] != _ZERO:
            for e in range(closing.shape[1]):
                salvage = worth[n] * max(closing[n, e], _ZERO) if season_ends[e] else _ZERO
                revenue[n, e] += salvage
                profit[n, e] += salvage


@compiled
def spend(m, ordered, promoted, profit):
    """Subtract the costs of orders and promotions from the profit."""
    charge_rows(m.promotion_cost, promoted, profit)
    for s in range(ordered.shape[0]):
        cost = m.order_cost[s]
        charge_rows(m.ordered_cost[s], ordered[s], profit)
        for n in range(cost.size if cost.max() > _ZERO else 0):
            for e in range(ordered.shape[2]):
                profit[n, e] -= cost[n] if ordered[s, n, e] > _ZERO else _ZERO


@compiled
def add_funding(funded, units, profit):
    """Add to the profit what suppliers pay for the units sold; funded: (N, E) currency per unit, or (0, E)."""
    for n in range(funded.shape[0]):
        for e in range(funded.shape[1]):
            profit[n, e] += funded[n, e] * units[n, e]


@compiled
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
    """Ration in random order: the units sold are a random subset of the units demanded.

    Units are drawn one by one without replacement: those sold or those that stay without, whichever are fewer.
    `by_segment` holds the units demanded by each segment, and is overwritten with the units sold to it.
    """
    # Units not drawn yet, of a segment and all before it: segment k has those from undrawn[k - 1] to undrawn[k].
    undrawn = np.empty(by_segment.shape[0], np.float32)
    for n in range(demand.shape[0]):
        for e in range(demand.shape[1]):
            without = demand[n, e] - sold[n, e]
            if without <= _ZERO:
                continue
            key = derive(keys[e], counter(n, RATION, segments))
            total = _ZERO
            for k in range(undrawn.size):
                total += by_segment[k, n, e]
                undrawn[k] = total
            for attempt in range(int(min(sold[n, e], without))):
                remaining = demand[n, e] - np.float32(attempt)
                ticket = min(np.floor(uniform32(derive(key, attempt)) * remaining), remaining - _ONE)
                for k in range(undrawn.size):
                    undrawn[k] -= _ONE if ticket < undrawn[k] else _ZERO
            before = _ZERO
            for k in range(undrawn.size):
                rest = undrawn[k] - before
                before = undrawn[k]
                # Where the units sold were drawn, the rest stays without; else the rest is sold.
                by_segment[k, n, e] = by_segment[k, n, e] - rest if sold[n, e] <= without else rest


@compiled
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


# Expected sales and money


@compiled
def expected_money(constants, period, price, stock, units, chances, ordered, promoted, funded):
    """Expected revenue and profit given action and state.

    Args:
        constants: `Constants`.
        period: (E,) number of the period.
        price: (N, E) mean price paid over the expected units.
        stock: (N, E) stock on sale.
        units: (N, E) mean units demanded.
        chances: (H, N, E) purchase probabilities of single customers, or (0, N, E).
        ordered: (S, N, E) units ordered, or (0, N, E).
        promoted: (N, E) 1 for products on promotion, or (0, E).
        funded: (N, E) what the supplier pays for a unit, or (0, E).

    Returns:
        (2, N, E) revenue and profit, currency.
    """
    m = constants.money
    out = np.empty((2, *units.shape), np.float32)
    scratch = np.empty((4, *units.shape), np.float32)
    covered = scratch[0]
    closing = scratch[1]
    spare = scratch[2]
    kept = scratch[3]
    ends = season_ends(constants.stock, period)
    # Units returned serve the backlog: only the units that customers keep reduce the stock.
    share = _ONE - m.return_probability * np.float32(m.backlog)
    scale_rows(units, share, kept)
    if chances.shape[0]:
        few_sales(chances, share, stock, covered)
    else:
        expected_sales(kept, m.overdispersion, stock, covered)
    bought = units if m.backlog else covered
    np.subtract(stock, covered, closing)
    np.subtract(units, bought, spare)
    earn(m, bought, spare, price, out[0], out[1])
    if m.backlog:
        # The expected units owed are the expected demand that stock does not cover.
        np.subtract(kept, covered, spare)
        charge_rows(m.backlog_cost, spare, out[1])
    if m.return_probability.max() > _ZERO:
        scale_rows(bought, m.return_probability, spare)
        take_back(m, spare, price, kept if m.backlog else closing, out[0], out[1])
    keep(m, closing, ends, out[0], out[1])
    spend(m, ordered, promoted, out[1])
    add_funding(funded, bought, out[1])
    return out


@compiled
def season_ends(stock, period):
    """(E,) whether a selling season ends with this period; (0,) if there are no seasons."""
    ends = np.empty(period.size if stock.season or stock.last else 0, np.bool_)
    for e in range(ends.size):
        ends[e] = (period[e] + 1) % stock.season == 0 if stock.season else period[e] + 1 == stock.last
    return ends


@compiled
def scale_rows(values, factor, out):
    """out = values * factor, with one factor per product."""
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            out[n, e] = values[n, e] * factor[n]


@compiled
def few_sales(chances, share, stock, out):
    """Fill E[min(demand, stock)] for H customers who buy at most one unit each.

    Args:
        chances: (H, N, E) purchase probabilities.
        share: (N,) share of the purchases that counts.
        stock: (N, E) units.
        out: (N, E), filled.
    """
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            no_purchase = _ONE
            mean = _ZERO
            for i in range(chances.shape[0]):
                no_purchase *= _ONE - share[n] * chances[i, n, e]
                mean += share[n] * chances[i, n, e]
            scarce = _ONE - no_purchase if stock[n, e] > _ZERO else stock[n, e]
            out[n, e] = mean if stock[n, e] > _ONE else scarce


@compiled
def expected_sales(mean, overdispersion, stock, out):
    """Fill E[min(demand, stock)] of Poisson or, if overdispersed, negative binomial demand.

    Args:
        mean: (N, E) mean demand, units.
        overdispersion: (N,) variance of the gamma multiplier.
        stock: (N, E) units; negative for units owed.
        out: (N, E), filled.
    """
    rows = np.empty((6, BLOCK), mean.dtype)
    rate = rows[0]
    limit = rows[1]
    covered = rows[2]
    scratch = (rate, limit, covered, rows[3], rows[4], rows[5])
    for n in range(mean.shape[0]):
        variance = overdispersion[n]
        for first in range(0, mean.shape[1], BLOCK):
            load_block(mean, n, first, rate)
            load_block(stock, n, first, limit)
            _expected_block(variance, scratch)
            store_block(covered, n, first, out)


@merged
def _expected_block(variance, scratch):
    """As `expected_sales` for a block; large means are computed lane by lane."""
    rate, limit, covered = scratch[:3]
    scarce = np.int32(0)
    hard = np.int32(0)
    for j in range(BLOCK):
        short = np.int32(limit[j] <= ample(rate[j], variance))
        alone = short & np.int32(rate[j] > _BLOCK_LIMIT)
        covered[j] = rate[j]
        scarce = np.int32(scarce | (short ^ alone))
        hard = np.int32(hard | alone)
    if scarce:
        _cover_block(variance, scratch)
    if hard:
        for j in range(BLOCK):
            if rate[j] > _BLOCK_LIMIT:
                covered[j] = _expected_sale(float(rate[j]), float(variance), float(limit[j]))


@inlined
def ample(rate, variance):
    """Stock above which the shortfall is below the resolution of float32."""
    return rate + (_FIVE + _TWELVE * variance) * np.sqrt(rate + variance * rate * rate) + _FOUR


@merged
def _cover_block(variance, scratch):
    """The sum of P(demand > k) over k below the stock, for all lanes that may run short together.

    P(k + 1) / P(k) is rate (1 + k variance) / ((1 + rate variance) (k + 1)): negative binomial,
    Poisson for variance 0.
    """
    rate, stock, covered, mass, beyond, ratio = scratch
    if variance > _ZERO:
        for j in range(BLOCK):
            mass[j] = exponential(-logarithm(_ONE + variance * rate[j]) / variance)
    else:
        for j in range(BLOCK):
            mass[j] = exponential(-rate[j])
    for j in range(BLOCK):
        short = np.int32(stock[j] <= ample(rate[j], variance)) & np.int32(rate[j] <= _BLOCK_LIMIT)
        # A lane with ample stock takes no part, so that its result does not depend on the other
        # lanes.
        beyond[j] = _ONE - mass[j] if short else _ZERO
        covered[j] = min(stock[j], _ZERO) if short else rate[j]
        ratio[j] = rate[j] / (_ONE + variance * rate[j])
    for k in range(_MOST_TERMS):
        now = np.float32(k)
        step = (_ONE + np.float32(k) * variance) / np.float32(k + 1)
        going = np.int32(0)
        for j in range(BLOCK):
            more = (stock[j] > now) & (beyond[j] > _NEGLIGIBLE)
            covered[j] += beyond[j] if more else _ZERO
            going = np.int32(going | np.int32(more))
            # What cannot change `beyond` any more is zero rather than subnormal, see `rng.walk_poisson`.
            mass[j] = mass[j] * (ratio[j] * step) if mass[j] > _TINY else _ZERO
            beyond[j] -= mass[j]
        if going == 0:
            return


@compiled
def _expected_sale(rate, variance, stock):
    """E[min(demand, stock)] of one lane, in double precision."""
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
    """E[(demand - stock)+] for side 1, E[(stock - demand)+] for side -1, summed from the stock
    outwards.
    """
    shape = 0.0
    ratio = 0.0
    if variance > 0:
        shape = 1.0 / variance
        ratio = rate / (shape + rate)
        mass = math.lgamma(stock + shape) - math.lgamma(shape) - math.lgamma(stock + 1.0)
        mass = math.exp(mass + shape * math.log(shape / (shape + rate)) + stock * math.log(ratio))
    else:
        mass = math.exp(stock * math.log(rate) - rate - math.lgamma(stock + 1.0))
    moment = 0.0
    k = stock
    negligible = 1e-10 * (rate + 1.0)
    while True:
        # The ratio of neighbouring masses is ratio * (k + shape) / (k + 1), and rate / (k + 1) for
        # the Poisson.
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

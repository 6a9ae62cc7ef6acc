"""One period of E markets in compiled code: the stages in their order, each a loop over products and markets.

`run_period` is the whole of it. Where an extension's demand family must be asked in between, `open_period` and
`finish_period` stand alone. States move in place: the caller hands over copies. Arrays lie (…, N, E).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import advancing, rules, selling, stocking
from .choice import Choice, Situation, room_for_choice
from .choosing import choose
from .credit import charge_products
from .fastmath import compiled, inlined
from .guarding import guard_discounts, guard_prices, remember
from .random import period_keys, poisson_lanes
from .slots import choose_promoted, choose_shown, next_to_promote
from .state import (
    FLOW_ROWS,
    LIST_PRICE,
    LOST,
    MONEY_ROWS,
    ON_HAND,
    ORDERED,
    PERIOD,
    RECEIVED,
    REFERENCE_PRICE,
    REGIME,
    Floats,
    shared_rows,
)

_ZERO, _ONE, _HALF = np.float32(0), np.float32(1), np.float32(0.5)


class Parts(NamedTuple):
    """The rows of a proposed action, see `parts_of`; those that are not there are empty."""

    price: Floats
    discount: Floats
    score: Floats
    promotion: Floats
    order: Floats


class Results(NamedTuple):
    """Where a period's results go: the rows of the table of an `Outcome`, in this order, and its other arrays.

    price: (N, E). money: (7, N, E). flows: (4 or 0, N, E). by_segment: (K or 0, N, E). promoted, taken: (N, E) or (0, E).
    trail: (N, E). shown, runner_up: (K, E) or (0, E). rival_price, rival_units: (R, E).
    """

    price: Floats
    money: Floats
    flows: Floats
    by_segment: Floats
    promoted: Floats
    taken: Floats
    trail: NDArray[np.uint16]
    shown: NDArray[np.int64]
    runner_up: NDArray[np.int64]
    rival_price: Floats
    rival_units: Floats


@compiled
def parts_of(asked, counts):
    """The parts of a decoded action, (A, N, E), with so many rows of discounts, scores, promotion and order."""
    discount = 1
    score = discount + counts[0]
    promotion = score + counts[1]
    order = promotion + counts[2]
    return Parts(asked[0], asked[discount:score], asked[score:promotion], asked[promotion:order], asked[order:])


@compiled
def results_of(plan, table, trail, slots, offers):
    """The parts of the arrays that a period fills."""
    flows = 1 + MONEY_ROWS
    segments = flows + (FLOW_ROWS if plan.stock.flows else 0)
    last = segments + plan.sections.personal
    promoted, taken = table[0, :0], table[0, :0]
    if plan.sections.promotions:
        promoted = table[last]
        last += 1
    if last < table.shape[0]:
        taken = table[last]
    parts = (table[0], table[1:flows], table[flows:segments], table[segments : segments + plan.sections.personal])
    return Results(*parts, promoted, taken, trail, slots[0], slots[1], offers[0], offers[1])


@inlined
def open_period(plan, lanes, regime, period, shared, parts, given, out):
    """What customers meet as the period opens: guarded prices, rivals' prices, orders, slots, promotions."""
    sections, stock = plan.sections, plan.stock
    old_price, paid = shared.rival_price, np.empty((sections.personal, *out.price.shape), np.float32)
    guard_prices(parts.price, lanes[LIST_PRICE], shared.past, plan.rules, out.price, out.trail)
    pay(plan.rules, parts.discount, out.price, paid, out.trail)
    out.rival_price[:] = old_price
    ours = out.price if plan.rivals.within else lanes[LIST_PRICE]
    rules.price_offers(plan.rivals, given, ours, shared.rival_memory, out.rival_price)
    out.flows[:] = _ZERO
    if stock.orders:
        order(stock, parts.order, period, lanes, out.flows)
    available = lanes[ON_HAND]
    if plan.money.backlog:
        available = np.ones_like(available)
    if sections.slots:
        score = parts.score
        if score.shape[0] == 0:
            score = spread(sections.default_score, available.shape[1])
        choose_shown(score, sections.candidates, available, out.shown, out.runner_up)
    if sections.promotions:
        if parts.promotion.shape[0]:
            choose_promoted(parts.promotion[0], sections.most, out.promoted)
        else:
            out.promoted[:] = _ZERO
    return Situation(
        period,
        regime,
        out.price,
        lanes[REFERENCE_PRICE],
        available,
        paid,
        out.shown,
        out.promoted,
        old_price if plan.rivals.within else out.rival_price,
        advancing.arrival_multiplier(plan.shifts, plan.choice.share.shape, shared.loyalty, shared.shock),
        shared.waiting,
        _ONE,
    )


@compiled
def pay(rules, discount, price, paid, trail):
    """Personal prices, (K, N, E), and the trail of the rules for discounts."""
    allowed = np.empty_like(discount)
    if discount.shape[0]:
        guard_discounts(discount, price, rules, allowed, trail)
    for k in range(paid.shape[0]):
        if discount.shape[0]:
            for n in range(price.shape[0]):
                for e in range(price.shape[1]):
                    paid[k, n, e] = price[n, e] * (_ONE - allowed[k, n, e])
        else:
            paid[k] = price


@compiled
def order(stock, proposed, period, lanes, flows):
    """Place the period's orders."""
    quantity = flows[ORDERED]
    asked = quantity
    if stock.asked and proposed.shape[0]:
        asked = stocking.whole_orders(proposed[0], stock.most)
    stocking.order(stock.level, asked, period, stock.immediate, lanes, quantity)
    if stock.immediate:
        flows[RECEIVED] = quantity


@compiled
def spread(values, markets):
    """(K, N) values for every market, (K, N, E)."""
    out = np.empty((values.shape[0], values.shape[1], markets), values.dtype)
    for k in range(out.shape[0]):
        for n in range(out.shape[1]):
            out[k, n] = values[k, n]
    return out


@compiled
def part_of(now, rival_price, scale):
    """A share of the period's customers, and of those who waited, at these rival prices. What waits in either half comes
    back in the next period."""
    goods = (now.price, now.reference, now.available, now.paid, now.shown, now.promoted)
    return Situation(now.period, now.regime, *goods, rival_price, now.multiplier, now.waiting * scale, scale)


@compiled
def half_share(plan):
    """The share of the customers that meets the rivals' prices of one half: all, where rivals do not answer within it."""
    return _HALF if plan.rivals.within and not plan.sections.single else _ONE


@inlined
def chosen(p, now, by_segment, detail):
    """The `Choice` of a situation."""
    choice = room_for_choice(p, now, by_segment, detail)
    choose(p, now, choice)
    return choice


@inlined
def together(first, second):
    """The means of a period from those of its halves."""
    return Choice(
        second.weight,
        second.lifted,
        first.mean + second.mean,
        first.units + second.units,
        second.total,
        first.rival_units + second.rival_units,
        first.waiting + second.waiting,
        second.arrivals,
        second.season,
        second.path,
        second.effect,
    )


@compiled
def run_period(plan, seed, clock, lanes, context, asked, counts, given, credit_price, table, trail, slots, offers):
    """Move E markets through one period, in place, under a proposed action; fill the table and arrays of an `Outcome`.

    asked, counts: see `parts_of`. given: (R, E) rival prices, NaN where the rule decides, or (0, E). credit_price: (N,) price
    of the counterfactual for charges, or (0,).
    """
    keys = period_keys(seed, clock)
    shared, out = shared_rows(plan.sections, context), results_of(plan, table, trail, slots, offers)
    parts = parts_of(asked, counts)
    now = open_period(plan, lanes, clock[REGIME], clock[PERIOD], shared, parts, given, out)
    by_segment, detail = plan.sections.by_segment, credit_price.size > 0
    scale = half_share(plan)
    first = chosen(plan.choice, part_of(now, now.rival_price, scale), by_segment, detail)
    second = first
    if plan.rivals.within:
        second = chosen(plan.choice, part_of(now, out.rival_price, scale), by_segment, detail)
    finish_period(plan, keys, clock, lanes, shared, now, (first, second), credit_price, parts.promotion, out)


@inlined
def finish_period(plan, keys, clock, lanes, shared, now, halves, credit_price, promotion, out):
    """Sales, money, charges, and the state that opens the next period. halves: the choice of each; of the whole period
    twice, where rivals do not answer within it. promotion: (1, N, E) scores, or (0, N, E)."""
    whole, parts = halves[0], 1
    if plan.rivals.within:
        whole, parts = together(halves[0], halves[1]), 2
    demand = np.zeros_like(out.price)
    draw(plan, keys, halves, parts, whole, demand, out)
    ends = season_ends(plan.stock, now.period)
    ordered = out.flows[ORDERED] if plan.stock.orders else out.price[:0]
    offered = (now.price, now.paid, lanes[ON_HAND], ordered, now.promoted, ends)
    chances = np.empty((0, *demand.shape), demand.dtype)
    if plan.sections.single:
        chances = chances_of(halves, parts)
    wanted = (whole.mean, whole.units, chances, out.by_segment, demand)
    selling.settle(plan.money, keys, plan.choice.quality.shape[0], offered, wanted, out.money, out.flows)
    if credit_price.size:
        out.taken[:] = _ZERO
        displaced = np.empty(0, np.int64)
        if plan.sections.promotions and promotion.shape[0]:
            displaced = next_to_promote(promotion[0], now.promoted)
        for i in range(parts):
            charge_products(plan, now, halves[i], credit_price, out.runner_up, displaced, out.taken)
    advance(plan, keys, clock, lanes, shared, now, whole, demand, ends, out)


@inlined
def draw(plan, keys, halves, parts, whole, demand, out):
    """Demand (N, E), by segment where prices are personal, and the rivals' units: drawn where asked, else expected."""
    segments, categories = plan.choice.quality.shape[0], plan.choice.rate.shape[0]
    customers = advancing.first_common(*plan.choice.quality.shape) + advancing.CUSTOMERS
    out.by_segment[:] = _ZERO
    out.rival_units[:] = _ZERO
    if plan.sections.single:
        category, rival_category = plan.choice.category, plan.choice.rival_category
        for i in range(parts):
            means = (halves[i].mean, halves[i].rival_units)
            first = customers + i * categories
            selling.draw_single(category, rival_category, keys, first, *means, out.by_segment, demand, out.rival_units)
        return
    selling.draw_poisson(plan.money.overdispersion, keys, segments, whole.mean, whole.units, out.by_segment, demand)
    if not plan.rivals.drawn:
        out.rival_units[:] = whole.rival_units
        return
    for r in range(out.rival_units.shape[0]):
        poisson_lanes(whole.rival_units[r], keys, customers + 2 * categories + r, out.rival_units[r])


@compiled
def chances_of(halves, customers):
    """(H, N, E) probability of a sale to the customer of each half."""
    units = halves[0].units
    chances = np.empty((customers, *units.shape), units.dtype)
    for i in range(chances.shape[0]):
        chances[i] = halves[i].units
    return chances


@compiled
def season_ends(stock, period):
    """(E,) whether a selling season ends with this period, or (0,) where that does not matter."""
    ends = np.zeros(period.size if stock.season or stock.last else 0, np.bool_)
    for e in range(ends.size):
        ends[e] = (period[e] + 1) % stock.season == 0 if stock.season else period[e] + 1 == stock.last
    return ends


@inlined
def advance(plan, keys, clock, lanes, shared, now, whole, demand, ends, out):
    """The state that opens the next period."""
    segments, stock, shifts = plan.choice.quality.shape[0], plan.stock, plan.shifts
    clock[PERIOD] += 1
    if shared.past.shape[0]:
        remember(lanes[LIST_PRICE], shared.past)
    delivers, restart = stock.orders and not stock.immediate, ends if stock.season else ends[:0]
    closing = (clock[PERIOD], delivers, restart, shifts.memory, out.price, out.money, out.flows, lanes)
    stocking.close_period(plan.money, keys, segments, *closing)
    shared.waiting[:] = whole.waiting
    shared.rival_price[:] = out.rival_price
    shared.rival_units[:] = out.rival_units
    rules.take_notes(plan.rivals, out.rival_price, out.rival_units, shared.rival_memory)
    if shifts.loyal:
        paid = (now.paid, now.price, whole.mean, demand, out.money[LOST])
        advancing.move_loyalty(shifts, *paid, shared.loyalty)
    first = advancing.first_common(*plan.choice.quality.shape)
    if shifts.shocked:
        advancing.draw_shocks(shifts.persistence, shifts.deviation, keys, first + advancing.SHOCK, shared.shock)
    if shifts.transition.size:
        advancing.draw_regimes(shifts.transition, keys, first + advancing.MARKOV, clock[REGIME])

"""One period of E markets in compiled code: all stages in order.

`run_period` runs all of them. Clock and context are updated in place. Arrays lie (…, N, E).
"""

from __future__ import annotations

import numpy as np

from ..jit.math import compiled, inlined, lean
from ..jit.rng import period_keys, poisson_lanes
from ..jit.views import release, view
from . import inventory, rival_rules, sales, transitions
from .decode import decode
from .demand import ChoiceInputs
from .demand_kernels import choose
from .difference_rewards import charge_products
from .lost_sales import count_lost, runs_short
from .price_rules import guard_discounts, guard_prices, remember
from .slots import choose_promoted, choose_shown, next_to_promote
from .state import LIST_PRICE, LOST, ON_HAND, PERIOD, REFERENCE_PRICE, REGIME, UNITS, shared_rows
from .workspace import parts_of, results_of

_ZERO, _ONE, _HALF = np.float32(0), np.float32(1), np.float32(0.5)


@inlined
def open_period(constants, before, lanes, regime, period, shared, parts, given, scratch, out):
    """Run the stages before the choice: price rules, rivals, orders, slots, promotions.

    Args:
        constants: `Constants`.
        before: Lanes of the state before the period.
        lanes: Lanes of the next state.
        regime: (E,) regime.
        period: (E,) number of the period.
        shared: `Shared` rows of the context.
        parts: `Parts` of the proposed action.
        given: (R, E) rival prices, NaN where the rule decides, or (0, E).
        scratch: `Scratch`.
        out: `Results`.

    Returns:
        `ChoiceInputs`, what the customers meet.
    """
    sections, stock, rivals, transition = constants.sections, constants.stock, constants.rivals, constants.transition
    current = before[LIST_PRICE]
    guard_prices(parts.price, current, shared.past, shared.rival_price, period, constants.rules, out.price, out.trail)
    if scratch.by_price.shape[0] or parts.discount.shape[0]:
        pay(constants.rules, parts.discount, out.price, scratch.by_price, out.trail)
    copy(shared.rival_price, out.rival_price)
    rival_rules.price_offers(
        rivals, given, out.price if rivals.within else before[LIST_PRICE], shared.rival_memory, out.rival_price
    )
    open_stock(stock, before, lanes, period, parts.order, scratch, out)
    available = scratch.ready if constants.money.backlog else out.stock
    if sections.slots:
        score = parts.score if parts.score.shape[0] else scratch.score
        choose_shown(score, sections.candidates, available, out.shown, out.runner_up)
    if sections.promotions:
        if parts.promotion.shape[0]:
            choose_promoted(parts.promotion[0], sections.most, out.promoted)
        else:
            out.promoted[:] = _ZERO
    segments = constants.choice.quality.shape[0]
    transitions.arrival_multiplier(transition, segments, shared.loyalty, shared.shock, scratch.multiplier)
    return ChoiceInputs(
        period,
        regime,
        out.price,
        before[REFERENCE_PRICE],
        available,
        scratch.by_price,
        out.shown,
        out.promoted,
        shared.rival_price if rivals.within else out.rival_price,
        scratch.multiplier,
        shared.waiting,
        _ONE,
    )


@inlined
def open_stock(stock, before, lanes, period, proposed, scratch, out):
    """Place orders, and fill the stock on sale and the units received at once."""
    for flow in (out.returned, out.perished, out.received):
        flow[:] = _ZERO
    for supplier in range(out.ordered.shape[0]):
        order(stock, supplier, proposed, period, before, lanes, out.ordered[supplier], scratch.place)
    if stock.immediate:
        copy(out.ordered[0], out.received[0])
        sum_of(before[ON_HAND], out.ordered[0], out.stock)
    else:
        copy(before[ON_HAND], out.stock)
        for supplier in range(out.ordered.shape[0]):
            inventory.receive_at_once(stock.lead[supplier], out.ordered[supplier], out.received[0], out.stock)


@compiled
def pay(rules, discount, price, paid, trail):
    """Fill personal prices, (K, N, E), after the discount rules, and add those rules to the trail."""
    allowed = np.zeros((max(paid.shape[0], discount.shape[0]), *price.shape), price.dtype)
    if discount.shape[0]:
        guard_discounts(discount, price, rules, allowed, trail)
    for k in range(paid.shape[0]):
        for n in range(price.shape[0]):
            for e in range(price.shape[1]):
                paid[k, n, e] = price[n, e] * (_ONE - allowed[k, n, e])


@lean
def order(stock, supplier, proposed, period, before, lanes, quantity, place):
    """Place the orders of the period with a supplier; quantity: (N, E), filled."""
    if proposed.shape[0] > supplier:
        inventory.whole_orders(proposed[supplier], stock.most[supplier], quantity)
    elif not stock.level.size:
        quantity[:] = _ZERO
    # What the first supplier was asked for is on order already when the second is.
    known = lanes if supplier else before
    inventory.order(stock.level, period, stock.lead[supplier], known, lanes, place, quantity)


@lean
def copy(values, out):
    """out = values."""
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            out[n, e] = values[n, e]


@inlined
def part_of(now, available, rival_price, waiting, scale):
    """The `ChoiceInputs` of a share of the customers at these rival prices, with this stock.

    Customers who wait in either half of the period return in the next period.
    """
    goods = (now.price, now.reference, available, now.paid, now.shown, now.promoted)
    return ChoiceInputs(now.period, now.regime, *goods, rival_price, now.multiplier, waiting, scale)


@lean
def halve(values):
    """Divide by two, in place."""
    for n in range(values.shape[0]):
        for e in range(values.shape[1]):
            values[n, e] *= _HALF


@inlined
def half_share(constants):
    """Share of the customers in one part of the period: half, if rivals answer within it."""
    return _HALF if constants.rivals.within and not constants.sections.single else _ONE


@lean
def together(first, second, out, units):
    """Fill `out`, and the mean units of all segments, with the sums of both halves."""
    for k in range(out.mean.shape[0]):
        sum_of(first.mean[k], second.mean[k], out.mean[k])
    sum_of(first.units, second.units, units)
    sum_of(first.rival_units, second.rival_units, out.rival_units)
    sum_of(first.waiting, second.waiting, out.waiting)


@lean
def sum_of(left, right, out):
    """out = left + right."""
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            out[n, e] = left[n, e] + right[n, e]


@lean.entry
def run_period(
    workspace, seed, old_clock, old_lanes, old_context, clock, lanes, context,
    raw, base_price, proposed, given, credit_price, table, trail, slots, offers,
):  # fmt: skip
    """Run E markets through one period under a proposed action. To be called from Python only.

    (It releases a reference to the workspace, which only a call from Python creates.)

    Args:
        workspace: `Workspace`.
        seed: Key of all random numbers.
        old_clock: Clock of the state before the period; old_lanes and old_context likewise.
        old_lanes: See old_clock.
        old_context: See old_clock.
        clock: Clock of the next state, filled; lanes and context likewise.
        lanes: See clock.
        context: See clock.
        raw: (E, N * A) raw action to decode into `proposed`, or (0, 0) if that is done.
        base_price: (N,) price that a raw price of zero means, or (0,).
        proposed: (A, N, E) proposed action.
        given: (R, E) rival prices, NaN where the rule decides, or (0, E).
        credit_price: (N,) counterfactual prices for charges, or (0,).
        table: Table of the `Outcome`, filled; trail, slots and offers likewise.
        trail: See table.
        slots: See table.
        offers: See table.
    """
    scratch = view(workspace)
    constants = view(scratch.arrays)
    if raw.size:
        decode(raw, base_price, scratch.decoding, constants.stock.most, proposed)
    copy(old_clock, clock)
    copy(old_context, context)
    period_keys(seed, clock, scratch.keys)
    parts, out = parts_of(proposed, scratch.decoding), results_of(constants.sections, table, trail, slots, offers)
    shared, scale, period = shared_rows(constants.sections, context), half_share(constants), old_clock[PERIOD]
    now = open_period(constants, old_lanes, lanes, clock[REGIME], period, shared, parts, given, scratch, out)
    if scale != _ONE:
        halve(shared.waiting)
    prices, halves = (now.rival_price, out.rival_price), (scratch.first, scratch.second)
    units = (scratch.first.units if constants.rivals.within else out.wanted, scratch.second.units)
    short = constants.stock.limited and runs_short(now.available)
    for i in range(2 if constants.rivals.within else 1):
        stocks = (now.available, scratch.ready)
        targets, filled = (halves[i], scratch.full), (units[i], scratch.full.units)
        for j in range(2 if short else 1):
            inputs = part_of(now, stocks[j], prices[i], shared.waiting, scale)
            choose(constants.choice, inputs, targets[j], filled[j], scratch.work)
        if short:
            count_lost(constants.choice.category, now.available, scratch.full, units[i], halves[i].mean)
    if constants.rivals.within:
        together(scratch.first, scratch.second, scratch.whole, out.wanted)
    choices = (*halves, scratch.whole)
    finish_period(
        constants, clock, old_lanes, lanes, shared, now, choices, units, credit_price, parts.promotion, scratch, out
    )
    release(workspace)


@inlined
def finish_period(constants, clock, before, lanes, shared, now, choices, units, credit_price, promotion, scratch, out):
    """Everything after the customers have chosen: sales, money, charges, the next state.

    Args:
        constants: `Constants`.
        clock: Clock of the next state, updated in place.
        before: Lanes of the state before the period.
        lanes: Lanes of the next state, filled.
        shared: `Shared` rows of the context, updated in place.
        now: `ChoiceInputs` of the period.
        choices: `Choice` of the first half, the second half and the whole period.
        units: (N, E) mean units of all segments in each half; those of the whole period are
            `out.wanted`.
        credit_price: (N,) counterfactual prices for charges, or (0,).
        promotion: (1, N, E) promotion scores, or (0, N, E).
        scratch: `Scratch`.
        out: `Results`, filled.
    """
    sections, halves, whole, keys = constants.sections, (choices[0], choices[1]), choices[2], scratch.keys
    draw(constants, keys, halves, whole, scratch, out)
    inventory.season_ends(constants.stock, now.period, scratch.ends)
    offered = (now.price, now.paid, out.stock, out.ordered, now.promoted, scratch.ends)
    wanted = (whole.mean, out.wanted, out.by_segment, scratch.demand)
    segments = constants.choice.quality.shape[0]
    sales.settle(constants.money, keys, segments, offered, wanted, out.paid, out.money, out.returned, lanes[ON_HAND])
    for i in range(out.chances.shape[0]):
        copy(units[i], out.chances[i])
    if credit_price.size:
        out.taken[:] = _ZERO
        out.baseline[:] = _ZERO
        if scratch.displaced.size:
            next_to_promote(promotion[0], now.promoted, scratch.displaced)
        credited = (constants.choice, constants.money, sections.profit)
        for i in range(2 if constants.rivals.within else 1):
            counterfactual = (credit_price, out.runner_up, scratch.displaced)
            charge_products(*credited, now, halves[i], *counterfactual, out.taken, out.baseline)
    advance(constants, keys, clock, before, lanes, shared, now, whole, scratch, out)


@inlined
def draw(constants, keys, halves, whole, scratch, out):
    """Draw demand, by segment with personal prices, and on request the rivals' units."""
    choice = constants.choice
    segments, categories = choice.quality.shape[0], choice.rate.shape[0]
    customers = transitions.first_common(*choice.quality.shape) + transitions.CUSTOMERS
    if constants.sections.single:
        out.by_segment[:] = _ZERO
        out.rival_units[:] = _ZERO
        scratch.demand[:] = _ZERO
        for i in range(out.chances.shape[0]):
            means, first = (halves[i].mean, halves[i].rival_units), customers + i * categories
            drawn = (out.by_segment, scratch.demand, out.rival_units)
            sales.draw_single(categories, choice.category, choice.rival_category, keys, first, *means, *drawn)
    else:
        means = (whole.mean, out.wanted)
        sales.draw_poisson(constants.money, keys, segments, *means, out.by_segment, scratch.demand)
        if constants.rivals.drawn:
            for r in range(out.rival_units.shape[0]):
                poisson_lanes(whole.rival_units[r], keys, customers + 2 * categories + r, out.rival_units[r])
        else:
            copy(whole.rival_units, out.rival_units)


@inlined
def advance(constants, keys, clock, before, lanes, shared, now, whole, scratch, out):
    """Update the state for the next period."""
    stock, transition, segments = constants.stock, constants.transition, constants.choice.quality.shape[0]
    for e in range(clock.shape[1]):
        clock[PERIOD, e] += 1
    if shared.past.shape[0]:
        remember(before[LIST_PRICE], shared.past)
    first = transitions.first_common(*constants.choice.quality.shape)
    if stock.delay.size:
        inventory.postpone(stock.delay, keys, first + transitions.LATE, clock[PERIOD], lanes)
    delivers, restart = stock.orders and not stock.immediate, scratch.ends if stock.season else scratch.ends[:0]
    closing = (
        clock[PERIOD],
        delivers,
        restart,
        transition.memory,
        out.price,
        out.money[UNITS],
        out.perished,
        out.received,
    )
    inventory.close_period(constants.money, keys, segments, *closing, now.reference, lanes, scratch.place)
    if stock.use.shape[0]:
        sold, capacity = out.money[UNITS], shared.capacity
        inventory.use_capacity(stock.use, stock.added, clock[PERIOD], sold, capacity, lanes[ON_HAND])
    copy(whole.waiting, shared.waiting)
    copy(out.rival_price, shared.rival_price)
    copy(out.rival_units, shared.rival_units)
    rival_rules.update_memory(constants.rivals, out.rival_price, out.rival_units, shared.rival_memory)
    if transition.loyal:
        paid = (now.paid, now.price, whole.mean, scratch.demand, out.money[LOST])
        transitions.move_loyalty(transition, *paid, shared.loyalty)
    if transition.shocked:
        transitions.draw_shocks(
            transition.persistence, transition.deviation, keys, first + transitions.SHOCK, shared.shock
        )
    if transition.regime_matrix.size:
        transitions.draw_regimes(transition.regime_matrix, keys, first + transitions.MARKOV, clock[REGIME])

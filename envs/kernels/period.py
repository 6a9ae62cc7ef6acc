"""One period of E markets in compiled code: all stages in order, see `run_period`.

Arrays lie (…, N, E).
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from ..jit.compiling import compiled, inlined
from ..jit.rng import period_keys, poisson_rows
from . import planned_deals, rival_rules, sales, transitions
from .choice import choose, count_lost
from .choice_parameters import ChoiceInputs, choice_scratch, empty_choice
from .difference_rewards import charge_products
from .learner import Decoding
from .parameters import Constants
from .price_rules import guard_discounts, guard_prices, remember
from .state import (
    LAST_UNITS,
    LIST_PRICE,
    LOST,
    ON_HAND,
    PERIOD,
    PROFIT,
    REFERENCE_PRICE,
    REGIME,
    UNITS,
    Results,
    shared_rows,
)

_ZERO = np.float32(0)
_ONE = np.float32(1)
_HALF = np.float32(0.5)


class Parts(namedtuple("Parts", "price discount score promotion order")):
    """Rows of a proposed action by kind, (rows, N, E) or (0, N, E); the price is (N, E)."""


class Scratch(
    namedtuple(
        "Scratch",
        "decoding keys by_price score ready multiplier first second whole full work displaced place reference",
    )
):
    """Arrays that a period works in, allocated once per batch.

    Attributes:
        decoding: Form of the actions.
        keys: (E,) keys of the period.
        by_price: (K, N, E) personal prices, or (0, N, E).
        score: (K, N, E) scores of the recommender, or (0, N, E).
        ready: (N, E) ones, or (0, E) where stock never limits what customers choose among.
        multiplier: Multiplier of the arrivals, see `ChoiceInputs`.
        first: Choice in the first half of the period; the whole period where rivals do not answer
            within it.
        second: Choice in the second half.
        whole: Choice in the whole period.
        full: Choice with every product in stock, where one may be sold out.
        work: Scratch of the choice.
        displaced: (E,) next product to promote, see `charge_products`, or (0,).
        place: (E,) slot of the pipeline.
        reference: (N, E) reference prices at the level of the period's regular prices, or (0, E) without planned deals.
    """


def period_scratch(constants: Constants, markets: int, decoding: Decoding, *, detail: bool) -> Scratch:
    """Allocate the `Scratch` of a batch.

    Args:
        constants: The market's parameters.
        markets: E.
        decoding: Form of the actions.
        detail: Whether charges are computed, which need the choice of every segment.
    """
    p = constants.choice
    sections = constants.sections
    stock = constants.stock
    segments, products = p.quality.shape
    price = np.empty((products, markets), np.float32)
    sizes = (price, len(p.rival_category), len(p.strategic_share) * len(p.rate))
    kept = {"slots": sections.slots, "by_segment": sections.by_segment, "detail": detail}
    within = constants.rivals.within
    first = empty_choice(p, *sizes, **kept)
    default = np.empty((segments if sections.slots and not decoding.scores else 0, products, markets), np.float32)
    if len(default):
        default[:] = sections.default_score[:, :, None]
    moves = constants.transition.loyal or constants.transition.shocked
    displaced = detail and sections.promotions and decoding.promotions
    return Scratch(
        decoding=decoding,
        keys=np.empty(markets, np.uint64),
        by_price=np.empty((sections.personal, products, markets), np.float32),
        score=default,
        ready=np.ones((products if constants.money.backlog or stock.limited else 0, markets), np.float32),
        multiplier=np.empty((p.share.size if moves else 0, markets), np.float32),
        first=first,
        second=empty_choice(p, *sizes, **kept) if within else first,
        whole=empty_choice(p, *sizes, **kept) if within else first,
        full=empty_choice(p, *sizes, **kept) if stock.limited else first,
        work=choice_scratch(p, *sizes),
        displaced=np.empty(markets if displaced else 0, np.int64),
        place=np.empty(markets, np.float32),
        reference=np.empty((products if constants.deals.usual.size else 0, markets), np.float32),
    )


@compiled
def run_period(constants, scratch, seed, old_clock, old_lanes, old_context, proposed, announced, given, credit_price):
    """Run E markets through one period under a proposed action.

    Args:
        constants: `Constants`, as a `Structure`.
        scratch: `Scratch`, likewise.
        seed: Key of all random numbers.
        old_clock: Clock of the state before the period; old_lanes and old_context likewise.
        old_lanes: See old_clock.
        old_context: See old_clock.
        proposed: (A, N, E) proposed action.
        announced: (N, E) above zero where a deal is announced, or (0, E) where the plan says.
        given: (R, E) rival prices, NaN where the rule decides, or (0, E).
        credit_price: (N,) counterfactual prices for charges, or (0,).

    Returns:
        Clock, lanes and context of the next state, and `Results`.
    """
    clock = old_clock.copy()
    lanes = np.empty_like(old_lanes)
    context = old_context.copy()
    period_keys(seed, clock, scratch.keys)
    parts = parts_of(proposed, scratch.decoding)
    out = empty_results(
        constants.sections, constants.deals, credit_price.size > 0, constants.rivals.kind.size, parts.price
    )
    shared = shared_rows(constants.sections.ends, context)
    now = open_period(constants, old_lanes, lanes, old_clock, shared, parts, announced, given, scratch, out)
    choose_halves(constants, now, shared.rival_price, out, scratch)
    draw(constants, scratch, out)
    ends = sales.season_ends(constants.stock, now.period)
    demand = scratch.work.felt
    segments = constants.choice.quality.shape[0]
    offered = (now.price, now.paid, out.stock, out.ordered, now.promoted, ends)
    wanted = (scratch.whole.mean, out.wanted, out.by_segment, demand)
    settling = (out.paid, out.money, out.returned, lanes[ON_HAND])
    sales.settle(constants.money, scratch.keys, segments, offered, wanted, *settling)
    sales.add_funding(out.funded, out.money[UNITS], out.money[PROFIT])
    if credit_price.size:
        charge(constants, now, old_lanes[REFERENCE_PRICE], parts.promotion, credit_price, scratch, out)
    advance(constants, scratch.keys, clock, old_lanes, lanes, shared, now, ends, scratch, out)
    return clock, lanes, context, out


@inlined
def parts_of(proposed, decoding):
    """`Parts` views of a decoded action, (A, N, E)."""
    score = 1 + decoding.discounts
    promotion = score + decoding.scores
    order = promotion + decoding.promotions
    return Parts(proposed[0], proposed[1:score], proposed[score:promotion], proposed[promotion:order], proposed[order:])


@compiled
def rows(count, like):
    """(count, N, E)."""
    return np.empty((count, *like.shape), np.float32)


@compiled
def empty_results(sections, deals, charged, rivals, price):
    """`Results` to be filled; price: (N, E), for its shape."""
    markets = price.shape[1]
    charges = rows(2, price if charged else price[:0])
    slots = np.empty((2, sections.candidates.shape[0], markets), np.int64)
    offers = np.empty((2, rivals, markets), np.float32)
    return Results(
        rows(1, price)[0],
        rows(4, price),
        rows(1, price)[0],
        rows(1, price)[0],
        rows(int(sections.returned), price),
        rows(int(sections.perished), price),
        rows(int(sections.received), price),
        rows(sections.suppliers, price),
        rows(sections.personal, price),
        rows(2 if sections.personal else 0, price),
        rows(sections.visits, price),
        rows(1, price if sections.promotions else price[:0])[0],
        charges[0],
        charges[1],
        np.empty(price.shape, np.uint32),
        slots[0],
        slots[1],
        offers[0],
        offers[1],
        rows(1, price if deals.displays else price[:0])[0],
        rows(1, price if deals.funds else price[:0])[0],
    )


@inlined
def open_period(constants, before, lanes, clock, shared, parts, announced, given, scratch, out):
    """Run the stages before the choice: price rules, rivals, orders, slots, promotions.

    Args:
        constants: `Constants`.
        before: Lanes of the state before the period.
        lanes: Lanes of the next state.
        clock: Clock of the state before the period.
        shared: `Shared` rows of the context.
        parts: `Parts` of the proposed action.
        announced: (N, E) above zero where a deal is announced, or (0, E) where the plan says.
        given: (R, E) rival prices, NaN where the rule decides, or (0, E).
        scratch: `Scratch`.
        out: `Results`.

    Returns:
        `ChoiceInputs`, what the customers meet.
    """
    sections = constants.sections
    rivals = constants.rivals
    transition = constants.transition
    period = clock[PERIOD]
    current = before[LIST_PRICE]
    segments = constants.choice.quality.shape[0]
    past = shared.past
    rival = shared.rival_price
    guard_prices(parts.price, announced, current, past, rival, period, constants.rules, out.price, out.trail)
    if scratch.by_price.shape[0] or parts.discount.shape[0]:
        pay(constants.rules, parts.discount, out.price, scratch.by_price, out.trail)
    out.rival_price[:] = shared.rival_price
    ours = out.price if rivals.within else current
    rival_rules.price_offers(rivals, given, ours, shared.rival_memory, out.rival_price)
    open_stock(constants.stock, before, lanes, period, parts.order, scratch.place, out)
    available = scratch.ready if constants.money.backlog else out.stock
    if sections.slots:
        score = parts.score if parts.score.shape[0] else scratch.score
        choose_shown(score, sections.candidates, available, out.shown, out.runner_up)
    out.promoted[:] = _ZERO
    if sections.promotions and parts.promotion.shape[0]:
        choose_promoted(parts.promotion[0], sections.most, out.promoted)
    transitions.arrival_multiplier(transition, segments, shared.loyalty, shared.shock, scratch.multiplier)
    reference = before[REFERENCE_PRICE]
    promoted = out.promoted
    if scratch.reference.shape[0]:
        reference = scratch.reference
        memories = (before[REFERENCE_PRICE], reference, lanes[REFERENCE_PRICE])
        memory = transition.memory
        planned_deals.follow_plan(constants.deals, memory, period, out.price, announced, shared.level, *memories)
        planned_deals.show_deals(constants.deals, period, out.price, announced, shared.level, out.displayed)
        planned_deals.fund_deals(constants.deals, period, out.price, announced, out.funded)
    if out.displayed.shape[0]:
        promoted = out.displayed
    goods = (out.price, reference, available, scratch.by_price, out.shown, promoted)
    people = (scratch.multiplier, shared.waiting, _ONE)
    return ChoiceInputs(period, clock[REGIME], *goods, out.rival_price, *people)


@compiled
def open_stock(stock, before, lanes, period, proposed, place, out):
    """Place orders, and fill the stock on sale and the units received at once."""
    for flow in (out.returned, out.perished, out.received):
        flow[:] = _ZERO
    out.stock[:] = before[ON_HAND]
    if out.ordered.shape[0]:
        transitions.find_place(period, max(lanes.shape[0] - transitions.PIPELINE, 1), place)
    for supplier in range(out.ordered.shape[0]):
        # What the first supplier was asked for is on order already when the second is.
        known = lanes if supplier else before
        transitions.order(stock, supplier, proposed, known, lanes, place, out.ordered[supplier])
        transitions.receive_at_once(stock.lead[supplier], out.ordered[supplier], out.received[0], out.stock)


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


@inlined
def choose_halves(constants, now, rival_price, out, scratch):
    """Fill what the customers demand: in two halves, at the old and the new rival prices, where rivals answer within it.

    Customers who wait in either half return in the next period. The mean units of the whole period are `out.wanted`.
    """
    within = constants.rivals.within
    short = constants.stock.limited and now.available.min() <= _ZERO
    # Where at most one customer comes, one comes in each half.
    scale = _HALF if within and not constants.sections.single else _ONE
    for g in range(now.waiting.shape[0]):
        for e in range(now.waiting.shape[1]):
            now.waiting[g, e] *= scale
    prices = (rival_price, out.rival_price)
    halves = (scratch.first, scratch.second)
    units = (scratch.first.units if within else out.wanted, scratch.second.units)
    for i in range(2 if within else 1):
        stocks = (now.available, scratch.ready)
        targets = (halves[i], scratch.full)
        filled = (units[i], scratch.full.units)
        for j in range(2 if short else 1):
            goods = (now.price, now.reference, stocks[j], now.paid, now.shown, now.promoted)
            people = (prices[i] if within else out.rival_price, now.multiplier, now.waiting, scale)
            inputs = ChoiceInputs(now.period, now.regime, *goods, *people)
            choose(constants.choice, inputs, targets[j], filled[j], scratch.work)
        if short:
            count_lost(constants.choice.category, now.available, scratch.full, units[i], halves[i].mean)
        if out.chances.shape[0]:
            out.chances[i][:] = units[i]
    if within:
        first = scratch.first
        second = scratch.second
        whole = scratch.whole
        for k in range(whole.mean.shape[0]):
            np.add(first.mean[k], second.mean[k], whole.mean[k])
        np.add(first.units, second.units, out.wanted)
        np.add(first.rival_units, second.rival_units, whole.rival_units)
        np.add(first.waiting, second.waiting, whole.waiting)


@compiled
def draw(constants, scratch, out):
    """Draw demand, by segment with personal prices, and on request the rivals' units."""
    p = constants.choice
    keys = scratch.keys
    whole = scratch.whole
    demand = scratch.work.felt
    segments = p.quality.shape[0]
    categories = p.rate.shape[0]
    customers = transitions.first_common(*p.quality.shape) + transitions.CUSTOMERS
    if constants.sections.single:
        out.by_segment[:] = _ZERO
        out.rival_units[:] = _ZERO
        demand[:] = _ZERO
        for i in range(out.chances.shape[0]):
            half = scratch.second if i else scratch.first
            first = customers + i * categories
            means = (half.mean, half.rival_units)
            drawn = (out.by_segment, demand, out.rival_units)
            sales.draw_single(categories, p.category, p.rival_category, keys, first, *means, *drawn)
        return
    sales.draw_poisson(constants.money, keys, segments, whole.mean, out.wanted, out.by_segment, demand)
    if constants.rivals.drawn:
        poisson_rows(whole.rival_units, keys, customers + 2 * categories, 1, out.rival_units)
    else:
        out.rival_units[:] = whole.rival_units


@inlined
def charge(constants, now, remembered, promotion, credit_price, scratch, out):
    """Fill the charges and baselines of the difference rewards; remembered: (N, E) reference prices before the period."""
    out.taken[:] = _ZERO
    out.baseline[:] = _ZERO
    if scratch.displaced.size:
        next_to_promote(promotion[0], now.promoted, scratch.displaced)
    counterfactual = (credit_price, out.runner_up, scratch.displaced)
    for i in range(2 if constants.rivals.within else 1):
        half = scratch.second if i else scratch.first
        charge_products(constants, now, half, remembered, out.funded, *counterfactual, out.taken, out.baseline)


@inlined
def advance(constants, keys, clock, before, lanes, shared, now, ends, scratch, out):
    """Update the state for the next period.

    Args:
        constants: `Constants`.
        keys: (E,) keys of the period.
        clock: Clock of the next state, updated in place.
        before: Lanes of the state before the period.
        lanes: Lanes of the next state, filled.
        shared: `Shared` rows of the context, updated in place.
        now: `ChoiceInputs` of the period.
        ends: (E,) whether a selling season ends with the period, or (0,).
        scratch: `Scratch`.
        out: `Results`.
    """
    stock = constants.stock
    transition = constants.transition
    segments = constants.choice.quality.shape[0]
    for e in range(clock.shape[1]):
        clock[PERIOD, e] += 1
    if shared.past.shape[0]:
        remember(before[LIST_PRICE], shared.past)
    first = transitions.first_common(*constants.choice.quality.shape)
    if stock.delay.size:
        transitions.postpone(stock.delay, keys, first + transitions.LATE, clock[PERIOD], lanes)
    lanes[LIST_PRICE][:] = out.price
    lanes[LAST_UNITS][:] = out.money[UNITS]
    # Where a plan has deals, what is remembered follows from it.
    if not scratch.reference.shape[0]:
        transitions.move_reference(transition.memory, out.price, now.reference, lanes[REFERENCE_PRICE])
    delivers = stock.orders and not stock.immediate
    restart = ends if stock.season else ends[:0]
    transitions.close_period(constants.money, keys, segments, delivers, restart, out, lanes, scratch.place)
    if stock.use.shape[0]:
        sold = out.money[UNITS]
        capacity = shared.capacity
        transitions.use_capacity(stock.use, stock.added, clock[PERIOD], sold, capacity, lanes[ON_HAND])
    shared.waiting[:] = scratch.whole.waiting
    shared.rival_price[:] = out.rival_price
    shared.rival_units[:] = out.rival_units
    rival_rules.update_memory(constants.rivals, out.rival_price, out.rival_units, shared.rival_memory)
    if transition.loyal:
        paid = (now.paid, now.price, scratch.whole.mean, scratch.work.felt, out.money[LOST])
        transitions.move_loyalty(transition, *paid, shared.loyalty)
    if transition.shocked:
        deviation = transition.deviation
        counter = first + transitions.SHOCK
        transitions.draw_shocks(transition.persistence, deviation, keys, counter, shared.shock)
    if transition.regime_matrix.size:
        transitions.draw_regimes(transition.regime_matrix, keys, first + transitions.MARKOV, clock[REGIME])


# Slots and promotions


@compiled
def choose_shown(score, candidates, available, shown, runner_up):
    """Choose the product in each segment's slot: the candidate in stock with the highest score.

    Args:
        score: (K, N, E) recommendation scores.
        candidates: (K, N) whether a product may be shown.
        available: (N, E) units, or anything positive for a product in stock.
        shown: (K, E) product with the highest score, -1 for none; filled.
        runner_up: (K, E) product with the second highest score, -1 for none; filled.
    """
    segments, products, markets = score.shape
    best = np.empty(markets, score.dtype)
    second = np.empty(markets, score.dtype)
    for k in range(segments):
        best[:] = _ZERO
        second[:] = _ZERO
        shown[k] = -1
        runner_up[k] = -1
        for n in range(products):
            if not candidates[k, n]:
                continue
            for e in range(markets):
                value = score[k, n, e] if available[n, e] > _ZERO else _ZERO
                if value > best[e]:
                    second[e] = best[e]
                    runner_up[k, e] = shown[k, e]
                    best[e] = value
                    shown[k, e] = n
                elif value > second[e]:
                    second[e] = value
                    runner_up[k, e] = n


@compiled
def choose_promoted(score, most, promoted):
    """Promote the products with the highest positive scores, at most `most` per market; of equal scores the first.

    Args:
        score: (N, E) promotion scores.
        most: Largest number of products on promotion.
        promoted: (N, E), filled with 0 or 1.
    """
    products, markets = score.shape
    count = np.zeros(markets, score.dtype)
    bound = lowest_promoted(score, min(most, products))
    for n in range(products):
        for e in range(markets):
            promoted[n, e] = _ONE if (score[n, e] > _ZERO) & (score[n, e] >= bound[e]) else _ZERO
            count[e] += promoted[n, e]
    for e in range(markets):
        # The last products whose score equals the bound.
        for n in range(products - 1 if count[e] > most else -1, -1, -1):
            if score[n, e] == bound[e] and count[e] > most:
                promoted[n, e] = _ZERO
                count[e] -= _ONE


@compiled
def lowest_promoted(score, most):
    """(E,) the `most`-th highest score, or 0: the highest ones of all markets together, by insertion."""
    best = np.zeros((most, score.shape[1]), score.dtype)
    here = np.empty(score.shape[1], score.dtype)
    for n in range(score.shape[0]):
        for e in range(here.size):
            here[e] = score[n, e] if score[n, e] > _ZERO else _ZERO
        for i in range(min(most, n + 1)):
            for e in range(here.size):
                best[i, e], here[e] = max(best[i, e], here[e]), min(best[i, e], here[e])
    return best[most - 1] if most else here


@compiled
def next_to_promote(score, promoted, found):
    """Fill (E,) with the unpromoted product with the highest positive score, -1 for none."""
    products, markets = score.shape
    best = np.zeros(markets, score.dtype)
    found[:] = -1
    for n in range(products):
        for e in range(markets):
            if promoted[n, e] == _ZERO and score[n, e] > best[e]:
                best[e] = score[n, e]
                found[e] = n

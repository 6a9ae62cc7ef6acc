"""Compiled transitions from one period to the next: stock and orders, reference prices, loyalty, shocks and regimes.

Arrays lie (…, N, E). Rivals move in `rival_rules.py`.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from ...scenarios import MarketSpec
from ..jit.compiling import compiled
from ..jit.math import exponential, logarithm
from ..jit.rng import binomial_lanes, derive, normal, uniform
from .sales import DEMAND, SPOIL, counter
from .state import ON_HAND, PIPELINE

_ZERO = np.float32(0)
_ONE = np.float32(1)
_TINY = np.float32(1e-30)
# Random streams of a market as a whole, counted from `first_common`; shocks use one per category, late
# deliveries one per product.
MARKOV = 0
SHOCK = 1
CUSTOMERS = 1 << 20
LATE = 1 << 21


_TRANSITION_RULES = """
memory loyal loyalty_memory price_effect stockout_effect bounds regular shocked volatility persistence deviation
regime_matrix
"""


class TransitionRules(namedtuple("TransitionRules", _TRANSITION_RULES)):
    """Parameters of the state transitions: reference price, loyalty, demand shocks, regimes.

    Attributes:
        memory: Share of the reference price that is kept; 1 if it does not change.
        loyal: Whether there is loyalty.
        loyalty_memory: Share of loyalty that is kept.
        price_effect: (K,) effect of prices on loyalty.
        stockout_effect: (K,) effect of stockouts on loyalty.
        bounds: Lowest and highest loyalty.
        regular: (N,) regular price, currency per unit.
        shocked: Whether there are demand shocks.
        volatility: Standard deviation of the log shock.
        persistence: Autocorrelation of the log shock.
        deviation: Standard deviation of the innovation of the log shock.
        regime_matrix: (Z, Z) cumulative transition probabilities, or (0, 0).
    """

    @classmethod
    def of(cls, spec: MarketSpec) -> TransitionRules:
        """The transitions of a scenario."""
        single = np.float32
        loyalty = spec.loyalty
        shocks = spec.shocks
        persistence = 0.0 if shocks is None else shocks.persistence
        volatility = 0.0 if shocks is None else shocks.volatility
        return cls(
            memory=single(1.0 if spec.reference_price is None else spec.reference_price.memory),
            loyal=loyalty is not None,
            loyalty_memory=single(1.0 if loyalty is None else loyalty.memory),
            price_effect=np.empty(0, single) if loyalty is None else loyalty.price_effect.astype(single),
            stockout_effect=np.empty(0, single) if loyalty is None else loyalty.stockout_effect.astype(single),
            bounds=(single(0), single(0)) if loyalty is None else (single(loyalty.low), single(loyalty.high)),
            regular=spec.products.regular_price.astype(single),
            shocked=shocks is not None,
            volatility=single(volatility),
            persistence=single(persistence),
            deviation=single(volatility * np.sqrt(1 - persistence**2)),
            regime_matrix=np.empty((0, 0)) if spec.regimes is None else np.cumsum(spec.regimes.transition, axis=1),
        )


@compiled
def first_common(segments, products):
    """Counter of the first random stream after those of the products."""
    return products * (DEMAND + segments)


@compiled
def draw_regimes(cumulative, keys, counter, regime):
    """Draw each market's next regime, (E,), in place; cumulative: (Z, Z) probabilities."""
    for e in range(regime.size):
        u = uniform(derive(keys[e], counter))
        z = 0
        row = regime[e] if cumulative.shape[0] > 1 else 0
        while z < cumulative.shape[1] - 1 and u >= cumulative[row, z]:
            z += 1
        regime[e] = z


@compiled
def draw_shocks(persistence, deviation, keys, counter, shock):
    """Autoregressive step of the log demand shocks, (C, E), in place."""
    for c in range(shock.shape[0]):
        for e in range(shock.shape[1]):
            shock[c, e] = persistence * shock[c, e] + deviation * normal(derive(keys[e], counter + c))


@compiled
def move_loyalty(p, paid, price, mean, demand, lost, loyalty):
    """Update the loyalty of each segment from the prices it paid and the stockouts it met.

    Args:
        p: `TransitionRules`.
        paid: (K, N, E) personal prices, or (0, N, E).
        price: (N, E) list prices.
        mean: (K, N, E) mean units demanded.
        demand: (N, E) units demanded.
        lost: (N, E) units demanded beyond stock.
        loyalty: (K, E), updated in place.
    """
    segments, products, markets = mean.shape
    memory = p.loyalty_memory
    price_effect = p.price_effect
    stockout_effect = p.stockout_effect
    bounds = p.bounds
    regular = p.regular
    wanted = np.empty(markets, mean.dtype)
    target = np.empty(markets, mean.dtype)
    missed = np.empty_like(lost)
    for n in range(products):
        for e in range(markets):
            missed[n, e] = lost[n, e] / max(demand[n, e], _ONE)
    for k in range(segments):
        wanted[:] = _ZERO
        target[:] = _ZERO
        charged = paid[k] if paid.shape[0] else price
        for n in range(products):
            usual = regular[n]
            for e in range(markets):
                wanted[e] += mean[k, n, e]
            for e in range(markets):
                target[e] += price_effect[k] * mean[k, n, e] * logarithm(usual / charged[n, e])
            for e in range(markets):
                target[e] -= stockout_effect[k] * mean[k, n, e] * missed[n, e]
        for e in range(markets):
            moved = memory * loyalty[k, e] + (_ONE - memory) * exponential(target[e] / max(wanted[e], _TINY))
            loyalty[k, e] = min(max(moved, bounds[0]), bounds[1]) if wanted[e] > _ZERO else loyalty[k, e]


@compiled
def arrival_multiplier(p, segments, loyalty, shock, multiplier):
    """Fill the multiplier of arrivals, (C * K, E), from loyalty, (K, E), and shocks, (C, E)."""
    less = p.volatility * p.volatility / np.float32(2)
    for g in range(multiplier.shape[0]):
        for e in range(multiplier.shape[1]):
            multiplier[g, e] = loyalty[g % segments, e] if p.loyal else _ONE
        if p.shocked:
            # Minus half the variance, so that the multiplier has mean one.
            for e in range(multiplier.shape[1]):
                multiplier[g, e] *= exponential(shock[g // segments, e] - less)


@compiled
def draw_initial_context(constants, initial, keys, regime, shock):
    """Draw the initial regimes, (E,), and the initial log shocks, (C, E), of an episode."""
    p = constants.transition
    first = first_common(*constants.choice.quality.shape)
    if p.regime_matrix.size:
        draw_regimes(initial, keys, first + MARKOV, regime)
    if p.shocked:
        draw_shocks(_ZERO, p.volatility, keys, first + SHOCK, shock)


# Stock and orders


@compiled
def order(stock, supplier, proposed, before, lanes, place, quantity):
    """Place the orders of a period with a supplier in the pipeline, but for those that arrive at once.

    Args:
        stock: `StockRules`.
        supplier: Number of the supplier.
        proposed: (S, N, E) what the policy orders.
        before: Lanes of the state before the period, with what the suppliers before this one were asked for.
        lanes: Lanes of the next state; the pipeline is filled.
        place: (E,) slot of the pipeline that was delivered before this period.
        quantity: (N, E), filled with the orders.
    """
    if stock.level.size:
        order_up_to(stock.level, before, quantity)
    elif proposed.shape[0] > supplier:
        whole_orders(proposed[supplier], stock.most[supplier], quantity)
    else:
        quantity[:] = _ZERO
    slots = lanes.shape[0] - PIPELINE
    lead = stock.lead[supplier]
    for i in range(slots):
        for n in range(quantity.shape[0]):
            # No market has slot -1: orders that arrive at once do not enter the pipeline.
            here = np.float32((i - lead[n]) % slots if lead[n] > 0 else -1)
            for e in range(place.size):
                due = quantity[n, e] if place[e] == here else _ZERO
                lanes[PIPELINE + i, n, e] = before[PIPELINE + i, n, e] + due


@compiled
def find_place(period, slots, place):
    """Fill (E,) with the slot of the pipeline that was delivered before this period."""
    for e in range(period.size):
        place[e] = np.float32(period[e] % slots)


@compiled
def receive_at_once(lead, ordered, received, stock):
    """Add the orders of products without a lead time to the units received and on sale, (N, E)."""
    for n in range(stock.shape[0]):
        for e in range(stock.shape[1] if lead[n] == 0 else 0):
            received[n, e] += ordered[n, e]
            stock[n, e] += ordered[n, e]


@compiled
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


@compiled
def whole_orders(proposed, most, out):
    """Fill (N, E) with proposed orders in whole units from 0 to the largest order, (N,)."""
    for n in range(out.shape[0]):
        for e in range(out.shape[1]):
            units = proposed[n, e] if proposed[n, e] > _ZERO else _ZERO
            out[n, e] = np.rint(min(units, most[n]))


@compiled
def order_up_to(level, lanes, quantity):
    """Fill (N, E) with the units missing to the order-up-to level."""
    for n in range(quantity.shape[0]):
        for e in range(quantity.shape[1]):
            quantity[n, e] = level[n] - lanes[ON_HAND, n, e]
        for row in range(PIPELINE, lanes.shape[0]):
            for e in range(quantity.shape[1]):
                quantity[n, e] = max(quantity[n, e] - lanes[row, n, e], _ZERO)


@compiled
def close_period(m, keys, segments, delivers, restart, out, lanes, place):
    """Close a period: spoilage, the stock of a new season, deliveries.

    Args:
        m: `MoneyParameters`.
        keys: (E,) keys of the period.
        segments: K.
        delivers: Whether orders have a lead time.
        restart: (E,) whether the stock of a new season arrives, or (0,).
        out: `Results` of the period; units perished and received are filled.
        lanes: Lanes of the next state, with the units that the sales left on hand.
        place: (E,) slot of the pipeline that was delivered before this period, moved on to the next.
    """
    closing = lanes[ON_HAND]
    for n in range(closing.shape[0] if out.perished.shape[0] else 0):
        if m.spoilage[n] > _ZERO:
            binomial_lanes(closing[n], m.spoilage[n], keys, counter(n, SPOIL, segments), out.perished[0, n])
            for e in range(closing.shape[1]):
                closing[n, e] -= out.perished[0, n, e]
        for e in range(restart.size):
            if restart[e]:
                out.perished[0, n, e] += max(closing[n, e], _ZERO)
                out.received[0, n, e] += m.opening_units[n]
                closing[n, e] = m.opening_units[n] + min(closing[n, e], _ZERO)
    slots = lanes.shape[0] - PIPELINE if delivers else 0
    for e in range(place.size):
        place[e] = place[e] + _ONE if place[e] + _ONE < slots else _ZERO
    for i in range(slots):
        deliver(place, np.float32(i), closing, out.received[0], lanes[PIPELINE + i])


@compiled
def deliver(place, here, closing, received, slot):
    """Receive one slot of the pipeline in the markets where it is due."""
    for n in range(closing.shape[0]):
        for e in range(place.size):
            arrived = slot[n, e] if place[e] == here else _ZERO
            received[n, e] += arrived
            closing[n, e] += arrived
            slot[n, e] -= arrived


@compiled
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


@compiled
def move_reference(memory, price, before, after):
    """Fill the reference price after this period's list price, (N, E): exponential smoothing."""
    for n in range(price.shape[0]):
        for e in range(price.shape[1]):
            after[n, e] = memory * before[n, e] + (_ONE - memory) * price[n, e]

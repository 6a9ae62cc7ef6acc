"""How a market moves from one period to the next: stock, memory, loyalty, shocks, regimes. Arrays lie (…, N, E)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..scenarios import MarketSpec
from .choice import Choice
from .fastmath import compiled, exponential, logarithm
from .random import derive, normal, uniform
from .selling import DEMAND, spoil
from .state import (
    LAST_UNITS,
    LIST_PRICE,
    LOST,
    ON_HAND,
    PERISHED,
    PIPELINE,
    RECEIVED,
    REFERENCE_PRICE,
    REGIME,
    RETURNED,
    UNITS,
    Floats,
    MarketState,
    Outcome,
)

_ZERO, _ONE, _TINY = np.float32(0), np.float32(1), np.float32(1e-30)
# Streams that a market's products share, counted from `first_common`; shocks take one a category.
MARKOV, SHOCK = 0, 1
CUSTOMERS = 1 << 20


def first_common(spec: MarketSpec) -> int:
    """Counter of the first stream behind those of the products."""
    return spec.sizes["N"] * (DEMAND + spec.sizes["K"])


@compiled
def close_period(m, keys, segments, period, delivers, restart, memory, price, money, flows, lanes):
    """Stock and memory at the period's end: what perishes, what arrives, what customers remember of the price.

    period: (E,) the period that opens. delivers: whether orders have a lead time. restart: (E,) whether a new season's
    stock arrives, or (0,). memory: share of the old reference price that is kept, 1 where nobody remembers.
    """
    products, markets = price.shape
    for n in range(products):
        lanes[LIST_PRICE, n] = price[n]
        if memory < _ONE:
            remember(memory, price[n], lanes[REFERENCE_PRICE, n])
        sell_off(money[UNITS, n], lanes[ON_HAND, n], lanes[LAST_UNITS, n])
        if not flows.shape[0]:
            continue
        closing = lanes[ON_HAND, n]
        if m.return_probability[n] > _ZERO:
            for e in range(markets):
                closing[e] += flows[RETURNED, n, e]
        if m.spoilage[n] > _ZERO:
            spoil(m.spoilage[n], keys, n, segments, closing, flows[PERISHED, n])
        if restart.size:
            for e in range(markets):
                if restart[e]:
                    flows[PERISHED, n, e] += max(closing[e], _ZERO)
                    flows[RECEIVED, n, e] += m.opening_units[n]
                    closing[e] = m.opening_units[n] + min(closing[e], _ZERO)
        if delivers:
            deliver(period, n, closing, flows[RECEIVED, n], lanes)


@compiled
def sell_off(sold, on_hand, last):
    """Take what was sold off the shelf, and note it."""
    for e in range(sold.size):
        on_hand[e] -= sold[e]
        last[e] = sold[e]


@compiled
def deliver(period, n, closing, received, lanes):
    """Bring each market's due slot of the pipeline onto the shelf."""
    slots = lanes.shape[0] - PIPELINE
    for place in range(slots):
        row = lanes[PIPELINE + place, n]
        for e in range(closing.size):
            arrived = row[e] if slots == 1 or period[e] % slots == place else _ZERO
            received[e] += arrived
            row[e] -= arrived
            closing[e] += arrived


@compiled
def remember(memory, price, reference):
    """The reference price after this period's list price."""
    for e in range(price.size):
        reference[e] = memory * reference[e] + (_ONE - memory) * price[e]


@compiled
def draw_regimes(cumulative, keys, counter, regime):
    """Move each market's regime, (E,), by its row of the (Z, Z) cumulative transition matrix."""
    for e in range(regime.size):
        u, z = uniform(derive(keys[e], counter)), 0
        row = regime[e] if cumulative.shape[0] > 1 else 0
        while z < cumulative.shape[1] - 1 and u >= cumulative[row, z]:
            z += 1
        regime[e] = z


@compiled
def draw_shocks(persistence, deviation, keys, counter, shock):
    """Autoregressive step of the log shocks, (C, E)."""
    for c in range(shock.shape[0]):
        for e in range(shock.shape[1]):
            shock[c, e] = persistence * shock[c, e] + deviation * normal(derive(keys[e], counter + c))


@compiled
def move_loyalty(memory, price_effect, stockout_effect, bounds, regular, paid, price, mean, demand, lost, loyalty):
    """Loyalty of each segment, (K, E), after what it paid and what it missed.

    price_effect, stockout_effect: (K,). bounds: (low, high). paid: (K, N, E) or (0, N, E).
    """
    segments, products, markets = mean.shape
    wanted, target = np.empty(markets, mean.dtype), np.empty(markets, mean.dtype)
    for k in range(segments):
        wanted[:] = _ZERO
        target[:] = _ZERO
        charged = paid[k] if paid.shape[0] else price
        for n in range(products):
            for e in range(markets):
                wanted[e] += mean[k, n, e]
            for e in range(markets):
                target[e] += price_effect[k] * mean[k, n, e] * logarithm(regular[n] / charged[n, e])
            for e in range(markets):
                target[e] -= stockout_effect[k] * mean[k, n, e] * lost[n, e] / max(demand[n, e], _ONE)
        for e in range(markets):
            moved = memory * loyalty[k, e] + (_ONE - memory) * exponential(target[e] / max(wanted[e], _TINY))
            loyalty[k, e] = min(max(moved, bounds[0]), bounds[1]) if wanted[e] > _ZERO else loyalty[k, e]


def open_context(spec: MarketSpec, state: MarketState, keys: NDArray[np.uint64]) -> None:
    """Draw what the opening of an episode leaves to chance, in place: the first regime and the first shocks."""
    first = first_common(spec)
    if spec.regimes is not None:
        draw_regimes(np.cumsum(spec.regimes.initial)[None], keys, first + MARKOV, state.clock[REGIME])
    if spec.shocks is not None:
        shock = state.context[state.layout.shock]
        draw_shocks(0.0, spec.shocks.volatility, keys, first + SHOCK, shock)


def arrival_multiplier(spec: MarketSpec, state: MarketState) -> Floats:
    """(C * K, E) what loyalty and shocks make of the arrivals, or (0, E) where neither moves."""
    segments, categories, _ = (spec.sizes[letter] for letter in "KCR")
    if spec.loyalty is None and spec.shocks is None:
        return np.empty((0, state.period.size), np.float32)
    multiplier = np.ones((categories, segments, state.period.size), np.float32)
    if spec.loyalty is not None:
        multiplier *= state.context[state.layout.loyalty]
    if spec.shocks is not None:
        # Less half the variance: the mean of the multiplier is one.
        shock = state.context[state.layout.shock] - np.float32(spec.shocks.volatility**2 / 2)
        multiplier *= np.exp(shock)[:, None]
    return multiplier.reshape(categories * segments, -1)


def move_context(
    spec: MarketSpec,
    state: MarketState,
    keys: NDArray[np.uint64],
    outcome: Outcome,
    choice: Choice,
    paid: Floats,
    demand: Floats,
) -> None:
    """Move loyalty, shocks and regime of the state that opens the next period, in place."""
    first = first_common(spec)
    if spec.loyalty is not None:
        rules, single = spec.loyalty, np.float32
        move_loyalty(
            single(rules.memory),
            rules.price_effect.astype(single),
            rules.stockout_effect.astype(single),
            (single(rules.low), single(rules.high)),
            spec.products.regular_price.astype(single),
            paid,
            outcome.price,
            choice.mean,
            demand,
            outcome.money[LOST],
            state.context[state.layout.loyalty],
        )
    if spec.shocks is not None:
        deviation = spec.shocks.volatility * np.sqrt(1 - spec.shocks.persistence**2)
        shock = state.context[state.layout.shock]
        draw_shocks(spec.shocks.persistence, deviation, keys, first + SHOCK, shock)
    if spec.regimes is not None:
        cumulative = np.cumsum(spec.regimes.transition, axis=1)
        draw_regimes(cumulative, keys, first + MARKOV, state.clock[REGIME])

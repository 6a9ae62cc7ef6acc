"""How a market moves from one period to the next: stock, memory, loyalty, shocks, regimes. Arrays lie (…, N, E)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..scenarios import MarketSpec
from .choice import Choice
from .fastmath import compiled, exponential, logarithm
from .random import derive, normal, uniform
from .selling import DEMAND
from .state import (
    LOST,
    REGIME,
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

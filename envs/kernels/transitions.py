"""How a market moves from one period to the next: stock, memory, loyalty, shocks, regimes. Arrays lie (…, N, E)."""

from __future__ import annotations

import numpy as np

from ..jit.math import compiled, exponential, lean, logarithm
from ..jit.rng import derive, normal, uniform
from .sales import DEMAND

_ZERO, _ONE, _TINY = np.float32(0), np.float32(1), np.float32(1e-30)
# Streams that a market's products share, counted from `first_common`; shocks take one a category.
MARKOV, SHOCK = 0, 1
CUSTOMERS = 1 << 20


@lean
def first_common(segments, products):
    """Counter of the first stream behind those of the products."""
    return products * (DEMAND + segments)


@lean
def draw_regimes(cumulative, keys, counter, regime):
    """Move each market's regime, (E,), by its row of the (Z, Z) cumulative transition matrix."""
    for e in range(regime.size):
        u, z = uniform(derive(keys[e], counter)), 0
        row = regime[e] if cumulative.shape[0] > 1 else 0
        while z < cumulative.shape[1] - 1 and u >= cumulative[row, z]:
            z += 1
        regime[e] = z


@lean
def draw_shocks(persistence, deviation, keys, counter, shock):
    """Autoregressive step of the log shocks, (C, E)."""
    for c in range(shock.shape[0]):
        for e in range(shock.shape[1]):
            shock[c, e] = persistence * shock[c, e] + deviation * normal(derive(keys[e], counter + c))


@compiled
def move_loyalty(p, paid, price, mean, demand, lost, loyalty):
    """Loyalty of each segment, (K, E), after what it paid and what it missed; p: `TransitionRules`. paid: (K, N, E) or (0, N, E)."""
    segments, products, markets = mean.shape
    memory, price_effect, stockout_effect, bounds = p.loyalty_memory, p.price_effect, p.stockout_effect, p.bounds
    wanted, target = np.empty(markets, mean.dtype), np.empty(markets, mean.dtype)
    missed = np.empty_like(lost)
    for n in range(products):
        for e in range(markets):
            missed[n, e] = lost[n, e] / max(demand[n, e], _ONE)
    for k in range(segments):
        wanted[:] = _ZERO
        target[:] = _ZERO
        charged = paid[k] if paid.shape[0] else price
        for n in range(products):
            for e in range(markets):
                wanted[e] += mean[k, n, e]
            for e in range(markets):
                target[e] += price_effect[k] * mean[k, n, e] * logarithm(p.regular[n] / charged[n, e])
            for e in range(markets):
                target[e] -= stockout_effect[k] * mean[k, n, e] * missed[n, e]
        for e in range(markets):
            moved = memory * loyalty[k, e] + (_ONE - memory) * exponential(target[e] / max(wanted[e], _TINY))
            loyalty[k, e] = min(max(moved, bounds[0]), bounds[1]) if wanted[e] > _ZERO else loyalty[k, e]


@lean
def arrival_multiplier(p, segments, loyalty, shock, multiplier):
    """Fill (C * K, E) with what loyalty, (K, E), and shocks, (C, E), make of the arrivals; (0, E) where neither moves."""
    less = p.volatility * p.volatility / np.float32(2)
    for g in range(multiplier.shape[0]):
        for e in range(multiplier.shape[1]):
            multiplier[g, e] = loyalty[g % segments, e] if p.loyal else _ONE
        if p.shocked:
            # Less half the variance: the mean of the multiplier is one.
            for e in range(multiplier.shape[1]):
                multiplier[g, e] *= exponential(shock[g // segments, e] - less)


@compiled
def open_context(p, choice, initial, keys, regime, shock):
    """Draw what the opening of an episode leaves to chance: the first regimes, (E,), and the first shocks, (C, E)."""
    first = first_common(*choice.quality.shape)
    if p.regime_matrix.size:
        draw_regimes(initial, keys, first + MARKOV, regime)
    if p.shocked:
        draw_shocks(_ZERO, p.volatility, keys, first + SHOCK, shock)

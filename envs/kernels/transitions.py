"""Compiled state transitions from one period to the next: loyalty, demand shocks and regimes.

Arrays lie (…, N, E).

Stock and reference prices move in `inventory.py`, rivals in `rival_rules.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...scenarios import MarketSpec
from ..jit.math import compiled, exponential, lean, logarithm
from ..jit.rng import derive, normal, uniform
from .sales import DEMAND

_ZERO, _ONE, _TINY = np.float32(0), np.float32(1), np.float32(1e-30)
# Random streams of a market as a whole, counted from `first_common`; shocks use one per category, late
# deliveries one per product.
MARKOV, SHOCK = 0, 1
CUSTOMERS = 1 << 20
LATE = 1 << 21


class TransitionRules(NamedTuple):
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

    memory: np.float32
    loyal: bool
    loyalty_memory: np.float32
    price_effect: NDArray[np.float32]
    stockout_effect: NDArray[np.float32]
    bounds: tuple[np.float32, np.float32]
    regular: NDArray[np.float32]
    shocked: bool
    volatility: np.float32
    persistence: np.float32
    deviation: np.float32
    regime_matrix: NDArray[np.float64]

    @classmethod
    def of(cls, spec: MarketSpec) -> TransitionRules:
        """The transitions of a scenario."""
        single, loyalty, shocks = np.float32, spec.loyalty, spec.shocks
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


@lean
def first_common(segments, products):
    """Counter of the first random stream after those of the products."""
    return products * (DEMAND + segments)


@lean
def draw_regimes(cumulative, keys, counter, regime):
    """Draw each market's next regime, (E,), in place; cumulative: (Z, Z) probabilities."""
    for e in range(regime.size):
        u, z = uniform(derive(keys[e], counter)), 0
        row = regime[e] if cumulative.shape[0] > 1 else 0
        while z < cumulative.shape[1] - 1 and u >= cumulative[row, z]:
            z += 1
        regime[e] = z


@lean
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
    """Fill the multiplier of arrivals, (C * K, E), from loyalty, (K, E), and shocks, (C, E)."""
    less = p.volatility * p.volatility / np.float32(2)
    for g in range(multiplier.shape[0]):
        for e in range(multiplier.shape[1]):
            multiplier[g, e] = loyalty[g % segments, e] if p.loyal else _ONE
        if p.shocked:
            # Minus half the variance, so that the multiplier has mean one.
            for e in range(multiplier.shape[1]):
                multiplier[g, e] *= exponential(shock[g // segments, e] - less)


@compiled.entry
def draw_initial_context(p, choice, initial, keys, regime, shock):
    """Draw the initial regimes, (E,), and the initial log shocks, (C, E), of an episode."""
    first = first_common(*choice.quality.shape)
    if p.regime_matrix.size:
        draw_regimes(initial, keys, first + MARKOV, regime)
    if p.shocked:
        draw_shocks(_ZERO, p.volatility, keys, first + SHOCK, shock)

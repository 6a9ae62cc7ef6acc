"""Classical policies that are searched or solved on the scenario: the best fixed price and the myopic path."""

from __future__ import annotations

import functools
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ..envs import Market, expected_units, seed_for
from ..pricing import FixedPrice, PricePath
from ..scenarios import MarketSpec

# Product-periods that a search may simulate, and the markets that a candidate is tried in.
_EFFORT = 20_000_000
_MARKETS = (32, 1024)
_POPULATION = 64
_ELITES = 10
_GENERATIONS = 30
# Base stocks of which every one is tried.
_MOST_TRIED = 64


@functools.lru_cache(maxsize=16)
def best_fixed(spec: MarketSpec, *, seed: int = 0) -> FixedPrice:
    """The best prices that never change, tuned on the tuning markets (never the ones that judge).

    Where the policy orders, with the best base stocks beside them. One product on a ladder: every step (and base stock) is
    tried. Otherwise the cross-entropy method (Rubinstein 1999, The Cross-Entropy Method for Combinatorial and Continuous
    Optimization) over log prices and base stocks, every candidate on the same customers, with expected money. Categories
    share no customers, so each keeps its own elites.
    """
    ladder, highest = spec.prices.price_ladder, _highest_base_stock(spec)
    if ladder is None or len(spec.products.names) > 1 or (highest > _MOST_TRIED).any():
        price, level = _cross_entropy(spec, highest, seed)
    else:
        steps = ladder.steps[(ladder.steps >= spec.guardrails.low[0]) & (ladder.steps <= spec.guardrails.high[0])]
        levels = np.arange(highest[0] + 1) if highest.size else np.zeros(1)
        tried = np.stack(np.meshgrid(steps, levels, indexing="ij"), axis=-1).reshape(-1, 2)
        value = _value_of(spec, tried[:, :1], tried[:, 1:] if highest.size else None, seed).sum(axis=1)
        price, level = tried[value.argmax(), :1], tried[value.argmax(), 1:]
    order_up_to = level.astype(np.float32) if highest.size else None
    return FixedPrice(price.astype(np.float32), name="best-fixed", order_up_to=order_up_to)


def _highest_base_stock(spec: MarketSpec) -> NDArray[np.float64]:
    """(N,) base stocks that need not be exceeded: the largest orders of a lead time and two periods; (0,) without orders."""
    if spec.stock.replenishment != "action":
        return np.empty(0)
    return np.floor(spec.stock.max_order_units * (spec.stock.lead_time_periods + 2))


def _value_of(
    spec: MarketSpec, price: NDArray[np.float64], level: NDArray[np.float64] | None, seed: int, rounds: int = 1
) -> NDArray[np.float64]:
    """(B, C) mean expected money of an episode by category, for B candidates: prices (B, N) and base stocks (B, N).

    rounds: how often the search asks this.
    """
    markets = int(np.clip(_EFFORT // (rounds * price.size * spec.market.horizon_periods), *_MARKETS))
    batch = len(price) * markets
    numbers = np.tile(np.arange(markets), len(price))
    market = Market(spec, num_markets=batch, seed=seed_for("tuning", seed), numbers=numbers)
    tried = [None if part is None else np.repeat(part, markets, axis=0).astype(np.float32) for part in (price, level)]
    policy = FixedPrice(cast(NDArray[np.float32], tried[0]), order_up_to=tried[1])
    total = np.zeros((batch, len(spec.products.names)))
    for t in range(spec.market.horizon_periods):
        total += spec.market.discount_factor**t * market.money(market.step(policy.act(market.view)), expected=True)
    mean = total.reshape(len(price), markets, -1).mean(axis=1)
    member = np.eye(len(spec.category_names))[spec.category_index]
    return mean @ member


def _cross_entropy(
    spec: MarketSpec, highest: NDArray[np.float64], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Prices (N,) and base stocks, (N,) or (0,)."""
    generator, products = np.random.default_rng(seed_for("tuning", seed)), len(spec.products.names)
    low = np.concatenate([np.log(spec.guardrails.low), np.zeros_like(highest)])
    high = np.concatenate([np.log(spec.guardrails.high), highest])
    category = np.tile(spec.category_index, 1 + (highest.size > 0))
    centre = np.concatenate([np.log(myopic(spec).path.mean(axis=0)), highest / 2])
    centre, spread = np.clip(centre, low, high), (high - low) / 4
    for _ in range(_GENERATIONS):
        candidates = np.clip(centre + spread * generator.standard_normal((_POPULATION, centre.size)), low, high)
        candidates[0] = centre
        level = np.round(candidates[:, products:]) if highest.size else None
        value = _value_of(spec, np.exp(candidates[:, :products]), level, seed, _GENERATIONS)
        elites = np.argsort(-value, axis=0)[:_ELITES]  # (elites, C)
        chosen = np.take_along_axis(candidates, elites[:, category], axis=0)
        # Smoothing keeps the spread from collapsing before the centre has settled.
        centre = 0.3 * centre + 0.7 * chosen.mean(axis=0)
        spread = 0.3 * spread + 0.7 * chosen.std(axis=0)
    return np.exp(centre[:products]), np.round(centre[products:])


def myopic(spec: MarketSpec) -> PricePath:
    """Prices that maximise each period's expected money with ample stock, knowing the true response.

    It sees neither stock nor the future. The reference price follows from the prices alone, so the policy is a path.
    """
    regular = spec.products.regular_price
    grid = _grid(spec)
    path = np.empty((spec.market.horizon_periods, regular.size))
    price, reference = np.clip(regular, grid[0], grid[-1]), regular
    for t in range(len(path)):
        price = path[t] = _maximise(spec, t, price, reference, grid)
        if spec.reference_price is not None:
            reference = spec.reference_price.memory * reference + (1 - spec.reference_price.memory) * price
    return PricePath(path.astype(np.float32), name="myopic")


def _grid(spec: MarketSpec, points: int = 41) -> NDArray[np.float64]:
    """(G, N) prices to try: the ladder, or a geometric grid over the allowed range."""
    low, high = spec.guardrails.low.astype(np.float64), spec.guardrails.high.astype(np.float64)
    if spec.prices.price_ladder is not None:
        return np.clip(spec.prices.price_ladder.steps[:, None], low, high)
    return low * (high / low) ** np.linspace(0, 1, points)[:, None]


def _maximise(
    spec: MarketSpec,
    period: int,
    price: NDArray[np.float64],
    reference: NDArray[np.float64],
    grid: NDArray[np.float64],
    sweeps: int = 4,
) -> NDArray[np.float64]:
    """Coordinate ascent of one period's expected money; a product of each category moves at a time."""
    cost = spec.products.unit_cost if spec.market.objective == "profit" else 0.0
    category = spec.category_index
    rank = np.array([np.sum(category[:n] == category[n]) for n in range(category.size)])
    member = np.eye(len(spec.category_names))[category]
    for _ in range(sweeps):
        before = price
        for turn in range(rank.max() + 1):
            moving = rank == turn
            rows = np.where(moving, grid, price)
            units = expected_units(spec, period, rows, reference=reference).sum(axis=1)
            best = (((rows - cost) * units) @ member).argmax(axis=0)
            price = np.where(moving, grid[best[category], np.arange(price.size)], price)
        if np.array_equal(before, price):
            break
    return price

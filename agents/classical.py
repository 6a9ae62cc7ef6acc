"""Classical policies that are searched or solved on the scenario: best fixed prices, the best path, the myopic path."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..envs import Market, catalogue_of, expected_units, seed_for
from ..pricing import Action, FixedPrice, PricePath, order_up_to
from ..scenarios import MarketSpec
from ..scenarios.sections import Array

# Tuning markets: at least so many, and as many as fill so many lanes, early in a search and late.
_MARKETS, _MOST_MARKETS = 32, 1024
_LANES = (1 << 15, 1 << 17)
_CONFIRM = 512
_POPULATION = 64
_ELITES = 10
_GENERATIONS = (20, 10)
_KNOTS = 5
_LEVELS = 40
# Product-periods that a look at some candidates may simulate.
_EFFORT = 20_000_000


@functools.lru_cache(maxsize=16)
def best_fixed(spec: MarketSpec, *, seed: int = 0) -> FixedPrice:
    """The best prices that never change, tuned on the tuning markets (never the ones that judge).

    One product on a ladder: every step is tried. Otherwise the cross-entropy method over log prices. Where policies order,
    each product's base stock is searched with its price.
    """
    if len(spec.products.names) == 1 and (spec.prices.price_ladder is not None or not _orders(spec)):
        return _best_step(spec, seed)
    low, high = np.log(spec.guardrails.low), np.log(spec.guardrails.high)
    centre, owner = np.clip(np.log(_myopic_prices(spec).mean(axis=(0, 1))), low, high), spec.category_index
    products, most = centre.size, np.log1p(_most_base_stock(spec))
    if _orders(spec):
        low, high = np.append(low, 0 * most), np.append(high, most)
        centre, owner = np.append(centre, most / 2), np.tile(owner, 2)

    def value(rows: Array, markets: int) -> Array:
        base_stock = np.expm1(rows[:, products:]) if _orders(spec) else None
        return _value_of(spec, np.exp(rows[:, None, :products]), base_stock, seed, markets)

    best = _cross_entropy(value, len(spec.products.names), owner, centre, (high - low) / 4, (low, high), seed)
    base_stock = np.round(np.expm1(best[products:])).astype(np.float32) if _orders(spec) else None
    return FixedPrice(np.exp(best[:products]).astype(np.float32), name="best-fixed", base_stock=base_stock)


def _orders(spec: MarketSpec) -> bool:
    """Whether policies order."""
    return spec.stock.replenishment == "action"


def _best_step(spec: MarketSpec, seed: int) -> FixedPrice:
    """The best price of one product: all steps of the ladder are tried, with every base stock where policies order, or a
    grid, and then a finer one around its best."""
    if spec.prices.price_ladder is None:
        low, high = float(spec.guardrails.low[0]), float(spec.guardrails.high[0])
        price = low
        for _ in range(2):
            steps = np.geomspace(low, high, _LEVELS)
            best = int(
                _value_of(spec, steps[:, None, None], None, seed, markets=_affordable(spec, _LEVELS))
                .sum(axis=1)
                .argmax()
            )
            price, low, high = steps[best], steps[max(best - 1, 0)], steps[min(best + 1, steps.size - 1)]
        return FixedPrice(np.array([price], dtype=np.float32), name="best-fixed")
    steps = spec.guardrails.allowed_prices()
    assert steps is not None, "the market has a ladder"
    if not _orders(spec):
        markets = _affordable(spec, steps.size)
        value = _value_of(spec, steps[:, None, None], None, seed, markets).sum(axis=1)
        return FixedPrice(np.array([steps[value.argmax()]], dtype=np.float32), name="best-fixed")
    levels = np.unique(np.round(np.linspace(0, _most_base_stock(spec)[0], _LEVELS)))
    price, level = (pair.reshape(-1, 1) for pair in np.meshgrid(steps, levels, indexing="ij"))
    value = _value_of(spec, price[:, None], level, seed, _affordable(spec, len(price))).sum(axis=1)
    best = value.argmax()
    return FixedPrice(price[best].astype(np.float32), name="best-fixed", base_stock=level[best].astype(np.float32))


def _affordable(spec: MarketSpec, candidates: int) -> int:
    """Markets in which so many candidates are tried: fewer where an episode is long."""
    return int(np.clip(_EFFORT // (candidates * spec.market.horizon_periods), _MARKETS, _MOST_MARKETS))


def time_only(spec: MarketSpec, *, seed: int = 0) -> PricePath:
    """The best prices that follow the calendar alone, by the cross-entropy method over a path of few dimensions.

    For each category: how far prices follow the swings of the myopic path, and a multiplier at each of `_KNOTS` equally
    spaced moments, its logarithm linear in between. The search starts from the best fixed prices, and is tuned on the same
    markets. `evaluation.named_policy` asks first whether the best path can be had exactly.
    """
    fixed = best_fixed(spec, seed=seed)
    swing = np.log(_myopic_prices(spec)).mean(axis=1)
    swing -= swing.mean(axis=0)
    periods, categories = len(swing), spec.category_index
    moments = np.linspace(0, periods - 1, _KNOTS)
    hats = np.stack([np.interp(np.arange(periods), moments, row) for row in np.eye(_KNOTS)])  # (knots, T)
    count = len(spec.category_names)
    centre = np.zeros((1 + _KNOTS, count))
    spread = np.full_like(centre, 0.15)
    spread[0] = 0.5

    def paths(rows: Array) -> Array:
        follow, knots = (
            rows.reshape(-1, 1 + _KNOTS, count)[:, :1, categories],
            rows.reshape(-1, 1 + _KNOTS, count)[:, 1:],
        )
        shape = np.einsum("bkc,kt->btc", knots, hats)[:, :, categories]
        return np.clip(fixed.price * np.exp(follow * swing + shape), spec.guardrails.low, spec.guardrails.high)

    def value(rows: Array, markets: int) -> Array:
        return _value_of(spec, paths(rows), _levels(fixed, rows), seed, markets)

    owner = np.tile(np.arange(count), 1 + _KNOTS)
    best = _cross_entropy(value, len(spec.products.names), owner, centre.ravel(), spread.ravel(), (-2.0, 2.0), seed)
    # Where luck in the search was all that a category gained, it keeps its fixed prices.
    rows = np.stack([np.zeros_like(best), best])
    before, after = _value_of(spec, paths(rows), _levels(fixed, rows), seed, _CONFIRM)
    best = np.where((after > before)[owner], best, 0)
    return PricePath(paths(best[None])[0].astype(np.float32), name="time-only", base_stock=fixed.base_stock)


def _levels(fixed: FixedPrice, rows: Array) -> Array | None:
    """The base stock of the fixed prices for each of B rows, (B, N), or None for no orders."""
    return None if fixed.base_stock is None else np.tile(fixed.base_stock.astype(np.float64), (len(rows), 1))


def _most_base_stock(spec: MarketSpec) -> Array:
    """(N,) more than a base stock needs to be: all that four times the forecast sells until the order after next is in."""
    return 4 * (spec.stock.lead_time_periods + 2) * catalogue_of(spec).forecast_units.max(axis=0).astype(np.float64)


def _value_of(spec: MarketSpec, paths: Array, base_stock: Array | None, seed: int, markets: int) -> Array:
    """(B, C) mean money of an episode by category, for B candidate price paths (B, T, N) or (B, 1, N).

    base_stock: (B, N), or None for no orders. The gap between drawn and expected money has a mean of zero and is a control
    variate (Glasserman 2003, Monte Carlo Methods in Financial Engineering, section 4.1): with ample stock expected money is
    the less noisy of the two, and where little stock sells out in any case, drawn money.
    """
    batch, products = len(paths) * markets, len(spec.products.names)
    numbers = np.tile(np.arange(markets), len(paths))
    market = Market(spec, num_markets=batch, seed=seed_for("tuning", seed), numbers=numbers)
    level = None if base_stock is None else np.repeat(base_stock, markets, axis=0).astype(np.float32)
    drawn, gap = np.zeros((2, batch, products))
    for t in range(spec.market.horizon_periods):
        price = np.repeat(paths[:, min(t, paths.shape[1] - 1)], markets, axis=0).astype(np.float32)
        outcome = market.step(Action(price, order=order_up_to(level, market.view)))
        factor, money = spec.market.discount_factor**t, market.money(outcome)
        drawn += factor * money
        gap += factor * (market.money(outcome, expected=True) - money)
    member = np.eye(len(spec.category_names))[spec.category_index]
    drawn, gap = ((part @ member).reshape(len(paths), markets, -1) for part in (drawn, gap))
    apart = gap - gap.mean(axis=1, keepdims=True)
    slope = (drawn * apart).sum(axis=(0, 1)) / np.maximum((apart**2).sum(axis=(0, 1)), 1e-300)
    return drawn.mean(axis=1) - slope * gap.mean(axis=1)


def _cross_entropy(
    value: Callable[[Array, int], Array],
    products: int,
    owner: NDArray[np.intp],
    centre: Array,
    spread: Array,
    bounds: tuple[ArrayLike, ArrayLike],
    seed: int,
) -> Array:
    """The best row (D,) found by the cross-entropy method, every candidate on the same customers, with expected money.

    Rubinstein (1999), The Cross-Entropy Method for Combinatorial and Continuous Optimization, Methodology and Computing in
    Applied Probability 1(2). value: (B, D) rows and the number of markets to (B, C) money by category. owner: (D,) the
    category of each number; categories share no customers, so each keeps its own elites.
    """
    generator = np.random.default_rng(seed_for("tuning", seed))
    for lanes, generations in zip(_LANES, _GENERATIONS, strict=True):
        markets = max(_MARKETS, lanes // (_POPULATION * products))
        for _ in range(generations):
            candidates = np.clip(centre + spread * generator.standard_normal((_POPULATION, centre.size)), *bounds)
            candidates[0] = centre
            elites = np.argsort(-value(candidates, markets), axis=0)[:_ELITES]  # (elites, C)
            chosen = np.take_along_axis(candidates, elites[:, owner], axis=0)
            # Smoothing keeps the spread from collapsing before the centre has settled.
            centre = 0.3 * centre + 0.7 * chosen.mean(axis=0)
            spread = 0.3 * spread + 0.7 * chosen.std(axis=0)
    return centre


def myopic(spec: MarketSpec) -> PricePath:
    """Prices that maximise each period's expected money with ample stock, knowing the true response.

    It sees neither stock nor the future, but the regime, where policies see it; a hidden one is averaged over. The reference
    price follows from the prices alone (in the first regime), so the policy is a path.
    """
    path = _myopic_prices(spec)
    return PricePath((path if _seen_regimes(spec) > 1 else path[:, 0]).astype(np.float32), name="myopic")


def _seen_regimes(spec: MarketSpec) -> int:
    return len(spec.regimes.names) if spec.regimes is not None and spec.regimes.observed else 1


@functools.lru_cache(maxsize=16)
def _myopic_prices(spec: MarketSpec) -> Array:
    """(T, Z, N) prices, Z the regimes that are seen: on a coarse grid, then on a fine one around what was best there."""
    regular = spec.products.regular_price
    grid, step = _grid(spec)
    path = np.empty((spec.market.horizon_periods, _seen_regimes(spec), regular.size))
    price, reference = np.clip(regular, grid[0], grid[-1]), regular
    for t, chances in enumerate(spec.regime_probabilities()):
        for z in range(path.shape[1]):
            weights = chances if path.shape[1] == 1 else np.eye(len(chances))[z]
            price = _maximise(spec, t, price, reference, grid, weights)
            if step is not None:
                price = _maximise(spec, t, price, reference, np.clip(price * step, grid[0], grid[-1]), weights)
            path[t, z] = price
        price = path[t, 0]
        if spec.reference_price is not None:
            reference = spec.reference_price.memory * reference + (1 - spec.reference_price.memory) * price
    return path


def _grid(spec: MarketSpec, points: int = 41) -> tuple[Array, Array | None]:
    """(G, N) prices to try, the ladder or a geometric grid over the allowed range; and factors (G, N) of a finer grid around
    one of them, None for a ladder."""
    low, high = spec.guardrails.low.astype(np.float64), spec.guardrails.high.astype(np.float64)
    if spec.prices.price_ladder is not None:
        return np.clip(spec.prices.price_ladder.steps[:, None], low, high), None
    rows = np.linspace(0, 1, points)[:, None]
    return low * (high / low) ** rows, (high / low) ** ((2 * rows - 1) / (points - 1))


def _maximise(
    spec: MarketSpec,
    period: int,
    price: Array,
    reference: Array,
    grid: Array,
    chances: Array,
    sweeps: int = 4,
) -> Array:
    """Coordinate ascent of one period's expected money; a product of each category moves at a time.

    chances: (Z,) probabilities of the regimes.
    """
    cost = spec.products.unit_cost if spec.market.objective == "profit" else 0.0
    category = spec.category_index
    rank = np.array([np.sum(category[:n] == category[n]) for n in range(category.size)])
    member = np.eye(len(spec.category_names))[category]
    regimes = [(int(z), chances[z]) for z in np.flatnonzero(chances)]
    for _ in range(sweeps):
        before = price
        for turn in range(rank.max() + 1):
            moving = rank == turn
            rows = np.where(moving, grid, price)
            units = np.sum(
                [w * expected_units(spec, period, rows, reference=reference, regime=z).sum(axis=1) for z, w in regimes],
                axis=0,
            )
            best = (((rows - cost) * units) @ member).argmax(axis=0)
            price = np.where(moving, grid[best[category], np.arange(price.size)], price)
        if np.array_equal(before, price):
            break
    return price

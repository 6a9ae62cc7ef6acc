"""Classical policies: best fixed prices, best price path over time, myopic prices."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..envs import Market, catalogue_of, expected_units, seed_for
from ..pricing import Action, FixedPrice, PricePath, orders_up_to
from ..scenarios import MarketSpec, goal_market
from ..scenarios.planned_deals import Remembered, course_of
from ..scenarios.sections import Array
from .posterior import PosteriorMoney, draws_of
from .posterior.prices import best_fixed_prices, best_prices

# Smallest and largest number of tuning markets, and candidates * markets * products per generation
# in the early and late phase of a search.
_MARKETS = 32
_MOST_MARKETS = 1024
_ROWS = (1 << 15, 1 << 17)
_CONFIRM = 512
_POPULATION = 64
_ELITES = 10
_GENERATIONS = (20, 10)
_KNOTS = 5
_LEVELS = 40
# Prices of a grid, and the share of the markets that each grid is tried in: coarse steps differ by more.
_STEPS = 14
_ROUNDS = (1 / 8, 1 / 4, 1)
_NO_ORDERS = np.empty((0, 1, 1))
# Most passes over the products of a period.
_SWEEPS = 4
# Largest number of product-periods for one evaluation of candidates.
_EFFORT = 20_000_000
# Posterior draws that candidates are tried in.
_DRAWS = 16


@functools.lru_cache(maxsize=16)
def best_fixed(spec: MarketSpec, *, seed: int = 0) -> FixedPrice:
    """The best prices that never change.

    The prices are tuned on the tuning seeds, never on the test seeds. For one product with a price
    ladder, every step is tried. Otherwise the cross-entropy method searches over log prices. If
    policies place orders, the base stock of each product is searched together with its price, and the
    level up to which express orders are placed.

    In a market with a posterior, the prices maximise the mean over its draws: in closed form where
    demand is a logit and stock is ample (see `posterior.prices`), otherwise by the search above,
    over tuning markets of several draws, from those prices on.

    Args:
        spec: The market.
        seed: Seed of the tuning markets and of the search.

    Example:
        >>> from repricer import load_scenario
        >>> best_fixed(load_scenario("stationary-logit")).price.tolist()
        [11.0]
    """
    spec = goal_market(spec.searched)
    start = None
    if spec.posterior is not None and spec.demand.family == "mnl":
        start, enough = best_fixed_prices(spec, seed)
        if enough:
            return FixedPrice(start.astype(np.float32), name="best-fixed")
    ladder = spec.prices.price_ladder is not None
    if len(spec.products.names) == 1 and spec.express is None and (ladder or not _orders(spec)):
        return _best_step(spec, seed)
    if start is None:
        start = _myopic_prices(spec).mean(axis=(0, 1))
    low = np.log(spec.guardrails.low)
    high = np.log(spec.guardrails.high)
    centre = np.clip(np.log(start), low, high)
    owner = spec.category_index
    products = centre.size
    most = np.log1p(_most_stock(spec))
    low = np.append(low, 0 * most)
    high = np.append(high, most)
    centre = np.append(centre, most / 2)
    owner = np.tile(owner, 1 + len(most))

    def stocks(rows: Array) -> Array:
        return np.expm1(rows[:, products:]).reshape(len(rows), -1, products).swapaxes(0, 1)

    def value(rows: Array, markets: int) -> Array:
        return _value_of(spec, np.exp(rows[:, None, :products]), stocks(rows), seed, markets)

    best = _cross_entropy(value, len(spec.products.names), owner, centre, (high - low) / 4, (low, high), seed)
    levels = np.round(stocks(best[None])[:, 0]).astype(np.float32)
    return FixedPrice(np.exp(best[:products]).astype(np.float32), "best-fixed", *levels)


def _orders(spec: MarketSpec) -> bool:
    """Whether policies place orders."""
    return spec.stock.replenishment == "action"


def _best_step(spec: MarketSpec, seed: int) -> FixedPrice:
    """The best price of one product, and its base stock if policies place orders.

    All steps of the ladder are tried; without a ladder, a grid and then finer ones around its best.
    """
    if spec.prices.price_ladder is None:
        low = float(spec.guardrails.low[0])
        high = float(spec.guardrails.high[0])
        price = low
        most = _affordable(spec, _LEVELS)
        for share in _ROUNDS:
            steps = np.geomspace(low, high, _STEPS)
            markets = max(round(share * most), _MARKETS)
            best = int(_value_of(spec, steps[:, None, None], _NO_ORDERS, seed, markets).sum(axis=1).argmax())
            price = steps[best]
            low = steps[max(best - 1, 0)]
            high = steps[min(best + 1, steps.size - 1)]
        return FixedPrice(np.array([price], dtype=np.float32), name="best-fixed")
    steps = spec.guardrails.allowed_prices()
    assert steps is not None, "the market has a ladder"
    if not _orders(spec):
        markets = _affordable(spec, steps.size)
        value = _value_of(spec, steps[:, None, None], _NO_ORDERS, seed, markets).sum(axis=1)
        return FixedPrice(np.array([steps[value.argmax()]], dtype=np.float32), name="best-fixed")
    levels = np.unique(np.round(np.linspace(0, _most_stock(spec)[0, 0], _LEVELS)))
    price, level = (pair.reshape(-1, 1) for pair in np.meshgrid(steps, levels, indexing="ij"))
    value = _value_of(spec, price[:, None], level[None], seed, _affordable(spec, len(price))).sum(axis=1)
    best = value.argmax()
    return FixedPrice(price[best].astype(np.float32), name="best-fixed", base_stock=level[best].astype(np.float32))


def _affordable(spec: MarketSpec, candidates: int) -> int:
    """Number of markets in which so many candidates are tried; fewer for long episodes."""
    return int(np.clip(_EFFORT // (candidates * spec.market.horizon_periods), _MARKETS, _MOST_MARKETS))


def time_only(spec: MarketSpec, *, seed: int = 0) -> PricePath:
    """The best prices that depend on the calendar alone.

    The path has few parameters. For each category: how far prices follow the movements of the
    myopic path, and multipliers at `_KNOTS` equally spaced periods whose logarithm is interpolated
    linearly. The cross-entropy method starts from the best fixed prices, on the same tuning
    markets. `evaluation.named_policy` first checks whether the best path has an exact solution.

    Args:
        spec: The market.
        seed: Seed of the tuning markets and of the search.

    Example:
        >>> from repricer import load_scenario
        >>> spec = load_scenario("stationary-logit")
        >>> time_only(spec).path.shape  # doctest: +SKIP
        (30, 1)
    """
    spec = goal_market(spec.searched)
    fixed = best_fixed(spec, seed=seed)
    swing = np.log(_myopic_prices(spec)).mean(axis=1)
    swing -= swing.mean(axis=0)
    periods = len(swing)
    categories = spec.category_index
    moments = np.linspace(0, periods - 1, _KNOTS)
    hats = np.stack([np.interp(np.arange(periods), moments, row) for row in np.eye(_KNOTS)])  # (knots, T)
    count = len(spec.category_names)
    centre = np.zeros((1 + _KNOTS, count))
    spread = np.full_like(centre, 0.15)
    spread[0] = 0.5

    def paths(rows: Array) -> Array:
        follow = rows.reshape(-1, 1 + _KNOTS, count)[:, :1, categories]
        knots = rows.reshape(-1, 1 + _KNOTS, count)[:, 1:]
        shape = np.einsum("bkc,kt->btc", knots, hats)[:, :, categories]
        return np.clip(fixed.price * np.exp(follow * swing + shape), spec.guardrails.low, spec.guardrails.high)

    def value(rows: Array, markets: int) -> Array:
        return _value_of(spec, paths(rows), _levels(fixed, rows), seed, markets)

    owner = np.tile(np.arange(count), 1 + _KNOTS)
    best = _cross_entropy(value, len(spec.products.names), owner, centre.ravel(), spread.ravel(), (-2.0, 2.0), seed)
    # A category whose gain was only noise in the search keeps its fixed prices.
    rows = np.stack([np.zeros_like(best), best])
    before, after = _value_of(spec, paths(rows), _levels(fixed, rows), seed, _CONFIRM)
    best = np.where((after > before)[owner], best, 0)
    return PricePath(
        paths(best[None])[0].astype(np.float32),
        name="time-only",
        base_stock=fixed.base_stock,
        express_stock=fixed.express_stock,
    )


def _levels(fixed: FixedPrice, rows: Array) -> Array:
    """The stock levels of the fixed prices for each of B candidates, (L, B, N); none without orders."""
    levels = [level for level in (fixed.base_stock, fixed.express_stock) if level is not None]
    return np.stack([np.tile(level.astype(np.float64), (len(rows), 1)) for level in levels]) if levels else _NO_ORDERS


def _most_stock(spec: MarketSpec) -> Array:
    """(L, N) upper bounds of the stock that each supplier fills up: four times the forecast until the
    next order but one; L is 0 where policies do not order.
    """
    leads = [supplier.lead_time_periods for supplier in (spec.stock, spec.express) if supplier and _orders(spec)]
    most = catalogue_of(spec).forecast_units.max(axis=0).astype(np.float64)
    return 4 * (np.reshape(leads, (-1, most.size)) + 2) * most


def _value_of(spec: MarketSpec, paths: Array, levels: Array, seed: int, markets: int) -> Array:
    """(B, C) mean objective of an episode by category, for B candidate price paths.

    With a posterior, the markets are spread over draws.

    The gap between drawn and expected money has mean zero and serves as a control variate
    (Glasserman 2003, Monte Carlo Methods in Financial Engineering, section 4.1). With ample stock
    the expected money is less noisy; with scarce stock, which sells out in any case, the drawn
    money is.

    Args:
        paths: (B, T, N) prices, or (B, 1, N) for fixed ones.
        levels: (L, B, N) stock that orders, and express orders, fill up; L is 0 for no orders.
        seed: Seed of the tuning markets.
        markets: Number of markets for each candidate.
    """
    truths = truths_of(spec)
    shared = np.array_split(np.arange(markets), min(len(truths), markets))
    parts = [
        _money_of(truth, spec, paths, levels, seed, numbers) for truth, numbers in zip(truths, shared, strict=False)
    ]
    drawn, gap = (np.concatenate(each, axis=1) for each in zip(*parts, strict=True))
    member = np.eye(len(spec.category_names))[spec.category_index]
    rows = (part.reshape(-1, len(member)) @ member for part in (drawn, gap))
    drawn, gap = (part.reshape(len(paths), markets, -1) for part in rows)
    apart = gap - gap.mean(axis=1, keepdims=True)
    slope = (drawn * apart).sum(axis=(0, 1)) / np.maximum((apart**2).sum(axis=(0, 1)), 1e-300)
    return drawn.mean(axis=1) - slope * gap.mean(axis=1)


def truths_of(spec: MarketSpec, most: int = _DRAWS) -> list[MarketSpec]:
    """The market, or some of its posterior draws, spread evenly."""
    if spec.posterior is None:
        return [spec]
    return [spec.draw(int(m)) for m in np.unique(np.linspace(0, spec.num_draws - 1, most).astype(np.intp))]


def _money_of(
    truth: MarketSpec, spec: MarketSpec, paths: Array, levels: Array, seed: int, numbers: NDArray[np.intp]
) -> tuple[Array, Array]:
    """(B, markets, N) drawn money of an episode, and the gap to its expectation, in markets of these numbers."""
    markets = len(numbers)
    products = len(spec.products.names)
    batch = len(paths) * markets
    market = Market(
        truth, num_markets=batch, seed=seed_for("tuning", seed), numbers=np.tile(numbers, len(paths)), assumed=spec
    )
    base_stock, express_stock = [*np.repeat(levels, markets, axis=1).astype(np.float32), None, None][:2]
    # Markets last, as they lie in the outcome.
    drawn, expected = np.zeros((2, products, batch))
    for t in range(spec.market.horizon_periods):
        price = np.repeat(paths[:, min(t, paths.shape[1] - 1)], markets, axis=0).astype(np.float32)
        orders = orders_up_to(base_stock, express_stock, market.view) if len(levels) else {}
        outcome = market.step(Action(price, **orders))
        factor = spec.market.discount_factor**t
        drawn += factor * market.money(outcome).T
        expected += factor * market.money(outcome, expected=True).T
    money, gap = (part.T.reshape(len(paths), markets, products) for part in (drawn, expected - drawn))
    return money, gap


def _cross_entropy(
    value: Callable[[Array, int], Array],
    products: int,
    owner: NDArray[np.intp],
    centre: Array,
    spread: Array,
    bounds: tuple[ArrayLike, ArrayLike],
    seed: int,
) -> Array:
    """The best row (D,) of the cross-entropy method, with common random numbers for all candidates.

    Rubinstein (1999), The Cross-Entropy Method for Combinatorial and Continuous Optimization,
    Methodology and Computing in Applied Probability 1(2).

    Args:
        value: Maps candidates (B, D) and a number of markets to money by category, (B, C).
        owner: (D,) category of each parameter. Categories share no customers, so each has its own
            elites.
        centre: (D,) initial mean.
        spread: (D,) initial standard deviation.
        bounds: Lowest and highest values.
    """
    generator = np.random.default_rng(seed_for("tuning", seed))
    for rows, generations in zip(_ROWS, _GENERATIONS, strict=True):
        markets = max(_MARKETS, rows // (_POPULATION * products))
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
    """Prices that maximise each period's expected money under the true response with ample stock.

    The policy ignores stock and future. It depends on the regime if policies observe it, and
    averages over a hidden one. The reference price follows from the prices alone (in the first
    regime), so the policy is a path of prices.

    Args:
        spec: The market.

    Example:
        >>> from repricer import load_scenario
        >>> myopic(load_scenario("stationary-logit")).path[0].tolist()
        [8.0]
    """
    spec = goal_market(spec.searched)
    path = _myopic_prices(spec)
    return PricePath((path if _seen_regimes(spec) > 1 else path[:, 0]).astype(np.float32), name="myopic")


def _seen_regimes(spec: MarketSpec) -> int:
    return len(spec.regimes.names) if spec.regimes is not None and spec.regimes.observed else 1


@functools.lru_cache(maxsize=16)
def _myopic_prices(spec: MarketSpec) -> Array:
    """(T, Z, N) myopic prices, Z observed regimes: from a coarse grid, then from a finer one."""
    regular = spec.products.regular_price
    grid, step = _grid(spec)
    path = np.empty((spec.market.horizon_periods, _seen_regimes(spec), regular.size))
    drawn = draws_of(spec) if spec.posterior is not None and spec.demand.family == "mnl" else None
    price = np.clip(regular, grid[0], grid[-1])
    before = Remembered(spec.initial_reference, np.ones(regular.size))
    for t, chances in enumerate(spec.regime_probabilities()):
        for z in range(path.shape[1]):
            weights = chances if path.shape[1] == 1 else np.eye(len(chances))[z]
            if drawn is not None:
                money = PosteriorMoney(spec, drawn, period=t, before=before, chances=weights)
                path[t, z] = best_prices(spec, money, on_grid=spec.prices.price_ladder is not None)
                continue
            price = _maximise(spec, t, price, before.reference, grid, weights)
            if step is not None:
                finer = np.clip(price * step, grid[0], grid[-1])
                price = _maximise(spec, t, price, before.reference, finer, weights)
            path[t, z] = price
        price = path[t, 0]
        before = course_of(spec, price[None], first=t, before=before).after
    return path


def _grid(spec: MarketSpec, points: int = 41) -> tuple[Array, Array | None]:
    """Prices to try, (G, N), and the factors (G, N) of a finer grid around one of them.

    The prices are those of the ladder, which has no finer grid (None), or a geometric grid.
    """
    low = spec.guardrails.low.astype(np.float64)
    high = spec.guardrails.high.astype(np.float64)
    if spec.prices.price_ladder is not None:
        return np.clip(spec.prices.price_ladder.steps[:, None], low, high), None
    rows = np.linspace(0, 1, points)[:, None]
    return low * (high / low) ** rows, (high / low) ** ((2 * rows - 1) / (points - 1))


def _maximise(spec: MarketSpec, period: int, price: Array, reference: Array, grid: Array, chances: Array) -> Array:
    """Coordinate ascent of a period's expected money; one product of each category moves at a time.

    Args:
        price: (N,) initial prices.
        reference: (N,) reference prices.
        grid: (G, N) prices to try.
        chances: (Z,) probabilities of the regimes.
    """
    counts = float(spec.market.objective == "profit")
    category = spec.category_index
    truths = truths_of(spec)
    rank = np.array([np.sum(category[:n] == category[n]) for n in range(category.size)])
    member = np.eye(len(spec.category_names))[category]
    regimes = [(int(z), chances[z]) for z in np.flatnonzero(chances)]

    returned, handling = (0.0, 0.0) if spec.returns is None else (spec.returns.probability, spec.returns.handling_cost)
    given: dict[str, NDArray] = {"reference": reference}
    if spec.recommendation is not None:
        given["shown"] = np.tile(spec.shown_by_recommender, (len(grid), 1))

    def money(truth: MarketSpec, rows: Array) -> Array:
        units = [w * expected_units(truth, period, rows, regime=z, **given).sum(axis=1) for z, w in regimes]
        margin = truth.products.net(rows) - counts * truth.products.unit_cost
        kept = (1 - returned) * margin - counts * returned * handling
        return kept * np.sum(units, axis=0)

    for _ in range(_SWEEPS):
        before = price
        for turn in range(rank.max() + 1):
            moving = rank == turn
            rows = np.where(moving, grid, price)
            best = (np.sum([money(truth, rows) for truth in truths], axis=0) @ member).argmax(axis=0)
            price = np.where(moving, grid[best[category], np.arange(price.size)], price)
        if np.array_equal(before, price):
            break
    return price

"""The best path of prices by period: the most that can be earned without looking at what happens.

A path has a price of its own for each product and period. It is searched on the tuning customers, the same ones for all
paths that are compared, from several starts, by moves of a product's prices around one to all of the periods: first all
periods together, last each alone. In a round every move is tried down and up, the others left out; each then goes to the
top of the parabola through its three values, all together by as much of that as earns most.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..envs import Market, seed_for
from ..envs.seeds import DrawSchedule
from ..pricing import Action, PricePath
from ..scenarios import MarketSpec

Array = NDArray[np.float64]
STEPS = (0.15, 0.05)
"""Relative steps, largest first."""
DRAWS = 100
"""Posterior draws that a path is tried in, as many as `rollout` takes at most."""
_ROUNDS = 2
_CLIMBS = 2
_SHARES = (1.0, 0.5, 0.25, 0.1)
# Product-periods of paths times customers that are simulated at once.
_AT_ONCE = 4_000_000


def mean_money(spec: MarketSpec, paths: Array, *, seed: int, episodes: int) -> Array:
    """(B,) mean objective of an episode of each path, expected given the prices, for the same customers.

    Args:
        spec: The market; with simulated posterior draws, the episodes are spread over them.
        paths: (B, T, N) currency per unit.
        seed: Seed of the customers.
        episodes: Number of episodes of each path, a multiple of the number of draws.

    Example:
        >>> from repricer import load_scenario
        >>> paths = np.full((2, 30, 1), [[[9.0]], [[11.0]]])
        >>> low, high = mean_money(load_scenario("stationary-logit"), paths, seed=1, episodes=8)
        >>> bool(low < high)
        True
    """
    return money_by_draw(spec, paths, seed=seed, episodes=episodes).mean(axis=1)


def money_by_draw(spec: MarketSpec, paths: Array, *, seed: int, episodes: int) -> Array:
    """(B, M) the same for each of the M posterior draws that are simulated; M is 1 without."""
    most = max(1, _AT_ONCE // (episodes * paths[0].size))
    parts = [paths[first : first + most] for first in range(0, len(paths), most)]
    return np.concatenate([_money_by_draw(spec, part, seed, episodes) for part in parts])


def _money_by_draw(spec: MarketSpec, paths: Array, seed: int, episodes: int) -> Array:
    markets = _markets(spec, len(paths), seed, episodes)
    total = np.zeros((len(paths), len(markets)))
    for draw, market in enumerate(markets):
        market.reset()
        for period in range(spec.market.horizon_periods):
            price = np.repeat(paths[:, period], market.num_markets // len(paths), axis=0).astype(np.float32)
            money = market.money(market.step(Action(price)), expected=True).sum(axis=1, dtype=np.float64)
            total[:, draw] += spec.market.discount_factor**period * money.reshape(len(paths), -1).mean(axis=1)
    return total


@functools.lru_cache(maxsize=16)
def _markets(spec: MarketSpec, paths: int, seed: int, episodes: int) -> list[Market]:
    """A batch of markets for each posterior draw, with the same customers for each path; to make one takes longer than to
    run it.
    """
    simulated = spec.posterior is not None and spec.posterior.simulated
    batches = min(spec.num_draws, episodes, DRAWS) if simulated else 1
    schedules = [DrawSchedule(batch, batches) if simulated else None for batch in range(batches)]
    shared = [np.tile(numbers, paths) for numbers in np.array_split(np.arange(episodes), batches)]
    return [
        Market(spec, num_markets=numbers.size, seed=seed, numbers=numbers, draws=draws)
        for numbers, draws in zip(shared, schedules, strict=True)
    ]


def best_path(spec: MarketSpec, starts: Iterable[Array], *, seed: int = 0, episodes: int = 1_000) -> PricePath:
    """The path that earns most on customers of the choice, of the starts and of what was found from the best two of them.

    Args:
        spec: The market.
        starts: Paths, (T, N) each, currency per unit.
        seed: Seed of the tuning customers; those of the choice are others.
        episodes: Episodes of each path in the search; there are four times as many in the choice.
    """
    given = np.stack([np.clip(start, spec.guardrails.low, spec.guardrails.high) for start in starts])
    search, choice = (seed_for("tuning", 2 * seed + turn) for turn in (1, 2))
    first = given[np.argsort(-mean_money(spec, given, seed=search, episodes=episodes))[:_CLIMBS]]
    paths = np.stack([*given, *(path for start in first for path in _ascended(spec, start, search, episodes))])
    found = mean_money(spec, paths, seed=choice, episodes=4 * episodes)
    return PricePath(paths[found.argmax()].astype(np.float32), name="best-path")


def _ascended(spec: MarketSpec, path: Array, seed: int, episodes: int) -> Iterator[Array]:
    """The paths after coarse moves, and after finer and finer ones, which may fit the customers of the search only."""
    best = mean_money(spec, path[None], seed=seed, episodes=episodes)[0]
    for knots in _knots(len(path)):
        shapes = _shapes(knots, path.shape)
        for step in STEPS:
            for _ in range(_ROUNDS):
                move = _parabolic_move(spec, path, step * shapes, best, seed, episodes)
                tried = _moved(spec, path, [share * move for share in _SHARES])
                earned = mean_money(spec, tried, seed=seed, episodes=episodes)
                if earned.max() <= best:
                    break
                path = tried[earned.argmax()]
                best = earned.max()
        yield path


def _knots(periods: int) -> list[int]:
    """One, two, three, five, nine, ... and one for each period."""
    return sorted({1, periods, *(2**power + 1 for power in range(periods.bit_length()) if 2**power + 1 < periods)})


def _shapes(knots: int, shape: tuple[int, ...]) -> Array:
    """(D, T, N) moves of one product around one knot, linear to the next ones."""
    periods, products = shape
    places = np.linspace(0, periods - 1, knots) if knots > 1 else np.array([0.0])
    hats = np.stack([np.interp(np.arange(periods), places, row) for row in np.eye(knots)])
    return np.einsum("kt,nm->kntm", hats, np.eye(products)).reshape(-1, periods, products)


def _parabolic_move(spec: MarketSpec, path: Array, moves: Array, best: float, seed: int, episodes: int) -> Array:
    """(T, N) the sum of the moves, each to the top of the parabola through its three values, once its size at most."""
    tried = _moved(spec, path, [*-moves, *moves])
    below, above = mean_money(spec, tried, seed=seed, episodes=episodes).reshape(2, -1) - best
    slope = (above - below) / 2
    bend = -(above + below)
    top = np.clip(slope / np.where(bend > 0, bend, 1), -1, 1)
    return np.einsum("k,ktn->tn", np.where(bend > 0, top, np.sign(slope)), moves)


def _moved(spec: MarketSpec, path: Array, moves: Sequence[Array]) -> Array:
    """(B, T, N) the path after each of the moves of its logarithm, within the price bounds."""
    return np.clip(path * np.exp(np.stack(moves)), spec.guardrails.low, spec.guardrails.high)

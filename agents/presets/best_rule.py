"""The rule for a market with rivals that earns most, as a base price to learn around: found by search, as best fixed prices are."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...envs import Market, seed_for
from ...pricing import Action, MarketView
from ...pricing.rival_policies import bounded
from ...scenarios import MarketSpec

BEST_RULE = "best-rule"
_FIXED = "best-fixed"
# Markets of each candidate, periods that they are tried in, bounds of a grid, and how often it is refined.
_RULE_MARKETS = 8
_PERIODS = 400
_RULE_GRID = 9
_REFINEMENTS = 3
# Steps down from the shop's own last price, in steps of the price ladder.
_DOWN = (1, 2, 3, 4, 6, 8)
Rows = NDArray[np.float32]


@dataclass(frozen=True)
class _Rules:
    """A two-bound rule or a cycle in each market; a low bound of infinity is a fixed price, bounds from 0 to infinity
    undercut.
    """

    low: Rows
    high: Rows
    step: Rows
    own: Rows
    name: str = "rules"

    def act(self, view: MarketView) -> Action:
        assert view.competitor_price is not None, "called for a market with a rival"
        last = np.where(self.own > 0, view.list_price, view.competitor_price)
        high = np.where(np.isfinite(self.high), self.high, 0)
        price = np.where(np.isinf(self.high), last - self.step, bounded(last, self.low, high, self.step))
        return Action(price.astype(np.float32))


@functools.lru_cache(maxsize=16)
def best_rule(spec: MarketSpec, seed: int = 0) -> str:
    """The name of the base price that earns most in a market of one product with a rival: `best-fixed`, or a rule.

    Candidates are fixed prices, `match`, `undercut:STEP`, and `two-bound:LOW:HIGH:STEP` and `cycle:LOW:HIGH:STEP`, whose
    bounds are searched on a grid and then around its best, on the tuning seeds. What undercuts a rival that answers
    within the period is its price; one that answers a period late answers the shop's own last price.

    Args:
        spec: The market.
        seed: Seed of the tuning markets.

    Example:
        >>> from repricer import load_scenario
        >>> best_rule(load_scenario("undercutter")).split(":")[0]
        'two-bound'
    """
    assert spec.competitors is not None, "called for a market with a rival"
    floor = float(spec.guardrails.low[0])
    ceiling = float(spec.guardrails.high[0])
    steps = spec.guardrails.allowed_prices()
    step = float(np.diff(steps).min()) if steps is not None and steps.size > 1 else (ceiling - floor) / 100
    bounds = np.linspace(floor, ceiling, _RULE_GRID)
    down = () if spec.competitors.answers_within_period else _DOWN
    rows = np.array(
        [(np.inf, price, 0, 0) for price in (bounds if steps is None else steps)]
        + [(0, np.inf, step, 0), (0, np.inf, 0, 0)]
        + _two_bounds(bounds, bounds, step, 0)
        + [row for times in down for row in _two_bounds(bounds, bounds, times * step, 1)]
    )
    best = rows[_earned(spec, rows, seed).argmax()]
    width = (ceiling - floor) / (_RULE_GRID - 1)
    for _ in range(_REFINEMENTS):
        if not np.isfinite(best[:2]).all():
            break
        around = np.linspace(-width, width, 5)
        width /= 2.5
        low, high = (np.clip(_to_steps(edge + around, steps), floor, ceiling) for edge in best[:2])
        least, most = (best[2] - step, best[2] + step) if best[3] else best[[2, 2]]
        tried = [_two_bounds(low, high, size, best[3]) for size in np.unique([max(least, step), best[2], most])]
        rows = np.array([tuple(best), *(row for each in tried for row in each)])
        best = rows[_earned(spec, rows, seed).argmax()]
    low, high, down_by, own = best
    if np.isinf(low):
        return _FIXED
    if np.isinf(high):
        return f"undercut:{step:.6g}" if down_by else "match"
    return f"{'cycle' if own else 'two-bound'}:{low:.6g}:{high:.6g}:{down_by:.6g}"


def _to_steps(prices: NDArray, steps: NDArray | None) -> NDArray:
    return prices if steps is None else steps[np.abs(prices[:, None] - steps).argmin(axis=1)]


def _two_bounds(low: NDArray, high: NDArray, step: float, own: float) -> list[tuple[float, float, float, float]]:
    return [(a, b, step, own) for a in np.unique(low) for b in np.unique(high) if a < b]


def _earned(spec: MarketSpec, rows: NDArray, seed: int) -> NDArray:
    """(B,) mean expected money of B rows of low bound, high bound, step and whether it is from the own last price."""
    low, high, step, own = (np.repeat(column, _RULE_MARKETS)[:, None].astype(np.float32) for column in rows.T)
    # All candidates meet the same customers.
    numbers = np.tile(np.arange(_RULE_MARKETS), len(rows))
    market = Market(spec, num_markets=numbers.size, numbers=numbers, seed=seed_for("tuning", seed))
    policy = _Rules(low, high, step, own)
    total = np.zeros(numbers.size)
    for period in range(min(spec.market.horizon_periods, _PERIODS)):
        money = market.money(market.step(policy.act(market.view)), expected=True).sum(axis=1)
        total += spec.market.discount_factor**period * money
    return total.reshape(len(rows), _RULE_MARKETS).mean(axis=1)

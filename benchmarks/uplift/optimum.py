"""The best prices of one category when the customers are known: constant ones, and paths with deals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize

from .parameters import Array

_STEPS = 41
_SWEEPS = 12
_STARTS = (1 / 3, 2 / 3, 1.0)
_DEALS, _DEEPEST = np.linspace(0, 1.6, 9), 0.3
"""Factors on a product's deals; those of a week go up to 1.6 times 30%."""


def best_prices(earned: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """(n,) prices with the highest objective between two bounds.

    Coordinate ascent on a grid from three starts, which steps over local optima and jumps; the best
    is then polished by a quasi-Newton method and kept only where that earns more.

    Args:
        earned: The objective of each of B price vectors (B, n).
        low: (n,) lower bounds, currency per unit.
        high: (n,) upper bounds, currency per unit.

    Example:
        >>> best_prices(lambda prices: -((prices - 2.0) ** 2).sum(axis=1), np.ones(2), np.full(2, 3.0))
        array([2., 2.])
    """
    grid = low + np.linspace(0, 1, _STEPS)[:, None] * (high - low)
    found = [_ascend(earned, grid, low + share * (high - low)) for share in _STARTS]
    best = max(found, key=lambda prices: earned(prices[None])[0])
    polished = _polished(earned, best, low, high)
    best = polished if earned(polished[None])[0] > earned(best[None])[0] else best
    return np.clip(best, low, high)


def best_path(
    earned: Callable[[Array], Array], level: Array, depth: Array, low: Array, high: Array, *, calendar: bool = True
) -> Array:
    """(T, n) prices by week with the highest objective between two bounds: constant regular prices, and deals.

    Coordinate ascent over all regular prices together, each of them, the depth of all deals of a product, and that of
    each week, from the current and from the highest regular prices.

    Args:
        earned: The objective of each of B paths (B, T, n).
        level: (n,) current regular prices.
        depth: (T, n) current reductions, as shares of them.
        low: (n,) lower bounds, currency per unit.
        high: (n,) upper bounds.
        calendar: Whether deals are dropped, added, and made deeper or less deep, too.

    Example:
        >>> target = np.array([[2.0], [1.6], [2.0]])
        >>> earned = lambda paths: -((paths - target) ** 2).sum(axis=(1, 2))
        >>> best_path(earned, np.ones(1), np.zeros((3, 1)), np.full(1, 0.5), np.full(1, 2.5)).round(1).ravel().tolist()
        [2.0, 1.6, 2.0]
    """
    found = [_ascend_path(earned, start, depth, low, high, calendar=calendar) for start in (level, high)]
    return max(found, key=lambda path: earned(path[None])[0])


def _ascend_path(
    earned: Callable[[Array], Array], level: Array, depth: Array, low: Array, high: Array, *, calendar: bool
) -> Array:
    weeks, grid = np.arange(len(depth)), np.linspace(0, 1, _STEPS)[:, None]
    best = float(earned(np.clip(level * (1 - depth), low, high)[None])[0])

    def chosen(levels: Array, depths: Array) -> Array:
        """Take the best of some candidates if it earns more; what each earns."""
        nonlocal level, depth, best
        values = earned(np.clip(levels[:, None] * (1 - depths), low, high))
        top = int(np.argmax(values))
        if values[top] > best:
            level, depth, best = levels[top], depths[top], float(values[top])
        return values

    for sweep in range(_SWEEPS):
        before, span = best, (high - low) / 2**sweep
        # After the first sweep, around what is the best so far.
        steps = low + grid * span if sweep == 0 else np.clip(level + (grid - 0.5) * span, low, high)
        chosen(np.clip(level * (0.9 + 0.2 * grid), low, high), np.repeat(depth[None], _STEPS, axis=0))
        for product in range(level.size):
            levels = np.repeat(level[None], _STEPS, axis=0)
            levels[:, product] = steps[:, product]
            chosen(levels, np.repeat(depth[None], _STEPS, axis=0))
            if calendar:
                deepest = 1 - low[product] / level[product]
                deals = np.repeat(depth[None], len(_DEALS), axis=0)
                deals[..., product] = np.minimum(deals[..., product] * _DEALS[:, None], deepest)
                chosen(np.repeat(level[None], len(_DEALS), axis=0), deals)
                single = np.repeat(np.repeat(depth[None], len(_DEALS), axis=0)[None], weeks.size, axis=0)
                single[weeks, :, weeks, product] = np.minimum(_DEALS * _DEEPEST, deepest)
                batch = single.reshape(-1, *depth.shape)
                values = chosen(np.repeat(level[None], len(batch), axis=0), batch).reshape(weeks.size, -1)
                # What is best for each week alone is mostly the best for all.
                joint = depth.copy()
                joint[:, product] = single[weeks, values.argmax(axis=1), weeks, product]
                chosen(level[None], joint[None])
        if sweep and best <= before + 1e-6 * abs(best):
            break
    return np.clip(level * (1 - depth), low, high)


def _ascend(earned: Callable[[Array], Array], grid: Array, prices: Array) -> Array:
    prices = prices.copy()
    for _ in range(_SWEEPS):
        before = prices.copy()
        for product in range(prices.size):
            batch = np.repeat(prices[None], len(grid), axis=0)
            batch[:, product] = grid[:, product]
            prices[product] = grid[int(np.argmax(earned(batch))), product]
        if np.array_equal(before, prices):
            break
    return prices


def _polished(earned: Callable[[Array], Array], start: Array, low: Array, high: Array) -> Array:
    span = np.maximum(high - low, 1e-12)
    scale = max(abs(float(earned(start[None])[0])), 1e-12)

    def value(position: Array) -> tuple[float, Array]:
        step = 1e-5
        steps = np.where(position > 0.5, -step, step)
        batch = np.concatenate([position[None], position + np.diag(steps)])
        values = earned(low + batch * span) / scale
        return -float(values[0]), -(values[1:] - values[0]) / steps

    bounds = [(0.0, 1.0)] * start.size
    found = minimize(value, (start - low) / span, jac=True, method="L-BFGS-B", bounds=bounds)
    return low + np.clip(found.x, 0, 1) * span

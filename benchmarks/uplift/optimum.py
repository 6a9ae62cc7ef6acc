"""The best prices of one category when the customers are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize

from .parameters import Array

_STEPS = 41
_SWEEPS = 12
_STARTS = (1 / 3, 2 / 3, 1.0)


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

"""What a synthetic shop really earns at given prices, and the prices that earn the most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import ndtri

from .choice import Choice, StockingUp
from .history import ENDOGENOUS, SHOCK, History
from .parameters import Array, Parameters, generator

AHEAD = 26
"""Weeks that are known after the tables end."""
_SHOCKS = 128
_HORIZON = 12
_STEPS = 41
_SWEEPS = 12
_SHARES = 11
"""Shares that are tried for a step of some prices."""
_STARTS = (1 / 3, 2 / 3, 1.0)
_DEALS = np.linspace(0, 1.6, 9)
"""Factors on a product's deals."""
_DEEPEST = 0.3
"""What the factors multiply for the depth of a single week."""


@dataclass(frozen=True)
class Truth:
    """A shop whose customers are known.

    Attributes:
        family: What it differs in from a shop of the fitted model.
        seed: Selects the shop.
        weeks: T, weeks of history that the tables hold.
        model: How its customers choose.
        parameters: Shares and elasticities at regular prices.
        choices: The customers of each category.
        traffic: (T + 26, C) expected customers relative to the parameters'.
        shocks: (T + 26, C) factors on the number of customers, with mean 1.
        history: The shop's own prices, costs and displays.
        lift: (N,) utility that a display adds.
        stocking_up: What customers put by; None for nothing.
    """

    family: str
    seed: int
    weeks: int
    model: str
    parameters: Parameters
    choices: tuple[Choice, ...]
    traffic: Array
    shocks: Array
    history: History
    lift: Array
    stocking_up: StockingUp | None = None

    @property
    def regular(self) -> Array:
        """(N,) regular price after the last week of the tables, the mean over the stores."""
        last = self.history.listed[self.weeks - 1] * np.exp(-self.history.following[self.weeks - 1])
        return self.history.level @ last

    @property
    def unit_cost(self) -> Array:
        """(N,) unit cost in the last week of the tables; it stays."""
        return self.history.unit_cost[self.weeks - 1]

    def own_prices(self, first: int | None = None, horizon: int = _HORIZON) -> Array:
        """(horizon, N) prices that the shop would charge by its own rule, the mean over the stores."""
        first = self.weeks if first is None else first
        return np.einsum("s,tsn->tn", self.history.level, self.history.prices[first : first + horizon])

    def units(self, prices: Array, first: int | None = None, horizon: int = _HORIZON) -> Array:
        """(…, T, N) expected units, with the displays that the tables hold, demand
        shocks averaged over.

        Args:
            prices: (N,) or (…, T, N) prices of the shop; each store charges its multiple of them.
            first: Number of the first week since the start of the tables; by default the week
                after their end.
            horizon: T, if prices has one axis.
        """
        path = by_week(prices, horizon)
        first = self.weeks if first is None else first
        whole = np.empty_like(path)
        for number in range(self.parameters.outside.size):
            own = self.parameters.category == number
            whole[..., own] = self.category_units(number, path[..., own], first)
        return whole

    def category_units(self, number: int, path: Array, first: int) -> Array:
        """(…, T, n) expected units of a category's products."""
        wanted = self._wanted(number, path, first)
        if self.stocking_up is None:
            return wanted
        own = self.parameters.category == number
        past = self.own_prices(0, first)[:, own]
        _, stored = self.stocking_up.units(self._wanted(number, past, 0), 1 - past / self.regular[own])
        return self.stocking_up.units(wanted, 1 - path / self.regular[own], stored)[0]

    def _wanted(self, number: int, path: Array, first: int) -> Array:
        """The same if no customer had any at home."""
        weeks = np.arange(first, first + path.shape[-2])
        total = np.zeros_like(path)
        for level, factor in zip(self.history.level, self.history.store_price, strict=True):
            before = self._before(number, first)
            if self.family in ENDOGENOUS:
                own = self.parameters.category == number
                chosen = self._averaged(number, path * factor, int(own.sum()))
            else:
                added = self._displays(number, weeks)
                chosen = self.choices[number].by_segment(path * factor, weeks, added, before).sum(axis=-2)
            total += level * chosen
        return self.parameters.arrivals[number] * self.traffic[weeks, number][:, None] * total

    def realised(
        self, prices: Array, *, first: int | None = None, horizon: int = _HORIZON, objective: str = "profit"
    ) -> float:
        """Expected profit or revenue of a price path over its weeks.

        Args:
            prices: (T, N) prices by week, or (N,) for the same prices in all weeks.
            first: Number of the first week since the start of the tables.
            horizon: T, if prices has one axis.
            objective: "profit" or "revenue".
        """
        path = by_week(prices, horizon)
        first = self.weeks if first is None else first
        return float((self.margin(path, first, objective) * self.units(path, first)).sum())

    def margin(self, path: Array, first: int, objective: str) -> Array:
        """(…, T, N) profit or revenue per unit at prices of the weeks from the first on."""
        return path - self.unit_cost if objective == "profit" else path

    def optimum(
        self, low: Array, high: Array, *, first: int | None = None, horizon: int = _HORIZON, objective: str = "profit"
    ) -> Array:
        """(N,) constant prices with the highest expected profit or revenue between two bounds."""
        first = self.weeks if first is None else first
        # Where a week differs from the next in its number of customers only, one week is enough.
        moves = self.family in ("drifting", "promoted") or self.model == "rival" or self.stocking_up is not None
        best = np.empty(low.size)
        cost = self.unit_cost if objective == "profit" else np.zeros(low.size)
        for number in range(len(self.choices)):
            own = self.parameters.category == number

            def earned(batch: Array, number: int = number, cost: Array = cost[own]) -> Array:
                path = np.repeat(batch[:, None], horizon if moves else 1, axis=1)
                return ((path - cost) * self.category_units(number, path, first)).sum(axis=(-2, -1))

            best[own] = best_prices(earned, low[own], high[own])
        return best

    def _displays(self, number: int, weeks: NDArray[np.intp]) -> Array:
        """(T, n) utility that displays add to a category; after the tables end none are planned."""
        own = self.parameters.category == number
        shown = self.history.display[weeks][:, own] & (weeks < self.weeks)[:, None]
        return shown * self.lift[own]

    def _before(self, number: int, first: int) -> float:
        """Mean relative price of a category in the week before."""
        own = self.parameters.category == number
        week = max(first - 1, 0)
        return float((self.history.prices[week][:, own] / self.history.listed[week][:, own]).mean())

    def _averaged(self, number: int, path: Array, products: int) -> Array:
        """Choice probabilities, averaged over the demand shocks of a week."""
        shocks = self._standard_shocks[:, :products] * SHOCK
        batch = np.repeat(path[..., None, :], len(shocks), axis=-2)
        # The draws of the shock take the place of the weeks: they differ in nothing else here.
        chosen = self.choices[number].by_segment(batch, np.full(len(shocks), 52.0), shocks, 1.0).sum(axis=-2)
        return chosen.mean(axis=-2)

    @cached_property
    def _standard_shocks(self) -> NDArray[np.float64]:
        """(draws, n) standard normal draws: a Latin hypercube, mirrored."""
        random = generator(9, self.seed, self.regular.size)
        half = _SHOCKS // 2
        strata = np.stack([random.permutation(half) for _ in range(self.regular.size)], axis=1)
        draws = ndtri((strata + random.random(strata.shape)) / half)
        return np.concatenate([draws, -draws])


def by_week(prices: Array, horizon: int) -> Array:
    """(…, T, N) prices, the same in all weeks where they are (N,)."""
    path = np.asarray(prices, dtype=np.float64)
    return np.repeat(path[None], horizon, axis=0) if path.ndim == 1 else path


# The best prices of one category when the customers are known: constant ones, and paths with deals.


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
    weeks = np.arange(len(depth))
    grid = np.linspace(0, 1, _STEPS)[:, None]
    best = float(earned(np.clip(level * (1 - depth), low, high)[None])[0])

    def chosen(levels: Array, depths: Array) -> Array:
        """Take the best of some candidates if it earns more; what each earns."""
        nonlocal level, depth, best
        paths = levels[:, None] * (1 - depths)
        values = earned(np.clip(paths, low, high))
        top = int(np.argmax(values))
        if values[top] > best:
            level = np.broadcast_to(levels, (len(paths), level.size))[top]
            depth = np.broadcast_to(depths, paths.shape)[top]
            best = float(values[top])
        return values

    for sweep in range(_SWEEPS):
        before = best
        span = (high - low) / 2**sweep
        # After the first sweep, around what is the best so far.
        steps = low + grid * span if sweep == 0 else np.clip(level + (grid - 0.5) * span, low, high)
        chosen(np.clip(level * (0.9 + 0.2 * grid), low, high), depth[None])
        for product in range(level.size):
            levels = np.repeat(level[None], _STEPS, axis=0)
            levels[:, product] = steps[:, product]
            chosen(levels, depth[None])
            if calendar:
                deepest = 1 - low[product] / level[product]
                deals = np.repeat(depth[None], len(_DEALS), axis=0)
                deals[..., product] = np.minimum(deals[..., product] * _DEALS[:, None], deepest)
                chosen(level[None], deals)
                single = np.tile(depth, (weeks.size, len(_DEALS), 1, 1))
                single[weeks, :, weeks, product] = np.minimum(_DEALS * _DEEPEST, deepest)
                values = chosen(level[None], single.reshape(-1, *depth.shape)).reshape(weeks.size, -1)
                # What is best for each week alone is mostly the best for all.
                joint = depth.copy()
                joint[:, product] = single[weeks, values.argmax(axis=1), weeks, product]
                chosen(level[None], joint[None])
        if sweep and best <= before + 1e-6 * abs(best):
            break
    return np.clip(level * (1 - depth), low, high)


def best_steps(
    earned: Callable[[Array], Array], planned: Array, parts: Sequence[NDArray[np.bool_]], step: float
) -> Array:
    """(T, n) prices with the highest objective whose parts each leave the planned prices by one share, at most a step.

    Coordinate ascent over the parts, in their order, from the planned prices.

    Args:
        earned: The objective of each of B paths (B, T, n).
        planned: (T, n) planned prices.
        parts: Which of the prices (T, n) move together.
        step: Largest share.

    Example:
        >>> target = np.array([[2.0], [1.6], [2.0]])
        >>> earned = lambda paths: -((paths - target) ** 2).sum(axis=(1, 2))
        >>> best_steps(earned, np.full((3, 1), 1.95), [np.full((3, 1), True)], 0.05).round(3).ravel().tolist()
        [1.872, 1.872, 1.872]
    """
    shares = np.linspace(-step, step, _SHARES)[:, None, None]
    path = planned
    best = -np.inf
    for _ in range(_SWEEPS):
        before = best
        for part in parts:
            tried = np.where(part, planned * (1 + shares), path)
            money = earned(tried)
            if money.max() > best:
                path = tried[money.argmax()]
                best = float(money.max())
        if best <= before + 1e-6 * abs(best):
            break
    return path


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

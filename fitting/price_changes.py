"""Price changes of the held-out weeks: the change in units that was predicted, against the
one that came.

Weeks without a sale count through a negative binomial likelihood; a logarithm would lose them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import solve

from ..data.weeks import WEEK, periods_in_a_week
from .demand import CONTROL, FittedDemand, SalesGrids
from .demand.candidate_models import suspect_effects
from .demand.category_rows import unexplained_prices
from .demand.counts import counts
from .demand.residuals import NORMAL90

Array = NDArray[np.float64]
# A price that moves by more than this fraction against the week before counts.
MOVED = 0.1
# So does a regular price that moves by more than this; fewer such moves calibrate nothing.
REGULAR_MOVED = 0.02
ENOUGH_MOVES = 20
# Prior standard deviations of a product's level, of a week's, and of a weekday's in its category, in logs; and of the
# slope.
_LEVEL_PRIOR = 3.0
_WEEK = 0.2
_WEEKDAY = 1.0
_SLOPE = 10.0
_NEWTON_STEPS = 50
_LEAST_PRODUCTS = 2
_MOST_SHOWN = 400


def price_changes(grids: SalesGrids, demand: FittedDemand, weeks: int, seed: int = 0) -> dict[str, Any]:
    """How well the demand model predicts the answer to price changes that it has not seen.

    The realised change is the predicted one times a slope b, estimated by maximum likelihood in
    `units ~ NegativeBinomial(exp(level of the product + week + b log lift))` over the weeks of the
    price changes and the weeks before them; by day, over all days of products whose price changes, with an effect of
    each weekday by category. A slope of 1 is a perfect prediction on average, below
    1 the model exaggerates. Standard errors are clustered by product.

    Args:
        grids: Weekly sales of the shop as a whole, held-out weeks last.
        demand: The demand model, fitted without the held-out weeks.
        weeks: Number of held-out weeks.

    Returns:
        `pooled`, `deals`, `regular_moves` (changes of the regular price by over 2%; fewer than 20 calibrate nothing)
        and `categories` with slope, its interval, R2 and coverage; `changes`, one row per price change, at most 400,
        evenly spaced.

    Example:
        >>> found = price_changes(grids, demand, weeks=12)  # doctest: +SKIP
        >>> found["pooled"]["slope"]  # doctest: +SKIP
        1.02
    """
    changes = _Changes(grids, demand, weeks, seed)
    moved = changes.moved
    categories = enumerate(demand.names)
    return {
        "moved_by": MOVED,
        "pooled": changes.figures(moved),
        "deals": changes.figures(moved & ~changes.regular),
        "regular_moves": changes.figures(changes.regular) | {"moved_by": REGULAR_MOVED, "enough": ENOUGH_MOVES},
        "categories": [changes.figures(moved & (demand.category == c)) | {"category": name} for c, name in categories],
        "changes": changes.rows(),
    }


class _Changes:
    """The price changes of the held-out weeks, with what was predicted."""

    def __init__(self, grids: SalesGrids, demand: FittedDemand, weeks: int, seed: int) -> None:
        last = slice(-weeks - 1, None)
        self.demand = demand
        self.units = grids.units[:, last].sum(axis=0)
        price = grids.price[0, last]
        known = np.isfinite(price) & ~grids.sold_out[:, last].any(axis=0)
        shown = {kind: share[0, last] for kind, share in grids.promotions.items()}
        charged = np.where(known, price, demand.regular_price)
        # Where prices follow demand, the shop's own come with more than the answer to the price.
        found = suspect_effects(grids)
        nothing = np.zeros((1, grids.price.shape[1], price.shape[1]))
        beside = np.array([found.get(name, nothing)[0, last] for name in demand.suspects])
        met = grids.met(demand.regular_price)[0]
        before = None if demand.remembered is None else demand.remembered.price(met)[last]
        control = unexplained_prices(grids, demand.category)[0, last] if CONTROL in demand.effects else None
        own = {"control": control, "suspects": beside if len(beside) else None}
        self.log_lift = np.log(demand.lift(charged, shown, reference=before, **own, draws=True))
        self.predicted = self.log_lift.mean(axis=0)
        self.realised = np.diff(np.log(self.units + 0.5), axis=0)
        with np.errstate(invalid="ignore"):
            self.step = np.log(price[1:] / price[:-1])
            listed = np.log(grids.regular[0, last])
            regular_step = np.abs(np.nan_to_num(np.diff(listed, axis=0))) > np.log1p(REGULAR_MOVED)
        self.moved = known[1:] & known[:-1] & (np.abs(np.nan_to_num(self.step)) > np.log1p(MOVED))
        self.regular = known[1:] & known[:-1] & regular_step
        self.known = known
        self.daily = periods_in_a_week(grids.weeks) > 1
        # (N,) where each product lies among the categories' products in turn.
        places = np.argsort(np.concatenate([demand.members(c) for c in range(len(demand.names))]))
        self.alpha = np.concatenate([found.alpha for found in demand.posteriors])[places]
        self.weeks = grids.weeks[last]
        self.weekday = _weekdays(self.weeks, demand.category)
        self.level = np.zeros(price.shape)
        self.inside = self._inside(seed)

    def figures(self, moved: NDArray[np.bool_]) -> dict[str, Any]:
        """Slope, R2 and coverage of some changes, (T - 1, N)."""
        empty = {"changes": int(moved.sum()), "products": int(moved.any(axis=0).sum())}
        if empty["products"] < _LEAST_PRODUCTS:
            return empty | dict.fromkeys(("slope", "slope_se", "slope_interval90", "r2", "coverage90"))
        fitted = _Regression(self.units, self.predicted, self.alpha, self._used(moved), self.weekday)
        theta = fitted.solve(free=True)
        null = fitted.solve(free=False)
        full = fitted.deviance(theta)
        least = fitted.deviance(null)
        slope = float(theta[0])
        error = fitted.error(theta)
        return empty | {
            "slope": slope,
            "slope_se": error,
            "slope_interval90": [slope - NORMAL90 * error, slope + NORMAL90 * error],
            # The share of the deviance that the predictions explain.
            "r2": float(1 - full / least) if least > 0 else 0.0,
            "coverage90": float(self.inside[moved].mean()),
        }

    def _used(self, moved: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(T, N) the weeks of some changes and the weeks before them."""
        used = np.zeros(self.known.shape, dtype=bool)
        used[1:] |= moved
        used[:-1] |= moved
        # By day, changes that always fall on the same weekdays are separated from these by the other days alone.
        return used | (self.known & moved.any(axis=0)) if self.daily else used

    def rows(self) -> list[dict[str, Any]]:
        """One row per change: the log change in units predicted and realised, half a unit added to each; by day, the
        realised one without what the weekdays change.
        """
        realised = self.realised - np.diff(self.level, axis=0)
        t, n = np.nonzero(self.moved)
        some = np.unique(np.linspace(0, max(len(t) - 1, 0), min(len(t), _MOST_SHOWN)).round().astype(int))
        return [
            {
                "product": self.demand.products[n[i]],
                "category": self.demand.names[self.demand.category[n[i]]],
                "week": f"{self.weeks[t[i] + 1]:%Y-%m-%d}",
                "price_change": float(np.expm1(self.step[t[i], n[i]])),
                "predicted": float(self.predicted[t[i] + 1, n[i]] - self.predicted[t[i], n[i]]),
                "realised": float(realised[t[i], n[i]]),
                "units": [float(self.units[t[i], n[i]]), float(self.units[t[i] + 1, n[i]])],
            }
            for i in some
        ]

    def _inside(self, seed: int) -> NDArray[np.bool_]:
        """(T, N) whether the realised change lies in the 90% interval of the predicted one, noise
        of counts included.
        """
        generator = np.random.default_rng(seed)
        used = self._used(self.moved | self.regular)
        if used.any():
            fitted = _Regression(self.units, self.predicted, self.alpha, used, self.weekday)
            self.level = fitted.level(fitted.solve(free=True))
        mean = np.exp(np.clip(self.level + self.log_lift, -20, 20))
        size = 1 / self.alpha
        drawn = generator.poisson(mean * generator.gamma(np.broadcast_to(size, mean.shape)) / size)
        change = np.diff(np.log(drawn + 0.5), axis=1)
        low, high = np.quantile(change, [0.05, 0.95], axis=0)
        return (self.realised >= low - 1e-9) & (self.realised <= high + 1e-9)


class _Regression:
    """Negative binomial regression of units on the predicted log lift, a level per product, one per week and one per
    weekday of a category, numbered from 1.
    """

    def __init__(
        self, units: Array, predicted: Array, alpha: Array, used: NDArray[np.bool_], weekday: NDArray[np.intp]
    ) -> None:
        t, n = np.nonzero(used)
        self.products, product = np.unique(n, return_inverse=True)
        self.product = product
        self.weekday = weekday
        self.y = units[t, n]
        self.alpha = alpha[n]
        self.weekdays = np.setdiff1d(weekday[t, n], 0)
        columns = np.zeros((len(t), 1 + len(self.products) + len(units)))
        columns[:, 0] = predicted[t, n]
        columns[np.arange(len(t)), 1 + product] = 1.0
        columns[np.arange(len(t)), 1 + len(self.products) + t] = 1.0
        self.x = np.hstack([columns, weekday[t, n][:, None] == self.weekdays])
        start = np.log(np.maximum(np.bincount(product, self.y) / np.bincount(product), 0.1))
        self.centre = np.concatenate([[0.0], start, np.zeros(len(units) + len(self.weekdays))])
        sizes = (1, len(start), len(units), len(self.weekdays))
        self.precision = np.repeat([_SLOPE, _LEVEL_PRIOR, _WEEK, _WEEKDAY], sizes) ** -2.0

    def solve(self, *, free: bool) -> Array:
        """The most likely coefficients, slope first; 0 unless it is free."""
        theta = self.centre.copy()
        theta[0] = 1.0 if free else 0.0
        kept = slice(0 if free else 1, None)
        for _ in range(_NEWTON_STEPS):
            gradient, information = self._curvature(theta)
            move = solve(information[kept, kept], gradient.sum(axis=0)[kept], assume_a="pos")
            theta[kept] += move * min(1.0, 1.0 / max(np.abs(move).max(), 1e-12))
            if np.abs(move).max() < 1e-8:
                break
        return theta

    def error(self, theta: Array) -> float:
        """Standard error of the slope: the larger of the model's and the one clustered by product."""
        scores, information = self._curvature(theta)
        inverse = np.linalg.inv(information)
        clusters = np.zeros((len(self.products), scores.shape[1]))
        np.add.at(clusters, self.product, scores[: len(self.y)])
        count = len(self.products)
        robust = (clusters @ inverse[:, 0]) ** 2
        return float(np.sqrt(max(inverse[0, 0], robust.sum() * count / max(count - 1, 1))))

    def deviance(self, theta: Array) -> float:
        """Deviance of the counts."""
        fitted = counts(self.y, self._mean(theta), self.alpha).log_likelihood.sum()
        perfect = counts(self.y, np.maximum(self.y, 1e-9), self.alpha).log_likelihood.sum()
        return float(2 * (perfect - fitted))

    def level(self, theta: Array) -> Array:
        """(T, N) log level of each product, on its weekday; 0 where none was fitted."""
        level = np.zeros(self.weekday.shape[1])
        weekday = np.zeros(self.weekday.max() + 1)
        level[self.products] = theta[1 : 1 + len(self.products)]
        weekday[self.weekdays] = theta[len(theta) - len(self.weekdays) :]
        return level + weekday[self.weekday]

    def _mean(self, theta: Array) -> Array:
        return np.exp(np.clip(self.x @ theta, -20, 20))

    def _curvature(self, theta: Array) -> tuple[Array, Array]:
        """Scores of the rows, with that of the priors as the last row, and the information."""
        _, score, weight = counts(self.y, self._mean(theta), self.alpha)
        prior = -(theta - self.centre) * self.precision
        return np.vstack([self.x * score[:, None], prior]), (self.x.T * weight) @ self.x + np.diag(self.precision)


def _weekdays(days: pd.DatetimeIndex, category: NDArray[np.intp]) -> NDArray[np.intp]:
    """(T, N) a number for each weekday of a category; 0 on Mondays, from which the others differ, and for weeks."""
    weekday = days.day_of_week.to_numpy()[:, None] * (periods_in_a_week(days) > 1)
    return np.where(weekday > 0, weekday + WEEK.days * category, 0)

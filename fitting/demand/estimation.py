"""Penalised likelihood of a category, and its posterior by Laplace's method.

Fisher scoring on the negative binomial likelihood with normal priors (McCullagh and Nelder 1989,
section 2.5; Tierney and Kadane 1986). Market-wide shocks of the weeks are latent and first-order
autoregressive; their size and persistence are integrated over a grid, as in Rue, Martino and Chopin
(2009), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from .category_model import CategoryData, CategoryModel, Layout
from .counts import Dispersion, counts
from .priors import Priors

Array = NDArray[np.float64]
# Shocks of the weeks: standard deviation in logs, and persistence.
_SHOCKS = ((0.0, 0.0), (0.03, 0.5), (0.06, 0.5), (0.1, 0.5), (0.16, 0.5), (0.25, 0.5), (0.4, 0.5))
_PERSISTENCE = (0.0, 0.8, 0.95)
_SHOCK_PRIOR = 0.15
_MOST_STEPS = 60
_CLOSE = 1e-5
# Log evidence below the best at which a size of the shocks has no share in the posterior.
_HOPELESS = 5.0


@dataclass(frozen=True)
class CategoryPosterior:
    """What a category's sales say about its parameters.

    Attributes:
        model: The model, with the layout of the parameters.
        mode: (P,) the most likely parameters at the most likely shocks.
        draws: (M, P) posterior draws.
        alpha: (J,) variance of the gamma multiplier of each product.
        shock: (W,) log shocks of the weeks at the mode.
        shock_spread: Posterior mean of their standard deviation.
        log_evidence: Log marginal likelihood, up to a constant.
        converged: Whether the scoring steps settled.
        likely_shocks: Sizes and persistences of the shocks that have a share in the posterior.

    Example:
        >>> posterior.draws[:, posterior.model.layout.outside].std()  # doctest: +SKIP
        0.62
    """

    model: CategoryModel
    mode: Array
    draws: Array
    alpha: Array
    shock: Array
    shock_spread: float
    log_evidence: float
    converged: bool
    likely_shocks: tuple[tuple[float, float], ...] = ()

    @property
    def elasticities(self) -> Array:
        """(M, J) absolute own-price elasticity at the regular price."""
        at = self.model.layout
        return np.exp(self.draws[:, at.category] + self.draws[:, at.product])

    @property
    def steepness(self) -> Array:
        """(M,) price sensitivity at the regular price, relative to it, weighted by the products' units."""
        weight = np.exp(self.model.data.log_units)
        found = self.model.at_regular(torch.as_tensor(self.draws)).steepness.numpy()
        return found @ weight / weight.sum()


class _Point(NamedTuple):
    """A fit at one size and persistence of the shocks."""

    theta: Array
    shock: Array
    alpha: Array
    log_evidence: float
    factor: tuple
    spread: float
    persistence: float
    converged: bool


def estimate(
    data: CategoryData, priors: Priors, *, draws: int = 200, seed: int = 0, shocks: tuple[tuple[float, float], ...] = ()
) -> CategoryPosterior:
    """Fit a category.

    Args:
        data: The category's sales.
        priors: The priors.
        draws: M, number of posterior draws.
        seed: Seed of the draws.
        shocks: Sizes and persistences of the shocks to try; those of a grid by default.

    Returns:
        The posterior.

    Example:
        >>> units = np.random.default_rng(0).poisson(9.0, (1, 40, 2)).astype(float)
        >>> posterior = estimate(CategoryData(units, np.ones(units.shape)), Priors(), draws=10)
        >>> posterior.draws.shape
        (10, 6)
    """
    scoring = _Scoring(CategoryModel(data, priors))
    points: list[_Point] = []
    theta, shock, alpha = scoring.start()
    for spread, persistence in shocks or _SHOCKS:
        point = scoring.solve(theta, shock, alpha, spread, persistence)
        theta = point.theta
        shock = point.shock
        alpha = point.alpha
        points.append(point)
        if not shocks and len(points) > 2 and point.log_evidence < max(p.log_evidence for p in points) - _HOPELESS:
            break
    best = max(points, key=lambda p: p.log_evidence)
    if best.spread > 0 and not shocks:
        start = best.theta, best.shock, best.alpha, best.spread
        points += [scoring.solve(*start, persistence) for persistence in _PERSISTENCE]
    return _mixture(scoring, points, draws, seed)


class _Scoring:
    """Fisher scoring for one category."""

    def __init__(self, model: CategoryModel) -> None:
        self.model = model
        self.data = model.data
        self.rows = np.flatnonzero(self.data.on_sale.ravel())
        groups, weeks, products = self.data.sizes
        where = np.unravel_index(self.rows, (groups, weeks, products))
        # A day shares the shock of its week with the others.
        self.week = where[1] // self.data.per_week
        self.product = where[2]
        self.weeks = -(-weeks // self.data.per_week)
        self.units, self.censored = self.data.units.ravel()[self.rows], self.data.censored.ravel()[self.rows]
        self.any_censored = bool(self.censored.any())
        self.precision = model.layout.spread**-2.0
        self.missing: torch.Tensor | None = None
        self.dispersion = Dispersion(self.data.units, self.data.on_sale & ~self.data.censored)
        self._last: tuple[Array, torch.Tensor | None, Array] | None = None

    def _log_mean(self, theta: torch.Tensor, missing: torch.Tensor | None) -> torch.Tensor:
        return self.model.log_mean(theta, missing).reshape(-1)[torch.as_tensor(self.rows)]

    def start(self) -> tuple[Array, Array, Array]:
        """Parameters, shocks and dispersion to start from."""
        return self.model.layout.mean.copy(), np.zeros(self.weeks), np.full(self.data.sizes[2], 0.1)

    def log_mean(self, theta: Array) -> Array:
        """(n,) log means of the rows, without shocks; those of the last parameters are kept."""
        if self._last is None or self._last[0] is not theta or self._last[1] is not self.missing:
            self._last = theta, self.missing, self._log_mean(torch.as_tensor(theta), self.missing).numpy()
        return self._last[2]

    def objective(self, theta: Array, shock: Array, alpha: Array, prior: Array | None) -> float:
        """Log posterior density, up to a constant."""
        mean = np.exp(np.clip(self.log_mean(theta) + shock[self.week], -30, 30))
        value = counts(self.units, mean, alpha[self.product], self.censored).log_likelihood.sum()
        value -= 0.5 * ((theta - self.model.layout.mean) ** 2 * self.precision).sum()
        return float(value if prior is None else value - 0.5 * shock @ prior @ shock)

    def solve(self, theta: Array, shock: Array, alpha: Array, spread: float, persistence: float) -> _Point:
        """The mode, the curvature and the evidence at one size and persistence of the shocks."""
        prior = None if spread == 0 else _precision(self.weeks, spread, persistence)
        if prior is None:
            shock = np.zeros(self.weeks)
        value = -np.inf
        damping = 0.0
        converged = False
        for step in range(_MOST_STEPS):
            self._cut(theta, shock)
            if step % 3 == 0 or converged:
                alpha = self._dispersion(theta, shock)
            value = self.objective(theta, shock, alpha, prior)
            gradient, information = self._curvature(theta, shock, alpha, prior)
            for _ in range(12):
                damped = information + damping * np.diag(np.diag(information))
                move = cho_solve(cho_factor(damped), gradient)
                size = np.abs(move).max()
                move *= min(1.0, 2.0 / max(size, 1e-12))
                new = theta + move[: theta.size], shock + (0 if prior is None else move[theta.size :])
                after = self.objective(*new, alpha, prior)
                if after >= value - 1e-9:
                    break
                damping = max(4 * damping, 1e-3)
            else:
                break
            theta, shock = new
            damping = damping / 4 if damping > 1e-4 else 0.0
            converged = after - value < _CLOSE * max(1.0, np.sqrt(theta.size))
            if converged:
                break
        alpha = self._dispersion(theta, shock)
        _, information = self._curvature(theta, shock, alpha, prior)
        factor = cho_factor(information, lower=True)
        evidence = self.objective(theta, shock, alpha, prior) - np.log(np.diag(factor[0])).sum()
        # Else a wide prior of a coefficient of which the sales tell nothing would count for its model.
        evidence -= np.log(self.model.layout.spread).sum()
        evidence -= 0.5 * (np.log(alpha / 0.1) ** 2 / 1.5**2).sum()
        if prior is not None:
            evidence -= self.weeks * np.log(spread) + 0.5 * (self.weeks - 1) * np.log(1 - persistence**2)
        evidence -= 0.5 * (spread / _SHOCK_PRIOR) ** 2
        return _Point(theta, shock, alpha, float(evidence), factor, spread, persistence, converged)

    def _dispersion(self, theta: Array, shock: Array) -> Array:
        mean = np.zeros(self.data.units.size)
        mean[self.rows] = np.exp(np.clip(self.log_mean(theta) + shock[self.week], -30, 30))
        return self.dispersion.fitted(np.maximum(mean, 1e-9))

    def _cut(self, theta: Array, shock: Array) -> None:
        """Share of the week in which a sold-out product was missing."""
        if not self.any_censored:
            return
        mean = np.exp(np.clip(self._log_mean(torch.as_tensor(theta), None).numpy() + shock[self.week], -30, 30))
        missing = np.zeros(self.data.units.size)
        lasted = np.clip(self.units / np.maximum(mean, 1e-9), 1e-3, 1.0)
        missing[self.rows] = np.where(self.censored, 1 - lasted, 0.0)
        self.missing = torch.as_tensor(missing.reshape(self.data.units.shape))

    def _curvature(self, theta: Array, shock: Array, alpha: Array, prior: Array | None) -> tuple[Array, Array]:
        """Gradient and information of the log posterior in parameters and shocks."""
        every = self.model.jacobian(torch.as_tensor(theta), self.missing)
        jacobian = every.flatten(0, 2)[torch.as_tensor(self.rows)].numpy()
        mean = np.exp(np.clip(self.log_mean(theta) + shock[self.week], -30, 30))
        _, score, weight = counts(self.units, mean, alpha[self.product], self.censored)
        gradient = jacobian.T @ score - (theta - self.model.layout.mean) * self.precision
        information = (jacobian.T * weight) @ jacobian + np.diag(self.precision)
        if prior is None:
            return gradient, information
        by_week = np.bincount(self.week, score, self.weeks) - prior @ shock
        cross = np.zeros((self.weeks, theta.size))
        np.add.at(cross, self.week, jacobian * weight[:, None])
        own = np.diag(np.bincount(self.week, weight, self.weeks)) + prior
        return np.concatenate([gradient, by_week]), np.block([[information, cross.T], [cross, own]])


def _precision(weeks: int, spread: float, persistence: float) -> Array:
    """(W, W) inverse covariance of a stationary first-order autoregression."""
    inside = np.full(weeks, 1 + persistence**2)
    inside[[0, -1]] = 1.0
    matrix = np.diag(inside) - persistence * (np.eye(weeks, k=1) + np.eye(weeks, k=-1))
    return matrix / (spread**2 * (1 - persistence**2))


def _drawn(point: _Point, given: Array, layout: Layout, generator: np.random.Generator) -> Array:
    """(m, P) draws of the parameters from a normal posterior of parameters and shocks.

    Args:
        point: Its mode and the Cholesky factor of its information matrix H.
        given: (m, G) draws of the parameters that other sales tell of, `layout.given`: the others are drawn conditional
            on them. (m, 0) where there are none.
        layout: Where the parameters lie.
        generator: Of the draws.
    """
    factor = np.tril(point.factor[0])
    size = layout.size
    if not layout.given.size:
        # With H = L L', L'^-1 z has covariance H^-1.
        noise = generator.standard_normal((len(factor), len(given)))
        return point.theta + solve_triangular(factor, noise, lower=True, trans="T")[:size].T
    # Given g, the free f are normal with mean mode_f - H_ff^-1 H_fg (g - mode_g) and covariance H_ff^-1.
    information = factor @ factor.T
    free = np.setdiff1d(np.arange(len(information)), layout.given)
    free_factor = np.linalg.cholesky(information[np.ix_(free, free)])
    shift = information[np.ix_(free, layout.given)] @ (given - point.theta[layout.given]).T
    noise = generator.standard_normal((len(free), len(given)))
    drawn = np.empty((len(given), len(information)))
    drawn[:, layout.given] = given
    # The mode is added below to the parameters only: the shocks, which come last, are not returned.
    drawn[:, free] = (
        solve_triangular(free_factor, noise, lower=True, trans="T") - cho_solve((free_factor, True), shift)
    ).T
    drawn[:, np.setdiff1d(np.arange(size), layout.given)] += np.delete(point.theta, layout.given)
    return drawn[:, :size]


def _mixture(scoring: _Scoring, points: list[_Point], draws: int, seed: int) -> CategoryPosterior:
    """The posterior as a mixture of the fits at each size of the shocks, weighted by their model evidence."""
    evidence = np.array([point.log_evidence for point in points])
    weight = np.exp(evidence - evidence.max())
    weight /= weight.sum()
    generator = np.random.default_rng(seed)
    # Which fit each draw is from; the rows of one fit lie together, and are mixed in the end.
    fit_of_draw = np.sort(generator.choice(len(points), size=draws, p=weight))
    given = np.hstack(list(scoring.data.given.values()) or [np.empty((draws, 0))])
    rows = [
        _drawn(point, given[fit_of_draw == i], scoring.model.layout, generator)
        for i, point in enumerate(points)
        if (fit_of_draw == i).any()
    ]
    best = points[int(evidence.argmax())]
    return CategoryPosterior(
        model=scoring.model,
        mode=best.theta,
        draws=generator.permutation(np.concatenate(rows)),
        alpha=best.alpha,
        shock=np.repeat(best.shock, scoring.data.per_week)[: scoring.data.sizes[1]],
        shock_spread=float(weight @ [p.spread for p in points]),
        log_evidence=float(evidence.max()),
        converged=best.converged,
        likely_shocks=tuple((p.spread, p.persistence) for p in points if p.log_evidence > evidence.max() - _HOPELESS),
    )

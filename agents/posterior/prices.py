"""Prices that maximise the mean money over the posterior draws of a market."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from ...envs import rollout, seed_for
from ...pricing import FixedPrice
from ...pricing.price_rules.price_links import PriceLinks
from ...scenarios import MarketSpec
from ...scenarios.sections import Array
from .money import PosteriorMoney, draws_of

_STARTS, _POINTS, _SWEEPS, _COARSE = 15, 21, 2, 48
_WIDTHS = (0.3, 0.1, 0.03, 0.01, 0.003)
# More products than this are not searched with the line order as a constraint of the gradient
# search.
_MOST_IN_LINE = 200
_MOST_ROUNDS = 50
# Numbers of one evaluation over all draws from which on kinks are searched over a part of the
# draws.
_LARGE = 500_000
# Draws, and episodes of each, in which stock is checked; the share of demand that ample stock may
# lose.
_CHECKED, _EPISODES, _MOST_LOST = 8, 32, 0.05


def has_closed_form(spec: MarketSpec) -> bool:
    """Whether `PosteriorMoney` is the expected money of fixed prices, as long as stock is ample."""
    stock, rivals = spec.stock, spec.competitors
    stocked = np.isinf(stock.initial_units).all()
    if stock.replenishment == "order-up-to":
        stocked = stock.shortage == "lost" and stock.cost_due == "sold" and not stock.spoilage.any()
    still = rivals is None or (set(rivals.rule) == {"fixed"} and not rivals.answers_within_period)
    return bool(spec.demand.family == "mnl" and stocked and still and not (spec.loyalty or spec.strategic))


def best_fixed_prices(spec: MarketSpec, seed: int) -> tuple[Array, bool]:
    """(N,) fixed prices that maximise the mean money over the draws with ample stock, and whether
    it is ample.

    Args:
        spec: A logit market with a posterior.
        seed: Seed of the tuning markets, in which stock is checked.
    """
    price = best_prices(spec, PosteriorMoney(spec, draws_of(spec)))
    if not has_closed_form(spec):
        return price, False
    if np.isinf(spec.stock.initial_units).all():
        return price, True
    lost = units = 0.0
    policy = FixedPrice(price.astype(np.float32))
    for m in np.unique(np.linspace(0, spec.num_draws - 1, _CHECKED).astype(np.intp)):
        run = rollout(spec.draw(int(m)), policy, episodes=_EPISODES, seed=seed_for("tuning", seed), believed=spec)
        lost, units = lost + run.lost.sum(), units + run.units.sum()
    return price, bool(lost <= _MOST_LOST * (lost + units))


def best_prices(spec: MarketSpec, money: PosteriorMoney, *, on_grid: bool = True) -> Array:
    """(N,) prices within the price rules that maximise the mean money.

    Three steps: coordinate ascent over coarse grids from the best common factor of all prices (a
    global search by product), a quasi-Newton search over the continuous prices, and coordinate
    ascent over the allowed prices of the grid.

    Args:
        on_grid: Whether the prices lie on the price grid, and keep frozen prices and
            the line order.
    """
    low, high = (bound.astype(np.float64) for bound in (spec.guardrails.low, spec.guardrails.high))
    if on_grid and spec.guardrails.frozen is not None:
        low, high = (np.where(spec.guardrails.frozen, spec.initial_price, bound) for bound in (low, high))
    links = spec.guardrails.links if on_grid else PriceLinks.of((), ())
    search = _Search(spec, money, low, high, links)
    coarse = _Search(spec, money.thinned(_COARSE), low, high, links)
    fine = search if spec.num_draws * spec.sizes["T"] * spec.sizes["K"] * spec.sizes["N"] <= _LARGE else coarse
    price = coarse.common_start()
    rows = low * (high / low) ** np.linspace(0, 1, _POINTS)[:, None]
    for _ in range(_SWEEPS):
        price = coarse.sweep(price, list(rows.T))
    price = search.polished(price if fine is search else coarse.polished(price))
    if not money.smooth:
        # Gradient steps end early at a kink.
        for width in _WIDTHS:
            price = fine.sweep(price, list((price * np.exp(np.linspace(-width, width, _POINTS))[:, None]).T))
        price = search.polished(price)
    if on_grid and spec.guardrails.grid.kind:
        price = search.on_grid(price)
    return price


class _Search:
    """The steps of the search, within bounds, line order and price gaps."""

    def __init__(self, spec: MarketSpec, money: PosteriorMoney, low: Array, high: Array, links: PriceLinks) -> None:
        self.spec, self.money, self.low, self.high, self.links = spec, money, low, high, links

    def common_start(self) -> Array:
        """The best common factor of a category's regular prices."""
        regular, category = self.spec.products.regular_price, self.spec.category_index
        factors = np.geomspace(min((self.low / regular).min(), 1), max((self.high / regular).max(), 1), _STARTS)
        rows = [self._ordered(np.clip(factor * regular, self.low, self.high)) for factor in (1.0, *factors)]
        values = np.stack([self.money.value(row) for row in rows])
        return self._ordered(np.stack(rows)[values.argmax(axis=0)[category], np.arange(regular.size)])

    def _ordered(self, price: Array) -> Array:
        """Prices that keep lines and gaps."""
        return self.links.ordered(price, self.high, self.spec.guardrails.grid)

    def sweep(self, price: Array, grids: list[Array]) -> Array:
        """One pass of coordinate ascent; each product takes the best price of its grid, or keeps its own."""
        price = price.copy()
        for n, grid in enumerate(grids):
            least = max([self.low[n], *(price[a] / share for a, b, share in self.links if b == n)])
            most = min([self.high[n], *(price[b] * share for a, b, share in self.links if a == n)])
            inside = grid[(grid >= least) & (grid <= most)]
            tried = np.append(price[n], inside)
            values = self.money.along(n, tried, price)
            price[n] = tried[values.argmax()]
        return price

    def polished(self, price: Array) -> Array:
        """The local maximum near these prices, by quasi-Newton steps in log prices."""
        free = self.high > self.low
        if not free.any() or (len(self.links) and price.size > _MOST_IN_LINE):
            return price
        money = np.abs(self.money.by_product(price))
        scale = 1 / max(float(money.sum()), 1e-300)
        # Curvature goes with a product's money: its share makes the steps of all products alike.
        unit = 1 / np.sqrt(np.clip(money * scale * price.size, 1e-3, None))

        def loss(steps: Array) -> tuple[float, Array]:
            prices = np.exp(steps * unit)
            value, gradient = self.money.value_and_gradient(prices)
            return -scale * float(value.sum()), -scale * gradient * prices * unit

        bounds = list(zip(np.log(self.low) / unit, np.log(self.high) / unit, strict=True))
        rules = {"method": "L-BFGS-B", "options": {"maxiter": 300, "ftol": 1e-10, "gtol": 1e-7}}
        if len(self.links):
            step = np.zeros((len(self.links), price.size))
            for i, (small, large, _) in enumerate(self.links):
                step[i, small], step[i, large] = -unit[small], unit[large]
            room = np.log(self.links.share)
            order = {"type": "ineq", "fun": lambda steps: step @ steps + room, "jac": lambda _: step}
            rules = {"method": "SLSQP", "constraints": [order], "options": {"maxiter": 300, "ftol": 1e-12}}
        found = minimize(loss, np.log(price) / unit, jac=True, bounds=bounds, **rules)
        # SciPy steps out of bounds by rounding.
        better = self._ordered(np.clip(np.exp(found.x * unit), self.low, self.high))
        return better if self.money.value(better).sum() >= self.money.value(price).sum() else price

    def on_grid(self, price: Array) -> Array:
        """Coordinate ascent over allowed prices, from the nearest ones."""
        rules = self.spec.guardrails
        price = self._ordered(np.where(self.high > self.low, rules.nearest(price), price))
        for _ in range(_MOST_ROUNDS):
            grids = [self._neighbours(n, price[n]) for n in range(price.size)]
            moved = self._jumped(self.sweep(price, grids))
            if np.array_equal(moved, price):
                break
            price = moved
        return price

    def _neighbours(self, n: int, price: float) -> Array:
        """The allowed prices nearest to a price; all of them where there are few."""
        if self.high[n] <= self.low[n]:
            return np.empty(0)
        allowed = self.spec.guardrails.allowed_prices(n)
        assert allowed is not None, "the market has a price grid"
        allowed = np.clip(allowed, self.low[n], self.high[n])
        if allowed.size <= 2 * _POINTS:
            return allowed
        place = int(np.searchsorted(allowed, price))
        return allowed[max(place - 3, 0) : place + 4]

    def _jumped(self, price: Array) -> Array:
        """Prices after joint moves of a whole category by one step of the grid, where that earns more."""
        category = self.spec.category_index
        for side in (-1, 1):
            moved = price.copy()
            for n in range(price.size):
                allowed = self._neighbours(n, price[n])
                if allowed.size:
                    place = int(np.abs(allowed - price[n]).argmin()) + side
                    moved[n] = allowed[np.clip(place, 0, allowed.size - 1)]
            moved = self._ordered(moved)
            ahead = self.money.value(moved) > self.money.value(price) + 1e-12
            taken = np.where(ahead[category], moved, price)
            if not self.links.broken(taken).any():
                price = taken
        return price

"""Prices chosen over the posterior draws of a market: by the mean money, or by its conditional value at risk."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit

from ...envs import rollout, seed_for
from ...pricing import FixedPrice, Policy, PricePath
from ...pricing.price_rules.guardrails import SAME
from ...pricing.price_rules.rule_formulas import PriceLinks
from ...scenarios import MarketSpec
from ...scenarios.periods import simulated_prices
from ...scenarios.sections import Array
from .money import PosteriorMoney, draws_of

# Widths of the smoothing, in standard deviations of the gain over the draws.
_CAUTIOUS_WIDTHS = (0.3, 0.1, 0.03, 0.01)
_STARTS = 15
_POINTS = 21
_SWEEPS = 2
_COARSE = 48
_WIDTHS = (0.3, 0.1, 0.03, 0.01, 0.003)
# More products than this are not searched with the line order as a constraint of the gradient
# search.
_MOST_IN_LINE = 200
_MOST_ROUNDS = 50
# Relative gain of a quasi-Newton step below which the search ends: a thousandth of a cent in a thousand dollars.
_CLOSE = 1e-8
# Numbers of one evaluation over all draws from which on kinks are searched over a part of the
# draws.
_LARGE = 500_000
# Draws, and episodes of each, in which stock is checked; the share of demand that ample stock may
# lose.
_CHECKED = 8
_EPISODES = 32
_MOST_LOST = 0.05


# Risk over posterior draws: conditional value at risk, and training episodes that lean towards bad draws.
#
# The CVaR of a share a is the mean of the worst a of the draws: Rockafellar and Uryasev (2000), Optimization of
# Conditional Value-at-Risk, Journal of Risk 2(3). It is taken of the gain over current prices, as the money of a draw
# says more about its customers than about the prices. Training starts at the fixed prices with the highest CVaR,
# where money has a closed form, and meets bad draws more often, after Rajeswaran et al. (2017), EPOpt: Learning
# Robust Neural Network Policies Using Model Ensembles. Unlike there, which draws are bad is decided once, by the gain
# of fixed prices.


def worst_share(risk: str) -> float:
    """The share of draws, worst first, that a risk measure averages over.

    Args:
        risk: `mean`, or `cvar:SHARE`.

    Returns:
        The share, 1 for the mean.

    Raises:
        ValueError: Any other text, or a share outside (0, 1].

    Example:
        >>> worst_share("mean"), worst_share("cvar:0.1")
        (1.0, 0.1)
    """
    if risk == "mean":
        return 1.0
    kind, _, share = str(risk).partition(":")
    try:
        number = float(share) if kind == "cvar" else np.nan
    except ValueError:
        number = np.nan
    if not 0 < number <= 1:
        raise ValueError(f"risk must be mean or cvar:SHARE with a share in (0, 1]; got {risk!r}; write cvar:0.1")
    return number


def risk_value(by_draw: ArrayLike, share: float) -> float:
    """The mean of the worst share of the draws; a draw at the edge counts in part.

    Args:
        by_draw: (D,) values, one per draw.
        share: As `worst_share` gives it.

    Example:
        >>> risk_value([4.0, 1.0, 3.0, 2.0], 0.5), risk_value([4.0, 1.0, 3.0, 2.0], 1.0)
        (1.5, 2.5)
    """
    rising = np.sort(np.asarray(by_draw, dtype=np.float64))
    weights = np.clip(share * rising.size - np.arange(rising.size), 0, 1)
    return float(rising @ weights / weights.sum())


def current_prices(spec: MarketSpec) -> Policy:
    """What the shop charges anyway: its own prices where the market has them, whatever the price
    rules say of them, else its regular prices.

    A frozen product keeps its price here as under every other policy, so that it makes no difference.

    Args:
        spec: The market.

    Example:
        >>> from repricer import load_scenario
        >>> current_prices(load_scenario("stationary-logit")).name
        'regular'
    """
    if spec.plan is not None:
        promotion = None if spec.promotion is None else spec.plan.promotion.astype(np.float32)
        price = simulated_prices(spec, spec.plan.price)
        return PricePath(price.astype(np.float32), promotion, name="historical", as_charged=True)
    return FixedPrice(spec.products.regular_price.astype(np.float32), name="regular")


def _own(spec: MarketSpec) -> Array:
    """(N,) mean current prices, as the market simulates them; currency per unit."""
    if spec.plan is None:
        return spec.products.regular_price
    return simulated_prices(spec, spec.plan.price).mean(axis=0)


def _gains(spec: MarketSpec, money: PosteriorMoney, price: Array) -> Array:
    """(M,) gain of fixed prices over the mean current prices in each draw, currency."""
    return money.by_draw(price) - money.by_draw(_own(spec))


def cautious_prices(spec: MarketSpec, price: NDArray[np.floating], share: float) -> NDArray[np.float32]:
    """Fixed prices that maximise the mean gain over current prices in the worst share of the draws.

    A local search from the prices that maximise the mean over all draws.

    Args:
        spec: A market with a posterior.
        price: (N,) where to start, currency per unit.
        share: As `worst_share` gives it.

    Returns:
        (N,) prices; those given for the mean, and where the money of a draw has no closed form.

    Example:
        >>> from dataclasses import replace
        >>> from repricer import load_scenario
        >>> from repricer.scenarios.sections import Posterior
        >>> spec = load_scenario("stationary-logit").with_changes(stock={"initial_units": np.inf})
        >>> spec = replace(spec, posterior=Posterior(draws=2, sensitivity=[[0.5], [2.0]]))
        >>> cautious_prices(spec, np.array([12.0]), 0.5).tolist()[0] < 12
        True
    """
    start = np.asarray(price, dtype=np.float64)
    if share == 1 or not has_closed_form(spec):
        return start.astype(np.float32)
    money = PosteriorMoney(spec, draws_of(spec))
    rules = spec.guardrails
    low, high = (np.where(rules.held, start, bound.astype(np.float64)) for bound in (rules.low, rules.high))
    before = _gains(spec, money, start)
    unit = max(float(before.std()), 1e-9 * float(np.abs(before).max()), 1e-300)

    def loss(variables: Array, width: float) -> tuple[float, Array]:
        """Minus the CVaR in the form of Rockafellar and Uryasev, its kink smoothed over a width."""
        prices = np.exp(variables[:-1])
        level = variables[-1]
        below = (level - _gains(spec, money, prices) / unit) / width
        counted = expit(below) / share
        slope = money.weighted(counted).value_and_gradient(prices)[1] * prices / unit
        value = level - width * float(np.logaddexp(0, below).mean()) / share
        return -value, -np.append(slope, 1 - counted.mean())

    bounds = [*zip(np.log(low), np.log(high), strict=True), (None, None)]
    variables = np.append(np.log(np.clip(start, low, high)), np.quantile(before, share) / unit)
    for width in _CAUTIOUS_WIDTHS:
        variables = minimize(loss, variables, args=(width,), jac=True, bounds=bounds, method="L-BFGS-B").x
    found = np.clip(np.exp(variables[:-1]), low, high)
    found = rules.tied(found, low, high)
    found = np.where(high > low, rules.nearest(found), found)
    better = risk_value(_gains(spec, money, found), share) > risk_value(before, share)
    return (found if better else start).astype(np.float32)


def draw_pool(spec: MarketSpec, price: NDArray[np.floating], share: float) -> tuple[int, ...] | None:
    """The draws that training episodes go through.

    The worst share, by the gain of these prices over current prices, is repeated until it makes up
    half of the episodes.

    Args:
        spec: A market with a posterior.
        price: (N,) fixed prices near those that are learned, currency per unit.
        share: As `worst_share` gives it.

    Returns:
        Numbers of draws, some of them repeated; None for all draws alike: for the mean, and where
        the money of a draw has no closed form.

    Example:
        >>> from dataclasses import replace
        >>> from repricer import load_scenario
        >>> from repricer.scenarios.sections import Posterior
        >>> spec = load_scenario("stationary-logit")
        >>> spec = replace(spec, posterior=Posterior(draws=2, arrivals=[[[0.5]], [[1.5]]]))
        >>> sorted(draw_pool(spec, np.array([11.0]), 0.5))
        [0, 1]
    """
    if share == 1 or spec.demand.family != "mnl":
        return None
    money = PosteriorMoney(spec, draws_of(spec))
    gain = _gains(spec, money, np.asarray(price, dtype=np.float64))
    number = max(1, round(share * gain.size))
    order = np.argsort(gain, kind="stable")
    bad = order[:number]
    others = order[number:]
    times = max(1, round(others.size / number))
    return tuple(np.concatenate([np.tile(bad, times), others]).tolist())


# Prices that maximise the mean money over the posterior draws of a market.


def has_closed_form(spec: MarketSpec) -> bool:
    """Whether `PosteriorMoney` computes the expected money of fixed prices exactly, as long as stock is ample."""
    stock = spec.stock
    rivals = spec.competitors
    if stock.replenishment == "order-up-to":
        stock_may_be_ignored = stock.shortage == "lost" and stock.cost_due == "sold" and not stock.spoilage.any()
    else:
        stock_may_be_ignored = np.isinf(stock.initial_units).all()
    rivals_stay = rivals is None or (set(rivals.rule) == {"fixed"} and not rivals.answers_within_period)
    customers_stay = not (spec.loyalty or spec.strategic)
    return bool(spec.demand.family == "mnl" and stock_may_be_ignored and rivals_stay and customers_stay)


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
        run = rollout(spec.draw(int(m)), policy, episodes=_EPISODES, seed=seed_for("tuning", seed), assumed=spec)
        lost = lost + run.lost.sum()
        units = units + run.units.sum()
    return price, bool(lost <= _MOST_LOST * (lost + units))


def best_prices(spec: MarketSpec, money: PosteriorMoney, *, on_grid: bool = True) -> Array:
    """(N,) prices within the price rules that maximise the mean money.

    Three steps: coordinate ascent over coarse grids from the best common factor of all prices (a
    global search by product), a quasi-Newton search over the continuous prices, and coordinate
    ascent over the allowed prices of the grid.

    Args:
        on_grid: Whether the prices lie on the price grid, and keep the line order.
    """
    low, high = (bound.astype(np.float64) for bound in (spec.guardrails.low, spec.guardrails.high))
    low, high = (np.where(spec.guardrails.held, spec.initial_price, bound) for bound in (low, high))
    search = _Search(spec, money, low, high, tied=on_grid)
    coarse = _Search(spec, money.thinned(_COARSE), low, high, tied=on_grid)
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

    def __init__(self, spec: MarketSpec, money: PosteriorMoney, low: Array, high: Array, *, tied: bool) -> None:
        self.spec = spec
        self.money = money
        self.low = low
        self.high = high
        self.tied = tied
        self.links = spec.guardrails.kept_links if tied else PriceLinks.of((), ())
        self.weights, self.limit = spec.guardrails.baskets if tied else (np.empty((0, low.size)), np.empty(0))
        # Where the lowest prices exceed it, no search can keep it.
        self.limit = np.maximum(self.limit, self.weights @ low)

    def common_start(self) -> Array:
        """The best common factor of a category's regular prices."""
        regular = self.spec.products.regular_price
        category = self.spec.category_index
        factors = np.geomspace(min((self.low / regular).min(), 1), max((self.high / regular).max(), 1), _STARTS)
        rows = [self._ordered(np.clip(factor * regular, self.low, self.high)) for factor in (1.0, *factors)]
        values = np.stack([self.money.value(row) for row in rows])
        return self._ordered(np.stack(rows)[values.argmax(axis=0)[category], np.arange(regular.size)])

    def _ordered(self, price: Array) -> Array:
        """Prices that keep lines, gaps, packs and baskets."""
        return self.spec.guardrails.tied(price, self.low, self.high) if self.tied else price

    def sweep(self, price: Array, grids: list[Array]) -> Array:
        """One pass of coordinate ascent; each product takes the best price of its grid, or keeps its own."""
        price = price.copy()
        for n, grid in enumerate(grids):
            least = max([self.low[n], *(price[a] / share for a, b, share in self.links if b == n)])
            most = min([self.high[n], *(price[b] * share for a, b, share in self.links if a == n)])
            own = self.weights[:, n] > 0
            room = self.limit[own] - self.weights[own] @ price
            most = min([most, *(price[n] + room / self.weights[own, n])])
            inside = grid[(grid >= least) & (grid <= most)]
            tried = np.append(price[n], inside)
            if (tried == price[n]).all():  # as for a product that is held
                continue
            values = self.money.along(n, tried, price)
            price[n] = tried[values.argmax()]
        return price

    def polished(self, price: Array) -> Array:
        """The local maximum near these prices, by quasi-Newton steps in log prices."""
        free = self.high > self.low
        if not free.any() or ((len(self.links) or self.limit.size) and price.size > _MOST_IN_LINE):
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
        rules = {"method": "L-BFGS-B", "options": {"maxiter": 300, "ftol": _CLOSE, "gtol": 1e-7}}
        if len(self.links) or self.limit.size:
            step = np.zeros((len(self.links), price.size))
            for i, (small, large, _) in enumerate(self.links):
                step[i, small] = -unit[small]
                step[i, large] = unit[large]
            room = np.log(self.links.share)
            order = {"type": "ineq", "fun": lambda steps: step @ steps + room, "jac": lambda _: step}

            def left(steps: Array) -> Array:
                return 1 - self.weights @ np.exp(steps * unit) / self.limit

            def slope(steps: Array) -> Array:
                return -self.weights * np.exp(steps * unit) * unit / self.limit[:, None]

            baskets = {"type": "ineq", "fun": left, "jac": slope}
            constraints = [part for part, size in ((order, len(self.links)), (baskets, self.limit.size)) if size]
            rules = {"method": "SLSQP", "constraints": constraints, "options": {"maxiter": 300, "ftol": 1e-12}}
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
            if not self.links.broken(taken).any() and (self.weights @ taken <= self.limit * (1 + SAME)).all():
                price = taken
        return price

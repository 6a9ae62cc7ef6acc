"""Risk over posterior draws: conditional value at risk, and training episodes that lean
towards bad draws.

The CVaR of a share a is the mean of the worst a of the draws: Rockafellar and Uryasev (2000),
Optimization of Conditional Value-at-Risk, Journal of Risk 2(3). It is taken of the gain over
current prices, as the money of a draw says more about its customers than about the prices. Training
starts at the fixed prices with the highest CVaR, where money has a closed form, and meets bad draws
more often, after Rajeswaran et al. (2017), EPOpt: Learning Robust Neural Network Policies Using
Model Ensembles. Unlike there, which draws are bad is decided once, by the gain of fixed prices.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit

from ...pricing import FixedPrice, Policy, PricePath
from ...scenarios import MarketSpec
from ...scenarios.periods import simulated_prices
from ...scenarios.sections import Array
from .money import PosteriorMoney, draws_of
from .prices import has_closed_form

# Share of the training episodes that follow the worst draws.
_BAD_EPISODES = 0.5
# Widths of the smoothing, in standard deviations of the gain over the draws.
_WIDTHS = (0.3, 0.1, 0.03, 0.01)


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
    kind, _, share = str(risk).partition(":")
    try:
        number = float(share) if kind == "cvar" else 1.0 if risk == "mean" else np.nan
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
    if spec.history is not None:
        promotion = None if spec.promotion is None else spec.history.promotion.astype(np.float32)
        price = simulated_prices(spec, spec.history.price)
        return PricePath(price.astype(np.float32), promotion, name="historical", as_charged=True)
    return FixedPrice(spec.products.regular_price.astype(np.float32), name="regular")


def _own(spec: MarketSpec) -> Array:
    """(N,) mean current prices, as the market simulates them; currency per unit."""
    if spec.history is None:
        return spec.products.regular_price
    return simulated_prices(spec, spec.history.price).mean(axis=0)


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
    money, rules = PosteriorMoney(spec, draws_of(spec)), spec.guardrails
    low, high = rules.low.astype(np.float64), rules.high.astype(np.float64)
    if rules.frozen is not None:
        low, high = np.where(rules.frozen, start, low), np.where(rules.frozen, start, high)
    before = _gains(spec, money, start)
    unit = max(float(before.std()), 1e-9 * float(np.abs(before).max()), 1e-300)

    def loss(variables: Array, width: float) -> tuple[float, Array]:
        """Minus the CVaR in the form of Rockafellar and Uryasev, its kink smoothed over a width."""
        prices, level = np.exp(variables[:-1]), variables[-1]
        below = (level - _gains(spec, money, prices) / unit) / width
        counted = expit(below) / share
        slope = money.weighted(counted).value_and_gradient(prices)[1] * prices / unit
        value = level - width * float(np.logaddexp(0, below).mean()) / share
        return -value, -np.append(slope, 1 - counted.mean())

    bounds = [*zip(np.log(low), np.log(high), strict=True), (None, None)]
    variables = np.append(np.log(np.clip(start, low, high)), np.quantile(before, share) / unit)
    for width in _WIDTHS:
        variables = minimize(loss, variables, args=(width,), jac=True, bounds=bounds, method="L-BFGS-B").x
    found = np.clip(np.exp(variables[:-1]), low, high)
    found = rules.links.ordered(found, rules.high.astype(np.float64), rules.grid)
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
    bad, others = order[:number], order[number:]
    times = max(1, round(_BAD_EPISODES / (1 - _BAD_EPISODES) * others.size / number))
    return tuple(np.concatenate([np.tile(bad, times), others]).tolist())

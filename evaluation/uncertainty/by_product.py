"""What each product sells and earns in each period under a policy, over posterior draws and customers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...envs import Market, seed_for
from ...pricing import RULES, Policy
from ...scenarios import MarketSpec
from .draws import ENDS, EPISODES, METHOD, Drawn, Floats, draw_numbers, money_of, outcomes_of

_MAJORITY = 0.5


class OutcomeRange(NamedTuple):
    """Expected value and 90% interval of what will come, (T, N) each."""

    mean: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, eq=False)
class ProductFigures:
    """Figures of every product in every period: T periods, N products.

    Attributes:
        units: Units sold.
        revenue: Revenue, currency.
        profit: Profit, currency.
        parameter_share: (T, N) share of the variance of revenue that is parameter uncertainty;
            NaN without variance.
        rules: (T, N) bits of the price rules (`pricing.BITS`) that changed the policy's price
            in most markets.
        promoted: (T, N) whether the policy promotes the product in most markets.

    Example:
        >>> product_figures(spec, policy).revenue.low.shape  # doctest: +SKIP
        (12, 30)
    """

    units: OutcomeRange
    revenue: OutcomeRange
    profit: OutcomeRange
    parameter_share: Floats
    rules: NDArray[np.uint32]
    promoted: NDArray[np.bool_]

    def bringing(self, more: Floats) -> ProductFigures:
        """The figures where each unit brings more money, currency per unit, (T, N)."""
        both = (zip(money, self.units, strict=True) for money in (self.revenue, self.profit))
        revenue, profit = (OutcomeRange(*(part + more * sold for part, sold in pairs)) for pairs in both)
        return replace(self, revenue=revenue, profit=profit)


def product_figures(spec: MarketSpec, policy: Policy, *, draws: int | None = None, seed: int = 0) -> ProductFigures:
    """What each product sells and earns in each period under a policy.

    Args:
        spec: A market with a posterior.
        policy: The policy.
        draws: Number of draws; 200 by default, or all of fewer.
        seed: Selects the test seeds.

    Example:
        >>> from dataclasses import replace
        >>> from repricer import load_scenario
        >>> from repricer.pricing import FixedPrice
        >>> from repricer.scenarios.sections import Posterior
        >>> spec = replace(load_scenario("stationary-logit"), posterior=Posterior(draws=2, arrivals=[[[0.9]], [[1.1]]]))
        >>> product_figures(spec, FixedPrice(9.0)).units.mean.shape
        (30, 1)
    """
    return _figures(*simulated_products(spec, policy, draws=draws, seed=seed))


def simulated_products(
    spec: MarketSpec, policy: Policy, *, draws: int | None = None, episodes: int = EPISODES, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.uint32], NDArray[np.bool_]]:
    """What each product sold and earned in simulated episodes under a policy.

    Args:
        spec: A market with a posterior.
        policy: The policy.
        draws: Number M of draws; 200 by default, or all of fewer.
        episodes: E, episodes per draw, at least 2.
        seed: Selects the test seeds.

    Returns:
        (5, M, E, T, N) units, realised revenue, realised profit, expected revenue, expected profit; (T, N) bits of the
        price rules (`pricing.BITS`) that changed the policy's price in most episodes; (T, N) whether the policy
        promoted the product in most episodes.
    """
    numbers = draw_numbers(spec, draws)
    parts = Drawn(spec, episodes, seed_for("test", seed), spec).each(_episodes, [policy], numbers)
    figures = np.concatenate([part[0] for part in parts], axis=1)
    # (T, N, rules + 1): in how many episodes each rule changed the price and, last, the product was promoted.
    counts = np.sum([part[1] for part in parts], axis=0)
    in_most = counts > _MAJORITY * figures.shape[1]
    bits = (in_most[..., :-1] << np.arange(len(RULES))).sum(axis=-1).astype(np.uint32)
    promoted = in_most[..., -1]
    return figures.reshape(5, len(numbers), episodes, *figures.shape[2:]), bits, promoted


def _episodes(
    spec: MarketSpec, policies: Sequence[Policy], markets: list[Market]
) -> tuple[NDArray[np.float32], Floats]:
    """(5, E, T, N) units, revenue and profit that came in one episode of every market, and the revenue and profit to
    be expected given the prices; (T, N, rules + 1) how often each price rule bound, and the product was promoted.
    """
    (policy,), episodes = policies, sum(market.num_markets for market in markets)
    horizon = spec.market.horizon_periods
    products = len(spec.products.names)
    seen = np.zeros((5, episodes, horizon, products), np.float32)
    hit = np.zeros((horizon, products, len(RULES) + 1))
    for t, own, outcome in outcomes_of(policy, markets, horizon):
        expected, came = money_of(outcome)
        seen[:, own, t] = [outcome.units, *came, *expected]
        hit[t, :, :-1] += ((outcome.trail[..., None] >> np.arange(len(RULES), dtype=np.uint32)) & 1).sum(axis=0)
        hit[t, :, -1] += outcome.promoted.sum(axis=0)
    return seen, hit


def _figures(seen: NDArray[np.float32], rules: NDArray[np.uint32], promoted: NDArray[np.bool_]) -> ProductFigures:
    units, revenue, profit, expected_revenue, expected_profit = seen
    earned = expected_revenue.mean(axis=(0, 1), dtype=np.float64)
    sold, taken = (found.sum(axis=(0, 1), dtype=np.float64) for found in (units, revenue))
    # Expected revenue over the price paid varies less than the units that came.
    paid = np.divide(taken, sold, out=np.ones_like(taken), where=(sold > 0) & (taken > 0))
    expected_units = np.where(taken > 0, earned / paid, sold / units[..., 0, 0].size)
    share = _parameter_share(expected_revenue, revenue)
    parts = ((expected_units, units), (earned, revenue), (expected_profit.mean(axis=(0, 1), dtype=np.float64), profit))
    sold, revenue, profit = (OutcomeRange(mean, *_interval(came)) for mean, came in parts)
    return ProductFigures(sold, revenue, profit, share, rules, promoted)


def _interval(came: NDArray[np.float32]) -> Floats:
    """(2, T, N) the 5% and the 95% quantile of what came in (M, E) episodes."""
    return np.quantile(came.reshape(-1, *came.shape[2:]), ENDS, axis=0, method=METHOD).astype(np.float64)


def _parameter_share(expected: NDArray[np.float32], came: NDArray[np.float32]) -> Floats:
    """(T, N) by the law of total variance: between the draws, without the noise of few episodes, over all of it."""
    noise = expected.var(axis=1, ddof=1, dtype=np.float64).mean(axis=0) / expected.shape[1]
    between = expected.mean(axis=1, dtype=np.float64).var(axis=0, ddof=1) if len(expected) > 1 else 0.0 * noise
    parameter = np.maximum(between - noise, 0.0)
    total = parameter + came.var(axis=1, ddof=1, dtype=np.float64).mean(axis=0)
    return np.divide(parameter, total, out=np.full_like(total, np.nan), where=total > 0)

"""One product, never out of stock, whose demand is that of an unknown posterior draw, which sales tell over an episode.

The belief, the probability of each draw given prices and sales so far, is part of the state: Rothschild
(1974), A Two-Armed Bandit Theory of Market Pricing, Journal of Economic Theory 9(2); Harrison, Keskin
and Zeevi (2012), Bayesian Dynamic Pricing Policies: Learning and Earning Under a Binary Prior
Distribution, Management Science 58(3). Histories with the same counts of sales lead to the same belief,
so that the reachable beliefs of a textbook market can be listed; backward induction over them is exact. Demand is the
same in all periods.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy.spatial import KDTree

from ..envs import expected_units
from ..pricing import Action, MarketView
from ..pricing.protocol import check_order
from ..scenarios import MarketSpec
from .problem import (
    Array,
    Costs,
    Optimum,
    Units,
    demand_mass,
    is_stationary,
    price_grid,
    prices_are_free,
    sections_on,
    stock_settings,
)

_MOST_BELIEF_DRAWS = 100
_MOST_BELIEF_PRICES = 100
_MOST_NUMBERS = 2e7
"""Beliefs x prices x outcomes x draws, over all periods."""
_DECIMALS = 10
"""Beliefs that agree to so many are one."""


def covers(spec: MarketSpec) -> bool:
    """Whether the belief is the whole state: each episode follows one of few draws, and stock is unlimited."""
    return (
        len(spec.products.names) == 1
        and sections_on(spec) == {"posterior"}
        and spec.posterior is not None
        and spec.posterior.simulated
        and spec.num_draws <= _MOST_BELIEF_DRAWS
        and stock_settings(spec) <= {"lead_time_periods"}
        and not spec.arrivals.overdispersion.any()
        and spec.market.ending == "terminated"
        and prices_are_free(spec)
        and price_grid(spec).size <= _MOST_BELIEF_PRICES
        and all(is_stationary(spec.draw(m)) for m in range(spec.num_draws))
    )


class BeliefPrice:
    """Prices that depend on period and belief: the probability of each distinct draw given the episode so far.

    The policy keeps the belief of each market from the first period of an episode on. One object can
    run one episode after another, but only one batch of markets at a time.

    Args:
        prices: (P,) currency per unit.
        prior: (M,) probability of each draw.
        mass: (M, P, D + 1) probability of each demand of a period.
        table: By period, the beliefs that can be reached and the number of the best price for each.

    Example:
        >>> from repricer.envs import Market
        >>> from repricer.optimum import solve
        >>> market = Market("incomplete-learning", num_markets=2)
        >>> policy = solve(market.scenario).policy
        >>> _ = market.step(policy.act(market.view)), policy.act(market.view)
        >>> policy.belief.shape, policy.belief.sum(axis=1).tolist()
        ((2, 2), [1.0, 1.0])
    """

    deterministic: ClassVar[bool] = False

    def __init__(self, prices: Array, prior: Array, mass: Array, table: list[tuple[KDTree, Units]]) -> None:
        self.name = "optimum"
        self._next_period = 0
        self._prices = prices
        self._prior = prior
        self._mass = mass
        self._table = table

    def act(self, view: MarketView) -> Action:
        """Update the belief with the last period, choose.

        Raises:
            ValueError: The periods do not come in order.
        """
        period = int(view.period[0])
        check_order(self.name, period, self._next_period)
        self.belief = self._updated(view) if period else np.tile(self._prior, (view.num_markets, 1))
        self._next_period = period + 1
        beliefs, best = self._table[period]
        price = self._prices[best[beliefs.query(self.belief)[1]]]
        return Action(price.astype(np.float32)[:, None])

    def _updated(self, view: MarketView) -> Array:
        """(E, M) the belief after the sales of the last period, by Bayes' rule."""
        price = np.abs(self._prices - view.list_price).argmin(axis=1)
        sold = np.minimum(view.last_units[:, 0].astype(np.intp), self._mass.shape[-1] - 1)
        joint = self.belief * self._mass[:, price, sold].T
        total = joint.sum(axis=1, keepdims=True)
        return np.where(total > 0, joint / np.where(total > 0, total, 1), self.belief)


def solve(spec: MarketSpec) -> Optimum | None:
    """The optimum of a market whose episodes follow few draws; None where too many beliefs can be reached.

    Args:
        spec: The market.

    Example:
        >>> from repricer.scenarios import load_scenario
        >>> solve(load_scenario("incomplete-learning")).method
        'backward induction over beliefs'
    """
    if not covers(spec):
        return None
    parts = [getattr(spec.posterior, name) for name in ("arrivals", "utility", "sensitivity", "unit_cost")]
    rows = np.concatenate([part.reshape(spec.num_draws, -1) for part in parts], axis=1)
    _, first, count = np.unique(rows, axis=0, return_index=True, return_counts=True)
    draws = [spec.draw(int(m)) for m in first]
    prices = price_grid(spec)
    prior = count / spec.num_draws
    mean = np.array([expected_units(draw, 0, prices[:, None]).sum(axis=(1, 2)) for draw in draws])
    mass = demand_mass(spec, mean.ravel()).reshape(*mean.shape, -1)
    money = (prices - np.array([Costs.of(draw).sold for draw in draws])) * mean
    # Forwards, the beliefs by period, (G, M), and by price and demand, (G, P, D + 1), its probability and the next belief.
    beliefs = [prior[None]]
    stages = []
    for _ in range(spec.market.horizon_periods - 1):
        if sum(map(len, beliefs)) * mass.size > _MOST_NUMBERS:
            return None
        joint = np.moveaxis(beliefs[-1][:, :, None, None] * mass, 1, -1)
        chance = joint.sum(axis=-1)
        after = np.where(chance[..., None] > 0, joint / np.maximum(chance, 1e-300)[..., None], prior)
        flat = after.reshape(-1, prior.size)
        _, first, index = np.unique(flat.round(_DECIMALS), axis=0, return_index=True, return_inverse=True)
        stages.append((chance, index.reshape(chance.shape)))
        beliefs.append(flat[first])
    value = later = np.zeros(1)
    table: list[tuple[KDTree, Units]] = []
    for now in beliefs[::-1]:
        total = now @ money + later
        value = total.max(axis=1)
        table.append((KDTree(now), total.argmax(axis=1)))
        if stages:
            chance, index = stages.pop()
            later = spec.market.discount_factor * (chance * value[index]).sum(axis=2)
    return Optimum(float(value[0]), "backward induction over beliefs", BeliefPrice(prices, prior, mass, table[::-1]))

"""One product, never out of stock, whose demand is that of an unknown posterior draw, which sales tell over an episode.

The belief, the probability of each draw given prices and sales so far, is part of the state: Rothschild
(1974), A Two-Armed Bandit Theory of Market Pricing, Journal of Economic Theory 9(2); Harrison, Keskin
and Zeevi (2012), Bayesian Dynamic Pricing Policies: Learning and Earning Under a Binary Prior
Distribution, Management Science 58(3). Histories with the same counts of sales lead to the same belief,
so that the reachable beliefs of a textbook market can be listed; backward induction over them is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple

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

_MOST_DRAWS, _MOST_PRICES = 100, 100
_MOST_NUMBERS = 2e7
"""Beliefs x prices x outcomes x draws, over all periods."""
_DECIMALS = 10
"""Beliefs that agree to so many are one."""
Choice = Callable[[int, Array], Units]


def covers(spec: MarketSpec) -> bool:
    """Whether the belief is the whole state: each episode follows one of few draws, and stock is unlimited."""
    return (
        len(spec.products.names) == 1
        and sections_on(spec) == {"posterior"}
        and spec.posterior is not None
        and spec.posterior.simulated
        and spec.num_draws <= _MOST_DRAWS
        and stock_settings(spec) <= {"lead_time_periods"}
        and not spec.arrivals.overdispersion.any()
        and spec.market.ending == "terminated"
        and prices_are_free(spec)
        and price_grid(spec).size <= _MOST_PRICES
    )


@dataclass(frozen=True, eq=False)
class DrawnDemand:
    """The M distinct draws of a market that `covers` admits, at P prices.

    Attributes:
        prices: (P,) currency per unit.
        prior: (M,) probability of each draw.
        mass: (T, M, P, D + 1) probability of each demand; a single period where all are alike.
        money: (T, M, P) expected money of a period, currency.
    """

    prices: Array
    prior: Array
    mass: Array
    money: Array

    @classmethod
    def of(cls, spec: MarketSpec) -> DrawnDemand | None:
        """The draws of a market; None where `covers` does not admit it."""
        if not covers(spec):
            return None
        parts = [getattr(spec.posterior, name) for name in ("arrivals", "utility", "sensitivity", "unit_cost")]
        rows = np.concatenate([part.reshape(spec.num_draws, -1) for part in parts], axis=1)
        _, first, count = np.unique(rows, axis=0, return_index=True, return_counts=True)
        draws, prices = [spec.draw(int(m)) for m in first], price_grid(spec)
        periods = 1 if all(map(is_stationary, draws)) else spec.market.horizon_periods
        mean = np.array(
            [[expected_units(draw, t, prices[:, None]).sum(axis=(1, 2)) for draw in draws] for t in range(periods)]
        )
        mass = demand_mass(spec, mean.ravel()).reshape(*mean.shape, -1)
        cost = np.array([Costs.of(draw).sold for draw in draws])
        return cls(prices, count / spec.num_draws, mass, (prices - cost) * mean)

    def period(self, period: int) -> int:
        """The row of a period."""
        return min(period, len(self.mass) - 1)


class BeliefPrice:
    """Prices that depend on period and belief: the probability of each draw given the episode so far.

    The policy keeps the belief of each market from the first period of an episode on. One object can
    run one episode after another, but only one batch of markets at a time.

    Args:
        demand: The draws.
        choice: Of a period and beliefs (E, M), the numbers of the prices (E,).
        name: How tables and logs call the policy.

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

    def __init__(self, demand: DrawnDemand, choice: Choice, name: str) -> None:
        self.demand, self.choice, self.name = demand, choice, name
        self._next_period = 0

    def act(self, view: MarketView) -> Action:
        """Update the belief with the last period, choose.

        Raises:
            ValueError: The periods do not come in order.
        """
        period = int(view.period[0])
        check_order(self.name, period, self._next_period)
        prior = self.demand.prior
        self.belief = np.tile(prior, (view.num_markets, 1)) if period == 0 else self._updated(view, period - 1)
        self._next_period = period + 1
        price = self.demand.prices[self.choice(period, self.belief)]
        return Action(price.astype(np.float32)[:, None])

    def _updated(self, view: MarketView, period: int) -> Array:
        """(E, M) the belief after the sales of a period, by Bayes' rule."""
        mass = self.demand.mass[self.demand.period(period)]
        price = np.abs(self.demand.prices - view.list_price).argmin(axis=1)
        sold = np.minimum(view.last_units[:, 0].astype(np.intp), mass.shape[-1] - 1)
        joint = self.belief * mass[:, price, sold].T
        total = joint.sum(axis=1, keepdims=True)
        return np.where(total > 0, joint / np.where(total > 0, total, 1), self.belief)


def myopic_bayesian(spec: MarketSpec) -> BeliefPrice | None:
    """The policy that learns and charges the best price of each period alone; None where `covers` does not admit a market.

    Args:
        spec: The market.

    Example:
        >>> from repricer.scenarios import load_scenario
        >>> myopic_bayesian(load_scenario("incomplete-learning")).name
        'myopic-bayesian'
    """
    demand = DrawnDemand.of(spec)
    return None if demand is None else BeliefPrice(demand, partial(_best_now, demand), "myopic-bayesian")


def _best_now(demand: DrawnDemand, period: int, belief: Array) -> Units:
    return (belief @ demand.money[demand.period(period)]).argmax(axis=1)


def solve(spec: MarketSpec) -> Optimum | None:
    """The optimum of a market whose episodes follow few draws; None where too many beliefs can be reached.

    Args:
        spec: The market.

    Example:
        >>> from repricer.scenarios import load_scenario
        >>> solve(load_scenario("incomplete-learning")).method
        'backward induction over beliefs'
    """
    demand = DrawnDemand.of(spec)
    reachable = None if demand is None else _reachable(demand, spec.market.horizon_periods)
    if demand is None or reachable is None:
        return None
    value, table = np.zeros(len(reachable[-1].beliefs)), []
    for period, stage in reversed(list(enumerate(reachable))):
        later = (stage.chance * value[stage.after]).sum(axis=2)
        discount = spec.market.discount_factor if table else 1.0
        total = stage.beliefs @ demand.money[demand.period(period)] + discount * later
        value = total.max(axis=1)
        table.append((KDTree(stage.beliefs), total.argmax(axis=1)))
    policy = BeliefPrice(demand, partial(_by_table, table[::-1]), "optimum")
    return Optimum(float(value[0]), "backward induction over beliefs", policy)


def _by_table(table: list[tuple[KDTree, Units]], period: int, belief: Array) -> Units:
    beliefs, best = table[period]
    return best[beliefs.query(belief)[1]]


class _Stage(NamedTuple):
    """The G beliefs that can be reached by a period: (G, M); (G, P, D + 1) probability of each demand, and the numbers
    of the next period's beliefs, both without demand for the last period.
    """

    beliefs: Array
    chance: Array
    after: Units


def _reachable(demand: DrawnDemand, periods: int) -> list[_Stage] | None:
    """The beliefs by period; None where they are too many."""
    beliefs, stages, numbers = demand.prior[None], [], 0.0
    for period in range(periods - 1):
        mass = demand.mass[demand.period(period)]
        numbers += len(beliefs) * mass.size
        if numbers > _MOST_NUMBERS:
            return None
        joint = np.moveaxis(beliefs[:, :, None, None] * mass, 1, -1)  # (G, P, D + 1, M)
        chance = joint.sum(axis=-1)
        belief = np.where(chance[..., None] > 0, joint / np.maximum(chance, 1e-300)[..., None], demand.prior)
        flat = belief.reshape(-1, demand.prior.size)
        _, first, after = np.unique(flat.round(_DECIMALS), axis=0, return_index=True, return_inverse=True)
        stages.append(_Stage(beliefs, chance, after.reshape(chance.shape)))
        beliefs = flat[first]
    none = np.zeros((len(beliefs), demand.prices.size, 0))
    return [*stages, _Stage(beliefs, none, none.astype(np.intp))]

"""Policies of one product that learn which posterior draw they are in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar

import numpy as np

from ...pricing import Action, MarketView
from ...pricing.protocol import check_order
from ...scenarios import MarketSpec
from ..problem import Array, Units
from .demand import DrawnDemand

Choice = Callable[[int, Units, Array], Units]


class BeliefPrice:
    """Prices that depend on period, units on hand and belief: the probability of each draw given the episode so far.

    The policy keeps the belief of each market from the first period of an episode on. One object can
    run one episode after another, but only one batch of markets at a time.

    Args:
        demand: The draws.
        choice: Of a period, states of stock (E,) and beliefs (E, M), the numbers of the prices (E,).
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
        self._state = np.minimum(view.on_hand[:, 0], self.demand.units.size - 1).astype(np.intp)
        price = self.demand.prices[self.choice(period, self._state, self.belief)]
        return Action(price.astype(np.float32)[:, None])

    def _updated(self, view: MarketView, period: int) -> Array:
        """(E, M) the belief after the sales of a period, by Bayes' rule."""
        demand, most = self.demand, self.demand.mass.shape[-1]
        price = np.abs(demand.prices - view.list_price).argmin(axis=1)
        sold, before = view.last_units[:, 0].astype(np.intp), demand.units[self._state]
        column = np.where(sold >= before, most, 0) + np.minimum(sold, most - 1)
        joint = self.belief * demand.likelihood[demand.period(period), :, price, column]
        total = joint.sum(axis=1, keepdims=True)
        return np.where(total > 0, joint / np.where(total > 0, total, 1), self.belief)


def myopic_bayesian(spec: MarketSpec) -> BeliefPrice | None:
    """The policy that learns and charges the best price of each period alone; None where `solve` has no optimum.

    Example:
        >>> from repricer.scenarios import load_scenario
        >>> myopic_bayesian(load_scenario("incomplete-learning")).name
        'myopic-bayesian'
    """
    demand = DrawnDemand.of(spec)
    return None if demand is None else BeliefPrice(demand, partial(_best_now, demand), "myopic-bayesian")


def _best_now(demand: DrawnDemand, period: int, state: Units, belief: Array) -> Units:
    money = demand.money[demand.period(period)][:, :, state]
    return np.einsum("em,mpe->ep", belief, money).argmax(axis=1)

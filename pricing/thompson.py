"""Thompson sampling of the demand at each price, with or without a stock constraint."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .catalogue import Catalogue, MarketView
from .protocol import Action, check_order

Array = NDArray[np.float64]


class ThompsonPrice:
    """Learns the demand at each price within an episode, and prices by a linear programme over
    a posterior draw.

    Ferreira, Simchi-Levi and Wang (2018), Online Network Revenue Management Using Thompson
    Sampling, Operations Research 66(6), algorithm 2 (with the remaining stock per remaining
    period), for each product on its own: substitution is not modelled. In each period the demand at
    every price is drawn from its posterior, and prices are mixed so that the drawn demand earns
    most and takes no more than the remaining stock per period. Where every mix takes more, the
    paper sells nothing; here the highest price is charged.

    The policy keeps what each market sold at each price, from the first period of an episode on.
    One object can run one episode after another, but only one batch of markets at a time.

    Args:
        ladder: (K, N) prices to choose from, rising, currency per unit.
        one_customer: True if at most one customer comes per period (beta posterior, from a uniform
            prior); otherwise demand is Poisson (gamma prior of shape 1, with the catalogue's
            forecast at the regular price as its mean).
        mind_stock: False ignores the stock.
        seed: of the posterior draws.
        name: how tables and logs call the policy.

    Example:
        >>> import repricer
        >>> view = repricer.Market("stationary-logit").view
        >>> ladder = np.array([[6.0], [9.0], [12.0]])
        >>> float(ThompsonPrice(ladder, one_customer=True).act(view).price[0, 0]) in (6.0, 9.0, 12.0)
        True
    """

    deterministic: ClassVar[bool] = False

    def __init__(
        self,
        ladder: Array,
        *,
        one_customer: bool = False,
        mind_stock: bool = True,
        seed: int = 0,
        name: str = "thompson",
    ) -> None:
        self.ladder, self.one_customer, self.mind_stock, self.name = (
            np.asarray(ladder).T,
            one_customer,
            mind_stock,
            name,
        )
        self._generator = np.random.default_rng(seed)
        self._next_period = 0

    def act(self, view: MarketView) -> Action:
        """Update the posterior with the last period, draw demand, choose.

        Raises:
            ValueError: the periods do not come in order.
        """
        period = int(view.period[0])
        check_order(self.name, period, self._next_period)
        if period == 0:
            shape = (view.num_markets, *self.ladder.shape)
            self._trials, self._sold = np.zeros(shape), np.zeros(shape)
        else:
            self._update(view)
        self._next_period = period + 1
        # A period without stock says nothing about demand.
        self._open = view.on_hand > 0
        demand = self._draw(view.catalogue)
        budget = np.full(view.on_hand.shape, np.inf)
        if self.mind_stock:
            budget = np.maximum(view.on_hand, 0) / max(view.catalogue.horizon - period, 1)
        index = self._choose(demand, view.catalogue.unit_cost.astype(np.float64), budget)
        return Action(np.take_along_axis(self.ladder[None], index[..., None], axis=2)[..., 0].astype(np.float32))

    def _update(self, view: MarketView) -> None:
        index = np.abs(self.ladder - view.list_price[..., None]).argmin(axis=2)[..., None]
        for counts, new in ((self._trials, self._open), (self._sold, np.where(self._open, view.last_units, 0))):
            updated = np.take_along_axis(counts, index, axis=2) + new[..., None]
            np.put_along_axis(counts, index, updated, axis=2)

    def _draw(self, catalogue: Catalogue) -> Array:
        """(E, N, K) units per period at every price, drawn from the posterior."""
        if self.one_customer:
            return self._generator.beta(1 + self._sold, 1 + self._trials - self._sold)
        guess = np.maximum(catalogue.forecast_units.mean(axis=0, dtype=np.float64), 1e-9)[:, None]
        return self._generator.gamma(1 + self._sold) / (1 / guess + self._trials)

    def _choose(self, demand: Array, cost: Array, budget: Array) -> NDArray[np.intp]:
        """(E, N) index of the price: a mix of the two corners between which the linear programme has its optimum."""
        # The corners of the programme: each price, and last no sales at all.
        units = np.concatenate([demand, np.zeros((*budget.shape, 1))], axis=2)
        money = np.concatenate([(self.ladder - cost[:, None]) * demand, np.zeros((*budget.shape, 1))], axis=2)

        def of(table: Array, corner: NDArray[np.intp]) -> Array:
            return np.take_along_axis(table, corner[..., None], axis=2)

        under = over = money.argmax(axis=2)
        # Along the concave hull of money over units, from its peak down to the edge that holds the
        # budget.
        while (short := of(units, under)[..., 0] > budget).any():
            over = np.where(short, under, over)
            saved = of(units, over) - units
            loss = np.where(saved > 0, of(money, over) - money, np.inf) / np.where(saved > 0, saved, 1)
            under = np.where(short, loss.argmin(axis=2), under)
        more, less = of(units, over)[..., 0], of(units, under)[..., 0]
        share = np.where(more > less, (budget - less) / np.where(more > less, more - less, 1), 0)
        mixed = np.where(self._generator.random(budget.shape) < share, over, under)
        return np.minimum(mixed, self.ladder.shape[1] - 1)

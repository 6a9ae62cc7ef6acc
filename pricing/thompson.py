"""Thompson sampling of demand, price by price, with or without the stock in mind."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .catalogue import Catalogue, MarketView
from .protocol import Action

Array = NDArray[np.float64]


class ThompsonPrice:
    """Learns within an episode what each price sells, and prices by a linear programme over what it believes.

    Ferreira, Simchi-Levi and Wang (2018), Online Network Revenue Management Using Thompson Sampling, Operations Research
    66(6), algorithm 2 (the stock per period left is brought up to date), for each product on its own: substitution is not
    modelled. In each period demand at every price is drawn from its posterior, and prices are mixed so that the drawn
    demand earns most and takes no more than the stock per period left. Where even that is too much the paper closes the
    shop; here the highest price is charged.

    ladder: (K, N) prices to choose from, rising, currency per unit. one_customer: at most one customer comes a period
    (beta posterior, from the uniform one); otherwise demand is Poisson (gamma posterior of shape 1, whose mean is the
    catalogue's forecast at the regular price). mind_stock: False ignores the stock.

    It is no function of the view alone: it keeps notes of what each market sold at each price. They start anew with every
    episode and with every other batch of markets, so that one object can be run again and again, but only on one batch at
    a time. What it observes is the price in force and the units sold last, as every policy may.
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
        """Take note of the last period, draw demand, choose."""
        period = int(view.period[0])
        if period == 0:
            shape = (view.num_markets, *self.ladder.shape)
            self._trials, self._sold = np.zeros(shape), np.zeros(shape)
        elif period != self._next_period:
            raise ValueError(
                f"policy {self.name} follows one batch of markets from its first period on; got period {period} where "
                f"{self._next_period} was next; give every batch a policy of its own"
            )
        else:
            self._take_note(view)
        self._next_period = period + 1
        # Nothing can be learnt of a period in which nothing can be sold.
        self._open = view.on_hand > 0
        demand = self._draw(view.catalogue)
        budget = np.full(view.on_hand.shape, np.inf)
        if self.mind_stock:
            budget = np.maximum(view.on_hand, 0) / max(view.catalogue.horizon - period, 1)
        index = self._choose(demand, view.catalogue.unit_cost.astype(np.float64), budget)
        return Action(np.take_along_axis(self.ladder[None], index[..., None], axis=2)[..., 0].astype(np.float32))

    def _take_note(self, view: MarketView) -> None:
        index = np.abs(self.ladder - view.list_price[..., None]).argmin(axis=2)[..., None]
        for notes, news in ((self._trials, self._open), (self._sold, np.where(self._open, view.last_units, 0))):
            seen = np.take_along_axis(notes, index, axis=2) + news[..., None]
            np.put_along_axis(notes, index, seen, axis=2)

    def _draw(self, catalogue: Catalogue) -> Array:
        """(E, N, K) demand a period at every price, drawn from the posterior."""
        if self.one_customer:
            return self._generator.beta(1 + self._sold, 1 + self._trials - self._sold)
        guess = np.maximum(catalogue.forecast_units.mean(axis=0, dtype=np.float64), 1e-9)[:, None]
        return self._generator.gamma(1 + self._sold) / (1 / guess + self._trials)

    def _choose(self, demand: Array, cost: Array, budget: Array) -> NDArray[np.intp]:
        """(E, N) index of the price: a mix of the two corners between which the linear programme has its optimum."""
        # The corners of the programme: each price, and behind them the closed shop.
        units = np.concatenate([demand, np.zeros((*budget.shape, 1))], axis=2)
        money = np.concatenate([(self.ladder - cost[:, None]) * demand, np.zeros((*budget.shape, 1))], axis=2)

        def of(table: Array, corner: NDArray[np.intp]) -> Array:
            return np.take_along_axis(table, corner[..., None], axis=2)

        under = over = money.argmax(axis=2)
        # Along the concave hull of money over units, from its peak down, to the edge on which the budget lies.
        while (short := of(units, under)[..., 0] > budget).any():
            over = np.where(short, under, over)
            saved = of(units, over) - units
            loss = np.where(saved > 0, of(money, over) - money, np.inf) / np.where(saved > 0, saved, 1)
            under = np.where(short, loss.argmin(axis=2), under)
        more, less = of(units, over)[..., 0], of(units, under)[..., 0]
        share = np.where(more > less, (budget - less) / np.where(more > less, more - less, 1), 0)
        mixed = np.where(self._generator.random(budget.shape) < share, over, under)
        return np.minimum(mixed, self.ladder.shape[1] - 1)

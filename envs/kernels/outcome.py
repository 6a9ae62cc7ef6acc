"""Outcome of one step of a batch of markets. E markets, N products, K segments.

As in the state, the arrays have the markets last, (N, E), and the properties show them market by market, (E, N).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .state import LOST, PROFIT, REVENUE, UNITS, Floats, TableLayout


@dataclass(eq=False)
class Outcome:
    """Outcome of one period; the properties are (E, N) float32 unless stated otherwise.

    Attributes:
        period: (E,) its number.
        table: (rows, N, E), see `layout`.
        layout: Rows of the table.
        rules: (N, E) uint16, which price rules changed the price.
        slots: (2, K, E) product shown and runner-up, or (2, 0, E).
        offers: (2, R, E) prices and units of the rival offers; the units are expected, or drawn for
            rivals that learn.
        rival_cost: (R, 1) unit costs of the rival offers.
        stated: (N, E) the policy's propensity, or None.
        expect: Computes the expected money, (2, N, E), on demand.

    Example:
        >>> from repricer.envs import Market
        >>> from repricer.pricing import Action
        >>> market = Market("stationary-logit", num_markets=2)
        >>> outcome = market.step(Action(price=market.view.list_price))
        >>> outcome.revenue.shape, outcome.expected_revenue.shape
        ((2, 1), (2, 1))
    """

    period: NDArray[np.int64]
    table: Floats
    layout: TableLayout
    rules: NDArray[np.uint16]
    slots: NDArray[np.int64]
    offers: Floats
    rival_cost: Floats
    stated: Floats | None
    expect: Callable[[Outcome], Floats] = field(repr=False)

    @property
    def money(self) -> Floats:
        """(4, N, E) units sold, units lost, revenue and profit."""
        return self.table[1 : self.layout.money]

    @functools.cached_property
    def expected_money(self) -> Floats:
        """(2, N, E) expected revenue and profit given action and state."""
        return self.expect(self)

    @property
    def shown(self) -> NDArray[np.int64]:
        """(E, K) product in each segment's slot, -1 for none; (E, 0) in a market without slots."""
        return self.slots[0].T

    @property
    def promoted(self) -> NDArray[np.bool_]:
        """(E, N) whether the product was on promotion."""
        ends = self.layout
        if ends.promoted == ends.chances:
            return np.zeros(self.list_price.shape, np.bool_)
        return self.table[ends.chances].T > 0

    @property
    def segment_units(self) -> Floats | None:
        """(E, N, K) units by segment, or None without personal discounts."""
        units = self.table[self.layout.ordered : self.layout.segments]
        return units.transpose(2, 1, 0) if len(units) else None

    @property
    def trail(self) -> NDArray[np.uint16]:
        """(E, N) bit i is set where the i-th price rule changed the price or a discount."""
        return self.rules.T

    @property
    def propensity(self) -> Floats | None:
        """(E, N) propensity that the policy stated, or None."""
        return None if self.stated is None else self.stated.T

    @property
    def rival_price(self) -> Floats:
        """(E, R) prices of the rival offers at the end of the period, currency per unit."""
        return self.offers[0].T

    @property
    def rival_units(self) -> Floats:
        """(E, R) units sold of the rival offers."""
        return self.offers[1].T

    @property
    def rival_profit(self) -> Floats:
        """(E, R) profit of the rival offers, currency."""
        return ((self.offers[0] - self.rival_cost) * self.offers[1]).T

    @property
    def list_price(self) -> Floats:
        """List price, before personal discount, currency per unit."""
        return self.table[0].T

    @property
    def paid(self) -> Floats:
        """Mean price paid, currency per unit."""
        ends = self.layout
        return self.table[ends.segments if ends.paid > ends.segments else 0].T

    @property
    def units(self) -> Floats:
        """Units sold."""
        return self.table[1 + UNITS].T

    @property
    def lost(self) -> Floats:
        """Units demanded beyond stock."""
        return self.table[1 + LOST].T

    @property
    def revenue(self) -> Floats:
        """Drawn revenue, currency."""
        return self.table[1 + REVENUE].T

    @property
    def profit(self) -> Floats:
        """Drawn profit, currency."""
        return self.table[1 + PROFIT].T

    @property
    def expected_revenue(self) -> Floats:
        """Expected revenue given action and state, currency."""
        return self.expected_money[0].T

    @property
    def expected_profit(self) -> Floats:
        """Expected profit given action and state, currency."""
        return self.expected_money[1].T

    @property
    def charge(self) -> Floats:
        """Charge of the difference rewards, currency: what the product took from others, or 0.

        See `kernels/difference_rewards.py`.
        """
        return self._credited(0)

    @property
    def baseline(self) -> Floats:
        """Baseline of the difference rewards, currency: what the product would have earned in its counterfactual, or 0."""
        return self._credited(1)

    def _credited(self, row: int) -> Floats:
        row += self.layout.promoted
        return self.table[row].T if len(self.table) > row else np.zeros_like(self.units)

    @property
    def returned(self) -> Floats:
        """Units returned."""
        return self._flow(self.layout.wanted, self.layout.returned)

    @property
    def perished(self) -> Floats:
        """Units that perished or were left at the end of a season."""
        return self._flow(self.layout.returned, self.layout.perished)

    @property
    def received(self) -> Floats:
        """Units delivered: before the sales if the lead time is 0, else for the next period."""
        return self._flow(self.layout.perished, self.layout.received)

    @property
    def ordered(self) -> Floats:
        """Units ordered, from both suppliers where there are two."""
        rows = self.table[self.layout.received : self.layout.ordered]
        return rows.sum(axis=0).T if len(rows) > 1 else self._flow(self.layout.received, self.layout.ordered)

    @property
    def express(self) -> Floats:
        """Units ordered from the supplier that delivers sooner."""
        return self._flow(self.layout.received + 1, self.layout.ordered)

    def _flow(self, row: int, end: int) -> Floats:
        return self.table[row].T if end > row else np.zeros_like(self.units)

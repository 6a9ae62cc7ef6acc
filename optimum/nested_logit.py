"""Prices that maximise the expected money from one customer who chooses by nested logit.

The derivatives of the money are zero where every price is its cost plus (1 - nesting) / sensitivity
plus a mark-up that the products of a nest share: nesting times the mean margin of the nest's
customers, plus (1 - nesting) times the money of a customer, one number for all nests. A product
whose highest price leaves less than its nest's mark-up is better not offered. Li and Huh (2011),
Pricing Multiple Products with the Multinomial Logit and Nested Logit Models, M&SOM 13(4); Gallego
and Wang (2014), Multiproduct Price Optimization and Competition Under the Nested Logit Model with
Product-Differentiated Price Sensitivities, Operations Research 62(2). Bounds bind product by
product, so the money is searched whatever the number of products and nests: at the optimum theta,
each nest's mark-up is the best of its own for theta, the maximiser of its weight times (mean margin
- theta), and the money is theta (Dinkelbach 1967, On Nonlinear Fractional Programming, Management
Science 13(7)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from ..pricing import ChoiceShares
from ..pricing.choice_formulas import nested_shares
from ..scenarios import MarketSpec, choice_model
from .problem import Array

# There may be several peaks where sensitivities differ much: the best of these is refined.
_MARKUPS = 1001
_NEST_TOLERANCE = 1e-12
_NEST_ROUNDS = 1000
# Smallest probability of leaving that nests are weighed against.
_LEAVING = 1e-300


@dataclass(frozen=True)
class NestedCustomer:
    """One customer of one segment, who chooses among the n products of a category in one period.

    Args:
        quality: (n,) utility at a price of zero.
        sensitivity: (n,) utility lost per unit of currency.
        nesting: (J,) of the category's nests.
        nest: (n,) index of each product's nest.
        low, high: (n,) price bounds, currency per unit.

    Example:
        >>> one = np.ones(1)
        >>> customer = NestedCustomer(2 * one, one, 0 * one, np.zeros(1, int), 0 * one, 10 * one)
        >>> price, money, share = customer.best(cost=0 * one)
        >>> bool(np.isclose(price[0], 1 + money))  # one product: the multinomial logit
        True
    """

    quality: Array
    sensitivity: Array
    nesting: Array
    nest: NDArray[np.intp]
    low: Array
    high: Array

    @classmethod
    def of(cls, spec: MarketSpec, period: int, segment: int, products: NDArray[np.intp], low: Array) -> NestedCustomer:
        """The customer of a market.

        Args:
            period: counted from 0.
            segment: index of the segment.
            products: indices of the products of one category.
            low: (N,) lowest prices of the market's products, currency per unit.
        """
        level, steep = choice_model(spec).linear_utility(period)
        nests, nest = np.unique(spec.nest_index[products], return_inverse=True)
        low, high = (bound[products].astype(np.float64) for bound in (low, spec.guardrails.high))
        own = segment, products
        return cls(level[own], steep[own], spec.demand.nesting[nests], nest, low, high)

    def _at(self, markup: Array, cost: Array, offered: NDArray[np.bool_] | None) -> tuple[Array, Array, ChoiceShares]:
        """Prices (B, n), expected money (B,) and shares at B rows of the nests' mark-ups (B, J)."""
        with np.errstate(divide="ignore"):
            peak = cost + (1 - self.nesting[self.nest]) / self.sensitivity
        own = markup[:, self.nest]
        price = np.clip(peak + own, self.low, self.high)
        there = price - cost > own if offered is None else offered
        utility = np.where(there, self.quality - self.sensitivity * price, -np.inf)
        shares = nested_shares(utility, self.nesting, self.nest, np.zeros(self.nesting.size, np.intp))
        return price, (np.where(there, price - cost, 0.0) * shares.product).sum(axis=1), shares

    def best(self, cost: Array, offered: NDArray[np.bool_] | None = None) -> tuple[Array, float, Array]:
        """The best prices (n,), the money that they bring, and the purchase probabilities (n,).

        Args:
            cost: (n,) currency per unit, opportunity costs of stock included.
            offered: (n,) which products are offered; by default those that bring money.
        """
        grid = np.linspace(0, max((self.high - cost).max(), 0), _MARKUPS)
        first = self._best_of(grid, cost, offered)
        markup = grid[first]
        # What the grid misses of the others' money is of second order: of several nests, two rounds suffice.
        for j in [*range(first.size)] * min(first.size, 2):
            near = grid[max(first[j] - 1, 0)], grid[min(first[j] + 1, _MARKUPS - 1)]
            markup = self._refined(markup, j, near, cost, offered)
        price, money, shares = self._at(markup[None], cost, offered)
        return price[0], float(money[0]), shares.product[0]

    def best_prices(self, cost: Array, available: NDArray[np.bool_]) -> tuple[Array, Array]:
        """The best prices (B, n) and the money (B,) of a customer, as `LogitCustomer.best_prices`, who sees all that is
        available: each nest's mark-up is set to what the last prices' mean margins and money make it.
        """
        markup = np.zeros((len(cost), self.nesting.size))
        member = np.eye(self.nesting.size)[self.nest]
        steep = self.nesting / (1 - self.nesting)
        for _ in range(_NEST_ROUNDS):
            price, money, shares = self._at(markup, cost, available)
            bought = np.maximum(shares.product @ member, _LEAVING)
            margin = (np.where(available, price - cost, 0.0) * shares.product) @ member / bought
            before = markup
            markup = np.maximum(money[:, None] + steep * (margin - markup), 0.0)
            markup = np.where(bought > _LEAVING, markup, before)
            if np.abs(markup - before).max() <= _NEST_TOLERANCE * (1 + np.abs(markup).max()):
                break
        price, money, _ = self._at(markup, cost, available)
        return np.where(available, price, self.high), money

    def _refined(
        self, markup: Array, j: int, near: tuple[float, float], cost: Array, offered: NDArray[np.bool_] | None
    ) -> Array:
        """The mark-ups (J,), with the best of nest j between two bounds."""
        own = np.arange(markup.size) == j
        found = minimize_scalar(
            lambda value: -self._at(np.where(own, value, markup)[None], cost, offered)[1][0],
            bounds=near,
            method="bounded",
            options={"xatol": 1e-10},
        )
        rows = np.stack([markup, np.where(own, found.x, markup)])
        return rows[self._at(rows, cost, offered)[1].argmax()]

    def _best_of(self, grid: Array, cost: Array, offered: NDArray[np.bool_] | None) -> NDArray[np.intp]:
        """(J,) positions of the nests' best mark-ups in a grid (B,)."""
        price, money, shares = self._at(np.repeat(grid[:, None], self.nesting.size, axis=1), cost, offered)
        member = np.eye(self.nesting.size)[self.nest]
        weight = shares.product @ member / np.maximum(shares.outside, _LEAVING)
        worth = ((price - cost) * shares.product) @ member / np.maximum(shares.outside, _LEAVING)
        theta = float(money.max())
        before = -np.inf
        best = np.empty(0, np.intp)
        while theta > before:
            best = (worth - theta * weight).argmax(axis=0)
            mine = best, np.arange(best.size)
            before = theta
            theta = worth[mine].sum() / (1 + weight[mine].sum())
        return best

"""Prices that maximise the expected money from one customer who chooses by nested logit.

With one nest beside the outside option, the derivatives of the money are zero where every price is
its cost plus (1 - nesting) / sensitivity plus a mark-up that all products share, and a product whose
highest price leaves less than that mark-up is better not offered: Li and Huh (2011), Pricing
Multiple Products with the Multinomial Logit and Nested Logit Models, M&SOM 13(4); Gallego and Wang
(2014), Multiproduct Price Optimization and Competition Under the Nested Logit Model with
Product-Differentiated Price Sensitivities, Operations Research 62(2). Bounds bind product by
product, so one number is searched whatever the number of products.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from ..pricing.choice_formulas import nested_shares
from .problem import Array

# There may be several peaks where sensitivities differ much: the best of these is refined.
_MARKUPS = 1001


@dataclass(frozen=True)
class NestedCustomer:
    """One customer of one segment, who chooses among the n products of a category in one period.

    Args:
        quality: (n,) utility at a price of zero.
        sensitivity: (n,) utility lost per unit of currency.
        nesting: (1,) the category's.
        low, high: (n,) price bounds, currency per unit.

    Example:
        >>> one = np.ones(1)
        >>> customer = NestedCustomer(2 * one, one, 0 * one, 0 * one, 10 * one)
        >>> price, money, share = customer.best(cost=0 * one)
        >>> bool(np.isclose(price[0], 1 + money))  # one product: the multinomial logit
        True
    """

    quality: Array
    sensitivity: Array
    nesting: Array
    low: Array
    high: Array

    def _at(self, markup: Array, cost: Array, offered: NDArray[np.bool_] | None) -> tuple[Array, Array, Array]:
        """Prices (B, n), expected money (B,) and shares (B, n) at B shared mark-ups."""
        with np.errstate(divide="ignore"):
            peak = cost + (1 - self.nesting) / self.sensitivity
        price = np.clip(peak + markup[:, None], self.low, self.high)
        there = price - cost > markup[:, None] if offered is None else offered
        share = nested_shares(np.where(there, self.quality - self.sensitivity * price, -np.inf), self.nesting).product
        return price, ((price - cost) * share).sum(axis=1), share

    def best(self, cost: Array, offered: NDArray[np.bool_] | None = None) -> tuple[Array, float, Array]:
        """The best prices (n,), the money that they bring, and the purchase probabilities (n,).

        Args:
            cost: (n,) currency per unit, opportunity costs of stock included.
            offered: (n,) which products are offered; by default those that bring money.
        """
        grid = np.linspace(0, max((self.high - cost).max(), 0), _MARKUPS)
        best = int(self._at(grid, cost, offered)[1].argmax())
        found = minimize_scalar(
            lambda markup: -self._at(np.array([markup]), cost, offered)[1][0],
            bounds=(grid[max(best - 1, 0)], grid[min(best + 1, _MARKUPS - 1)]),
            method="bounded",
            options={"xatol": 1e-10},
        )
        price, money, share = self._at(np.array([grid[best], found.x]), cost, offered)
        which = int(money.argmax())
        return price[which], float(money[which]), share[which]

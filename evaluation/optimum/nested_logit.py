"""Prices that maximise the expected money from one customer who chooses by nested logit.

With one nest beside the outside option, the derivatives of the money are zero where every price is
its cost plus (1 - nesting) / sensitivity plus a mark-up that all products share: Li and Huh (2011),
Pricing Multiple Products with the Multinomial Logit and Nested Logit Models, M&SOM 13(4); Gallego
and Wang (2014), Multiproduct Price Optimization and Competition Under the Nested Logit Model with
Product-Differentiated Price Sensitivities, Operations Research 62(2). Bounds bind product by
product, so one number is searched whatever the number of products.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from ...pricing.choice_formulas import nested_shares
from ...scenarios import MarketSpec
from .logit import LogitCustomer
from .problem import Array, Costs

# There may be several peaks where sensitivities differ much: the best of these is refined.
_MARKUPS = 4001


def best_prices(spec: MarketSpec, period: int, products: NDArray[np.intp]) -> Array:
    """(n,) best prices of one category's products in a period, currency per unit.

    Args:
        spec: The market; it has one segment, and prices are continuous.
        period: Counted from 0.
        products: (n,) indices of the products.
    """
    customer, cost = LogitCustomer.of(spec, period, products), Costs.of(spec).sold[products]
    nesting = spec.demand.nesting[spec.category_index[products[:1]]]
    with np.errstate(divide="ignore"):
        base = cost + (1 - nesting) / customer.sensitivity

    def prices(markup: Array) -> Array:
        """(B, n) prices at B shared mark-ups."""
        return np.clip(base + markup[:, None], customer.low, customer.high)

    def money(markup: Array) -> Array:
        """(B,) expected money from a customer."""
        asked = prices(markup)
        return ((asked - cost) * nested_shares(customer.quality - customer.sensitivity * asked, nesting).product).sum(1)

    steep = np.where(np.isfinite(base), base, 0.0)
    grid = np.linspace((customer.low - steep).min(), (customer.high - steep).max(), _MARKUPS)
    best = int(money(grid).argmax())
    around = grid[max(best - 1, 0)], grid[min(best + 1, _MARKUPS - 1)]
    found = minimize_scalar(
        lambda m: -money(np.array([m]))[0], bounds=around, method="bounded", options={"xatol": 1e-10}
    )
    return prices(np.array([found.x]))[0]

"""Prices that maximise expected money from one customer who chooses by multinomial logit.

At the optimum every product's price maximises (price - cost - theta) * weight(price), theta being the money expected from
the customer: with continuous prices, price = cost + 1 / sensitivity + theta, and theta solves
theta = sum of weight_j(c_j + 1 / b_j + theta) / b_j over the weight of leaving. With a common sensitivity b that is the
equal mark-up (1 + W) / b with W Lambert's function of sum of e^(a_j - b c_j - 1). Li and Huh (2011), Pricing Multiple
Products with the Multinomial Logit and Nested Logit Models, M&SOM 13(4). Bounds and price ladders bind product by product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...scenarios import MarketSpec
from .problem import Array

_TOLERANCE = 1e-14
_MOST_ROUNDS = 200


@dataclass(frozen=True)
class LogitCustomer:
    """One customer of one segment among N products in a period.

    quality: (N,) utility at a price of zero. sensitivity: (N,) utility lost per unit of currency. low, high: (N,) price
    bounds. allowed: N arrays of allowed prices, or None where prices are continuous. outside: weight of leaving and of
    the rival offers together.
    """

    quality: Array
    sensitivity: Array
    low: Array
    high: Array
    allowed: list[Array] | None
    outside: float = 1.0

    @classmethod
    def of(cls, spec: MarketSpec, period: int, products: NDArray[np.intp], outside: float = 1.0) -> LogitCustomer:
        """Of these products of one category, in a market of one segment."""
        category, demand = spec.category_index[products[0]], spec.demand
        allowed = [steps for n in products if (steps := spec.guardrails.allowed_prices(int(n))) is not None]
        return cls(
            quality=demand.quality[0, products]
            + demand.season[period, category]
            + demand.quality_path[period, products],
            sensitivity=demand.price_sensitivity[0, products] * demand.sensitivity_path[period, category],
            low=spec.guardrails.low[products].astype(np.float64),
            high=spec.guardrails.high[products].astype(np.float64),
            allowed=allowed or None,
            outside=outside,
        )

    def best_prices(self, cost: Array, available: NDArray[np.bool_]) -> tuple[Array, Array]:
        """Best prices (B, N) and money expected from the customer (B,), at costs (B, N) of the products in stock.

        Dinkelbach (1967), On Nonlinear Fractional Programming, Management Science 13(7): theta is set to the money of
        the prices that are best for the last theta, which is Newton's method and rises to the optimum. A product that is
        not available gets its highest price.
        """
        price, theta = np.broadcast_to(self.high, cost.shape), np.zeros(len(cost))
        for _ in range(_MOST_ROUNDS):
            price = np.where(available, self._best_for(cost + theta[:, None]), self.high)
            before, theta = theta, self._money(price, cost, available)
            if np.all(np.abs(theta - before) <= _TOLERANCE * (1 + np.abs(theta))):
                break
        return price, theta

    def _best_for(self, cost: Array) -> Array:
        """(B, N) maximisers of (price - cost) * exp(-sensitivity * price), which rises up to its peak and then falls."""
        with np.errstate(divide="ignore"):
            peak = cost + 1 / self.sensitivity
        if self.allowed is None:
            return np.clip(peak, self.low, self.high)
        best = np.empty_like(cost)
        for n, steps in enumerate(self.allowed):
            above = np.searchsorted(steps, peak[:, n])
            lower, upper = steps[np.maximum(above - 1, 0)], steps[np.minimum(above, steps.size - 1)]
            loss = np.exp(-self.sensitivity[n] * (upper - lower))
            best[:, n] = np.where((upper - cost[:, n]) * loss > lower - cost[:, n], upper, lower)
        return best

    def _money(self, price: Array, cost: Array, available: NDArray[np.bool_]) -> Array:
        utility = np.where(available, self.quality - self.sensitivity * price, -np.inf)
        # Nothing overflows if the greatest weight is one.
        top = np.maximum(utility.max(axis=1, keepdims=True), np.log(self.outside))
        weight = np.exp(utility - top)
        total = self.outside * np.exp(-top[:, 0]) + weight.sum(axis=1)
        return (np.where(available, price - cost, 0.0) * weight).sum(axis=1) / total

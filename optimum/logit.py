"""Prices that maximise the expected money from one customer who chooses by multinomial logit.

At the optimum every product's price maximises (price - cost - theta) * weight(price), where theta
is the money expected from the customer. With continuous prices, price = cost + 1 / sensitivity +
theta, and theta solves theta = sum of weight_j(c_j + 1 / b_j + theta) / b_j over the weight of the
outside option. With a common sensitivity b that is the equal mark-up (1 + W) / b, with W Lambert's
function of sum of e^(a_j - b c_j - 1). Li and Huh (2011), Pricing Multiple Products with the
Multinomial Logit and Nested Logit Models, M&SOM 13(4). Bounds and price ladders bind product by
product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..pricing import ChoiceShares, choice_shares
from ..scenarios import MarketSpec, choice_model
from .problem import Array

_MARKUP_TOLERANCE = 1e-14
_MARKUP_ROUNDS = 200


@dataclass(frozen=True)
class LogitCustomer:
    """One customer of one segment, who chooses among N products in one period.

    Args:
        quality: (N,) utility at a price of zero.
        sensitivity: (N,) utility lost per unit of currency.
        power: (N,) utility lost per log point of price.
        low, high: (N,) price bounds, currency per unit.
        allowed: N arrays of allowed prices; None where prices are continuous.
        outside: exp(utility) of the outside option, rival offers included.

    Example:
        >>> one = np.ones(1)
        >>> customer = LogitCustomer(2 * one, one, 0 * one, one, 10 * one, allowed=None)
        >>> price, money = customer.best_prices(cost=np.zeros((1, 1)), available=np.ones((1, 1), bool))
        >>> bool(np.isclose(price[0, 0], 1 + money[0]))  # the mark-up is 1 / sensitivity + theta
        True
    """

    quality: Array
    sensitivity: Array
    power: Array
    low: Array
    high: Array
    allowed: list[Array] | None
    outside: float = 1.0

    @classmethod
    def of(cls, spec: MarketSpec, period: int, products: NDArray[np.intp], outside: float = 1.0) -> LogitCustomer:
        """The customer of a market with one segment.

        Args:
            period: counted from 0.
            products: indices of the products of one category.
            outside: as of the class.
        """
        level, steep = choice_model(spec).linear_utility(period)
        allowed = [steps for n in products if (steps := spec.guardrails.allowed_prices(int(n))) is not None]
        fixed, slope, power = (rows[0, products] for rows in linear_and_log(spec, steep))
        low, high = (bound[products].astype(np.float64) for bound in (spec.guardrails.low, spec.guardrails.high))
        return cls(level[0, products] - fixed, slope, power, low, high, allowed or None, outside)

    def shares(self, price: Array, available: NDArray[np.bool_]) -> ChoiceShares:
        """Choice probabilities at prices (B, N), among the products that are available (B, N)."""
        utility = np.where(available, self.quality - self._lost(price), -np.inf)
        return choice_shares(utility, outside=self.outside)

    def best_prices(self, cost: Array, available: NDArray[np.bool_]) -> tuple[Array, Array]:
        """The best prices and the money that they bring.

        Dinkelbach (1967), On Nonlinear Fractional Programming, Management Science 13(7): theta is
        set to the money of the prices that are best for the last theta, which is Newton's method
        and rises to the optimum.

        Args:
            cost: (B, N) currency per unit, opportunity costs of stock included.
            available: (B, N) which products can be sold; the others get their highest price.

        Returns:
            Prices (B, N), and the money expected from the customer (B,).
        """
        price = np.broadcast_to(self.high, cost.shape)
        theta = np.zeros(len(cost))
        for _ in range(_MARKUP_ROUNDS):
            price = np.where(available, self._best_for(cost + theta[:, None]), self.high)
            margin = np.where(available, price - cost, 0.0)
            before = theta
            theta = (margin * self.shares(price, available).product).sum(axis=1)
            if np.all(np.abs(theta - before) <= _MARKUP_TOLERANCE * (1 + np.abs(theta))):
                break
        return price, theta

    def _lost(self, price: Array) -> Array:
        """Utility lost at a price, up to a constant."""
        return self.sensitivity * price + (self.power * np.log(price) if self.power.any() else 0.0)

    def _best_for(self, cost: Array) -> Array:
        """(B, N) maximisers of (price - cost) times the weight, which rises to its peak and then falls."""
        peak = best_price(cost, self.sensitivity, self.power, self.low, self.high)
        if self.allowed is None:
            return peak
        best = np.empty_like(cost)
        for n, steps in enumerate(self.allowed):
            above = np.searchsorted(steps, peak[:, n])
            lower = steps[np.maximum(above - 1, 0)]
            upper = steps[np.minimum(above, steps.size - 1)]
            loss = np.exp(self._lost(lower[:, None])[:, n] - self._lost(upper[:, None])[:, n])
            best[:, n] = np.where((upper - cost[:, n]) * loss > lower - cost[:, n], upper, lower)
        return best


def linear_and_log(spec: MarketSpec, steep: Array) -> tuple[Array, Array, Array]:
    """Felt prices times (…, N) price sensitivities, taken apart: a constant, and what multiplies the price and its
    logarithm.
    """
    curved = steep * spec.demand.price_curvature * spec.products.regular_price
    return curved * (1 - np.log(spec.products.regular_price)), steep * (1 - spec.demand.price_curvature), curved


def best_price(floor: Array, slope: Array, power: Array, low: Array, high: Array) -> Array:
    """Maximiser of (price - floor) * exp(-slope * price) * price ** -power in [low, high]."""
    slope = np.maximum(slope, 1e-12)
    # The derivative is zero where price**2 - 2 * half * price - rest = 0, and the peak is the larger root, half + root.
    half = (slope * floor + 1 - power) / (2 * slope)
    rest = power * floor / slope
    root = np.sqrt(np.maximum(half**2 + rest, 0))
    # Where half is negative, half + root subtracts two large numbers; rest / (root - half) is the same and does not.
    peak = np.where(half < 0, rest / np.maximum(root - half, 1e-300), half + root)
    price = np.clip(peak, low, high)
    if not (power.any() and (floor < 0).any()):
        return price

    def log_of_maximised(price: Array) -> Array:
        return np.log(price - floor) - slope * price - power * np.log(price)

    # With a floor below zero and a power there are two maxima: this peak, and the lowest price.
    with np.errstate(divide="ignore", invalid="ignore"):  # where the floor is above the lowest price
        at_lowest = log_of_maximised(np.broadcast_to(low, price.shape))
        at_peak = log_of_maximised(price)
    return np.where(at_lowest > at_peak, low, price)

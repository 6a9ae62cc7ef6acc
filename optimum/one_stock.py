"""One product with finite stock that is never replenished, and an observed regime: its demand, and its optimum in
continuous time.

Gallego and van Ryzin (1994), Optimal Dynamic Pricing of Inventories with Stochastic Demand over Finite
Horizons, Management Science 40(8).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import gammaln, logsumexp

from ..envs import expected_units
from ..scenarios import MarketSpec
from .problem import Array, demand_mass, has_horizon, prices_are_free, sections_on, stock_settings

MOST_UNITS = 2000


def covers(spec: MarketSpec) -> bool:
    """Whether units on hand and an observed regime are the whole state, and the states are few."""
    return (
        len(spec.products.names) == 1
        and spec.stock.initial_units[0] <= MOST_UNITS
        and stock_settings(spec)
        <= {"initial_units", "lead_time_periods", "holding_cost", "lost_sale_cost", "salvage_value"}
        and sections_on(spec) <= {"regimes"}
        and (spec.regimes is None or spec.regimes.observed)
        and prices_are_free(spec)
        and has_horizon(spec)
    )


def demand_at(spec: MarketSpec, period: int, prices: Array, regime: int) -> Array:
    """(P, D + 1) probability of each demand at each price."""
    units = expected_units(spec, period, prices[:, None], regime=np.full(prices.size, regime))
    return demand_mass(spec, units.sum(axis=(1, 2)))


class ClosedForm(NamedTuple):
    """The optimum in continuous time with exponential demand.

    Attributes:
        value: Expected revenue, currency.
        price: Initial price, currency per unit.
        bound: The fluid bound, currency.
    """

    value: float
    price: float
    bound: float


def gallego_van_ryzin(units: int, demand: float, *, scale: float = 1.0) -> ClosedForm:
    """The optimum in continuous time where customers buy with probability exp(-price / scale).

    Gallego and van Ryzin (1994), section 2.3: V(n) = scale * ln(sum of x^i / i! for i <= n), the
    price is V(n) - V(n - 1) + scale, and the fluid bound is scale * x, or n * scale * ln(x e / n)
    where stock is short.

    Args:
        units: n, units on hand, at least 1.
        demand: x, the customers of all the time left over e: the units that the best price sells
            without a stock limit.
        scale: Currency per unit.

    Raises:
        ValueError: For less than 1 unit or a demand that is not positive.

    Example:
        >>> from repricer.optimum import gallego_van_ryzin
        >>> round(gallego_van_ryzin(1, 1.0).value, 4)
        0.6931
    """
    if units < 1 or demand <= 0:
        raise ValueError(f"units must be at least 1 and demand above 0; got {units} and {demand}; fix them")
    i = np.arange(units + 1)
    terms = i * np.log(demand) - gammaln(i + 1)
    value, without = scale * logsumexp(terms), scale * logsumexp(terms[:-1])
    bound = scale * demand if demand <= units else units * scale * (np.log(demand / units) + 1)
    return ClosedForm(float(value), float(value - without + scale), float(bound))

"""One product with finite stock that is never replenished, and an observed regime.

Backward induction over (units on hand, regime): Gallego and van Ryzin (1994), Optimal Dynamic
Pricing of Inventories with Stochastic Demand over Finite Horizons, Management Science 40(8);
Talluri and van Ryzin (2004), The Theory and Practice of Revenue Management, chapter 5.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln, logsumexp

from ..envs import expected_units
from ..pricing import StockTimePrice
from ..scenarios import MarketSpec
from .problem import (
    Array,
    Costs,
    Optimum,
    Units,
    demand_mass,
    has_horizon,
    method_of,
    optimise,
    price_grid,
    prices_are_free,
    sections_on,
    stock_settings,
)

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
        and not spec.arrivals.overdispersion.any()
        and prices_are_free(spec)
        and has_horizon(spec)
    )


def solve(spec: MarketSpec) -> Optimum | None:
    """The optimum of a market that `covers` admits, else None.

    Continuous prices are searched on a grid of step .0025, or of 400 steps where these are smaller.
    """
    if not covers(spec):
        return None
    prices, costs = price_grid(spec), Costs.of(spec)
    units = np.arange(int(spec.stock.initial_units[0]) + 1)
    transition, initial = chain(spec)

    @functools.lru_cache(maxsize=1)
    def demand(period: int) -> list[Array]:
        return [demand_at(spec, period, prices, z) for z in range(initial.size)]

    def step(period: int, future: Array) -> tuple[Array, Array]:
        """Best value and price of each regime and number of units, both (Z, S + 1)."""
        values, best = np.empty_like(future), np.empty_like(future)
        for z, (mass, ahead) in enumerate(zip(demand(period), transition @ future, strict=True)):
            money = period_money(costs, mass, prices, units, ahead)
            best[z], values[z] = prices[money.argmax(axis=0)], money.max(axis=0)
        return values, best

    last = np.tile(spec.stock.salvage_value[0] * units, (initial.size, 1))
    values, table = optimise(spec, step, last)
    return Optimum(float(initial @ values[:, -1]), method_of(spec), StockTimePrice(np.array(table)))


def chain(spec: MarketSpec) -> tuple[Array, Array]:
    """The regimes' transition matrix and initial probabilities; a single regime where there are none."""
    if spec.regimes is None:
        return np.ones((1, 1)), np.ones(1)
    return spec.regimes.transition, spec.regimes.initial


def demand_at(spec: MarketSpec, period: int, prices: Array, regime: int) -> Array:
    """(P, D + 1) probability of each demand at each price."""
    units = expected_units(spec, period, prices[:, None], regime=np.full(prices.size, regime))
    return demand_mass(spec, units.sum(axis=(1, 2)))


def period_money(costs: Costs, mass: Array, prices: Array, units: Units, ahead: Array) -> Array:
    """(P, S + 1) money of a period and all later ones, by price and units on hand."""
    demand = np.arange(mass.shape[1])[:, None]
    sold = np.minimum(demand, units)
    left = units - sold
    # No customer chooses a product that is sold out, so no sale is lost then.
    lost = np.where(units > 0, demand - sold, 0)
    rest = ahead[left] - costs.holding[0] * left - costs.lost[0] * lost
    money = (prices - costs.sold[0])[:, None] * (mass @ sold) + mass @ rest
    money[:, 0] = ahead[0]
    return money


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

"""What the solvers share: which parts of a market are on, what may be charged, what counts, and how long it lasts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import poisson

from ...pricing import Policy
from ...scenarios import MarketSpec
from ...scenarios.sections import Stock

Array = NDArray[np.float64]
Units = NDArray[np.intp]

_CONTINUOUS_STEP = 0.0025
_MOST_PRICES = 10_000
# Demand rarer than this moves no value by a visible digit.
_RARE = 1e-15
# Relative accuracy of a value that is iterated to; nearer to one than this discount factor, it would take too long.
_TOLERANCE = 1e-11
_MOST_PATIENT = 0.9999


@dataclass(frozen=True)
class Optimum:
    """The optimal value of an episode (currency), how it was found, and the policy that earns it.

    Where the market goes on after the episode and money is discounted, the value is that of the endless market from its
    opening. A simulated episode stops after T periods and misses what the market is worth then, discounted by
    discount_factor ** T.
    """

    value: float
    method: str
    policy: Policy


def sections_on(spec: MarketSpec) -> set[str]:
    """Names of the optional sections that are on. `history` is left out: it is a record and moves nothing."""
    optional = {item.name for item in fields(spec) if item.default is None} - {"history"}
    return {name for name in optional if getattr(spec, name) is not None}


def stock_settings(spec: MarketSpec) -> set[str]:
    """Names of the stock settings that are not at their default; one season that is the episode is the default."""
    settings = {item.name for item in fields(Stock) if np.any(getattr(spec.stock, item.name) != item.default)}
    one_season = spec.stock.season_periods == spec.market.horizon_periods and spec.market.ending == "terminated"
    return settings - {"season_periods"} if one_season else settings


def prices_are_free(spec: MarketSpec) -> bool:
    """Whether any allowed price may follow any other, and all customers pay it."""
    return spec.guardrails.bounds_only and spec.prices.max_discount == 0


def is_stationary(spec: MarketSpec) -> bool:
    """Whether demand is the same in every period."""
    tables = (spec.arrivals.rate, spec.demand.season, spec.demand.quality_path, spec.demand.sensitivity_path)
    return all((table == table[0]).all() for table in tables)


def is_endless(spec: MarketSpec) -> bool:
    """Whether the value is that of a market that goes on for ever: a discounted sum without an end."""
    return spec.market.ending == "truncated" and spec.market.discount_factor <= _MOST_PATIENT and is_stationary(spec)


def has_horizon(spec: MarketSpec) -> bool:
    """Whether the future has a value: a season that ends, or an endless market without an end to pay salvage at."""
    if spec.market.ending == "terminated":
        return True
    return is_endless(spec) and not spec.stock.salvage_value.any()


def price_grid(spec: MarketSpec, product: int = 0, *, most: int = _MOST_PRICES) -> Array:
    """The allowed prices, or where prices are continuous a grid of step .0025, wider where that makes too many."""
    allowed = spec.guardrails.allowed_prices(product)
    if allowed is not None:
        return allowed
    low, high = float(spec.guardrails.low[product]), float(spec.guardrails.high[product])
    return np.linspace(low, high, int(np.clip(np.ceil((high - low) / _CONTINUOUS_STEP - 1e-3), 1, most)) + 1)


@dataclass(frozen=True)
class Costs:
    """What counts against the objective: (N,) currency per unit, or per order; all zero where it is revenue.

    sold, ordered: unit cost, charged on units sold or ordered. order: per order. holding, backlog: per unit on hand, or
    owed, at a period's end. lost: per unit of lost sales.
    """

    sold: Array
    ordered: Array
    order: Array
    holding: Array
    lost: Array
    backlog: Array

    @classmethod
    def of(cls, spec: MarketSpec) -> Costs:
        """From a spec."""
        stock, counts = spec.stock, float(spec.market.objective == "profit")
        unit = counts * spec.products.unit_cost
        none = np.zeros_like(unit)
        return cls(
            sold=unit if stock.cost_due == "sold" else none,
            ordered=unit if stock.cost_due == "ordered" else none,
            order=counts * stock.order_cost,
            holding=counts * stock.holding_cost,
            lost=counts * stock.lost_sale_cost,
            backlog=counts * stock.backlog_cost,
        )


def most_demand(spec: MarketSpec, mean: Array) -> int:
    """D, the highest demand for one product that matters at any of these means (B,)."""
    return 1 if spec.arrivals.process == "single" else int(poisson.isf(_RARE, mean.max())) + 1


def demand_mass(spec: MarketSpec, mean: Array) -> Array:
    """(B, D + 1) probability of each demand for one product, given its mean (B,); the last column takes the tail.

    With at most one customer a period the mean is the probability of one sale; otherwise demand is Poisson.
    """
    if spec.arrivals.process == "single":
        return np.column_stack([1 - mean, mean])
    mass = np.asarray(poisson.pmf(np.arange(most_demand(spec, mean) + 1), mean[:, None]))
    mass[:, -1] = np.maximum(0.0, 1.0 - mass[:, :-1].sum(axis=1))
    return mass


def optimise(spec: MarketSpec, step: Callable[[int, Array], tuple[Array, Any]], last: Array) -> tuple[Array, list[Any]]:
    """Optimal values of the opening states, and the decisions: one a period, or one for all where the market is endless.

    step(period, future): the best values of a period's states, and the decisions that earn them, given the discounted
    value of each state that may follow; where all periods are alike, it is asked for the first again and again. last:
    what the states are worth after the season's last period (salvage). `has_horizon` must hold.
    """
    if is_endless(spec):
        return _value_iteration(step, last, spec.market.discount_factor)
    values, decisions, alike = last, [], is_stationary(spec)
    for period in reversed(range(spec.market.horizon_periods)):
        future = spec.market.discount_factor * values if decisions else last
        values, decision = step(0 if alike else period, future)
        decisions.append(decision)
    return values, decisions[::-1]


def _value_iteration(
    step: Callable[[int, Array], tuple[Array, Any]], values: Array, discount: float
) -> tuple[Array, list[Any]]:
    """Until the bounds of MacQueen (1966, A Modified Dynamic Programming Method for Markovian Decision Problems) meet.

    They do so at the latest when what was guessed at first is discounted to nothing.
    """
    left = 1.0
    while True:
        before, left = values, left * discount
        values, decision = step(0, discount * before)
        change = values - before
        ahead = discount / (1 - discount) * np.array([change.min(), change.max()])
        if left <= _TOLERANCE or ahead[1] - ahead[0] <= _TOLERANCE * np.abs(values).max():
            return values + ahead.mean(), [decision]


def method_of(spec: MarketSpec) -> str:
    """How `optimise` goes about it."""
    return "value iteration" if is_endless(spec) else "backward induction"

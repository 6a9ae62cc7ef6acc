"""What the solvers share: active sections, allowed prices, costs, horizon and dynamic programming."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import nbinom, poisson

from ..pricing import Policy
from ..scenarios import MarketSpec
from ..scenarios.sections import Stock

Array = NDArray[np.float64]
Units = NDArray[np.intp]

_CONTINUOUS_STEP = 0.0025
_FEWEST_STEPS = 400
_MOST_GRID_PRICES = 10_000
# Demand with a lower probability changes no visible digit of a value.
_RARE = 1e-15
# Relative accuracy of value iteration; with a discount factor above the limit it would take too
# long.
_HORIZON_TOLERANCE = 1e-11
_MOST_PATIENT = 0.9999


@dataclass(frozen=True)
class Optimum:
    """The optimal policy of a market and its value.

    Where the market goes on after the episode and money is discounted, the value is that of the
    infinite-horizon market from its initial state, whose calendar starts again (see `cycle_periods`). A simulated
    episode stops after T periods and misses the value of the periods after, discounted by `discount_factor ** T`.

    Attributes:
        value: Optimal expected money of an episode, currency.
        method: How it was found.
        policy: The policy that earns it.

    Example:
        >>> from repricer.evaluation import solve
        >>> from repricer.scenarios import load_scenario
        >>> solve(load_scenario("stationary-logit")).method
        'backward induction'
    """

    value: float
    method: str
    policy: Policy = field(repr=False)


def sections_on(spec: MarketSpec) -> set[str]:
    """Names of the optional sections that are on, except `plan` and `fairness`, records without effect; and `vat` where
    prices hold VAT, which no solver subtracts.
    """
    optional = {item.name for item in fields(spec) if item.default is None} - {"plan", "fairness"}
    found = {name for name in optional if getattr(spec, name) is not None}
    return found | {"vat"} if spec.products.vat.any() else found


def stock_settings(spec: MarketSpec) -> set[str]:
    """Names of the stock settings that are not at their default; a season as long as the episode counts as default."""
    settings = {item.name for item in fields(Stock) if np.any(getattr(spec.stock, item.name) != item.default)}
    one_season = spec.stock.season_periods == spec.market.horizon_periods and spec.market.ending == "terminated"
    return settings - {"season_periods"} if one_season else settings


def prices_are_free(spec: MarketSpec) -> bool:
    """Whether any allowed price may follow any other, and all customers pay it."""
    return spec.guardrails.bounds_only and spec.prices.max_discount == 0


def cycle_periods(spec: MarketSpec) -> int:
    """Periods after which the calendar of demand starts again: the fewest that repeat within the episode, else all of it."""
    demand = spec.demand
    tables = (spec.arrivals.rate, demand.season, demand.quality_path, demand.sensitivity_path)
    horizon = int(spec.market.horizon_periods)
    repeats = (p for p in range(1, horizon // 2 + 1) if all((each[p:] == each[:-p]).all() for each in tables))
    return next(repeats, horizon)


def is_stationary(spec: MarketSpec) -> bool:
    """Whether demand is the same in every period, and no capacity is added in any."""
    return cycle_periods(spec) == 1 and _is_never_refilled(spec)


def _is_never_refilled(spec: MarketSpec) -> bool:
    return spec.capacity is None or not spec.capacity.added.any()


def is_infinite_horizon(spec: MarketSpec) -> bool:
    """Whether the value is a discounted sum over an infinite horizon, in which the calendar starts again and again."""
    patient = spec.market.discount_factor > _MOST_PATIENT
    return spec.market.ending == "truncated" and not patient and _is_never_refilled(spec)


def table_periods(spec: MarketSpec) -> int:
    """Periods of which a policy may differ: those of the season, or of a cycle of an infinite horizon."""
    return cycle_periods(spec) if is_infinite_horizon(spec) else int(spec.market.horizon_periods)


def has_horizon(spec: MarketSpec) -> bool:
    """Whether the future has a well-defined value: a season that ends, or an infinite horizon without salvage value."""
    if spec.market.ending == "terminated":
        return True
    return is_infinite_horizon(spec) and not spec.stock.salvage_value.any()


def price_grid(spec: MarketSpec, product: int = 0, *, most: int = _MOST_GRID_PRICES) -> Array:
    """The allowed prices, or where prices are continuous a grid of step .0025, wider where that
    makes too many, narrower where the prices of a cheap product would be too few.
    """
    allowed = spec.guardrails.allowed_prices(product)
    if allowed is not None:
        return allowed
    low = float(spec.guardrails.low[product])
    high = float(spec.guardrails.high[product])
    fewest = _FEWEST_STEPS if high > low else 1
    return np.linspace(low, high, int(min(max(np.ceil((high - low) / _CONTINUOUS_STEP - 1e-3), fewest), most)) + 1)


@dataclass(frozen=True)
class Costs:
    """Costs that the objective counts, (N,) each; all zero where it is revenue.

    Attributes:
        sold: Unit cost where it is due on units sold, currency per unit.
        ordered: Unit cost where it is due on units ordered, currency per unit.
        order: Currency per order.
        holding: Currency per unit on hand at the end of a period.
        lost: Currency per unit of lost sales.
        backlog: Currency per unit owed at the end of a period.
    """

    sold: Array
    ordered: Array
    order: Array
    holding: Array
    lost: Array
    backlog: Array

    @classmethod
    def of(cls, spec: MarketSpec) -> Costs:
        """The costs of a market."""
        stock = spec.stock
        counts = float(spec.market.objective == "profit")
        sold = float(stock.cost_due == "sold") * spec.products.unit_cost
        parts = (sold, spec.products.unit_cost - sold, stock.order_cost, stock.holding_cost)
        return cls(*(counts * part for part in (*parts, stock.lost_sale_cost, stock.backlog_cost)))


def chain(spec: MarketSpec) -> tuple[Array, Array]:
    """The regimes' transition matrix and initial probabilities; a single regime where there are none."""
    if spec.regimes is None:
        return np.ones((1, 1)), np.ones(1)
    return spec.regimes.transition, spec.regimes.initial


def most_demand(spec: MarketSpec, mean: Array, product: int = 0) -> int:
    """D, the highest demand for one product that matters at any of these means."""
    if spec.arrivals.process == "single":
        return 1
    return int(_demand_of(spec, np.asarray(mean).max(), product).isf(_RARE)) + 1


def _demand_of(spec: MarketSpec, mean: Array, product: int) -> Any:
    """The distribution of demand: Poisson, or negative binomial where a gamma multiplier disperses it more."""
    variance = float(spec.arrivals.overdispersion[product])
    return nbinom(1 / variance, 1 / (1 + variance * mean)) if variance else poisson(mean)


def demand_mass(spec: MarketSpec, mean: Array, product: int = 0) -> Array:
    """(B, D + 1) probability of each demand for one product, given its mean (B,); the last column
    takes the tail.

    With at most one customer a period the mean is the probability of one sale.
    """
    if spec.arrivals.process == "single":
        return np.column_stack([1 - mean, mean])
    units = np.arange(most_demand(spec, mean, product) + 1)
    mass = np.asarray(_demand_of(spec, mean[:, None], product).pmf(units))
    mass[:, -1] = np.maximum(0.0, 1.0 - mass[:, :-1].sum(axis=1))
    return mass


def optimise(spec: MarketSpec, step: Callable[[int, Array], tuple[Array, Any]], last: Array) -> tuple[Array, list[Any]]:
    """Solve a market by dynamic programming; `has_horizon` must hold.

    Args:
        step: Of a period and the discounted values of the states that may follow, the best values
            of the period's states and the decisions that earn them. Where demand is stationary it
            is called for period 0 every time.
        last: Values of the states after the last period (salvage).

    Returns:
        Optimal values of the initial states, and the decisions: one entry per period (of a cycle, for an infinite
        horizon).
    """
    if is_infinite_horizon(spec):
        return _value_iteration(step, last, spec.market.discount_factor, cycle_periods(spec))
    values = last
    decisions = []
    stationary = is_stationary(spec)
    for period in reversed(range(spec.market.horizon_periods)):
        future = spec.market.discount_factor * values if decisions else last
        values, decision = step(0 if stationary else period, future)
        decisions.append(decision)
    return values, decisions[::-1]


def _value_iteration(
    step: Callable[[int, Array], tuple[Array, Any]], values: Array, discount: float, periods: int
) -> tuple[Array, list[Any]]:
    """Value iteration, a cycle of periods at a time, until the bounds of MacQueen meet.

    MacQueen (1966), A Modified Dynamic Programming Method for Markovian Decision Problems. The
    bounds meet at the latest when the initial guess is discounted to nothing.
    """
    guess_weight = 1.0  # what the initial guess still counts for
    cycle = discount**periods
    while True:
        before = values
        guess_weight = guess_weight * cycle
        decisions = []
        for period in reversed(range(periods)):
            values, decision = step(period, discount * values)
            decisions.append(decision)
        change = values - before
        # All further cycles add at least the first of these to every value, and at most the second.
        bounds = cycle / (1 - cycle) * np.array([change.min(), change.max()])
        met = bounds[1] - bounds[0] <= _HORIZON_TOLERANCE * np.abs(values).max()
        if guess_weight <= _HORIZON_TOLERANCE or met:
            return values + bounds.mean(), decisions[::-1]


def method_of(spec: MarketSpec) -> str:
    """Name of the method of `optimise`."""
    return "value iteration" if is_infinite_horizon(spec) else "backward induction"

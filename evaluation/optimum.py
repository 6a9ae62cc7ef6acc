"""Exact values: the optimum by backward induction, and any deterministic policy's value by forward induction.

One product whose stock is finite and never replenished, Poisson demand that is independent between periods: the state
is the units on hand (Gallego and van Ryzin 1994; Talluri and van Ryzin 2004, chapter 5). Other markets have no solver
here; the functions then return None.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import poisson

from ..envs import catalogue_of, expected_units
from ..pricing import Action, MarketView, Policy, StockTimePrice
from ..scenarios import MarketSpec

_CONTINUOUS_STEP = 0.0025
# Branches rarer than this change a value by less than a billionth of an episode's money.
_NEGLIGIBLE = 1e-12


@dataclass(frozen=True)
class Optimum:
    """The optimal value of an episode (currency), how it was found, and the policy that earns it."""

    value: float
    method: str
    policy: StockTimePrice


def solvable(spec: MarketSpec) -> bool:
    """Whether units on hand are the whole state and there are few of them."""
    stock = spec.stock
    return (
        len(spec.products.names) == 1
        and np.isfinite(stock.initial_units[0])
        and stock.initial_units[0] <= 2000
        and stock.replenishment == "none"
        and not spec.arrivals.overdispersion.any()
        and not stock.holding_cost.any()
        and not stock.lost_sale_cost.any()
        and spec.reference_price is None
        and spec.recommendation is None
        and spec.prices.max_discount == 0
        and spec.prices.max_change is None
    )


@functools.lru_cache(maxsize=16)
def solve(spec: MarketSpec) -> Optimum | None:
    """The optimum of a solvable market over its price ladder (or a fine grid of the price range), else None."""
    if not solvable(spec):
        return None
    prices = _prices(spec)
    margin = prices - _unit_cost(spec)
    stock, horizon = int(spec.stock.initial_units[0]), int(spec.market.horizon_periods)
    values, table = np.zeros(stock + 1), np.full((horizon, stock + 1), prices[-1])
    for t in reversed(range(horizon)):
        later, values = values, np.zeros(stock + 1)
        mass = _demand_mass(spec, t, prices, stock)
        tail = 1.0 - np.cumsum(mass, axis=1)
        for n in range(1, stock + 1):
            sold = np.arange(n)
            stay = mass[:, :n] @ (spec.market.discount_factor * later[n - sold])
            money = margin * (mass[:, :n] @ sold + n * tail[:, n - 1])
            total = money + stay + spec.market.discount_factor * tail[:, n - 1] * later[0]
            best = total.argmax()
            values[n], table[t, n] = total[best], prices[best]
    return Optimum(float(values[stock]), "backward induction", StockTimePrice(table))


def exact_value(spec: MarketSpec, policy: Policy, *, states: int = 200_000) -> float | None:
    """The expected money of a deterministic policy's episode, or None where it cannot be had exactly.

    The distribution over (units on hand, units sold last, price in force) is carried forward, since a policy may look
    at all three. None for markets that `solvable` leaves out and for policies with too many reachable states.
    """
    if not solvable(spec):
        return None
    cost, discount = _unit_cost(spec), spec.market.discount_factor
    opening = np.clip(spec.products.regular_price, spec.guardrails.low, spec.guardrails.high)[0]
    state = np.array([[np.floor(spec.stock.initial_units[0]), 0.0, opening]])
    weight, value = np.ones(1), 0.0
    for t in range(int(spec.market.horizon_periods)):
        price = _prices_charged(spec, policy, t, state)
        parts, shares, price_index = [], [], {}
        for p in np.unique(price):
            price_index[p] = _demand_mass(spec, t, np.array([p]), int(state[:, 0].max()))[0]
        for row, mass_now, p in zip(state, weight, price, strict=True):
            units = int(row[0])
            mass = price_index[p][: units + 1].copy()
            mass[units] = max(0.0, 1.0 - mass[:units].sum())
            sold = np.flatnonzero(mass_now * mass > _NEGLIGIBLE)
            value += discount**t * mass_now * (p - cost) * float(mass @ np.arange(units + 1))
            parts.append(np.column_stack([units - sold, sold, np.full(sold.size, p)]))
            shares.append(mass_now * mass[sold])
        state, inverse = np.unique(np.concatenate(parts), axis=0, return_inverse=True)
        weight = np.bincount(inverse.reshape(-1), np.concatenate(shares))
        if len(state) > states:
            return None
    return value


def _prices_charged(spec: MarketSpec, policy: Policy, period: int, state: NDArray[np.float64]) -> NDArray[np.float64]:
    """(S,) price that the policy charges after the guardrails in each state (units, last units, price in force)."""
    column = state[:, :, None].astype(np.float32)
    view = MarketView(
        catalogue=catalogue_of(spec),
        period=np.full(len(state), period),
        list_price=column[:, 2],
        reference_price=np.full((len(state), 1), spec.products.regular_price[0], np.float32),
        on_hand=column[:, 0],
        on_order=np.zeros((len(state), 1), np.float32),
        last_units=column[:, 1],
    )
    action: Action = policy.act(view)
    return spec.guardrails.apply(action, view).price[:, 0].astype(np.float64)


def _prices(spec: MarketSpec) -> NDArray[np.float64]:
    low, high = float(spec.guardrails.low[0]), float(spec.guardrails.high[0])
    if spec.prices.price_ladder is not None:
        steps = spec.prices.price_ladder.steps
        return steps[(steps >= low - 1e-6) & (steps <= high + 1e-6)]
    return np.arange(low, high + _CONTINUOUS_STEP / 2, _CONTINUOUS_STEP)


def _unit_cost(spec: MarketSpec) -> float:
    return float(spec.products.unit_cost[0]) if spec.market.objective == "profit" else 0.0


def _demand_mass(spec: MarketSpec, period: int, prices: NDArray[np.float64], units: int) -> NDArray[np.float64]:
    """(P, units + 1) probability of each demand at each price."""
    mean = expected_units(spec, period, prices[:, None]).sum(axis=(1, 2))
    return np.asarray(poisson.pmf(np.arange(units + 1), mean[:, None]))

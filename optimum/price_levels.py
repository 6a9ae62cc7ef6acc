"""One product whose allowed prices depend on the current one: prices that only fall or only rise, or
that change by little, on a ladder.

Backward induction over (regime, current price, units on hand): Bitran and Mondschein (1997),
Periodic Pricing of Seasonal Products in Retailing, Management Science 43(1), where prices only
fall. The best value over the prices within reach replaces that over all prices.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..envs import catalogue_of, expected_units
from ..pricing import Action, MarketView
from ..scenarios import MarketSpec
from .one_stock import chain, demand_at, period_money
from .problem import Array, Costs, Optimum, has_horizon, method_of, optimise, sections_on, stock_settings

_MOST_UNITS = 2000
# Entries of the comparison of all prices within reach of all others, and of the price table.
_MOST_PAIRS, _MOST_ENTRIES = 20_000_000, 50_000_000


def covers(spec: MarketSpec) -> bool:
    """Whether current price, units on hand and an observed regime are the whole state, and the states are few."""
    rules, units = spec.guardrails, float(spec.stock.initial_units[0])
    finite = {"initial_units", "holding_cost", "lost_sale_cost", "salvage_value"}
    return (
        len(spec.products.names) == 1
        and stock_settings(spec) <= {"lead_time_periods"} | finite
        and (np.isinf(units) or (units <= _MOST_UNITS and not spec.arrivals.overdispersion.any()))
        and sections_on(spec) <= {"regimes"}
        and (spec.regimes is None or spec.regimes.observed)
        and not rules.bounds_only
        and rules.frozen is None
        and rules.max_changes is None
        and not len(rules.planned_rows)
        and spec.prices.max_discount == 0
        and has_horizon(spec)
        and _is_small(spec)
    )


def _is_small(spec: MarketSpec) -> bool:
    prices, units = spec.guardrails.allowed_prices(), float(spec.stock.initial_units[0])
    if prices is None:
        return False
    states = max(spec.sizes["Z"], 1) * (prices.size + 1) * (1 if np.isinf(units) else units + 1)
    return states * prices.size <= _MOST_PAIRS and states * spec.market.horizon_periods <= _MOST_ENTRIES


@dataclass(frozen=True)
class PriceLevelTable:
    """A table of prices by period, regime, current price and units on hand.

    Attributes:
        levels: (I,) current prices, rising, currency per unit.
        table: (T, Z, I, S), or (1, Z, I, S) for all periods, currency per unit.
        name: Name of the policy.
    """

    levels: Array
    table: NDArray[np.float32]
    name: str = "optimum"

    def act(self, view: MarketView) -> Action:
        """Look the prices up."""
        level = np.abs(view.list_price[:, :1] - self.levels).argmin(axis=1)
        regime = np.zeros(view.num_markets, np.intp) if view.regime is None else view.regime
        units = np.clip(view.on_hand[:, 0], 0, self.table.shape[-1] - 1).astype(np.intp)
        return Action(self.table[np.minimum(view.period, len(self.table) - 1), regime, level, units][:, None])


def solve(spec: MarketSpec) -> Optimum | None:
    """The optimum of a market that `covers` admits, else None."""
    if not covers(spec):
        return None
    prices, costs = np.asarray(spec.guardrails.allowed_prices()), Costs.of(spec)
    initial = float(spec.initial_price[0])
    first = int(np.abs(prices - initial).argmin())
    levels = prices if np.isclose(prices[first], initial, rtol=1e-6) else np.union1d(prices, initial)
    within = _reach(spec, levels, prices)[:, :, None]
    unlimited = np.isinf(spec.stock.initial_units[0])
    units = np.arange(1 if unlimited else int(spec.stock.initial_units[0]) + 1)
    transition, chance = chain(spec)

    @functools.lru_cache(maxsize=1)
    def demand(period: int) -> list[Array]:
        """By regime, mean units (P,) with unlimited stock, else (P, D + 1) probabilities."""
        rows = [np.full(prices.size, z) for z in range(chance.size)]
        if unlimited:
            return [expected_units(spec, period, prices[:, None], regime=row).sum(axis=(1, 2)) for row in rows]
        return [demand_at(spec, period, prices, z) for z in range(chance.size)]

    def step(period: int, future: Array) -> tuple[Array, NDArray[np.float32]]:
        """Best value and price of each regime, current price and number of units, both (Z, I, S)."""
        # The price that is charged is the next period's current price.
        ahead = np.tensordot(transition, future[:, np.searchsorted(levels, prices)], 1)
        values, best = np.empty_like(future), np.empty(future.shape, np.float32)
        for z, wanted in enumerate(demand(period)):
            if unlimited:
                money = ((prices - costs.sold[0]) * wanted)[:, None] + ahead[z]
            else:
                rows = zip(wanted, prices, ahead[z], strict=True)
                money = np.vstack([period_money(costs, m[None], np.array([p]), units, row) for m, p, row in rows])
            reached = np.where(within, money, -np.inf)
            best[z], values[z] = prices[reached.argmax(axis=1)], reached.max(axis=1)
        return values, best

    left = 0 * units if unlimited else spec.stock.salvage_value[0] * units
    values, table = optimise(spec, step, np.tile(left.astype(np.float64), (chance.size, levels.size, 1)))
    value = chance @ values[:, np.abs(levels - initial).argmin(), -1]
    return Optimum(float(value), method_of(spec), PriceLevelTable(levels, np.array(table)))


def _reach(spec: MarketSpec, levels: Array, prices: Array) -> NDArray[np.bool_]:
    """(I, P) whether the price rules allow a price after a current one."""
    current, asked = (grid.reshape(-1, 1).astype(np.float32) for grid in np.meshgrid(levels, prices, indexing="ij"))
    nothing = np.zeros_like(current)
    period = np.zeros(len(current), np.intp)
    view = MarketView(catalogue_of(spec), period, current, current, nothing, nothing, nothing)
    charged = spec.guardrails.apply(Action(asked), view).price
    found = np.zeros((levels.size, prices.size), np.bool_)
    found[np.repeat(np.arange(levels.size), prices.size), np.abs(charged - prices).argmin(axis=1)] = True
    return found

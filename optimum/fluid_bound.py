"""The fluid upper bound: no policy earns more, whatever its information. For markets that
no solver covers.

Every unit of stock gets a dual value. An episode earns at most the stock at that value plus, period
by period, the most that customers can bring above it: Gallego and van Ryzin (1994), Optimal Dynamic
Pricing of Inventories with Stochastic Demand over Finite Horizons, Management Science 40(8),
section 2.4; Topaloglu (2009), Using Lagrangian Relaxation to Compute Capacity-Dependent Bid Prices
in Network Revenue Management, Operations Research 57(3). That holds for any dual value, and the
bound is the minimum over all of them. Every other effect of the market takes its best case (see
`fluid_demand`), so the bound is tight in simple markets and loose in those with many such effects.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from ..scenarios import MarketSpec
from .fluid_demand import FluidDemand, demand_of
from .problem import Array, Costs

# Posterior draws of a bound, and product-periods from which on fewer are taken.
_BOUND_DRAWS = 100
_FEW_DRAWS = 20
_LARGE_MARKET = 4000


@dataclass(frozen=True)
class Bound:
    """An upper bound on the value of an episode.

    Attributes:
        value: The bound, currency.
        method: How it was found.

    Example:
        >>> from repricer.evaluation import upper_bound
        >>> from repricer.scenarios import load_scenario
        >>> upper_bound(load_scenario("gallego-van-ryzin")).method
        'fluid bound'
    """

    value: float
    method: str


@functools.lru_cache(maxsize=16)
def upper_bound(spec: MarketSpec) -> Bound | None:
    """The fluid bound, or None for a choice model that it does not cover.

    In a market with a posterior it is the mean of the bounds of its draws, each of which knows its
    draw: no policy that has to price without that knowledge earns more on average over these draws.

    Args:
        spec: The market.

    Example:
        >>> from repricer.evaluation import solve, upper_bound
        >>> from repricer.scenarios import load_scenario
        >>> spec = load_scenario("gallego-van-ryzin")
        >>> upper_bound(spec).value > solve(spec).value
        True
    """
    if not spec.num_draws:
        value = _fluid_bound(spec)
        return None if value is None else Bound(value, "fluid bound")
    most = _BOUND_DRAWS if spec.sizes["N"] * spec.sizes["T"] <= _LARGE_MARKET else _FEW_DRAWS
    draws = np.unique(np.linspace(0, spec.num_draws - 1, most).astype(np.intp))
    values = [value for m in draws if (value := _fluid_bound(spec.draw(int(m)))) is not None]
    if not values:
        return None
    kind = f"mean over {len(draws)} of {spec.num_draws} posterior draws, each known"
    return Bound(float(np.mean(values)), f"fluid bound, {kind}")


def _fluid_bound(spec: MarketSpec) -> float | None:
    """The bound of one market; None where it is not covered."""
    demand = demand_of(spec)
    stock = spec.stock
    unlimited = stock.replenishment != "none" or stock.shortage == "backlog"
    # `_season` counts salvage for limited stock alone.
    if demand is None or (unlimited and (stock.salvage_value > 0).any()):
        return None
    horizon = spec.market.horizon_periods
    season = spec.stock.season_periods or horizon
    value = sum(_season(spec, demand, first, min(first + season, horizon)) for first in range(0, horizon, season))
    return value + _stock_paid_for(spec)


def _stock_paid_for(spec: MarketSpec) -> float:
    """Cost of the initial stock where costs are due on orders: it is free, but `fluid_demand` charges every unit."""
    replenished = spec.stock.replenishment != "none" and spec.stock.shortage == "lost"
    return float(Costs.of(spec).ordered @ np.floor(spec.stock.initial_units)) if replenished else 0.0


def _season(spec: MarketSpec, demand: FluidDemand, first: int, last: int) -> float:
    """The bound of one selling season, periods [first, last), discounted to the episode's start.

    All units of shared resources that are ever added are taken to be there from the start, and none to be withdrawn.
    """
    stock = np.floor(spec.stock.initial_units)
    capacity = spec.capacity
    limited = np.isfinite(stock) & (spec.stock.replenishment == "none") & (spec.stock.shortage == "lost")
    high = spec.guardrails.high.astype(np.float64)
    use = np.eye(stock.size)[limited]
    factors = spec.market.discount_factor ** np.arange(first, last)
    ends = spec.market.ending == "terminated" or spec.stock.season_periods is not None
    salvage = (ends * factors[-1] * spec.stock.salvage_value)[limited]
    stock = stock[limited]
    held = np.zeros((last - first, stock.size))
    if capacity is not None:
        use = capacity.use
        stock = capacity.units + np.maximum(capacity.added, 0).sum(axis=0)
        salvage = 0 * stock
        held = np.zeros((last - first, stock.size))
    elif spec.stock.spoilage.any() or spec.returns is not None or last < first + (spec.stock.season_periods or 0):
        # Stock that perishes or leaves is not held, and need not be disposed of.
        salvage = np.maximum(salvage, 0)
    else:
        # A unit that is sold is not held from then on.
        held = np.cumsum((factors[:, None] * Costs.of(spec).holding[limited])[::-1], axis=0)[::-1]
    if not stock.size:
        return demand.money(np.zeros((last - first, high.size)), first)[0]
    # Above a product's highest price per unit that it uses, nothing is sold that uses the resource.
    most = np.maximum((high / np.where(use > 0, use, np.inf)).max(axis=1) + held[0], salvage)

    def dual(value: Array) -> tuple[float, Array]:
        money, units = demand.money((value - held) @ use, first)
        return money + float((value - held[0]) @ stock), stock - use @ units

    if stock.size == 1:
        bounds = (float(salvage[0]), float(most[0]))
        inside = minimize_scalar(
            lambda w: dual(np.array([w]))[0], bounds=bounds, method="bounded", options={"xatol": 1e-9 * bounds[1]}
        )
        return min(float(inside.fun), *(dual(np.array([edge]))[0] for edge in bounds))
    bounds = list(zip(salvage, most, strict=True))
    found = minimize(dual, np.clip(0, salvage, most), jac=True, method="L-BFGS-B", bounds=bounds)
    return float(found.fun)

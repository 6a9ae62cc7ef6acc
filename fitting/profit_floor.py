"""The profit below which an objective of revenue must not push prices.

Where demand is elastic, revenue alone asks for the lowest prices everywhere. The market therefore
charges each unit a shadow cost: the share of the dearest cost that was assumed, at which the prices
with the highest revenue less shadow cost earn as much profit as the current prices. It is the
Lagrange multiplier of that floor for fixed prices; training adjusts it to what is learned.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..scenarios import MarketSpec, choice_model
from .assumptions import Assumptions, percent, unit_costs
from .fitted_models import FittedModels
from .market_builder import held_prices, remembered_prices
from .price_search import PriceSearch

Array = NDArray[np.float64]
_HALVINGS = 8
# Share of the shop's own revenue by which the floor is kept with certainty.
_SLACK = 0.01


def shadow_cost(spec: MarketSpec, dearest: Array, own_profit: float) -> Array:
    """(N,) shadow cost of a unit, currency; zeros where the highest revenue keeps the floor anyway.

    Args:
        spec: The market, with an objective of revenue.
        dearest: (N,) highest assumed unit cost, currency per unit.
        own_profit: Profit of the current prices over the horizon at that cost, currency.

    Example:
        >>> from repricer import load_scenario
        >>> spec = load_scenario("stationary-logit")
        >>> shadow_cost(spec, np.array([4.0]), own_profit=-1e9).tolist()
        [0.0]
    """
    search, bounds = PriceSearch(spec), spec.price_bounds

    def profit(share: float) -> float:
        return search.money(search.best(share * dearest, *bounds), dearest)

    if profit(0.0) >= own_profit:
        return np.zeros_like(dearest)
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if profit(middle) >= own_profit else (middle, high)
    return high * dearest


def with_profit_floor(spec: MarketSpec, models: FittedModels, assumptions: Assumptions) -> MarketSpec:
    """The market with the shadow cost that keeps the profit of the current prices.

    Args:
        spec: The fitted market; one with another objective than revenue is returned as it is.
        models: The models that it was built from.
        assumptions: What was assumed of unit costs.
    """
    if spec.market.objective != "revenue":
        return spec
    known, share = unit_costs(models.products).notna().to_numpy(), assumptions.cost_range(models.products)[:, 1]
    dearest = np.where(known, spec.products.unit_cost, share * models.regular_price)
    charged = np.where(held_prices(models, assumptions), models.regular_price, models.current_price)
    # Displays and mailers that are a decision come with no prices, neither with the shop's nor with those searched.
    periods = np.arange(spec.market.horizon_periods)
    units = choice_model(spec).units(periods, charged, reference=remembered_prices(models, charged)).sum(axis=1)
    own = float(((charged - dearest) * units).sum())
    slack = _SLACK * float((charged * units).sum())
    cost = shadow_cost(spec, dearest, own + slack)
    note = (f"Revenue is maximised; at {_costs(known, share)}, profit must not fall below that of the current prices.",)
    floor = {"shadow_cost": cost, "floor_cost": dearest}
    return replace(spec.with_changes(products=floor), assumptions=(*spec.assumptions, *note))


def _costs(known: NDArray[np.bool_], share: Array) -> str:
    """The unit costs that the floor is held at."""
    if known.all():
        return "the known unit costs"
    assumed = f"the dearest assumed unit costs ({percent(share[~known])} of the regular price)"
    return f"known unit costs and {assumed}" if known.any() else assumed

"""How far prices may leave what the shop charged: no further than it pays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..scenarios import MarketSpec, goal_market
from ..scenarios.fields import ScenarioError
from .assumptions import Assumptions
from .fitted_models import FittedModels
from .market_builder import check_rules, price_range
from .price_search import PriceSearch

# Share of the best prices' money that a narrower range may cost.
_WORTH = 0.02
_PARTS = (0.0, 0.5)


def narrowest(spec: MarketSpec, models: FittedModels, assumptions: Assumptions) -> Assumptions:
    """The assumptions with the narrowest range of prices that costs next to nothing.

    Tried are what was charged, half the widening that is allowed, and all of it.

    Args:
        spec: The fitted market, with all of the widening.
        models: The models that it was built from.
        assumptions: How far prices may leave what was charged.
    """
    widest = assumptions.price_widening
    if not widest:
        return assumptions
    goal = goal_market(spec)
    cost = goal.products.unit_cost if goal.market.objective == "profit" else np.zeros(len(goal.products.names))
    search = PriceSearch(spec)
    most = search.money(search.best(cost, *price_range(models, assumptions)), cost)
    for part in _PARTS:
        tried = replace(assumptions, price_widening=part * widest)
        if not _allows(models, tried):
            continue
        if search.money(search.best(cost, *price_range(models, tried)), cost) >= most - _WORTH * abs(most):
            return tried
    return assumptions


def _allows(models: FittedModels, assumptions: Assumptions) -> bool:
    """Whether every product has an allowed price: price endings may lie beyond a narrow range."""
    try:
        check_rules(assumptions, models)
    except ScenarioError:
        return False
    return True

"""What learners and searches maximise in a market whose revenue must not cost it its profit."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from .spec import MarketSpec


@functools.lru_cache(maxsize=32)
def goal_market(spec: MarketSpec) -> MarketSpec:
    """The market in which prices are searched and learned: revenue less the shadow cost.

    Args:
        spec: The market in which they are then compared.

    Returns:
        The market itself, unless its objective is revenue with a shadow cost; then a market whose
        profit is revenue less the shadow cost of the units sold.

    Example:
        >>> from repricer import load_scenario
        >>> spec = load_scenario("stationary-logit")
        >>> goal_market(spec) is spec
        True
    """
    if spec.market.objective != "revenue" or not spec.products.shadow_cost.any():
        return spec
    return _costing(spec, spec.products.shadow_cost, "profit")


@functools.lru_cache(maxsize=32)
def floor_market(spec: MarketSpec) -> MarketSpec | None:
    """The market whose profit must not fall while its revenue is maximised.

    Args:
        spec: The market.

    Returns:
        The market with the unit costs of its profit floor and no other costs; None without a floor.

    Example:
        >>> from repricer import load_scenario
        >>> floor_market(load_scenario("stationary-logit")) is None
        True
    """
    if goal_market(spec) is spec or not spec.products.floor_cost.any():
        return None
    return _costing(spec, spec.products.floor_cost, "revenue")


def _costing(spec: MarketSpec, unit_cost: NDArray[np.float64], objective: str) -> MarketSpec:
    """The market with these unit costs in every draw, and no others."""
    free = {"order_cost": 0.0, "holding_cost": 0.0, "lost_sale_cost": 0.0, "backlog_cost": 0.0, "salvage_value": 0.0}
    sections = {
        "market": {"objective": objective},
        "products": {"unit_cost": unit_cost},
        "stock": {name: np.array(value) for name, value in free.items()} | {"cost_due": "sold"},
    }
    if spec.express is not None:
        sections["express"] = {"extra_cost": np.array(0.0), "order_cost": np.array(0.0)}
    if spec.promotion is not None:
        sections["promotion"] = {"cost": np.array(0.0)}
    if spec.posterior is not None:
        sections["posterior"] = {"unit_cost": np.array(1.0)}
    if spec.prices.minimum_margin is not None:
        # The prices that are allowed stay those of the market itself.
        least = spec.products.unit_cost / (1 - spec.prices.minimum_margin)
        sections["prices"] = {"minimum_margin": None, "floor": np.maximum(spec.price_bounds[0], least)}
    return spec.with_changes(**sections)

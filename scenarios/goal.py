"""What learners and searches maximise in a market whose revenue must not cost it its profit."""

from __future__ import annotations

import functools

import numpy as np

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
    free = {"order_cost": 0.0, "holding_cost": 0.0, "lost_sale_cost": 0.0, "backlog_cost": 0.0, "salvage_value": 0.0}
    sections = {
        "market": {"objective": "profit"},
        "products": {"unit_cost": spec.products.shadow_cost},
        "stock": {name: np.array(value) for name, value in free.items()} | {"cost_due": "sold"},
    }
    if spec.promotion is not None:
        sections["promotion"] = {"cost": np.array(0.0)}
    if spec.posterior is not None:
        sections["posterior"] = {"unit_cost": np.array(1.0)}
    if spec.prices.minimum_margin is not None:
        # The prices that are allowed stay those of the market itself.
        sections["prices"] = {"minimum_margin": None, "floor": spec.guardrails.low, "ceiling": spec.guardrails.high}
    return spec.with_changes(**sections)

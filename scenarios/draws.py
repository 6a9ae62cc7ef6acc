"""The sections of a market under one posterior draw, and the changes that stress tests share with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .description import MarketDescription
from .price_section import Prices
from .sections import Array


def price_term(spec: MarketDescription, price: Array) -> Array:
    """What price_sensitivity multiplies: the price or its logarithm."""
    return np.log(price) if spec.demand.family == "constant-elasticity" else price


def scaled_sensitivity(spec: MarketDescription, part: Any, price: Array, factor: Array | float) -> dict[str, Array]:
    """Scaled price sensitivities of a section's offers, with the utilities that stay at these prices."""
    more = (factor - 1) * part.price_sensitivity
    return {
        "price_sensitivity": part.price_sensitivity + more,
        "quality": part.quality + more * price_term(spec, price),
    }


def scaled_rate(spec: MarketDescription, factor: Array | float) -> Array:
    """Scaled arrival rates; `single` arrivals stay at most one per period."""
    rate = spec.arrivals.rate * factor
    if spec.arrivals.process == "single":
        busiest = 1.0 if spec.regimes is None else max(spec.regimes.arrivals.max(), 1.0)
        rate = np.minimum(rate, 1 / busiest)
    return rate


def drawn_sections(spec: MarketDescription, m: int) -> dict[str, Any]:
    """The sections that draw m changes, complete and read-only."""
    posterior, products = spec.posterior, spec.products
    assert posterior is not None
    demand = scaled_sensitivity(spec, spec.demand, products.regular_price, posterior.sensitivity[m].astype(np.float64))
    demand["quality"] = demand["quality"] + posterior.utility[m]
    changes: dict[str, dict[str, Any]] = {
        "arrivals": {"rate": scaled_rate(spec, posterior.arrivals[m])},
        "demand": demand,
        "products": {"unit_cost": products.unit_cost * posterior.unit_cost[m]},
    }
    if spec.recommendation is not None:
        changes["recommendation"] = {"lift": spec.recommendation.lift * posterior.recommendation[m]}
    if spec.promotion is not None:
        changes["promotion"] = {"lift": spec.promotion.lift * posterior.promotion[m]}
    if spec.reference_price is not None:
        reference = spec.reference_price
        changes["reference_price"] = {
            prefix + key: getattr(reference, prefix + key) * factor[m]
            for prefix, factor in (("", posterior.reference), ("units_", posterior.reference_units))
            for key in ("gain", "loss")
        }
        changes["reference_price"]["gain"] = changes["reference_price"]["gain"] + posterior.reference_gain[m]
    for values in changes.values():
        for numbers in values.values():
            numbers.setflags(write=False)
    sections = {name: replace(getattr(spec, name), **values) for name, values in changes.items()}
    return sections | {"prices": _believed_margin(spec)}


def _believed_margin(spec: MarketDescription) -> Prices:
    """The price rules with the minimum margin over the believed unit costs written as a floor."""
    prices = spec.prices
    if prices.minimum_margin is None:
        return prices
    low = np.maximum(spec.price_bounds[0], spec.products.unit_cost / (1 - prices.minimum_margin))
    low.setflags(write=False)
    return replace(prices, floor=low, minimum_margin=None)

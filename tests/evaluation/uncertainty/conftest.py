from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from repricer.scenarios import MarketSpec, spec_from_table
from repricer.scenarios.sections import Posterior


def uncertain_shop(
    draws: int = 60, *, objective: str = "revenue", costs: float = 0.0, stock: float = np.inf
) -> MarketSpec:
    """Three substitutes over six weeks, whose arrivals, utilities and sensitivities are uncertain."""
    regular = np.array([2.0, 3.0, 4.0])
    spec = spec_from_table(
        {
            "name": "uncertain-shop",
            "version": 1,
            "market": {"horizon_periods": 6, "period": "week", "objective": objective},
            "products": {"names": ["small", "medium", "large"], "regular_price": regular, "unit_cost": 0.5 * regular},
            "arrivals": {"rate": 200.0, "overdispersion": 0.1},
            "demand": {"quality": [[1.5, 1.5, 1.5]], "price_sensitivity": [2.0 / regular]},
            "stock": {"initial_units": stock},
            "prices": {"floor": 0.5 * regular, "ceiling": 2 * regular},
        }
    )
    generator = np.random.default_rng(7)
    posterior = Posterior(
        draws=draws,
        arrivals=np.exp(0.1 * generator.normal(size=(draws, 1, 1))) * np.ones((draws, 6, 1)),
        utility=0.1 * generator.normal(size=(draws, 3)),
        sensitivity=np.exp(0.2 * generator.normal(size=(draws, 3))),
        unit_cost=np.exp(costs * generator.normal(size=(draws, 1))) * np.ones((draws, 3)),
    )
    return replace(spec, posterior=posterior)


@pytest.fixture
def spec() -> MarketSpec:
    return uncertain_shop()

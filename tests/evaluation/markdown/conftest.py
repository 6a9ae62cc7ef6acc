from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from repricer.scenarios import MarketSpec, spec_from_table
from repricer.scenarios.sections import Posterior

DRAWS, WEEKS = 20, 8


@pytest.fixture(scope="session")
def spec() -> MarketSpec:
    """Three substitutes with shocks, overdispersion, reference prices and a posterior."""
    made = spec_from_table(
        {
            "name": "coats",
            "version": 1,
            "market": {"horizon_periods": WEEKS, "first_day": "2018-01-01", "period": "week"},
            "products": {
                "names": ["light", "warm", "wool"],
                "ids": ["1", "2", "3"],
                "regular_price": [40.0, 60.0, 80.0],
            },
            "arrivals": {"rate": 60.0, "overdispersion": 0.1},
            "demand": {"quality": [1.0, 1.4, 1.6], "price_sensitivity": 0.06},
            "prices": {"floor": [10.0, 15.0, 20.0], "ceiling": [50.0, 70.0, 90.0], "tick": 0.5},
            "reference_price": {"memory": 0.7, "gain": 0.5, "loss": 0.8},
            "shocks": {"volatility": 0.1, "persistence": 0.5},
        }
    )
    generator = np.random.default_rng(5)
    posterior = Posterior(
        draws=DRAWS,
        arrivals=np.exp(0.15 * generator.standard_normal((DRAWS, 1, 1))),
        sensitivity=np.exp(0.1 * generator.standard_normal((DRAWS, 3))),
        utility=0.15 * generator.standard_normal((DRAWS, 3)),
    )
    return replace(made, posterior=posterior)

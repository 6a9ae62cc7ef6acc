"""A market of two products with nothing on, and its hand calculation: what the tests of the single parts start from."""

import numpy as np
from repricer.pricing import Action
from repricer.scenarios import spec_from_table

QUALITY, SENSITIVITY = np.array([1.0, 1.5]), np.array([0.5, 0.4])
COST = np.array([2.0, 3.0])
RIVAL = {"names": ["r"], "regular_price": 4.5, "quality": 1.2, "price_sensitivity": 0.45, "unit_cost": 2.5}


def build(**sections):
    """Two products of one category, forty customers a period, unlimited stock; nothing else."""
    table = {
        "name": "parts",
        "version": 1,
        "market": {"horizon_periods": 12, "objective": "profit"},
        "products": {"names": ["a", "b"], "regular_price": [4.0, 5.0], "unit_cost": COST.tolist()},
        "arrivals": {"rate": 40.0},
        "demand": {"quality": QUALITY.tolist(), "price_sensitivity": SENSITIVITY.tolist()},
        "prices": {"floor": 1.0, "ceiling": 9.0},
    }
    for name, values in sections.items():
        table[name] = {**table.get(name, {}), **values}
    return spec_from_table(table)


def at(price, markets=1, **parts) -> Action:
    """The same action in every market."""
    rows = {name: np.tile(np.float32(part), (markets, *[1] * np.ndim(part))) for name, part in parts.items()}
    return Action(np.tile(np.float32(price), (markets, 1)), **rows)


def logit(price, extra=0.0, rivals=0.0) -> np.ndarray:
    """Shares of the two products; rivals: weight of rival offers."""
    weight = np.exp(QUALITY - SENSITIVITY * np.asarray(price) + extra)
    return weight / (1 + weight.sum() + rivals)


def bought(outcome) -> np.ndarray:
    """Expected units at list prices where stock is no limit, (E, N)."""
    return outcome.expected_revenue / outcome.list_price

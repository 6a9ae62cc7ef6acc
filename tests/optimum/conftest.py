import functools
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from repricer.pricing import Action
from repricer.scenarios import MarketSpec, spec_from_table

Table = dict[str, Any]


def _ladder(start: float, stop: float, step: float) -> Table:
    return {"price_ladder": {"start": start, "stop": stop, "step": step}}


# The reference markets, by the names they are registered under; what a market leaves out is in `_base`.
TABLES: dict[str, Table] = {
    "low-before-high": {
        "market": {"horizon_periods": 30},
        "products": {"regular_price": 17.0},
        "arrivals": {"rate": [8.0] * 20 + [2.5] * 10},
        "demand": {"sensitivity_path": [1 / 5] * 20 + [1 / 25] * 10},
        "stock": {"initial_units": 20},
        "prices": _ladder(2, 60, 1),
    },
    "regimes": {
        "market": {"horizon_periods": 50},
        "products": {"regular_price": 16.0},
        "arrivals": {"rate": 4.0},
        "stock": {"initial_units": 40},
        "regimes": {
            "names": ["low", "high"],
            "transition": [[0.9, 0.1], [0.2, 0.8]],
            "initial": [1, 0],
            "sensitivity": [1 / 6, 1 / 18],
        },
        "prices": _ladder(2, 40, 1),
    },
    "three-stocks": {
        "market": {"horizon_periods": 50},
        "products": {"names": ["a", "b", "c"], "regular_price": [21.0, 19.0, 17.0]},
        "arrivals": {"rate": 0.8, "process": "single"},
        "demand": {"family": "mnl", "quality": [4, 3.5, 3], "price_sensitivity": 0.25},
        "stock": {"initial_units": 5},
        "prices": {"floor": 1, "ceiling": 100},
    },
    "undercutter": {
        "market": {"horizon_periods": 100, "discount_factor": 0.99, "ending": "truncated"},
        "products": {"regular_price": 50.0},
        "arrivals": {"rate": 1.0, "process": "single"},
        "demand": {"family": "cheapest", "quality": 1.0, "price_sensitivity": 0.01},
        "competitors": {
            "names": ["rival"],
            "regular_price": 20.0,
            "quality": 1.0,
            "price_sensitivity": 0.01,
            "rule": "undercut:1",
            "floor": 1,
            "ceiling": 100,
            "answers_within_period": True,
        },
        "prices": _ladder(1, 100, 1),
    },
    "price-and-order": {
        "market": {
            "horizon_periods": 100,
            "discount_factor": 0.95,
            "ending": "truncated",
            "objective": "profit",
        },
        "products": {"regular_price": 6.75, "unit_cost": 2.0},
        "arrivals": {"rate": 20.0},
        "demand": {"family": "linear", "quality": 1.0, "price_sensitivity": 0.1},
        "stock": {
            "initial_units": 0,
            "replenishment": "action",
            "max_order_units": 8,
            "lead_time_periods": 0,
            "shortage": "backlog",
            "cost_due": "ordered",
            "holding_cost": 0.2,
            "backlog_cost": 4.0,
        },
        "prices": _ladder(4, 10, 0.25),
    },
    "scarce": {
        "market": {"horizon_periods": 50},
        "arrivals": {"rate": 2.0},
        "stock": {"initial_units": 20},
        "prices": {"floor": 0.05, "ceiling": 5},
    },
    # Mean demand 100 - 4 p + 6 (r - p). Above a price of about 21 it would pay to sell nothing for a while.
    "remembered": {
        "market": {"horizon_periods": 60, "discount_factor": 0.95, "ending": "truncated", "objective": "profit"},
        "products": {"regular_price": 15.0, "unit_cost": 5.0},
        "arrivals": {"rate": 200.0},
        "demand": {"family": "linear", "quality": 0.5, "price_sensitivity": 0.02},
        "reference_price": {"memory": 0.7, "gain": 0.03, "loss": 0.03, "scale": "linear"},
        "prices": {"floor": 5, "ceiling": 20},
    },
    "two-segments": {
        "market": {"horizon_periods": 3},
        "products": {"regular_price": 20.0},
        "arrivals": {"segments": ["thrifty", "easy"], "segment_share": [[0.7, 0.3]]},
        "demand": {"family": "mnl", "quality": 4.0, "price_sensitivity": [[0.6], [0.12]]},
        "prices": {"floor": 1, "ceiling": 80},
    },
    "three-segments": {
        "market": {"horizon_periods": 3},
        "products": {"regular_price": 20.0},
        "arrivals": {"segments": ["low", "middle", "high"], "segment_share": [[0.5, 0.3, 0.2]]},
        "demand": {"family": "mnl", "quality": [[3], [4], [5]], "price_sensitivity": [[0.5], [0.3], [0.15]]},
        "prices": {"floor": 1, "ceiling": 80},
    },
    "logit": {
        "market": {"horizon_periods": 1, "objective": "profit"},
        "products": {"names": ["a", "b", "c"], "regular_price": 15.0, "unit_cost": [3, 2, 1]},
        "demand": {"family": "mnl", "quality": [4, 3.5, 3], "price_sensitivity": 0.25},
        "prices": {"floor": 1, "ceiling": 100},
    },
}


def _base() -> Table:
    """Customers who buy with probability exp(-price)."""
    return {
        "name": "market",
        "version": 1,
        "market": {"horizon_periods": 10},
        "products": {"names": ["unit"], "regular_price": 1.5},
        "arrivals": {"rate": 1.0},
        "demand": {"family": "exponential", "quality": 0.0, "price_sensitivity": 1.0},
        "prices": {},
    }


@pytest.fixture(scope="session")
def make() -> Callable[..., MarketSpec]:
    """A market of `TABLES`, or the base market where the name is None, with some keys of some sections changed.

    One object for each, by which its optimum is kept.
    """

    @functools.cache
    def made(name: str | None, changes: bytes) -> MarketSpec:
        table = _base()
        for layer in (TABLES[name] if name else {}, pickle.loads(changes)):
            for section, content in layer.items():
                table[section] = {**table.get(section, {}), **content}
        return spec_from_table(table)

    return lambda name, **changes: made(name, pickle.dumps(changes))


@pytest.fixture(scope="session")
def rule() -> Callable[..., Any]:
    """A policy from a function of the view that gives prices, or (prices, orders)."""

    class Rule:
        name = "rule"

        def __init__(self, answer):
            self.answer = answer

        def act(self, view):
            answer = self.answer(view)
            price, order = answer if isinstance(answer, tuple) else (answer, None)
            return Action(price.astype("float32"), order=order)

    return Rule

"""Eight markets for default settings: their numbers were drawn by `random.Random(53)` and written down before anything
was trained in them, and no preset or solver is tuned to them.
"""

from __future__ import annotations

from typing import Any

from repricer.scenarios import MarketSpec, spec_from_table

Table = dict[str, Any]
_PROFIT = {"objective": "profit"}
_INFINITE = {"discount_factor": 0.985, "ending": "truncated"}


def _ladder(start: float, stop: float, step: float) -> Table:
    return {"price_ladder": {"start": start, "stop": stop, "step": step}}


TABLES: dict[str, Table] = {
    "scarce-substitutes": {
        "market": {"horizon_periods": 41},
        "products": {"names": ["a", "b", "c"], "regular_price": 15.0},
        "arrivals": {"rate": 0.74, "process": "single"},
        "demand": {"quality": [4.37, 3.54, 3.97], "price_sensitivity": [0.31, 0.33, 0.21]},
        "stock": {"initial_units": [4, 6, 6]},
        "prices": {"floor": 1, "ceiling": 60},
    },
    "scarce-nests": {
        "market": {"horizon_periods": 40},
        "products": {"names": ["a", "b", "c"], "regular_price": 15.0},
        "arrivals": {"rate": 0.79, "process": "single"},
        "demand": {
            "family": "nested-logit",
            "nest": ["one", "one", "two"],
            "nesting": [0.46, 0.4],
            "quality": [4.26, 2.61, 2.59],
            "price_sensitivity": [0.23, 0.23, 0.22],
        },
        "stock": {"initial_units": [5, 3, 4]},
        "prices": {"floor": 1, "ceiling": 60},
    },
    "scarce-segments": {
        "market": {"horizon_periods": 37},
        "products": {"names": ["a", "b"], "regular_price": 10.0},
        "arrivals": {
            "rate": 0.91,
            "process": "single",
            "segments": ["thrifty", "easy"],
            "segment_share": [[0.48, 0.52]],
        },
        "demand": {"quality": [[2.7, 2.23], [3.69, 3.03]], "price_sensitivity": [[0.53, 0.47], [0.22, 0.22]]},
        "stock": {"initial_units": [4, 6]},
        "prices": _ladder(2, 32, 1),
    },
    "two-periods-to-delivery": {
        "market": {"horizon_periods": 33, **_PROFIT},
        "products": {"names": ["unit"], "regular_price": 6.0, "unit_cost": 2.79},
        "arrivals": {"rate": 11.47},
        "demand": {"quality": 4.68, "price_sensitivity": 0.65},
        "stock": {
            "initial_units": 5,
            "replenishment": "action",
            "max_order_units": 12,
            "lead_time_periods": 2,
            "cost_due": "ordered",
            "holding_cost": 0.07,
            "lost_sale_cost": 2.38,
        },
        "prices": _ladder(3, 12, 0.5),
    },
    "rival-that-matches-later": {
        "market": {"horizon_periods": 56, **_PROFIT},
        "products": {"names": ["unit"], "regular_price": 10.0, "unit_cost": 2.51},
        "arrivals": {"rate": 12.96},
        "demand": {"quality": 4.84, "price_sensitivity": 0.39},
        "competitors": {
            "names": ["rival"],
            "regular_price": 10.0,
            "quality": 3.11,
            "price_sensitivity": 0.35,
            "rule": "match",
            "floor": 3,
            "ceiling": 30,
        },
        "prices": _ladder(3, 30, 0.5),
    },
    "rival-that-undercuts-later": {
        "market": {"horizon_periods": 1000, **_INFINITE},
        "products": {"names": ["unit"], "regular_price": 25.0},
        "arrivals": {"rate": 0.98, "process": "single"},
        "demand": {"family": "cheapest", "quality": 1.0, "price_sensitivity": 1 / 46},
        "competitors": {
            "names": ["rival"],
            "regular_price": 20.0,
            "quality": 1.0,
            "price_sensitivity": 1 / 46,
            "rule": "undercut:3",
            "floor": 1,
            "ceiling": 46,
        },
        "prices": _ladder(1, 46, 1),
    },
    "uncertain-level": {
        "market": {"horizon_periods": 32},
        "products": {"names": ["unit"], "regular_price": 9.0},
        "arrivals": {"rate": 3.46, "overdispersion": 0.41},
        "demand": {"family": "exponential", "quality": 0.0, "price_sensitivity": 1 / 8.68},
        "stock": {"initial_units": 40},
        "prices": _ladder(1, 40, 0.5),
    },
    "seasons-and-orders": {
        "market": {"horizon_periods": 36, **_PROFIT},
        "products": {"names": ["unit"], "regular_price": 7.0, "unit_cost": 1.78},
        "arrivals": {"rate": [4.87] * 12 + [10.4] * 12 + [5.51] * 12},
        "demand": {"quality": 4.98, "price_sensitivity": 0.53},
        "stock": {
            "initial_units": 8,
            "replenishment": "action",
            "max_order_units": 12,
            "lead_time_periods": 1,
            "cost_due": "ordered",
            "holding_cost": 0.07,
            "lost_sale_cost": 0.82,
        },
        "prices": _ladder(3, 16, 0.5),
    },
}


def unseen(name: str) -> MarketSpec:
    """A market of `TABLES`."""
    return spec_from_table({"name": name, "version": 1, **TABLES[name]})

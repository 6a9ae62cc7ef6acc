"""Personal prices: the closed forms are found, learned, and given up where the rules forbid a spread."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import repricer
from repricer.evaluation import exact_value, solve
from repricer.scenarios import MarketSpec, load_scenario

from .checks import check

CUSTOMERS = 100
"""Of an episode of the scenario, whose published values are a customer's."""
THREE: dict[str, dict[str, Any]] = {
    "arrivals": {"segments": ("one", "two", "three"), "segment_share": [[0.5, 0.3, 0.2]]},
    "demand": {"quality": [[3.0], [4.0], [5.0]], "price_sensitivity": [[0.5], [0.3], [0.15]]},
}
ONE_PRICE = {"prices": {"max_segment_spread": 0.0}}


def market(*changes: dict[str, dict[str, Any]]) -> MarketSpec:
    """The published instance, with sections changed."""
    spec = load_scenario("segment-prices")
    for sections in changes:
        spec = spec.with_changes(**sections)
    return spec


def closed_form(name: str, published: float, *changes: dict[str, dict[str, Any]]) -> None:
    @check("customers", f"segment prices, {name}: optimum against {published}", "<=", 5e-5, "a customer")
    def measure() -> float:
        optimum = solve(market(*changes))
        assert optimum is not None, "a solver reaches it"
        return abs(optimum.value / CUSTOMERS - published)


closed_form("two segments", 8.0958)
closed_form("two segments, one price", 5.5200, ONE_PRICE)
closed_form("three segments", 7.6668, THREE)
closed_form("three segments, one price", 4.7495, THREE, ONE_PRICE)


@functools.cache
def learned_share(one_price: bool) -> float:
    """What a learned policy earns, exactly, over the optimum of its rules."""
    spec = market(ONE_PRICE) if one_price else market()
    optimum = solve(spec)
    with tempfile.TemporaryDirectory() as folder:
        run = repricer.train(spec, algo="ppo", steps=300_000, seed=0, out=Path(folder) / "run")
        value = exact_value(spec, run.policy)
    assert optimum is not None
    return value / optimum.value


@check("customers", "segment prices, two segments: learned over the discriminating optimum", ">=", 0.95)
def learned() -> float:
    return learned_share(False)


@check("customers", "segment prices, no spread allowed: learned over the single-price optimum", ">=", 0.99)
def learned_one_price() -> float:
    return learned_share(True)

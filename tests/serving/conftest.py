from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from repricer.agents import Run
from repricer.agents.actor import Actor
from repricer.envs import catalogue_of
from repricer.evaluation.uncertainty import Assessment, assess
from repricer.planning.price_list import proposed_rows
from repricer.pricing import Guardrails, features, row_width
from repricer.scenarios import MarketSpec, spec_from_table
from repricer.scenarios.sections import Posterior
from repricer.scenarios.shop_sections import PastSection, PlanSection
from repricer.serving import Bundle, export, load_bundle
from repricer.serving.price_list.rows import PriceRow

PRODUCTS = ("anchovy", "biscuit", "cider")
SEGMENTS = ("thrifty", "loyal")


TABLE: dict[str, Any] = {
    "name": "test-market",
    "version": 2,
    "assumptions": ["the slot's lift was assumed"],
    "market": {"horizon_periods": 8, "objective": "profit"},
    "products": {
        "names": PRODUCTS,
        "regular_price": [2.0, 3.0, 5.0],
        "unit_cost": [1.0, 1.0, 2.0],
        "category": ("food", "food", "drink"),
    },
    "arrivals": {"rate": 20.0, "segments": SEGMENTS, "segment_share": 0.5},
    "demand": {"quality": 3.0, "price_sensitivity": [[1.0] * 3, [0.5] * 3]},
    "recommendation": {"lift": 0.5, "candidates": [[1, 1, 0], [0, 1, 1]]},
    "prices": {
        "floor": [1.0, 1.5, 3.0],
        "ceiling": [4.0, 6.0, 9.0],
        "tick": 0.05,
        "minimum_margin": 0.2,
        "max_change": 0.15,
        "max_discount": 0.3,
        "max_segment_spread": 0.1,
    },
}
"""The market of most tests of the service."""


@pytest.fixture(scope="session")
def spec() -> MarketSpec:
    return spec_from_table(TABLE)


def make_run(spec: MarketSpec, *, product_wise: bool, seed: int = 11) -> Run:
    catalogue = catalogue_of(spec)
    base = catalogue.regular_price * np.float32(0.9)
    layout = spec.action_layout(base)
    rows = 1 if product_wise else catalogue.num_products
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = torch.nn.Sequential(
            torch.nn.Linear(row_width(catalogue, product_wise=product_wise), 32),
            torch.nn.ReLU(),
            torch.nn.Linear(32, 32),
            torch.nn.ReLU(),
            torch.nn.Linear(32, rows * layout.size),
        )
        layers[-1].weight.data *= 6
    return Run(
        spec,
        actor=Actor(layers, None, rows * layout.size),
        layout=layout,
        base_price=base,
        base=None,
        product_wise=product_wise,
        facts={"algo": "ppo", "seed": 3, "steps": 1000, "settings": {"history": 1}},
        history=[],
    )


@pytest.fixture(scope="session", params=[True, False], ids=["product-wise", "joint"])
def run(request: pytest.FixtureRequest, spec: MarketSpec) -> Run:
    return make_run(spec, product_wise=request.param)


@pytest.fixture(scope="session")
def bundle_path(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of each way to lay out rows; never changed by a test."""
    return export(run, tmp_path_factory.mktemp("exported") / "bundle")


@pytest.fixture(scope="session")
def bundle(bundle_path: Path) -> Bundle:
    return load_bundle(bundle_path)


@pytest.fixture(scope="session")
def one_run(spec: MarketSpec) -> Run:
    return make_run(spec, product_wise=True)


@pytest.fixture(scope="session")
def one_path(one_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for tests that need no more than one; never changed by a test."""
    return export(one_run, tmp_path_factory.mktemp("exported") / "bundle")


@pytest.fixture(scope="session")
def one(one_path: Path) -> Bundle:
    return load_bundle(one_path)


@pytest.fixture(scope="session")
def dated_path(spec: MarketSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for the eight weeks from 2018-01-01; never changed by a test."""
    weekly = spec.with_changes(market={"period": "week", "first_day": "2018-01-01"})
    return export(make_run(weekly, product_wise=True), tmp_path_factory.mktemp("dated") / "bundle")


@pytest.fixture(scope="session")
def dated(dated_path: Path) -> Bundle:
    return load_bundle(dated_path)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often features are computed and the price rules are applied, by name."""
    counts: Counter[str] = Counter()
    observation, steps = features.Observation, Guardrails.apply

    def counting_observation(view: Any) -> Any:
        counts["features"] += 1
        return observation(view)

    def counting_steps(rules: Guardrails, action: Any, view: Any) -> Any:
        counts["price rules"] += 1
        return steps(rules, action, view)

    monkeypatch.setattr(features, "Observation", counting_observation)
    monkeypatch.setattr(Guardrails, "apply", counting_steps)
    return counts


@pytest.fixture(scope="session")
def dated_market(spec: MarketSpec) -> MarketSpec:
    """The market of the tests with dates, ids, current prices of its own and a posterior; product 2 is frozen."""
    dated = spec.with_changes(
        market={"first_day": "2018-01-01", "period": "week", "period_days": 7},
        products={"ids": ("007", "008", "=9")},
        prices={"frozen": ("biscuit",)},
    )
    rng, weeks = np.random.default_rng(0), spec.market.horizon_periods
    current = np.tile([2.1, 2.9, 5.5], (weeks, 1))
    past = PastSection(price=current[:1], charged_low=[1.9, 2.5, 4.0], charged_high=[2.3, 3.0, 5.6])
    factors = np.exp(rng.normal(0, 0.2, (20, 1, 1)))
    return replace(dated, plan=PlanSection(price=current), past=past, posterior=Posterior(draws=20, arrivals=factors))


@pytest.fixture(scope="session")
def assessed(dated_market: MarketSpec) -> Assessment:
    return assess(dated_market, [], learned=[], draws=20, episodes=2)


@pytest.fixture(scope="session")
def price_rows(assessed: Assessment) -> list[PriceRow]:
    """The proposed list; never changed by a test."""
    return proposed_rows(assessed)


@pytest.fixture(scope="session")
def dated_bundle(dated_market: MarketSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for the market of the list; never changed by a test."""
    return export(make_run(dated_market, product_wise=True), tmp_path_factory.mktemp("dated") / "bundle")

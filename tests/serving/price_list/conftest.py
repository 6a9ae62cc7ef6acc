from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from repricer.evaluation.uncertainty import Assessment, assess
from repricer.scenarios import MarketSpec
from repricer.scenarios.sections import HistorySection, Posterior
from repricer.serving import export
from repricer.serving.price_list.proposal import proposed_rows
from repricer.serving.price_list.rows import PriceRow, sealed

from ..conftest import make_run


def make_row(**values: Any) -> PriceRow:
    """A row of the list, its proposal sealed."""
    proposal = {
        "zone": "all stores",
        "product_id": "0001",
        "product": "tea",
        "category": "drinks",
        "week": dt.date(2018, 1, 1),
        "current_price": 2.0,
        "new_price": 2.2,
        "change": 0.1,
        "reason": "Raised.",
        "check": "",
    }
    return sealed(PriceRow(**proposal | values))


@pytest.fixture(scope="session")
def market(spec: MarketSpec) -> MarketSpec:
    """The market of the tests with dates, ids, current prices of its own and a posterior; product 2 is frozen."""
    dated = spec.with_changes(
        market={"first_day": "2018-01-01", "period": "week", "period_days": 7},
        products={"ids": ("007", "008", "=9")},
        prices={"frozen": ("biscuit",)},
    )
    rng, weeks = np.random.default_rng(0), spec.market.horizon_periods
    current = np.tile([2.1, 2.9, 5.5], (weeks, 1))
    history = HistorySection(price=current, charged_low=[1.9, 2.5, 4.0], charged_high=[2.3, 3.0, 5.6])
    factors = np.exp(rng.normal(0, 0.2, (20, 1, 1)))
    return replace(dated, history=history, posterior=Posterior(draws=20, arrivals=factors))


@pytest.fixture(scope="session")
def found(market: MarketSpec) -> Assessment:
    return assess(market, [], learned=[], draws=20, episodes=2)


@pytest.fixture(scope="session")
def rows(found: Assessment) -> list[PriceRow]:
    """The proposed list; never changed by a test."""
    return proposed_rows(found)


@pytest.fixture(scope="session")
def bundle_of_market(market: MarketSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for the market of the list; never changed by a test."""
    return export(make_run(market, product_wise=True), tmp_path_factory.mktemp("dated") / "bundle")

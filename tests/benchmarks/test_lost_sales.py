from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from repricer.agents import best_fixed
from repricer.benchmarks import lost_sales
from repricer.benchmarks.lost_sales import Instance, cost_of, least_cost
from repricer.pricing import FixedPrice


@pytest.mark.parametrize(("lead_time", "published"), [(1, 4.04), (2, 4.40), (3, 4.60), (4, 4.73)])
def test_least_costs_are_those_of_zipkin(lead_time: int, published: float) -> None:
    assert least_cost(Instance("Poisson", 4, lead_time)) == pytest.approx(published, abs=0.006)


@pytest.mark.parametrize(("level", "cost"), [(16, 4.635), (17, 4.702), (18, 4.95)])
def test_order_up_to_levels_cost_what_independent_simulations_say(level: int, cost: float, monkeypatch) -> None:
    monkeypatch.setattr(lost_sales, "_MARKETS", 1_024)
    policy = FixedPrice(np.array([4.0], np.float32), base_stock=np.array([level], np.float32))
    mean, error = cost_of(Instance("Poisson", 4, 2), policy)
    assert mean == pytest.approx(cost, abs=0.005 + 4 * error)


def test_geometric_demand_is_that_of_the_market(monkeypatch) -> None:
    """One period ahead, with ample stock: the mean cost of a newsvendor, from the mass itself."""
    instance, stock = Instance("geometric", 9, 1), 18
    mass = instance.mass()
    units = np.arange(mass.size)
    assert (mass * units).sum() == pytest.approx(5, abs=1e-6)
    wanted = (mass * (np.maximum(stock - units, 0) + 9 * np.maximum(units - stock, 0))).sum()
    monkeypatch.setattr(lost_sales, "_WARM_UP", 0)
    monkeypatch.setattr(lost_sales, "_PERIODS", 1)
    spec = instance.market(1)
    monkeypatch.setattr(Instance, "market", lambda self, periods: _with_stock(spec, stock))
    mean, _ = cost_of(instance, FixedPrice(spec.products.regular_price.astype(np.float32)))
    assert mean == pytest.approx(wanted, rel=1e-3)


def _with_stock(spec, units: int):
    return replace(spec, stock=replace(spec.stock, initial_units=np.array([float(units)])))


@pytest.mark.parametrize("demand", lost_sales.DEMANDS)
def test_no_level_costs_less_than_the_optimum(demand: str, monkeypatch) -> None:
    monkeypatch.setattr(lost_sales, "_MARKETS", 1_024)
    instance = Instance(demand, 9, 2)
    mean, error = cost_of(instance, best_fixed(instance.market()))
    assert 1.01 < (mean + 4 * error) / least_cost(instance) < 1.15

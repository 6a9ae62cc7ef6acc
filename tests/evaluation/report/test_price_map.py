from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from repricer.evaluation import evaluate, solve
from repricer.evaluation.report import ReportData, write_report
from repricer.evaluation.report.plots import map_plot
from repricer.evaluation.report.price_map import price_maps
from repricer.pricing import Action, FixedPrice
from repricer.scenarios import load_scenario


@dataclass(frozen=True)
class Formula:
    """Prices by a formula of the view."""

    formula: object
    name: str = "formula"

    def act(self, view):
        return Action(self.formula(view).astype(np.float32))


@dataclass(frozen=True)
class Hidden(Formula):
    """The same, which says that the view does not fix it."""

    deterministic: ClassVar[bool] = False


def by_stock(view):
    return 3 + view.on_hand / 40 + 0.1 * view.period[:, None]


def unlimited(make_shop, **changes):
    stock = {"initial_units": np.inf, "replenishment": "none", "order_up_to_units": 0, "lead_time_periods": 0}
    return make_shop(stock=stock | {"holding_cost": 0, "lost_sale_cost": 0}, **changes)


def test_it_is_the_policy_itself_where_that_is_a_function_of_stock_and_time(shop):
    (found,) = price_maps(shop, Formula(by_stock), [1], seed=0)
    assert (found.product, found.axis, found.asked) == ("b", "on_hand", True)
    assert found.levels[0] == 1
    np.testing.assert_array_equal(found.periods, np.arange(8))
    wanted = np.clip(3 + found.levels[:, None] / 40 + 0.1 * found.periods, 2.5, 8.0)
    np.testing.assert_allclose(found.price, wanted, atol=0.005 + 1e-6)  # the tick


def test_of_the_optimum_it_is_the_textbook_picture():
    spec = load_scenario("gallego-van-ryzin")
    (found,) = price_maps(spec, solve(spec).policy, [0], seed=0)
    assert found.price.max() > 1.2 * found.price.min()
    assert (np.diff(found.price, axis=0) <= 1e-6).all(), "more stock, lower price"
    low, high = found.band
    assert (low <= high).all()
    assert low[0] == high[0] == spec.stock.initial_units[0]
    assert (np.diff(high) <= 0).all(), "stock that is never replenished falls"


def test_where_stock_is_unlimited_it_is_over_the_price_that_customers_remember(make_shop):
    def by_memory(view):
        return 0.5 * view.reference_price + 0.3 * (view.period[:, None] % 3) + 1.5

    (found, *_) = price_maps(unlimited(make_shop), Formula(by_memory), [0, 2], seed=0)
    assert found.axis == "reference_price"
    wanted = 0.5 * found.levels[:, None] + 0.3 * (found.periods % 3) + 1.5
    np.testing.assert_allclose(found.price, wanted, atol=0.005 + 1e-6)


def test_without_stock_or_memory_that_moves_there_is_none(make_shop):
    assert price_maps(unlimited(make_shop), FixedPrice(np.float32([4, 5, 3])), [0, 1, 2], seed=0) == []


def test_a_policy_that_the_view_does_not_fix_is_watched(shop):
    (found,) = price_maps(shop, Hidden(by_stock), [0], seed=0)
    assert not found.asked
    assert np.isnan(found.price).any(), "it cannot have been everywhere"
    assert np.isfinite(found.price).any(axis=0).all(), "it was somewhere in every period"
    wanted = 3 + found.levels[:, None] / 40 + 0.1 * found.periods
    gap = np.abs(found.price - wanted)
    assert np.nanmax(gap) < np.diff(found.levels).max() / 40 + 0.01


def test_a_map_of_nothing_is_refused(shop):
    (found,) = price_maps(shop, Formula(by_stock), [0], seed=0)
    found.price[:] = np.nan
    with pytest.raises(AssertionError, match="empty plot"):
        map_plot(found, period="week", unit="")


@pytest.mark.usefixtures("no_pictures")
def test_the_report_says_why_there_is_no_map(make_shop, tmp_path):
    spec = unlimited(make_shop)
    policy = FixedPrice(np.float32([4, 5, 3]), name="own")
    facts = {"algo": "ppo", "seed": 0, "steps": 1, "device": "cpu", "python": "3", "versions": {}}
    run = SimpleNamespace(policy=policy, facts=facts, history=[])
    data = ReportData(evaluate(spec, [policy], episodes=10), run, "own")
    text = " ".join(write_report(tmp_path / "r.html", data).read_text(encoding="utf-8").split())
    assert "Left out: these prices hardly vary with stock or reference price" in text

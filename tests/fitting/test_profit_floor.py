"""An objective of revenue does not cost the shop its profit."""

from dataclasses import replace

import numpy as np
import pytest
from repricer.agents import best_fixed
from repricer.data.panel.promotion_kinds import PROMOTION
from repricer.envs import expected_units
from repricer.fitting import Assumptions, build_market
from repricer.fitting.price_search import shadow_cost, with_profit_floor
from repricer.scenarios import goal_market, spec_from_table
from repricer.tests.fitting.test_market_builder import models


@pytest.fixture(scope="module")
def shop():
    return spec_from_table(
        {
            "name": "shop",
            "version": 1,
            "market": {"horizon_periods": 4},
            "products": {"names": ["a", "b"], "category": ["x", "x"], "regular_price": [4.0, 5.0], "unit_cost": 2.5},
            "arrivals": {"rate": [300.0]},
            "demand": {"quality": [[3.0, 3.5]], "price_sensitivity": [[1.0, 0.9]]},
            "prices": {"floor": [2.0, 2.5], "ceiling": [6.0, 7.0], "tick": 0.01},
        }
    )


DEAREST = np.array([3.2, 4.0])


def money(spec, price, cost):
    units = sum(expected_units(spec, t, price).sum(axis=1)[0] for t in range(spec.market.horizon_periods))
    return float(((price - cost) * units).sum())


def test_prices_with_the_highest_revenue_keep_the_profit_of_the_own_prices(shop):
    own = np.array([3.9, 4.9])
    floor = money(shop, own, DEAREST)
    bare = best_fixed(shop).price
    assert money(shop, bare, DEAREST) < floor
    goal = goal_market(shop.with_changes(products={"shadow_cost": shadow_cost(shop, DEAREST, floor)}))
    kept = best_fixed(goal).price
    assert money(shop, kept, DEAREST) == pytest.approx(floor, rel=0.05)
    assert money(shop, kept, 0) > money(shop, own, 0)


def test_a_floor_that_revenue_keeps_anyway_costs_nothing(shop):
    assert shadow_cost(shop, DEAREST, -1e6).tolist() == [0.0, 0.0]


def test_the_goal_is_in_no_figure_of_the_market(shop):
    spec = shop.with_changes(products={"shadow_cost": DEAREST})
    goal = goal_market(spec)
    assert goal.market.objective == "profit"
    assert goal.products.unit_cost.tolist() == DEAREST.tolist()
    assert spec.products.unit_cost.tolist() == [2.5, 2.5]
    assert goal_market(goal) is goal


def test_the_floor_holds_with_known_costs_too():
    fitted, assumptions = models(elasticity=np.full(4, -3.0)), Assumptions(price_widening=None)
    fitted = models(elasticity=np.full(4, -3.0), products=fitted.products.assign(unit_cost=[1.5, 2.3, 3.0, 4.0]))
    bare = build_market(fitted, name="s", assumptions=assumptions, objective="revenue")
    spec = with_profit_floor(bare, fitted, assumptions)
    assert (spec.products.shadow_cost > 0).all()
    assert (spec.products.shadow_cost <= spec.products.unit_cost).all()
    assert "profit must not fall below" in spec.assumptions[-1]
    profit = build_market(fitted, name="s", assumptions=assumptions, objective="profit")
    assert with_profit_floor(profit, fitted, assumptions) is profit


def test_displays_that_are_a_decision_raise_no_floor():
    """The prices that are searched come without them."""
    assumptions, held = Assumptions(price_widening=None), [1.5, 2.3, 3.0, 4.0]
    price = np.array([[1.8, 3.0, 4.0, 4.7], [2.0, 2.8, 4.0, 5.0], [2.0, 3.0, 3.8, 5.0]])
    shown = (price < [2.0, 3.0, 4.0, 5.0]).astype(float)
    shares = []
    for decided in (None, shown):
        fitted = models(elasticity=np.full(4, -3.0), current_price=price, effects={PROMOTION: 0.6})
        lift = fitted.demand.lift(price, None if decided is None else {PROMOTION: shown})
        fitted = replace(fitted, planned=fitted.forecast * lift, current_promotion=decided)
        fitted = replace(fitted, products=fitted.products.assign(unit_cost=held))
        bare = build_market(fitted, name="s", assumptions=assumptions, objective="revenue")
        shares.append(with_profit_floor(bare, fitted, assumptions).products.shadow_cost / held)
    np.testing.assert_allclose(*shares, atol=0.01)
    assert (shares[0] > 0).all()

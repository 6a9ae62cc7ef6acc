import numpy as np
from repricer.pricing.price_rules.grids import PriceEndings
from repricer.scenarios import goal_market, load_scenario


def test_a_goal_of_revenue_knows_no_costs_but_the_shadow_cost():
    spec = load_scenario("dual-sourcing").with_changes(
        market={"objective": "revenue"}, products={"shadow_cost": 1.5}, express={"order_cost": 0.3}
    )
    goal = goal_market(spec)
    assert (goal.market.objective, goal.products.unit_cost.tolist()) == ("profit", [1.5])
    stock, express = goal.stock, goal.express
    costs = (stock.order_cost, stock.holding_cost, stock.backlog_cost, express.extra_cost, express.order_cost)
    assert not any(cost.any() for cost in costs)


def test_a_goal_allows_the_prices_that_its_market_allows():
    # In single precision 3.49 lies above 3.49 and 3.79 below 3.79: bounds kept so would lose a step of any grid.
    rules = {"minimum_margin": 0.15, "max_discount": 0.1, "minimum_advertised_price": np.array([3.4])}
    bounds = {"floor": np.array([3.2]), "ceiling": np.array([3.8]), "price_ladder": None}
    spec = load_scenario("dual-sourcing").with_changes(
        market={"objective": "revenue"},
        products={"shadow_cost": 1.5, "regular_price": np.array([3.5]), "unit_cost": np.array([2.8])},
        prices={**rules, **bounds, "price_endings": PriceEndings([0.49, 0.79, 0.99])},
    )
    own, goal = spec.guardrails, goal_market(spec).guardrails
    assert (own.low.item(), own.high.item()) == (np.float32(3.49), np.float32(3.79))
    for bound in ("low", "high", "paid_low"):
        np.testing.assert_array_equal(getattr(goal, bound), getattr(own, bound))

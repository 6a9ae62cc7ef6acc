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

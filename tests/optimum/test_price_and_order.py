import numpy as np
import pytest
from repricer.optimum import exact_value, solve
from scipy.stats import poisson


def base_stock(price, level, most):
    return lambda view: (np.full(view.on_hand.shape, price), np.clip(level - view.on_hand, 0, most))


def test_reference_value_and_the_policy_that_earns_it(make):
    spec = make("price-and-order")
    optimum = solve(spec)
    assert optimum.value == pytest.approx(588.903, abs=5.1e-4)
    assert optimum.method == "value iteration"
    assert exact_value(spec, optimum.policy) == pytest.approx(optimum.value, rel=1e-7)


def test_the_best_fixed_price_and_base_stock(make, rule):
    spec = make("price-and-order")
    value = exact_value(spec, rule(base_stock(6.75, 12, 8)))
    assert value / solve(spec).value == pytest.approx(0.967, abs=5e-4)
    for price, level in ((6.5, 12), (7.0, 12), (6.75, 11), (6.75, 13)):
        assert exact_value(spec, rule(base_stock(price, level, 8))) < value


def test_order_up_to_a_level_and_price_down_in_stock(make):
    """Federgruen and Heching (1999): a base-stock list-price policy; here the cap of 8 binds below 0 or so."""
    policy = solve(make("price-and-order")).policy
    (tables,) = policy.products
    order = tables.at_once[:, 0, 0, :, 0]
    units = tables.least + np.arange(order.shape[1])
    near = (units >= -10) & (units <= 15)
    level = (units + order[0])[near]
    assert set(level[order[0][near] % 8 > 0]) == {level[order[0][near] > 0].max()}
    assert (np.diff(tables.price[0, 0, 0, :, 0][near]) <= 0).all()


def test_the_last_period_is_a_newsvendor(make):
    """One period, one price, lost sales: order up to the critical fractile (price - cost) / (price - salvage)."""
    spec = make(
        "price-and-order",
        market={"horizon_periods": 1, "ending": "terminated"},
        stock={"shortage": "lost", "holding_cost": 0, "max_order_units": 40, "salvage_value": 0.5},
        prices={"price_ladder": [6.0]},
    )
    level = int(poisson.ppf((6 - 2) / (6 - 0.5), 8))
    d = np.arange(60)
    money = poisson.pmf(d, 8) @ (6 * np.minimum(d, level) + 0.5 * np.maximum(level - d, 0)) - 2 * level
    optimum = solve(spec)
    (tables,) = optimum.policy.products
    assert tables.at_once[0, 0, 0, 0 - tables.least, 0] == level
    assert optimum.value == pytest.approx(money, rel=1e-9)
    assert optimum.method == "backward induction"


@pytest.mark.parametrize(
    "stock",
    [
        {"shortage": "lost"},
        {"shortage": "lost", "lost_sale_cost": 3.0, "order_cost": 5.0, "cost_due": "sold", "initial_units": 7},
        {"order_cost": 5.0, "initial_units": 30},
        {"max_order_units": 25, "backlog_cost": 0.5},
    ],
)
@pytest.mark.parametrize(
    "market",
    [
        {"discount_factor": 0.8},
        {"ending": "terminated", "horizon_periods": 20},
        {"ending": "terminated", "horizon_periods": 5},
    ],
)
def test_other_costs_shortages_and_seasons(make, rule, stock, market):
    spec = make("price-and-order", stock=stock, market=market)
    optimum = solve(spec)
    assert exact_value(spec, optimum.policy) == pytest.approx(optimum.value, rel=1e-7)
    assert exact_value(spec, rule(base_stock(6.75, 12, 8))) < optimum.value


def test_a_calendar_and_salvage(make):
    spec = make(
        "price-and-order",
        market={"horizon_periods": 6, "ending": "terminated", "discount_factor": 1.0},
        arrivals={"rate": [10.0, 10, 40, 40, 10, 10]},
        stock={"salvage_value": 1.5},
        prices={"price_ladder": {"start": 4, "stop": 10, "step": 1}},
    )
    optimum = solve(spec)
    assert exact_value(spec, optimum.policy) == pytest.approx(optimum.value, rel=1e-9)
    # Stock is built up before the rush.
    (tables,) = optimum.policy.products
    orders = tables.at_once[:, 0, 0, -tables.least, 0]
    assert orders[1] > orders[4]


@pytest.mark.parametrize("stock", [{"lead_time_periods": 3}, {"replenishment": "order-up-to"}, {"spoilage": 0.1}])
def test_what_is_not_modelled_has_no_solver(make, stock):
    assert solve(make("price-and-order", stock=stock)) is None


def test_a_fixed_cost_that_only_large_orders_pay_for_does_not_end_the_search(make, rule):
    """No range of 16 or of 32 units earns the cost of an order, but 160 units do."""
    spec = make(
        None,
        market={"horizon_periods": 1, "objective": "profit"},
        arrivals={"rate": 500.0},
        stock={
            "initial_units": 0,
            "replenishment": "action",
            "max_order_units": 300,
            "lead_time_periods": 0,
            "order_cost": 130.0,
        },
        prices={"price_ladder": [1.0, 2.0, 3.0]},
    )
    value = exact_value(spec, rule(lambda view: (view.list_price * 0 + 1, view.list_price * 0 + 160)))
    assert value > 0
    assert solve(spec).value >= value

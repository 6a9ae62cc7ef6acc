"""What a sold-out product loses: the customers who would have bought it and buy nothing else."""

import numpy as np
import pytest
from repricer.envs import Market, expected_units
from repricer.optimum import exact_value
from repricer.pricing import Action, FixedPrice
from repricer.scenarios import spec_from_table

MARKETS = 20_000


def market(**changes):
    table = {
        "name": "shelf",
        "version": 1,
        "market": {"horizon_periods": 20, "objective": "profit"},
        "products": {"names": ["unit"], "regular_price": 5.0},
        "arrivals": {"rate": 20.0},
        "demand": {"quality": 3.0, "price_sensitivity": 0.3},
        "stock": {"initial_units": 0, "lost_sale_cost": 50.0},
        "prices": {"floor": 1, "ceiling": 20},
    }
    return spec_from_table({**table, **changes})


def first_period(spec):
    batch = Market(spec, num_markets=MARKETS, seed=1)
    regular = np.tile(spec.products.regular_price.astype(np.float32), (MARKETS, 1))
    return batch.step(Action(regular))


def test_an_empty_shelf_loses_the_demand_for_it():
    """A logit of 20 / (1 + exp(-1.5)) customers: without a unit all are lost, with one all but one."""
    demand = 20 / (1 + np.exp(-1.5))
    for units in (0, 1):
        outcome = first_period(market(stock={"initial_units": units, "lost_sale_cost": 50.0}))
        wanted = 5 * units - 50 * (demand - units)
        assert outcome.expected_profit.mean() == pytest.approx(wanted, rel=1e-5)
        assert outcome.profit.mean() == pytest.approx(wanted, rel=0.01)
        assert outcome.lost.mean() == pytest.approx(demand - units, rel=0.01)
        assert outcome.units.mean() == pytest.approx(units, abs=1e-6)


def test_customers_who_find_empty_shelves_lose_their_loyalty():
    orders = {"initial_units": 0, "replenishment": "action", "max_order_units": 40, "lead_time_periods": 0}
    loyalty = {"memory": 0.5, "price_effect": 0.0, "stockout_effect": 2.0}
    kept = []
    for units in (0, 1, 40):
        batch = Market(market(stock=orders, loyalty=loyalty), num_markets=64, seed=2)
        for _ in range(10):
            price = np.full((64, 1), 5.0, np.float32)
            batch.step(Action(price, order=np.full((64, 1), units, np.float32)))
        kept.append(batch.view.loyalty.mean())
    assert kept[0] < 0.25 < kept[1] < 0.3
    assert kept[2] > 0.99


SEVERAL = {
    "products": {"names": ["a", "b", "c"], "regular_price": [5.0, 6.0, 7.0]},
    "demand": {"quality": [3.0, 2.5, 3.0], "price_sensitivity": 0.3},
    "stock": {"initial_units": [0, 50, 0], "lost_sale_cost": 1.0},
}


@pytest.mark.parametrize("rival", [False, True])
def test_customers_who_buy_another_product_are_not_lost(rival):
    """In the logit, those whose first choice is sold out and who leave, or buy a rival's, when asked again."""
    more, weight = {}, np.exp(np.array([3.0, 2.5, 3.0]) - 0.3 * np.array([5.0, 6.0, 7.0]))
    leave = 1.0
    if rival:
        more = {"competitors": {"names": ["r"], "regular_price": 5.0, "quality": 2.0, "price_sensitivity": 0.3}}
        leave += np.exp(2.0 - 0.3 * 5.0)
    outcome = first_period(market(**SEVERAL, **more))
    lost = 20 * weight / (leave + weight.sum()) * leave / (leave + weight[1])
    np.testing.assert_allclose(outcome.lost.mean(axis=0)[[0, 2]], lost[[0, 2]], rtol=0.02)
    assert outcome.units[:, 1].mean() == pytest.approx(20 * weight[1] / (leave + weight[1]), rel=0.01)


NESTS = {"family": "nested-logit", "nest": ["one", "one", "two"], "nesting": [0.6, 0.2]}


@pytest.mark.parametrize("demand", [{}, NESTS, {"family": "cheapest", "quality": 1.0, "price_sensitivity": 0.05}])
def test_what_is_lost_is_what_the_category_sells_less(demand):
    spec = market(**SEVERAL | {"demand": SEVERAL["demand"] | demand})
    price, there = spec.products.regular_price, np.array([0.0, 1.0, 0.0])
    every, now = expected_units(spec, 0, price), expected_units(spec, 0, price, in_stock=there)
    lost = expected_units(spec, 0, price, in_stock=there, lost=True)
    assert lost.sum() == pytest.approx(every.sum())
    np.testing.assert_allclose(lost[..., 1], now[..., 1])
    np.testing.assert_allclose(first_period(spec).lost.mean(axis=0)[[0, 2]], lost[0, 0, [0, 2]], rtol=0.02, atol=1e-6)


def test_single_customers_and_exact_values_count_the_same_losses():
    spec = market(
        **SEVERAL | {"stock": {"initial_units": [1, 2, 1], "lost_sale_cost": 3.0}},
        arrivals={"rate": 0.9, "process": "single"},
    )
    policy = FixedPrice(spec.products.regular_price.astype(np.float32))
    batch, money = Market(spec, num_markets=MARKETS, seed=3), 0.0
    for _ in range(20):
        money = money + batch.step(policy.act(batch.view)).profit.sum(axis=1)
    error = money.std() / MARKETS**0.5
    assert abs(money.mean() - exact_value(spec, policy)) < 4 * error

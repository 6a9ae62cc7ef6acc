"""Returns, spoilage, seasons, orders and backlog, each by itself, against a hand calculation.

Statistical tests here have a false-alarm level of 1e-4 each, and fixed seeds.
"""

from dataclasses import replace

import numpy as np
import pytest
from repricer.envs import Market
from repricer.pricing import Action
from repricer.scenarios import load_scenario
from repricer.scenarios.sections import Express
from scipy import stats

from .two_products import COST, at, bought, build, logit

LEVEL = 1e-4

# Returns, spoilage, seasons


def test_returned_units_are_refunded_handled_and_on_the_shelf_again():
    spec = build(stock={"initial_units": 30}, returns={"probability": [1.0, 0.3], "handling_cost": [0.4, 0.6]})
    market = Market(spec, num_markets=4000, seed=1)
    outcome = market.step(at([4.0, 5.0], 4000))
    kept, units, price = outcome.units - outcome.returned, outcome.units, np.array([4.0, 5.0])
    np.testing.assert_array_equal(kept[:, 0], 0)
    assert units[:, 0].sum() > 1000
    total = int(units[:, 1].sum())
    assert stats.binomtest(int(outcome.returned[:, 1].sum()), total, 0.3).pvalue > LEVEL
    np.testing.assert_array_equal(market.state.on_hand, 30 - kept)
    np.testing.assert_allclose(outcome.revenue, kept * price, rtol=1e-6)
    profit = kept * (price - COST) - outcome.returned * np.array([0.4, 0.6])
    np.testing.assert_allclose(outcome.profit, profit, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(outcome.expected_revenue[:, 0], 0, atol=1e-5)


def test_spoilage_is_binomial_in_what_is_left():
    market = Market(
        build(arrivals={"rate": 0.0}, stock={"initial_units": [50, 9], "spoilage": [0.3, 0.0]}), num_markets=20_000
    )
    outcome = market.step(at([4.0, 5.0], 20_000))
    np.testing.assert_array_equal(market.state.on_hand, [50, 9] - outcome.perished)
    assert not outcome.perished[:, 1].any()
    counts = np.bincount(outcome.perished[:, 0].astype(int), minlength=51)
    mass = stats.binom.pmf(np.arange(51), 50, 0.3) * 20_000
    keep = mass > 5
    observed = np.append(counts[keep], counts[~keep].sum())
    assert stats.chisquare(observed, np.append(mass[keep], mass[~keep].sum())).pvalue > LEVEL


def test_a_season_ends_with_what_is_left_sold_off_and_the_next_stock():
    stock = {"initial_units": [7, 90], "season_periods": 3, "salvage_value": [0.5, -0.25], "holding_cost": 0.1}
    market = Market(build(stock=stock), num_markets=40, seed=1)
    for t in range(7):
        opening = market.state.on_hand.copy()
        outcome = market.step(at([4.0, 5.0], 40))
        left, ends = opening - outcome.units, t % 3 == 2
        np.testing.assert_array_equal(outcome.perished, left if ends else 0 * left)
        np.testing.assert_array_equal(market.state.on_hand, np.tile([7, 90], (40, 1)) if ends else left)
        np.testing.assert_array_equal(outcome.received, np.tile([7, 90], (40, 1)) if ends else 0 * left)
        sold_off = left * np.array([0.5, -0.25]) * ends
        np.testing.assert_allclose(outcome.revenue, outcome.units * np.float32([4, 5]) + sold_off, rtol=1e-5, atol=1e-4)
        profit = outcome.units * (np.array([4, 5]) - COST) + sold_off - 0.1 * left
        np.testing.assert_allclose(outcome.profit, profit, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("ending", ["terminated", "truncated"])
def test_an_episode_that_ends_is_a_season_and_a_cut_one_is_not(ending):
    stock = {"initial_units": 6, "salvage_value": 0.5}
    spec = build(arrivals={"rate": 0.0}, market={"horizon_periods": 2, "ending": ending}, stock=stock)
    market = Market(spec)
    first, last = (market.step(at([4.0, 5.0])) for _ in range(2))
    value = 3.0 if ending == "terminated" else 0.0
    for name in ("revenue", "profit", "expected_revenue", "expected_profit"):
        np.testing.assert_allclose(getattr(first, name), 0.0, atol=1e-6)
        np.testing.assert_allclose(getattr(last, name), value, atol=1e-6)


# Orders and backlog

ORDERS = {"initial_units": 10, "replenishment": "action", "max_order_units": 30}


@pytest.mark.parametrize(("lead", "arrives"), [(0, 0), (1, 0), (2, 1), (3, 2)])
def test_an_order_arrives_after_its_lead_time(lead, arrives):
    """Ordered in period t, on the shelf for customers of period t + lead: the end of the period before, or at once."""
    market = Market(build(arrivals={"rate": 0.0}, stock=ORDERS | {"lead_time_periods": lead}))
    asked, received = [5, 0, 8, 1, 0, 0, 3, 0, 0, 0], []
    for t, units in enumerate(asked):
        outcome = market.step(at([4.0, 5.0], order=[units, 0]))
        assert outcome.ordered.tolist() == [[units, 0]]
        received.append(outcome.received[0, 0])
        assert market.state.on_hand[0].tolist() == [10 + sum(received), 10]
        assert market.state.on_order[0, 0] == sum(asked[: t + 1]) - sum(received)
    assert received[arrives:] == asked[: len(asked) - arrives]
    assert not any(received[:arrives])


@pytest.mark.parametrize("leads", [(1, 3), (0, 2), (3, 3)])
def test_each_product_has_its_lead_time(leads):
    market = Market(build(arrivals={"rate": 0.0}, stock=ORDERS | {"lead_time_periods": leads}))
    asked, received = [[5, 4], [0, 7], [8, 0], [1, 2], [0, 0], [0, 0], [0, 0]], []
    for order in asked:
        received.append(market.step(at([4.0, 5.0], order=order)).received[0])
        assert market.state.on_hand[0].tolist() == (10 + np.sum(received, axis=0)).tolist()
    for n, lead in enumerate(leads):
        shift = max(lead - 1, 0)
        assert [each[n] for each in received] == [0] * shift + [order[n] for order in asked][: len(asked) - shift]


def test_late_deliveries_come_together_and_none_is_lost():
    stock = ORDERS | {"lead_time_periods": [1, 2], "delay_probability": [0.4, 0.0]}
    market, size = Market(build(arrivals={"rate": 0.0}, stock=stock), num_markets=5000, seed=3), 5000
    first = market.step(at([4.0, 5.0], size, order=[5, 5])).received
    came = int((first[:, 0] == 5).sum())
    assert came + (first[:, 0] == 0).sum() == size
    assert stats.binomtest(came, size, 0.6).pvalue > LEVEL
    second = market.step(at([4.0, 5.0], size, order=[2, 0])).received
    assert set(np.unique(second[first[:, 0] == 0, 0])) == {0, 7}  # what was late comes with what is due
    assert set(np.unique(second[first[:, 0] == 5, 0])) == {0, 2}
    assert not first[:, 1].any()
    assert (second[:, 1] == 5).all()
    for _ in range(6):
        market.step(at([4.0, 5.0], size))
    state = market.state
    np.testing.assert_array_equal(state.on_hand + state.on_order, np.tile([17, 15], (size, 1)))
    assert state.on_order.any(axis=1).mean() < 0.01


@pytest.mark.parametrize(("lead", "sells"), [(0, True), (1, False)])
def test_only_an_order_without_lead_time_can_be_sold_in_its_period(lead, sells):
    market = Market(build(stock=ORDERS | {"initial_units": 0, "lead_time_periods": lead}), num_markets=20)
    outcome = market.step(at([2.0, 2.0], 20, order=[30, 30]))
    assert (outcome.units.sum() > 0) == (outcome.expected_revenue.sum() > 0) == sells
    assert market.step(at([2.0, 2.0], 20)).units.sum() > 0


def test_orders_are_capped_rounded_and_never_of_no_number():
    market = Market(build(arrivals={"rate": 0.0}, stock=ORDERS))
    for asked, placed in (([99, np.inf], [30, 30]), ([np.nan, -4], [0, 0]), ([4.6, -np.inf], [5, 0])):
        assert market.step(at([4.0, 5.0], order=asked)).ordered.tolist() == [placed]
    assert market.step(at([4.0, 5.0])).ordered.tolist() == [[0, 0]]


def test_a_second_supplier_delivers_sooner_for_more():
    """By hand: express orders arrive at once for one product, after a period for the other."""
    stock = ORDERS | {"lead_time_periods": [2, 3], "order_cost": 0.3, "cost_due": "ordered", "max_order_units": 6}
    express = {"max_order_units": [4, 5], "lead_time_periods": [0, 1], "extra_cost": 1.0, "order_cost": [0.5, 0.0]}
    market, size = Market(build(stock=stock, express=express), num_markets=37, seed=1), 37
    rng, hand, ahead = np.random.default_rng(0), np.full((37, 2), 10.0), np.zeros((37, 2, 4))
    for _ in range(6):
        np.testing.assert_array_equal(market.view.on_hand, hand)
        np.testing.assert_array_equal(market.view.due[:, :, 0], ahead[:, :, 1])
        np.testing.assert_array_equal(market.view.on_order, ahead.sum(axis=2))
        asked = rng.integers(-1, 9, (2, size, 2))
        orders = {"order": np.float32(asked[0]), "express": np.float32(asked[1])}
        outcome = market.step(replace(at([4.0, 5.0], size), **orders))
        order, express = np.clip(asked[0], 0, 6), np.clip(asked[1], 0, [4, 5])
        np.testing.assert_array_equal(outcome.express, express)
        np.testing.assert_array_equal(outcome.ordered, order + express)
        hand[:, 0] += express[:, 0]
        ahead[:, 1, 1] += express[:, 1]
        ahead[:, 0, 2] += order[:, 0]
        ahead[:, 1, 3] += order[:, 1]
        cost = COST * (order + express) + express + 0.3 * (order > 0) + np.array([0.5, 0.0]) * (express > 0)
        np.testing.assert_allclose(outcome.profit, outcome.revenue - cost, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(outcome.expected_profit, outcome.expected_revenue - cost, rtol=1e-5, atol=1e-4)
        ahead = np.concatenate([ahead[:, :, 1:], np.zeros((size, 2, 1))], axis=2)
        hand += ahead[:, :, 0] - outcome.units
        ahead[:, :, 0] = 0
    with pytest.raises(ValueError, match="express of an action needs a second supplier"):
        Market(build(stock=stock)).step(at([4.0, 5.0], express=[1, 1]))


@pytest.mark.parametrize("due", ["sold", "ordered"])
def test_unit_costs_are_due_when_sold_or_when_ordered(due):
    market = Market(build(stock=ORDERS | {"initial_units": 500, "order_cost": 1.5, "cost_due": due}), num_markets=30)
    for order in ([5, 0], [0, 0], [7, 7]):
        outcome = market.step(at([4.0, 5.0], 30, order=order))
        placed = 1.5 * (np.array(order) > 0)
        for units, revenue, profit in (
            (outcome.units, outcome.revenue, outcome.profit),
            (bought(outcome), outcome.expected_revenue, outcome.expected_profit),
        ):
            goods = COST * (units if due == "sold" else np.array(order))
            np.testing.assert_allclose(profit, revenue - goods - placed, rtol=1e-4, atol=1e-3)


def test_backlogged_units_are_paid_at_once_owed_and_delivered_later():
    stock = ORDERS | {"initial_units": 3, "shortage": "backlog", "backlog_cost": 0.2, "lead_time_periods": 1}
    market = Market(build(stock=stock), num_markets=30)
    outcome = market.step(at([2.0, 2.0], 30, order=[30, 0]))
    assert not outcome.lost.any()
    assert (outcome.units[:, 0] > 3).all()
    np.testing.assert_allclose(outcome.revenue, 2 * outcome.units, rtol=1e-6)
    left = 3 - outcome.units
    profit = outcome.units * (2 - COST) + 0.2 * np.minimum(left, 0)
    np.testing.assert_allclose(outcome.profit, profit, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(market.state.on_hand, left + np.array([30, 0]))
    assert np.isfinite(market.features()).all()
    # What is owed is still wanted: a market with a backlog is never sold out.
    assert (market.step(at([2.0, 2.0], 30)).units[:, 1] > 0).any()


@pytest.mark.parametrize("probability", [0.0, 0.25])
def test_the_expected_backlog_counts_what_comes_back(probability):
    """Units that come back serve those who wait: the end of a period holds stock - demand + returned."""
    stock = ORDERS | {"initial_units": 8, "shortage": "backlog", "backlog_cost": 0.2, "holding_cost": 0.1}
    returns = {"probability": probability, "handling_cost": 0.3}
    outcome = Market(build(stock=stock, returns=returns)).step(at([4.0, 5.0]))
    for n, price in enumerate((4.0, 5.0)):
        mean = 40 * logit([4.0, 5.0])[n]
        demand, back = np.arange(80)[:, None], np.arange(80)
        mass = stats.poisson.pmf(demand, mean) * stats.binom.pmf(back, demand, probability)
        closing = 8 - demand + back
        money = (demand - back) * (price - COST[n]) - 0.3 * back
        money = money - 0.1 * np.maximum(closing, 0) + 0.2 * np.minimum(closing, 0)
        assert outcome.expected_profit[0, n] == pytest.approx((mass * money).sum(), rel=1e-5)


# Shared capacity


def test_products_share_capacity_that_is_added_and_withdrawn():
    """Product 1 uses one unit, product 2 two; three are added before the third period, nine withdrawn before the fifth."""
    added = [[0], [0], [3], [0], [-9]] + [[0]] * 5
    spec = build(
        market={"horizon_periods": 10},
        arrivals={"rate": 1.0, "process": "single"},
        capacity={"names": ["seats"], "units": 6, "use": [[1, 2]], "added": added},
    )
    market, left = Market(spec, num_markets=500, seed=2), np.full(500, 6.0)
    for t in range(6):
        assert market.view.capacity[:, 0].tolist() == left.tolist()
        np.testing.assert_array_equal(market.state.on_hand, np.stack([left, left // 2], axis=1))
        outcome = market.step(at([2.0, 2.0], 500))
        assert not (outcome.units > np.stack([left, left // 2], axis=1)).any()
        left = np.maximum(left - outcome.units @ [1, 2] + added[t + 1][0], 0)
    assert left.tolist() == [0] * 500
    assert not market.step(at([2.0, 2.0], 500)).expected_revenue.any()
    market.restart(np.ones(500, bool))
    assert (market.state.capacity == 6).all()


def test_the_largest_order_is_whole_and_never_exceeded():
    spec = load_scenario("dual-sourcing").with_changes(stock={"max_order_units": 3.5}, express={"max_order_units": 1.7})
    market = Market(spec)
    ask = np.full((1, 1), 9, np.float32)
    outcome = market.step(Action(market.view.list_price, order=ask, express=ask))
    assert (outcome.ordered - outcome.express).item() == market.view.catalogue.max_order_units == 3
    assert outcome.express.item() == market.view.catalogue.max_express_units == 1


def test_a_product_without_the_second_supplier_may_be_delivered_at_once():
    spec = load_scenario("lead-times")
    express = Express(max_order_units=np.array([3, 0, 0]), lead_time_periods=np.zeros(3))
    spec = replace(spec.with_changes(stock={"lead_time_periods": [1, 0, 2], "delay_probability": 0.0}), express=express)
    market = Market(spec)
    ask = np.full((1, 3), 2, np.float32)
    outcome = market.step(Action(market.view.list_price, order=ask, express=ask))
    assert outcome.ordered.tolist() == [[4, 2, 2]]
    assert outcome.express.tolist() == [[2, 0, 0]]
    assert market.view.on_order.tolist() == [[0, 0, 2]]

"""Each part of a market by itself, against a hand calculation; and all parts together, drawn against expected.

Statistical tests here have a false-alarm level of 1e-4 each, or four standard errors (6e-5), and fixed seeds.
"""

import numpy as np
import pytest
from repricer.envs import Market, expected_units
from repricer.pricing import Action, feature_names
from repricer.scenarios import spec_from_table
from repricer.scenarios.sampler import sample_catalogue
from scipy import stats

LEVEL = 1e-4
QUALITY, SENSITIVITY = np.array([1.0, 1.5]), np.array([0.5, 0.4])
COST = np.array([2.0, 3.0])


def build(**sections):
    """Two products of one category, forty customers a period, unlimited stock; nothing else."""
    table = {
        "name": "parts",
        "version": 1,
        "market": {"horizon_periods": 12, "objective": "profit"},
        "products": {"names": ["a", "b"], "regular_price": [4.0, 5.0], "unit_cost": COST.tolist()},
        "arrivals": {"rate": 40.0},
        "demand": {"quality": QUALITY.tolist(), "price_sensitivity": SENSITIVITY.tolist()},
        "prices": {"floor": 1.0, "ceiling": 9.0},
    }
    for name, values in sections.items():
        table[name] = {**table.get(name, {}), **values}
    return spec_from_table(table)


def at(price, markets=1, **parts) -> Action:
    """The same action in every market."""
    rows = {name: np.tile(np.float32(part), (markets, *[1] * np.ndim(part))) for name, part in parts.items()}
    return Action(np.tile(np.float32(price), (markets, 1)), **rows)


def logit(price, extra=0.0, rivals=0.0) -> np.ndarray:
    """Shares of the two products; rivals: weight of rival offers."""
    weight = np.exp(QUALITY - SENSITIVITY * np.asarray(price) + extra)
    return weight / (1 + weight.sum() + rivals)


def bought(outcome) -> np.ndarray:
    """Expected units at list prices where stock is no limit, (E, N)."""
    return outcome.expected_revenue / outcome.list_price


# Promotion


def test_a_promotion_adds_its_lift_and_costs_its_cost():
    promotion = {"lift": [[0.7, 0.3]], "cost": [3.0, 1.5]}
    market, free = (Market(build(promotion=promotion | change)) for change in ({}, {"cost": 0.0}))
    action = at([4.0, 5.0], promotion=[1.0, -1.0])
    outcome, same = market.step(action), free.step(action)
    np.testing.assert_allclose(bought(outcome)[0], 40 * logit([4.0, 5.0], np.array([0.7, 0.0])), rtol=1e-5)
    assert outcome.promoted.tolist() == [[True, False]]
    np.testing.assert_array_equal(outcome.revenue, same.revenue)
    np.testing.assert_allclose(same.profit - outcome.profit, [[3.0, 0.0]], atol=1e-4)
    np.testing.assert_allclose(same.expected_profit - outcome.expected_profit, [[3.0, 0.0]], atol=1e-4)


@pytest.mark.parametrize(
    ("score", "promoted"),
    [
        ([0.2, -1.0, 0.9, 0.5], [2, 3]),
        ([-0.1, 0.0, -0.3, np.nan], []),
        ([0.0, 0.4, -0.3, np.nan], [1]),
        ([1.0, 3.0, 2.0, 0.5], [1, 2]),
        (None, []),
    ],
)
def test_the_highest_positive_scores_are_promoted_up_to_the_limit(score, promoted):
    four = {"names": list("abcd"), "regular_price": 4.0, "unit_cost": 2.0}
    demand = {"quality": 1.0, "price_sensitivity": 0.5}
    market = Market(build(products=four, demand=demand, promotion={"lift": 0.5, "max_products": 2}))
    action = at([4.0] * 4) if score is None else at([4.0] * 4, promotion=score)
    assert np.flatnonzero(market.step(action).promoted[0]).tolist() == promoted


# Loyalty

SEGMENTS = {"segments": ["s", "t"], "segment_share": [[0.6, 0.4]]}


def test_loyalty_follows_its_recursion_and_multiplies_arrivals():
    rules = {"memory": 0.6, "price_effect": [0.8, 0.3], "stockout_effect": 0.0}
    market = Market(build(arrivals=SEGMENTS, loyalty=rules))
    loyalty, price = np.ones(2), np.array([3.0, 4.5])
    share = logit(price)
    for _ in range(3):
        outcome = market.step(at(price))
        arrivals = 40 * (np.array([0.6, 0.4]) * loyalty).sum()
        np.testing.assert_allclose(bought(outcome)[0], arrivals * share, rtol=1e-5)
        cheaper = (share * np.log(np.array([4.0, 5.0]) / price)).sum() / share.sum()
        loyalty = 0.6 * loyalty + 0.4 * np.exp(np.array([0.8, 0.3]) * cheaper)
        np.testing.assert_allclose(market.state.loyalty[0], loyalty, rtol=1e-5)


def test_loyalty_counts_the_price_paid_and_stays_within_its_bounds():
    rules = {"memory": 0.0, "price_effect": [1.0, 9.0], "stockout_effect": 0.0, "high": 1.5}
    market = Market(build(arrivals=SEGMENTS, loyalty=rules, prices={"max_discount": 0.5}))
    market.step(at([4.0, 5.0], discount=[[0.2, 0.2], [0.2, 0.2]]))
    np.testing.assert_allclose(market.state.loyalty[0], [1 / 0.8, 1.5], rtol=1e-5)


def test_a_stock_out_costs_loyalty():
    rules = {"memory": 0.5, "price_effect": 0.0, "stockout_effect": 0.9}
    market = Market(build(stock={"initial_units": [2, 1000]}, loyalty=rules), num_markets=50)
    outcome = market.step(at([2.0, 5.0], 50))
    share = logit([2.0, 5.0])
    missed = share[0] * outcome.lost[:, 0] / (outcome.units + outcome.lost)[:, 0] / share.sum()
    assert (missed > 0.3).all()
    np.testing.assert_allclose(market.state.loyalty[:, 0], 0.5 + 0.5 * np.exp(-0.9 * missed), rtol=1e-5)


# Strategic customers


def test_customers_who_wait_come_back_and_all_who_come_are_accounted_for():
    rival = {"names": ["r"], "regular_price": 4.5, "quality": 1.2, "price_sensitivity": 0.45}
    market = Market(build(strategic={"share": 0.4, "patience": 0.7}, competitors=rival))
    their, pool = np.exp(1.2 - 0.45 * 4.5), 0.0
    later = 0.7 * np.exp(QUALITY - SENSITIVITY * np.array([4.0, 5.0])).sum()
    for price in ([4.0, 5.0], [6.0, 7.0], [3.0, 3.0], [4.0, 5.0]):
        outcome = market.step(at(price))
        weight = np.exp(QUALITY - SENSITIVITY * np.array(price))
        now = 1 + weight.sum() + their
        patient = 0.4 * 40 + pool
        each = 0.6 * 40 / now + patient / (now + later)
        waiting = market.state.waiting[0, 0]
        np.testing.assert_allclose(waiting, patient * later / (now + later), rtol=1e-5)
        np.testing.assert_allclose(bought(outcome)[0], weight * each, rtol=1e-5)
        np.testing.assert_allclose(outcome.rival_units[0, 0], their * each, rtol=1e-5)
        went = bought(outcome)[0].sum() + outcome.rival_units[0, 0] + each + waiting
        np.testing.assert_allclose(went, 40 + pool, rtol=1e-5)
        pool = waiting


def test_those_who_wait_expect_the_reference_price():
    reference = {"memory": 0.5, "gain": 0.0, "loss": 0.0}
    market = Market(build(strategic={"share": 1.0, "patience": 1.0}, reference_price=reference))
    market.step(at([2.0, 2.0]))
    pool = market.state.waiting[0, 0]
    market.step(at([4.0, 5.0]))
    later = np.exp(QUALITY - SENSITIVITY * np.array([3.0, 3.5])).sum()
    now = 1 + np.exp(QUALITY - SENSITIVITY * np.array([4.0, 5.0])).sum()
    np.testing.assert_allclose(market.state.waiting[0, 0], (40 + pool) * later / (now + later), rtol=1e-5)


# Regimes and shocks

REGIMES = {
    "names": ["low", "high"],
    "transition": [[0.8, 0.2], [0.35, 0.65]],
    "initial": [0.7, 0.3],
    "utility": [0.0, 0.4],
    "sensitivity": [1.0, 0.8],
    "arrivals": [0.9, 1.5],
}


def test_regimes_start_and_move_with_their_probabilities():
    market = Market(build(regimes=REGIMES), num_markets=40_000, seed=5)
    before = market.state.regime.copy()
    assert stats.binomtest(int(before.sum()), before.size, 0.3).pvalue > LEVEL
    for _ in range(2):
        market.step(at([4.0, 5.0], 40_000))
        after = market.state.regime.copy()
        for state, rise in ((0, 0.2), (1, 0.65)):
            rows = after[before == state]
            assert stats.binomtest(int(rows.sum()), rows.size, rise).pvalue > LEVEL
        before = after


def test_a_regime_moves_utility_sensitivity_and_arrivals():
    market = Market(build(regimes=REGIMES), num_markets=60, seed=1)
    high = market.state.regime == 1
    assert 0 < high.sum() < 60
    units = bought(market.step(at([4.0, 5.0], 60)))
    low_weight = np.exp(QUALITY - SENSITIVITY * np.array([4.0, 5.0]))
    high_weight = np.exp(QUALITY + 0.4 - 0.8 * SENSITIVITY * np.array([4.0, 5.0]))
    for rows, weight, arrivals in ((~high, low_weight, 36.0), (high, high_weight, 60.0)):
        expected = arrivals * weight / (1 + weight.sum())
        np.testing.assert_allclose(units[rows], np.tile(expected, (rows.sum(), 1)), rtol=1e-5)


def test_a_regime_is_seen_as_one_hot_or_not_at_all():
    seen = Market(build(regimes=REGIMES), num_markets=60, seed=1)
    names = feature_names(seen.catalogue)
    columns = [names.index("regime[low]"), names.index("regime[high]")]
    np.testing.assert_array_equal(seen.features()[:, 0, columns], np.eye(2)[seen.state.regime])
    hidden = Market(build(regimes=REGIMES | {"observed": False}), num_markets=60, seed=1)
    np.testing.assert_array_equal(hidden.state.regime, seen.state.regime)
    assert hidden.view.regime is None
    assert not [name for name in feature_names(hidden.catalogue) if name.startswith("regime")]
    assert len(np.unique(hidden.features(), axis=0)) == 1


def test_shocks_have_mean_one_their_volatility_and_their_persistence():
    shocks = {"volatility": 0.5, "persistence": 0.7}
    two = {"names": ["a", "b"], "regular_price": [4.0, 5.0], "category": ["x", "y"]}
    spec = build(shocks=shocks, products=two, arrivals={"rate": [40.0, 40.0]})
    markets = 40_000
    market = Market(spec, num_markets=markets, seed=2)
    base = expected_units(spec, 0, [4.0, 5.0])[0, 0]
    multiplier = np.array([bought(market.step(at([4.0, 5.0], markets))) / base for _ in range(4)], np.float64)
    error = multiplier.std() / np.sqrt(markets)
    np.testing.assert_allclose(multiplier.mean(axis=1), 1.0, atol=4 * error)
    logs = np.log(multiplier)
    np.testing.assert_allclose(logs.mean(axis=1), -0.125, atol=4 * 0.5 / np.sqrt(markets))
    np.testing.assert_allclose(logs.std(axis=1), 0.5, atol=4 * 0.5 / np.sqrt(2 * markets))
    for lag in (1, 2):
        found = [np.corrcoef(logs[t, :, 0], logs[t + lag, :, 0])[0, 1] for t in range(4 - lag)]
        np.testing.assert_allclose(found, 0.7**lag, atol=4 / np.sqrt(markets))
    # Categories have shocks of their own.
    assert abs(np.corrcoef(logs[0].T)[0, 1]) < 4 / np.sqrt(markets)
    assert len(np.unique(Market(spec, num_markets=50).features(), axis=0)) == 1


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


# Reference price on a linear scale


def test_the_linear_reference_effect_has_a_gain_and_a_loss_side():
    rules = {"memory": 0.6, "gain": [0.2, 0.3], "loss": [0.5, 0.7], "scale": "linear"}
    market = Market(build(reference_price=rules))
    reference = np.array([4.0, 5.0])
    for price in ([3.0, 6.0], [5.0, 4.5], [4.0, 5.0]):
        gap = reference - np.array(price)
        effect = np.where(gap > 0, [0.2, 0.3], [0.5, 0.7]) * gap
        np.testing.assert_allclose(bought(market.step(at(price)))[0], 40 * logit(price, effect), rtol=1e-5)
        reference = 0.6 * reference + 0.4 * np.array(price)
        np.testing.assert_allclose(market.state.reference_price[0], reference, rtol=1e-6)


# At most one customer

RIVAL = {"names": ["r"], "regular_price": 4.5, "quality": 1.2, "price_sensitivity": 0.45, "unit_cost": 2.5}


@pytest.mark.parametrize(("within", "most"), [(False, 1), (True, 2)])
def test_at_most_one_customer_comes_in_a_period_or_in_each_half_of_it(within, most):
    three = {"names": list("abc"), "category": ["x", "x", "y"], "regular_price": [4.0, 5.0, 3.0]}
    spec = build(
        products=three | {"unit_cost": 1.0},
        demand={"quality": [3.0, 3.0, 3.0], "price_sensitivity": 0.4},
        arrivals={"rate": [0.9, 0.8], "process": "single"},
        competitors=RIVAL | {"answers_within_period": within},
    )
    market = Market(spec, num_markets=5000)
    outcome = market.step(at([4.0, 5.0, 3.0], 5000))
    first = outcome.units[:, :2].sum(axis=1) + outcome.rival_units[:, 0]
    assert first.max() == outcome.units[:, 2].max() == most
    mean = most * expected_units(spec, 0, [4.0, 5.0, 3.0])[0].sum(axis=0)
    error = np.sqrt(mean / 5000)
    assert (np.abs(outcome.units.mean(axis=0) - mean) < 4 * error).all()


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("units", [0, 1, 2])
def test_the_expected_sales_of_at_most_one_customer_are_exact(within, units):
    spec = build(
        arrivals={"rate": 0.9, "process": "single"},
        competitors=RIVAL | {"answers_within_period": within},
        stock={"initial_units": units},
    )
    outcome = Market(spec).step(at([4.0, 5.0]))
    chance = 0.9 * logit([4.0, 5.0], rivals=np.exp(1.2 - 0.45 * 4.5))
    twice = 2 * chance if units > 1 else 1 - (1 - chance) ** 2
    exact = twice if within else chance
    np.testing.assert_allclose(outcome.expected_revenue[0], exact * (units > 0) * [4.0, 5.0], rtol=1e-5)


# Competitors


def test_each_rule_prices_its_offer_in_the_market():
    rules = ["fixed", "undercut:0.5", "undercut:10%", "match", "two-bound:3:6:0.25", "edgeworth:0.5", "undercut:3"]
    offers = {
        "names": [f"r{i}" for i in range(7)],
        "product": ["a"] * 6 + ["b"],
        "regular_price": 5.5,
        "unit_cost": 2.5,
        "quality": 1.0,
        "price_sensitivity": 0.5,
        "floor": 2.2,
        "rule": rules,
    }
    market = Market(build(competitors=offers))
    opening = market.step(at([5.0, 5.0])).rival_price[0]  # answers the regular prices, 4 and 5
    np.testing.assert_allclose(opening, [5.5, 3.5, 3.6, 4.0, 3.75, 3.5, 2.2], rtol=1e-6)
    second = market.step(at([2.9, 9.0])).rival_price[0]  # answers 5 and 5
    np.testing.assert_allclose(second, [5.5, 4.5, 4.5, 5.0, 4.75, 4.5, 2.2], rtol=1e-6)
    third = market.step(at([2.9, 9.0])).rival_price[0]  # answers 2.9 and 9
    np.testing.assert_allclose(third, [5.5, 2.4, 2.61, 2.9, 6.0, 5.5, 6.0], rtol=1e-6)
    # We see the lowest price against each product.
    np.testing.assert_allclose(market.view.competitor_price, [[2.4, 6.0]], rtol=1e-6)


def test_an_answer_within_the_period_holds_for_its_second_half():
    spec = build(competitors=RIVAL | {"rule": ["undercut:0.5"], "answers_within_period": True})
    market = Market(spec)
    old = 4.5
    for price in ([3.0, 5.0], [6.0, 5.0]):
        outcome = market.step(at(price))
        new = price[0] - 0.5
        their = [np.exp(1.2 - 0.45 * charged) for charged in (old, new)]
        shares = [logit(price, rivals=weight) for weight in their]
        np.testing.assert_allclose(bought(outcome)[0], 20 * (shares[0] + shares[1]), rtol=1e-5)
        weight = np.exp(QUALITY - SENSITIVITY * np.array(price)).sum()
        units = sum(20 * w / (1 + weight + w) for w in their)
        assert outcome.rival_units[0, 0] == pytest.approx(units, rel=1e-5)
        assert outcome.rival_price[0, 0] == pytest.approx(new)
        old = new


def test_a_derivative_follower_climbs_turns_and_keeps_its_notes_in_the_state():
    spec = build(competitors=RIVAL | {"rule": ["learning:0.2"], "regular_price": 3.5})
    market = Market(spec, num_markets=2)
    direction, last, price = 0.0, 0.0, 3.5
    turned = 0
    for _ in range(12):
        outcome = market.step(at([4.0, 5.0], 2))
        price += 0.2 * direction
        np.testing.assert_allclose(outcome.rival_price[:, 0], price, rtol=1e-5)
        profit = outcome.rival_profit[0, 0]
        fell = direction != 0 and profit < last
        direction = -direction if fell else direction or 1.0
        turned += fell
        last = profit
        memory = market.state.context[market.state.layout.rival_memory]
        np.testing.assert_allclose(memory, np.tile([[direction], [profit]], (1, 2)), rtol=1e-6)
    assert turned >= 2
    assert market.view.memory is None  # the rival's own


def test_given_rival_prices_stand_and_nan_leaves_the_rule():
    offers = RIVAL | {"names": ["r", "q"], "product": ["a", "b"], "rule": ["undercut:0.5"]}
    market = Market(build(competitors=offers))
    outcome = market.step(at([4.0, 5.0]), rival_price=np.array([[3.3, np.nan]]))
    np.testing.assert_allclose(outcome.rival_price, [[3.3, 4.5]], rtol=1e-6)


@pytest.mark.parametrize("process", ["poisson", "single"])
def test_the_rivals_drawn_units_agree_with_their_expectation(process):
    rate = 0.8 if process == "single" else 40.0
    spec = build(arrivals={"rate": rate, "process": process}, competitors=RIVAL)
    drawn = Market(spec, num_markets=20_000, seed=4, draw_rivals=True).step(at([4.0, 5.0], 20_000)).rival_units[:, 0]
    their = np.exp(1.2 - 0.45 * 4.5)
    mean = rate * their / (1 + their + np.exp(QUALITY - SENSITIVITY * np.array([4.0, 5.0])).sum())
    assert (drawn % 1 == 0).all()
    assert abs(drawn.mean() - mean) < 4 * drawn.std() / np.sqrt(20_000)


@pytest.mark.parametrize("parts", [{}, {"strategic": {"share": 0.5, "patience": 0.8}}])
def test_when_a_rival_answers_is_nothing_to_customers_if_it_never_moves(parts):
    """Two halves at the same prices are one whole: units, those who wait, and the charges of credit."""
    runs = []
    for within in (False, True):
        market = Market(build(competitors=RIVAL | {"answers_within_period": within}, **parts))
        steps = [market.step(at(p), credit_price=np.float32([4.0, 5.0])) for p in ([4.0, 5.0], [3.0, 6.0], [5.0, 5.0])]
        rows = [[bought(o), o.rival_units, o.charge] for o in steps]
        runs.append(np.concatenate([np.concatenate(row, axis=1)[0] for row in rows] + [market.state.waiting[0]]))
    np.testing.assert_allclose(runs[1], runs[0], rtol=1e-4, atol=1e-4)


# The lowest price takes all


def test_cheapest_feels_shocks_loyalty_and_season_as_the_other_families_do():
    family = {"family": "cheapest", "quality": 1.0, "price_sensitivity": 0.1}
    market = Market(build(demand=family, shocks={"volatility": 0.6}), num_markets=400)
    shock = market.state.context[market.state.layout.shock][0]
    units = bought(market.step(at([4.0, 5.0], 400)))
    np.testing.assert_allclose(units[:, 0], 40 * 0.6 * np.exp(shock - 0.18), rtol=1e-5)
    loyal = Market(build(demand=family, loyalty={"memory": 0.0, "price_effect": 1.0, "stockout_effect": 0.0}))
    loyal.step(at([3.2, 5.0]))
    assert loyal.state.loyalty[0, 0] == pytest.approx(1.25)
    assert bought(loyal.step(at([4.0, 5.0])))[0, 0] == pytest.approx(1.25 * 40 * 0.6, rel=1e-5)


def test_cheapest_feels_the_season_in_a_rivals_offer_too():
    demand = {"family": "cheapest", "quality": 1.0, "price_sensitivity": 0.1, "season": -0.2}
    rival = {"names": ["r"], "regular_price": 3.0, "quality": 1.0, "price_sensitivity": 0.1}
    outcome = Market(build(demand=demand, competitors=rival)).step(at([4.0, 5.0]))
    assert outcome.rival_units[0, 0] == pytest.approx(40 * 0.5, rel=1e-5)


def test_cheapest_buys_at_the_price_paid():
    spec = build(demand={"family": "cheapest", "quality": 1.0, "price_sensitivity": 0.1}, prices={"max_discount": 0.5})
    outcome = Market(spec).step(at([4.0, 5.0], discount=[[0.25], [0.0]]))
    assert outcome.expected_revenue[0, 0] == pytest.approx(40 * 0.7 * 3.0, rel=1e-5)


# Off costs nothing

NEUTRAL = {
    "promotion": {"lift": 0.0},
    "reference_price": {"memory": 0.5, "gain": 0.0, "loss": 0.0},
    "linear": {"memory": 0.5, "gain": 0.0, "loss": 0.0, "scale": "linear"},
    "recommendation": {"lift": 0.0, "candidates": 1},
    "loyalty": {"memory": 0.5, "price_effect": 0.0, "stockout_effect": 0.0},
    "strategic": {"share": 0.0, "patience": 0.9},
    "regimes": {"names": ["y", "z"], "transition": [[0.5, 0.5], [0.5, 0.5]], "initial": [0.5, 0.5]},
    "shocks": {"volatility": 0.0, "persistence": 0.5},
    "returns": {"probability": 0.0, "handling_cost": 9.0},
    "competitors": RIVAL | {"quality": -1000.0},
}


@pytest.mark.parametrize("part", NEUTRAL)
def test_a_part_of_no_strength_sells_what_a_market_without_it_sells(part):
    section = "reference_price" if part == "linear" else part
    plain, neutral = build(stock={"initial_units": 60}), build(stock={"initial_units": 60}, **{section: NEUTRAL[part]})
    runs = [Market(spec, num_markets=130, seed=7) for spec in (plain, neutral)]
    for price in ([4.0, 5.0], [3.0, 6.5], [5.5, 2.5]):
        off, on = (market.step(at(price, 130, promotion=[1.0, -1.0])) for market in runs)
        for name in ("units", "lost", "revenue", "profit"):
            np.testing.assert_array_equal(getattr(on, name), getattr(off, name), err_msg=name)
        np.testing.assert_allclose(on.expected_profit, off.expected_profit, rtol=1e-5, atol=1e-4)


# All parts together


def any_action(spec, markets: int, seed: int) -> Action:
    generator = np.random.default_rng(seed)
    products, segments = spec.sizes["N"], spec.sizes["K"]
    return Action(
        price=(spec.products.regular_price * generator.uniform(0.8, 1.2, (markets, products))).astype(np.float32),
        discount=generator.uniform(-0.1, 0.3, (markets, products, segments)),
        recommendation=generator.uniform(-1, 1, (markets, products, segments)),
        promotion=generator.uniform(-1, 1, (markets, products)),
        order=generator.uniform(0, 40, (markets, products)),
    )


def assert_unbiased(spec, seed: int, markets: int = 4000) -> None:
    """Drawn less expected money of an episode has mean zero, revenue and profit, within four standard errors."""
    market = Market(spec, num_markets=markets, seed=seed)
    difference = np.zeros((2, markets))
    for t in range(spec.market.horizon_periods):
        outcome = market.step(any_action(spec, markets, 100 * seed + t))
        for row, name in zip(difference, ("revenue", "profit"), strict=True):
            row += (getattr(outcome, name) - getattr(outcome, f"expected_{name}")).sum(axis=1, dtype=np.float64)
    deviation = difference.std(axis=1)
    assert (deviation > 0).all()
    z = difference.mean(axis=1) / (deviation / np.sqrt(markets))
    assert (np.abs(z) < 4).all(), f"revenue and profit are off by {z} standard errors"


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("process", ["poisson", "single"])
def test_drawn_money_agrees_with_its_expectation_with_all_parts_on(process, seed):
    assert_unbiased(sample_catalogue(5, seed, parts="all", process=process, periods=6), seed)


@pytest.mark.parametrize("change", [{"shortage": "lost"}, {"shortage": "backlog", "season_periods": None}])
@pytest.mark.parametrize("process", ["poisson", "single"])
def test_drawn_money_agrees_with_its_expectation_where_stock_is_scarce(process, change):
    spec = sample_catalogue(5, 3, parts="all", process=process, periods=6)
    scarce = change | {"initial_units": np.ones(5), "max_order_units": np.full(5, 3.0), "replenishment": "action"}
    assert_unbiased(spec.with_changes(stock=scarce), 11)


@pytest.mark.parametrize("family", ["cheapest", "exponential", "linear", "constant-elasticity"])
def test_drawn_money_agrees_with_its_expectation_in_the_other_families(family):
    assert_unbiased(sample_catalogue(5, 1, parts="all", family=family, periods=6), 12)

"""What moves customers, each part by itself, against a hand calculation.

Statistical tests here have a false-alarm level of 1e-4 each, and fixed seeds.
"""

import numpy as np
import pytest
from repricer.envs import Market, expected_units
from repricer.pricing import feature_names
from scipy import stats

from .two_products import QUALITY, RIVAL, SENSITIVITY, at, bought, build, logit

LEVEL = 1e-4

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

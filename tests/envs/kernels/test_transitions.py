"""Loyalty, regimes, demand shocks and reference prices, each on its own, against a hand calculation.

Statistical tests here have a false-alarm level of 1e-4 each, and fixed seeds.
"""

import numpy as np
from repricer.envs import Market, expected_units
from repricer.pricing import feature_names
from scipy import stats

from .two_products import QUALITY, SENSITIVITY, at, bought, build, logit

LEVEL = 1e-4


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

"""Periods since the last price change: counted from the history on, the same in the simulator's two forms."""

import dataclasses

import numpy as np
import pytest
from repricer.envs import Market, catalogue_of
from repricer.pricing import QUANTITIES, Action, feature_names, product_features
from repricer.scenarios import ScenarioError, load_scenario, spec_from_table
from repricer.scenarios.sections import Observed

MOST = 4
PAST = [[2.0, 3.0, 5.0], [2.5, 3.0, 5.0], [2.0, 3.2, 5.0], [2.0, 3.0, 5.0], [2.0, 3.0, 5.0]]


def market(**sections):
    table = {
        "name": "seen",
        "version": 1,
        "market": {"horizon_periods": 12},
        "products": {"names": ["a", "b", "c"], "regular_price": [2.0, 3.0, 5.0]},
        "arrivals": {"rate": 20.0},
        "demand": {"quality": 2.0, "price_sensitivity": 0.5},
        "prices": {"floor": [1.0, 1.5, 3.0], "ceiling": [4.0, 6.0, 9.0], "tick": 0.1},
        "plan": {"price": [[2.0, 3.0, 5.0]]},
        "past": {"price": PAST},
        "observed": {"since_change_periods": MOST},
    }
    return spec_from_table({name: part for name, part in (table | sections).items() if part is not None})


def counted(prices):
    """(E, N) for how many of these periods, (T, E, N), the last price was charged without a break, up to MOST."""
    found = np.zeros(prices[0].shape, int)
    for e, n in np.ndindex(found.shape):
        own = [row[e, n] for row in prices][::-1]
        while found[e, n] < min(MOST, len(own)) and own[found[e, n]] == own[0]:
            found[e, n] += 1
    return found


def test_it_is_counted_from_the_history_on():
    simulated, rng = Market(market(), num_markets=5, seed=3), np.random.default_rng(1)
    charged = [np.tile(np.float32(row), (5, 1)) for row in PAST]
    assert simulated.view.periods_since_change[0].tolist() == [3, 2, MOST]
    for _ in range(12):
        view = simulated.view
        np.testing.assert_array_equal(view.periods_since_change, counted(charged))
        # Logarithms are polynomials in the simulator.
        np.testing.assert_allclose(simulated.features(), product_features(view), atol=1e-6)
        column = feature_names(view.catalogue).index("since_change")
        np.testing.assert_array_equal(simulated.features()[..., column], view.periods_since_change / np.float32(MOST))
        moved = view.list_price + np.float32(0.1) * rng.integers(-1, 2, view.list_price.shape)
        charged.append(simulated.step(Action(np.where(rng.random((5, 3)) < 0.5, view.list_price, moved))).list_price)
    assert len(np.unique(counted(charged))) > 2


def test_without_a_past_no_price_has_changed():
    view = Market(market(past=None)).view
    assert view.periods_since_change.tolist() == [[MOST] * 3]


def test_price_rules_and_it_look_back_as_far_as_each_needs():
    rules = {"floor": 1.0, "ceiling": 9.0, "max_changes": 1, "change_window_periods": 3}
    simulated = Market(market(prices=rules), num_markets=2)
    alone = Market(market(prices=rules, observed=None), num_markets=2)
    for each in (simulated, alone):
        for price in ([2.1, 3.0, 5.0], [2.2, 3.1, 5.0], [2.3, 3.2, 5.1]):
            each.step(Action(np.tile(np.float32(price), (2, 1))))
    np.testing.assert_array_equal(simulated.view.changes, alone.view.changes)
    np.testing.assert_array_equal(simulated.view.list_price, alone.view.list_price)


def test_a_market_that_does_not_ask_for_it_is_as_it_was():
    plain, asked = Market(market(observed=None)), Market(market())
    assert plain.view.periods_since_change is None
    assert "since_change" not in feature_names(plain.catalogue)
    assert asked.features().shape[2] == plain.features().shape[2] + 1
    assert plain.state.context.shape[0] == 0
    assert not [name for name in ("grocery", "fashion") if catalogue_of(load_scenario(name)).since_change_periods]


def test_the_switch_is_a_number_of_periods():
    with pytest.raises(ScenarioError, match=r"observed\.since_change_periods"):
        market(observed={"since_change_periods": 0})


def test_an_assumed_market_observes_no_more_than_there_is():
    with pytest.raises(ValueError, match="whose since_change_periods is 0"):
        Market(market(observed=None), assumed=market())
    assumed = Market(market(), assumed=market(observed={"since_change_periods": 2}))
    assert assumed.view.periods_since_change.tolist() == [[2, 2, 2]]
    np.testing.assert_allclose(assumed.features(), product_features(assumed.view), atol=1e-6)


def complete_market():
    """A market that has all that is observed."""
    rules = {"floor": [1.0, 1.5, 3.0], "ceiling": [4.0, 6.0, 9.0], "max_changes": 2, "change_window_periods": 3}
    return market(
        prices=rules,
        observed={key.name: MOST for key in dataclasses.fields(Observed)},
        competitors={
            "names": ["x"],
            "product": ["a"],
            "regular_price": [2.2],
            "rule": ["match"],
            "quality": [[1.0]],
            "price_sensitivity": [[0.5]],
        },
        loyalty={"memory": 0.8, "price_effect": [0.5], "stockout_effect": [0.5]},
        regimes={
            "names": ["high", "low"],
            "transition": [[0.8, 0.2], [0.3, 0.7]],
            "initial": [0.5, 0.5],
            "utility": [0.2, -0.2],
            "sensitivity": [1.0, 1.0],
            "arrivals": [1.0, 0.7],
        },
        stock={"initial_units": 50.0, "replenishment": "action", "max_order_units": 20.0, "lead_time_periods": 4.0},
    )


def test_a_market_has_all_that_is_observed_in_both_forms():
    """A quantity, or its feature, that a place of the code lacks shows here; `complete_market` has each one declared."""
    simulated, rng = Market(complete_market(), num_markets=5, seed=3), np.random.default_rng(1)
    catalogue = simulated.catalogue
    assert [name for name, each in QUANTITIES.items() if not each.observed(catalogue)] == []
    seen = []
    for _ in range(8):
        seen.append(simulated.features())
        np.testing.assert_allclose(seen[-1], product_features(simulated.view), atol=2e-5)
        moved = simulated.view.list_price + np.float32(0.1) * rng.integers(-1, 2, (5, 3))
        order = rng.integers(0, 20, (5, 3)).astype(np.float32)
        simulated.step(Action(np.where(rng.random((5, 3)) < 0.5, simulated.view.list_price, moved), order=order))
    still = np.ptp(seen, axis=(0, 1, 2)) == 0
    moving = feature_names(catalogue, fixed=False)
    assert [name for name, never in zip(feature_names(catalogue), still, strict=True) if never and name in moving] == []


def test_a_state_gives_no_price_that_it_does_not_keep():
    with pytest.raises(ValueError, match="at most 4 latest prices can be observed; got 5"):
        Market(market()).state.latest_prices(MOST + 1)

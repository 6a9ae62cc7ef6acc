"""Competitors: their rules, their notes, what they sell, against a hand calculation."""

import numpy as np
import pytest
from repricer.envs import Market
from repricer.pricing import product_features

from .two_products import QUALITY, RIVAL, SENSITIVITY, at, bought, build, logit

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


def test_a_policy_that_believes_in_no_rival_sees_none():
    """What training in variants does: the market has a rival more than the catalogue says."""
    assumed, there = build(), build(competitors=RIVAL)
    market = Market(there, num_markets=130, seed=1, assumed=assumed)
    for price in ([4.0, 5.0], [3.0, 6.0]):
        market.step(at(price, 130))
        np.testing.assert_allclose(market.features(), product_features(market.view), atol=1e-5)

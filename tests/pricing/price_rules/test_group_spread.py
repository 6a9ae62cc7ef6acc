"""The cap on the difference between the average discounts of two protected groups."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repricer.envs import Market
from repricer.envs.kernels.price_rules import PriceRules, guard_discounts
from repricer.pricing import Action
from repricer.scenarios import ScenarioError

SHARE = [[0.2, 0.8], [0.7, 0.3]]
AGE = {"groups": ["young", "old"], "attribute": ["age", "age"], "share": SHARE}


def capped(make_shop, cap: float, **fairness):
    prices = {"max_discount": 0.4, "max_group_spread": cap}
    return make_shop(prices=prices, fairness=AGE | fairness)


def test_discounts_are_drawn_together_by_hand(make_shop):
    spec = capped(make_shop, 0.05)
    # Customers per period: 30 * 0.6 + 20 * 0.3 loyal ones, 30 * 0.4 + 20 * 0.7 thrifty ones.
    young = np.array([24 * 0.2, 26 * 0.7]) / (24 * 0.2 + 26 * 0.7)
    old = np.array([24 * 0.8, 26 * 0.3]) / (24 * 0.8 + 26 * 0.3)
    np.testing.assert_allclose(spec.segment_of_group, [young, old], rtol=1e-12)
    view = Market(spec).view
    asked = np.float32([[[0.1, 0.3], [0.1, 0.12], [0.2, 0.2]]])
    done = spec.guardrails.apply(Action(view.list_price, asked), view)
    factor = 0.05 / abs(0.2 * (young - old)[1])
    np.testing.assert_allclose(done.discount[0, 0], [0.1, 0.1 + 0.2 * factor], rtol=1e-6)
    np.testing.assert_array_equal(done.discount[0, 1:], asked[0, 1:])  # within the cap: untouched
    assert [done.rules(0, n) for n in range(3)] == [["group_spread"], [], []]
    assert "protected groups" in done.trails[0][0].why


def test_without_its_rule_nothing_is_drawn_together(make_shop):
    free = capped(make_shop, 0.05).with_changes(prices={"max_group_spread": 1.0})
    view, asked = Market(free).view, np.float32([[[0.0, 0.4]] * 3])
    np.testing.assert_array_equal(free.guardrails.apply(Action(view.list_price, asked), view).discount, asked)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), segments=st.integers(2, 5), cap=st.sampled_from([0.0, 0.01, 0.05, 0.2]))
def test_the_cap_is_kept_to_the_largest_factor_alike_in_the_simulator(make_shop, seed, segments, cap):
    rng = np.random.default_rng(seed)
    ages, sexes = rng.dirichlet(np.ones(3), segments), rng.dirichlet(np.ones(2), segments)
    spec = make_shop(
        arrivals={
            "segments": [f"s{k}" for k in range(segments)],
            "segment_share": rng.dirichlet(np.ones(segments), 2).tolist(),
        },
        demand={"quality": 3.0, "price_sensitivity": 1.0},
        recommendation=None,
        prices={"max_discount": 0.5, "max_group_spread": cap, "max_segment_spread": 0.4, "minimum_margin": 0.3},
        fairness={
            "groups": ["a", "b", "c", "f", "m"],
            "attribute": ["age"] * 3 + ["sex"] * 2,
            "share": np.hstack([ages, sexes]).tolist(),
        },
    )
    view = Market(spec, num_markets=50).view
    asked = rng.uniform(-0.1, 0.7, (50, 3, segments)).astype(np.float32)
    done = spec.guardrails.apply(Action(view.list_price, asked), view)
    free = spec.with_changes(prices={"max_group_spread": 1.0}).guardrails.apply(Action(view.list_price, asked), view)
    averages, before = (each.discount.astype(np.float64) @ spec.segment_of_group.T for each in (done, free))
    for own in (slice(0, 3), slice(3, 5)):
        assert np.ptp(averages[..., own], axis=-1).max() <= cap + 1e-6
    gap, gap_before = (np.maximum(np.ptp(a[..., :3], axis=-1), np.ptp(a[..., 3:], axis=-1)) for a in (averages, before))
    bound = gap_before > cap + 2e-6
    np.testing.assert_array_equal(done.discount[gap_before < cap - 1e-6], free.discount[gap_before < cap - 1e-6])
    np.testing.assert_allclose(gap[bound], cap, atol=1e-6)  # the largest factor
    least = free.discount.min(axis=-1)
    np.testing.assert_array_equal(done.discount.min(axis=-1), least)
    allowed = np.empty((segments, 3, 50), np.float32)
    trail = np.zeros((3, 50), np.uint32)
    proposed = np.ascontiguousarray(asked.transpose(2, 1, 0))
    guard_discounts(proposed, np.ascontiguousarray(done.price.T), PriceRules.of(spec), allowed, trail)
    np.testing.assert_allclose(allowed.transpose(2, 1, 0), done.discount, atol=2e-7)
    near = np.abs(gap_before - cap) < 1e-5
    np.testing.assert_array_equal(trail.T[~near], done.trail[~near])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fairness": None}, r"prices.max_group_spread needs a section \[fairness\]; got 0.05 without one"),
        ({"fairness": {"share": [[0.5, 0.6], [0.5, 0.5]]}}, "fairness.share must sum to one; got 1.1 for 'loyal'"),
        ({"fairness": {"attribute": ["age", "sex"]}}, "two or more of an attribute; got one of 'age'"),
        (
            {"fairness": {"attribute": ["age"]}},
            "fairness.attribute must name one attribute for each of 2 groups; got 1",
        ),
    ],
)
def test_groups_that_are_no_groups_are_refused(make_shop, changes, words):
    fairness = None if changes["fairness"] is None else AGE | changes["fairness"]
    with pytest.raises(ScenarioError, match=words):
        make_shop(prices={"max_discount": 0.4, "max_group_spread": 0.05}, fairness=fairness)

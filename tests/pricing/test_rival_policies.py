"""The rules that answer a rival's price, by hand."""

import numpy as np
import pytest
from repricer.evaluation import named_policy
from repricer.pricing import Catalogue, LearningPolicy, MarketView, Policy, competitor
from repricer.scenarios import load_scenario


def view(rival, price=(4.0, 5.0), memory=None) -> MarketView:
    """One market of two offers, regular prices 4 and 5, unit costs 2 and 3; rival: (2,), or None where nobody competes."""
    row = np.float32([price])
    catalogue = Catalogue(
        products=("a", "b"),
        segments=("everyone",),
        category=np.zeros(2, np.intp),
        regular_price=np.float32([4, 5]),
        unit_cost=np.float32([2, 3]),
        segment_elasticity=np.full((1, 2), -2.0, np.float32),
        segment_units=np.ones((1, 2), np.float32),
        forecast_units=np.ones((3, 2), np.float32),
        rivals=rival is not None,
    )
    return MarketView(
        catalogue=catalogue,
        period=np.zeros(1, np.intp),
        list_price=row,
        reference_price=row,
        on_hand=np.full_like(row, np.inf),
        on_order=np.zeros_like(row),
        last_units=np.zeros_like(row),
        competitor_price=None if rival is None else np.float32([rival]),
        memory=None if memory is None else np.float32([memory]),
    )


def asked(rule: str, rival, **seen) -> list[float]:
    price = competitor(rule).act(view(rival, **seen)).price
    assert price.shape == (1, 2)
    assert price.dtype == np.float32
    return price[0].tolist()


@pytest.mark.parametrize(
    ("rule", "rival", "prices"),
    [
        ("fixed", [3.0, 9.0], [4.0, 5.0]),
        ("undercut:0.5", [3.0, 9.0], [2.5, 8.5]),
        ("undercut:0", [3.0, 9.0], [3.0, 9.0]),
        ("undercut:10%", [3.0, 9.0], [2.7, 8.1]),
        ("undercut:2.5%", [4.0, 8.0], [3.9, 7.8]),
        ("match", [3.0, 9.0], [3.0, 9.0]),
        # Undercuts in (low, high], else asks the high price.
        ("two-bound:2:6:0.25", [2.0, 2.01], [6.0, 1.76]),
        ("two-bound:2:6:0.25", [6.0, 6.01], [5.75, 6.0]),
        ("edgeworth:0.5", [3.0, 4.0], [2.5, 3.5]),
        # Nothing left over the unit cost: back to the regular price, at the cost itself, too.
        ("edgeworth:0.5", [2.5, 3.4], [4.0, 5.0]),
        # A rival above the regular price is no reason to go above it.
        ("edgeworth:0.5", [9.0, 9.0], [3.5, 4.5]),
        ("learning:0.2", [3.0, 9.0], [4.0, 5.0]),
        # From its own price of 4 and 5, whatever the rival charges.
        ("cycle:4:6:0.25", [3.0, 9.0], [6.0, 4.75]),
    ],
)
def test_each_rule_by_hand(rule, rival, prices):
    np.testing.assert_allclose(asked(rule, rival), prices, rtol=1e-6)


@pytest.mark.parametrize(
    ("rule", "prices"),
    [
        ("fixed", [4.5, 4.5]),
        ("undercut:0.5", [3.5, 4.5]),
        ("undercut:10%", [3.6, 4.5]),
        ("match", [4.0, 5.0]),
        ("two-bound:2:6:0.25", [3.75, 4.75]),
        ("edgeworth:0.5", [3.5, 4.5]),
    ],
)
@pytest.mark.parametrize("rival", [None, [np.inf, np.inf], [np.nan, np.inf]])
def test_without_a_rival_the_regular_price_stands_in_for_its_price(rule, prices, rival):
    np.testing.assert_allclose(asked(rule, rival, price=(4.5, 4.5)), prices, rtol=1e-6)


def test_two_edgeworth_rules_undercut_each_other_and_start_again():
    rule, price, path = competitor("edgeworth:0.5"), 4.0, []
    for _ in range(9):
        price = float(rule.act(view([price, 5.0])).price[0, 0])
        path.append(price)
    assert path == [3.5, 3.0, 2.5, 4.0, 3.5, 3.0, 2.5, 4.0, 3.5]


def test_a_derivative_follower_turns_when_profit_falls():
    rule = competitor("learning:0.25")
    assert isinstance(rule, LearningPolicy)
    memory, price = np.zeros((2, 2)), np.array([4.0, 5.0])
    path, profits = [], ([1.0, 9.0], [2.0, 8.0], [2.0, 7.0], [1.5, 7.5], [1.4, 7.5])
    for profit in profits:
        now = view([4.0, 5.0], price=price, memory=memory)
        price = rule.act(now).price[0]
        memory = rule.learn(now, price[None], np.float32([profit]))[0]
        path.append(price.tolist())
        np.testing.assert_allclose(memory[:, 1], profit, rtol=1e-6)
    # The first keeps its way while profit does not fall; the second turns each time that it falls.
    assert [row[0] for row in path] == [4.0, 4.25, 4.5, 4.75, 4.5]
    assert [row[1] for row in path] == [5.0, 5.25, 5.0, 5.25, 5.5]
    assert memory[:, 0].tolist() == [1.0, 1.0]


def test_only_the_learning_rule_learns():
    for rule in ("fixed", "undercut:1", "match", "two-bound:1:2:0.1", "cycle:1:2:0.1", "edgeworth:1"):
        policy = competitor(rule)
        assert isinstance(policy, Policy)
        assert not isinstance(policy, LearningPolicy)
        assert policy.name == rule


@pytest.mark.parametrize(
    "rule", ["undercut:0.5", "two-bound:2:6:0.25", "cycle:2:6:0.25", "edgeworth:0.5", "learning:0.2", "undercut:2.5%"]
)
def test_a_rules_name_makes_the_same_rule_again(rule):
    assert competitor(competitor(rule).name) == competitor(rule)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (
            "undercutting",
            "rule must be one of fixed, undercut:STEP or undercut:PERCENT%, .*; got 'undercutting'; choose",
        ),
        ("", "rule must be one of .*; got ''; choose"),
        ("undercut", "rule undercut must be written undercut:STEP or undercut:PERCENT%, numbers >= 0; got 'undercut'"),
        ("undercut:", "got 'undercut:'; fix it"),
        ("undercut:%", "got 'undercut:%'; fix it"),
        ("undercut:-1", "got 'undercut:-1'; fix it"),
        ("undercut:nan", "got 'undercut:nan'; fix it"),
        ("undercut:inf%", "got 'undercut:inf%'; fix it"),
        ("undercut:1:2", "got 'undercut:1:2'; fix it"),
        ("match:1", "rule match must be written match, numbers >= 0; got 'match:1'; fix it"),
        ("fixed:3", "got 'fixed:3'; fix it"),
        ("two-bound:1:2", "must be written two-bound:LOW:HIGH:STEP, numbers >= 0; got 'two-bound:1:2'"),
        ("edgeworth:x", "must be written edgeworth:STEP"),
        ("learning:", "must be written learning:STEP"),
    ],
)
def test_a_wrong_rule_gets_one_line(rule, words):
    with pytest.raises(ValueError, match=words) as caught:
        competitor(rule)
    assert "\n" not in str(caught.value)


def test_a_rule_is_a_baseline_where_there_are_competitors():
    spec = load_scenario("marketplace")
    policy = named_policy("undercut:0.5", spec)
    assert policy == competitor("undercut:0.5")
    from repricer.envs import Market

    market = Market(spec, num_markets=2)
    lowest = market.view.competitor_price
    np.testing.assert_allclose(lowest, [[13.99, 18.99]] * 2)
    np.testing.assert_allclose(policy.act(market.view).price, lowest - 0.5, rtol=1e-6)
    np.testing.assert_allclose(market.step(policy.act(market.view)).list_price, [[13.49, 18.49]] * 2, rtol=1e-6)


@pytest.mark.parametrize("rule", ["undercut:0.5", "match", "edgeworth:1"])
def test_a_rule_needs_competitors_to_be_a_baseline(rule):
    with pytest.raises(ValueError, match="needs a scenario with competitors; got stationary-logit; leave it out"):
        named_policy(rule, load_scenario("stationary-logit"))

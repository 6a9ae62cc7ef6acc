"""Price rules that look back: what the market remembers for them, and that it remembers nothing where they are off."""

from dataclasses import replace

import numba
import numpy as np
import pytest
from repricer.envs import Market
from repricer.envs.kernels.price_rules import PriceRules
from repricer.pricing import Action, RandomPrice
from repricer.scenarios import ScenarioError
from repricer.scenarios.shop_sections import PastSection, PlanSection


def step(market: Market, *prices: float) -> list[str]:
    """One period at these prices; the rules that changed the first product's."""
    action = Action(np.tile(np.float32(prices), (market.num_markets, 1)))
    allowed = market.spec.guardrails.apply(action, market.view)
    market.step(action)
    return allowed.rules(0, 0)


@pytest.mark.parametrize(
    "prices",
    [
        {"index_names": ["rival"], "index_weights": [[0.2, 0.1, 0.0]], "index_at_most": [9.0]},
        {"frozen": ["b"]},
        {"max_changes": 2, "change_window_periods": 4},
        {"tick": None, "price_ladder": [2.0, 3.0, 4.0, 5.0]},
    ],
    ids=lambda prices: next(iter(prices)),
)
def test_to_the_compiler_all_rules_are_of_one_kind(make_shop, prices):
    """The weights of a price index were read-only, for which the whole market was compiled anew, in a minute."""
    with_rule, without = (PriceRules.of(make_shop(**changes)) for changes in ({"prices": prices}, {}))
    assert numba.typeof(with_rule) == numba.typeof(without)


def test_a_price_changes_no_more_often_than_allowed_in_any_window(make_shop):
    spec = make_shop(prices={"max_changes": 2, "change_window_periods": 4, "tick": None})
    market = Market(spec, num_markets=3, seed=1)
    policy, charged = RandomPrice(spec.guardrails.low, spec.guardrails.high, seed=0), [market.state.list_price]
    charged += [market.step(policy.act(market.view)).list_price for _ in range(8)]
    changed = np.array(charged[1:]) != np.array(charged[:-1])
    in_window = np.array([changed[t : t + 4].sum(axis=0) for t in range(5)])
    assert in_window.max() == 2
    assert in_window.min() == 2  # a policy that always wants another price uses them all


def test_changes_are_counted_and_forgotten(make_shop):
    market = Market(make_shop(prices={"max_changes": 1, "change_window_periods": 3}))
    assert market.view.changes.tolist() == [[0, 0, 0]]
    assert step(market, 4.5, 5.0, 3.0) == []
    assert market.view.changes.tolist() == [[1, 0, 0]]
    assert step(market, 4.6, 5.0, 3.0) == ["max_changes"]
    assert step(market, 4.6, 5.0, 3.0) == ["max_changes"]
    assert market.view.changes.tolist() == [[0, 0, 0]]
    assert step(market, 4.6, 5.0, 3.0) == []
    assert market.state.list_price[0, 0] == pytest.approx(4.6)


def test_changes_before_the_first_period_count_and_a_plan_may_be_followed(make_shop):
    spec = make_shop(prices={"max_changes": 1, "change_window_periods": 3, "tick": None})
    plan = np.tile([4.0, 5.0, 3.0], (spec.market.horizon_periods, 1))
    past = np.array([[4.0, 5.0, 3.0], [4.0, 5.2, 3.0], [3.5, 5.2, 3.0]])
    market = Market(replace(spec, plan=PlanSection(price=plan), past=PastSection(price=past)), num_markets=2)
    assert market.view.changes.tolist() == [[1, 1, 0]] * 2
    # One change is used up: nearer to the planned price than to the current one.
    assert step(market, 4.3, 4.9, 3.3) == ["max_changes"]
    np.testing.assert_allclose(market.state.list_price, [[4.0, 5.0, 3.3]] * 2)
    assert step(market, 3.6, 5.3, 3.0) == ["max_changes"]
    np.testing.assert_allclose(market.state.list_price, [[4.0, 5.0, 3.0]] * 2)


def test_a_reduction_carries_the_lowest_price_before_it(make_shop):
    market = Market(make_shop(prices={"prior_price_periods": 3}))
    rules, seen = market.spec.guardrails, []
    for price in (3.5, 4.5, 4.2, 4.2, 4.1):
        action = Action(np.float32([[price, 5.0, 3.0]]))
        seen.append(float(rules.apply(action, market.view).prior_price[0, 0]))
        market.step(action)
    # Opens at 4: down to 3.5; up; down, but dearer than 3.5 a while ago, which is no reduction; no change; down, 3.5 is no
    # longer among the last three.
    np.testing.assert_allclose(seen, [4.0, np.nan, np.nan, np.nan, 4.2], rtol=1e-6)


def test_what_was_charged_starts_anew_with_an_episode_and_comes_back_with_a_state(make_shop):
    spec = make_shop(prices={"max_changes": 1, "change_window_periods": 3, "prior_price_periods": 3})
    market = Market(spec, num_markets=2)
    step(market, 3.9, 5.0, 3.0)
    saved = market.state
    market.restart(np.array([True, False]))
    assert market.view.changes.tolist() == [[0, 0, 0], [1, 0, 0]]
    np.testing.assert_allclose(market.view.lowest_price_30_days[:, 0], [4.0, 3.9])
    market.restore(saved)
    assert market.view.changes.tolist() == [[1, 0, 0]] * 2


def test_each_product_has_its_largest_change(make_shop):
    market = Market(make_shop(prices={"max_change": [0.05, 0.2, 0.0]}))
    assert step(market, 5.0, 9.0, 3.3) == ["max_change"]
    np.testing.assert_allclose(market.state.list_price, [[4.2, 6.0, 3.0]])


def test_a_price_changes_as_far_as_is_planned_beside_its_largest_change(make_shop):
    spec = make_shop(prices={"max_change": 0.1, "frozen": ["c"], "tick": None})
    plan = np.tile([4.0, 5.0, 3.0], (spec.market.horizon_periods, 1))
    plan[1] = [3.0, 6.0, 3.0]
    spec = replace(spec, plan=PlanSection(price=plan), past=PastSection(price=[3.2, 5.0, 2.0]))
    market = Market(spec, num_markets=2)
    # A frozen product keeps its regular price.
    np.testing.assert_allclose(market.state.list_price, [[3.2, 5.0, 3.0]] * 2)
    assert step(market, 4.4, 4.0, 3.3) == ["max_change"]
    np.testing.assert_allclose(market.state.list_price, [[4.0, 4.5, 3.0]] * 2)
    assert step(market, 3.1, 5.5, 3.0) == []
    np.testing.assert_allclose(market.state.list_price, [[3.1, 5.5, 3.0]] * 2)
    assert step(market, 4.8, 7.0, 3.0) == ["max_change"]
    np.testing.assert_allclose(market.state.list_price, [[4.0, 6.05, 3.0]] * 2)
    # Where prices may only fall, no plan raises them.
    falling = Market(spec.with_changes(prices={"direction": "falling"}))
    assert step(falling, 4.1, 4.0, 3.0) == ["direction"]
    np.testing.assert_allclose(falling.state.list_price, [[4.0, 4.5, 3.0]])
    assert step(falling, 3.0, 6.0, 3.0) == ["max_change"]
    np.testing.assert_allclose(falling.state.list_price, [[3.6, 4.5, 3.0]])


def test_a_frozen_price_that_follows_the_plan_moves_with_it_whatever_other_rules_say(make_shop):
    spec = make_shop(prices={"max_change": 0.01, "tick": 0.5, "floor": 2.5, "line_order": [["c", "b"]]})
    plan = np.tile([4.0, 5.0, 3.0], (spec.market.horizon_periods, 1))
    plan[0, 1], plan[1, 1] = 2.19, 3.0
    past = np.array([[4.0, 4.4, 3.0]])
    spec = replace(spec, plan=PlanSection(price=plan), past=PastSection(price=past))
    market = Market(spec.with_changes(prices={"frozen": ["b"], "frozen_as_planned": True, "max_change": None}))
    assert market.state.list_price[0, 1] == pytest.approx(4.4)
    step(market, 4.0, 9.0, 3.0)
    # Below the floor and off the grid; the smaller product of its line follows as far as its own floor lets it.
    np.testing.assert_allclose(market.state.list_price, [[4.0, 2.19, 2.5]])
    step(market, 4.0, 9.0, 3.5)
    np.testing.assert_allclose(market.state.list_price, [[4.0, 3.0, 3.0]])


@pytest.mark.parametrize(
    ("prices", "said"),
    [
        ({"frozen": ["b"], "frozen_as_planned": True}, r"prices.frozen_as_planned needs a section \[plan\]"),
        ({"frozen_because": {"bb": "it is too new"}}, "prices.frozen_because must be one of products.names; got 'bb'"),
        ({"frozen_because": {"b": 3}}, "prices.frozen_because must be a table of texts; got"),
    ],
)
def test_a_freeze_that_cannot_be_is_refused(make_shop, prices, said):
    with pytest.raises(ScenarioError, match=f"^{said}"):
        make_shop(prices=prices)


def test_a_frozen_price_stays_and_a_line_rises(make_shop):
    market = Market(make_shop(prices={"frozen": ["b"], "line_order": [["c", "a", "b"]], "max_change": 0.2}))
    assert step(market, 4.8, 6.0, 3.3) == []
    np.testing.assert_allclose(market.state.list_price, [[4.8, 5.0, 3.3]])
    # The smaller stays below the frozen larger one, and the larger is raised to the smaller.
    assert step(market, 5.7, 9.0, 3.9) == ["line_order"]
    np.testing.assert_allclose(market.state.list_price, [[5.0, 5.0, 3.9]])
    assert step(market, 4.0, 5.0, 4.6) == ["line_order"]
    np.testing.assert_allclose(market.state.list_price, [[4.6, 5.0, 4.6]])


def test_a_price_gap_is_kept_by_raising_the_dearer_product(make_shop):
    rules = {"price_gaps": [["a", "b"], ["b", "a"]], "gap_shares": [0.8, 1.5], "tick": 0.1}
    market = Market(make_shop(prices=rules))
    assert step(market, 4.0, 5.0, 3.3) == []
    # The private label a stays 20% below the brand b, and the brand at most half as much again.
    assert step(market, 4.4, 5.0, 3.3) == []
    np.testing.assert_allclose(market.state.list_price, [[4.4, 5.5, 3.3]])
    assert step(market, 4.0, 6.4, 3.3) == ["price_gap"]
    np.testing.assert_allclose(market.state.list_price, [[4.3, 6.4, 3.3]])


def test_a_gap_caps_what_is_below_a_frozen_price(make_shop):
    market = Market(make_shop(prices={"price_gaps": [["a", "b"]], "gap_shares": 0.7, "frozen": ["b"], "tick": 0.1}))
    assert step(market, 4.0, 5.0, 3.3) == ["price_gap"]
    np.testing.assert_allclose(market.state.list_price, [[3.5, 5.0, 3.3]])


def test_gaps_that_contradict_each_other_are_refused(make_shop):
    with pytest.raises(ScenarioError, match=r"price gaps must leave at least one allowed price.*contradict each other"):
        make_shop(prices={"price_gaps": [["a", "b"], ["b", "a"]], "gap_shares": [0.9, 1.05]})
    with pytest.raises(ScenarioError, match=r"prices.price_gaps must hold pairs of products; got \('a',\)"):
        make_shop(prices={"price_gaps": [["a"]]})


def test_a_price_stays_near_the_one_that_a_rival_last_charged(make_shop):
    rivals = {
        "names": ["r", "s"],
        "product": ["a", "a"],
        "regular_price": [4.55, 6.0],
        "quality": 1.0,
        "price_sensitivity": 0.6,
    }
    prices = {"rival_at_most": 0.95, "rival_at_least": [0.8, 0, 0], "tick": 0.1, "max_change": 0.5}
    market = Market(make_shop(competitors=rivals, prices=prices))
    # At most 95% of 4.55, rounded down to the grid; b and c have no rival.
    assert step(market, 4.5, 5.7, 3.3) == ["rival_price"]
    np.testing.assert_allclose(market.state.list_price, [[4.3, 5.7, 3.3]])
    assert step(market, 3.0, 5.7, 3.3) == ["rival_price"]  # at least 80%, rounded up
    assert market.state.list_price[0, 0] == pytest.approx(3.7)
    frozen = Market(
        make_shop(competitors=rivals, prices=prices | {"frozen": ["a"], "rival_at_most": 0.5, "rival_at_least": 0})
    )
    assert "frozen" in step(frozen, 4.5, 5.0, 3.0)
    assert frozen.state.list_price[0, 0] == pytest.approx(4.0)
    with pytest.raises(ScenarioError, match=r"prices.rival_at_most needs a section \[competitors\]; got none"):
        make_shop(prices={"rival_at_most": 0.9})


def test_an_advertised_price_binds_the_list_price_alone(make_shop):
    market = Market(make_shop(prices={"minimum_advertised_price": [3.8, 0, 0], "max_discount": 0.5}))
    action = Action(np.float32([[3.0, 5.0, 3.0]]), np.full((1, 3, 2), 0.5, np.float32))
    allowed = market.spec.guardrails.apply(action, market.view)
    assert allowed.rules(0, 0) == ["minimum_advertised_price", "paid_floor"]
    assert allowed.price[0, 0] == pytest.approx(3.8)
    # The floor is 2: a segment may pay it.
    np.testing.assert_allclose(allowed.price[0, 0] * (1 - allowed.discount[0, 0]), 2.0, rtol=1e-6)


def test_rules_that_are_off_are_not_remembered(shop, make_shop):
    looks_back = make_shop(prices={"max_changes": 1, "change_window_periods": 4, "prior_price_periods": 2})
    without, with_them = (Market(spec).state.context.shape[0] for spec in (shop, looks_back))
    assert with_them == without + 3 * 3
    assert Market(shop).view.changes is None
    assert Market(shop).view.lowest_price_30_days is None

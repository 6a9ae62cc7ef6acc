"""What a learner view pays, by hand: above all the difference of conversion rates."""

from dataclasses import replace

import numpy as np
import pytest
from repricer.envs import LearnerView, Market, expected_units
from repricer.pricing import competitor
from repricer.scenarios import MarketSpec, spec_from_table
from repricer.scenarios.shop_sections import PlanSection

RATE = [10.0, 40.0, 20.0, 5.0]
PRICE, COST = [6.0, 8.0, 7.0, 5.0], 2.0


def corner_shop(**market) -> dict:
    return {
        "name": "corner-shop",
        "version": 1,
        "market": {"horizon_periods": 4, "objective": "revenue"} | market,
        "products": {"names": ["tea"], "regular_price": 6.0, "unit_cost": COST},
        "arrivals": {"rate": [[rate] for rate in RATE]},
        "demand": {"quality": 3.0, "price_sensitivity": 0.5},
        "prices": {"floor": 4.0, "ceiling": 9.0},
    }


def paid(spec, reward, product_wise=False):
    """(T, rows) rewards under PRICE."""
    view = LearnerView(Market(spec, num_markets=3), reward=reward, product_wise=product_wise)
    high, low = view.layout.logs
    logs = np.log(np.array(PRICE) / 6.0)
    raw = np.where(logs > 0, logs / high, -logs / low)
    return np.array([view.rewards(view.step(np.full((view.num_rows, 1), raw[t], np.float32))) for t in range(4)])


def share(price: float) -> float:
    """Of customers who buy: the logit's."""
    return 1 / (1 + np.exp(0.5 * price - 3.0))


@pytest.mark.parametrize(("objective", "cost"), [("revenue", 0.0), ("profit", COST)])
@pytest.mark.parametrize("product_wise", [False, True])
def test_the_conversion_difference_by_hand(objective, cost, product_wise):
    """c_t = (p - cost) * share(p), whatever the traffic; the reward is c_t - c_(t-1), and c before the first is zero."""
    rate = [(price - cost) * share(price) for price in PRICE]
    found = paid(spec_from_table(corner_shop(objective=objective)), "conversion-difference", product_wise)
    np.testing.assert_allclose(found, np.repeat(np.diff(rate, prepend=0.0)[:, None], 3, axis=1), rtol=2e-5, atol=2e-6)


def test_the_expected_gain_by_hand():
    """What the price earns beyond the regular one, at the customers of the period."""
    gain = [[rate * (price * share(price) - 6.0 * share(6.0))] for rate, price in zip(RATE, PRICE, strict=True)]
    found = paid(spec_from_table(corner_shop()), "expected-gain", product_wise=True)
    np.testing.assert_allclose(found, np.repeat(gain, 3, axis=1), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="reward expected-gain needs product_wise; got rows of markets; set"):
        paid(spec_from_table(corner_shop()), "expected-gain")


def three_drinks(**prices) -> MarketSpec:
    """Three substitutes over four periods, of which the second has a planned deal."""
    plan = np.tile([6.0, 5.0, 4.0], (4, 1))
    plan[1, 1] = 2.0
    spec = spec_from_table(
        {
            "name": "drinks",
            "version": 1,
            "market": {"horizon_periods": 4, "objective": "revenue"},
            "products": {"names": ["tea", "mate", "cocoa"], "regular_price": [6.0, 5.0, 4.0]},
            "arrivals": {"rate": 40.0},
            "demand": {"quality": [[3.0, 2.5, 2.0]], "price_sensitivity": 0.5},
            "prices": {"floor": [3.0, 3.0, 2.0], "ceiling": 9.0} | prices,
        }
    )
    return replace(spec, plan=PlanSection(price=plan))


def test_what_follows_the_plan_has_no_rows_and_takes_part():
    spec = three_drinks().with_changes(prices={"frozen": ("mate",), "frozen_as_planned": True})
    view = LearnerView(Market(spec, num_markets=3), product_wise=True, reward="expected")
    assert (view.num_rows, view.rows_per_market, view.products.tolist()) == (6, 2, [0, 2])
    whole = LearnerView(Market(spec, num_markets=3), reward="expected")
    assert whole.num_rows == 3
    features = view.market.features().reshape(3, 3, -1)
    np.testing.assert_array_equal(view.observe(), features[:, [0, 2]].reshape(6, -1))
    raw = np.array([0.2, -0.3, 0.1, 0.4, 0.0, 0.5], np.float32)[:, None]
    for t in range(2):
        outcome, everything = view.step(raw), whole.step(np.insert(raw.reshape(3, 2), 1, 0.0, axis=1))
        np.testing.assert_array_equal(outcome.list_price, everything.list_price)
        assert (outcome.list_price[:, 1] == spec.plan.price[t, 1]).all()
        # Each row is charged for what it takes from all others.
        own = view.market.money(outcome, expected=True) - outcome.charge
        np.testing.assert_allclose(view.rewards(outcome), own[:, [0, 2]].reshape(-1), rtol=1e-6)
        assert (outcome.charge[:, [0, 2]] != 0).any()


def test_a_market_in_which_nothing_is_priced_still_has_rows():
    spec = three_drinks().with_changes(prices={"frozen": ("tea", "mate", "cocoa"), "frozen_as_planned": True})
    assert LearnerView(Market(spec, num_markets=2), product_wise=True).num_rows == 6


def test_a_busy_period_is_no_merit():
    """At one price, four times the customers bring four times the money and no difference of conversion."""
    spec = spec_from_table(corner_shop())
    view = LearnerView(Market(spec, num_markets=1), reward="conversion-difference")
    rewards, money = [], []
    for t in range(4):
        outcome = view.step(np.zeros((1, 1), np.float32))
        rewards.append(view.rewards(outcome)[0])
        money.append(outcome.expected_revenue[0, 0])
        assert money[-1] == pytest.approx(6.0 * expected_units(spec, t, [6.0])[0, 0, 0], rel=1e-5)
    assert money[1] == pytest.approx(4 * money[0], rel=1e-5)
    np.testing.assert_allclose(rewards[1:], 0, atol=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.9, 0.99, 1.0])
def test_discounted_differences_telescope(gamma):
    """sum_t g^t (c_t - c_(t-1)) = (1 - g) sum_(t < T-1) g^t c_t + g^(T-1) c_(T-1): with g = 1 the last period's alone."""
    differences = paid(spec_from_table(corner_shop()), "conversion-difference")[:, 0].astype(float)
    rate = np.array([price * share(price) for price in PRICE])
    weight = gamma ** np.arange(4.0)
    expected = (1 - gamma) * (weight[:-1] @ rate[:-1]) + weight[-1] * rate[-1]
    assert weight @ differences == pytest.approx(expected, rel=1e-5)
    if gamma == 1.0:
        assert weight @ differences == pytest.approx(rate[-1], rel=1e-5)


def test_a_new_episode_starts_from_nothing_and_money_is_scaled():
    spec = spec_from_table(corner_shop())
    view = LearnerView(Market(spec, num_markets=2), reward="conversion-difference", reward_scale=0.5)
    first = view.rewards(view.step(np.zeros((2, 1), np.float32)))
    for _ in range(3):
        view.step(np.zeros((2, 1), np.float32))
    view.restart(np.array([True, True]))
    np.testing.assert_array_equal(view.rewards(view.step(np.zeros((2, 1), np.float32))), first)
    np.testing.assert_allclose(first, 0.5 * 6.0 * share(6.0), rtol=1e-5)


def test_two_products_share_their_customers(shop):
    """Joint, a market's reward is the sum of its products'; each is over the customers of its own category."""
    asked = {"reward": "conversion-difference"}
    joint, each = (
        LearnerView(Market(shop, num_markets=2), **asked),
        LearnerView(Market(shop, num_markets=2), product_wise=True, **asked),
    )
    for _ in range(3):
        whole = joint.rewards(joint.step(np.full((2, 15), 0.1, np.float32)))
        outcome = each.step(np.full((6, 5), 0.1, np.float32))
        np.testing.assert_allclose(each.rewards(outcome).reshape(2, 3).sum(axis=1), whole, atol=1e-5)
    customers = np.array([30.0, 30.0, 20.0])
    np.testing.assert_allclose(each._rates[1], outcome.expected_profit / customers, rtol=1e-6)


def test_a_view_on_other_markets_is_as_if_made_for_them():
    options = {"reward": "conversion-difference", "history": 2, "actions": "discrete", "reward_scale": 0.5}
    made = LearnerView(Market("regimes", num_markets=5, seed=7), **options)
    moved = LearnerView(Market("regimes", num_markets=3, seed=1), **options)
    actions = np.arange(5)
    moved.step(np.arange(3))
    other = moved.on(Market("regimes", num_markets=5, seed=7))
    for view in (made, other):
        view.step(actions)
    np.testing.assert_array_equal(made.observe(), other.observe())
    np.testing.assert_array_equal(made.rewards(made.step(actions)), other.rewards(other.step(actions)))
    assert moved.num_rows == 3


def test_levels_around_the_regular_price_leave_one_to_the_rule():
    """The rival charges a dollar less than the last price: the second level undercuts it by five, the others are fixed."""
    options = {"base": competitor("undercut:5"), "actions": "discrete", "price_levels": 3}
    view = LearnerView(Market("undercutter"), levels_around="regular", **options)
    charged = [view.step(np.array([level])).list_price[0, 0] for level in (1, 3, 1, 2, 1, 0, 1)]
    assert charged == [15.0, 100.0, 94.0, 50.0, 44.0, 1.0, 1.0]
    assert LearnerView(Market("undercutter"), **options).step(np.array([2])).list_price[0, 0] == 100.0


@pytest.mark.parametrize("options", [{"actions": "discrete"}, {"base": competitor("undercut:1")}])
def test_levels_around_the_regular_price_need_a_rule_and_discrete_actions(options):
    with pytest.raises(ValueError, match="needs discrete actions and a rule"):
        LearnerView(Market("undercutter"), levels_around="regular", **options)

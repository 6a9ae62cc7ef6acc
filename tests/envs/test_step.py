"""Reference values and properties of the market step."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repricer.envs import Market, catalogue_of, expected_units, rollout
from repricer.envs.kernels.expected_demand import choice_at
from repricer.envs.seeds import DrawSchedule
from repricer.pricing import Action, FixedPrice, PricePath
from repricer.scenarios import load_scenario
from repricer.scenarios.sections import Posterior
from scipy.special import softmax


def test_choice_equals_an_independent_logit(make_shop):
    spec = make_shop()
    price = np.array([3.7, 5.2, 2.9])
    reference = np.array([4.0, 4.9, 3.0])
    discount = np.array([[[0.1, 0.0], [0.0, 0.2], [0.05, 0.05]]])
    shown = np.array([[1, 2]])
    units = expected_units(spec, 3, price, reference=reference, discount=discount, shown=shown)[0]
    for k in range(2):
        gap = np.log(reference / price)
        utility = spec.demand.quality[k] - spec.demand.price_sensitivity[k] * price * (1 - discount[0, :, k])
        utility += np.where(gap > 0, 0.5 * gap, 1.0 * gap)
        utility[shown[0, k]] += 0.4
        for c, members in enumerate(([0, 1], [2])):
            chosen = softmax(np.append(utility[members], 0.0))[:-1]
            arrivals = spec.arrivals.rate[3, c] * spec.arrivals.segment_share[c, k]
            np.testing.assert_allclose(units[k, members], arrivals * chosen, rtol=1e-12)


def test_choice_equals_an_independent_nested_logit(make_shop):
    spec = make_shop(demand={"family": "nested-logit", "nesting": [0.5, 0.2]}, recommendation=None)
    price = np.array([3.7, 5.2, 2.9])
    units = expected_units(spec, 3, price, reference=spec.products.regular_price)[0]
    for k in range(2):
        gap = np.log(np.array([4.0, 5.0, 3.0]) / price)
        utility = spec.demand.quality[k] - spec.demand.price_sensitivity[k] * price
        utility += np.where(gap > 0, 0.5 * gap, 1.0 * gap)
        for c, (members, nesting) in enumerate((([0, 1], 0.5), ([2], 0.2))):
            weight = np.exp(utility[members] / (1 - nesting))
            nest = weight.sum() ** (1 - nesting)
            arrivals = spec.arrivals.rate[3, c] * spec.arrivals.segment_share[c, k]
            np.testing.assert_allclose(
                units[k, members], arrivals * weight / weight.sum() * nest / (1 + nest), rtol=1e-12
            )
    alone = expected_units(spec, 3, price, reference=spec.products.regular_price, in_stock=np.array([1, 0, 0]))[0]
    assert (alone[:, 0] > units[:, 0]).all()
    assert not alone[:, 1:].any()


def test_a_quality_path_is_a_quality_of_its_period(make_shop):
    price, path = np.array([3.7, 5.2, 2.9]), 0.1 * np.arange(24.0).reshape(8, 3)
    spec = make_shop(demand={"quality_path": path})
    for period in (0, 5):
        still = make_shop(demand={"quality": spec.demand.quality + path[period]})
        moved = expected_units(spec, period, price)
        np.testing.assert_allclose(moved, expected_units(still, period, price), rtol=1e-12)
        assert not np.allclose(moved, expected_units(spec, 7 - period, price))


def test_the_float32_market_expects_what_float64_says(make_shop):
    spec = make_shop(prices={"max_discount": 0.0}, arrivals={"overdispersion": 0.0}, stock={"initial_units": 1e6})
    market = Market(spec, num_markets=1)
    price = np.array([3.7, 5.2, 2.9])
    outcome = market.step(Action(price[None].astype(np.float32), None, np.full((1, 3, 2), -1.0, np.float32)))
    exact = expected_units(spec, 0, price, reference=spec.products.regular_price)[0].sum(axis=0)
    np.testing.assert_allclose(outcome.expected_revenue[0] / outcome.list_price[0], exact, rtol=2e-6)


@pytest.mark.parametrize(
    ("family", "expected"), [("exponential", np.exp(-1.5)), ("linear", 0.4), ("constant-elasticity", 0.2)]
)
def test_willingness_to_pay_families(make_spec_of_one, family, expected):
    quality, sensitivity, price = {
        "exponential": (0.0, 0.5, 3.0),
        "linear": (1.0, 0.2, 3.0),
        "constant-elasticity": (0.0, np.log(5) / np.log(3), 3.0),
    }[family]
    spec = make_spec_of_one(family=family, quality=quality, price_sensitivity=sensitivity)
    assert expected_units(spec, 0, [[price]])[0, 0, 0] == pytest.approx(10 * expected)


@pytest.fixture
def make_spec_of_one():
    from repricer.scenarios import spec_from_table

    def make(**demand):
        return spec_from_table(
            {
                "name": "one",
                "version": 1,
                "market": {"horizon_periods": 5},
                "products": {"names": ["p"], "regular_price": 3.0},
                "arrivals": {"rate": 10.0},
                "demand": demand,
                "prices": {"floor": 0.5, "ceiling": 9.0},
            }
        )

    return make


def test_drawn_money_agrees_with_its_expectation(shop):
    policy = FixedPrice(np.array([3.5, 4.5, 2.5], np.float32))
    drawn = rollout(shop, policy, episodes=4000, seed=1).objective
    expected = rollout(shop, policy, episodes=4000, seed=1, expected=True).objective
    difference = drawn - expected
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(len(difference))


def test_expected_sales_of_scarce_stock_are_exact(make_spec_of_one):
    from scipy.stats import nbinom, poisson

    for overdispersion in (0.0, 0.4):
        spec = make_spec_of_one(family="linear", quality=1.0, price_sensitivity=0.1)
        spec = spec.with_changes(stock={"initial_units": 6.0}, arrivals={"overdispersion": overdispersion})
        outcome = Market(spec).step(Action(np.array([[3.0]], np.float32)))
        mean = 7.0
        if overdispersion:
            size = 1 / overdispersion
            mass = nbinom.pmf(np.arange(400), size, size / (size + mean))
        else:
            mass = poisson.pmf(np.arange(400), mean)
        exact = (np.minimum(np.arange(400), 6) * mass).sum()
        assert outcome.expected_revenue[0, 0] == pytest.approx(3.0 * exact, rel=1e-6)


def test_units_are_conserved_with_orders_on_the_way(shop):
    market = Market(shop, num_markets=50, seed=2)
    received = np.zeros((50, 3))
    opening = market.state.on_hand.copy()
    sold = np.zeros((50, 3))
    for _ in range(8):
        before = market.state
        outcome = market.step(FixedPrice(np.array([2.5, 3.0, 1.8], np.float32)).act(market.view))
        arrived = market.state.on_hand - (before.on_hand - outcome.units)
        assert np.all(arrived >= -1e-4)
        received += arrived
        sold += outcome.units
        # Orders bring the position back up to the level.
        np.testing.assert_allclose(
            before.on_hand + before.on_order + np.maximum(25 - before.on_hand - before.on_order, 0), 25
        )
    np.testing.assert_allclose(opening + received, sold + market.state.on_hand, atol=1e-3)
    assert sold.sum() > 0
    assert (received > 0).any()


def test_segments_add_up_and_rationed_units_are_a_random_subset(make_shop):
    spec = make_shop(stock={"initial_units": 5, "replenishment": "none"}, arrivals={"overdispersion": 0.0})
    market = Market(spec, num_markets=20_000, seed=3)
    none = np.full((20_000, 3, 2), -1.0, np.float32)
    outcome = market.step(Action(np.tile(np.float32([2.0, 2.5, 1.5]), (20_000, 1)), None, none))
    np.testing.assert_allclose(outcome.segment_units.sum(axis=2), outcome.units)
    short = outcome.lost[:, 0] > 0
    assert short.mean() > 0.5
    wanted = expected_units(spec, 0, [2.0, 2.5, 1.5])[0, :, 0]
    share = outcome.segment_units[short, 0, 0].mean() / 5
    # Random order of service: the mix of those served is the mix of those who came.
    assert share == pytest.approx(wanted[0] / wanted.sum(), abs=0.01)


def test_the_reference_price_is_exponentially_smoothed(shop):
    market = Market(shop, num_markets=1)
    for _ in range(2):
        market.step(Action(np.array([[3.0, 5.0, 3.0]], np.float32)))
    assert market.state.reference_price[0, 0] == pytest.approx(0.49 * 4.0 + 0.51 * 3.0)


def test_elasticities_of_the_catalogue_are_those_of_the_logit():
    spec = load_scenario("stationary-logit")
    share = 1 / (1 + np.exp(-(6 - 0.6 * 11)))
    assert catalogue_of(spec).segment_elasticity[0, 0] == pytest.approx(-0.6 * 11 * (1 - share), rel=1e-5)


actions = st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=3, max_size=3)


@settings(max_examples=200, deadline=None)
@given(price=actions, level=st.floats(allow_nan=True, allow_infinity=True, width=32), seed=st.integers(0, 2**31))
def test_no_action_breaks_the_market(shop, price, level, seed):
    market = Market(shop, num_markets=2, seed=seed)
    every = np.full((2, 3, 2), level, np.float32)
    for _ in range(3):
        view = market.view
        outcome = market.step(Action(np.tile(np.float32(price), (2, 1)), every, every))
        for name in ("paid", "units", "lost", "revenue", "profit", "expected_revenue", "expected_profit"):
            assert np.isfinite(getattr(outcome, name)).all(), name
        assert np.all(outcome.units <= view.on_hand + 25)
        assert np.all(outcome.list_price >= shop.guardrails.low)
        assert np.all(outcome.list_price <= shop.guardrails.high)
        assert np.all(outcome.paid >= shop.guardrails.low * (1 - 1e-5))


@settings(max_examples=100, deadline=None)
@given(
    price=st.lists(st.floats(2.0, 6.0), min_size=3, max_size=3),
    product=st.integers(0, 2),
    rise=st.floats(0.0, 3.0),
)
def test_demand_never_rises_in_its_own_price(shop, price, product, rise):
    dearer = np.array(price)
    dearer[product] += rise
    before, after = (expected_units(shop, 0, p)[0][:, product] for p in (price, dearer))
    assert np.all(after <= before * (1 + 1e-12))


@pytest.mark.parametrize("name", ["equal-markup", "bench-10", "bench-10-full"])
def test_finite_differences_of_demand_are_the_derivatives_of_the_logit(name):
    """Own and cross: dq_j/dp_i = sum over segments of customers * b_i P_j (P_i - [i = j]) within a category."""
    spec = replace(load_scenario(name), reference_price=None, strategic=None)
    price, step = spec.products.regular_price * 1.07, 1e-5
    size, products = spec.sizes["K"], price.size
    choice = choice_at(spec, 0, price)
    customers = choice.arrivals[:, 0] * spec.arrivals.segment_share.T
    share = choice.mean[..., 0] / customers[:, spec.category_index]
    together = spec.category_index[:, None] == spec.category_index
    sensitivity = spec.demand.price_sensitivity * choice.path[spec.category_index, 0]
    analytic = np.zeros((products, products))
    for k in range(size):
        moved = sensitivity[k, :, None] * share[k] * (share[k, :, None] - np.eye(products)) * together
        analytic += customers[k, spec.category_index] * moved
    shifted = price + step * np.concatenate([np.eye(products), -np.eye(products)])
    units = expected_units(spec, 0, shifted).sum(axis=1)
    np.testing.assert_allclose((units[:products] - units[products:]) / (2 * step), analytic, rtol=1e-6, atol=1e-8)


RULED = {"floor": 3.0, "ceiling": 6.0, "tick": 0.5, "max_change": 0.1, "frozen": ("c",)}


def test_prices_and_promotions_that_stand_pass_the_rules_of_list_prices_alone(make_shop):
    spec = make_shop(prices=RULED | {"max_discount": 0.1}, promotion={"lift": 0.3, "max_products": 1})
    market = Market(spec, num_markets=4, seed=3)
    price = np.tile(np.float32([1.23, 9.0, 2.0]), (4, 1))
    promotion, discount = np.ones((4, 3), np.float32), np.full((4, 3, 2), 0.2, np.float32)
    asked = Action(price, discount=discount, promotion=promotion)
    ruled = market.step(asked)
    assert (ruled.list_price != price).all()
    assert ruled.trail.all()
    for charged, promoted in ((True, False), (True, True), (False, True)):
        stands = market.step(replace(asked, as_charged=charged, as_promoted=promoted))
        assert (stands.list_price == price).all() == charged
        assert (stands.promoted.sum(axis=1) == (3 if promoted else 1)).all()
        sold, paid = stands.units > 0, 0.9 * stands.list_price
        paid = paid if charged else np.maximum(paid, 3.0)
        np.testing.assert_allclose(stands.paid[sold], paid[sold], rtol=1e-6)


def test_whether_prices_stand_is_said_for_all(make_shop):
    market = Market(make_shop())
    for flag in ("as_charged", "as_promoted"):
        for wrong in (None, 1, np.ones((1, 3))):
            action = replace(Action(market.view.list_price), **{flag: wrong})
            with pytest.raises(ValueError, match=f"{flag} of an action must be True or False; got"):
                market.step(action)


def test_prices_that_stand_follow_the_draw_of_an_episode(make_shop):
    spec = make_shop(prices=RULED)
    spec = replace(spec, posterior=Posterior(draws=2, arrivals=[[[0.25]], [[4.0]]]))
    plan = PricePath(np.tile(np.float32([1.23, 9.0, 2.0]), (8, 1)), as_charged=True)
    market, drawn = Market(spec, num_markets=64, draws=DrawSchedule()), {}
    for _ in range(6):
        name = market.spec.name
        drawn.setdefault(name, market.step(plan.act(market.view)).units.mean())
        market.restart(np.ones(64, np.bool_))
    assert len(drawn) == 2
    assert max(drawn.values()) > 4 * min(drawn.values())

from dataclasses import replace

import numpy as np
import pytest
from repricer.envs import Market
from repricer.pricing import (
    FEATURE_LIMIT,
    Action,
    ActionLayout,
    BlendedPrice,
    CostPlus,
    FixedPrice,
    NetworkPolicy,
    Policy,
    PriceLadder,
    PricePath,
    RandomPrice,
    StockTable,
    feature_names,
    product_features,
)
from repricer.pricing.policies import orders_up_to
from repricer.scenarios import load_scenario


@pytest.fixture
def market() -> Market:
    return Market("stationary-logit", num_markets=3, seed=4)


def test_ladder_of_a_range_has_clean_steps():
    ladder = PriceLadder.from_range(0.5, 6.0, 0.1)
    assert len(ladder) == 56
    assert 1.7 in ladder.steps
    assert ladder.steps[-1] == 6.0
    assert ladder.nearest([0.1, 0.549, 0.56, 9.0]).tolist() == [0, 0, 1, 55]


@pytest.mark.parametrize(
    ("steps", "words"), [([1, 3, 2], "rise strictly; got 2.0 after 3.0"), ([0, 1], "positive"), ([], "non-empty")]
)
def test_wrong_ladders_are_refused(steps, words):
    with pytest.raises(ValueError, match=words):
        PriceLadder(np.array(steps, dtype=float))


@pytest.mark.parametrize(
    "policy",
    [
        FixedPrice(7.0),
        CostPlus(0.5),
        PricePath(np.full((30, 1), 8.0)),
        RandomPrice(5.0, 20.0, seed=1),
        StockTable((np.full((30, 1, 41, 1), 9.0, np.float32),), ((0,),)),
    ],
)
def test_rules_are_policies_with_one_price_a_market_and_product(policy, market):
    assert isinstance(policy, Policy)
    action = policy.act(market.view)
    assert action.price.shape == (3, 1)
    np.testing.assert_array_equal(action.price, policy.act(market.view).price)


def test_rule_prices(market):
    assert PricePath(np.arange(30.0)[:, None] + 5).act(market.view).price.tolist() == [[5.0]] * 3
    table = np.tile(np.arange(41.0), (30, 1)).reshape(30, 1, 41, 1)
    assert StockTable((table,), ((0,),)).act(market.view).price.tolist() == [[40.0]] * 3
    draws = RandomPrice(5.0, 20.0).act(market.view).price
    assert len(np.unique(draws)) == 3
    assert draws.min() >= 5 - 1e-5
    assert draws.max() <= 20 + 1e-5


def test_layout_decodes_to_named_parts():
    layout = ActionLayout(0.5, 2.0, num_segments=2, max_discount=0.2, recommend=True)
    assert layout.size == 5
    raw = np.array([[0.0, -1.0, 0.5, 0.3, -0.7], [1.0, 1.0, 2.0, 0.0, 0.0], [-1.0, 0, 0, 0, 0]])
    multiplier, discount, score, *others = layout.decode(raw)
    assert others == [None, None, None]
    np.testing.assert_allclose(multiplier, [1.0, 2.0, 0.5])
    np.testing.assert_allclose(discount[:2], [[0.0, 0.1], [0.2, 0.2]])
    np.testing.assert_allclose(score[0], [0.3, -0.7])
    assert ActionLayout(0.5, 2.0).decode(raw[:, :1])[1:] == (None,) * 5
    with pytest.raises(ValueError, match="low <= 1 <= high"):
        ActionLayout(1.1, 2.0)


def test_layout_decodes_torch_as_numpy():
    torch = pytest.importorskip("torch")
    layout = ActionLayout(0.6, 1.7, num_segments=3, max_discount=0.2, recommend=True)
    raw = np.random.default_rng(0).normal(size=(50, layout.size)).astype(np.float32)
    for ours, theirs in zip(layout.decode(raw)[:3], layout.decode(torch.from_numpy(raw))[:3], strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-6)


def test_features_are_named_bounded_and_blind_to_the_currency(market):
    features = product_features(market.view)
    assert features.shape == (3, 1, len(feature_names(market.catalogue)))
    assert np.abs(features).max() <= FEATURE_LIMIT
    spec = market.spec
    dear = spec.with_changes(
        products={"regular_price": spec.products.regular_price * 100},
        demand={"price_sensitivity": spec.demand.price_sensitivity / 100},
        prices={"price_ladder": PriceLadder(spec.prices.price_ladder.steps * 100)},
    )
    np.testing.assert_allclose(product_features(Market(dear, num_markets=3, seed=4).view), features, atol=1e-5)


def test_network_policy_multiplies_the_base_price(market):
    layout = ActionLayout(0.5, 2.0)
    policy = NetworkPolicy(
        "n", lambda rows: layout.decode(np.ones((len(rows), 1))), layout, np.array([4.0], np.float32), True
    )
    assert policy.act(market.view).price.tolist() == [[8.0]] * 3


@pytest.mark.parametrize(("apart", "prices"), [(False, [8.0, 4.0, 16.0]), (True, [8.0, 2.0, 8.0])])
def test_network_policy_multiplies_a_rule_or_follows_it_at_zero_alone(market, apart, prices):
    layout, raw = ActionLayout(0.5, 2.0, rule_at_zero=apart), np.array([[0.0], [-1.0], [1.0]])
    base, rule = np.array([4.0], np.float32), FixedPrice(8.0)
    policy = NetworkPolicy("n", lambda rows: layout.decode(raw), layout, base, True, rule)
    assert policy.act(market.view).price[:, 0].tolist() == prices


def test_random_prices_state_their_density(shop):
    """Log-uniform: the density integrates to one over the range, and the market hands it on."""
    low, high = shop.guardrails.low, shop.guardrails.high
    market = Market(shop, num_markets=4000)
    action = RandomPrice(low, high, seed=3).act(market.view)
    outcome = market.step(action)
    np.testing.assert_array_equal(outcome.propensity, action.propensity)
    # The mean of one over the density is the length of the range.
    np.testing.assert_allclose((1 / action.propensity).mean(axis=0), high - low, rtol=0.03)


def test_blended_prices_are_geometric_means(market):
    low, high = FixedPrice(np.float32(4.0)), FixedPrice(np.float32(9.0), name="high")
    for share, price in ((0.0, 4.0), (0.5, 6.0), (1.0, 9.0)):
        blend = BlendedPrice(low, high, share)
        np.testing.assert_allclose(blend.act(market.view).price, price, rtol=1e-6)
    assert BlendedPrice(low, high, 0.25).name == "fixed+25%:high"
    assert BlendedPrice(low, high, 0.25).deterministic
    assert not BlendedPrice(low, RandomPrice(1, 2), 0.25).deterministic


def test_a_blend_lies_between_the_prices_and_keeps_the_price_rules(shop):
    """A policy like any other: what it proposes passes through the same guardrails."""
    market = Market(shop, num_markets=3)
    one, two = FixedPrice(np.array([2.0, 9.0, 1.0], np.float32)), FixedPrice(np.array([6.0, 5.0, 9.0], np.float32))
    outcome = market.step(BlendedPrice(one, two, 0.75).act(market.view))
    rules = shop.guardrails
    assert ((outcome.list_price >= rules.low) & (outcome.list_price <= rules.high)).all()
    blend = BlendedPrice(one, two, 0.75).act(market.view).price[0]
    assert ((np.minimum(one.price, two.price) < blend) & (blend < np.maximum(one.price, two.price))).all()


def test_a_blend_scales_what_else_the_policies_decide(market):
    view, shape = market.view, market.view.list_price.shape

    class Generous:
        name = "generous"

        def act(self, view):
            ones = np.ones(shape, np.float32)
            return Action(ones, discount=0.2 * np.ones((*shape, 1), np.float32), promotion=ones, recommendation=ones)

    plain = FixedPrice(1.0)
    mostly, barely = BlendedPrice(Generous(), plain, 0.25).act(view), BlendedPrice(Generous(), plain, 0.75).act(view)
    np.testing.assert_allclose(mostly.discount, 0.15, rtol=1e-6)
    np.testing.assert_allclose(barely.discount, 0.05, rtol=1e-6)
    assert mostly.promotion is not None
    assert barely.promotion is None
    assert barely.recommendation is not None
    assert BlendedPrice(plain, plain, 0.5).act(view).discount is None
    plan = PricePath(np.full((4, 1), 2.0, np.float32), as_charged=True)
    assert plan.act(view).as_charged
    assert plan.act(view).as_promoted
    half = BlendedPrice(plan, plan, 0.5).act(view)
    assert not half.as_charged, "a blend is the tool's own proposal"
    assert not half.as_promoted
    with pytest.raises(ValueError, match=r"share must lie in \[0, 1\]; got 1.5; 0.5 is halfway"):
        BlendedPrice(plain, plain, 1.5)


def test_what_the_faster_supplier_cannot_deliver_is_ordered_from_the_other_one():
    market = Market("dual-sourcing", num_markets=2)
    start, most = 4, 6  # units on hand, and the largest order of either supplier
    levels = {"base_stock": np.array([14], np.float32), "express_stock": np.array([12], np.float32)}
    outcome = market.step(FixedPrice(7.0, **levels).act(market.view))
    np.testing.assert_array_equal(outcome.express, most)
    np.testing.assert_array_equal(start + outcome.ordered, 14)


@pytest.mark.parametrize(("lead", "express", "coming"), [(2, 1, [5]), (4, 1, [5]), (4, 2, [5, 6]), (4, 3, [5, 6, 7])])
def test_an_express_order_counts_what_comes_no_later_than_it(lead, express, coming):
    """The dual-index policy: else the same shortage would be ordered again in each period until it arrives."""
    changes = {"stock": {"lead_time_periods": lead}, "express": {"lead_time_periods": express, "max_order_units": 99}}
    market = Market(load_scenario("dual-sourcing").with_changes(**changes), num_markets=2)
    due = np.array([[5, 6, 7][: lead - 1]] * 2, np.float32)[:, None]
    shown = due[..., : market.view.catalogue.due_periods]
    view = replace(market.view, on_order=due.sum(axis=-1), due=shown if shown.shape[-1] else None)
    missing = orders_up_to(None, np.array([30], np.float32), view)["express"]
    np.testing.assert_array_equal(missing, 30 - view.on_hand - sum(coming))

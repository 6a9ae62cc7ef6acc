"""What goes into the builder comes out of the market."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from repricer.data.panel.promotion_kinds import PROMOTION
from repricer.envs import Market, catalogue_of, expected_units, rollout
from repricer.evaluation import named_policy
from repricer.evaluation.uncertainty.by_product import product_figures
from repricer.fitting import Assumptions, FittedModels, build_market
from repricer.fitting.market_builder import check_rules
from repricer.fitting.shop_rules import ShopRules
from repricer.pricing import Action, PricePath
from repricer.scenarios.fields import ScenarioError
from repricer.tests.fitting.demand.markets import known_demand

SEGMENT_UNITS = np.random.default_rng(1).uniform(50, 500, (2, 4))


def models(**changes) -> FittedModels:
    products = pd.DataFrame(
        {
            "product": ["1", "2", "3", "4"],
            "name": ["milk", "milk", "cream", "soap"],
            "category": ["dairy", "dairy", "dairy", "home"],
        }
    )
    generator = np.random.default_rng(0)
    regular = np.array([2.0, 3.0, 4.0, 5.0])
    forecast = changes.get("forecast", np.array([[20.0, 10, 5, 8], [22.0, 11, 5.5, 7], [18.0, 9, 4.5, 9]]))
    told = {name: changes.pop(name) for name in ("effects", "response", "elasticity", "deals") if name in changes}
    demand = known_demand(
        products,
        forecast.mean(axis=0),
        regular,
        told.get("elasticity", np.array([-2.0, -2.5, -1.5, -3.0])),
        [0.4, 0.7],
        effects=told.get("effects"),
        deals=told.get("deals"),
        segments=(SEGMENT_UNITS, told.get("response", np.array([0.75, 1.5]))),
    )
    values = {
        "products": products,
        "first_day": pd.Timestamp("2017-10-02"),
        "forecast": forecast,
        "overdispersion": np.array([0.1, 0.0, 0.2, 0.3]),
        "regular_price": regular,
        "charged": np.array([0.8, 1.05])[:, None] * regular,
        "levels": np.array([[0.9, 0.8], [1.0, 1.05]]),
        "demand": demand,
        "segments": ("keen", "careful"),
        "affinity": generator.random((2, 4)),
        "candidates": np.ones((2, 4)),
        "high_units": np.array([40.0, 20, 10, 16]),
        "past_price": regular[None],
        "current_price": np.tile([2.0, 3.0, 4.0, 5.0], (3, 1)),
        "sold_units": np.full((3, 4), 7.0),
    }
    # Unless a test says otherwise, the plan is the regular prices.
    values |= {"planned": forecast} | changes
    return FittedModels(**values)


@pytest.mark.parametrize("curvature", [0.0, 0.6])
def test_sales_at_planned_prices_are_the_forecasts(curvature):
    planned = np.array([[20.0, 10, 5, 8], [60.0, 6, 5.5, 7], [18.0, 9, 7.5, 9]])
    price = np.array([[2.0, 3.0, 4.0, 5.0], [1.2, 3.0, 3.5, 4.0], [2.0, 2.5, 4.0, 5.0]])
    fitted = models(planned=planned, current_price=price)
    fitted = replace(fitted, demand=replace(fitted.demand, curvature=curvature))
    spec = build_market(fitted, name="shop", assumptions=Assumptions(price_widening=None))
    assert (spec.demand.price_curvature == curvature).all()
    np.testing.assert_allclose(expected_units(spec, np.arange(3), price).sum(axis=1), planned, rtol=1e-6)
    assert catalogue_of(spec).forecast_units.shape == (3, 4)
    assert spec.stock is not None
    assert spec.stock.order_up_to_units[0] > 60 + 30  # both weeks until a delivery, the reduced one among them


def test_a_category_answers_as_estimated_where_forecasts_hold_that_deals_sell_more():
    # The forecasts of single products are that deals sell three times as much as regular prices, together.
    forecast = np.tile([20.0, 10, 5, 8], (3, 1))
    price = np.tile([1.8, 2.7, 4.0, 4.5], (3, 1))
    fitted = models(forecast=forecast, planned=3 * forecast, current_price=price)
    spec = build_market(fitted, name="shop", assumptions=Assumptions(price_widening=None))
    plain = build_market(models(forecast=forecast), name="shop", assumptions=Assumptions(price_widening=None))
    np.testing.assert_allclose(expected_units(spec, np.arange(3), price).sum(axis=1), 3 * forecast, rtol=1e-6)
    raised = 1.1 * np.array([2.0, 3.0, 4.0, 5.0])

    def left(market, t):
        after, before = (expected_units(market, t, at)[0].sum() for at in (raised, raised / 1.1))
        return after / before

    for t in range(3):
        assert left(spec, t) == pytest.approx(left(plain, t), abs=0.02)


def test_holding_stock_costs_nothing_unless_it_is_assumed_so_that_profit_is_what_the_shop_books():
    stock = build_market(models(), name="shop", assumptions=Assumptions()).stock
    assert stock is not None
    assert not stock.holding_cost.any()
    given = build_market(models(), name="shop", assumptions=Assumptions(holding_cost_share=0.005))
    assert given.stock is not None
    assert given.stock.holding_cost == pytest.approx(0.005 * given.products.unit_cost)


def test_the_market_starts_with_the_known_stock_and_else_with_the_order_up_to_level():
    fitted = models(initial_units=np.array([np.nan, 5.0, 0.0, 400.0]))
    stock = build_market(fitted, name="shop", assumptions=Assumptions()).stock
    assert stock is not None
    assert stock.initial_units.tolist() == [stock.order_up_to_units[0], 5.0, 0.0, 400.0]


def test_the_first_prices_change_from_those_charged_last():
    last, silent = np.array([1.8, 2.6, 4.1, 5.0]), [None, "its price never moved", None, None]
    spec = build_market(models(past_price=last[None], unidentified=silent), name="shop", assumptions=Assumptions())
    np.testing.assert_allclose(Market(spec).view.list_price, [[1.8, 2.6, 4.1, 5.0]])


def test_a_product_that_is_not_priced_keeps_its_planned_prices_and_sales():
    """One as the sales do not identify its response, one that the table of products holds, one that the shop froze."""
    price = np.tile([2.0, 3.0, 4.0, 5.0], (3, 1))
    price[1, 1:] = 2.0, 2.5, 3.5  # beyond what any rule would let them be
    planned = np.array([[20.0, 10, 5, 8], [18.0, 30, 7.5, 17], [18.0, 9, 4.5, 9]])
    fitted = models(
        current_price=price, planned=planned, unidentified=[None, "its units do not fall with its price", None, None]
    )
    fitted = replace(fitted, products=fitted.products.assign(held=[None, None, "it is too new", None]))
    rules = ShopRules.of({"product": {"4": {"frozen": True}}})
    spec = build_market(fitted, name="shop", assumptions=Assumptions.under(rules))
    assert spec.prices.frozen_because == {
        "milk (2)": "its units do not fall with its price",
        "cream": "it is too new",
        "soap": "your rule keeps it",
    }
    assert spec.prices.frozen == tuple(spec.prices.frozen_because)
    assert spec.evidence.unidentified == ("milk (2)",)
    assert "milk (2)" in spec.assumptions[0]
    np.testing.assert_allclose(expected_units(spec, np.arange(3), price).sum(axis=1), planned, rtol=1e-6)
    state = rollout(spec, named_policy("random", spec), episodes=2, seed=0)
    np.testing.assert_allclose(state.price_path[:, 1:], price[:, 1:], rtol=1e-6)
    assert (state.price_path[:, 0] != 2.0).any()


def test_no_price_rule_refuses_a_product_that_keeps_its_planned_prices():
    """It is sold below its cost, beside a minimum margin, and lies between two price endings."""
    fitted = models(charged=np.array([0.99, 1.01])[:, None] * np.array([1.99, 3.4, 3.99, 4.99]))
    rules = Assumptions.under(
        ShopRules.of({"shop": {"minimum_margin": 0.3, "price_endings": [0.99]}}), price_widening=0.0
    )
    costs = fitted.products.assign(unit_cost=[1.0, 5.0, 1.0, 1.0])
    with pytest.raises(ScenarioError, match=r"must leave at least one allowed price.*product 'milk \(2\)' got floor"):
        check_rules(rules, replace(fitted, products=costs))
    held = replace(fitted, products=costs.assign(held=[None, "its price hardly moves", None, None]))
    check_rules(rules, held)
    spec = build_market(held, name="shop", assumptions=rules)
    state = rollout(spec, named_policy("random", spec), episodes=1, seed=0)
    np.testing.assert_allclose(state.price_path[:, 1], held.current_price[:, 1], rtol=1e-6)


def test_a_market_in_which_all_is_priced_has_no_such_keys():
    prices = build_market(models(), name="shop", assumptions=Assumptions()).prices
    assert (prices.frozen, prices.frozen_as_planned, prices.frozen_because) == ((), False, None)


def test_sales_with_the_promotions_of_the_plan_are_the_forecasts():
    share = np.array([[1.0, 0.2, 0.0, 0.9], [1.0, 0.6, 0.0, 0.0], [0.0, 0.0, 0.0, 0.6]])
    fitted = models(effects={PROMOTION: 0.4}, current_promotion=share)
    spec = build_market(fitted, name="shop", assumptions=Assumptions())
    units = expected_units(spec, np.arange(3), fitted.current_price, promoted=(share > 0.5).astype(int)).sum(axis=1)
    np.testing.assert_allclose(units, fitted.planned, rtol=1e-6)


def test_elasticities_of_the_market_are_those_that_were_fitted():
    elasticity = np.array([-2.0, -2.5, -1.5, -3.0])
    spec = build_market(models(response=np.ones(2), elasticity=elasticity), name="shop", assumptions=Assumptions())
    share = catalogue_of(spec).segment_elasticity
    # Segments differ in their choice probabilities alone.
    np.testing.assert_allclose(share.mean(axis=0), elasticity, rtol=0.15)


def test_the_whole_market_answers_as_the_posterior_mean_says():
    spec = build_market(models(), name="shop", assumptions=Assumptions())
    regular, step = spec.products.regular_price, 1e-5
    for n, elasticity in enumerate([-2.0, -2.5, -1.5, -3.0]):
        prices = [np.where(np.arange(4) == n, regular * (1 + d), regular) for d in (step, -step)]
        up, down = (expected_units(spec, 0, price).sum(axis=1)[0, n] for price in prices)
        assert np.log(up / down) / (2 * step) == pytest.approx(elasticity, rel=1e-3)


def test_segments_keep_their_shares():
    spec = build_market(models(), name="shop", assumptions=Assumptions())
    past = SEGMENT_UNITS[:, 3]
    np.testing.assert_allclose(spec.arrivals.segment_share[1], past / past.sum(), rtol=1e-2)


def test_prices_stay_near_what_was_charged():
    near, free = (
        build_market(models(), name="shop", assumptions=Assumptions(price_widening=wide)) for wide in (0.1, None)
    )
    np.testing.assert_allclose(near.prices.floor, 0.8 * 0.9 * near.products.regular_price)
    np.testing.assert_allclose(near.prices.ceiling, 1.05 * 1.1 * near.products.regular_price)
    np.testing.assert_allclose(free.prices.ceiling, 1.3 * free.products.regular_price)
    assert near.plan is not None
    np.testing.assert_allclose(near.past.charged_low, 0.8 * near.products.regular_price)
    assert any("within 10% of the range" in line for line in near.assumptions)


def test_planned_prices_lie_within_the_bounds_that_come_from_the_sales():
    """A deal that is planned below nearly all that was charged is not lifted: its supplier would not pay for it any more."""
    usual = models()
    current = usual.current_price.copy()
    current[1, 0], current[2, 1] = 0.9 * usual.charged[0, 0], 1.1 * usual.charged[1, 1]
    rules = build_market(models(current_price=current), name="shop", assumptions=Assumptions(price_widening=0.0)).prices
    assert rules.floor[0] == pytest.approx(current[1, 0])
    assert rules.ceiling[1] == pytest.approx(current[2, 1])
    assert rules.floor[1] > 0.9 * usual.charged[0, 1]


def test_draws_hold_the_uncertainty_of_what_is_assumed():
    fitted = models()
    known = models(products=fitted.products.assign(unit_cost=[1.0, np.nan, 2.0, np.nan]))
    spec = build_market(known, name="shop", assumptions=Assumptions(unit_cost_range=(0.5, 0.8)))
    assert spec.posterior is not None
    factor = spec.posterior.unit_cost
    assert (factor[:, [0, 2]] == 1).all()
    assert (factor[:, [1, 3]] >= 0.5 / 0.65 - 1e-6).all()
    assert (factor[:, 1] == factor[:, 3]).all()
    assert spec.posterior.recommendation.std() > 0
    np.testing.assert_allclose(spec.posterior.sensitivity, 1.0, rtol=1e-6)


def test_assumptions_are_said_and_known_costs_are_used():
    fitted = models()
    known = models(products=fitted.products.assign(unit_cost=[1.0, np.nan, 2.0, np.nan]))
    spec = build_market(known, name="shop", assumptions=Assumptions(unit_cost_share=0.5))
    assert spec.products.unit_cost.tolist() == [1.0, 1.5, 2.0, 2.5]
    assert any("50% of the regular price" in line for line in spec.assumptions)
    assert spec.products.names == ("milk (1)", "milk (2)", "cream", "soap")
    assert spec.reference_price is None


@pytest.mark.parametrize("gain", [0.4, -0.5])
def test_a_deal_adds_to_utility_and_to_units_what_was_fitted(gain):
    found = build_market(models(deals=(gain, 0.9, 0.3)), name="s", assumptions=Assumptions()).reference_price
    assert found is not None
    assert found.memory == 0.7
    np.testing.assert_allclose(found.gain, gain)
    np.testing.assert_allclose(found.loss, 0.0)
    np.testing.assert_allclose(found.units_gain, 0.9)
    np.testing.assert_allclose(found.units_loss, 0.3)


def test_planned_reductions_that_customers_remember_sell_the_forecasts_too():
    price = np.array([[2.0, 3.0, 4.0, 5.0], [1.4, 3.0, 3.6, 5.0], [2.0, 3.0, 4.0, 5.0]])
    fitted = models(deals=(1.5, 0.8, 0.4), current_price=price)
    usual = 100 * fitted.forecast
    remembered = fitted.demand.remembered.price(np.vstack([fitted.regular_price, price]))[1:]
    planned = usual * fitted.demand.lift(price, reference=remembered)
    fitted = replace(fitted, forecast=usual, planned=planned, high_units=np.full(4, 1e5), affinity=None)
    spec = build_market(fitted, name="s", assumptions=Assumptions(price_widening=None))
    for sold, charged in ((planned, price), (usual, np.tile(fitted.regular_price, (3, 1)))):
        path = PricePath(charged.astype(np.float32), as_charged=True)
        np.testing.assert_allclose(product_figures(spec, path).units.mean, sold, rtol=0.01)


def test_promotions_are_a_decision_where_their_past_is_given():
    share = np.array([[1.0, 0.2, 0.0, 0.9], [1.0, 0.6, 0.0, 0.0], [0.0, 0.0, 0.0, 0.6]])
    spec = build_market(models(effects={PROMOTION: 0.4}, current_promotion=share), name="s", assumptions=Assumptions())
    assert spec.promotion is not None
    assert spec.plan is not None
    assert spec.promotion.max_products == 2  # promoted in most stores: 2, 2 and 1 products
    np.testing.assert_allclose(spec.promotion.cost, 0.05 * spec.products.regular_price * models().forecast.mean(axis=0))
    plain = expected_units(spec, 0, spec.products.regular_price).sum(axis=1)[0]
    lifted = expected_units(spec, 0, spec.products.regular_price, promoted=np.array([[0, 0, 1, 0]])).sum(axis=1)[0]
    left = [spec.arrivals.rate[0, 0] - units[:3].sum() for units in (lifted, plain)]
    # The effect is one on utility, thus on the odds of buying the product rather than nothing; segments blur it.
    assert np.log(lifted[2] / plain[2] * left[1] / left[0]) == pytest.approx(0.4, rel=0.06)
    assert any("on display" in line for line in spec.assumptions)
    assert build_market(models(effects={PROMOTION: 0.4}), name="s", assumptions=Assumptions()).promotion is None


def test_history_promotes_what_the_shop_did():
    share = np.array([[1.0, 0.2, 0.0, 0.9], [1.0, 0.6, 0.0, 0.0], [0.0, 0.0, 0.0, 0.6]])
    spec = build_market(models(effects={PROMOTION: 0.4}, current_promotion=share), name="s", assumptions=Assumptions())
    policy, market = named_policy("historical", spec), Market(spec)
    shown = [market.step(policy.act(market.view)).promoted[0] for _ in range(3)]
    assert (np.stack(shown) > 0).tolist() == (share > 0.5).tolist()


def test_the_plan_is_played_as_the_shop_made_it_and_sells_what_is_expected_of_it():
    """Prices beyond the shop's own bounds and more promotions than it usually has are facts, which no rule changes."""
    price = np.array([[2.0, 3.0, 4.0, 5.0], [0.9, 3.0, 6.5, 4.0], [2.0, 2.5, 4.0, 5.0]])
    share = np.array([[1.0, 0.2, 0.0, 0.9], [1.0, 0.6, 0.7, 0.0], [0.0, 0.0, 0.0, 0.6]])
    planned = np.array([[20.0, 10, 5, 8], [60.0, 6, 2.5, 7], [18.0, 9, 7.5, 9]])
    plan = {"current_promotion": share, "current_price": price, "planned": planned}
    fitted = models(effects={PROMOTION: 0.4}, affinity=None, candidates=None, **plan)
    rules = ShopRules.of({"product": {"1": {"floor": 1.5}, "3": {"ceiling": 5.0}}})
    spec = build_market(fitted, name="s", assumptions=Assumptions.under(rules))
    assert spec.promotion is not None
    assert spec.promotion.max_products == 2
    assert spec.guardrails.low[0] > 0.9
    assert spec.guardrails.high[2] < 6.5
    ample = spec.with_changes(stock={"initial_units": 1e6, "order_up_to_units": 1e6})
    run = rollout(ample, named_policy("historical", spec), episodes=4000, seed=1)
    np.testing.assert_allclose(run.price_path, price, rtol=1e-6)
    np.testing.assert_allclose(run.units_path, planned, rtol=0.05)


def test_an_index_rule_holds_for_the_basket_of_the_market():
    """Product 4 has no competing price, and counts in no index against competitors."""
    products = models().products.assign(basket_units=[10.0, 5.0, 1.0, 9.0], last_rival_price=[2.0, 2.5, 4.0, 0.0])
    rules = ShopRules.of({"index": {"rival_at_most": 0.95, "year_at_most": 1.1}})
    spec = build_market(
        models(products=products.assign(month_ago_price=0.0, year_ago_price=0.0)),
        name="shop",
        assumptions=Assumptions(rules=rules),
    )
    assert spec.prices.index_names == ("rival",)
    np.testing.assert_allclose(spec.prices.index_weights, [[10 / 36.5, 5 / 36.5, 1 / 36.5, 0.0]])
    market = Market(spec, num_markets=1)
    guarded = spec.guardrails.apply(Action(np.float32([[2.0, 3.0, 4.0, 5.0]])), market.view)
    assert 0.93 < float(spec.prices.index_weights[0] @ guarded.price[0]) <= 0.95 + 1e-6
    assert guarded.price[0, 3] == 5.0

"""What goes into the builder comes out of the market."""

import numpy as np
import pandas as pd
import pytest
from repricer.envs import Market, catalogue_of, expected_units
from repricer.evaluation import named_policy
from repricer.fitting import Assumptions, FittedModels, build_market
from repricer.fitting.market_builder import outside_share


def models(**changes) -> FittedModels:
    products = pd.DataFrame(
        {
            "product": ["1", "2", "3", "4"],
            "name": ["milk", "milk", "cream", "soap"],
            "category": ["dairy", "dairy", "dairy", "home"],
        }
    )
    generator = np.random.default_rng(0)
    values = {
        "products": products,
        "first_day": pd.Timestamp("2017-10-02"),
        "forecast": np.array([[20.0, 10, 5, 8], [22.0, 11, 5.5, 7], [18.0, 9, 4.5, 9]]),
        "overdispersion": np.array([0.1, 0.0, 0.2, 0.3]),
        "regular_price": np.array([2.0, 3.0, 4.0, 5.0]),
        "low_price": np.array([1.999, 2.999, 3.999, 4.999]),
        "elasticity": np.array([-2.0, -2.5, -1.5, -3.0]),
        "substitution": 0.4,
        "reference_effect": 0.0,
        "memory": 0.7,
        "segments": ("keen", "careful"),
        "segment_elasticity": np.array([-1.5, -3.0]),
        "segment_units": generator.uniform(50, 500, (2, 4)),
        "affinity": generator.random((2, 4)),
        "candidates": np.ones((2, 4)),
        "high_units": np.array([40.0, 20, 10, 16]),
        "past_price": np.tile([2.0, 3.0, 4.0, 5.0], (3, 1)),
        "past_units": np.full((3, 4), 7.0),
    }
    # Unless a test says otherwise, the plan is the regular prices.
    values |= {"planned": changes.get("forecast", values["forecast"])} | changes
    return FittedModels(**values)


def test_sales_at_planned_prices_are_the_forecasts():
    planned = np.array([[20.0, 10, 5, 8], [60.0, 6, 5.5, 7], [18.0, 9, 7.5, 9]])
    price = np.array([[2.0, 3.0, 4.0, 5.0], [1.2, 3.0, 3.5, 4.0], [2.0, 2.5, 4.0, 5.0]])
    fitted = models(planned=planned, past_price=price)
    spec = build_market(fitted, name="shop", assumptions=Assumptions())
    np.testing.assert_allclose(expected_units(spec, np.arange(3), price).sum(axis=1), planned, rtol=1e-6)
    assert catalogue_of(spec).forecast_units.shape == (3, 4)
    assert spec.stock is not None
    assert spec.stock.order_up_to_units[0] > 60 + 30  # both weeks until a delivery, the reduced one among them


def test_a_price_that_the_market_does_not_allow_is_planned_at_the_nearest_that_it_does():
    price = np.tile([2.0, 3.0, 4.0, 5.0], (3, 1))
    price[1, 2] = 0.5
    spec = build_market(models(past_price=price), name="shop", assumptions=Assumptions())
    price[1, 2] = spec.prices.floor[2]
    np.testing.assert_allclose(expected_units(spec, np.arange(3), price).sum(axis=1), models().planned, rtol=1e-6)


def test_sales_with_the_promotions_of_the_plan_are_the_forecasts():
    share = np.array([[1.0, 0.2, 0.0, 0.9], [1.0, 0.6, 0.0, 0.0], [0.0, 0.0, 0.0, 0.6]])
    fitted = models(exposure_effect=0.4, past_promotion=share)
    spec = build_market(fitted, name="shop", assumptions=Assumptions())
    units = expected_units(spec, np.arange(3), fitted.past_price, promoted=(share > 0.5).astype(int)).sum(axis=1)
    np.testing.assert_allclose(units, fitted.planned, rtol=1e-6)


def test_elasticities_of_the_market_are_those_that_were_fitted():
    fitted = models(segment_elasticity=np.array([-2.0, -2.0]))
    spec = build_market(fitted, name="shop", assumptions=Assumptions())
    elasticity = catalogue_of(spec).segment_elasticity
    np.testing.assert_allclose(elasticity, np.tile(fitted.elasticity, (2, 1)), rtol=2e-3)


def test_segments_keep_their_ratio_of_elasticities_and_their_shares():
    fitted = models()
    spec = build_market(fitted, name="shop", assumptions=Assumptions())
    elasticity = catalogue_of(spec).segment_elasticity
    np.testing.assert_allclose(elasticity[1] / elasticity[0], 2.0, rtol=1e-3)
    past = fitted.segment_units[:, 3]
    np.testing.assert_allclose(spec.arrivals.segment_share[1], past / past.sum(), rtol=1e-2)


def test_the_outside_share_is_recovered_from_a_logit_category():
    """Two like products, b p = 4, a share of .4 who leave: the responses to own and other prices give the share back."""
    bp, left = 4.0, 0.4
    probability = (1 - left) / 2
    fitted = models(
        products=pd.DataFrame({"product": ["1", "2"], "name": ["a", "b"], "category": ["c", "c"]}),
        forecast=np.full((3, 2), 10.0),
        elasticity=np.full(2, -bp * (1 - probability)),
        substitution=(1 - left - probability) / (1 - probability),
        **{name: np.array([2.0, 3.0]) for name in ("regular_price", "low_price")},
    )
    share, cut = outside_share(fitted)
    assert share[0] == pytest.approx(left)
    assert not cut[0]


def test_a_category_whose_products_only_replace_each_other_is_cut_and_reported():
    share, cut = outside_share(models(substitution=1.0))
    assert share.tolist() == [0.15, 0.9]
    assert cut.tolist() == [True, False]


def test_assumptions_are_said_and_known_costs_are_used():
    fitted = models()
    known = models(products=fitted.products.assign(unit_cost=[1.0, np.nan, 2.0, np.nan]))
    spec = build_market(known, name="shop", assumptions=Assumptions(unit_cost_share=0.5))
    assert spec.products.unit_cost.tolist() == [1.0, 1.5, 2.0, 2.5]
    assert any("50% of the regular price" in line for line in spec.assumptions)
    assert spec.products.names == ("milk (1)", "milk (2)", "cream", "soap")
    assert spec.reference_price is None
    assert build_market(models(reference_effect=0.4), name="s", assumptions=Assumptions()).reference_price is not None


def test_promotions_are_a_decision_where_their_past_is_given():
    share = np.array([[1.0, 0.2, 0.0, 0.9], [1.0, 0.6, 0.0, 0.0], [0.0, 0.0, 0.0, 0.6]])
    spec = build_market(models(exposure_effect=0.4, past_promotion=share), name="s", assumptions=Assumptions())
    assert spec.promotion is not None
    assert spec.history is not None
    assert spec.promotion.max_products == 2  # promoted in most stores: 2, 2 and 1 products
    np.testing.assert_allclose(spec.promotion.cost, 0.05 * spec.products.regular_price * models().forecast.mean(axis=0))
    plain = expected_units(spec, 0, spec.products.regular_price).sum(axis=1)[0]
    lifted = expected_units(spec, 0, spec.products.regular_price, promoted=np.array([[0, 0, 1, 0]])).sum(axis=1)[0]
    assert np.log(lifted / plain)[2] == pytest.approx(0.4, rel=0.1)
    assert any("on display" in line for line in spec.assumptions)
    assert build_market(models(exposure_effect=0.4), name="s", assumptions=Assumptions()).promotion is None


def test_history_promotes_what_the_shop_did():
    share = np.array([[1.0, 0.2, 0.0, 0.9], [1.0, 0.6, 0.0, 0.0], [0.0, 0.0, 0.0, 0.6]])
    spec = build_market(models(exposure_effect=0.4, past_promotion=share), name="s", assumptions=Assumptions())
    policy, market = named_policy("historical", spec), Market(spec)
    shown = [market.step(policy.act(market.view)).promoted[0] for _ in range(3)]
    assert (np.stack(shown) > 0).tolist() == (share > 0.5).tolist()

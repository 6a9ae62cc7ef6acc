"""The table `[law]` of the shop's rules reaches the market."""

from __future__ import annotations

from dataclasses import replace

import pytest
from repricer.data.schema import COMPETITOR_PRICE
from repricer.fitting import Assumptions, ShopRules, build_market
from repricer.fitting.refit import _rules_table
from repricer.scenarios import ScenarioError
from repricer.tests.fitting.test_market_builder import models

LAW = {"jurisdictions": ["EU", "MD"], "perishable": ["cream", "2"], "progressive": True}


def market(law, fitted=None):
    rules = ShopRules.of({"law": law})
    return build_market(fitted or models(), name="shop", assumptions=Assumptions.under(rules))


def with_rival_prices():
    fitted = models()
    return replace(fitted, products=fitted.products.assign(**{COMPETITOR_PRICE: [2.0, None, None, None]}))


def test_the_law_reaches_the_market():
    rules = ShopRules.of({"law": LAW})
    rules.check(models().products)
    spec = market(LAW)
    assert spec.law is not None
    assert spec.law.jurisdictions == ("EU", "MD")
    assert len(spec.law.perishable) == 2
    assert spec.prices.max_discount == 0
    assert spec.prices.prior_price_periods == 5
    assert any("the shop's rules on the law: jurisdictions EU, MD" in line for line in spec.assumptions)
    assert market({}).law is None
    assert ShopRules.of(_rules_table(rules)).law == rules.law


def test_where_competitors_prices_come_from_is_named():
    law = {"jurisdictions": ["CA"], "competitor_source": "licensed"}
    spec = market(law, with_rival_prices())
    assert spec.law is not None
    assert (spec.law.competitor_table, spec.law.competitor_source) == ("signals", "licensed")
    assert market(law).law.competitor_table == ""
    with pytest.raises(ScenarioError, match="competitors' prices are used; got not-stated; say where they come from"):
        market({"jurisdictions": ["CA"]}, with_rival_prices())


@pytest.mark.parametrize(
    ("law", "message"),
    [
        ({"food_store": False}, "law.jurisdictions is missing; it is whose law holds"),
        ({"jurisdictions": ["EU"], "foodstore": True}, "law.foodstore is no known key; did you mean 'law.food_store'"),
        ({"jurisdictions": ["EU"], "food_store": "yes"}, "law.food_store must be true or false; got 'yes'"),
        ({"jurisdictions": ["EU"], "competitor_source": "spy"}, "law.competitor_source must be one of not-stated"),
        ("EU", "law must be a table"),
    ],
)
def test_a_wrong_table_is_one_line(law, message):
    with pytest.raises(ScenarioError, match=message.replace("[", r"\[")):
        ShopRules.of({"law": law})


def test_a_perishable_product_that_the_shop_does_not_have_is_refused():
    with pytest.raises(ScenarioError, match="product must be one of the tables; got 'creme'; did you mean 'cream'"):
        ShopRules.of({"law": {**LAW, "perishable": ["creme"]}}).check(models().products)

"""Protected columns are kept apart from everything that is fitted, but for the shares of their groups."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from repricer.fitting import Assumptions
from repricer.fitting.customers import check_protected
from repricer.fitting.fit_market import fit
from repricer.fitting.refit import refit
from repricer.fitting.shop_rules import ShopRules
from repricer.forecasting import MovingAverage
from repricer.scenarios import ScenarioError, load_scenario, save_scenario
from repricer.tests.data.shop_shapes import households

RULES = {"shop": {"protected": ["age_band"], "max_group_spread": 0.02, "max_discount": 0.2}}


def fitted(tables):
    rules = Assumptions(rules=ShopRules.of(RULES), max_discount=0.2)
    return fit(tables, name="fair", forecaster=MovingAverage(), assumptions=rules, draws=10, weeks=6)


@pytest.fixture(scope="module")
def market():
    return fitted(households())


def test_the_market_knows_the_shares_alone(market, tmp_path):
    spec, tables = market.spec, households()
    assert spec.fairness.groups == ("old", "young")
    assert spec.fairness.attribute == ("age_band", "age_band")
    # Those who buy much are mostly old, those who buy little mostly young.
    np.testing.assert_allclose(spec.fairness.share, [[0.8, 0.2], [0.2, 0.8]], atol=0.1)
    assert spec.prices.max_group_spread == 0.02
    assert not any(customer in str(market.report) for customer in tables.customers["customer"].head(3))
    again = load_scenario(save_scenario(spec, tmp_path / "market"))
    np.testing.assert_array_equal(again.fairness.share, spec.fairness.share)
    later = refit(tables, market.report["refit"]).spec
    np.testing.assert_array_equal(later.fairness.share, spec.fairness.share)
    assert later.prices.max_group_spread == 0.02


def test_nothing_else_depends_on_the_column(market):
    tables = households()
    shuffled = tables.customers.assign(age_band=tables.customers["age_band"].sample(frac=1, random_state=1).to_numpy())
    other = fitted(replace(tables, customers=shuffled))
    assert not np.allclose(other.spec.fairness.share, market.spec.fairness.share, atol=0.1)
    for section in fields(market.spec):
        if section.name in ("fairness", "evidence"):
            continue
        mine, theirs = (getattr(spec, section.name) for spec in (market.spec, other.spec))
        for key, value in vars(mine).items() if hasattr(mine, "__dict__") else ():
            np.testing.assert_equal(vars(theirs)[key], value)
    assert other.report["segments"] == market.report["segments"]
    assert other.report["segment_rules"] == market.report["segment_rules"]


def test_what_cannot_be_protected_is_refused_before_the_fit():
    tables = households()
    with pytest.raises(ValueError, match=r"need a fit without --epsilon.*got age_band; leave out one of the two"):
        check_protected(tables, ["age_band"], True)
    unknown = replace(tables, sales=tables.sales.drop(columns="customer"))
    with pytest.raises(ValueError, match="protected groups need sales that name customers; got age_band"):
        check_protected(unknown, ["age_band"], False)
    with pytest.raises(ValueError, match="got 'age'; it has age_band"):
        check_protected(tables, ["age"], False)
    check_protected(replace(tables, customers=None), (), True)
    with pytest.raises(ScenarioError, match=r"shop.max_group_spread needs shop.protected; got none"):
        ShopRules.of({"shop": {"max_group_spread": 0.02}})

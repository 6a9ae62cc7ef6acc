"""The law in simulated markets: what is announced, and what personal prices become."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from repricer import Market, load_scenario
from repricer.pricing import Action
from repricer.pricing.law import announced_path
from repricer.scenarios import MarketSpec, save_scenario
from repricer.scenarios.fields import ScenarioError
from repricer.scenarios.price_section import LawSection


def under(spec: MarketSpec, *jurisdictions: str, **own) -> MarketSpec:
    return replace(spec, law=LawSection(jurisdictions, **own))


@pytest.fixture
def weekly(make_shop) -> MarketSpec:
    return make_shop(market={"period": "week", "horizon_periods": 12}, prices={"max_discount": 0.3, "max_change": None})


def test_the_thirty_days_are_those_of_the_calendar(weekly: MarketSpec) -> None:
    assert under(weekly, "EU").guardrails.prior_price_periods == 5
    daily = weekly.with_changes(market={"period": "day"})
    assert under(daily, "EU").guardrails.prior_price_periods == 30
    assert under(weekly, "NY").guardrails.prior_price_periods is None
    assert under(weekly.with_changes(prices={"prior_price_periods": 8}), "EU").guardrails.prior_price_periods == 8
    with pytest.raises(ScenarioError, match=r"prior_price_periods must be at least 5, 30 days, .* got 4; raise it"):
        under(weekly.with_changes(prices={"prior_price_periods": 4}), "EU")


@pytest.mark.parametrize("progressive", [False, True])
def test_what_the_market_announces_is_what_the_policy_was_given(weekly: MarketSpec, progressive: bool) -> None:
    spec = under(weekly, "EU", progressive=progressive, perishable=("b",))
    market, rng = Market(spec, num_markets=3), np.random.default_rng(0)
    before, charged, found = spec.guardrails.prices_before(spec.products.regular_price), [], []
    for _ in range(12):
        action = Action((market.view.list_price * rng.choice([0.9, 1.0, 1.0, 1.1], (3, 3))).astype(np.float32))
        given = spec.guardrails.apply(action, market.view)
        outcome = market.step(action)
        np.testing.assert_array_equal(market.view.prior_price, given.prior_price)
        charged.append(outcome.list_price.copy())
        found.append(market.view.prior_price)
    law = spec.guardrails.law
    assert law is not None
    for e in range(3):
        path = announced_path(law, np.array(charged)[:, e], before, 5)
        np.testing.assert_array_equal(path, np.array(found)[:, e])
    assert np.isfinite(found).mean() > 0.1
    market.restart(np.array([True, False, False]))
    assert np.isnan(market.view.prior_price[0]).all()


def test_personal_discounts_are_off_in_a_food_store_of_maryland(weekly: MarketSpec) -> None:
    paid = {}
    for name, spec in {
        "MD": under(weekly, "MD"),
        "no food": under(weekly, "MD", food_store=False),
        "NY": under(weekly, "NY"),
    }.items():
        market = Market(spec, num_markets=200)
        asked = Action(market.view.list_price, discount=np.full((200, 3, 2), 0.2, np.float32))
        given = spec.guardrails.apply(asked, market.view)
        outcome = market.step(asked)
        paid[name] = bool((outcome.paid < outcome.list_price * 0.99).any()), bool(given.personal.any())
    assert paid == {"MD": (False, False), "no food": (True, True), "NY": (True, True)}
    assert under(weekly, "MD").action_layout().max_discount == 0
    # A change of the rules does not bring them back.
    assert under(weekly, "MD").with_changes(prices={"max_discount": 0.3}).prices.max_discount == 0


def test_the_law_is_saved_with_the_market(weekly: MarketSpec, tmp_path) -> None:
    spec = under(weekly, "EU", "CA", perishable=("a",), competitor_table="signals", competitor_source="public")
    again = load_scenario(save_scenario(spec, tmp_path).parent)
    assert again.law == spec.law
    assert again.guardrails.law is not None
    assert again.guardrails.law.perishable is not None
    assert again.guardrails.law.perishable.tolist() == [True, False, False]


def test_a_market_without_law_keeps_no_prior_prices(make_shop) -> None:
    market = Market(make_shop())
    assert market.view.prior_price is None
    assert market.state.prior_price.shape == (1, 0)

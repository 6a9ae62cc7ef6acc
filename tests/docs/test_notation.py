"""The notation names every number of a scenario, and its formulas are what the market does."""

import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from repricer.envs import Market
from repricer.pricing import Action
from repricer.scenarios import MarketSpec, load_scenario, sections

PAGE = (Path(__file__).parents[2] / "docs" / "notation.md").read_text(encoding="utf-8")
KINDS = {item.name: getattr(sections, str(item.type).removesuffix(" | None"), None) for item in fields(MarketSpec)}
# Price rules and what is of the shop itself have no symbols, and modules of their own.
NUMBERS = {
    f"{section}.{key.name}"
    for section, kind in KINDS.items()
    if kind is not None
    for key in fields(kind)
    if "shape" in key.metadata
}


def test_every_number_of_a_scenario_stands_in_the_notation():
    assert len(NUMBERS) > 40
    assert NUMBERS - set(re.findall(r"`([\w.]+)`", PAGE)) == set()


def test_the_notation_names_nothing_that_does_not_exist():
    named = {(section, key) for section, key in re.findall(r"`(\w+)\.(\w+)", PAGE) if KINDS.get(section) is not None}
    assert named
    for section, key in named:
        assert key in KINDS[section].__dataclass_fields__, f"{section}.{key}"


def drive(market, seed, periods):
    """Some periods with every part of an action; of the last the state before, the discounts and the outcome."""
    spec, rng = market.spec, np.random.default_rng(seed)
    markets, products, segments = market.num_markets, spec.sizes["N"], spec.sizes["K"]
    for _ in range(periods):
        before = market.state
        action = Action(
            price=(spec.products.regular_price * rng.uniform(0.8, 1.2, (markets, products))).astype(np.float32),
            discount=rng.uniform(0, 0.1, (markets, products, segments)).astype(np.float32),
            recommendation=rng.normal(size=(markets, products, segments)).astype(np.float32),
            promotion=rng.normal(size=(markets, products)).astype(np.float32),
            order=rng.integers(0, 20, (markets, products)).astype(np.float32),
        )
        allowed = spec.guardrails.apply(action, market.view)
        outcome = market.step(action)
    return before, allowed.discount, outcome


def mean_demand(spec, state, discount, outcome, e):
    """Mean units by segment (K, N) and who waits (C, K) in market e, as the page writes it."""
    t, z, c, rivals = state.period[e], state.regime[e], spec.category_index, spec.competitors
    p, r, regimes, reference = outcome.list_price[e], state.reference_price[e], spec.regimes, spec.reference_price
    season = spec.demand.season[t] + regimes.utility[z]
    sensitivity = spec.demand.price_sensitivity * (spec.demand.sensitivity_path[t] * regimes.sensitivity[z])[c]
    gap = np.log(r / p)
    shown = np.array([np.arange(len(p)) == j for j in outcome.shown[e]])
    quality = spec.demand.quality + spec.demand.quality_path[t]
    u = quality + season[c] - sensitivity * p * (1 - discount[e].T)
    u = u + spec.promotion.lift * outcome.promoted[e] + spec.recommendation.lift[:, None] * shown
    u = u + reference.gain * np.maximum(gap, 0) - reference.loss * np.maximum(-gap, 0)
    theirs = c[spec.competitor_product]
    path = (spec.demand.sensitivity_path[t] * regimes.sensitivity[z])[theirs]
    u_rival = rivals.quality + season[theirs] - rivals.price_sensitivity * path * outcome.rival_price[e]
    expected = np.exp(quality + season[c] - sensitivity * r)
    member, against = np.eye(len(season))[c], np.eye(len(season))[theirs]
    phi = 1 + np.exp(u) @ member + np.exp(u_rival) @ against  # (K, C)
    later = spec.strategic.patience[:, None] * (expected @ member)
    shock = state.context[state.layout.shock, e]
    rate = spec.arrivals.rate[t] * regimes.arrivals[z] * np.exp(shock - spec.shocks.volatility**2 / 2)
    arrivals = rate * spec.arrivals.segment_share.T * state.loyalty[e][:, None]
    share, pool = spec.strategic.share[:, None], state.waiting[e].reshape(len(season), -1).T
    patient = (share * arrivals + pool) / (phi + later)
    mean = ((1 - share) * arrivals / phi + patient)[:, c] * np.exp(u)
    stocking = np.log(r / np.minimum(p, np.maximum(r, spec.products.regular_price)))
    units = reference.units_gain * np.maximum(stocking, 0) - reference.units_loss * np.maximum(-stocking, 0)
    mean = mean * np.exp(units)
    return mean, (patient * later).T


@pytest.fixture(scope="module")
def everything():
    spec = load_scenario("bench-10-full")
    off = {name for name in KINDS if KINDS[name] is not None and getattr(spec, name) is None}
    # What is observed enters no formula.
    assert off <= {"express", "capacity", "observed", "plan", "posterior", "halves", "fairness", "law"}
    return spec


def test_demand_is_that_of_the_page(everything):
    # With ample stock the expected revenue is mean demand at the prices paid.
    path = np.random.default_rng(1).normal(0, 0.3, (everything.sizes["T"], everything.sizes["N"]))
    units = {"units_gain": np.linspace(0, 2, everything.sizes["N"]), "units_loss": 0.5}
    spec = everything.with_changes(stock={"initial_units": 1e6}, demand={"quality_path": path}, reference_price=units)
    market = Market(spec, num_markets=4, seed=3)
    state, discount, outcome = drive(market, 8, 6)
    for e in range(4):
        mean, waiting = mean_demand(spec, state, discount, outcome, e)
        paid = outcome.list_price[e] * (1 - discount[e].T)
        revenue = (mean * paid).sum(axis=0) * (1 - spec.returns.probability)
        np.testing.assert_allclose(outcome.expected_revenue[e], revenue, rtol=1e-4)
        np.testing.assert_allclose(market.state.waiting[e], waiting.reshape(-1), rtol=1e-4)
    assert np.ptp(state.loyalty) > 0
    assert state.waiting.min() > 0
    assert outcome.promoted.any()


def test_money_and_memory_are_those_of_the_page(everything):
    spec = everything
    market = Market(spec, num_markets=16, seed=3)
    state, discount, outcome = drive(market, 8, 6)
    stock, x, y = spec.stock, outcome.units, outcome.returned
    assert (stock.cost_due, stock.salvage_value.any(), *set(stock.lead_time_periods)) == ("sold", False, 2)
    left = state.on_hand - x + y
    revenue = (x - y) * outcome.paid
    profit = revenue - spec.products.unit_cost * (x - y) - spec.returns.handling_cost * y
    profit = profit - stock.lost_sale_cost * outcome.lost - stock.holding_cost * np.maximum(left, 0)
    profit = profit - stock.backlog_cost * np.maximum(-left, 0) - stock.order_cost * (outcome.ordered > 0)
    profit = profit - spec.promotion.cost * outcome.promoted
    np.testing.assert_allclose(outcome.revenue, revenue, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(outcome.profit, profit, rtol=1e-4, atol=1e-2)
    assert y.any()
    memory, loyalty = spec.reference_price.memory, spec.loyalty
    remembered = memory * state.reference_price + (1 - memory) * outcome.list_price
    np.testing.assert_allclose(market.state.reference_price, remembered, rtol=1e-5)
    # A sold-out product would change everybody's choice.
    stocked = np.flatnonzero((state.on_hand > 0).all(axis=1))
    assert stocked.size > 3
    for e in stocked:
        mean, _ = mean_demand(spec, state, discount, outcome, e)
        paid = outcome.list_price[e] * (1 - discount[e].T)
        lost = outcome.lost[e] / np.maximum(outcome.lost[e] + x[e], 1)
        cheaper = (mean * np.log(spec.products.regular_price / paid)).sum(axis=1) / mean.sum(axis=1)
        missed = (mean * lost).sum(axis=1) / mean.sum(axis=1)
        target = np.exp(loyalty.price_effect * cheaper - loyalty.stockout_effect * missed)
        moved = loyalty.memory * state.loyalty[e] + (1 - loyalty.memory) * target
        np.testing.assert_allclose(market.state.loyalty[e], np.clip(moved, loyalty.low, loyalty.high), rtol=1e-4)

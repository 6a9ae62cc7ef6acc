"""Which markets have a solver, and that every section which a solver does not model turns it off."""

from dataclasses import fields

import pytest
from repricer.optimum import exact_value, solve
from repricer.scenarios import MarketSpec

LOGIT = {"demand": {"family": "mnl", "quality": 2.0, "price_sensitivity": 1.0}}
# Each optional section, on and harmless, for a market of one product and one segment.
SECTIONS = {
    "competitors": {"names": ["r"], "regular_price": 1.5, "quality": 1, "price_sensitivity": 1, "rule": "undercut:0.1"},
    "promotion": {"lift": 0.5},
    "reference_price": {"memory": 0.7, "gain": 0.1, "loss": 0.1},
    "recommendation": {"lift": 0.4, "candidates": 1},
    "loyalty": {"memory": 0.5, "price_effect": 1, "stockout_effect": 1},
    "strategic": {"share": 0.5, "patience": 0.5},
    "regimes": {"names": ["a", "b"], "transition": [[0.5, 0.5], [0.5, 0.5]], "initial": [1, 0]},
    "shocks": {"volatility": 0.2},
    "returns": {"probability": 0.1},
    "posterior": {"draws": 2},
}


MODELLED = {"competitors", "reference_price", "regimes"}


def test_every_optional_section_is_tried():
    # Shared capacity and express orders need markets of their own: see `test_several_stocks`, `test_lead_times`.
    # Groups and the law change no customer: see `test_fairness`, `test_law`; nor does what policies observe. Halves are draws
    # beside a posterior.
    apart = {"plan", "capacity", "express", "fairness", "law", "observed", "halves"}
    assert set(SECTIONS) | apart == {item.name for item in fields(MarketSpec) if item.default is None}


@pytest.mark.parametrize("section", sorted(SECTIONS))
@pytest.mark.parametrize("stock", [{}, {"initial_units": 10}])
def test_a_section_that_no_solver_models_turns_it_off(make, section, stock):
    assert solve(make(None, **LOGIT, stock=stock)) is not None
    spec = make(None, **LOGIT, stock=stock, **{section: SECTIONS[section]})
    assert (solve(spec) is not None) == (section in MODELLED)


@pytest.mark.parametrize("section", sorted(set(SECTIONS) - MODELLED))
def test_reference_prices_go_with_no_section_that_is_not_modelled(make, section):
    spec = make(None, **LOGIT, reference_price=SECTIONS["reference_price"], **{section: SECTIONS[section]})
    assert solve(spec) is None


@pytest.mark.parametrize("section", ["promotion", "reference_price", "regimes", "returns"])
@pytest.mark.parametrize("name", ["three-stocks", "undercutter", "price-and-order"])
def test_what_is_modelled_together_is_worth_what_its_policy_earns(make, name, section):
    spec = make(name, **{section: SECTIONS[section]})
    optimum = solve(spec)
    # Prices of the rival times reference prices are too many for an infinite horizon; so is any stock of this one.
    modelled = {("undercutter", "regimes"), ("price-and-order", "regimes")}
    assert (optimum is not None) == ((name, section) in modelled)
    if optimum is not None and section == "regimes":
        assert exact_value(spec, optimum.policy) == pytest.approx(optimum.value, rel=1e-6)


@pytest.mark.parametrize("name", ["scarce", "three-stocks", "undercutter", "price-and-order", "remembered", "logit"])
@pytest.mark.parametrize(
    "prices", [{"max_change": 0.1}, {"max_discount": 0.2}, {"max_changes": 1, "change_window_periods": 3}]
)
def test_linked_prices_without_a_ladder_and_personal_ones_have_no_solver(make, name, prices):
    spec = make(name, prices=prices)
    assert (solve(spec) is not None) == (name == "price-and-order" and "max_change" in prices)


@pytest.mark.parametrize("name", ["scarce", "price-and-order"])
def test_overdispersed_demand_makes_a_finite_stock_worth_less(make, name):
    spec = make(name, arrivals={"overdispersion": 0.2})
    assert solve(spec).value < solve(make(name)).value
    assert exact_value(spec, solve(spec).policy) == pytest.approx(solve(spec).value, rel=1e-6)


@pytest.mark.parametrize(
    "stock",
    [
        {"replenishment": "order-up-to", "order_up_to_units": 5},
        {"replenishment": "action", "max_order_units": 5, "lead_time_periods": 4},
        {"shortage": "backlog"},
        {"spoilage": 0.1},
        {"season_periods": 5},
        {"initial_units": 5000},
    ],
)
def test_other_stocks_have_no_solver(make, stock):
    assert solve(make("scarce", stock=stock)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"arrivals": {"process": "poisson"}},
        {"arrivals": {"segments": ["a", "b"], "segment_share": 0.5}},  # and no ladder
        {"products": {"category": ["x", "x", "y"]}},
        {"stock": {"holding_cost": 0.1}},
    ],
)
def test_other_choices_among_several_stocks_have_no_solver(make, changes):
    assert solve(make("three-stocks", **changes)) is None


def test_several_products_of_several_segments_have_no_solver(make):
    assert solve(make("logit", arrivals={"segments": ["a", "b"], "segment_share": 0.5})) is None


@pytest.mark.parametrize("name", ["scarce", "three-stocks", "undercutter", "price-and-order", "remembered"])
def test_an_endless_market_without_a_value_has_no_solver(make, name):
    """Undiscounted it earns without limit."""
    assert solve(make(name, market={"ending": "truncated", "discount_factor": 1.0})) is None


def test_solving_twice_costs_nothing(make):
    spec = make("scarce")
    assert solve(spec) is solve(spec)


def test_price_rules_beside_a_competitor_have_no_solver(make):
    """A rule may look at the competitor's price, which is no part of the current price."""
    spec = make("undercutter", market={"horizon_periods": 5, "ending": "terminated"}, prices={"rival_at_most": 0.9})
    assert solve(spec) is None
    assert solve(make("undercutter", market={"horizon_periods": 5, "ending": "terminated"})) is not None

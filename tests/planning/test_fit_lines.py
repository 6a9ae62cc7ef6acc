"""`repricer fit` says what the likelihood could not use, or did not settle on."""

from dataclasses import replace

import numpy as np
from repricer import load_scenario
from repricer.planning.fit_lines import (
    _change_lines,
    _customer_lines,
    _display_lines,
    _doubt_lines,
    _estimation_lines,
    _long_run_lines,
    _trend_line,
    bias_lines,
    cost_lines,
    modelled_lines,
    not_priced_lines,
    quiet,
)
from repricer.scenarios import save_scenario
from repricer.scenarios.shop_sections import PlanSection


def report(costs_used, converged):
    response = [{"category": "tea", "converged": converged}]
    return {"costs_used": costs_used, "category_response": response, "unidentified": []}


def test_categories_are_named_as_the_shop_writes_them():
    assert [quiet(name) for name in ("Öl & Essig", "iPhone", "SOFT DRINKS 2 L")] == [
        "Öl & Essig",
        "iPhone",
        "soft drinks 2 l",
    ]


def test_all_well_is_not_worth_a_line():
    assert _estimation_lines(report(None, True)) == []
    assert _estimation_lines(report(True, True)) == []


def test_the_trend_names_what_it_counts_and_rows_of_sums_are_no_traffic():
    trend = {"scores": [{"candidate": "naive", "mae": 111.0}], "used": "naive"}
    for unit in ("baskets", "sale lines"):
        line = _trend_line(trend | {"counted": unit}, "week")
        assert line == f"trend, mean absolute error one week ahead, {unit}: naive 111; the market uses the naive"
    assert "not known, as the sales name no receipts" in _trend_line(trend | {"counted": "rows"}, "week")


def test_each_kind_of_promotion_has_a_line():
    rows = [
        {"kind": "coupon", "utility": 0.04, "utility_interval90": [0.01, 0.08]},
        {"kind": "feature", "utility": 0.5338, "utility_interval90": [0.5051, 0.5612]},
    ]
    assert _display_lines({"promotion_effects": rows}) == [
        "  coupon in all stores: +0.04 utility [+0.01, +0.08]; +4% units of a product with a small share",
        "  feature in all stores: +0.53 utility [+0.51, +0.56]; +71% units of a product with a small share",
    ]


def test_problems_of_instruments_are_lines_of_the_report():
    found = report(True, True) | {"identification": "Identified by 2SLS.\nWarning: the first-stage F of 3 is below 10."}
    assert _estimation_lines(found) == ["the first-stage F of 3 is below 10."]


def test_weak_costs_and_unsettled_categories_are_said():
    weak, unsettled = _estimation_lines(report(False, False))
    assert "not used as an instrument" in weak
    assert "did not settle in tea" in unsettled


def test_costs_by_week_are_asked_for_where_the_sales_have_none():
    doubt = {"prices_follow_demand": 0.5, "prices_follow_demand_before": 0.9}
    (without,) = _doubt_lines(doubt | report(None, True))
    (weak,) = _doubt_lines(doubt | report(False, True))
    assert without == weak + " (unit costs by week in the sales table would tell more)"


def test_segments_under_privacy_come_with_their_epsilon_and_without_figures_that_were_not_released():
    segment = {"name": "thrifty", "customers": 90, "spend_per_week": 2.0, "elasticity": -2.0, "elasticity_se": 0.4}
    privacy = {"epsilon": 1.0, "delta": 1e-6, "unit": "one customer's history", "most_advantage": {"customer": 0.017}}
    first, spent, most = _customer_lines({"segments": [segment], "scores": {}, "privacy": privacy})
    assert "'thrifty': 90 customers" in first
    assert "epsilon 1, delta 1e-06, for one customer's history" in spent
    assert most.endswith("at most: 1.7% for a customer")


def test_the_responses_to_deals_and_to_regular_prices_are_said_and_what_is_mostly_the_priors():
    row = {"category": "TEA", "total": -0.62, "total_interval90": [-1.1, -0.2], "moves": 1234, "stores": 40}
    known, unknown = row | {"total_prior_share": 0.3}, row | {"total_prior_share": 0.9}
    deals = {"probability": 0.93, "units": {"mean": 0.9}, "dip": {"mean": 0.4}}
    first, *lines = _long_run_lines({"deals": deals, "regular_prices": [known, unknown]})
    assert first == (
        "  deals and regular prices have responses of their own: 93% likely; per 10% off, buyers take +9% units, and "
        "-4% per 10% above the price they remember"
    )
    said = "  tea, all regular prices together: elasticity -0.62 [-1.10, -0.20], from 1,234 moves in 40 stores"
    assert lines == [said, said + "; mostly the prior's"]
    assert _long_run_lines({"deals": None, "regular_prices": []}) == []


def test_held_out_deals_and_moves_of_regular_prices_are_checked_apart():
    deals = {"changes": 300, "slope": 0.9, "slope_interval90": [0.8, 1.0], "coverage90": 0.88}
    moves = {"changes": 12, "slope": None, "enough": 50}
    first, few = _change_lines({"proof": {"price_changes": {"deals": deals, "regular_moves": moves}}})
    assert first.startswith(
        "300 deals in the held-out weeks: units changed by 0.90 times the prediction (90% interval 0.80"
    )
    assert few.startswith("only 12 regular prices moved in the held-out weeks: too few")
    many = deals | {"changes": 80, "enough": 50}
    _, enough = _change_lines({"proof": {"price_changes": {"deals": deals, "regular_moves": many}}})
    assert enough.startswith("80 moves of regular prices in the held-out weeks: units changed by 0.90 times")


def test_products_that_are_not_priced_are_named():
    rare, other = {"they are too new": 4}, {"their price hardly moves": 1}
    names = {"they are too new": ["tea", "jam", "milk"], "their price hardly moves": ["salt"]}
    assert not_priced_lines({"not_priced": rare | other, "not_priced_names": names}) == [
        "not priced, current prices stay: 5 products",
        "  4 as they are too new: tea, jam, milk and 1 more",
        "  1 as their price hardly moves: salt",
    ]
    assert not_priced_lines({"not_priced": {}}) == []


def test_the_shares_of_the_revenue_that_are_modelled_and_priced_come_first():
    held = {"it is too new": ["tea"], "its price hardly moves": ["salt", "oats", "rye", "rice"]}
    shares = {"revenue_modelled": 0.962, "revenue_priced": 0.7149}
    report = {"category_response": [{}] * 12, "held": held, **shares}
    assert modelled_lines(report) == [
        "12 categories: 96% of their revenue is modelled, 71% is priced; 5 products in the market at planned prices",
        "  4, each as its price hardly moves: salt, oats, rye and 1 more",
        "  1, as it is too new: tea",
    ]
    report = {"category_response": [{}], "held": {}, "revenue_modelled": 1.0, "revenue_priced": 1.0}
    assert modelled_lines(report) == ["1 category: 100% of its revenue is modelled, 100% is priced"]
    assert modelled_lines({"category_response": [{}]}) == []  # a fit of an earlier version


def test_a_proof_that_is_far_off_is_said():
    assert bias_lines(0.28) == bias_lines(-0.3) == []
    assert bias_lines(4.777)[0].startswith(
        "do not rely on this market: in the held-out weeks it sold 5.8 times what the shop sold"
    )
    assert "0.5 times" in bias_lines(-0.5)[0]


def test_a_market_keeps_the_bias_of_a_proof_that_is_far_off(tmp_path):
    spec = load_scenario("stationary-logit")
    spec = replace(spec, plan=PlanSection(price=np.full((spec.market.horizon_periods, 1), 2.0)))
    assert not spec.with_changes(evidence={"proof_bias": 0.28}).evidence.doubt
    save_scenario(spec.with_changes(evidence={"proof_bias": 4.777}), tmp_path)
    assert "the market sold 5.8 times what the shop sold" in load_scenario(str(tmp_path)).evidence.doubt


def test_revenue_for_want_of_unit_costs_is_said_with_the_products_and_what_to_do():
    def said(*names, products=12):
        return cost_lines({"revenue_without_costs": list(names), "price_response": [{}] * products})

    assert said() == []
    assert said("tea") == [
        "prices maximise revenue, not profit, as the tables give no unit cost for 1 of 12 products (tea): add unit_cost, or "
        "ask for the objective profit, with costs that are assumed"
    ]
    (many,) = said(*"abcdefg")
    assert "for 7 of 12 products (a, b, c, d, e and 2 more): add" in many
    (all_of_them,) = said(*"abcdefg", products=7)
    assert "as the tables give no unit cost for any of 7 products: add" in all_of_them


def test_costs_that_can_hardly_be_meant_are_said_with_what_is_maximised():
    report = {"doubtful_costs": ["unit costs are above the price"], "revenue_without_costs": [], "price_response": [{}]}
    (line,) = cost_lines(report | {"objective": "revenue"})
    assert line.startswith("prices maximise revenue, not profit, as unit costs are above the price")
    (line,) = cost_lines(report | {"objective": "profit"})
    assert line.startswith("do not rely on any profit")


def test_small_errors_of_the_trend_can_be_told_apart():
    scores = [{"candidate": "naive", "mae": mae} for mae in (0.0435, 1.26, 110.7, 12345.6)]
    line = _trend_line({"scores": scores, "used": "naive"}, "week")
    assert "ahead, baskets: naive 0.043, naive 1.3, naive 111, naive 12,346; the market" in line

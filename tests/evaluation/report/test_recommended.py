"""The verdict on a market with a posterior, in a manager's words."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from html import unescape
from types import SimpleNamespace

import numpy as np
import pytest
from repricer.evaluation import Comparison, evaluate
from repricer.evaluation.report import ReportData, verdict, write_report
from repricer.evaluation.report.verdict import _not_identified, explanations
from repricer.pricing import FixedPrice
from repricer.scenarios import spec_from_table
from repricer.scenarios.price_section import Prices
from repricer.scenarios.sections import Posterior
from repricer.scenarios.shop_sections import PastSection, PlanSection

DRAWS = 100


def compared(*, objective="revenue", costs=0.0, draws=DRAWS) -> Comparison:
    """One product with ample stock; what it gains is replaced below."""
    spec = spec_from_table(
        {
            "name": "one-product",
            "version": 1,
            "market": {"horizon_periods": 4, "period": "week", "currency": "dollars", "objective": objective},
            "products": {"names": ["bread"], "regular_price": [2.0], "unit_cost": [1.0]},
            "arrivals": {"rate": 100.0},
            "demand": {"quality": 2.0, "price_sensitivity": 1.0},
            "prices": {"floor": 1.0, "ceiling": 4.0},
        }
    )
    generator = np.random.default_rng(0)
    posterior = Posterior(
        draws=draws,
        sensitivity=np.exp(0.1 * generator.normal(size=(draws, 1))),
        unit_cost=np.exp(costs * generator.normal(size=(draws, 1))),
    )
    plan, past = PlanSection(np.full((4, 1), 2.0), np.ones((4, 1))), PastSection(charged_low=1.5, charged_high=2.3)
    spec = replace(spec, posterior=posterior, plan=plan, past=past)
    return evaluate(spec, [FixedPrice(2.2, name="learned"), FixedPrice(2.6, name="bold")], episodes=5)


def gaining(comparison: Comparison, gains, policy="learned") -> Comparison:
    """The comparison in which a policy is recommended and earns so much more than 1,000 under each draw, in percent."""
    found = comparison.uncertainty
    draws = len(found.compared.draws)
    base = np.full((3, draws, 4), 1000.0)
    money = dict.fromkeys(found.compared.expected, base)
    money[policy] = base + 10 * np.resize(gains, draws)[None, :, None]
    came = {name: row + np.where(np.arange(4) % 2, 30.0, -30.0) * (name == policy) for name, row in money.items()}
    drawn = replace(found.compared, expected=money, realised=came)
    words = next(one.words for one in found.candidates if one.name == policy)
    chosen = replace(found.recommendation, policy=policy, words=words)
    return replace(comparison, uncertainty=replace(found, compared=drawn, recommendation=chosen))


def headline(comparison: Comparison) -> str:
    return comparison.uncertainty.headline


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compared()


def test_the_first_line_says_what_is_recommended(comparison):
    assert headline(gaining(comparison, np.linspace(2, 10, DRAWS))) == (
        "Recommended: the learned prices (learned). Expected to earn 6.0% more revenue than your current prices in these "
        "4 weeks (90% interval 2.3% to 9.7%; less than 2% chance of earning less). Side by side: revenue +6.0%, units +6.0%, "
        "profit +6.0%."
    )


def test_the_first_line_says_for_which_dates_where_the_market_has_a_calendar(comparison):
    dated = comparison.spec.with_changes(market={"period": "week", "first_day": "2018-01-01"})
    found = gaining(comparison, np.linspace(2, 10, DRAWS)).uncertainty
    found = replace(found, compared=replace(found.compared, spec=dated))
    assert "in the 4 weeks from 2018-01-01 to 2018-01-28 (90%" in found.headline


def test_the_figures_are_those_of_the_reporting_draws(comparison):
    found = gaining(comparison, np.where(np.arange(DRAWS) % 2, 6.0, 60.0))
    assert headline(found).startswith(
        "Recommended: the learned prices (learned). Expected to earn 6.0% more revenue than your current prices in these "
        "4 weeks (90% interval 6.0% to 6.0%; less than 2% chance of earning less)."
    )


def test_losses_are_counted(comparison):
    gains = np.where(np.arange(DRAWS) % 20 < 4, -2.0, 4.0)
    assert "(90% interval −2.0% to 4.0%; 20% chance of earning less)." in headline(gaining(comparison, gains))


def test_what_stands_behind_it_is_said(comparison):
    said = explanations(gaining(comparison, np.linspace(2, 10, DRAWS)), "learned")
    text = " ".join(said)
    assert "is uncertainty about how customers respond, the rest chance." in text
    assert "0% of the product-periods are priced outside what you mostly charged in the past." in text
    assert "as they are would be expected" not in text
    bold = explanations(gaining(comparison, np.linspace(2, 10, DRAWS), "bold"), "learned")
    assert "100% of the product-periods are priced outside what you mostly charged in the past." in bold
    assert bold[-1].startswith("The learned prices as they are would be expected to earn 0.0% more revenue")


def test_prices_that_may_follow_demand_are_mentioned_first(comparison):
    for chance, said in ((0.05, False), (0.6, True)):
        evidence = {"follows_demand": chance}
        found = replace(comparison, spec=comparison.spec.with_changes(evidence=evidence))
        first = explanations(gaining(found, np.linspace(2, 10, DRAWS)), None)[0]
        assert first.startswith("Your prices may have followed demand (60% likely by the sales)") == said


@pytest.mark.parametrize(
    ("chance", "before", "words"),
    [
        (0.31, 0.9, "31% likely, 90% before the sales, which speak against it"),
        (0.7, 0.9, "70% likely, 90% before the sales, which leave it open"),
        (0.83, 0.2, "83% likely, 20% before the sales, which leave it open"),
        (0.84, 0.2, "84% likely by the sales"),
        (1.0, 0.9, "100% likely by the sales"),
    ],
)
def test_what_was_assumed_of_prices_that_may_follow_demand_is_told_from_what_sales_say(
    comparison, chance, before, words
):
    evidence = {"follows_demand": chance, "follows_demand_before": before}
    found = replace(comparison, spec=comparison.spec.with_changes(evidence=evidence))
    first = explanations(gaining(found, np.linspace(2, 10, DRAWS)), None)[0]
    assert first.startswith(f"Your prices may have followed demand ({words}), which makes")


def test_planned_prices_that_break_rules_are_counted(comparison):
    spec = comparison.spec
    assert not any("price rules" in text for text in explanations(comparison, None))
    plan = np.where(np.arange(4)[:, None] == 3, 0.8, 2.0)  # the floor is 1
    planned = replace(comparison, spec=replace(spec, plan=replace(spec.plan, price=plan)))
    assert explanations(planned, None)[0] == (
        "1 of the 4 prices planned for these 4 weeks breaks the price rules (floor 1): your current prices count as "
        "planned, all others keep the rules."
    )


def test_products_that_keep_their_prices_are_named_first(comparison):
    spec = comparison.spec.with_changes(prices={"frozen": ("bread",)})
    found = gaining(replace(comparison, spec=spec), np.linspace(2, 10, DRAWS))
    silent = "because the sales do not tell how customers respond to other ones"
    said = {
        None: f"1 product keeps its price, {silent}, or by your rule: bread.",
        ("bread",): f"1 product keeps its price, {silent}: bread.",
        (): "1 product keeps its price by your rule: bread.",
    }
    for unidentified, words in said.items():
        known = spec.with_changes(evidence={"unidentified": unidentified})
        assert explanations(replace(found, spec=known), None)[0] == words
    both = SimpleNamespace(
        prices=Prices(frozen=("bread", "tea", "milk")),
        plan=spec.plan,
        evidence=replace(spec.evidence, unidentified=("tea",)),
    )
    assert _not_identified(SimpleNamespace(spec=both)) == (
        f"1 product keeps its price, {silent}: tea. 2 products keep their prices by your rule: bread, milk."
    )
    found = replace(found, spec=replace(spec, plan=None))
    assert "keeps its price" not in " ".join(explanations(found, None))


def test_products_that_keep_their_planned_prices_are_named_by_reason(comparison):
    because = {"bread": "it is too new", "tea": "your rule keeps it", "milk": "it is too new"}
    prices = Prices(frozen=("bread", "tea", "milk"), frozen_because=because)
    spec = SimpleNamespace(prices=prices, plan=comparison.spec.plan)
    assert _not_identified(SimpleNamespace(spec=spec)) == (
        "2 products keep their prices, each as it is too new: bread, milk. 1 product keeps its price, as your rule keeps it: tea."
    )


def test_no_change_says_why(comparison):
    found = comparison.uncertainty
    refused = [replace(standing, refused="27% chance of earning less") for standing in found.recommendation.standings]
    for gain, why in (
        (1.0, f"The best candidate, {refused[0].words}, was not chosen: 27% chance of earning less."),
        (-1.0, "None of the candidates is expected to earn more."),
    ):
        standings = [replace(standing, gain=replace(standing.gain, mean=gain)) for standing in refused]
        chosen = replace(found.recommendation, policy=found.recommendation.current, standings=standings)
        said = verdict(replace(comparison, uncertainty=replace(found, recommendation=chosen)), None)
        assert said.startswith(f"No change recommended: keep your current prices. {why}")


def test_assumed_costs_are_never_the_headline():
    found = gaining(compared(objective="profit", costs=0.2), np.linspace(2, 10, DRAWS))
    first, second = headline(found).split("less). ", 1)
    assert "more revenue than your current prices" in first
    assert second.startswith("The objective is profit: if the assumed unit costs hold, it is 6.0% higher")


def test_a_floor_is_stated():
    found = compared(costs=0.2, draws=40)
    assert (
        "Floor: expected profit at the dearest assumed unit costs (95% quantile) does not fall below that of the current prices."
        in explanations(found, None)
    )


@pytest.mark.usefixtures("no_pictures")
def test_the_report_has_a_section_with_every_candidate(comparison, tmp_path):
    found = gaining(comparison, np.linspace(2, 10, DRAWS))
    html = write_report(tmp_path / "report.html", ReportData(found, learned="learned")).read_text(encoding="utf-8")
    places = [html.index(f'<section id="{key}"') for key in ("comparison", "uncertainty", "paths")]
    assert places == sorted(places)
    assert headline(found) in html
    assert "outside what was mostly charged" not in html
    text = unescape(html)
    assert "expected revenue against current prices (%): " in text
    assert "learned (learned) +6.04 (90% interval 2.33 to 9.75)" in text
    assert "best-fixed+25% +0.00" in text
    bold = write_report(tmp_path / "bold.html", ReportData(gaining(comparison, np.linspace(2, 10, DRAWS), "bold")))
    assert "<td>2.00</td><td>2.60</td>" in bold.read_text(encoding="utf-8")
    assert "outside what was mostly charged: 1.50 to 2.30</td><td>4 of 4</td>" in bold.read_text(encoding="utf-8")
    for standing in found.uncertainty.recommendation.standings:
        assert standing.policy.replace("+", "&#43;") in html or standing.policy in html
    bare = write_report(
        tmp_path / "bare.html", ReportData(replace(found, uncertainty=None), learned="learned")
    ).read_text(encoding="utf-8")
    assert "Recommended:" not in bare
    assert 'id="uncertainty"' not in bare


@pytest.mark.usefixtures("no_pictures")
def test_the_report_shows_the_whole_price_list(comparison, tmp_path):
    listed = [
        {
            "product": f"tea {n}",
            "week": date(2018, 1, 1 + 7 * t),
            "current_price": 2.0,
            "new_price": 2.2,
            "change": 0.1,
            "reason": "Raised 10.0%.",
            "outside_charged": "outside what was mostly charged: 1.50 to 2.10" * (t == 0),
            "rules": "ceiling",
            "parameter_share": 0.25,
        }
        | dict.fromkeys(("expected_units", "expected_revenue", "expected_profit"), 10.0)
        | {f"{name}_{end}": 5.0 for name in ("units", "revenue", "profit") for end in ("low", "high")}
        for n in range(20)
        for t in range(2)
    ]
    path = write_report(tmp_path / "listed.html", ReportData(comparison, price_list=listed))
    html = path.read_text(encoding="utf-8")
    table = html.partition('<section id="list"')[2].partition("</section>")[0]
    assert table.count('<tr><th scope="row">tea ') == 40
    assert "<td>2.00</td><td>2.20</td><td>10.0%</td>" in table
    assert "2018-01-08" in table
    assert table.count("Raised 10.0%; outside what was mostly charged: 1.50 to 2.10; ceiling") == 20
    without = write_report(tmp_path / "without.html", ReportData(comparison)).read_text(encoding="utf-8")
    assert 'id="list"' not in without


@pytest.mark.usefixtures("no_pictures")
def test_a_report_without_a_fit_report_says_what_it_leaves_out(comparison, tmp_path):
    data = ReportData(comparison)
    said = "Left out, as no fit report (fit.json) was given: price responses, forecasts"
    assert said in unescape(write_report(tmp_path / "r.html", data).read_text(encoding="utf-8"))
    fitted = replace(data, fit={"segments": []})
    assert said not in unescape(write_report(tmp_path / "r.html", fitted).read_text(encoding="utf-8"))

import json
from dataclasses import replace

import numpy as np
import pytest
from repricer.agents.posterior.deals import STEPS
from repricer.evaluation import Without, evaluate
from repricer.evaluation.uncertainty import assess, candidates
from repricer.evaluation.uncertainty.draws import compare_draws
from repricer.pricing import FixedPrice
from repricer.scenarios.shop_sections import PastSection, PlanSection

from .conftest import uncertain_shop


def _learned(spec, factor=1.05):
    return FixedPrice((factor * spec.products.regular_price).astype(np.float32), name="learned")


def _with_plan(spec):
    regular = spec.products.regular_price
    plan = PlanSection(price=np.tile(0.95 * regular, (6, 1)), units=np.ones((6, 3)))
    return replace(spec, plan=plan, past=PastSection(charged_low=0.9 * regular, charged_high=regular))


@pytest.fixture(scope="module")
def comparison():
    spec = _with_plan(uncertain_shop(60))
    return evaluate(spec, [_learned(spec), "regular"], episodes=10, draws=40)


def test_the_document_holds_the_contract(comparison):
    document = comparison.to_dict()
    assert json.loads(json.dumps(document)) is not None
    rows = {row["policy"]: row for row in document["policies"]}
    assert set(rows) == {"learned", "regular", "best-fixed"}
    for row in rows.values():
        for key in ("vs_own", "vs_regular", "vs_best_fixed"):
            low, high = row[key]["interval90"]
            assert low <= row[key].get("posterior_mean", row[key]["mean"]) <= high
            assert 0 <= row[key]["loss_probability"] <= 1
            assert set(row[key]["relative"]) == {"mean", "interval90", "interval90_realised"}
        assert set(row["vs_best_fixed"]) >= {"mean", "ci95", "posterior_mean"}
    assert rows["regular"]["vs_regular"]["mean"] == 0
    assert (rows["learned"]["outside_share"], rows["regular"]["outside_share"]) == (1.0, 0.0)
    found = document["uncertainty"]
    assert (found["draws"], found["own"], found["metric"]) == (40, "historical", "revenue")
    assert found["recommended"] == comparison.uncertainty.recommendation.policy
    moved = {"regular", "regular-by-category", "deals", "deals+regular-by-category", "plan"}
    moved |= {f"regular{step:+.0%}" for step in STEPS}
    assert {row["policy"] for row in found["candidates"]} - moved == {
        f"{policy}{blend}"
        for policy in ("learned", "best-fixed")
        for blend in ("", *(f"+{s}%:historical" for s in (25, 50, 75)))
    }


def test_each_recommended_price_outside_is_marked(comparison):
    found, regular = comparison.uncertainty, comparison.spec.products.regular_price
    for policy, outside in (("learned", True), ("regular", False)):
        chosen = replace(found.recommendation, policy=policy)
        rows = replace(found, recommendation=chosen).prices()
        assert [row["outside"] for row in rows] == [[outside] * 6] * 3
        assert [row["charged"] for row in rows] == [pytest.approx([0.9 * price, price]) for price in regular]
        assert rows[0]["current"] == pytest.approx([0.95 * regular[0]] * 6)


def test_a_frozen_product_is_shown_at_the_prices_that_are_planned(comparison):
    """As in the price list: simulated is one price for it, so that it makes no difference."""
    name, *_ = comparison.spec.products.names
    spec = comparison.spec.with_changes(prices={"frozen": (name,)})
    planned = spec.plan.price * np.linspace(1.0, 1.1, 6)[:, None]
    spec = replace(spec, plan=replace(spec.plan, price=planned))
    row, other, _ = assess(spec, [], learned=[], draws=2, episodes=2).prices()
    assert row["current"] == row["recommended"] == pytest.approx(planned[:, 0])
    assert row["outside"] == [False] * 3 + [True] * 3
    assert other["current"] == pytest.approx(planned[:, 1])


def test_it_prints_the_recommendation(comparison):
    """In a manager's words: the name of a learned policy is the path of its run."""
    found = comparison.uncertainty
    last = str(comparison).splitlines()[-1]
    assert last.startswith(f"Recommended: {found.recommendation.words}. Expected to earn ")
    assert " than your current prices in these 6 weeks (90% interval" in last
    assert "; less than 5% chance of earning less)." in last, (
        "as the report says it: 20 draws do not tell that none loses"
    )


def test_a_market_without_a_posterior_is_evaluated_as_before():
    spec = replace(uncertain_shop(2), posterior=None)
    document = evaluate(spec, [_learned(spec)], episodes=5).to_dict()
    assert "uncertainty" not in document
    assert not {"vs_own", "vs_regular", "outside_share"} & set(document["policies"][0])
    assert set(document["policies"][0]["vs_best_fixed"]) == {"mean", "ci95"}


def test_ablations_and_rules_are_no_candidates(comparison):
    spec = comparison.spec
    names = [candidate.name for candidate in candidates(spec, [_learned(spec)])]
    assert names[:3] == ["historical", "regular", "learned"]
    assert "plan" in names
    assert len(names) == 10 + len(STEPS) + 4
    without = [candidate.name for candidate in candidates(replace(spec, plan=None), [_learned(spec)])]
    assert without[:2] == ["regular", "learned"]
    rows = evaluate(spec, [_learned(spec), "myopic", Without(_learned(spec), "discount")], episodes=5).uncertainty
    assert {candidate.name for candidate in rows.candidates} == set(names)


def test_reported_gains_are_from_draws_that_did_not_choose(comparison):
    found = comparison.uncertainty
    chosen = found.recommendation.standings[0]
    assert found.gain(chosen.policy).draws.size == chosen.gain.draws.size == 20
    assert not np.isin(found.gain(chosen.policy).draws, chosen.gain.draws).any()


def test_revenue_comes_first_where_profit_rests_on_assumed_costs():
    for costs, metric in ((0.0, "profit"), (0.2, "revenue")):
        spec = uncertain_shop(4, objective="profit", costs=costs)
        assert assess(spec, [], learned=[]).metric == metric


def test_a_recommendation_says_the_objective_where_revenue_comes_first():
    spec = uncertain_shop(4, objective="profit", costs=0.2)
    found = assess(spec, [dearer := _learned(spec)], learned=[dearer])
    chosen = replace(found.recommendation, policy="learned")
    said, gain = str(replace(found, recommendation=chosen)), found.gain("learned", objective="profit")
    assert "% more revenue than your current prices" in said
    amount = f"{gain.relative['mean']:.1%} higher (90% interval "
    assert f"The objective is profit: if the assumed unit costs hold, it is {amount}" in said
    assert ". Side by side: revenue " in said
    assert said.endswith(" at the assumed unit costs.")
    sure = assess(uncertain_shop(4, objective="profit"), [dearer], learned=[dearer])
    assert "The objective is" not in str(replace(sure, recommendation=replace(sure.recommendation, policy="learned")))


def test_more_episodes_are_run_where_few_are_too_noisy():
    noisy = uncertain_shop(20, stock=250.0)
    policies = [_learned(noisy, 0.8)]
    assert assess(noisy, policies, learned=policies, episodes=2).compared.count > 2
    ample = uncertain_shop(20)
    assert assess(ample, policies, learned=policies, episodes=2).compared.count == 2
    assert compare_draws(noisy, policies, episodes=2).count == 2


def test_a_market_whose_proof_was_far_off_says_so(comparison):
    found, spec = comparison.uncertainty, comparison.spec
    assert "Do not rely" not in str(found)
    assert found.to_dict()["doubt"] is None
    spec = spec.with_changes(evidence={"proof_bias": 4.78})
    doubted = replace(found, compared=replace(found.compared, spec=spec))
    said = (
        "Do not rely on this: at the prices charged in the held-out weeks, the market sold 5.8 times what the shop sold"
    )
    for recommendation in (found.recommendation, replace(found.recommendation, policy=found.recommendation.current)):
        judged = replace(doubted, recommendation=recommendation)
        assert said in str(judged)
        assert said in judged.headline
        assert said in judged.to_dict()["doubt"]

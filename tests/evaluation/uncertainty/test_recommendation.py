"""The rule, on gains that are made up: (M, E) arrays stand for what a comparison found."""

from dataclasses import replace

import numpy as np
import pytest
from repricer.evaluation.uncertainty import Candidate, DrawComparison, compare_draws, costs_assumed, recommend
from repricer.pricing import FixedPrice
from repricer.scenarios.shop_sections import EvidenceSection, PlanSection

from .conftest import uncertain_shop

DRAWS = 200


def _candidate(name):
    return Candidate(FixedPrice(1.0, name=name), f"the {name} prices")


def _compared(spec, **gains):
    """Candidates that gain so much over 100 under each draw: (M,) numbers."""
    money = {"now": np.full(DRAWS, 100.0)} | {name: 100 + np.asarray(gain) for name, gain in gains.items()}
    arrays = {name: np.broadcast_to(row[None, :, None], (2, DRAWS, 2)) for name, row in money.items()}
    return DrawComparison(spec, tuple(range(DRAWS)), 2, 0, arrays, arrays, dict.fromkeys(money), {})


def _recommended(objective="mean", spec=None, **gains):
    spec = spec or uncertain_shop(2)
    names = ["now", *gains]
    return recommend(spec, list(map(_candidate, names)), objective, compared=_compared(spec, **gains))


def _spread(mean, deviation):
    """The same distribution on both halves of the draws."""
    return np.repeat(mean + deviation * np.random.default_rng(0).normal(size=DRAWS // 2), 2)


def test_the_highest_mean_is_recommended():
    found = _recommended(good=_spread(3, 0.5), better=_spread(5, 2.0), worse=_spread(1, 0.1))
    assert (found.policy, found.change) == ("better", True)
    assert [standing.policy for standing in found.standings] == ["better", "good", "worse"]


def test_of_equal_gains_the_simpler_prices_are_recommended():
    same = _spread(5, 2.0)
    assert _recommended(**{"learned": same, "best-fixed": same}).policy == "best-fixed"
    assert _recommended(**{"learned": same + 0.1, "best-fixed": same}).policy == "learned"


def test_nothing_is_recommended_where_the_proof_of_the_market_is_too_far_off():
    spec = replace(uncertain_shop(2), plan=PlanSection(price=np.array(3.0)), evidence=EvidenceSection(proof_bias=1.2))
    found = _recommended(spec=spec, good=_spread(3, 0.5), worse=_spread(-1, 0.1))
    assert not found.change
    assert found.reason == "the good prices: the proof of the market is too far off"
    assert found.standings[1].refused.startswith("expected to earn less")


def test_cvar_prefers_what_is_better_in_the_worst_draws():
    gains = {"safe": _spread(3, 0.2), "bold": _spread(4, 2.0)}
    assert _recommended(**gains).policy == "bold"
    assert _recommended("cvar:0.1", **gains).policy == "safe"


@pytest.mark.parametrize("seed", range(20))
def test_what_may_lose_is_never_recommended(seed):
    """Whatever the gains, a recommendation passes the rule on the draws on which it was chosen."""
    generator = np.random.default_rng(seed)
    gains = {f"c{i}": np.repeat(generator.normal(generator.normal(), 2, DRAWS // 2), 2) for i in range(5)}
    found = _recommended(**gains)
    for name, gain in gains.items():
        loses = (gain < 0).mean() > 0.2 or np.quantile(gain[::2], 0.05, method="weibull") < -1 or gain.mean() < 0.5
        refused = next(standing.refused for standing in found.standings if standing.policy == name)
        assert bool(refused) == loses
        assert not (loses and found.policy == name)


@pytest.mark.parametrize(
    ("gain", "reason"),
    [
        (_spread(-1, 0.1), "the learned prices: expected to earn less than the current prices"),
        (np.full(DRAWS, 0.4), "the learned prices: gains less than 0.5% of what the current prices earn"),
        (np.zeros(DRAWS), "the learned prices: earns as much as the current prices"),
        (
            np.tile([-0.1, -0.1, 1, 1, 1, 1, 1, 1], 25),
            "the learned prices: 25% chance of earning less than the current prices, more than the 20% allowed",
        ),
        (
            np.where(np.arange(DRAWS) < 20, -5.0, 2.0),
            "the learned prices: more than a 5% chance of earning at least 1% less than the current prices",
        ),
    ],
)
def test_no_change_says_why(gain, reason):
    found = _recommended(learned=gain)
    assert (found.change, found.policy, found.reason) == (False, "now", reason)


def test_without_candidates_nothing_changes():
    assert _recommended().reason == "there are no other candidates"


def test_the_choice_sees_one_half_of_the_draws_only():
    even, spec = np.arange(DRAWS) % 2 == 0, uncertain_shop(2)
    compared = _compared(spec, lucky=np.where(even, 5.0, 1.0), steady=np.full(DRAWS, 3.0))
    found = recommend(spec, [_candidate(name) for name in ("now", "lucky", "steady")], compared=compared)
    assert found.policy == "lucky"
    assert compared.gain("lucky", "now", part="report").mean == 1


def test_the_rule_holds_for_the_gain_that_is_printed():
    """It was looked at on the draws of the choice alone: prices came with a printed 5% quantile of -2.4% by a rule of -1%."""
    even, spec = np.arange(DRAWS) % 2 == 0, uncertain_shop(2)
    compared = _compared(spec, lucky=np.where(even, 5.0, -2.4))
    found = recommend(spec, [_candidate("now"), _candidate("lucky")], compared=compared)
    assert (found.change, found.reason) == (False, "the lucky prices: expected to earn less than the current prices")


def test_an_unknown_objective_is_refused():
    with pytest.raises(
        ValueError, match=r"objective must be mean or cvar:SHARE with a share in \(0, 1\]; got 'median'"
    ):
        _recommended("median", learned=np.ones(DRAWS))


def _priced(spec, *, factor, share=0.0):
    regular = spec.products.regular_price
    return FixedPrice((regular * factor).astype(np.float32), name=f"x{factor:g}")


def test_revenue_is_not_bought_with_profit_where_costs_are_assumed():
    """Elastic customers: lower prices earn more revenue, but less profit at the dearest assumed cost."""
    spec = uncertain_shop(60, costs=0.3)
    spec = replace(spec.with_changes(demand={"price_sensitivity": 2 * spec.demand.price_sensitivity}))
    names = [Candidate(_priced(spec, factor=f), f"x{f}") for f in (1.0, 0.75, 0.97)]
    assert costs_assumed(spec)
    policies = [one.policy for one in names]
    found = recommend(spec, names, compared=compare_draws(spec, policies))
    standing = {row.policy: row for row in found.standings}
    assert standing["x0.75"].gain.mean > standing["x0.97"].gain.mean > 0
    assert standing["x0.75"].floor_gain < 0
    assert (
        standing["x0.75"].refused
        == "expected profit at the dearest assumed unit costs falls below that of the current prices"
    )
    assert found.floor == (
        "Expected profit at the dearest assumed unit costs (95% quantile) does not fall below that of the current prices."
    )
    assert (standing["x0.97"].floor_gain > 0) == (found.policy == "x0.97")
    known = replace(spec, posterior=replace(spec.posterior, unit_cost=1.0))
    known = recommend(known, names, compared=compare_draws(known, policies))
    assert (known.policy, known.floor) == ("x0.75", None)

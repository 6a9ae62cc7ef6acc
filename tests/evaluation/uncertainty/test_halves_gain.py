"""What half of the sales found is scored by the other half: where these disagree, less of the gain is left."""

from dataclasses import replace

import numpy as np
import pytest
from repricer.agents import best_fixed
from repricer.agents.posterior.best_plan import best_plan
from repricer.agents.posterior.deals import plan_policies
from repricer.evaluation.uncertainty import Candidate, assess, compare_draws, recommend
from repricer.evaluation.uncertainty.halves_gain import HalvesGain
from repricer.pricing import FixedPrice
from repricer.scenarios import MarketSpec
from repricer.scenarios.sections import Halves

from .conftest import uncertain_shop

DRAWS = 60
# Customers of the other half answer to prices like those that found them, somewhat more, and much more.
ALIKE, APART, OPPOSED = 1.0, 1.25, 2.0


def halved(other: float, *, own: float = 0.7, **shop) -> MarketSpec:
    """A shop whose halves find these factors on the price sensitivity."""
    spec = uncertain_shop(DRAWS, **shop)
    noise = np.exp(0.03 * np.random.default_rng(3).normal(size=(DRAWS, 3)))
    factor = np.repeat([own, own * other], DRAWS // 2)[:, None] * noise
    return replace(spec, halves=Halves(draws=DRAWS, sensitivity=factor))


@pytest.fixture(scope="module")
def assessed():
    return {other: assess(halved(other, objective="profit"), [], learned=[]) for other in (ALIKE, APART, OPPOSED)}


def first(found):
    """By either half, the gain of what the half that found prices would recommend."""
    policy = found.recommendation.first_choice.policy
    parts = (found.compared.gain(policy, found.recommendation.current, part=part) for part in ("choose", "report"))
    return [gain.share for gain in parts]


def test_halves_that_agree_leave_the_gain_as_it_is(assessed):
    own, other = first(assessed[ALIKE])
    assert own > 0.02
    assert other == pytest.approx(own, rel=0.1)
    assert assessed[ALIKE].recommendation.change


def test_halves_that_disagree_leave_less_of_the_gain(assessed):
    own, other = first(assessed[APART])
    assert other < 0.8 * own
    assert first(assessed[OPPOSED])[1] < other


def test_what_loses_by_the_other_half_is_refused_with_the_reason(assessed):
    found = assessed[OPPOSED].recommendation
    first_choice = found.first_choice
    assert found.policy != first_choice.policy
    assert first_choice.refused.startswith("by the stores that it was not found on, expected to earn less than")


def test_prices_are_found_by_the_first_half_alone():
    spec = halved(ALIKE, objective="profit")
    scored = spec.halves.sensitivity.copy()
    scored[DRAWS // 2 :] *= 3.0
    changed = replace(spec, halves=replace(spec.halves, sensitivity=scored))
    np.testing.assert_array_equal(best_fixed(changed).price, best_fixed(spec).price)
    np.testing.assert_array_equal(best_plan(changed).path, best_plan(spec).path)
    for name, policy in plan_policies(spec).items():
        np.testing.assert_array_equal(plan_policies(changed)[name].path, policy.path)
    # As by its own draws, and not as by those of all sales.
    np.testing.assert_array_equal(best_fixed(spec.searched).price, best_fixed(spec).price)
    np.testing.assert_array_equal(best_plan(spec.searched).path, best_plan(spec).path)
    by_all = replace(spec, halves=None)
    assert not np.array_equal(best_fixed(by_all).price, best_fixed(spec).price)
    assert not np.array_equal(best_plan(by_all).path, best_plan(spec).path)


def test_each_part_holds_the_draws_of_its_half():
    spec = halved(2.0)
    compared = compare_draws(spec, ["fixed:3", "regular"], draws=20, episodes=2)
    alone = {part: compare_draws(half, ["fixed:3", "regular"], episodes=2) for part, half in sides(spec)}
    for part, only in alone.items():
        own = compared.gain("fixed:3", "regular", part=part)
        assert own.draws.size == 10
        assert own.share == pytest.approx(only.gain("fixed:3", "regular").share, abs=0.01)
    shares = [compared.gain("fixed:3", "regular", part=part).share for part in alone]
    assert abs(shares[0] - shares[1]) > 0.03


def sides(spec):
    return (("choose", spec.searched), ("report", spec.scored))


def test_few_draws_are_parted_too():
    compared = compare_draws(halved(2.0), ["fixed:3", "regular"], draws=2, episodes=2)
    assert len(compared.draws) == 4
    assert [compared.gain("fixed:3", "regular", part=part).draws.size for part in ("choose", "report")] == [2, 2]


def test_the_verdict_states_both_gains(assessed):
    found = assessed[ALIKE]
    own, other = found.halves.own, found.halves.other
    assert other.mean == found.gain(found.recommendation.policy).mean
    sentence = (
        f"By the stores that they were found on, that is {own.more('')}; by the other stores, which the figures here are from, "
        f"{other.more('')}."
    )
    assert sentence in found.headline
    document = found.to_dict()["halves"]
    assert (document["of"], document["own"]["mean"], document["other"]["mean"]) == ("stores", own.mean, other.mean)
    assert document["kept"] == pytest.approx(other.share / own.share)
    assert found.how_scored.startswith("Candidates were found and chosen by the sales of half of the stores")


def test_without_halves_the_verdict_compares_no_sales():
    found = assess(uncertain_shop(DRAWS, objective="profit"), [], learned=[])
    assert "that they were found on" not in found.headline
    assert found.to_dict()["halves"]["of"] == "draws"


def test_no_change_has_no_gain_by_halves():
    found = assess(halved(OPPOSED, objective="profit"), [], learned=[])
    if not found.recommendation.change:
        assert found.to_dict()["halves"] is None
    flat = recommend(halved(ALIKE), [Candidate(FixedPrice(1.0, name="now"), "now")], compared=None)
    assert flat.first_choice is None


def test_the_share_that_is_kept_needs_a_gain(assessed):
    found = assessed[ALIKE].halves
    assert HalvesGain("stores", replace(found.own, mean=-1.0), found.other).kept is None

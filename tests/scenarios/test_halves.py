"""A market may carry two posteriors, each of half of the sales: prices are searched with one, and scored with the other."""

from dataclasses import replace

import numpy as np
import pytest
from repricer.scenarios import MarketSpec, ScenarioError, load_scenario, save_scenario
from repricer.scenarios.periods import floor_market, goal_market
from repricer.scenarios.sections import Halves, Posterior
from repricer.scenarios.spec import differing
from repricer.scenarios.stress import stressed

FACTORS = np.array([0.5, 0.6, 0.7, 1.5, 1.6, 1.7], np.float32)


@pytest.fixture
def spec() -> MarketSpec:
    whole = Posterior(draws=4, sensitivity=np.array([[0.9], [1.0], [1.0], [1.1]]))
    halves = Halves(draws=6, sensitivity=FACTORS[:, None], of="weeks")
    return replace(load_scenario("stationary-logit"), posterior=whole, halves=halves)


def test_the_first_half_of_the_draws_searches_and_the_second_scores(spec):
    assert spec.searched.posterior.sensitivity[:, 0].tolist() == FACTORS[:3].tolist()
    assert spec.scored.posterior.sensitivity[:, 0].tolist() == FACTORS[3:].tolist()
    assert spec.judged.posterior.sensitivity[:, 0].tolist() == FACTORS.tolist()
    assert (spec.num_draws, spec.searched.num_draws, spec.judged.num_draws) == (4, 3, 6)
    # All but the draws is the same market.
    for market in (spec.searched, spec.scored):
        assert {key.partition(".")[0] for key in differing(market, spec)} <= {"posterior", "halves"}
        assert market.searched is market.scored is market.judged is market


def test_a_market_is_searched_in_one_object_for_which_searches_are_kept(spec):
    assert spec.searched is spec.searched
    assert spec.scored is spec.scored


def test_a_draw_is_of_all_sales(spec):
    drawn = spec.draw(0)
    assert drawn.halves is None
    assert drawn.demand.price_sensitivity[0, 0] == pytest.approx(0.9 * spec.demand.price_sensitivity[0, 0])


def test_halves_are_written_and_read(spec, tmp_path):
    save_scenario(spec, tmp_path)
    again = load_scenario(tmp_path)
    assert differing(again, spec) == []
    assert again.halves.of == "weeks"


def test_a_market_without_halves_is_searched_and_scored_as_it_is(spec, tmp_path):
    older = replace(spec, halves=None)
    save_scenario(older, tmp_path)
    assert "halves" not in (tmp_path / "scenario.toml").read_text(encoding="utf-8")
    again = load_scenario(tmp_path)
    assert again.halves is None
    assert again.searched is again.scored is again.judged is again


def test_unit_costs_of_a_profit_floor_hold_in_every_half():
    costs = {"shadow_cost": np.array([1.0]), "floor_cost": np.array([2.0])}
    spec = load_scenario("stationary-logit").with_changes(market={"objective": "revenue"}, products=costs)
    dear = np.array([[1.0], [1.0], [3.0], [3.0]])
    spec = replace(spec, posterior=Posterior(draws=2), halves=Halves(draws=4, unit_cost=dear))
    for market in (goal_market(spec), floor_market(spec)):
        assert (market.scored.draw(1).products.unit_cost == market.products.unit_cost).all()


def test_the_stress_of_the_parameters_holds_where_prices_are_searched_too(spec):
    found = stressed(spec, "posterior")
    assert found.posterior.simulated
    assert found.searched.posterior.simulated


@pytest.mark.parametrize(
    ("halves", "message"),
    [
        (Halves(draws=5), "halves.draws must be an even number from 4 on, as many of each half; got 5"),
        (Halves(draws=2), "halves.draws must be an even number from 4 on, as many of each half; got 2"),
        (Halves(draws=4, of="customers"), "halves.of must be one of stores, weeks; got 'customers'"),
        (
            Halves(draws=4, promotion=np.array(0.5)),
            r"halves.promotion must be left out where there is no section \[promotion\]",
        ),
        (Halves(draws=4, sensitivity=np.ones((6, 1))), r"halves.sensitivity must have shape \(M=4 x N=1\)"),
    ],
)
def test_wrong_halves_are_refused(spec, halves, message):
    with pytest.raises(ScenarioError, match=message):
        replace(spec, halves=halves)


def test_halves_stand_beside_a_posterior(spec):
    with pytest.raises(ScenarioError, match=r"halves must stand beside a section \[posterior\]; got none"):
        replace(spec, posterior=None)

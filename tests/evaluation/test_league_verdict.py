"""A league's final policies on the test seeds."""

from dataclasses import replace

import numpy as np
import pytest
from repricer.agents import league
from repricer.envs import expected_units, rival_units
from repricer.evaluation import judge_league, yardstick
from repricer.scenarios import spec_from_table

FAST = {
    "num_envs": 4,
    "n_steps": 5,
    "batch_size": 20,
    "net_arch": [8],
    "validation_episodes": 2,
    "base_price": "regular",
}


def market(family="mnl", season=0.0):
    sides = {"quality": 8.0, "price_sensitivity": 4.0}
    return spec_from_table(
        {
            "name": "two-sellers",
            "version": 1,
            "market": {"horizon_periods": 4, "objective": "profit"},
            "products": {"names": ["a"], "regular_price": 1.5, "unit_cost": 1.0},
            "arrivals": {"rate": 2.0},
            "demand": sides | {"family": family, "season": [[0.0], [0.0], [season], [0.0]]},
            "competitors": {
                "names": ["b1", "b2"],
                "seller": ["B", "B"],
                "product": ["a", "a"],
                "regular_price": 1.5,
                "unit_cost": 1.0,
                **sides,
            },
            "prices": {"floor": 1.0, "ceiling": 2.25},
        }
    )


def played(spec):
    return league(spec, rounds=1, steps=20, settings=FAST)


@pytest.mark.parametrize("season", [0.0, 1.0])
def test_figures_are_those_of_the_policies_and_of_their_period(season):
    spec = market(season=season)
    result = played(spec)
    # Networks that always say zero charge the regular price, 1.5: the figures are then known.
    for actor in result.actors.values():
        for weight in actor.parameters():
            weight.data.zero_()
    verdict = judge_league(result, episodes=3)
    assert verdict.period == (2 if season else None)
    np.testing.assert_allclose(verdict.price, 1.5, rtol=1e-6)
    period = verdict.period or 0
    own = 0.5 * expected_units(spec, period, [1.5], rival_price=[1.5, 1.5]).sum()
    rival = 0.5 * rival_units(spec, period, [1.5], [1.5, 1.5]).sum()
    np.testing.assert_allclose(verdict.profit, [own, rival], rtol=1e-5)
    marks = yardstick(spec, period)
    np.testing.assert_allclose(verdict.audit.yardstick.nash_profit, marks.nash_profit)
    gains = [result.responses[seat].gain for seat in ("own", "B")]
    np.testing.assert_allclose(verdict.exploitability, gains / marks.nash_profit)


def test_a_market_without_a_yardstick_has_a_verdict_without_an_audit():
    spec = market(family="cheapest")
    verdict = judge_league(played(spec), episodes=2)
    assert verdict.audit is None
    assert verdict.to_dict()["no_audit"].startswith("demand.family must be mnl for competition yardsticks")
    with pytest.raises(ValueError, match="episodes must be at least 1; got 0"):
        judge_league(verdict.league, episodes=0)
    assert replace(verdict, period=3).to_dict()["period"] == 3

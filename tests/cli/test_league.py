"""`repricer league`, and what its folder is good for."""

import json

import pytest
from repricer.scenarios import save_scenario, spec_from_table

from .calls import run

FAST = ("num_envs=4", "n_steps=5", "batch_size=20", "net_arch=[8]", "validation_episodes=2")
SETTINGS = [word for value in FAST for word in ("--set", value)]


@pytest.fixture(scope="module")
def scenario(tmp_path_factory):
    sides = {"quality": 8.0, "price_sensitivity": 4.0}
    spec = spec_from_table(
        {
            "name": "duopoly",
            "version": 1,
            "market": {"horizon_periods": 6, "objective": "profit", "ending": "truncated"},
            "products": {"names": ["a"], "regular_price": 1.5, "unit_cost": 1.0},
            "arrivals": {"rate": 1.0},
            "demand": sides,
            "competitors": {"names": ["b"], "seller": ["[B]"], "regular_price": 1.5, "unit_cost": 1.0} | sides,
            "prices": {"floor": 1.0, "ceiling": 2.25},
        }
    )
    return save_scenario(spec, tmp_path_factory.mktemp("duopoly"))


def test_a_league_is_printed_kept_and_its_policy_evaluated_exported_and_reported(tmp_path, scenario):
    folder = tmp_path / "league"
    call = ("league", scenario, "--rounds", 2, "--steps", 40, "--out", folder, "--episodes", 3, *SETTINGS)
    document = json.loads(run(*call, "--json").stdout)
    assert document == json.loads((folder / "league.json").read_text(encoding="utf-8"))
    assert document["sellers"] == ["own", "[B]"]
    assert [row["round"] for row in document["history"]] == [1, 2]
    assert document["exploitability"]["own"] == pytest.approx(
        document["responses"]["own"]["gain"] / document["audit"]["profits"][0]["nash"]
    )
    text = run(*call, "--out", tmp_path / "again").stdout
    assert "[B]" in text
    assert f"{document['audit']['verdict']}: joint profit gain {document['audit']['profit_gain']:.3f}" in text
    judged = json.loads(run("evaluate", scenario, "--policy", folder, "--episodes", 5, "--json").stdout)
    assert str(folder) in {row["policy"] for row in judged["policies"]}
    run("export", folder, "--out", tmp_path / "bundle")
    run("report", folder, "--out", tmp_path / "report.html", "--episodes", 5)
    assert "must be new" in run(*call, code=2).stderr


def test_a_market_without_rivals_has_no_league():
    result = run("league", "stationary-logit", code=2)
    assert "need a section [competitors]; got stationary-logit without one" in result.stderr


def test_a_shared_network_is_refused():
    result = run("league", "calvano-duopoly", "--shared", code=2)
    assert "--shared is no longer there; each seller has a network of its own" in result.stderr

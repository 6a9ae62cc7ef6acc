"""Estimated beside true responses to regular prices: the deals of a chain that stores sit out would pass for them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from repricer.benchmarks.uplift import StudySettings, draw_shop, estimates, run_estimates, summarise_estimates
from repricer.benchmarks.uplift.estimates import estimate_shop
from repricer.cli import main
from repricer.jobs import store

SETTINGS = StudySettings("chain-deals")
SHOPS = range(2)


@pytest.fixture(scope="module")
def rows():
    """Estimates of a few shops, with a posterior of few draws."""
    return [estimate_shop(SETTINGS, seed, draws=40) for seed in SHOPS]


def test_with_the_chains_deals_left_out_the_true_response_is_found_and_with_them_it_is_far_off(rows):
    found = summarise_estimates(rows)
    assert found["shops"] == len(SHOPS)
    assert found["error"] < 0.4
    assert found["bias_without"] < -0.8
    assert found["covered"] == 2


def test_intervals_are_of_the_fitted_demand_around_its_response(rows):
    for row in rows:
        low, high = row["interval90"]
        assert low < high < 0
        assert row["covered"] == (low <= row["response"] <= high)
        shop = draw_shop("chain-deals", row["seed"]).parameters
        assert row["response"] == pytest.approx(-np.average(shop.elasticity, weights=shop.units))
    assert json.loads(json.dumps(rows)) == rows


def test_the_true_response_between_stores_is_the_slope_of_customers_who_are_alike():
    """Where all products and zones have one slope, any weights give it."""
    shop = draw_shop("chain-deals", 0)
    same = replace(shop.responses[0], slope=np.full(6, 1.7))
    history = replace(shop.deals, sensitivity=np.ones(24))
    alike = replace(shop, responses=(same, shop.responses[1]), history=history)
    products = ["a", "b", "c", "d", "e", "f"]
    found = estimates._between_stores(estimates._at_regular_prices(alike, 0, products), products)
    assert found == pytest.approx(-1.7, abs=0.01)


def test_figures_by_hand():
    row = {"seed": 0, "response": -2.0, "interval90": [-2.5, -1.5], "covered": True, "cpu_seconds": 4.0}
    rows = [
        row | {"true": [-2.0, -1.0], "estimate": [-2.2, -0.9], "without": [-3.0, -2.0]},
        row | {"true": [-1.5], "estimate": [-1.5], "without": [-1.2], "covered": False, "cpu_seconds": 6.0},
    ]
    found = summarise_estimates(rows)
    assert found["true"] == pytest.approx(-1.5)
    assert found["error"] == pytest.approx(0.1)
    assert found["bias"] == pytest.approx(-0.1 / 3)
    assert found["error_without"] == pytest.approx(2.3 / 3)
    assert found["bias_without"] == pytest.approx(-1.7 / 3)
    assert (found["shops"], found["covered"], found["cpu_seconds"]) == (2, 1, 5.0)


def test_other_families_are_refused(tmp_path):
    with pytest.raises(ValueError, match="truth must be chain-deals, whose stores sit out deals; got 'clean'; take"):
        run_estimates(StudySettings("clean"), [0], tmp_path)


def test_the_command_prints_a_row_a_shop_and_resumes(rows, tmp_path, monkeypatch):
    seeds = []

    def one(settings, seed):
        seeds.append(seed)
        return rows[seed]

    monkeypatch.setattr(estimates, "estimate_shop", one)
    monkeypatch.setattr(store, "results", lambda jobs, place, scratch: ((job, job.run(scratch)) for job in jobs))
    command = ["bench", "estimates", "--shops", "2", "--jobs", "1", "--out", str(tmp_path)]
    first = CliRunner().invoke(main, [*command, "--json"])
    assert first.exit_code == 0, first.output
    assert f"2 of 2: chain-deals 1: response {rows[1]['response']:.2f}" in first.stderr
    document = json.loads(first.stdout)
    assert document["shops"] == rows
    assert document["summary"] == summarise_estimates(rows)
    table = CliRunner().invoke(main, command, env={"COLUMNS": "200"}).stdout
    assert seeds == [0, 1]
    assert f"{rows[1]['response']:.2f}" in table
    assert f"Mean error of the estimate: {document['summary']['error']:.2f}" in table

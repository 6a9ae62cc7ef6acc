"""`repricer evaluate` on a market with a posterior."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from repricer.cli import main
from repricer.scenarios import save_scenario, spec_from_table


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A folder with a shop whose customers are less price-sensitive than its prices suppose."""
    spec = spec_from_table(
        {
            "name": "tea-and-coffee",
            "version": 1,
            "market": {"horizon_periods": 6, "period": "week", "objective": "profit"},
            "products": {"names": ["tea", "coffee"], "regular_price": [2.0, 3.5], "unit_cost": [1.5, 3.0]},
            "arrivals": {"rate": 40.0},
            "demand": {"quality": [[2.0, 2.5]], "price_sensitivity": [[0.9, 0.6]]},
            "prices": {"floor": [1.5, 3.0], "ceiling": [5.0, 8.0]},
            "posterior": {"draws": 50, "sensitivity": np.exp(0.1 * np.random.default_rng(0).normal(size=(50, 2)))},
        }
    )
    return str(save_scenario(spec, tmp_path_factory.mktemp("shop") / "shop"))


def _run(*arguments):
    result = CliRunner().invoke(main, ["evaluate", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_document_has_the_draws_and_the_recommendation(shop):
    document = json.loads(_run(shop, "--policy", "regular", "--episodes", "20", "--draws", "40", "--json"))
    found = document["uncertainty"]
    assert (found["draws"], found["risk"], found["own"], found["recommended"]) == (40, "mean", "regular", "best-fixed")
    rows = {row["policy"]: row for row in document["policies"]}
    assert rows["best-fixed"]["vs_own"] == rows["best-fixed"]["vs_regular"] == found["gain"]["profit"]["vs_own"]
    assert rows["best-fixed"]["vs_own"]["interval90"][0] > 0
    careful = json.loads(_run(shop, "--policy", "regular", "--episodes", "20", "--risk", "cvar:0.2", "--json"))
    assert careful["uncertainty"]["risk"] == "cvar:0.2"
    assert careful["uncertainty"]["draws"] == 50


def test_the_verdict_stands_below_the_table(shop):
    text = " ".join(_run(shop, "--policy", "regular", "--episodes", "20", "--draws", "40").split())
    assert "Recommended: the best fixed prices. Expected to earn" in text
    assert "more profit than your current prices in these 6 weeks (90% interval" in text


def test_a_market_without_a_posterior_has_no_verdict():
    text = _run("stationary-logit", "--policy", "fixed:9", "--episodes", "20")
    assert "ecommend" not in text


def test_wrong_options_are_one_line(shop):
    for market, options, words in (
        (shop, ("--risk", "median"), "objective must be mean or cvar:SHARE"),
        (shop, ("--draws", "51"), "draws must lie in 1 to 50, those of tea-and-coffee; got 51"),
        ("stationary-logit", ("--draws", "5"), "draws and risk need a market with a posterior; got stationary-logit"),
        ("stationary-logit", ("--risk", "cvar:0.1"), "draws and risk need a market with a posterior"),
    ):
        result = CliRunner().invoke(main, ["evaluate", market, "--policy", "regular", "--episodes", "20", *options])
        assert result.exit_code == 2
        assert words in result.output

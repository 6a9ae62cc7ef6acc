"""`evaluate --informed`: what knowing the customers would add, and that it needs customers who are not known."""

import json
from dataclasses import replace

import numpy as np
from click.testing import CliRunner
from repricer.cli import main
from repricer.scenarios import load_scenario, save_scenario
from repricer.scenarios.sections import Posterior


def evaluate(scenario, *options: str):
    asked = ["evaluate", str(scenario), "--policy", "regular", "--episodes", "2", "--informed", *options]
    return CliRunner().invoke(main, asked)


def test_what_knowing_the_customers_adds_is_said(tmp_path):
    spec = replace(
        load_scenario("stationary-logit"), posterior=Posterior(draws=2, sensitivity=np.array([[0.5], [1.5]]))
    )
    save_scenario(spec, tmp_path / "market")
    found = evaluate(tmp_path / "market", "--json")
    assert found.exit_code == 0, found.output
    informed = json.loads(found.stdout)["informed"]
    assert informed["draws"] == 2
    assert informed["informed"] >= informed["plan"] > 0
    assert "If the customers were known" in evaluate(tmp_path / "market").stdout


def test_a_market_without_a_posterior_is_refused():
    found = evaluate("stationary-logit")
    assert found.exit_code == 2
    assert "--informed needs a market with a posterior; got stationary-logit" in found.stderr

"""`repricer evaluate --fairness`, and the section of the report."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from repricer.cli import main
from repricer.evaluation import evaluate, group_figures
from repricer.evaluation.report import ReportData, write_report
from repricer.scenarios import load_scenario, save_scenario
from repricer.scenarios.sections import Fairness


@pytest.fixture(scope="module")
def market(tmp_path_factory) -> str:
    fairness = Fairness(("young", "old"), ("age", "age"), np.array([[0.25, 0.75], [0.8, 0.2]]))
    spec = replace(load_scenario("segment-prices"), name="fair", fairness=fairness)
    return str(save_scenario(spec, tmp_path_factory.mktemp("shop") / "fair"))


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["evaluate", *arguments])
    assert result.exit_code == code, result.output
    return result.output if code else result.stdout


def test_a_table_and_its_document(market):
    asked = (market, "--policy", "optimum", "--episodes", "10", "--fairness")
    text = " ".join(run(*asked).split())
    assert "optimum against regular: prices and surplus by group" in text
    assert "By age, the same basket costs 'young'" in text
    (found,) = json.loads(run(*asked, "--json"))["fairness"]
    assert [row["name"] for row in found["groups"]] == ["careful", "keen", "young", "old"]
    assert [row["kind"] for row in found["gaps"]] == ["segment", "age"]
    assert "fairness" not in json.loads(run(*asked[:-1], "--json"))
    assert "give --from-log, or --stress, --fairness and --informed" in run(*asked, "--from-log", market, code=2)


def test_the_report_has_a_section_for_a_market_with_groups(market, tmp_path):
    spec = load_scenario(market)
    comparison = evaluate(spec, ["optimum"], episodes=5)
    groups = group_figures(spec, "optimum", episodes=1)
    pages = [
        write_report(tmp_path / f"{n}.html", ReportData(comparison, groups=own)).read_text("utf-8")
        for n, own in enumerate((groups, None))
    ]
    assert ["Prices and surplus by group" in page for page in pages] == [True, False]
    assert '<th scope="row">young</th><td>age</td>' in pages[0]

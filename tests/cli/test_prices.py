"""`repricer prices` writes the recommended prices as a list; `repricer price` writes no workbook that is none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import openpyxl
import pytest
from click.testing import CliRunner
from repricer.cli.price import command as price_command
from repricer.cli.prices import command
from repricer.evaluation import evaluate
from repricer.planning.price_list import price_list
from repricer.scenarios import load_scenario
from repricer.scenarios.loading import save_scenario
from repricer.scenarios.sections import Posterior
from repricer.serving.price_list.files import read_list
from repricer.serving.price_list.summary import read_summary


@pytest.fixture
def market(tmp_path: Path) -> Path:
    spec = load_scenario("stationary-logit").with_changes(
        market={"first_day": "2018-01-01", "period": "week", "period_days": 7}
    )
    drawn = replace(spec, posterior=Posterior(draws=2, arrivals=[[[0.9]], [[1.1]]]))
    return save_scenario(drawn, tmp_path / "market")


def test_the_list_has_every_product_and_week(market: Path, tmp_path: Path) -> None:
    out = tmp_path / "lists" / "prices.xlsx"
    found = CliRunner().invoke(command, [str(market), "--out", str(out), "--zone", "north", "--json"])
    assert found.exit_code == 0, found.output
    facts, rows = json.loads(found.stdout), read_list(out)
    assert (facts["rows"], facts["weeks"], facts["first"]) == (len(rows), 30, "2018-01-01")
    assert facts["recommended"]
    assert {row.zone for row in rows} == {"north"}


def test_the_summary_lies_beside_the_list(market: Path, tmp_path: Path) -> None:
    out = tmp_path / "prices.xlsx"
    assert CliRunner().invoke(command, [str(market), "--out", str(out)]).exit_code == 0
    summary = read_summary(out, rows := read_list(out))
    assert summary is not None
    assert {(one.zone, one.product_id) for one in summary.products} == {(row.zone, row.product_id) for row in rows}
    assert openpyxl.load_workbook(out)["summary"].cell(1, 1).value == summary.zones[0].verdict


@pytest.mark.usefixtures("no_pictures")
def test_the_report_has_the_same_list(market: Path, tmp_path: Path) -> None:
    CliRunner().invoke(command, [str(market), "--out", str(tmp_path / "prices.csv")])
    listed = price_list(evaluate(load_scenario(market), ["best-fixed"], episodes=5), seed=0)
    assert [row.new_price for row in listed] == [row.new_price for row in read_list(tmp_path / "prices.csv")]
    assert price_list(evaluate("stationary-logit", ["regular"], episodes=5), seed=0) == []


def test_what_cannot_be_a_list_is_refused(market: Path, tmp_path: Path) -> None:
    wrong = CliRunner().invoke(command, [str(market), "--out", str(tmp_path / "prices.pdf")])
    assert "--out must end in .csv or .xlsx" in str(wrong.exception)
    wrong = CliRunner().invoke(command, ["three-stocks", "--out", str(tmp_path / "prices.csv")])
    assert "needs a market fitted on data; got three-stocks" in str(wrong.exception)
    asked = [str(market), "--policy", "myopic", "--out", str(tmp_path / "prices.csv")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("repricer.cli.prices.policy_of", None)  # it is refused before any policy is worked out
        refused = CliRunner().invoke(command, asked)
    assert "--policy must be a run folder or a bundle; got myopic" in str(refused.exception)
    assert list(tmp_path.iterdir()) == [tmp_path / "market"]


def test_prices_of_a_batch_are_no_workbook(tmp_path: Path) -> None:
    batch = ["--batch", str(tmp_path / "in.csv"), "--out", str(tmp_path / "prices.xlsx")]
    wrong = CliRunner().invoke(price_command, [str(tmp_path), *batch])
    assert "--out must end in .csv; got" in str(wrong.exception)

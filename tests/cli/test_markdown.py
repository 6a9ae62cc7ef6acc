"""`repricer markdown`: from a stock table to a price list."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from repricer.cli._options import output
from repricer.cli.markdown import _parts, command
from repricer.planning.markdown import StockRow, plan_markdown
from repricer.scenarios import load_scenario
from repricer.scenarios.loading import save_scenario
from repricer.scenarios.sections import Posterior
from repricer.serving.price_list.files import read_list


@pytest.fixture
def market(tmp_path: Path) -> Path:
    spec = load_scenario("stationary-logit").with_changes(
        market={"first_day": "2018-01-01", "period": "week", "period_days": 7}
    )
    drawn = replace(spec, posterior=Posterior(draws=2, arrivals=np.array([[[0.9]], [[1.1]]])))
    return save_scenario(drawn, tmp_path / "market")


def test_a_stock_table_becomes_a_price_list(market: Path, tmp_path: Path) -> None:
    stock, out = tmp_path / "stock.csv", tmp_path / "lists" / "markdown.xlsx"
    stock.write_text("product,on_hand,price\nunit,10,11\n")
    asked = [str(stock), "--market", str(market), "--until", "2018-02-11", "--out", str(out)]
    found = CliRunner().invoke(command, [*asked, "--json"])
    assert found.exit_code == 0, found.output
    facts, rows = json.loads(found.stdout), read_list(out)
    (product,) = facts["products"]
    assert product["met"]
    assert product["probability"] >= 0.95
    assert product["changes"] <= 3
    assert [row.current_price for row in rows] == [11.0] * 6
    prices = [row.new_price for row in rows]
    assert prices == sorted(prices, reverse=True)
    assert prices[0] < 11
    assert product["path"][0] == {"from": "2018-01-01", "price": prices[0]}
    assert "units are expected to be sold by 2018-02-11" in rows[0].reason
    said = CliRunner().invoke(command, asked)
    assert "1 of 1 products meet the target" in said.stdout


def test_a_schedule_that_falls_just_short_is_named(market: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_markdown(load_scenario(market), [StockRow("unit", 10)], "2018-02-11")
    short = replace(plan.products[0], probability=0.948, met=False)
    calendar = plan.spec.calendar
    assert calendar is not None
    output(False, {}, *_parts(replace(plan, products=(short,)), calendar, Path("list.xlsx")))
    said = capsys.readouterr().out
    assert "94.8%" in said
    assert "short of it in other seasons than those planned on: unit; ask for more --confidence" in said
    assert "0 of 1 products meet the target" in said


def test_a_target_out_of_reach_is_said_and_the_list_written(market: Path, tmp_path: Path) -> None:
    stock, out = tmp_path / "stock.csv", tmp_path / "markdown.csv"
    stock.write_text("product,on_hand\nunit,400\n")
    asked = [str(stock), "--market", str(market), "--until", "2018-02-11", "--out", str(out)]
    said = CliRunner().invoke(command, asked)
    assert said.exit_code == 0, said.output
    assert "unit: The target cannot be met with 95% confidence; at the prices that sell the most" in said.stdout
    assert len(read_list(out)) == 6
    out.unlink()
    stock.write_text("product,on_hand\nunits,400\n")
    wrong = CliRunner().invoke(command, asked)
    assert "did you mean 'unit'?" in str(wrong.exception)
    assert not out.exists()

"""`repricer prices` writes the recommended prices as a list; `repricer price` writes no workbook that is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from repricer.cli.price import command as price_command
from repricer.cli.prices import command
from repricer.evaluation import evaluate, uncertainty
from repricer.planning.kept_list import KEPT
from repricer.planning.price_list import price_list
from repricer.scenarios import load_scenario
from repricer.scenarios.loading import save_scenario
from repricer.scenarios.sections import Posterior
from repricer.serving.price_list.files import read_list


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


@pytest.mark.usefixtures("no_pictures")
def test_the_report_has_the_same_list(market: Path, tmp_path: Path) -> None:
    CliRunner().invoke(command, [str(market), "--out", str(tmp_path / "prices.csv")])
    listed = price_list(evaluate(load_scenario(market), ["best-fixed"], episodes=5), seed=0)
    assert [row.new_price for row in listed] == [row.new_price for row in read_list(tmp_path / "prices.csv")]
    assert price_list(evaluate("stationary-logit", ["regular"], episodes=5), seed=0) == []


def test_a_list_is_kept_and_not_compared_again(market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def listed(name: str, *options: str) -> tuple[bytes, str]:
        done = CliRunner().invoke(command, [str(market.parent), "--out", str(tmp_path / name), *options])
        assert done.exit_code == 0, done.output
        return (tmp_path / name).read_bytes(), done.stderr

    first, said = listed("first.csv")
    assert said == ""
    with monkeypatch.context() as patch:
        patch.setattr(uncertainty, "assess", None)
        for options in ((), ("--draws", "2")):
            again, said = listed("again.csv", *options)
            assert again == first
            assert "compared before" in said
        listed("north.csv", "--zone", "north")
        assert {row.zone for row in read_list(tmp_path / "north.csv")} == {"north"}
    for option, changed in (("--seed=1", "seed"), ("--draws=1", "draws, seed"), ("--risk=cvar:0.5", "draws, risk")):
        assert f"is not used, as other inputs made it ({changed})" in listed("other.csv", option)[1]
    listed("again.csv")
    market.write_text(market.read_text("utf-8").replace("stationary-logit", "edited"), "utf-8")
    assert "is not used, as other inputs made it (market)" in listed("again.csv")[1]


@pytest.mark.parametrize(
    ("edit", "said"),
    [(lambda text: text[:-9], "it cannot be read"), (lambda text: text.replace(b"11.", b"10."), "rows were edited")],
)
def test_a_kept_list_that_was_damaged_is_not_used(
    market: Path, tmp_path: Path, edit: Callable[[bytes], bytes], said: str
) -> None:
    asked = [str(market.parent), "--out", str(tmp_path / "prices.csv")]
    CliRunner().invoke(command, asked)
    kept, wanted = market.parent / KEPT, (tmp_path / "prices.csv").read_bytes()
    kept.write_bytes(edit(kept.read_bytes()))
    assert said in CliRunner().invoke(command, asked).stderr
    assert (tmp_path / "prices.csv").read_bytes() == wanted


def test_a_folder_that_cannot_keep_the_list_is_said(
    market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("repricer.planning.kept_list.write_whole", refused)
    done = CliRunner().invoke(command, [str(market.parent), "--out", str(tmp_path / "prices.csv")])
    assert "is not kept for the next time" in done.stderr
    assert read_list(tmp_path / "prices.csv")


def test_what_cannot_be_a_list_is_refused(market: Path, tmp_path: Path) -> None:
    wrong = CliRunner().invoke(command, [str(market), "--out", str(tmp_path / "prices.pdf")])
    assert "--out must end in .csv or .xlsx" in str(wrong.exception)
    wrong = CliRunner().invoke(command, ["three-stocks", "--out", str(tmp_path / "prices.csv")])
    assert "needs a market fitted on data; got three-stocks" in str(wrong.exception)
    asked = [str(market), "--policy", "myopic", "--out", str(tmp_path / "prices.csv")]
    assert "--policy must be a run folder or a bundle; got myopic" in str(CliRunner().invoke(command, asked).exception)
    assert list(tmp_path.iterdir()) == [tmp_path / "market"]


def test_prices_of_a_batch_are_no_workbook(tmp_path: Path) -> None:
    batch = ["--batch", str(tmp_path / "in.csv"), "--out", str(tmp_path / "prices.xlsx")]
    wrong = CliRunner().invoke(price_command, [str(tmp_path), *batch])
    assert "--out must end in .csv; got" in str(wrong.exception)

"""A decided list is checked, recorded and then live: all of it, or nothing."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import openpyxl
import pytest
from click.testing import CliRunner, Result
from repricer.cli import main
from repricer.serving import ChainError, DecisionLog
from repricer.serving.price_list.files import write_list
from repricer.serving.price_list.live import read_live
from repricer.serving.price_list.rows import COLUMNS, PriceRow


@pytest.fixture
def listed(price_rows: list[PriceRow], tmp_path: Path) -> Path:
    write_list(tmp_path / "prices.xlsx", price_rows)
    return tmp_path / "prices.xlsx"


@pytest.fixture
def approve(dated_bundle: Path, listed: Path) -> Any:
    """Runs the command on the list, by Ann unless said otherwise."""

    def run(*more: Any, by: str = "Ann") -> Result:
        log = listed.with_name("log.db")
        call = ["approve", listed, "--bundle", dated_bundle, "--by", by, "--log", log, *more]
        return CliRunner().invoke(main, list(map(str, call)))

    return run


def edit(path: Path, *cells: tuple[int, str, Any]) -> None:
    """Change cells of the workbook, by row and column, as an analyst would."""
    book = openpyxl.load_workbook(path)
    for row, column, value in cells:
        book["prices"].cell(row, COLUMNS.index(column) + 1).value = value
    book.save(path)


def live_rows(path: Path) -> list[dict[str, str]]:
    with path.with_name("live.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def recorded(path: Path) -> list[dict[str, Any]]:
    with closing(DecisionLog(path.with_name("log.db"))) as log:
        log.verify()
        return list(log.export_approvals())


def test_decisions_are_recorded_and_live(approve: Any, listed: Path, price_rows: list[PriceRow]) -> None:
    other = round(price_rows[7].new_price - 0.05, 2)
    edit(
        listed,
        (9, "status", "overridden"),
        (9, "decided_price", other),
        (9, "decision_reason", "the rival is at it"),
        (9, "decided_by", "Bob"),
        (25, "status", "postponed"),
        (25, "decision_reason", "+ ask the buyer"),
    )
    done = approve("--rest", "approved", "--json")
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert (facts["rows"], facts["new"]) == (24, 24)
    assert (facts["approved"], facts["overridden"], facts["postponed"]) == (22, 1, 1)
    live = live_rows(listed)
    prices = [row.new_price for row in price_rows]
    prices[7], prices[23] = other, price_rows[23].current_price
    assert [float(row["price"]) for row in live] == prices
    assert live[7]["decided_by"] == "Bob"
    back = read_live(listed.with_name("live.csv"))
    assert [(row.product_id, row.week, row.price) for row in back] == [
        (row.product_id, row.week, price) for row, price in zip(price_rows, prices, strict=True)
    ]
    assert back[23].decision_reason == "+ ask the buyer"
    assert live[23]["decision_reason"] == "'+ ask the buyer"
    log = recorded(listed)
    assert [row["price"] for row in log] == [float(row["price"]) for row in live]
    assert (log[7]["decided_by"], log[7]["reason"], log[7]["proposal"]) == (
        "Bob",
        "the rival is at it",
        price_rows[7].check,
    )
    assert {row["decided_by"] for row in log} == {"Ann", "Bob"}


def test_the_same_list_again_changes_nothing(approve: Any, listed: Path) -> None:
    approve("--rest", "approved")
    before, written = recorded(listed), listed.with_name("live.csv").read_bytes()
    again = approve("--rest", "approved")
    assert "0 new decisions recorded" in again.output
    assert recorded(listed) == before
    assert listed.with_name("live.csv").read_bytes() == written
    # A decision that was changed is recorded beside the first one.
    edit(listed, (9, "status", "postponed"), (9, "decision_reason", "later"))
    assert "1 new decision" in approve("--rest", "approved").output
    assert [row["status"] for row in recorded(listed)][-1] == "postponed"


def test_nothing_is_live_unless_all_is_right(approve: Any, listed: Path, price_rows: list[PriceRow]) -> None:
    edit(
        listed,
        (2, "status", "overridden"),
        (2, "decided_price", 9.0),
        (2, "decision_reason", "x"),
        (4, "status", "overridden"),
        (4, "decided_price", round(price_rows[2].new_price, 2) + 0.011),
        (4, "decision_reason", "x"),
    )
    wrong = approve("--rest", "approved")
    assert wrong.exit_code == 2
    lines = wrong.stderr.splitlines()
    assert "prices.xlsx, row 2, column decided_price: the price must keep the price rule" in lines[0]
    assert (
        "max_change (the price changes by at most this share of the current price, or as far as is planned anyway)"
        in lines[0]
    )
    assert "got 9 for 'anchovy' in the week of 2018-01-01; 2.4 would be allowed" in lines[0]
    assert any("row 4, column decided_price" in line and "price_ladder" in line for line in lines)
    assert not listed.with_name("live.csv").exists()
    assert not listed.with_name("log.db").exists()


def test_what_is_missing_or_strange_is_named(approve: Any, listed: Path, price_rows: list[PriceRow]) -> None:
    undecided = approve()
    assert "every row must be decided; got proposed in 24 rows (2, 3, 4, 5, 6 and 19 more)" in undecided.stderr
    write_list(listed, price_rows[1:])
    missing = approve("--rest", "approved")
    assert "must have a row for every product in zone 'all stores', week 2018-01-01; got none for 'anchovy'" in (
        missing.stderr
    )
    write_list(listed, [msgspec.structs.replace(row, product="tuna") for row in price_rows[:1]])
    assert "column check" in approve("--rest", "approved").stderr
    write_list(listed, price_rows)
    assert "--by must be the name of who decides" in approve("--rest", "approved", by=" ").stderr


def test_a_week_without_prices_between_others_is_named(approve: Any, listed: Path, price_rows: list[PriceRow]) -> None:
    first, second, *_ = weeks = sorted({row.week for row in price_rows})
    write_list(listed, [row for row in price_rows if row.week != second])
    result = approve("--rest", "postponed")
    assert (
        f"must have rows for all weeks between its first and its last in zone 'all stores'; got none for {second}"
        in (result.stderr)
    )
    assert not listed.with_name("live.csv").exists()
    write_list(listed, [row for row in price_rows if row.week not in (first, weeks[-1])])
    assert approve("--rest", "postponed").exit_code == 0


def test_the_log_shows_a_changed_approval(approve: Any, listed: Path) -> None:
    approve("--rest", "approved")
    with closing(sqlite3.connect(listed.with_name("log.db"))) as db, db:
        db.executescript(
            "DROP TRIGGER approvals_stay; UPDATE approvals SET body = replace(body, 'approved', 'declined') WHERE id = 2"
        )
    with pytest.raises(ChainError, match="approvals: row 2 must hold what was written"):
        recorded(listed)

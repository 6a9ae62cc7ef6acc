"""A decided list is checked, recorded and then live: all of it, or nothing."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import openpyxl
import pytest
from click.testing import CliRunner, Result
from repricer.cli import main
from repricer.serving import ChainError, DecisionLog, load_bundle
from repricer.serving.bundle.codec import guardrails_document, guardrails_from
from repricer.serving.price_list.approval import check_decisions
from repricer.serving.price_list.files import read_live, write_list
from repricer.serving.price_list.rows import COLUMNS, ListError, PriceRow


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
        return list(log.events("approval"))


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
        "rule ceiling (the price is at most the ceiling); got 9 for 'anchovy' in the week of 2018-01-01; 4 " in lines[0]
    )
    assert len(lines) == 1
    assert not listed.with_name("live.csv").exists()
    assert not listed.with_name("log.db").exists()


def override(listed: Path, row: int, price: float) -> None:
    edit(listed, (row, "status", "overridden"), (row, "decided_price", price), (row, "decision_reason", "x"))


def test_an_override_that_leaves_a_rule_is_live_with_its_cost(
    approve: Any, listed: Path, price_rows: list[PriceRow], dated_bundle: Path
) -> None:
    price = 1.613
    override(listed, 9, price)
    done = approve("--rest", "approved", "--json")
    assert done.exit_code == 0, done.output
    rule, total = json.loads(done.stdout)["warnings"]
    assert rule.startswith(
        f"prices.xlsx, row 9: {price:g} for 'anchovy' in the week of 2018-02-19 leaves the price rule max"
    )
    assert f"warning: {rule}" in done.stderr
    assert float(live_rows(listed)[7]["price"]) == price
    bundle = load_bundle(dated_bundle)
    assert bundle.response is not None
    wanted = np.array([row.new_price for row in price_rows]).reshape(3, 8).T
    regular, money = bundle.catalogue.regular_price, []
    for asked in (wanted[7, 0], price, float(rule.split("; ")[1].split()[0])):
        prices = np.array([asked, *wanted[7, 1:]])
        units = bundle.response.units(7, prices[None], reference=regular)[0].sum(axis=0)
        money.append(((prices - bundle.guardrails.unit_cost) * units).sum())
    less = money[0] - money[1]
    assert total == (
        f"prices.xlsx: 1 overridden prices are expected to earn {abs(less):,.2f} currency {'less' if less > 0 else 'more'} "
        "profit than the proposed ones"
    )
    assert f"earn {abs(money[2] - money[1]):,.2f} currency {'more' if money[2] > money[1] else 'less'} profit" in rule


def test_bounds_of_the_sales_alone_give_way_to_a_person(dated_bundle: Path, price_rows: list[PriceRow]) -> None:
    """A floor that is a quantile of last year refuses no manager's price, nor does a freeze; one that the shop set does."""
    bundle = load_bundle(dated_bundle)
    rows = [
        msgspec.structs.replace(row, status="overridden", decided_price=price, decision_reason="x")
        for row, price in [(price_rows[0], 4.49), (price_rows[8], 3.5)]
    ]
    rows = [rows[0], *price_rows[1:8], rows[1], *price_rows[9:]]
    with pytest.raises(ListError) as refused:
        check_decisions("list", rows, bundle)
    first, second = refused.value.mistakes
    assert "rule ceiling (the price is at most the ceiling); got 4.49 for 'anchovy'" in first
    assert (
        "rule frozen (the price of a frozen product does not change, or only as planned); got 3.5 for 'biscuit'"
        in second
    )
    soft = replace(bundle, guardrails=replace(bundle.guardrails, bounds_from_sales=np.array([True, True, False])))
    said = check_decisions("list", rows, soft)
    assert any("4.49 for 'anchovy'" in line and "earn" in line for line in said)
    assert any("3.5 for 'biscuit'" in line and "frozen" in line for line in said)
    # The minimum margin of 20% over a unit cost of 1 still holds.
    low = [msgspec.structs.replace(rows[0], decided_price=1.24), *rows[1:]]
    with pytest.raises(ListError, match=r"rule minimum margin .*; got 1.24 for 'anchovy' .*; 1.25 would be allowed"):
        check_decisions("list", low, soft)
    assert not check_decisions("list", price_rows, bundle)


def test_a_bundle_keeps_which_bounds_are_soft(dated_bundle: Path) -> None:
    rules = replace(load_bundle(dated_bundle).guardrails, bounds_from_sales=np.array([True, False, False]))
    document = guardrails_document(rules)
    assert guardrails_from(json.loads(json.dumps(document)), 3, 1).bounds_from_sales.tolist() == [True, False, False]


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
        db.executescript("UPDATE events SET body = replace(body, 'approved', 'declined') WHERE id = 2")
    with pytest.raises(ChainError, match="events: row 2 must hold what was written"):
        recorded(listed)

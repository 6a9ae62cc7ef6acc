"""Price lists go through files and back; wrong cells are named; nothing in them is ever a formula."""

from __future__ import annotations

import csv
import datetime as dt
from pathlib import Path

import msgspec
import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from repricer.serving.price_list.files import read_list, write_list
from repricer.serving.price_list.rows import COLUMNS, ListError, PriceRow

from .conftest import make_row

FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "'=1", "''", "=cmd|' /C calc'!A0")
any_text = st.text(st.characters(codec="utf-8", exclude_characters="\ufffe\uffff"), max_size=40)
money = st.floats(-1e15, 1e15, allow_nan=False)
any_row = st.builds(
    make_row,
    product=st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=20),
    product_id=st.sampled_from(["0012", "1e5", "7.0", "TRUE", "2018-01-01", "_x0041_", *"=+-@"]),
    week=st.dates(dt.date(1901, 1, 1), dt.date(2200, 1, 1)),
    new_price=st.floats(1e-9, 1e9),
    reason=any_text,
    expected_units=st.none() | money,
    profit_low=money,
    outside_charged=any_text,
)


def test_every_column_is_written_read_and_explained(tmp_path: Path) -> None:
    write_list(tmp_path / "prices.xlsx", [make_row()], currency="dollars")
    book = openpyxl.load_workbook(tmp_path / "prices.xlsx")
    sheet, notes = book["prices"], book["notes"]
    assert tuple(cell.value for cell in sheet[1]) == COLUMNS
    assert {row[0].value for row in notes} >= set(COLUMNS)
    assert any("dollars" in str(row[1].value) for row in notes)
    assert sheet.freeze_panes == "D2"
    assert sheet.auto_filter.ref == sheet.dimensions == "A1:AB2"
    (choice,) = sheet.data_validations.dataValidation
    assert choice.formula1 == '"proposed,approved,overridden,postponed"'
    assert sheet[str(choice.sqref)].value == "proposed"
    formats = {name: cell.number_format for name, cell in zip(COLUMNS, sheet[2], strict=True)}
    assert (formats["week"], formats["change"], formats["new_price"]) == ("yyyy-mm-dd", "0.0%", "#,##0.00")


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_spreadsheet_s_other_separator_is_said_once(tmp_path: Path, separator: str) -> None:
    write_list(path := tmp_path / "prices.csv", [make_row()])
    path.write_text(path.read_text(encoding="utf-8").replace(",", separator), encoding="utf-8")
    with pytest.raises(ListError) as raised:
        read_list(path)
    assert raised.value.mistakes == [
        f"prices.csv must have commas between its fields; got {separator!r}; save it with commas, or decide in the "
        "workbook (.xlsx)"
    ]


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(any_row, max_size=4, unique_by=lambda row: row.key))
def test_rows_come_back_as_they_were(tmp_path: Path, ending: str, rows: list[PriceRow]) -> None:
    write_list(tmp_path / f"prices.{ending}", rows)
    assert read_list(tmp_path / f"prices.{ending}") == rows


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    printable = [text for text in FORMULAS if text.isprintable()]
    rows = [make_row(product=text, reason=text) for text in printable]
    rows += [make_row(product=f"p{i}", reason=text) for i, text in enumerate(FORMULAS)]
    for ending in ("csv", "xlsx"):
        write_list(tmp_path / f"prices.{ending}", rows)
        assert read_list(tmp_path / f"prices.{ending}") == rows
    for line in openpyxl.load_workbook(tmp_path / "prices.xlsx")["prices"].iter_rows():
        assert {cell.data_type for cell in line} <= {"s", "n", "d"}
    with (tmp_path / "prices.csv").open(encoding="utf-8", newline="") as file:
        cells = [cell for line in list(csv.reader(file))[1:] for cell in line]
    assert not [cell for cell in cells if cell.startswith(tuple("=+-@\t\r\n＝"))]


def test_another_library_edits_a_workbook(tmp_path: Path) -> None:
    rows = [make_row(), make_row(product="=coffee")]
    write_list(tmp_path / "prices.xlsx", rows)
    book = openpyxl.load_workbook(tmp_path / "prices.xlsx")
    sheet, at = book["prices"], COLUMNS.index
    for name, value in (("status", "overridden"), ("decided_price", 2), ("decision_reason", "as the rival")):
        sheet.cell(2, at(name) + 1).value = value
    sheet.cell(9, 1).value = ""  # an empty row below, as an editor may leave one
    book.save(tmp_path / "edited.xlsx")
    decided = msgspec.structs.replace(rows[0], status="overridden", decided_price=2.0, decision_reason="as the rival")
    assert read_list(tmp_path / "edited.xlsx") == [decided, rows[1]]


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_every_wrong_cell_is_named(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"prices.{ending}"
    row = msgspec.structs.asdict(make_row())
    wrong = [
        row | {"status": "aproved", "current_price": "two"},
        row | {"product_id": "", "week": "1/2/2018", "parameter_share": 1.5},
    ]
    if ending == "csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([COLUMNS, *(line.values() for line in wrong)])
    else:
        book = openpyxl.Workbook()
        for line in (COLUMNS, *(line.values() for line in wrong)):
            book.active.append(list(line))
        book.save(path)
    with pytest.raises(ListError) as caught:
        read_list(path)
    assert [line.replace(f"prices.{ending}, ", "") for line in caught.value.mistakes] == [
        "row 2, column current_price: must be a number above 0 to 1e+09; got 'two'; fix it",
        "row 2, column status: must be one of proposed, approved, overridden, postponed; got 'aproved'; did you mean 'approved'?",
        "row 3, column product_id: must be 1 to 200 printable characters; got an empty cell; fill it",
        "row 3, column week: must be YYYY-MM-DD; got '1/2/2018'; fix it",
        "row 3, column parameter_share: must be a number from 0 to 1, or null; got 1.5; fix it",
    ]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"new_price": 1.0}, "column check: the columns before status must be as they were proposed"),
        ({"status": "overridden", "decision_reason": "x"}, "column decided_price: must hold the price to charge"),
        ({"status": "approved", "decided_price": 1.0}, "column decided_price: must be empty where status is approved"),
        ({"status": "postponed"}, "column decision_reason: must say why where status is postponed"),
    ],
)
def test_decisions_must_fit_together(tmp_path: Path, edit: dict[str, object], said: str) -> None:
    write_list(tmp_path / "prices.csv", [msgspec.structs.replace(make_row(), **edit)])
    with pytest.raises(ListError, match=f"prices.csv, row 2, {said}"):
        read_list(tmp_path / "prices.csv")


def test_a_row_stands_once(tmp_path: Path) -> None:
    write_list(tmp_path / "prices.csv", [make_row(), make_row()])
    with pytest.raises(ListError, match="row 3, column product: must be unique by zone and week; got 'tea' of row 2"):
        read_list(tmp_path / "prices.csv")


def test_the_header_must_be_that_of_a_list(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text("zone,product,prise\n")
    with pytest.raises(ListError, match=r"row 1: must have known columns; got 'prise'; did you mean"):
        read_list(path)
    path.write_bytes(b"\xff")
    with pytest.raises(ListError, match=r"must be CSV in UTF-8"):
        read_list(path)
    (tmp_path / "prices.xlsx").write_text("no workbook")
    with pytest.raises(ListError, match=r"must be a workbook"):
        read_list(tmp_path / "prices.xlsx")
    with pytest.raises(ListError, match=r"must end in .csv or .xlsx; got .*prices.txt"):
        write_list(tmp_path / "prices.txt", [])

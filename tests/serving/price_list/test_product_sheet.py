"""The workbook's summary and its sheet of products: what they show, and what comes back from an edited one."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import msgspec
import openpyxl
import pytest
from repricer.serving.price_list.files import read_list, write_list
from repricer.serving.price_list.product_sheet import DECISIONS
from repricer.serving.price_list.products import by_product
from repricer.serving.price_list.rows import COLUMNS, ListError, PriceRow
from repricer.serving.price_list.summary import (
    ListSummary,
    PastRow,
    PosteriorEstimate,
    ProductSummary,
    ZoneSummary,
    proposal_of,
)

from .conftest import make_row

CURRENT, NEW = (2.0, 1.5, 2.0, 2.0), (2.1, 1.5, 2.1, 2.1)
WEEKS = tuple(dt.date(2018, 1, 1) + dt.timedelta(weeks=t) for t in range(4))


def listed() -> list[PriceRow]:
    """Two products over four weeks, the second one of them on deal."""
    return [
        make_row(
            product=name,
            product_id=number,
            week=week,
            current_price=old,
            new_price=new,
            change=round(new / old - 1, 6),
            expected_units=10.0,
            units_low=8.0,
            units_high=12.0,
            expected_revenue=20.0,
            expected_profit=5.0,
        )
        for number, name in (("007", "tea"), ("008", "=coffee"))
        for week, old, new in zip(WEEKS, CURRENT, NEW, strict=True)
    ]


def summary() -> ListSummary:
    zone = ZoneSummary(
        zone="all stores",
        verdict="Recommended: regular prices.",
        metric="profit",
        gain=PosteriorEstimate(0.031, 0.01, 0.052),
        amount=PosteriorEstimate(1234.0, -400.0, 2100.0),
        changed=6,
        at_bound=2,
        bounds={"ceiling": 2},
        past=(PastRow("the plan", 100, 250.0, 90.0, 2.5, 0.1), PastRow("the last 4 weeks", 98, 240.0, 88.0, 2.45, 0.2)),
    )
    own = ProductSummary(
        zone="all stores",
        product_id="007",
        regular_price=2.0,
        planned_deals=WEEKS[1:2],
        units=PosteriorEstimate(-4.0, -9.0, 1.0),
        profit=PosteriorEstimate(3.0, 1.0, 5.0),
        cost_of_leaving=PosteriorEstimate(2.5, 1.0, 4.0),
    )
    rows = listed()
    return ListSummary(proposal=proposal_of(rows), currency="EUR", objective="profit", zones=(zone,), products=(own,))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_list(tmp_path / "prices.xlsx", listed(), currency="EUR", summary=summary())
    return tmp_path / "prices.xlsx"


def edit(path: Path, sheet: str, row: int, **cells: Any) -> None:
    """Change cells of a row by the names of their columns, with another library."""
    book = openpyxl.load_workbook(path)
    names = [cell.value for cell in book[sheet][1]]
    for name, value in cells.items():
        put(book[sheet].cell(row, names.index(name) + 1), value)
    book.save(path)


def put(cell: Any, value: Any) -> None:
    """A value as it is: text that looks like a formula is none."""
    cell.value = value
    if isinstance(value, str):
        cell.data_type = "s"


def decisions(path: Path, product: str = "tea") -> list[tuple[str, float, str]]:
    return [(row.status, row.price, row.decision_reason) for row in read_list(path) if row.product == product]


def test_the_workbook_opens_with_the_summary(path: Path) -> None:
    book = openpyxl.load_workbook(path)
    assert book.sheetnames == ["summary", "products", "prices", "notes"]
    assert book.active.title == "summary"
    said = [cell.value for line in book["summary"] for cell in line if cell.value is not None]
    assert said[0] == "Recommended: regular prices."
    assert said[1] == (
        "Expected profit against the current prices: +3.1% (90% interval +1.0% to +5.2%), +1,234 EUR (90% interval -400 "
        "to +2,100)."
    )
    assert said[2] == "2 of 6 changed prices stand at a bound: 2 at ceiling."
    assert {"the last 4 weeks", 240.0, "2 products, 8 prices; money in EUR."} <= {*said}
    assert any(str(text).startswith("moved: the planned deal is in another week") for text in said)


def test_the_workbook_of_several_zones_opens_with_what_they_gain_together(tmp_path: Path) -> None:
    together = msgspec.structs.replace(summary(), together=PosteriorEstimate(0.053, 0.031, 0.078))
    write_list(tmp_path / "prices.xlsx", listed(), currency="EUR", summary=together)
    first = openpyxl.load_workbook(tmp_path / "prices.xlsx")["summary"]["A1"].value
    assert first == "All zones together: +5.3% (90% interval +3.1% to +7.8%)"


def test_a_product_is_one_row_with_its_weeks_as_cells(path: Path) -> None:
    sheet = openpyxl.load_workbook(path)["products"]
    header, tea, coffee = ([cell.value for cell in line] for line in sheet.iter_rows())
    shown = dict(zip(header, tea, strict=True))
    assert (shown["regular_price"], shown["new_regular_price"], shown["change"]) == (2.0, 2.1, 0.05)
    assert [shown[str(week)] for week in WEEKS] == [2.1, "1.50 kept", 2.1, 2.1]
    assert (shown["expected_units"], shown["units_change"], shown["units_change_low"]) == (40.0, -4.0, -9.0)
    assert (shown["reason"], shown["cost_of_leaving"], shown["cost_high"]) == ("Raised.", 2.5, 4.0)
    assert (shown["status"], shown["decided_price"]) == ("proposed", None)
    assert dict(zip(header, coffee, strict=True))["units_change"] is None
    assert {cell.data_type for line in sheet.iter_rows() for cell in line} <= {"s", "n"}
    (choice,) = sheet.data_validations.dataValidation
    assert choice.formula1 == '"proposed,approved,overridden,postponed,by week"'
    hidden = [
        name for name, cell in zip(header, sheet[1], strict=True) if sheet.column_dimensions[cell.column_letter].hidden
    ]
    assert set(hidden) == {"check", "written"}


def test_an_untouched_workbook_comes_back_as_it_was(path: Path, tmp_path: Path) -> None:
    assert read_list(path) == listed()
    book = openpyxl.load_workbook(path)
    book.save(path)
    assert read_list(path) == listed()
    # And so does one of an earlier version, which has no sheet of the products.
    del book["products"], book["summary"]
    book.save(tmp_path / "old.xlsx")
    assert read_list(tmp_path / "old.xlsx") == listed()


def test_a_decision_about_a_product_is_for_its_weeks(path: Path) -> None:
    edit(path, "products", 2, status="approved", decided_by="Ann")
    rows = read_list(path)
    assert {(row.status, row.decided_by) for row in rows if row.product == "tea"} == {("approved", "Ann")}
    assert {row.status for row in rows if row.product == "=coffee"} == {"proposed"}


def test_an_overridden_product_leaves_its_deals(path: Path) -> None:
    edit(path, "products", 3, status="overridden", decided_price=2.05, decision_reason="the rival")
    assert decisions(path, "=coffee") == [
        ("overridden", 2.05, "the rival"),
        ("approved", 1.5, "the rival"),
        ("overridden", 2.05, "the rival"),
        ("overridden", 2.05, "the rival"),
    ]
    # Written again, the row of the product has it, and another decision about it counts.
    write_list(path, read_list(path), summary=summary())
    sheet = openpyxl.load_workbook(path)["products"]
    names = [cell.value for cell in sheet[1]]
    assert [sheet[3][names.index(name)].value for name in DECISIONS] == ["overridden", 2.05, None, "the rival"]
    edit(path, "products", 3, status="proposed", decided_price=None, decision_reason=None)
    assert read_list(path) == listed()


def test_a_week_s_own_decision_stands(path: Path) -> None:
    edit(path, "products", 2, status="approved")
    edit(path, "prices", 4, status="overridden", decided_price=1.95, decision_reason="a fair")
    assert decisions(path) == [
        ("approved", 2.1, ""),
        ("approved", 1.5, ""),
        ("overridden", 1.95, "a fair"),
        ("approved", 2.1, ""),
    ]
    write_list(path, read_list(path), summary=summary())
    sheet = openpyxl.load_workbook(path)["products"]
    assert sheet.cell(2, [cell.value for cell in sheet[1]].index("status") + 1).value == "by week"
    edit(path, "products", 2, status="postponed", decision_reason="later")
    with pytest.raises(ListError) as raised:
        read_list(path)
    assert raised.value.mistakes == [
        "prices.xlsx, sheet products, row 2, column status: a new decision about a product must be for weeks that are decided "
        "alike, or not yet; got postponed where single weeks differ; on the sheet of the weeks, set those to proposed that it "
        "is for"
    ]
    edit(path, "prices", 2, status="proposed")
    assert [status for status, *_ in decisions(path)] == ["postponed", "approved", "overridden", "approved"]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (
            {"status": "aproved"},
            "column status: must be one of proposed, approved, overridden, postponed, by week; got 'aproved'",
        ),
        (
            {"status": "overridden", "decision_reason": "x"},
            "column decided_price: must hold the price to charge where status is",
        ),
        (
            {"status": "overridden", "decided_price": "two"},
            "column decided_price: must be a number above 0 to 1e+09, or empty; got 'two'",
        ),
        ({"status": "postponed"}, "column decision_reason: must say why where status is postponed"),
        ({"decided_price": 2.05}, "column decided_price: must be empty where status is proposed; got 2.05"),
        ({"new_regular_price": 2.05}, "column check: the columns before status must be as they were written"),
        ({"2018-01-01": 2.05}, "column check: the columns before status must be as they were written"),
        ({"product": "tee"}, "column product: must be a product of the sheet of the weeks; got 'tee' in 'all stores'"),
        ({"product": "=coffee"}, "column check: the columns before status"),
    ],
)
def test_wrong_cells_are_named(path: Path, cells: dict[str, Any], message: str) -> None:
    edit(path, "products", 2, **cells)
    with pytest.raises(ListError) as raised:
        read_list(path)
    assert raised.value.mistakes[0].startswith(f"prices.xlsx, sheet products, row 2, {message}")


def test_columns_that_are_gone_or_strange_are_named(path: Path) -> None:
    book = openpyxl.load_workbook(path)
    names = [cell.value for cell in book["products"][1]]
    book["products"].cell(1, names.index("reason") + 1).value = "note"
    book.save(path)
    with pytest.raises(
        ListError, match="sheet products, row 1: must have the column reason; got none; restore it, or remove"
    ):
        read_list(path)
    book["products"].cell(1, names.index("reason") + 1).value = "reason"
    book["products"].cell(1, len(names) + 1).value = "note"
    book.save(path)
    with pytest.raises(ListError, match="row 1: must have known columns; got 'note'; remove it"):
        read_list(path)


def test_rows_may_be_sorted_removed_and_not_repeated(path: Path) -> None:
    edit(path, "products", 3, status="approved")
    book = openpyxl.load_workbook(path)
    book["products"].delete_rows(2)
    book.save(path)
    assert [row.status for row in read_list(path)] == ["proposed"] * 4 + ["approved"] * 4
    for number, cell in enumerate(book["products"][2], start=1):
        put(book["products"].cell(3, number), cell.value)
    book.save(path)
    with pytest.raises(ListError, match="row 3, column product: must be unique by zone; got that of row 2 again"):
        read_list(path)


def test_both_forms_say_the_same(path: Path, tmp_path: Path) -> None:
    """What is decided in the workbook, by product and by week, comes back from CSV too."""
    edit(path, "products", 2, status="postponed", decision_reason="= later")
    edit(path, "prices", 9, status="approved")
    rows = read_list(path)
    write_list(tmp_path / "prices.csv", rows)
    assert read_list(tmp_path / "prices.csv") == rows
    write_list(path, rows)
    assert read_list(path) == rows
    assert [product.decision.status for product in by_product(rows)] == ["postponed", "by week"]
    assert msgspec.structs.asdict(rows[0])["decision_reason"] == "= later"
    assert len(COLUMNS) == 28

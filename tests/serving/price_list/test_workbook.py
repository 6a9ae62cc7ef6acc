"""The workbook's sheet of prices to try: formulas that follow the market near the listed prices, and survive decisions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest
import repricer
from repricer.planning.price_list import price_responses
from repricer.scenarios import MarketSpec
from repricer.serving.price_list.files import read_list, write_list
from repricer.serving.price_list.rows import PriceRow
from repricer.serving.price_list.workbook import TRIED_SHEET, read_responses


@pytest.fixture(scope="module")
def list_path(dated_market: MarketSpec, price_rows: list[PriceRow], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sheet") / "prices.xlsx"
    write_list(path, price_rows, responses=price_responses(dated_market, price_rows))
    return path


def cells(path: Path) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """The header, and by product the cells by column."""
    book: Any = openpyxl.load_workbook(path)
    sheet = book[TRIED_SHEET]
    lines = [[cell.value for cell in line] for line in sheet.iter_rows()]
    start = next(i for i, line in enumerate(lines) if line[0] == "zone")
    return lines[start], {line[1]: dict(zip(lines[start], line, strict=True)) for line in lines[start + 1 :]}


def computed(path: Path, product: str, price: float | None) -> dict[str, float]:
    """What a spreadsheet would compute for a product, with a price typed."""
    book: Any = openpyxl.load_workbook(path)
    sheet = book[TRIED_SHEET]
    row = next(line for line in sheet.iter_rows() if line[1].value == product)
    header = next(line for line in sheet.iter_rows() if line[0].value == "zone")
    known: dict[str, Any] = {}
    for name, cell in zip(header, row, strict=True):
        value = price if name.value == "price to try" else cell.value
        known[cell.column_letter] = 0.0 if value is None else value
    for _ in range(3):
        for letter, value in known.items():
            if isinstance(value, str) and value.startswith("="):
                text = re.sub(r"([A-R])\d+", r"c['\1']", value[1:]).replace("^", "**")
                needed = re.findall(r"c\['(.)'\]", text)
                if not any(isinstance(known[one], str) for one in needed):
                    known[letter] = eval(text, {"c": known, "IF": lambda test, yes, no: yes if test else no})
    return {str(name.value): known[cell.column_letter] for name, cell in zip(header, row, strict=True)}


def test_without_a_price_the_sheet_has_the_figures_of_the_list(list_path: Path, price_rows: list[PriceRow]) -> None:
    own = [row for row in price_rows if row.product == "anchovy"]
    found = computed(list_path, "anchovy", None)
    assert found["units"] == pytest.approx(sum(row.expected_units or 0 for row in own))
    assert found["revenue"] == pytest.approx(sum(row.expected_revenue or 0 for row in own))
    assert found["profit"] == pytest.approx(sum(row.expected_profit or 0 for row in own))
    for name in ("units", "revenue", "profit"):
        assert found[f"change in {name}"] == pytest.approx(0, abs=1e-9)
    assert found["profit of other products"] == 0


def test_near_the_listed_price_it_follows_the_market(
    list_path: Path, dated_market: MarketSpec, price_rows: list[PriceRow]
) -> None:
    listed = np.array([row.new_price for row in price_rows]).reshape(3, -1).T
    tried = listed.copy()
    tried[:, 0] *= 0.93
    found = computed(list_path, "anchovy", computed(list_path, "anchovy", None)["listed price"] * 0.93)
    plain = dated_market.with_changes(prices={"frozen": (), "bounds_from_sales": dated_market.products.names})
    before, after = (repricer.what_if(plain, path).table("product") for path in (listed, tried))
    share = after["units"][0] / before["units"][0]
    assert found["units"] / found["listed units"] == pytest.approx(share, rel=0.01)
    assert share > 1.05
    lost = (after["units"][1] - before["units"][1]) / (after["units"][0] - before["units"][0])
    assert lost < 0
    assert found["units of other products"] / found["change in units"] == pytest.approx(lost, abs=0.15)


def test_rows_add_up_and_text_stays_text(list_path: Path) -> None:
    _, lines = cells(list_path)
    assert list(lines) == ["anchovy", "biscuit", "cider", "all"]
    assert lines["all"]["change in profit"] == "=SUM(L5:L7)"
    assert lines["all"]["elasticity"] is None
    words = " ".join(str(cell.value) for cell in openpyxl.load_workbook(list_path)[TRIED_SHEET]["A"][:3])
    assert "An approximation" in words
    assert "repricer what-if" in words


def test_decisions_leave_the_sheet_and_a_list_without_responses_has_none(
    list_path: Path, price_rows: list[PriceRow], tmp_path: Path
) -> None:
    book = openpyxl.load_workbook(list_path)
    book[TRIED_SHEET]["E5"].value = 2.5
    copy = tmp_path / "copy.xlsx"
    book.save(copy)
    write_list(copy, read_list(copy))
    assert cells(copy)[1]["anchovy"]["price to try"] == 2.5
    assert read_responses(copy)["all stores", "anchovy"].elasticity == pytest.approx(
        read_responses(list_path)["all stores", "anchovy"].elasticity
    )
    assert read_list(copy) == price_rows
    write_list(tmp_path / "bare.xlsx", price_rows)
    assert openpyxl.load_workbook(tmp_path / "bare.xlsx").sheetnames == ["prices", "notes"]

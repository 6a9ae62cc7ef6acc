"""Tables in workbooks of Excel are read as their CSV form is."""

from __future__ import annotations

from datetime import date
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from repricer.data import DataError, TableMapping, import_tables, mapping_template

KEY = b"a key for tests only"
SALES = """date,product,units,price_paid,regular_price,customer,store
2024-01-01,1001,1,2.5,3,7,N1
2024-01-02,1002,2,1,1,8,N1
2024-01-03,1001,0.5,2.25,3,,S1
"""


def workbook(path: Path, **sheets: pd.DataFrame) -> Path:
    with pd.ExcelWriter(path, engine="xlsxwriter") as writer:
        for name, frame in sheets.items():
            frame.to_excel(writer, sheet_name=name, index=False, header=not frame.empty)
    return path


def sales() -> pd.DataFrame:
    return pd.read_csv(StringIO(SALES), parse_dates=["date"])


def test_a_workbook_is_read_as_its_csv_form_is(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text(SALES)
    book = workbook(tmp_path / "sales.xlsx", sales=sales(), notes=pd.DataFrame())
    (from_csv, _), (from_book, report) = (
        import_tables({"sales": path}, key=KEY) for path in (tmp_path / "sales.csv", book)
    )
    pd.testing.assert_frame_equal(from_book.sales, from_csv.sales)
    assert report.kept == {"sales": 3}


def test_texts_among_numbers_and_dates_are_read_by_the_layout_and_named_by_their_row(tmp_path: Path) -> None:
    rows = sales().astype(object)
    rows["date"] = [date(2024, 1, 1), "02.01.2024", date(2024, 1, 3)]
    rows["price_paid"] = [2.5, "1,25", "free"]
    book = workbook(tmp_path / "sales.xlsx", sales=rows)
    layout = TableMapping(decimal=",", date_format="%d.%m.%Y")
    tables, report = import_tables({"sales": book}, key=KEY, mapping={"sales": layout})
    assert tables.sales["date"].dt.day.tolist() == [1, 2]
    assert tables.sales["price_paid"].tolist() == [2.5, 1.25]
    assert report.rejects[["row", "reason"]].to_numpy().tolist() == [[4, "price_paid: is not a number (decimal ',')"]]


def test_all_files_of_a_folder_may_be_workbooks_and_a_mapping_can_be_guessed(tmp_path: Path) -> None:
    folder = tmp_path / "lake"
    folder.mkdir()
    for day in (1, 2):
        workbook(folder / f"{day}.xlsx", sales=sales().iloc[[day - 1]])
    tables, _ = import_tables({"sales": folder}, key=KEY)
    assert len(tables.sales) == 2
    own = sales().rename(columns={"product": "Artikel"})
    assert 'product = "Artikel"' in mapping_template({"sales": workbook(tmp_path / "till.xlsx", till=own)})


def test_several_sheets_with_cells_are_refused(tmp_path: Path) -> None:
    book = workbook(tmp_path / "sales.xlsx", north=sales(), south=sales())
    with pytest.raises(DataError, match=r"2 sheets with cells, north, south, .*; save the table alone in a workbook"):
        import_tables({"sales": book}, key=KEY)

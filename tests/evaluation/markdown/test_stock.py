"""A stock table is read cell by cell; what is wrong is named by row and column."""

from __future__ import annotations

from pathlib import Path

import pytest
from repricer.evaluation.markdown import StockRow, read_stock


def test_columns_may_be_left_out_or_empty(tmp_path: Path) -> None:
    path = tmp_path / "stock.csv"
    path.write_text("\ufeffproduct,on_hand,price,changes,sold\ntea,120,,,\n 2 ,3.0,1.5,1,7\n\n", encoding="utf-8")
    assert read_stock(path) == [StockRow("tea", 120), StockRow("2", 3, price=1.5, changes=1, sold=7)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have the columns product and on_hand; got no product"),
        ("product\ntea\n", "got no on_hand"),
        ("product,on_hand\n", "must have a row for each product"),
        ("product,onhand\ntea,3\n", "got 'onhand'; did you mean on_hand?"),
        ("product,product,on_hand\ntea,tea,3\n", "must have the column product once"),
        ("product,on_hand\ntea\n", "row 2: must have 2 cells"),
        ("product,on_hand\ntea,\n", "row 2, column on_hand: must be a whole number from 1; got an empty cell"),
        ("product,on_hand\ntea,3\nmilk,2.5\n", "row 3, column on_hand: must be a whole number; got '2.5'"),
        ("product,on_hand,price\ntea,3,cheap\n", "column price: must be a number; got 'cheap'"),
        ("product,on_hand,price\ntea,3,inf\n", "column price: must be a number; got 'inf'"),
    ],
)
def test_wrong_cells_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "stock.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="must") as wrong:
        read_stock(path)
    assert message in str(wrong.value)
    assert "\n" not in str(wrong.value)


def test_a_file_that_is_not_there_is_wrong_input(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(ValueError, match=f"must be a CSV file; got {path}, which is no file"):
            read_stock(path)

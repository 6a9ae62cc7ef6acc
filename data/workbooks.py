"""A table in a workbook of Excel (.xlsx), with types where all cells of a column have the same."""

from __future__ import annotations

import datetime
import io
from typing import Any, BinaryIO

import polars as pl
from python_calamine import CalamineError, CalamineWorkbook

from .mapping import TableMapping


def read_workbook(stream: BinaryIO, layout: TableMapping) -> tuple[list[str], pl.DataFrame]:
    """The header and the rows of the one sheet of a workbook that holds cells.

    A column that mixes texts with numbers or dates is text as `layout` writes them, so that it is read as a CSV file is.

    Args:
        stream: The workbook.
        layout: How it is laid out: lines above the header, decimal sign and date format.

    Returns:
        The names of the columns, and their values, whose columns are called 0, 1, ….

    Raises:
        ValueError: It is no workbook, no sheet holds cells, or several do.

    Example:
        >>> header, rows = read_workbook(open("sales.xlsx", "rb"), TableMapping())  # doctest: +SKIP
    """
    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(stream.read()))
        sheets = {name: book.get_sheet_by_name(name).to_python(skip_empty_area=False) for name in book.sheet_names}
    except CalamineError as error:
        raise ValueError(str(error)) from error
    filled = {name: rows for name, rows in sheets.items() if rows}
    if len(filled) > 1:
        raise ValueError(f"{len(filled)} sheets with cells, {', '.join(filled)}, where the table must be the only one")
    rows = next(iter(filled.values()), [])[layout.skip_lines :]
    if not rows:
        raise ValueError("an empty file")
    header = [str(cell).strip() for cell in rows[0]]
    columns = zip(*rows[1:], strict=True) if len(rows) > 1 else [()] * len(header)
    return header, pl.DataFrame([_column(str(place), cells, layout) for place, cells in enumerate(columns)])


def _column(name: str, cells: tuple[Any, ...], layout: TableMapping) -> pl.Series:
    """Numbers or dates where all cells are, else texts; empty cells are missing."""
    kinds = {_kind(cell) for cell in cells if cell != ""}
    if len(kinds) == 1 and kinds <= {float, datetime.date}:
        dtype = pl.Float64 if kinds == {float} else pl.Datetime("us")
        return pl.Series(name, [None if cell == "" else cell for cell in cells], dtype=dtype, strict=False)
    return pl.Series(name, [None if cell == "" else _text(cell, layout) for cell in cells], dtype=pl.String)


def _kind(cell: Any) -> type:
    """What a cell holds: float, date, or text for all else."""
    if isinstance(cell, bool):
        return str
    if isinstance(cell, int | float):
        return float
    return datetime.date if isinstance(cell, datetime.date) else str


def _text(cell: Any, layout: TableMapping) -> str:
    """A cell as a CSV file of this layout would have it."""
    if isinstance(cell, datetime.date):
        return cell.strftime(layout.date_format)
    if isinstance(cell, float):
        whole = cell.is_integer()
        return str(int(cell)) if whole else repr(cell).replace(".", layout.decimal)
    return str(cell)

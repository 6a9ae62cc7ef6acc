"""Price lists as workbooks: formats, frozen header, filters, a choice of statuses, and notes on a second sheet.

XlsxWriter makes the workbook with its header and formats, and the rows are then written into its
sheet, which is many times as fast as its own writing of cells. No cell of the list is a formula.
"""

from __future__ import annotations

import datetime as dt
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import msgspec

from ...atomic import whole_file
from .rows import DECIDED, PROPOSED, STATUSES, Column, ListError, PriceRow, columns

SHEET, NOTES = "prices", "notes"
_MOST_ROWS = 1_048_575
_SHEET_FILE, _TEXTS_FILE = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"
_EPOCH = dt.date(1899, 12, 30).toordinal()
_AT_ONCE = 2000
# Characters that XML cannot hold, which a workbook writes as _xHHHH_, and texts that look like
# that.
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
_HOW = (
    "One row per product, zone and week. Edit only the columns from status on.",
    "approved: charge new_price. overridden: charge decided_price, with a decision_reason.",
    "postponed: keep current_price for now, with a decision_reason. proposed: not decided yet.",
    "`repricer approve` checks the decisions against the price rules and records them; only then is the list live.",
)


def write_workbook(path: Path, rows: Sequence[PriceRow], currency: str, notes: Sequence[str] = ()) -> None:
    """Write rows as a workbook, completely or not at all. Raises ListError for too many rows."""
    if len(rows) > _MOST_ROWS:
        raise ListError([f"a workbook must hold at most {_MOST_ROWS:,} rows; got {len(rows):,}; write a .csv"])
    declared = columns()
    empty = zipfile.ZipFile(io.BytesIO(_empty_workbook(declared, len(rows), currency, notes)))
    parts = {name: empty.read(name).decode() for name in empty.namelist()}
    sheet, texts = parts.pop(_SHEET_FILE), _Texts(parts.pop(_TEXTS_FILE))
    before, styles, after = _parts(sheet, len(rows), len(declared))
    with whole_file(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as full:
        for name, content in parts.items():
            full.writestr(name, content)
        with full.open(_SHEET_FILE, "w") as stream:
            stream.write(before.encode())
            for part in _row_elements(rows, declared, styles, texts):
                stream.write(part.encode())
            stream.write(after.encode())
        full.writestr(_TEXTS_FILE, str(texts))


def _empty_workbook(declared: list[Column], count: int, currency: str, more: Sequence[str]) -> bytes:
    """A workbook with the header, one empty row that has the format of every column, and the notes."""
    import xlsxwriter

    stored, last = io.BytesIO(), max(count, 1)
    with xlsxwriter.Workbook(stored, {"in_memory": True, "strings_to_formulas": False}) as book:
        sheet, bold = book.add_worksheet(SHEET), book.add_format({"bold": True, "text_wrap": True, "valign": "top"})
        edited = book.add_format({"bold": True, "text_wrap": True, "valign": "top", "bg_color": "#DDEBF7"})
        for number, column in enumerate(declared):
            cell = book.add_format({"num_format": column.format})
            sheet.write_string(0, number, column.name, edited if column.name in DECIDED else bold)
            sheet.write_blank(1, number, None, cell)
            sheet.set_column(number, number, column.width, cell)
        sheet.freeze_panes(1, 3)
        sheet.autofilter(0, 0, last, len(declared) - 1)
        choice = {"validate": "list", "source": list(STATUSES), "error_message": f"one of {', '.join(STATUSES)}"}
        sheet.data_validation(1, PROPOSED, last, PROPOSED, choice)
        notes = book.add_worksheet(NOTES)
        notes.set_column(0, 0, 24)
        notes.set_column(1, 1, 100, book.add_format({"font_name": "Courier New"}) if more else None)
        lines = [("", text) for text in (*more, *_HOW, f"Money is in {currency}.")]
        lines += [(column.name, column.description) for column in declared]
        for number, (name, text) in enumerate(lines):
            notes.write_string(number, 0, name, bold)
            notes.write_string(number, 1, text)
    return stored.getvalue()


def _parts(sheet: str, count: int, width: int) -> tuple[str, list[str], str]:
    """The sheet before its rows, the style of every column, and the sheet after its rows."""
    found = re.search(r'<row r="2".*?</row>', sheet)
    assert found is not None, "the empty workbook has a row of formats"
    styles = re.findall(r'<c r="[A-Z]+2" s="(\d+)"/>', found.group())
    assert len(styles) == width, "every column has a format"
    before = re.sub(r'<dimension ref="(\w+):([A-Z]+)\d+"/>', rf'<dimension ref="\1:\g<2>{count + 1}"/>', sheet)
    return before.partition(found.group())[0], styles, sheet.partition(found.group())[2]


class _Texts(dict[str, int]):
    """The number of each text in the workbook's table of texts, given on first use.

    Args:
        table: The table so far, as XML.
    """

    def __init__(self, table: str) -> None:
        super().__init__()
        self._table, self._first = table, table.count("<si>")

    def __missing__(self, text: str) -> int:
        self[text] = number = self._first + len(self)
        return number

    def __str__(self) -> str:
        """The table with these texts behind its own."""
        plain = (_UNWRITABLE.sub(lambda found: f"_x{ord(found.group()):04X}_", text) for text in self)
        added = "".join(f'<si><t xml:space="preserve">{escape(text)}</t></si>' for text in plain)
        table = re.sub(r' count="\d+" uniqueCount="\d+"', "", self._table, count=1)
        return table.replace("</sst>", f"{added}</sst>")


def _row_elements(rows: Sequence[PriceRow], declared: list[Column], styles: list[str], texts: _Texts) -> Iterator[str]:
    """The XML of the rows, many at a time; cells come in order, so that they need no address."""
    for first in range(0, len(rows), _AT_ONCE):
        part = zip(*map(msgspec.structs.astuple, rows[first : first + _AT_ONCE]), strict=True)
        written = [
            _cells(column.kind, style, cells, texts)
            for column, style, cells in zip(declared, styles, part, strict=True)
        ]
        yield "".join([f"<row>{''.join(cells)}</row>" for cells in zip(*written, strict=True)])


def _cells(kind: str, style: str, values: Sequence[Any], texts: _Texts) -> list[str]:
    """The cells of a column."""
    empty, start = f'<c s="{style}"/>', f'<c s="{style}"><v>'
    if kind == "number":
        return [empty if value is None else f"{start}{value!r}</v></c>" for value in values]
    if kind == "date":
        return [f"{start}{value.toordinal() - _EPOCH}</v></c>" for value in values]
    start = f'<c s="{style}" t="s"><v>'
    return [f"{start}{texts[value]}</v></c>" if value else empty for value in values]


def read_workbook(path: Path) -> list[list[Any]]:
    """The rows of the first sheet, the header first. Raises ListError."""
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        with CalamineWorkbook.from_path(path) as book:
            names = book.sheet_names
            return book.get_sheet_by_name(SHEET if SHEET in names else names[0]).to_python()
    except CalamineError as error:
        raise ListError([f"{path.name} must be a workbook; got: {error}; save it again as .xlsx"]) from None

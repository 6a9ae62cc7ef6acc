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
from ..documents import fields
from .rows import DECIDED, KINDS, PROPOSED, STATUSES, ListError, PriceRow

SHEET, NOTES = "prices", "notes"
_MOST_ROWS, _AT_ONCE = 1_048_575, 2000
_SHEET_FILE = "xl/worksheets/sheet1.xml"
_EPOCH = dt.date(1899, 12, 30).toordinal()
_FORMATS = {"text": "@", "number": "#,##0.00", "date": "yyyy-mm-dd"}
_SHARES = ("change", "parameter_share")
_WIDE = ("product", "reason", "outside_charged", "rules", "decision_reason")
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
    empty = zipfile.ZipFile(io.BytesIO(_empty_workbook(max(len(rows), 1), currency, notes)))
    before, formats, after = re.split(r'(<row r="(?!1")\d+".*?</row>)', empty.read(_SHEET_FILE).decode())
    styles = re.findall(r' s="(\d+)"/>', formats)
    with whole_file(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as full:
        for name in empty.namelist():
            if name != _SHEET_FILE:
                full.writestr(name, empty.read(name))
        with full.open(_SHEET_FILE, "w") as stream:
            for part in (before, *_row_elements(rows, styles), after):
                stream.write(part.encode())


def _empty_workbook(last: int, currency: str, more: Sequence[str]) -> bytes:
    """A workbook with the header, a last row that has only the format of every column, and the notes."""
    import xlsxwriter

    stored = io.BytesIO()
    with xlsxwriter.Workbook(stored, {"in_memory": True, "strings_to_formulas": False}) as book:
        sheet, bold = book.add_worksheet(SHEET), book.add_format({"bold": True, "text_wrap": True, "valign": "top"})
        edited = book.add_format({"bold": True, "text_wrap": True, "valign": "top", "bg_color": "#DDEBF7"})
        for number, (name, kind) in enumerate(KINDS.items()):
            cell = book.add_format({"num_format": "0.0%" if name in _SHARES else _FORMATS[kind]})
            sheet.write_string(0, number, name, edited if name in DECIDED else bold)
            sheet.write_blank(last, number, None, cell)
            sheet.set_column(number, number, 40 if name in _WIDE else 14, cell)
        sheet.freeze_panes(1, 3)
        sheet.autofilter(0, 0, last, len(KINDS) - 1)
        choice = {"validate": "list", "source": list(STATUSES), "error_message": f"one of {', '.join(STATUSES)}"}
        sheet.data_validation(1, PROPOSED, last, PROPOSED, choice)
        notes = book.add_worksheet(NOTES)
        notes.set_column(0, 0, 24)
        notes.set_column(1, 1, 100, book.add_format({"font_name": "Courier New"}) if more else None)
        lines = [("", text) for text in (*more, *_HOW, f"Money is in {currency}.")]
        lines += [(name, field.description) for name, field in fields(PriceRow).items()]
        for number, (name, text) in enumerate(lines):
            notes.write_string(number, 0, name, bold)
            notes.write_string(number, 1, text)
    return stored.getvalue()


def _row_elements(rows: Sequence[PriceRow], styles: list[str]) -> Iterator[str]:
    """The XML of the rows, many at a time; cells come in order, so that they need no address."""
    for first in range(0, len(rows), _AT_ONCE):
        part = zip(*map(msgspec.structs.astuple, rows[first : first + _AT_ONCE]), strict=True)
        written = [_cells(*column) for column in zip(KINDS.values(), styles, part, strict=True)]
        yield "".join([f"<row>{''.join(cells)}</row>" for cells in zip(*written, strict=True)])


def _cells(kind: str, style: str, values: Sequence[Any]) -> list[str]:
    """The cells of a column."""
    empty, start = f'<c s="{style}"/>', f'<c s="{style}"><v>'
    if kind == "number":
        return [empty if value is None else f"{start}{value!r}</v></c>" for value in values]
    if kind == "date":
        return [f"{start}{value.toordinal() - _EPOCH}</v></c>" for value in values]
    start = f'<c s="{style}" t="inlineStr"><is><t xml:space="preserve">'
    texts = {text: f"{start}{escape(_UNWRITABLE.sub(_code, text))}</t></is></c>" for text in set(values)} | {"": empty}
    return [texts[value] for value in values]


def _code(found: re.Match[str]) -> str:
    return f"_x{ord(found.group()):04X}_"


def read_workbook(path: Path) -> list[list[Any]]:
    """The rows of the first sheet, the header first. Raises ListError."""
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        with CalamineWorkbook.from_path(path) as book:
            names = book.sheet_names
            return book.get_sheet_by_name(SHEET if SHEET in names else names[0]).to_python()
    except CalamineError as error:
        raise ListError([f"{path.name} must be a workbook; got: {error}; save it again as .xlsx"]) from None

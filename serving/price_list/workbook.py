"""Price lists as workbooks: a summary, a row a product, a row a product and week, and notes.

XlsxWriter makes the workbook with its headers, formats and small sheets, and the rows are then written into the sheets
of the list, which is many times as fast as its own writing of cells. No cell of the list is a formula.
"""

from __future__ import annotations

import datetime as dt
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import msgspec

from ...atomic import whole_file
from ..documents import fields
from . import product_sheet
from .products import BY_WEEK, ListedProduct, by_product
from .rows import DECIDED, KINDS, STATUSES, ListError, PriceRow
from .summary import ListSummary, PastRow, together_line

SUMMARY = "summary"
SHEET = "prices"
NOTES = "notes"
_MOST_ROWS = 1_048_575
_SHEET_ROWS_AT_ONCE = 2000
_EPOCH = dt.date(1899, 12, 30).toordinal()
_FORMATS = {"text": "@", "number": "#,##0.00", "date": "yyyy-mm-dd", "share": "0.0%", "week": "#,##0.00"}
_COLUMN_WIDTHS = {"week": 12}
_SHARE_COLUMNS = ("change", "parameter_share")
_WIDE = ("product", "reason", "outside_charged", "rules", "decision_reason")
_HEAD = {"bold": True, "text_wrap": True, "valign": "top"}
_EDITED = "#DDEBF7"
DEALS = {"kept": "#E2EFDA", "moved": "#DDEBF7", "dropped": "#FCE4D6", "added": "#FFF2CC"}
"""The fill of a week's cell, by what becomes of its deal; the cell says it in words too."""
_DEAL_WORDS = {
    "kept": "the planned deal stays, at its price or another",
    "moved": "the planned deal is in another week",
    "dropped": "the planned deal goes",
    "added": "a deal that was not planned",
}
# Characters that XML cannot hold, which a workbook writes as _xHHHH_, and texts that look like
# that.
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
_HOW = (
    f"Sheet {product_sheet.SHEET} has one row per product and zone, sheet {SHEET} one per product, zone and week. Decide in "
    "the blue columns, on either.",
    "A decision about a product is for its weeks that are still proposed, or for all where all are decided. A decision "
    "about a single week stands, whatever is decided about its product.",
    "approved: charge the new prices. overridden: charge decided_price, with a decision_reason; of a product, in the weeks "
    "without a deal, and those with one are approved.",
    "postponed: keep the current prices for now, with a decision_reason. proposed: not decided yet.",
    "`repricer approve` checks the decisions against the price rules and records them; only then is the list live.",
)


class _Table(NamedTuple):
    """A sheet whose rows are written fast: the kind of each column by its name, and the cells row by row."""

    name: str
    kinds: dict[str, str]
    rows: Sequence[Sequence[Any]]
    edited: Sequence[str]
    statuses: Sequence[str]
    hidden: Sequence[str] = ()


def write_workbook(path: Path, rows: Sequence[PriceRow], currency: str, summary: ListSummary | None = None) -> None:
    """Write rows as a workbook, completely or not at all. Raises ListError for too many rows."""
    if len(rows) > _MOST_ROWS:
        raise ListError([f"a workbook must hold at most {_MOST_ROWS:,} rows; got {len(rows):,}; write a .csv"])
    products = by_product(rows, summary)
    declared = product_sheet.columns(products)
    tables = [
        _Table(
            name=product_sheet.SHEET,
            kinds={name: kind for name, (kind, _) in declared.items()},
            rows=product_sheet.cells(products),
            edited=product_sheet.DECISIONS,
            statuses=(*STATUSES, BY_WEEK),
            hidden=product_sheet.SEALS,
        ),
        _Table(
            name=SHEET,
            kinds={name: "share" if name in _SHARE_COLUMNS else kind for name, kind in KINDS.items()},
            rows=list(map(msgspec.structs.astuple, rows)),
            edited=DECIDED,
            statuses=STATUSES,
        ),
    ]
    empty = zipfile.ZipFile(io.BytesIO(_empty_workbook(tables, products, currency, summary)))
    # The summary is the first sheet.
    filled = {f"xl/worksheets/sheet{number}.xml": table for number, table in enumerate(tables, start=2)}
    with whole_file(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as full:
        for name in empty.namelist():
            if name not in filled:
                full.writestr(name, empty.read(name))
        for name, table in filled.items():
            # The only row below the header has the formats of the columns. The rows of the table take its place.
            before, format_row, after = re.split(r'(<row r="(?!1")\d+".*?</row>)', empty.read(name).decode())
            styles = re.findall(r' s="(\d+)"/>', format_row)
            with full.open(name, "w") as stream:
                for part in (before, *_row_elements(table, styles), after):
                    stream.write(part.encode())


def _empty_workbook(
    tables: Sequence[_Table], products: Sequence[ListedProduct], currency: str, summary: ListSummary | None
) -> bytes:
    """A workbook with summary and notes, and the header of each table with a last row that has only the formats."""
    import xlsxwriter

    stored = io.BytesIO()
    with xlsxwriter.Workbook(stored, {"in_memory": True, "strings_to_formulas": False}) as book:
        _write_summary(book, products, currency, summary)
        for table in tables:
            _start_sheet(book, table)
        bold = book.add_format(_HEAD)
        notes = book.add_worksheet(NOTES)
        notes.set_column(0, 0, 24)
        notes.set_column(1, 1, 100)
        lines = [("", text) for text in (*_HOW, f"Money is in {currency}.")]
        lines.append((f"sheet {product_sheet.SHEET}", ""))
        lines += [(name, meaning) for name, (_, meaning) in product_sheet.columns([]).items()]
        lines += [("YYYY-MM-DD", product_sheet.WEEK), (f"sheet {SHEET}", "")]
        lines += [(name, field.description) for name, field in fields(PriceRow).items()]
        for number, (name, text) in enumerate(lines):
            notes.write_string(number, 0, name, bold)
            notes.write_string(number, 1, text)
    return stored.getvalue()


def _start_sheet(book: Any, table: _Table) -> None:
    """The sheet of a table, with everything but its rows."""
    sheet = book.add_worksheet(table.name)
    last = max(len(table.rows), 1)
    names = list(table.kinds)
    bold = book.add_format(_HEAD)
    edited = book.add_format(_HEAD | {"bg_color": _EDITED})
    for number, (name, kind) in enumerate(table.kinds.items()):
        cell = book.add_format({"num_format": _FORMATS[kind]})
        sheet.write_string(0, number, name, edited if name in table.edited else bold)
        sheet.write_blank(last, number, None, cell)
        width = 40 if name in _WIDE else _COLUMN_WIDTHS.get(kind, 14)
        sheet.set_column(number, number, width, cell, {"hidden": name in table.hidden})
    sheet.freeze_panes(1, 3)
    sheet.autofilter(0, 0, last, len(names) - 1)
    status = names.index("status")
    choice = {"validate": "list", "source": list(table.statuses)}
    choice["error_message"] = f"one of {', '.join(table.statuses)}"
    sheet.data_validation(1, status, last, status, choice)
    weeks = [number for number, kind in enumerate(table.kinds.values()) if kind == "week"]
    if weeks:
        for deal, colour in DEALS.items():
            rule = {"type": "text", "criteria": "containing", "value": deal}
            rule["format"] = book.add_format({"bg_color": colour})
            sheet.conditional_format(1, weeks[0], last, weeks[-1], rule)


def _write_summary(book: Any, products: Sequence[ListedProduct], currency: str, summary: ListSummary | None) -> None:
    """The first sheet: verdict, gain, what stands at a bound, the plan beside the past, and how to decide."""
    sheet = book.add_worksheet(SUMMARY)
    sheet.set_column(0, 0, 70)
    sheet.set_column(1, len(PastRow.__struct_fields__), 14)
    wrapped = book.add_format({"text_wrap": True, "valign": "top"})
    bold = book.add_format(_HEAD)
    width = len(PastRow.__struct_fields__) - 1
    line = 0

    def said(text: str, how: Any) -> None:
        nonlocal line
        sheet.merge_range(line, 0, line, width, "", how)
        sheet.write_string(line, 0, text, how)
        # A merged cell does not grow with its text.
        sheet.set_row(line, 15 * (1 + len(text) // 130))
        line += 1

    zones = () if summary is None else summary.zones
    if summary is not None and summary.together is not None:
        said(together_line(summary.together), bold)
        line += 1
    for zone in zones:
        if len(zones) > 1:
            said(zone.zone, bold)
        verdict, *others = zone.sentences(currency)
        said(verdict, bold)
        for text in others:
            said(text, wrapped)
        if zone.past:
            line = _write_past(book, sheet, line + 1, zone.past, currency)
        line += 1
    rows = sum(len(product.rows) for product in products)
    said(f"{len(products):,} products, {rows:,} prices; money in {currency}.", wrapped)
    line += 1
    said("How to decide", bold)
    for text in _HOW:
        said(text, wrapped)
    line += 1
    said(f"What the cells of the weeks say on the sheet {product_sheet.SHEET}, after the new price", bold)
    for deal, words in _DEAL_WORDS.items():
        said(f"{deal}: {words}", book.add_format({"bg_color": DEALS[deal]}))


def _write_past(book: Any, sheet: Any, line: int, past: Sequence[PastRow], currency: str) -> int:
    """The plan beside the past as a table; the line after it."""
    bold = book.add_format(_HEAD)
    whole, exact, share = (book.add_format({"num_format": each}) for each in ("#,##0", "#,##0.00", "0%"))
    styles = {"average_price": exact, "on_deal": share}
    without = ", without the VAT that prices hold" if past[0].vat else ""
    sheet.write_string(
        line, 0, f"the plan beside the past, of the products of the market (money in {currency}{without})", bold
    )
    figures = [name for name in PastRow.__struct_fields__ if name not in ("weeks", "vat")]
    for column, name in enumerate(figures, start=1):
        sheet.write_string(line, column, name.replace("_", " "), bold)
        for number, row in enumerate(past, start=1):
            sheet.write_number(line + number, column, getattr(row, name), styles.get(name, whole))
    for number, row in enumerate(past, start=1):
        sheet.write_string(line + number, 0, row.weeks)
    return line + len(past) + 1


def _row_elements(table: _Table, styles: list[str]) -> Iterator[str]:
    """The XML of the rows, many at a time; cells come in order, so that they need no address."""
    for first in range(0, len(table.rows), _SHEET_ROWS_AT_ONCE):
        part = zip(*table.rows[first : first + _SHEET_ROWS_AT_ONCE], strict=True)
        written = [_cells(*column) for column in zip(table.kinds.values(), styles, part, strict=True)]
        yield "".join([f"<row>{''.join(cells)}</row>" for cells in zip(*written, strict=True)])


def _cells(kind: str, style: str, values: Sequence[Any]) -> list[str]:
    """The cells of a column."""
    empty = f'<c s="{style}"/>'
    start = f'<c s="{style}"><v>'
    if kind in ("number", "share"):
        return [empty if value is None else f"{start}{value!r}</v></c>" for value in values]
    if kind == "date":
        return [f"{start}{value.toordinal() - _EPOCH}</v></c>" for value in values]
    if kind == "week":
        numbers = [None if isinstance(value, str) else value for value in values]
        texts = [value if isinstance(value, str) else "" for value in values]
        pairs = zip(values, _cells("number", style, numbers), _cells("text", style, texts), strict=True)
        return [text if isinstance(value, str) else number for value, number, text in pairs]
    start = f'<c s="{style}" t="inlineStr"><is><t xml:space="preserve">'
    texts = {text: f"{start}{escape(_UNWRITABLE.sub(_code, text))}</t></is></c>" for text in set(values)} | {"": empty}
    return [texts[value] for value in values]


def _code(found: re.Match[str]) -> str:
    return f"_x{ord(found.group()):04X}_"


def read_workbook(path: Path) -> tuple[list[list[Any]], list[list[Any]]]:
    """The lines of the sheet of the weeks, which is the first one in a workbook of another's, and of that of the products,
    which a workbook of an earlier version lacks; the header first. Raises ListError.
    """
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        with CalamineWorkbook.from_path(path) as book:
            names = book.sheet_names
            weeks = book.get_sheet_by_name(SHEET if SHEET in names else names[0]).to_python()
            own = product_sheet.SHEET
            return weeks, book.get_sheet_by_name(own).to_python() if own in names else []
    except CalamineError as error:
        raise ListError([f"{path.name} must be a workbook; got: {error}; save it again as .xlsx"]) from None

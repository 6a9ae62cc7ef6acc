"""Price lists as workbooks: formats, frozen header, filters, a choice of statuses, notes on a second sheet, and prices
to try on a third.

XlsxWriter makes the workbook with its header and formats, and the rows are then written into its
sheet, which is many times as fast as its own writing of cells. No cell of the list is a formula.
"""

from __future__ import annotations

import datetime as dt
import io
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
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
TRIED_SHEET = "What if"
_FEW = 1e-9
_HOW_TO_TRY = (
    "Type a price into the blue column: it stands for the mean of the weeks listed, and moves all of them by the same share.",
    "An approximation: one elasticity a product, and one share a category that is taken from its other products, both at the "
    "listed prices, from the mean of the fitted market. It is good within about 10% of the listed price.",
    "It knows neither price rules nor stock nor uncertainty, and adds up prices that are tried together as if each were alone: "
    "`repricer what-if` computes them together in the fitted market, with 90% intervals.",
)
_COLUMNS = {
    "zone": ("@", 14),
    "product": ("@", 40),
    "category": ("@", 20),
    "listed price": ("#,##0.00", 11),
    "price to try": ("#,##0.00", 11),
    "listed units": ("#,##0.0", 11),
    "units": ("#,##0.0", 11),
    "revenue": ("#,##0.00", 12),
    "profit": ("#,##0.00", 12),
    "change in units": ("+#,##0.0;-#,##0.0;0", 11),
    "change in revenue": ("+#,##0.00;-#,##0.00;0", 12),
    "change in profit": ("+#,##0.00;-#,##0.00;0", 12),
    "units of other products": ("+#,##0.0;-#,##0.0;0", 12),
    "profit of other products": ("+#,##0.00;-#,##0.00;0", 12),
    "elasticity": ("0.00", 10),
    "taken from others": ("0%", 10),
    "unit cost": ("#,##0.00", 10),
    "others' unit profit": ("#,##0.00", 10),
}
_NAMES = tuple(_COLUMNS)
_HEADER = len(_HOW_TO_TRY) + 1
_TRIED, _ELASTICITY, _TAKEN = (_NAMES.index(name) for name in ("price to try", "elasticity", "taken from others"))


def write_workbook(
    path: Path,
    rows: Sequence[PriceRow],
    currency: str,
    notes: Sequence[str] = (),
    responses: Responses | None = None,
) -> None:
    """Write rows as a workbook, completely or not at all, with the sheet of prices to try where responses are given, or are
    in the workbook that is replaced. Raises ListError for too many rows.
    """
    if len(rows) > _MOST_ROWS:
        raise ListError([f"a workbook must hold at most {_MOST_ROWS:,} rows; got {len(rows):,}; write a .csv"])
    declared = columns()
    known = read_responses(path) if responses is None else responses
    empty = zipfile.ZipFile(io.BytesIO(_empty_workbook(declared, rows, currency, notes, known)))
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


def _empty_workbook(
    declared: list[Column], rows: Sequence[PriceRow], currency: str, more: Sequence[str], responses: Responses
) -> bytes:
    """A workbook with the header, one empty row that has the format of every column, and the other sheets."""
    import xlsxwriter

    stored, last = io.BytesIO(), max(len(rows), 1)
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
        add_sheet(book, rows, responses, bold)
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


# The sheet of a price list's workbook in which one types a price and sees what it would sell and earn.
#
# Its formulas have one elasticity a product and one share a category that a product takes from the others: near the
# listed prices they follow the fitted market, which `repricer what-if` asks itself.


class Response(NamedTuple):
    """How a product's units answer its price, at the listed prices.

    Args:
        elasticity: Relative change of its units over that of its price.
        taken: Share of the units that it wins which the other products of its category lose.
        tried: The price that was typed; None for none.
    """

    elasticity: float
    taken: float
    tried: float | None = None


Responses = Mapping[tuple[str, str], Response]
"""The responses by zone and product."""


def read_responses(path: Path) -> Responses:
    """The responses, with the prices typed, that the sheet of a workbook holds; none without one.

    Args:
        path: A workbook.

    Example:
        >>> read_responses(Path("nowhere.xlsx"))
        {}
    """
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        with CalamineWorkbook.from_path(path) as book:
            lines = book.get_sheet_by_name(TRIED_SHEET).to_python() if TRIED_SHEET in book.sheet_names else []
    except (CalamineError, OSError):
        return {}
    found = {}
    for line in lines[_HEADER:]:
        tried, elasticity, taken = (line[place] for place in (_TRIED, _ELASTICITY, _TAKEN))
        if isinstance(elasticity, float) and isinstance(taken, float):
            typed = tried if isinstance(tried, float) else None
            found[str(line[0]), str(line[1])] = Response(elasticity, taken, typed)
    return found


def add_sheet(book: Any, rows: Sequence[PriceRow], responses: Responses, bold: Any) -> None:
    """Add the sheet to a workbook of XlsxWriter, a row a zone and product whose response is known.

    Args:
        book: The workbook.
        rows: The rows of the list.
        responses: By zone and product.
        bold: Format of the header.
    """
    totals: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        if (row.zone, row.product) in responses and row.expected_units:
            sums = totals.setdefault((row.zone, row.product, row.category), [0.0] * 3)
            for i, part in enumerate((row.expected_units, row.expected_revenue, row.expected_profit)):
                sums[i] += part or 0.0
    if not totals:
        return
    sheet = book.add_worksheet(TRIED_SHEET)
    for number, text in enumerate(_HOW_TO_TRY):
        sheet.write_string(number, 0, text)
    formats = [book.add_format({"num_format": form}) for form, _ in _COLUMNS.values()]
    formats[_TRIED] = book.add_format({"num_format": "#,##0.00", "bg_color": "#DDEBF7"})
    for number, (name, (_, width)) in enumerate(_COLUMNS.items()):
        sheet.write_string(_HEADER - 1, number, name, bold)
        sheet.set_column(number, number, width)
    categories: dict[tuple[str, str], list[float]] = {}
    for (zone, _, category), (units, _, profit) in totals.items():
        both = categories.setdefault((zone, category), [0.0, 0.0])
        both[0], both[1] = both[0] + units, both[1] + profit
    for line, ((zone, product, category), (units, revenue, profit)) in enumerate(totals.items(), start=_HEADER):
        all_units, all_profit = categories[zone, category]
        each = (all_profit - profit) / (all_units - units) if all_units - units > _FEW else 0.0
        response, i = responses[zone, product], line + 1
        cells = [zone, product, category, revenue / units, response.tried, units]
        cells += [f"=F{i}*IF(E{i}>0,E{i}/D{i},1)^O{i}", f"=G{i}*IF(E{i}>0,E{i},D{i})"]
        cells += [f"=G{i}*(IF(E{i}>0,E{i},D{i})-Q{i})", f"=G{i}-F{i}", f"=H{i}-F{i}*D{i}", f"=I{i}-F{i}*(D{i}-Q{i})"]
        cells += [f"=-P{i}*J{i}", f"=M{i}*R{i}", response.elasticity, response.taken, (revenue - profit) / units, each]
        for number, cell in enumerate(cells):
            _write(sheet, line, number, cell, formats[number])
    last = _HEADER + len(totals)
    sheet.write_string(last, 1, "all", bold)
    for number in range(_NAMES.index("listed units"), _ELASTICITY):
        letter = chr(ord("A") + number)
        sheet.write_formula(last, number, f"=SUM({letter}{_HEADER + 1}:{letter}{last})", formats[number])
    sheet.freeze_panes(_HEADER, 2)


def _write(sheet: Any, line: int, number: int, cell: Any, form: Any) -> None:
    """Names are text, whatever they begin with; formulas stand behind the listed units alone."""
    if number < _NAMES.index("listed price"):
        sheet.write_string(line, number, cell)
    elif isinstance(cell, str):
        sheet.write_formula(line, number, cell, form)
    elif cell is None:
        sheet.write_blank(line, number, None, form)
    else:
        sheet.write_number(line, number, cell, form)

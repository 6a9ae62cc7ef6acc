"""Price lists as files: CSV, workbooks of Excel (XLSX), and the live prices of an approved one."""

from __future__ import annotations

import csv
import datetime as dt
import gc
import io
import math
from collections.abc import Iterable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ...atomic import write_whole
from ..csv_batch import QUOTE, safe_text
from ..documents import columns_mistake
from .product_sheet import decided_by_product
from .rows import COLUMNS, KINDS, ListError, PriceRow, as_text, rows_of
from .summary import ListSummary


def check_list_path(option: str, path: Path) -> None:
    """Check the ending of a price list's file before the work is done. Raises ListError."""
    if path.suffix.lower() not in (".csv", ".xlsx"):
        raise ListError([f"{option} must end in .csv or .xlsx; got '{path}'; rename it"])


def write_list(
    path: Path, rows: Sequence[PriceRow], *, currency: str = "currency", summary: ListSummary | None = None
) -> None:
    """Write a price list as its file's ending says, completely or not at all.

    Args:
        path: The file, .csv or .xlsx; missing folders are made.
        currency: What the workbook calls the unit of money.
        summary: What the workbook opens with, and shows of each product.

    Raises:
        ListError: The file has another ending, or more rows than a workbook holds.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "prices.csv"
        >>> write_list(path, [])
        >>> read_list(path)
        []
    """
    check_list_path("price list", path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".csv":
        write_csv(path, COLUMNS, map(msgspec.structs.astuple, rows))
    else:
        from .workbook import write_workbook

        write_workbook(path, rows, currency, summary)


def read_list(path: Path) -> list[PriceRow]:
    """The rows of a price list, with every cell checked.

    Args:
        path: A file that `write_list` wrote, as it is or with edited decisions.

    Raises:
        ListError: The file is no price list; `mistakes` names every wrong cell by row and column.

    Example:
        >>> read_list(Path("prices.txt"))
        Traceback (most recent call last):
        repricer.serving.price_list.rows.ListError: price list must end in .csv or .xlsx; got 'prices.txt'; rename it
    """
    check_list_path("price list", path)
    # Millions of cells without a cycle among them: to walk them again and again would double the time.
    collects = gc.isenabled()
    gc.disable()
    try:
        return _read(path)
    finally:
        if collects:
            gc.enable()


def _read(path: Path) -> list[PriceRow]:
    products: list[list[Any]] = []
    if path.suffix.lower() == ".csv":
        lines = csv_lines(path)
    else:
        from .workbook import read_workbook

        lines, products = read_workbook(path)
    while lines and not any(lines[-1]):  # a spreadsheet may leave empty rows below the list
        lines.pop()
    header = [str(name).strip() for name in lines[0]] if lines else []
    source = path.name
    if len(header) == 1 and (found := [mark for mark in ";\t" if mark in header[0]]):
        fix = "save it with commas, or decide in the workbook (.xlsx)"
        raise ListError([f"{source} must have commas between its fields; got {found[0]!r}; {fix}"])
    if problem := columns_mistake(header, COLUMNS, COLUMNS):
        raise ListError([f"{source}, row 1: must have {problem}"])
    must = f"must have {len(header)} cells, as the header"
    counts = list(enumerate(map(len, lines), start=1))
    if wrong := [f"{source}, row {n}: {must}; got {count}; fix the row" for n, count in counts if count != len(header)]:
        raise ListError(wrong)
    cells = dict(zip(header, zip(*lines[1:], strict=True), strict=False))
    typed = [_typed(kind, cells.get(name, ())) for name, kind in KINDS.items()]
    rows = rows_of(source, list(zip(*typed, strict=True)))
    return decided_by_product(source, rows, products) if products else rows


def _typed(kind: str, column: Sequence[Any]) -> list[Any]:
    """The cells of a column as what it holds; a cell that is no such thing stays text, to be refused."""
    read = {"number": _as_number, "date": _as_date}.get(kind, as_text)
    return [read(cell) for cell in column]


def _as_number(cell: Any) -> float | str | None:
    if type(cell) is float:
        return cell
    return None if cell == "" else _number(str(cell))


def _as_date(cell: Any) -> Any:
    if isinstance(cell, dt.datetime):
        return cell.date()
    return cell.strip() if isinstance(cell, str) else cell


def _number(text: str) -> float | str:
    try:
        return number if math.isfinite(number := float(text)) else text
    except ValueError:
        return text


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a CSV file whose texts no spreadsheet takes for formulas, completely or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow(safe_text(cell) if type(cell) is str else cell for cell in row)
    write_whole(path, text.getvalue())


RULES_BESIDE = ".rules.json"
"""How the file beside a list ends that has the cost of the price rules (`repricer rules cost --out`)."""
_RULES_PARTS = ("rules", "groups", "together", "no_choice", "chosen_by", "currency")


def read_rules(path: Path) -> dict[str, Any] | None:
    """What the price rules cost, from the file beside a price list; None where there is none.

    Args:
        path: The price list; `prices.csv` has `prices.rules.json` beside it.

    Raises:
        ListError: The file is none that `repricer rules cost` wrote.

    Example:
        >>> read_rules(Path("prices.csv")) is None
        True
    """
    beside = path.with_name(path.stem + RULES_BESIDE)
    if not beside.is_file():
        return None
    fix = f"write it again with repricer rules cost MARKET --out {beside}"
    try:
        found = msgspec.json.decode(beside.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        raise ListError([f"{beside.name} must hold a JSON object; got: {error}; {fix}"]) from None
    if missing := [part for part in _RULES_PARTS if part not in found]:
        raise ListError([f"{beside.name} must have {', '.join(_RULES_PARTS)}; got no {missing[0]}; {fix}"])
    return found


def csv_lines(path: Path) -> list[list[str]]:
    """The cells of a CSV file, without the quotes of `safe_text`. Raises ListError."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            lines = list(csv.reader(file, strict=True))
        except (csv.Error, UnicodeDecodeError) as error:
            raise ListError([f"{path.name} must be CSV in UTF-8; got: {error}; save it again, or as .xlsx"]) from None
    return [[cell[1:] if cell.startswith(QUOTE) else cell for cell in line] for line in lines]


# The live prices of an approved list, as a CSV file that a shop's systems read.


class LiveRow(NamedTuple):
    """One live price: `price` is what is charged, currency per unit; the rest as in the list."""

    zone: str
    product_id: str
    product: str
    week: dt.date
    price: float
    status: str
    decided_by: str
    decided_at: str
    decision_reason: str


def write_live(path: Path, rows: Iterable[PriceRow]) -> None:
    """Write the prices of decided rows, completely or not at all.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "live.csv"
        >>> write_live(path, [])
        >>> read_live(path)
        []
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_csv(path, LiveRow._fields, map(attrgetter(*LiveRow._fields), rows))


def read_live(path: Path) -> list[LiveRow]:
    """The live prices of a file that `write_live` wrote.

    Raises:
        ListError: It is no such file; one line.

    Example:
        >>> read_live(Path("live.csv"))  # doctest: +SKIP
        [LiveRow(zone='all stores', product_id='5569230', ...), ...]
    """
    header, *lines = csv_lines(path) or [[]]
    try:
        if tuple(header) != LiveRow._fields:
            raise ValueError(f"the columns {', '.join(header)[:80] or 'of an empty file'}")
        return msgspec.convert(lines, list[LiveRow], strict=False)
    except ValueError as error:
        raise ListError([f"{path.name} must hold live prices; got: {error}; run repricer approve again"]) from None

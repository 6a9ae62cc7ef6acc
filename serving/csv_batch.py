"""Prices for CSV files: one row per product in, one price per product out."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..atomic import write_whole
from ..pricing import OUTSIDE_CHARGED, Catalogue
from .documents import field_mistake, fields
from .market_state import MARKET, ProductDocument, StateError, product_type
from .predictor import Predictor, PriceAnswer
from .product_prices import ProductPrice
from .recurrent_state import MEMORY

NUMBERS = tuple(name for name in fields(ProductDocument) if name != "product")
"""Columns with the numbers of a product's state."""
REQUIRED = ("product", "list_price", "on_hand")
WHEN = ("date", "period")
"""Columns that name the period of a row; a file has one of them."""
_LOYALTY = "loyalty:"
_DUE = "due"
"""A column whose cells hold several numbers, with spaces between them."""
_AT_ONCE = 500
_MARK = "mark"
_DECIDED = ("promotion", "order_units", "express_units", "prior_lowest_price")
_MORE = (*_DECIDED, _MARK, MEMORY)
"""Columns that are written where the policy decides such a thing, or a price lies outside what
the shop charged.
"""
_FIRST = ("product", "list_price", "proposed", "price")

# What a spreadsheet may take for a formula at the start of a cell: OWASP, CSV injection.
_RISKY = tuple("=+-@\t\r\n＝＋－＠")
QUOTE = "'"


class BatchError(ValueError):
    """A file that cannot be priced; the message is one line that names the row and the column."""


@dataclass
class _Market:
    """One state, and the rows of the file that it came from (the header is row 1)."""

    state: dict[str, Any]
    rows: list[int]


def price_file(predictor: Predictor, source: Path, out: Path) -> tuple[int, int]:
    """Price every row of a CSV file; the output is written completely or not at all.

    Rows of one market and period make one state. Columns are those of a product's state and `date`,
    or `period`; `market`, `regime`, `memory` and `loyalty:SEGMENT` are optional. An empty `on_hand`
    is unlimited stock; another empty cell counts as left out.

    Returns:
        Numbers of markets and of prices.

    Raises:
        BatchError: The file cannot be priced.
    """
    catalogue = predictor.bundle.catalogue
    markets = _markets(source, catalogue)
    answers = list(_answers(predictor, source, markets))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    segments = [f"discount:{segment}" for segment in catalogue.segments if answers[0].prices[0].discounts]
    more = [
        name
        for name in _MORE
        if any(_cells(answer, price)[name] != "" for answer in answers for price in answer.prices)
    ]
    when = WHEN[catalogue.calendar is None :]
    writer.writerow(["market", *when, *_FIRST, *segments, "shown_to", "rules", "bundle", *more])
    count = 0
    for market, answer in zip(markets, answers, strict=True):
        for row in _rows(market.state, answer, [getattr(answer, name) for name in when], more):
            writer.writerow(row)
            count += 1
    write_whole(out, text.getvalue())
    return len(markets), count


def safe_text(text: str) -> str:
    """A text that no spreadsheet takes for a formula, with a quote before it where it needs one.

    Example:
        >>> safe_text("=9"), safe_text("tea")
        ("'=9", 'tea')
    """
    return QUOTE + text if text.startswith((*_RISKY, QUOTE)) else text


def _rows(state: dict[str, Any], answer: PriceAnswer, when: list[Any], more: list[str]) -> Iterator[list[Any]]:
    before = {item["product"]: item["list_price"] for item in state["products"]}
    for price in answer.prices:
        shown = [segment for segment, product in answer.recommendations.items() if product == price.product]
        rules = [change.rule for change in price.trail]
        start = [safe_text(state.get("market", MARKET)), *when, safe_text(price.product), before[price.product]]
        proposed = "" if price.proposed is None else price.proposed
        yield [
            *start,
            proposed,
            price.price,
            *price.discounts.values(),
            safe_text("; ".join(shown)),
            " ".join(rules),
            answer.bundle[:12],
            *(_cells(answer, price)[name] for name in more),
        ]


def _cells(answer: PriceAnswer, price: ProductPrice) -> dict[str, Any]:
    """What this policy decides beside the price, and the mark of a price outside what the shop charged."""
    marks = [change.why for change in price.trail if change.rule == OUTSIDE_CHARGED]
    found = {name: getattr(price, name) for name in _DECIDED} | {_MARK: " ".join(marks), MEMORY: answer.memory}
    return {name: "" if value is None else value for name, value in found.items()}


def _answers(predictor: Predictor, source: Path, markets: list[_Market]) -> Iterator[PriceAnswer]:
    """The answers in the order of the markets, several computed at a time."""
    for first in range(0, len(markets), _AT_ONCE):
        asked = []
        for market in markets[first : first + _AT_ONCE]:
            try:
                asked.append(predictor.read(market.state))
            except StateError as error:
                name, rows = market.state.get("market", MARKET), market.rows
                where = f"{source}: market {name!r} (rows {rows[0]} to {rows[-1]})"
                raise BatchError(f"{where}: {error}") from error
        yield from predictor.price_all(asked)


def _markets(source: Path, catalogue: Catalogue) -> list[_Market]:
    try:
        text = source.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BatchError(f"{source} must be a CSV file in UTF-8; got: {error}; fix it") from error
    # Where the decimal mark is a comma, spreadsheets separate cells by semicolons.
    header = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text), delimiter=";" if ";" in header and "," not in header else ",")
    names = [name.strip() for name in next(reader, [])]
    _check_columns(source, names, catalogue)
    found: dict[tuple[str, str], _Market] = {}
    for number, cells in enumerate(_listed(source, reader), start=2):
        if not any(cells):
            continue
        if len(cells) != len(names):
            raise BatchError(f"{source}, row {number}: must have {len(names)} cells; got {len(cells)}; fix the row")
        row = {name: cell.strip() for name, cell in zip(names, cells, strict=True)}
        _add_row(source, number, row, found, catalogue)
    if not found:
        raise BatchError(f"{source} must have rows under its header; got none; add the products")
    return list(found.values())


def _listed(source: Path, reader: Iterable[list[str]]) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise BatchError(f"{source} must be a CSV file; got: {error}; write it again") from error


def _check_columns(source: Path, names: list[str], catalogue: Catalogue) -> None:
    known = {"market", "regime", MEMORY, *WHEN, "product", *NUMBERS, *(_LOYALTY + s for s in catalogue.segments)}
    for name in REQUIRED:
        if name not in names:
            raise BatchError(f"{source}, row 1: must have the columns {', '.join(REQUIRED)}; got no {name}; add it")
    if sum(name in names for name in WHEN) != 1:
        got = "neither" if WHEN[0] not in names and WHEN[1] not in names else "both"
        raise BatchError(f"{source}, row 1: must have a column date, or period; got {got}; give one")
    for name in names:
        if name not in known or names.count(name) > 1:
            raise BatchError(f"{source}, row 1, column {name!r}: must be known and unique; got it; remove or rename it")


def _add_row(
    source: Path, number: int, row: dict[str, str], found: dict[tuple[str, str], _Market], catalogue: Catalogue
) -> None:
    """Add one row to its market's state."""

    def wrong(column: str, problem: str) -> BatchError:
        return BatchError(f"{source}, row {number}, column {column}: {problem}")

    if row["product"] not in catalogue.products:
        raise wrong("product", f"must be a product of the catalogue; got {row['product'][:80]!r}; name one of them")
    item: dict[str, Any] = {"product": row["product"]}
    for name in NUMBERS:
        if name == _DUE and row.get(name):
            item[name] = [_number(cell, wrong, name) for cell in row[name].split()]
        elif row.get(name) or name == "list_price":
            item[name] = _number(row[name], wrong, name)
        elif name == "on_hand":
            item[name] = None
    own = product_type(catalogue)
    for name in NUMBERS:
        if name in item and field_mistake(own, name, item[name], "state"):
            allowed = fields(own)[name].allowed
            raise wrong(name, f"must be {allowed}; got {row[name][:40]!r}; fix the cell")
    when = _when(row, wrong)
    key = (row.get("market", ""), str(when))
    facts = _facts(row, wrong)
    market = found.setdefault(key, _Market(facts | when | {"products": []}, []))
    for name, value in facts.items():
        if market.state.get(name) != value:
            raise wrong(
                name, f"must be the same in all rows of a market; got {value!r} after {market.state.get(name)!r}"
            )
    if any(other["product"] == item["product"] for other in market.state["products"]):
        raise wrong("product", f"must be unique in a market and period; got {item['product']!r} again; remove one")
    market.state["products"].append(item)
    market.rows.append(number)


def _when(row: dict[str, str], wrong: Any) -> dict[str, Any]:
    """The period of a row, as a state names it."""
    if "date" in row:
        try:
            return {"date": str(dt.date.fromisoformat(row["date"]))}
        except ValueError:
            raise wrong("date", f"must be YYYY-MM-DD; got {row['date'][:40]!r}; fix the cell") from None
    if not row["period"].isdecimal() or len(row["period"]) > 9:
        raise wrong("period", f"must be a whole number from 0; got {row['period'][:40]!r}; fix the cell")
    return {"period": int(row["period"])}


def _facts(row: dict[str, str], wrong: Any) -> dict[str, Any]:
    """The fields of a row that belong to its market as a whole."""
    facts: dict[str, Any] = {name: row[name] for name in ("market", "regime", MEMORY) if row.get(name)}
    loyalty = {name: cell for name, cell in row.items() if name.startswith(_LOYALTY) and cell}
    if loyalty:
        facts["loyalty"] = {name.removeprefix(_LOYALTY): _number(cell, wrong, name) for name, cell in loyalty.items()}
    return facts


def _number(cell: str, wrong: Any, column: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise wrong(column, f"must be a number with a decimal point; got {cell[:40]!r}; fix the cell") from None

"""The stock that is to be sold, as a table gives it, checked against the market."""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...pricing.price_rules.overrides import firm_bounds
from ...scenarios import MarketSpec

_CLOSE = 1e-6


@dataclass(frozen=True)
class StockRow:
    """The stock of one product, and what holds for it alone.

    Args:
        product: Its id or name in the market.
        on_hand: Units to sell, a whole number from 1.
        price: The price that is charged now, currency per unit; the regular price by default.
        lowest_price: Lowest price to go to; by default the lowest that the price rules allow.
        salvage_value: What a unit left over is worth, currency; negative for disposal.
        changes: How many price changes are left; by default those of the terms.
        sold: Units sold since the markdown began, which count towards the sell-through.

    Example:
        >>> StockRow("tea", 120, price=2.5).on_hand
        120
    """

    product: str
    on_hand: int
    price: float | None = None
    lowest_price: float | None = None
    salvage_value: float | None = None
    changes: int | None = None
    sold: int | None = None


COLUMNS = tuple(StockRow.__dataclass_fields__)
_NEEDED = ("product", "on_hand")


def read_stock(path: Path) -> list[StockRow]:
    """The rows of a stock table.

    Args:
        path: A CSV file with the columns `product` and `on_hand`, and optionally the others of
            `StockRow`; an empty cell stands for the default.

    Raises:
        ValueError: The table cannot be read; one line names the row and the column.

    Example:
        >>> read_stock(Path("stock.csv"))  # doctest: +SKIP
        [StockRow(product='tea', on_hand=120, ...)]
    """
    if not path.is_file():
        raise ValueError(f"stock must be a CSV file; got {path}, which is no file; write it or fix the path")
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            header, *lines = [[cell.strip() for cell in line] for line in csv.reader(file) if any(line)] or [[]]
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(
                f"{path.name} must be a CSV file in UTF-8; got another ({error}); save it as CSV"
            ) from None
    _check_header(path.name, header)
    if not lines:
        raise ValueError(f"{path.name} must have a row for each product to mark down; got none; add them")
    rows = []
    for number, line in enumerate(lines, start=2):
        where = f"{path.name}, row {number}"
        if len(line) != len(header):
            raise ValueError(f"{where}: must have {len(header)} cells, as the header; got {len(line)}; fix the row")
        rows.append(_row(dict(zip(header, line, strict=True)), where))
    return rows


def _row(cells: dict[str, str], where: str) -> StockRow:
    def number(name: str) -> float | None:
        return _number(cells.get(name, ""), f"{where}, column {name}")

    def whole(name: str) -> int | None:
        return _whole(cells.get(name, ""), f"{where}, column {name}")

    on_hand = whole("on_hand")
    if on_hand is None:
        raise ValueError(f"{where}, column on_hand: must be a whole number from 1; got an empty cell; fill it")
    return StockRow(
        cells["product"],
        on_hand,
        price=number("price"),
        lowest_price=number("lowest_price"),
        salvage_value=number("salvage_value"),
        changes=whole("changes"),
        sold=whole("sold"),
    )


def _check_header(source: str, header: Sequence[str]) -> None:
    for name in header:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, n=1)
            fix = f"did you mean {near[0]}?" if near else "remove it"
            raise ValueError(f"{source}, row 1: columns must be among {', '.join(COLUMNS)}; got {name!r}; {fix}")
        if header.count(name) > 1:
            raise ValueError(f"{source}, row 1: must have the column {name} once; got it again; remove one")
    for name in _NEEDED:
        if name not in header:
            raise ValueError(f"{source}, row 1: must have the columns {' and '.join(_NEEDED)}; got no {name}; add it")


def _number(text: str, where: str) -> float | None:
    try:
        number = float(text) if text else None
    except ValueError:
        number = math.nan
    if number is not None and not math.isfinite(number):
        raise ValueError(f"{where}: must be a number; got {text!r}; fix it")
    return number


def _whole(text: str, where: str) -> int | None:
    number = _number(text, where)
    if number is not None and number != int(number):
        raise ValueError(f"{where}: must be a whole number; got {text!r}; round it")
    return None if number is None else int(number)


@dataclass(frozen=True)
class Leftover:
    """A row of the stock table with everything filled in: `product` is the number of the product."""

    product: int
    on_hand: int
    price: float
    lowest_price: float
    salvage_value: float
    changes: int
    sold: int


def leftovers(spec: MarketSpec, rows: Sequence[StockRow], *, changes: int, salvage: float) -> list[Leftover]:
    """The rows, checked against the market and filled in.

    Args:
        changes: Number of price changes where a row does not say.
        salvage: Value of a unit left over as a share of the regular price where a row does not say.

    Raises:
        ValueError: A row does not fit the market; one line names the product.

    Example:
        >>> from repricer import load_scenario
        >>> leftovers(load_scenario("three-stocks"), [StockRow("coffee", 3)], changes=3, salvage=0.1)
        Traceback (most recent call last):
        ValueError: stock: product must be an id or name of the market three-stocks; got 'coffee'; leave the row out
    """
    names, found = spec.products.names, {}
    number = dict(zip(names, range(len(names)), strict=True))
    number |= {product: n for n, product in enumerate(spec.products.ids or ())}
    for row in rows:
        if row.product not in number:
            near = difflib.get_close_matches(row.product, number, n=1)
            fix = f"did you mean {near[0]}?" if near else "leave the row out"
            raise ValueError(
                f"stock: product must be an id or name of the market {spec.name}; got {row.product!r:.200}; {fix}"
            )
        n = number[row.product]
        if n in found:
            raise ValueError(f"stock: a product must have one row; got {row.product!r} again; add the stocks up")
        found[n] = _filled(spec, n, row, changes, salvage)
    return [found[n] for n in sorted(found)]


def _filled(spec: MarketSpec, n: int, row: StockRow, changes: int, salvage: float) -> Leftover:
    rules, regular = spec.guardrails, float(spec.products.regular_price[n])
    what = f"of {row.product!r} must be"
    if row.on_hand < 1:
        raise ValueError(f"stock: on_hand {what} a whole number from 1; got {row.on_hand}; leave the row out")
    for name in ("changes", "sold"):
        if (getattr(row, name) or 0) < 0:
            raise ValueError(f"stock: {name} {what} a whole number from 0; got {getattr(row, name)}; fix it")
    usual = float(rules.low[n])
    soft = rules.bounds_from_sales is not None and rules.bounds_from_sales[n]
    # A floor that comes from the sales is no reason to refuse a manager's price.
    least = float(firm_bounds(rules)[0][n]) if soft else usual
    now = float(f"{rules.nearest(spec.products.regular_price)[n]:.7g}") if row.price is None else row.price
    lowest = min(usual, now) if row.lowest_price is None else row.lowest_price
    if now < least * (1 - _CLOSE):
        raise ValueError(
            f"stock: price {what} at least {least:g}, the lowest that the price rules allow; got {now:g}; "
            "lower its floor in the market's scenario.toml"
        )
    if not least * (1 - _CLOSE) <= lowest <= now * (1 + _CLOSE):
        raise ValueError(
            f"stock: lowest_price {what} {least:g}, the lowest that the price rules allow, to {now:g}, its price now; "
            f"got {lowest:g}; fix it"
        )
    return Leftover(
        product=n,
        on_hand=row.on_hand,
        price=now,
        lowest_price=lowest,
        salvage_value=salvage * regular if row.salvage_value is None else row.salvage_value,
        changes=changes if row.changes is None else row.changes,
        sold=row.sold or 0,
    )

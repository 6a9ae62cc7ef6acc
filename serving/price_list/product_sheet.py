"""The sheet of a workbook that has one row a product: what it shows, and the decisions that are read back from it.

A decision about a product counts where its cells differ from what was written. It is for the weeks that are still proposed,
or for all weeks where all are decided, and decided alike: a decision about a single week, on the sheet of the weeks, stands.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec

from .products import BY_WEEK, ListedProduct, ProductDecision, by_product
from .rows import EXPECTED, STATUSES, ListError, PriceRow, as_text, contradictions

SHEET = "products"
DECISIONS = ("status", "decided_price", "decided_by", "decision_reason")
SEALS = ("check", "written")
"""Columns that the workbook hides."""
WEEK = "a week: its new price, and what becomes of a deal: kept, moved, dropped or added"
"""What a column that is called by a date holds."""
_FIRST = {
    "zone": ("text", "store or group of stores with the same prices"),
    "product_id": ("text", "the product's id in the shop's tables"),
    "product": ("text", "its name"),
    "category": ("text", "its category"),
    "regular_price": ("number", "regular price now, currency per unit"),
    "new_regular_price": ("number", "regular price as proposed"),
    "change": ("share", "new over old regular price, less one"),
}
_LAST: dict[str, tuple[str, str]] = {}
for _name in EXPECTED:
    _LAST |= {
        f"expected_{_name}": ("number", f"expected {_name} in all weeks, as proposed"),
        f"{_name}_change": ("number", f"change of {_name} against the current prices of all products"),
        f"{_name}_change_low": ("number", "low end of its 90% interval"),
        f"{_name}_change_high": ("number", "high end of it"),
    }
_LAST |= {
    "reason": ("text", "why, once for all weeks"),
    "cost_of_leaving": ("number", "what all products earn less if this one keeps its current prices, currency"),
    "cost_low": ("number", "low end of its 90% interval"),
    "cost_high": ("number", "high end of it"),
    "status": ("text", "what is decided for the weeks that are still proposed, or else for all; by week: see there"),
    "decided_price": ("number", "for overridden: the price in the weeks without a deal, currency per unit"),
    "decided_by": ("text", "who decided"),
    "decision_reason": ("text", "why; needed for overridden and postponed"),
    "check": ("text", "checksum of the columns before status"),
    "written": ("text", "checksum of the decision as it was written, by which a new one is found"),
}


def columns(products: Sequence[ListedProduct]) -> dict[str, tuple[str, str]]:
    """The kind and the meaning of each column, in order; every week of the list has one.

    Example:
        >>> list(columns([]))[:3]
        ['zone', 'product_id', 'product']
    """
    weeks = sorted({row.week for product in products for row in product.rows})
    return _FIRST | {str(week): ("week", WEEK) for week in weeks} | _LAST


def cells(products: Sequence[ListedProduct]) -> list[list[Any]]:
    """The cells of the sheet, a list for each product."""
    names = list(columns(products))
    return [[known.get(name) for name in names] for known in map(_known, products)]


def _known(product: ListedProduct) -> dict[str, Any]:
    first = product.rows[0]
    summary = product.summary
    found: dict[str, Any] = {name: getattr(first, name) for name in ("zone", "product_id", "product", "category")}
    found |= {"regular_price": product.regular_price, "new_regular_price": product.new_regular_price}
    found["change"] = round(product.change, 6)
    for row, deal in zip(product.rows, product.deals, strict=True):
        found[str(row.week)] = f"{row.new_price:.2f} {deal}" if deal else row.new_price
    for name in EXPECTED:
        expected = product.expected(name)
        found[f"expected_{name}"] = None if expected is None else round(expected, 2)
        change = None if summary is None else getattr(summary, name)
        if change is not None:
            found |= _ends(f"{name}_change", f"{name}_change", change)
    if summary is not None and summary.cost_of_leaving is not None:
        found |= _ends("cost_of_leaving", "cost", summary.cost_of_leaving)
    found["reason"] = product.reason
    found["check"] = _digest({name: value for name, value in found.items() if value is not None})
    found |= product.decision._asdict()
    return found | {"written": _digest({name: found[name] for name in DECISIONS})}


def _ends(name: str, ends: str, estimate: Any) -> dict[str, float]:
    return {
        name: round(estimate.mean, 2),
        f"{ends}_low": round(estimate.low, 2),
        f"{ends}_high": round(estimate.high, 2),
    }


def _digest(known: dict[str, Any]) -> str:
    """A checksum of cells, whatever their order, and whether a spreadsheet takes a number for text."""
    said = sorted((name, _said(value)) for name, value in known.items() if value not in ("", None))
    return hashlib.blake2b(msgspec.json.encode(said), digest_size=6).hexdigest()


def _said(value: Any) -> str:
    return f"{value:.12g}" if isinstance(value, float | int) else str(value)


def decided_by_product(source: str, rows: Sequence[PriceRow], lines: Sequence[Sequence[Any]]) -> list[PriceRow]:
    """The rows of a list with the decisions of the sheet of its products.

    Args:
        source: What error messages call the file.
        rows: The rows, as the sheet of the weeks has them.
        lines: The lines of the sheet of the products, the header first.

    Raises:
        ListError: A decision is none, its cells do not fit together, other cells were edited, or single weeks are decided
            otherwise; each is named by its row.

    Example:
        >>> decided_by_product("prices.xlsx", [], [])
        []
    """
    header = [str(name).strip() for name in lines[0]] if lines else []
    where = f"{source}, sheet {SHEET}"
    if lines:
        _check_header(where, header)
    products = defaultdict[tuple[str, str], list[PriceRow]](list)
    for row in rows:
        products[row.zone, row.product].append(row)
    made = dict[tuple[str, str, dt.date], PriceRow]()
    wrong = list[str]()
    seen = dict[tuple[str, str], int]()
    for number, line in enumerate(lines[1:], start=2):
        known = dict(zip(header, line, strict=False))
        if not any(cell not in ("", None) for cell in line):
            continue
        key = (_text(known["zone"]), _text(known["product"]))
        place = f"{where}, row {number}"
        if key in seen:
            wrong.append(
                f"{place}, column product: must be unique by zone; got that of row {seen[key]} again; remove one"
            )
        elif key not in products:
            got = f"got {key[1]!r} in {key[0]!r}"
            wrong.append(f"{place}, column product: must be a product of the sheet of the weeks; {got}; restore it")
        elif mistakes := _mistakes(known):
            wrong += [f"{place}, {text}" for text in mistakes]
        else:
            try:
                made |= {one.key: one for one in _decided(products[key], known)}
            except ListError as error:
                wrong += [f"{place}, {text}" for text in error.mistakes]
        seen.setdefault(key, number)
    if wrong:
        raise ListError(wrong)
    return [made.get(row.key, row) for row in rows]


def _check_header(where: str, header: Sequence[str]) -> None:
    fixed = [*_FIRST, *_LAST]
    fix = f"restore it, or remove the sheet {SHEET} and decide on single weeks"
    if missing := [name for name in fixed if name not in header]:
        raise ListError([f"{where}, row 1: must have the column {missing[0]}; got none; {fix}"])
    for name in header:
        if name not in fixed and not _is_day(name):
            raise ListError([f"{where}, row 1: must have known columns; got {name!r}; remove it"])


def _is_day(name: str) -> bool:
    try:
        return bool(dt.date.fromisoformat(name))
    except ValueError:
        return False


def _text(cell: Any) -> str:
    return "" if cell is None else as_text(cell)


def _number(cell: Any) -> float | None:
    """The number in a cell; None in an empty one, and not a number where it holds none."""
    if cell in ("", None):
        return None
    try:
        return float(cell)
    except (TypeError, ValueError):
        return math.nan


def _mistakes(known: dict[str, Any]) -> list[str]:
    """What is wrong in the cells of a row by themselves."""
    found = []
    others = {name: value for name, value in known.items() if name not in (*DECISIONS, *SEALS)}
    if _digest(others) != _text(known["check"]):
        must = "must be as they were written, since decisions stand in the columns from status on"
        found.append(f"column check: the columns before status {must}; got an edited one; restore it")
    status = _text(known["status"]).strip()
    price = _number(known["decided_price"])
    if status not in (*STATUSES, BY_WEEK):
        found.append(f"column status: must be one of {', '.join((*STATUSES, BY_WEEK))}; got {status!r}; fix it")
    if price is not None and not 0 < price <= 1e9:
        must = "must be a number above 0 to 1e+09, or empty"
        found.append(f"column decided_price: {must}; got {_text(known['decided_price'])!r}; fix it")
    return found


def _decided(rows: Sequence[PriceRow], known: dict[str, Any]) -> list[PriceRow]:
    """The rows of a product with a decision of the sheet; none where it is as it was written. Raises ListError."""
    if _digest({name: known[name] for name in DECISIONS}) == _text(known["written"]):
        return []
    status: Any = _text(known["status"]).strip()
    if status == BY_WEEK:
        return []
    reason, (product,) = _text(known["decision_reason"]), by_product(rows)
    # The deals are those that the sheet shows: it may have travelled without the summary of its list.
    deals = tuple(_deal(known.get(str(row.week))) for row in product.rows)
    product = msgspec.structs.replace(product, deals=deals)
    made = ProductDecision(status, _number(known["decided_price"]), _text(known["decided_by"]), reason)
    is_open = any(row.status == "proposed" for row in rows)
    if not is_open and product.decision.status == BY_WEEK:
        must = "a new decision about a product must be for weeks that are decided alike, or not yet"
        fix = "on the sheet of the weeks, set those to proposed that it is for"
        raise ListError([f"column status: {must}; got {status} where single weeks differ; {fix}"])
    decided = product.decided([row.week for row in product.open_weeks], made)
    if mistakes := [text for row in decided for text in contradictions(row)]:
        raise ListError(list(dict.fromkeys(mistakes)))
    return decided


def _deal(cell: Any) -> str:
    """What becomes of a week's deal, from its cell."""
    return cell.partition(" ")[2] if isinstance(cell, str) else ""

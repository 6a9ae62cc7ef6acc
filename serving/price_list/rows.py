"""The rows of a price list: one declaration gives the columns of its files, their checks
and their notes.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, inspect

from ..documents import Document, Name, field_mistake, fields

ALL_STORES = "all stores"
"""The zone of a list that is for all stores."""
Status = Literal["proposed", "approved", "overridden", "postponed"]
Text = Annotated[str, Meta(max_length=2000, extra={"allowed": "text of at most 2,000 characters"})]
Price = Annotated[float, Meta(gt=0, le=1e9)]
Number = Annotated[float, Meta(ge=-1e15, le=1e15)]
Share = Annotated[float, Meta(ge=0, le=1)]
_PARAMETER_SHARE = "share of the variance of revenue that is parameter uncertainty; the rest is chance"
_OUTSIDE = "filled where the new price lies outside what the shop mostly charged in the past"
_LOWEST = "lowest price of the 30 days before, which a reduction must show; empty: unknown"
_DECIDED_PRICE = "for overridden: the price to charge instead, currency per unit"


class ListError(ValueError):
    """A price list that cannot be read or used.

    Attributes:
        mistakes: Everything that is wrong, one line each, with row and column; the first
            is the message.

    Example:
        >>> str(ListError(["row 2, column week: must be YYYY-MM-DD; got 'x'; fix it", "row 3: ..."]))
        "row 2, column week: must be YYYY-MM-DD; got 'x'; fix it (and 1 more)"
    """

    def __init__(self, mistakes: Sequence[str]) -> None:
        self.mistakes = list(mistakes)
        more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
        super().__init__(f"{mistakes[0]}{more}")


class PriceRow(Document, frozen=True, kw_only=True, array_like=True, gc=False):
    """One product in one zone and week: the proposal, and what the desk decided about it.

    Example:
        >>> row = PriceRow(
        ...     zone="all stores", product_id="1", product="tea", category="drinks", week=dt.date(2018, 1, 1),
        ...     current_price=2.0, new_price=2.2, change=0.1, reason="Raised.", check="",
        ... )
        >>> row.status, row.price
        ('proposed', 2.2)
    """

    zone: Annotated[Name, Meta(description="store or group of stores with the same prices")]
    product_id: Annotated[Name, Meta(description="the product's id in the shop's tables")]
    product: Annotated[Name, Meta(description="its name, as bundle and reports have it")]
    category: Annotated[Name, Meta(description="its category")]
    week: Annotated[dt.date, Meta(description="first day of the week (or other period)")]
    current_price: Annotated[Price, Meta(description="the price that is planned anyway, currency per unit")]
    new_price: Annotated[Price, Meta(description="the proposed price, currency per unit")]
    change: Annotated[Number, Meta(description="new price over current price, less one")]
    reason: Annotated[Text, Meta(description="why, in one sentence")]
    expected_units: Annotated[Number | None, Meta(description="expected units at the new price, over all draws")] = None
    units_low: Annotated[Number | None, Meta(description="low end of the 90% interval of the units sold")] = None
    units_high: Annotated[Number | None, Meta(description="high end of it")] = None
    expected_revenue: Annotated[Number | None, Meta(description="expected revenue at the new price, currency")] = None
    revenue_low: Annotated[Number | None, Meta(description="low end of its 90% interval")] = None
    revenue_high: Annotated[Number | None, Meta(description="high end of it")] = None
    expected_profit: Annotated[Number | None, Meta(description="expected profit at the new price, currency")] = None
    profit_low: Annotated[Number | None, Meta(description="low end of its 90% interval")] = None
    profit_high: Annotated[Number | None, Meta(description="high end of it")] = None
    parameter_share: Annotated[Share | None, Meta(description=_PARAMETER_SHARE)] = None
    outside_charged: Annotated[Text, Meta(description=_OUTSIDE)] = ""
    rules: Annotated[Text, Meta(description="price rules that changed what the policy proposed")] = ""
    lowest_price_30_days: Annotated[Price | None, Meta(description=_LOWEST)] = None
    status: Annotated[Status, Meta(description="what is decided; edit this column")] = "proposed"
    decided_price: Annotated[Price | None, Meta(description=_DECIDED_PRICE)] = None
    decided_by: Annotated[Text, Meta(description="who decided; filled when the list is approved")] = ""
    decided_at: Annotated[Text, Meta(description="when (UTC); filled when the list is approved")] = ""
    decision_reason: Annotated[Text, Meta(description="why; needed for overridden and postponed")] = ""
    check: Annotated[Text, Meta(description="checksum of the proposal, by which edits of other columns are found")]

    def __post_init__(self) -> None:
        # The usual case, quickly: a list may have a hundred thousand rows.
        if not f"{self.zone}{self.product_id}{self.product}{self.category}".isprintable():
            super().__post_init__()

    @property
    def key(self) -> tuple[str, str, dt.date]:
        """Zone, product and week, which name a row."""
        return self.zone, self.product, self.week

    @property
    def price(self) -> float:
        """The price that is charged if the row stands as it is: a postponed one keeps the current price."""
        if self.status == "postponed":
            return self.current_price
        return self.new_price if self.decided_price is None else self.decided_price

    @property
    def seen(self) -> str:
        """Names the row as it is, with its decision: a decision about it names what was seen, so that none is about
        another.
        """
        facts = msgspec.structs.astuple(msgspec.structs.replace(self, decided_at=""))
        return hashlib.blake2b(msgspec.json.encode(facts), digest_size=12).hexdigest()

    @property
    def checksum(self) -> str:
        """The checksum that `check` holds while no column of the proposal was edited."""
        proposal = msgspec.json.encode(msgspec.structs.astuple(self)[:PROPOSED])
        return hashlib.blake2b(proposal, digest_size=6).hexdigest()


COLUMNS = tuple(fields(PriceRow))
"""The columns of a price list, in order."""
EXPECTED = ("units", "revenue", "profit")
"""What is expected of a row, each with its interval: its columns begin with `expected_`."""
DECIDED = ("status", "decided_price", "decided_by", "decided_at", "decision_reason")
"""The columns that the desk fills."""
PROPOSED = COLUMNS.index("status")
"""The number of columns before them, which hold the proposal."""
STATUSES = fields(PriceRow)["status"].choices


def _kind(kind: inspect.Type) -> Literal["text", "number", "date"]:
    while isinstance(kind, inspect.Metadata | inspect.UnionType):
        kind = kind.type if isinstance(kind, inspect.Metadata) else kind.types[0]
    if isinstance(kind, inspect.FloatType):
        return "number"
    return "date" if isinstance(kind, inspect.DateType) else "text"


KINDS = {name: _kind(field.type) for name, field in fields(PriceRow).items()}
"""What each column holds."""


def sealed(row: PriceRow) -> PriceRow:
    """The row with its checksum."""
    return msgspec.structs.replace(row, check=row.checksum)


def rows_of(source: str, cells: Sequence[Sequence[Any]]) -> list[PriceRow]:
    """The rows in the cells of a file, which have the types of their columns where they could
    be read so.

    Args:
        source: What error messages call the file.
        cells: The cells of each row, in the order of `COLUMNS`; an empty one is "" or None.

    Raises:
        ListError: Cells are wrong; each is named by row (the header is row 1) and column.
    """
    try:
        rows = msgspec.convert(cells, list[PriceRow])
    except (msgspec.ValidationError, ValueError):
        raise ListError(_wrong_cells(source, cells)) from None
    wrong = [
        f"{source}, row {n}, {text}"
        for n, row in enumerate(rows, start=2)
        if row.status != "proposed" or row.decided_price is not None or row.check != row.checksum
        for text in contradictions(row)
    ]
    wrong += _repeated(source, rows)
    if wrong:
        raise ListError(wrong)
    return rows


def _wrong_cells(source: str, cells: Sequence[Sequence[Any]]) -> list[str]:
    wrong = []
    declared = fields(PriceRow)
    for number, row in enumerate(cells, start=2):
        for (name, field), cell in zip(declared.items(), row, strict=True):
            where = f"{source}, row {number}, column {name}: "
            if cell in ("", None) and (field.required or field.choices):
                wrong.append(f"{where}must be {field.allowed}; got an empty cell; fill it")
            elif cell is not None and (problem := field_mistake(PriceRow, name, cell, "")):
                wrong.append(where + problem.partition(f"{name} ")[2])
    return wrong


def contradictions(row: PriceRow) -> list[str]:
    """What does not fit together in a row."""
    wrong = []
    decided = row.decided_price
    status = row.status
    if row.check != row.checksum:
        wrong.append("check: the columns before status must be as they were proposed; got an edited one; restore it")
    if status == "overridden" and decided is None:
        wrong.append("decided_price: must hold the price to charge where status is overridden; got none; fill it")
    if status != "overridden" and decided is not None and not (status == "approved" and decided == row.new_price):
        got = f"where status is {status}; got {decided:g}"
        wrong.append(f"decided_price: must be empty {got}; set status to overridden")
    if status in ("overridden", "postponed") and not row.decision_reason.strip():
        wrong.append(f"decision_reason: must say why where status is {status}; got an empty cell; fill it")
    return [f"column {text}" for text in wrong]


def _repeated(source: str, rows: Sequence[PriceRow]) -> list[str]:
    first: dict[tuple[str, str, dt.date], int] = {}
    return [
        f"{source}, row {number}, column product: must be unique by zone and week; got {row.product!r} of row "
        f"{first[row.key]} again; remove one"
        for number, row in enumerate(rows, start=2)
        if first.setdefault(row.key, number) != number
    ]


def as_text(cell: Any) -> str:
    """A cell as text: an id that a spreadsheet took for a number has no decimals.

    Args:
        cell: What the workbook holds.

    Example:
        >>> as_text(4711.0), as_text("a")
        ('4711', 'a')
    """
    return f"{cell:.15g}" if isinstance(cell, float) else str(cell)

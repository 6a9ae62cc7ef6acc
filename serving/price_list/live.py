"""The live prices of an approved list, as a CSV file that a shop's systems read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from .files import csv_lines, write_csv
from .rows import ListError, PriceRow


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
        return [
            LiveRow(zone, number, product, dt.date.fromisoformat(week), float(price), *decision)
            for zone, number, product, week, price, *decision in lines
        ]
    except (ValueError, TypeError) as error:
        raise ListError([f"{path.name} must hold live prices; got: {error}; run repricer approve again"]) from None

"""The canonical tables, and the report of their import."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import pandas as pd
import polars as pl

from .weeks import to_polars

REJECT_COLUMNS = ["table", "file", "row", "reason", "text"]
_CUSTOMERS_SHOWN = 10
"""Flagged customers that are printed."""


@dataclass(frozen=True)
class Tables:
    """The canonical tables of a shop, described by `SCHEMAS`, and the calendars of experiments; all but `sales` are
    optional.

    Args:
        sales: One row per sale line.
        products: One row per product.
        customers: One row per customer.
        behaviour: One row per view, cart, rating or review.
        signals: One row per competitor price, holiday or value of an external index.
        stock: One row per stock count.
        promotions: One row per promotion of a product.
        plan: One row per product and week to come that the shop has planned already.
        experiments: One row per store, week and product of price experiments, as `load_experiments` returns them.

    Example:
        >>> len(Tables(pd.DataFrame({"product": ["apple"], "units": [1.0]})).fingerprint())
        64
    """

    sales: pd.DataFrame
    products: pd.DataFrame | None = None
    customers: pd.DataFrame | None = None
    behaviour: pd.DataFrame | None = None
    signals: pd.DataFrame | None = None
    stock: pd.DataFrame | None = None
    promotions: pd.DataFrame | None = None
    plan: pd.DataFrame | None = None
    experiments: pd.DataFrame | None = None

    def fingerprint(self) -> str:
        """SHA-256 of the tables, hexadecimal: names, columns and rows in their order."""
        digest = hashlib.sha256()
        for item in fields(self):
            table = getattr(self, item.name)
            if table is not None:
                digest.update(json.dumps([item.name, len(table), *map(str, table.columns)]).encode())
                digest.update(pd.util.hash_pandas_object(table, index=False).to_numpy().astype("<u8").tobytes())
        return digest.hexdigest()

    def lines(self, name: str, columns: list[str]) -> pl.LazyFrame | None:
        """The rows of a table, with those of `columns` that it has; None where there is no such table."""
        table = getattr(self, name)
        return None if table is None else to_polars(table, columns).lazy()

    def sale_lines(self, columns: list[str]) -> pl.LazyFrame:
        """The rows of the sales, of which there is always a table, as `lines` gives them."""
        lines = self.lines("sales", columns)
        assert lines is not None
        return lines


@dataclass(frozen=True)
class StoredTables(Tables):
    """Tables of which some stay on the disk, in order of their dates: those are empty here, and read by `lines`.

    Args:
        scans: The tables that stay on the disk, by name.

    Example:
        >>> scan = pl.LazyFrame({"product": ["apple"], "units": [1.0]})
        >>> StoredTables(pd.DataFrame(), scans={"sales": scan}).lines("sales", ["units"]).collect().item()
        1.0
    """

    scans: Mapping[str, pl.LazyFrame] = field(default_factory=dict)

    def lines(self, name: str, columns: list[str]) -> pl.LazyFrame | None:
        """The rows of a table, as `Tables.lines` gives them."""
        if name not in self.scans or getattr(self, name) is None:
            return super().lines(name, columns)
        scan = self.scans[name]
        there = scan.collect_schema().names()
        lines = scan.select(column for column in columns if column in there)
        return lines.with_columns(pl.col(pl.Datetime).cast(pl.Datetime("us")))


@dataclass(frozen=True)
class ImportReport:
    """What an import did with every row: for each table, `read` = `kept` + the sum of `dropped`.

    Args:
        read: Rows read, by table.
        kept: Rows kept, by table.
        dropped: Rows left out, by table and reason; each row is counted once.
        rejects: Faulty rows with columns `table`, `file`, `row` (in the file, whose header is row 1),
            `reason` and `text` (the row's canonical columns, with pseudonyms instead of customers).
        notes: What else was changed or noticed, one sentence each.
        pseudonym_key: Mark of the key that made the pseudonyms.
        flagged: Why a customer's rows may be no demand, by pseudonym; see `flagged_customers`.

    Example:
        >>> report = ImportReport({"sales": 3}, {"sales": 2}, {"sales": {"units: is missing": 1}})
        >>> report.lines()
        ['sales: 3 rows read, 2 kept', '  1 left out: units: is missing']
    """

    read: dict[str, int]
    kept: dict[str, int]
    dropped: dict[str, dict[str, int]]
    rejects: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=REJECT_COLUMNS))
    notes: tuple[str, ...] = ()
    pseudonym_key: str | None = None
    flagged: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """The report in lines, for printing."""
        lines = []
        for table, read in self.read.items():
            lines.append(f"{table}: {read:,} rows read, {self.kept[table]:,} kept")
            lines += [f"  {rows:,} left out: {reason}" for reason, rows in self.dropped[table].items()]
        if self.flagged:
            some = list(self.flagged.items())[:_CUSTOMERS_SHOWN]
            lines.append(f"customers flagged, who may be no customers: {len(self.flagged):,}; the first are")
            lines += [f"  {customer}: {reason}" for customer, reason in some]
        return [*lines, *self.notes]

    def leaving(self, kept: Mapping[str, int], reason: str) -> ImportReport:
        """The report where only so many rows of some tables are kept, and the others are left out for a reason."""
        gone = {name: {reason: self.kept[name] - rows} for name, rows in kept.items() if rows < self.kept[name]}
        dropped = {name: by | gone.get(name, {}) for name, by in self.dropped.items()}
        return replace(self, kept=self.kept | dict(kept), dropped=dropped)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data for JSON."""
        return asdict(self) | {"rejects": self.rejects.to_dict("records"), "notes": list(self.notes)}

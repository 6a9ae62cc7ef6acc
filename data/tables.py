"""What the data room hands on: the canonical tables, and the account of how they came about."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import pandas as pd

REJECT_COLUMNS = ["table", "row", "reason", "text"]


@dataclass(frozen=True)
class Tables:
    """The canonical tables (columns and units: `SCHEMAS`); all but `sales` may be unknown."""

    sales: pd.DataFrame
    products: pd.DataFrame | None = None
    customers: pd.DataFrame | None = None
    behaviour: pd.DataFrame | None = None
    signals: pd.DataFrame | None = None
    stock: pd.DataFrame | None = None
    promotions: pd.DataFrame | None = None

    def fingerprint(self) -> str:
        """SHA-256 of what the tables hold, hexadecimal: names, columns and rows in their order."""
        digest = hashlib.sha256()
        for item in fields(self):
            table = getattr(self, item.name)
            if table is not None:
                digest.update(json.dumps([item.name, len(table), *map(str, table.columns)]).encode())
                digest.update(pd.util.hash_pandas_object(table, index=False).to_numpy().astype("<u8").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class ImportReport:
    """Where every row that was read went: for each table, `read` = `kept` + the sum of `dropped`.

    Attributes:
        read: rows read, by table.
        kept: rows kept, by table.
        dropped: rows left out, by table and reason; each row is counted once.
        rejects: faulty rows with columns `table`, `row` (in the file; its header is line 1), `reason` and
            `text` (the row's canonical columns, with pseudonyms in place of customers).
        notes: what else was changed or noticed, one sentence each.
    """

    read: dict[str, int]
    kept: dict[str, int]
    dropped: dict[str, dict[str, int]]
    rejects: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=REJECT_COLUMNS))
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Say it all in plain lines, for printing."""
        lines = []
        for table, read in self.read.items():
            lines.append(f"{table}: {read:,} rows read, {self.kept[table]:,} kept")
            lines += [f"  {rows:,} left out: {reason}" for reason, rows in self.dropped[table].items()]
        return [*lines, *self.notes]

    def to_dict(self) -> dict[str, Any]:
        """Give the account as plain data, fit for JSON."""
        return asdict(self) | {"rejects": self.rejects.to_dict("records"), "notes": list(self.notes)}

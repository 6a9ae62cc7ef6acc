"""Changes of imported tables for the sake of persons: new pseudonyms, and the erasure of a customer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ..privacy.encryption import ENDING, content_of, kept_file, secret
from ..privacy.pseudonyms import PSEUDONYM, Pseudonyms, as_text
from .mapping import TableMapping
from .schema import DataError
from .sources import Source, TableFile, parts_of
from .storage import IMPORT, REJECTS, access_to, load_tables, parts_beside, write_tables
from .tables import Tables


class Kept(NamedTuple):
    """All that a folder of tables holds.

    Attributes:
        rejects: The faulty rows of the import.
    """

    tables: Tables
    rejects: pd.DataFrame
    account: dict[str, Any]

    def pseudonyms(self) -> set[str]:
        """Every pseudonym in the tables and the faulty rows."""
        found = {name for text in self.rejects["text"].dropna() for name in PSEUDONYM.findall(text)}
        return found.union(*(table["customer"].dropna() for table in _personal(self.tables).values()))

    def without(self, pseudonym: str) -> Kept:
        """All but the rows of a customer."""
        faulty = self.rejects["text"].str.contains(pseudonym, regex=False, na=False)
        left = _changed(self.tables, lambda table: table[table["customer"] != pseudonym].reset_index(drop=True))
        return self._replace(tables=left, rejects=self.rejects[~faulty])

    def rows(self) -> dict[str, int]:
        """The number of rows of each table that names customers, and of faulty ones."""
        return {name: len(table) for name, table in _personal(self.tables).items()} | {REJECTS: len(self.rejects)}

    def check_key(self, key: bytes, path: Path) -> None:
        """Raise DataError where the pseudonyms were made with another key."""
        known = self.account.get("pseudonym_key")
        if known not in (None, Pseudonyms(key).key_id):
            raise DataError(f"{path} must be the key of these pseudonyms; got another; name it with --key-file")


def read_kept(folder: Path) -> Kept:
    """All of a folder of tables, for a role that may read everything.

    Raises:
        DataError: It holds no tables.
        PrivacyError: The role may not read them all.

    Example:
        >>> read_kept(Path("shop")).account["kept"]  # doctest: +SKIP
        {'sales': 3}
    """
    access_to(folder).check_whole()
    tables = load_tables(folder)
    rejects = kept_file(folder, REJECTS)
    account = kept_file(folder, IMPORT)
    return Kept(
        tables,
        pd.DataFrame(columns=["text"]) if rejects is None else pd.read_csv(BytesIO(content_of(rejects))),
        {} if account is None else json.loads(content_of(account)),
    )


def raw_ids(paths: Mapping[str, Source], mapping: Mapping[str, TableMapping]) -> set[str]:
    """The customer ids in a shop's own files.

    Args:
        paths: The files, by table.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "customers.csv"
        >>> _ = path.write_text("customer\\n1001\\n1002\\n")
        >>> sorted(raw_ids({"customers": path}, {}))
        ['1001', '1002']
    """
    found: set[str] = set()
    for name, path in paths.items():
        layout = mapping.get(name, TableMapping())
        own = layout.columns.get("customer", "customer")
        for file in (TableFile(part, layout) for part in parts_of(path)):
            if own in file.columns:
                for batch in file.batches(lambda _share: None):
                    found.update(as_text(batch[own]).drop_nulls().unique())
    return found


def rotate(folder: Path, kept: Kept, new: bytes, *, old: bytes | None = None, ids: Iterable[str] = ()) -> int:
    """Give every customer of a folder of tables a new pseudonym, all or none.

    The new pseudonym of a customer whose id is known is what an import with the new key gives; that
    of another is made of the old pseudonym. The old key is not needed afterwards.

    Args:
        folder: The folder, which is replaced.
        old: The old key, where ids are given.
        ids: Customer ids from the shop's own files.

    Returns:
        How many customers have the pseudonym that an import with the new key gives.
    """
    fresh = Pseudonyms(new)
    known = {} if old is None else {Pseudonyms(old).of(raw): fresh.of(raw) for raw in ids}
    names = {name: known.get(name) or fresh.of(name) for name in kept.pseudonyms()}
    tables = _changed(kept.tables, lambda table: table.assign(customer=table["customer"].map(names)))
    text = kept.rejects["text"].map(lambda text: PSEUDONYM.sub(lambda found: names[found[0]], text), na_action="ignore")
    _write(folder, Kept(tables, kept.rejects.assign(text=text), kept.account | {"pseudonym_key": fresh.key_id}))
    return len(names.keys() & known.keys())


def erase(folder: Path, kept: Kept, pseudonym: str) -> dict[str, int]:
    """Remove all rows of a customer from a folder of tables, all or none.

    Args:
        folder: The folder, which is replaced where it holds the customer.
        pseudonym: The customer's.

    Returns:
        The number of rows removed from each table and from the faulty rows.
    """
    left = kept.without(pseudonym)
    rows = {name: count - left.rows()[name] for name, count in kept.rows().items()}
    if any(rows.values()):
        _write(folder, left)
    return rows


def _personal(tables: Tables) -> dict[str, pd.DataFrame]:
    """The tables that name customers."""
    found = {item.name: getattr(tables, item.name) for item in fields(tables)}
    return {name: table for name, table in found.items() if table is not None and "customer" in table}


def _changed(tables: Tables, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Tables:
    return replace(tables, **{name: change(table) for name, table in _personal(tables).items()})


def _write(folder: Path, kept: Kept) -> None:
    """Replace the folder; what was encrypted stays so, and what an import has kept beside it goes."""
    shutil.rmtree(parts_beside(folder), ignore_errors=True)
    hidden = (folder / ("sales.parquet" + ENDING)).is_file()
    write_tables(folder, kept.tables, kept.rejects, kept.account, secret() if hidden else None)

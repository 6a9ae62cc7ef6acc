"""Write imported tables to a folder, and read them back."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow.parquet as pq

from ..atomic import plain, whole_folder
from ..privacy.access import Access
from ..privacy.encryption import ENDING, content_of, encrypted, kept_file
from .schema import SCHEMAS, DataError
from .suspects import FLAGGED
from .tables import ImportReport, StoredTables, Tables

REJECTS = "rejects.csv"
IMPORT = "import.json"
_ROW_GROUP = 100_000
"""Least rows of a row group, which a reader of some days takes as a whole."""
_LONG = ("sales", "behaviour", "stock")
"""Tables that may have more rows than fit into memory."""


def access_to(folder: Path) -> Access:
    """What the present reader may read of a folder of tables, see `repricer.privacy.access`.

    Args:
        folder: The folder.

    Raises:
        PrivacyError: Its roles are faulty, or do not know the reader's.

    Example:
        >>> access_to(Path("no such folder")).allowed is None
        True
    """
    columns = {name: table.columns.items() for name, table in SCHEMAS.items()}
    return Access.to(folder, {name: [key for key, spec in specs if spec.required] for name, specs in columns.items()})


def parts_beside(folder: Path) -> Path:
    """The folder beside a folder of tables that keeps what an import has read: FOLDER.parts."""
    return folder.with_name(folder.name + ".parts")


def check_new(folder: Path) -> None:
    """Check that an output folder does not exist yet.

    Args:
        folder: The folder.

    Raises:
        DataError: It exists.

    Example:
        >>> check_new(Path("no such folder"))
    """
    if folder.exists():
        raise DataError(f"the output folder must be new; got {folder}, which exists; name another or remove it")


def save_tables(tables: Tables, report: ImportReport, folder: Path, *, key: bytes | None = None) -> None:
    """Write imported tables and their report to a new folder, completely or not at all.

    Args:
        tables: The imported tables.
        report: What the import did with each row.
        folder: The folder to create; only its owner may read it.
        key: The secret to encrypt every file with, see `repricer.privacy.encryption.secret`.

    Raises:
        DataError: `folder` exists.

    Example:
        >>> import tempfile
        >>> day = pd.Timestamp("2024-03-04")
        >>> row = {"date": day, "product": "apple", "units": 1.0, "price_paid": 0.5, "regular_price": 0.5}
        >>> folder = Path(tempfile.mkdtemp()) / "shop"
        >>> save_tables(Tables(pd.DataFrame([row])), ImportReport({"sales": 1}, {"sales": 1}, {"sales": {}}), folder)
        >>> len(load_tables(folder).sales)
        1
    """
    check_new(folder)
    write_tables(folder, tables, report.rejects, _account(report), key, new=True)


def write_tables(
    folder: Path,
    tables: Tables,
    rejects: pd.DataFrame,
    account: dict[str, Any],
    key: bytes | None,
    *,
    new: bool = False,
) -> None:
    """Write a folder of tables, or replace one, completely or not at all.

    Args:
        rejects: The faulty rows of the import.
        account: Its report, for `import.json`.
        key: The secret to encrypt with; None to write plain files.
        new: Whether the folder must be new.
    """
    # The tables hold what individual customers bought.
    with whole_folder(folder, mode=0o700) as unfinished:

        def write(name: str, content: bytes) -> None:
            kept, ending = (content, "") if key is None else (encrypted(content, name, key), ENDING)
            (unfinished / (name + ending)).write_bytes(kept)

        for name in SCHEMAS:
            table = getattr(tables, name)
            if table is not None:
                write(f"{name}.parquet", table.to_parquet(index=False))
        for name, content in _import_files(rejects, account).items():
            write(name, content)
        if new:
            check_new(folder)


def _account(report: ImportReport) -> dict[str, Any]:
    return {name: value for name, value in report.to_dict().items() if name not in ("rejects", "flagged")}


def _import_files(rejects: pd.DataFrame, account: dict[str, Any]) -> dict[str, bytes]:
    """The files that describe the import of a folder of tables, by name."""
    text = json.dumps(account, indent=2, default=plain) + "\n"
    return {REJECTS: rejects.to_csv(index=False).encode(), IMPORT: text.encode()}


class FolderWriter:
    """Writes a folder of tables whose rows come some at a time, in order.

    Args:
        folder: An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def table(self, name: str, frames: Iterator[pl.DataFrame]) -> pl.LazyFrame:
        """Write a table, in row groups that follow one another in time, and give its rows back."""
        path = self._folder / f"{name}.parquet"
        writer = None
        held = list[pl.DataFrame]()
        days = pl.selectors.temporal()
        texts = pl.selectors.categorical()
        try:
            for rows in itertools.chain(frames, [None]):
                held += [] if rows is None else [rows.with_columns(days.cast(pl.Datetime("us")), texts.cast(pl.String))]
                if not held or (rows is not None and sum(map(len, held)) < _ROW_GROUP):
                    continue
                arrow = pl.concat(held).to_arrow(compat_level=pl.CompatLevel.oldest())
                writer = writer or pq.ParquetWriter(path, arrow.schema)
                held = []
                writer.write_table(arrow)
        finally:
            if writer is not None:
                writer.close()
        return pl.scan_parquet(path)

    def leave_out(self, report: ImportReport) -> ImportReport:
        """Write sales and behaviour again without the flagged customers, and count them."""
        kept = {}
        for name in ("sales", "behaviour"):
            path = self._folder / f"{name}.parquet"
            if not path.exists() or "customer" not in pq.read_schema(path).names:
                continue
            before = path.rename(path.with_suffix(".before"))
            self.table(name, _others(before, list(report.flagged)))
            before.unlink()
            kept[name] = pq.read_metadata(path).num_rows
        return report.leaving(kept, FLAGGED)

    def account(self, report: ImportReport) -> None:
        """Write the faulty rows and the report."""
        for name, content in _import_files(report.rejects, _account(report)).items():
            (self._folder / name).write_bytes(content)


def _others(path: Path, customers: list[str]) -> Iterator[pl.DataFrame]:
    """The rows of all but some customers."""
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            rows = pl.DataFrame(pl.from_arrow(file.read_row_group(number)))
            yield rows.filter(~pl.col("customer").is_in(customers).fill_null(False))


def load_tables(folder: str | Path) -> Tables:
    """Read the tables that `save_tables` or `repricer data import` wrote, as far as the role may.

    Encrypted tables are decrypted in memory, with the key that REPRICER_KEY_FROM or REPRICER_KEY
    gives. A file `FOLDER.roles.toml` says what each role may read; FOLDER.access.log says who read.

    Args:
        folder: The folder.

    Raises:
        DataError: `folder` holds no imported sales.
        PrivacyError: The role may not read them.
        EncryptionError: The key is missing, or another.

    Example:
        >>> tables = load_tables("shop")  # doctest: +SKIP
    """
    return Tables(**_tables_of(Path(folder), ())[0])


def scan_tables(folder: Path) -> StoredTables:
    """The tables of a folder as `load_tables` gives them, but the long ones stay on the disk.

    Those are sales, behaviour and stock, unless they are encrypted. What adds them up, such as
    `sales_summary` and `product_weeks`, reads a week of them at a time.

    Args:
        folder: The folder.

    Raises:
        DataError, PrivacyError, EncryptionError: As `load_tables`.

    Example:
        >>> scan_tables(Path("shop")).lines("sales", ["product", "units"])  # doctest: +SKIP
    """
    read, scans = _tables_of(folder, _LONG)
    return StoredTables(**read, scans=scans)


def _tables_of(folder: Path, long: Collection[str]) -> tuple[dict[str, pd.DataFrame], dict[str, pl.LazyFrame]]:
    """The tables of a folder; the long ones are empty, unless they are encrypted, and come as scans of their files."""
    files = {name: found for name in SCHEMAS if (found := kept_file(folder, f"{name}.parquet"))}
    if "sales" not in files:
        raise DataError(
            f"an imported data set must hold sales.parquet; got {folder}; make one with `repricer data import`"
        )
    read = {}
    scans = {}
    access = access_to(folder)
    for name in access.tables(files):
        if name in long and files[name].suffix != ENDING:
            there = pl.scan_parquet(files[name])
            read[name] = access.view(name, there.head(0).collect().to_pandas())
            scans[name] = there.select(read[name].columns.tolist())
        else:
            table = pd.read_parquet(
                files[name] if files[name].suffix != ENDING else io.BytesIO(content_of(files[name]))
            )
            read[name] = SCHEMAS[name].validate(access.view(name, table), inplace=True)
    access.note(list(read))
    return read, scans

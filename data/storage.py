"""Write imported tables to a folder, and read them back."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd

from ..atomic import plain, whole_folder
from ..encryption import ENDING, content_of, encrypted, kept_file
from .privacy.access import Access
from .schema import SCHEMAS, DataError
from .tables import ImportReport, Tables

REJECTS, IMPORT = "rejects.csv", "import.json"


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
        key: The secret to encrypt every file with, see `repricer.encryption.secret`.

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
    account = {name: value for name, value in report.to_dict().items() if name not in ("rejects", "flagged")}
    write_tables(folder, tables, report.rejects, account, key, new=True)


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
        folder: The folder.
        tables: The tables.
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
        write(REJECTS, rejects.to_csv(index=False).encode())
        write(IMPORT, (json.dumps(account, indent=2, default=plain) + "\n").encode())
        if new:
            check_new(folder)


def load_tables(folder: Path) -> Tables:
    """Read the tables that `save_tables` or `repricer data import` wrote, as far as the role may.

    Encrypted tables are decrypted in memory, with the key that REPRICER_KEY_FROM or REPRICER_KEY
    gives. A file `FOLDER.roles.toml` says what each role may read; FOLDER.access.log says who read.

    Args:
        folder: The folder.

    Raises:
        DataError: `folder` holds no imported sales, or the role may not read them.
        EncryptionError: The key is missing, or another.

    Example:
        >>> tables = load_tables(Path("shop"))  # doctest: +SKIP
    """
    files = {name: found for name in SCHEMAS if (found := kept_file(folder, f"{name}.parquet"))}
    if "sales" not in files:
        raise DataError(
            f"an imported data set must hold sales.parquet; got {folder}; make one with `repricer data import`"
        )
    read = {}
    access = Access.to(folder)
    for name in access.tables(files):
        source = files[name] if files[name].suffix != ENDING else io.BytesIO(content_of(files[name]))
        read[name] = access.view(name, pd.read_parquet(source))
    access.note(list(read))
    return Tables(**{name: SCHEMAS[name].validate(table, inplace=True) for name, table in read.items()})

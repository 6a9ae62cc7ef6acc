"""Write imported tables to a folder, and read them back."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..atomic import whole_folder, write_json
from .schema import SCHEMAS, DataError
from .tables import ImportReport, Tables


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


def save_tables(tables: Tables, report: ImportReport, folder: Path) -> None:
    """Write imported tables and their report to a new folder, completely or not at all.

    Args:
        tables: The imported tables.
        report: What the import did with each row.
        folder: The folder to create; only its owner may read it.

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
    # The tables hold what individual customers bought.
    with whole_folder(folder, mode=0o700) as unfinished:
        for name in SCHEMAS:
            table = getattr(tables, name)
            if table is not None:
                table.to_parquet(unfinished / f"{name}.parquet", index=False)
        report.rejects.to_csv(unfinished / "rejects.csv", index=False)
        write_json(
            unfinished / "import.json", {key: value for key, value in report.to_dict().items() if key != "rejects"}
        )
        check_new(folder)


def load_tables(folder: Path) -> Tables:
    """Read the tables that `save_tables` or `repricer data import` wrote.

    Args:
        folder: The folder.

    Raises:
        DataError: `folder` holds no imported sales.

    Example:
        >>> tables = load_tables(Path("shop"))  # doctest: +SKIP
    """
    files = {name: folder / f"{name}.parquet" for name in SCHEMAS}
    if not files["sales"].is_file():
        raise DataError(
            f"an imported data set must hold sales.parquet; got {folder}; make one with `repricer data import`"
        )
    read = {name: pd.read_parquet(file) for name, file in files.items() if file.is_file()}
    return Tables(**{name: SCHEMAS[name].validate(table, inplace=True) for name, table in read.items()})

"""Keep imported tables in a folder, and read them back."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..atomic import whole_folder, write_json
from .schema import SCHEMAS, DataError
from .tables import ImportReport, Tables


def check_new(folder: Path) -> None:
    """Refuse an output folder that is there already.

    Raises:
        DataError: `folder` exists.
    """
    if folder.exists():
        raise DataError(f"the output folder must be new; got {folder}, which exists; name another or remove it")


def save_tables(tables: Tables, report: ImportReport, folder: Path) -> None:
    """Write one Parquet file a table, rejects.csv and import.json; `folder` appears complete or not at all.

    Raises:
        DataError: `folder` exists.
    """
    check_new(folder)
    # What single customers bought is for its owner to read.
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
    """Read the tables that `save_tables` wrote.

    Raises:
        DataError: `folder` holds no imported sales.
    """
    files = {name: folder / f"{name}.parquet" for name in SCHEMAS}
    if not files["sales"].is_file():
        raise DataError(
            f"an imported data set must hold sales.parquet; got {folder}; make one with `repricer data import`"
        )
    read = {name: pd.read_parquet(file) for name, file in files.items() if file.is_file()}
    return Tables(**{name: SCHEMAS[name].validate(table, inplace=True) for name, table in read.items()})

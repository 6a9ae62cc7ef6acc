"""Read a table from a file as text, with the row numbers of that file, before anything is judged."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from .schema import DataError

# What spreadsheets, R and pandas write for "not known".
_MISSING = pa.array(["", "NA", "N/A", "NaN", "nan", "NULL", "null", "None"])


def read_table(path: Path) -> tuple[pd.DataFrame, pd.Series]:
    """Read a CSV (UTF-8, comma, one header line) or Parquet file.

    Returns:
        The table without its empty rows, every column trimmed text (missing where empty), indexed by row number in
        the file: the header of a CSV is row 1, the first row of a Parquet file is row 1; and the rows that have too
        few or too many fields to be read: the reason, by row number.

    Raises:
        DataError: there is no such file, its suffix is unknown, it cannot be read, or it holds no row.
    """
    readers = {".csv": _read_csv, ".parquet": _read_parquet}
    if path.suffix not in readers:
        raise DataError(f"{path.name}: a table must end in .csv or .parquet; got {path.suffix!r}; convert it")
    if not path.is_file():
        raise DataError(f"{path.name}: a table must be a file; got {path}, where there is none; check the path")
    try:
        table, broken = readers[path.suffix](path)
        names = table.column_names
        table = pa.Table.from_arrays([_tidy(column) for column in table.columns], names=names)
    except (OSError, ValueError, csv.Error, pa.ArrowException) as error:
        what = str(error).splitlines()[0]
        raise DataError(f"{path.name}: a table must be readable; got: {what}; save it again as UTF-8 CSV") from error
    if len(set(names)) < len(names):
        raise DataError(f"{path.name}: column names must differ; got {', '.join(names)}; rename the double one")
    frame = _number(table.to_pandas(), broken, path).dropna(how="all")
    if frame.empty and broken.empty:
        raise DataError(f"{path.name}: a table must hold rows; got none; check how it was exported")
    return frame, broken


def _read_csv(path: Path) -> tuple[pa.Table, pd.Series]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file), [])
    if not header:
        raise ValueError("an empty file")
    broken: dict[int, str] = {}

    def skip(row: pyarrow.csv.InvalidRow) -> str:
        broken[row.number] = f"row: has {row.actual_columns} fields, not {row.expected_columns}"
        return "skip"

    table = pyarrow.csv.read_csv(
        path,
        # Row numbers are only known to a single thread.
        read_options=pyarrow.csv.ReadOptions(use_threads=False),
        parse_options=pyarrow.csv.ParseOptions(
            newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=skip
        ),
        convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string())),
    )
    return table.rename_columns([name.strip() for name in table.column_names]), pd.Series(broken, dtype="object")


def _read_parquet(path: Path) -> tuple[pa.Table, pd.Series]:
    return pyarrow.parquet.read_table(path), pd.Series(dtype="object")


def _tidy(column: pa.ChunkedArray) -> pa.ChunkedArray:
    # pyarrow makes these functions when it is imported, so a type checker does not see them.
    text = pc.utf8_trim_whitespace(column.cast(pa.string()))  # pyright: ignore[reportAttributeAccessIssue]
    missing = pc.is_in(text, value_set=_MISSING)  # pyright: ignore[reportAttributeAccessIssue]
    return pc.if_else(missing, pa.scalar(None, pa.string()), text)  # pyright: ignore[reportAttributeAccessIssue]


def _number(frame: pd.DataFrame, broken: pd.Series, path: Path) -> pd.DataFrame:
    first = 2 if path.suffix == ".csv" else 1
    rows = np.arange(first, first + len(frame) + len(broken))
    return frame.set_index(np.setdiff1d(rows, broken.index.to_numpy(dtype=int)))

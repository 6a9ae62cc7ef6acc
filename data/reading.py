"""Read a table from a file in batches and keep track of the file's row numbers."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from .mapping import TableMapping
from .schema import DataError

Progress = Callable[[float], None]
"""Called with the share of a file that has been read, from 0 to 1."""

# What spreadsheets, R and pandas write for missing values.
_MISSING = ["", "NA", "N/A", "NaN", "nan", "NULL", "null", "None"]
_CSV_BLOCK_BYTES = 16 * 2**20
_PARQUET_BATCH_ROWS = 250_000


@dataclass
class TableFile:
    """A CSV or Parquet file that exists and has a header.

    Attributes:
        path: The file.
        layout: How it is laid out.
        columns: Its columns, made unique: the second `Price` is `Price (2)`, a column without a
            name is `column 3`.
        doubled: Names that two columns share.
        read: Number of records read so far, without broken ones.
        broken: Records with too few or too many fields that were read so far: the reason by row
            number.
    """

    path: Path
    layout: TableMapping
    columns: list[str] = field(init=False)
    doubled: set[str] = field(init=False)
    read: int = field(init=False, default=0)
    broken: dict[int, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        if self.path.suffix.lower() not in (".csv", ".parquet"):
            raise DataError(
                f"{self.name}: a table must end in .csv or .parquet; got {self.path.suffix!r}; convert it, or rename "
                "a text file"
            )
        if not self.path.is_file():
            raise DataError(
                f"{self.name}: a table must be a file; got {self.path}, where there is none; check the path"
            )
        with _readable(self):
            header = self._csv_header() if self.is_csv else self._parquet_header()
        self.columns = _distinct(header)
        self.doubled = {name for name in header if name and header.count(name) > 1}

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def is_csv(self) -> bool:
        """Whether it is CSV rather than Parquet."""
        return self.path.suffix.lower() == ".csv"

    def batches(self, progress: Progress) -> Iterator[pl.DataFrame]:
        """The records in batches, in order; text is trimmed, markers of missing values removed.

        Raises:
            DataError: The file cannot be read to its end.
        """
        with _readable(self):
            for batch in self._csv_batches(progress) if self.is_csv else self._parquet_batches(progress):
                self.read += batch.num_rows
                yield _tidy(pl.DataFrame(pl.from_arrow(batch)))

    def row_numbers(self, positions: np.ndarray) -> np.ndarray:
        """Row numbers in the file by position (0, 1, …) among its unbroken records.

        The header of a CSV file is row 1 (skipped lines count); so is the first row of a Parquet
        file.
        """
        first = 2 + self.layout.skip_lines if self.is_csv else 1
        broken = np.sort(np.fromiter(self.broken, dtype=np.int64))
        # Before the i-th broken row there are (its number - i) - first unbroken ones.
        before = np.searchsorted(broken - np.arange(len(broken)), first + positions, side="right")
        return first + positions + before

    def _csv_header(self) -> list[str]:
        encoding = "utf-8-sig" if self.layout.encoding == "utf-8" else self.layout.encoding
        with self.path.open(encoding=encoding, newline="") as file:
            for _ in range(self.layout.skip_lines):
                file.readline()
            header = next(csv.reader(file, delimiter=self.layout.separator), [])
        if not any(name.strip() for name in header):
            raise ValueError("an empty file" if not header else "a header without names")
        return [name.strip() for name in header]

    def _parquet_header(self) -> list[str]:
        """Columns that hold lists or records are not read."""
        return [item.name for item in pq.read_schema(self.path) if not pa.types.is_nested(item.type)]

    def _csv_batches(self, progress: Progress) -> Iterator[pa.RecordBatch]:
        def skip(row: pyarrow.csv.InvalidRow) -> str:
            self.broken[row.number] = f"row: has {row.actual_columns} fields, not {row.expected_columns}"
            return "skip"

        size, done = self.path.stat().st_size, 0
        encoding = "utf8" if self.layout.encoding in ("utf-8", "utf-8-sig") else self.layout.encoding
        with pyarrow.csv.open_csv(
            self.path,
            # Row numbers are only available with a single thread.
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False,
                block_size=_CSV_BLOCK_BYTES,
                encoding=encoding,
                column_names=self.columns,
                skip_rows=self.layout.skip_lines,
                skip_rows_after_names=1,
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=self.layout.separator,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=skip,
            ),
            convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(self.columns, pa.string())),
        ) as reader:
            for batch in reader:
                # An offset takes four bytes per cell in memory, a separator one byte in the file.
                done += batch.nbytes - 3 * batch.num_rows * batch.num_columns
                progress(min(done / size, 1.0))
                yield batch

    def _parquet_batches(self, progress: Progress) -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(self.path) as file:
            done = 0
            for batch in file.iter_batches(_PARQUET_BATCH_ROWS, columns=self._parquet_header()):
                done += batch.num_rows
                progress(done / file.metadata.num_rows)
                yield batch.rename_columns(self.columns)


class _readable:
    """Turn errors of reading into a DataError of one line."""

    def __init__(self, file: TableFile) -> None:
        self._file = file

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if not isinstance(error, OSError | ValueError | csv.Error | pa.ArrowException) or isinstance(error, DataError):
            return
        what, name = str(error).splitlines()[0], self._file.name
        if not self._file.is_csv:
            raise DataError(f"{name}: a table must be readable; got: {what}; save it again as Parquet") from error
        raise DataError(
            f"{name}: a table must be readable as {self._file.layout.encoding}; got: {what}; save it again as UTF-8 CSV, "
            "or give its encoding and skip_lines in a mapping file (`repricer data mapping`)"
        ) from error


def _distinct(header: list[str]) -> list[str]:
    names: list[str] = []
    for position, name in enumerate(header, start=1):
        plain = name or f"column {position}"
        seen = sum(other == name for other in header[: position - 1]) if name else 0
        names.append(f"{plain} ({seen + 1})" if seen else plain)
    return names


def _tidy(batch: pl.DataFrame) -> pl.DataFrame:
    batch = batch.cast({pl.Categorical: pl.String, pl.Decimal: pl.Float64}).with_columns(
        pl.col(pl.Float64, pl.Float32).fill_nan(None)
    )
    text = pl.col(pl.String).str.strip_chars()
    return batch.with_columns(text).with_columns(
        pl.when(pl.col(pl.String).is_in(_MISSING)).then(None).otherwise(pl.col(pl.String)).name.keep()
    )

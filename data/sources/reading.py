"""Read a part of a table in batches and keep track of its row numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from ..mapping import TableMapping
from ..schema import DataError
from .databases import arrow_reader
from .parts import Part

Progress = Callable[[float], None]
"""Called with the share of a part that has been read, from 0 to 1."""

# What spreadsheets, R and pandas write for missing values.
_MISSING = ["", "NA", "N/A", "NaN", "nan", "NULL", "null", "None"]
_CSV_BLOCK_BYTES = 16 * 2**20
_TYPED_BATCH_ROWS = 250_000


@dataclass
class TableFile:
    """A CSV or Parquet file, or a table of a database, that has a header.

    Attributes:
        part: What is read.
        layout: How it is laid out.
        columns: Its columns, made unique: the second `Price` is `Price (2)`, a column without a
            name is `column 3`. Those of the names of its folders come last.
        doubled: Names that two columns share.
        read: Number of records read so far, without broken ones.
        broken: Records with too few or too many fields that were read so far: the reason by row
            number.
    """

    part: Part
    layout: TableMapping
    columns: list[str] = field(init=False)
    doubled: set[str] = field(init=False)
    read: int = field(init=False, default=0)
    broken: dict[int, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        if self.part.kind == "postgresql":
            # The server writes CSV as it does, whatever the shop's files are like.
            self.layout = replace(self.layout, encoding="utf-8", separator=",", skip_lines=0)
        with _readable(self):
            header = self._csv_header() if self.is_csv else self._typed_header()
        self._header, self._own = header, _distinct(header)
        self.columns = self._own + [name for name in self.part.values if name not in self._own]
        self.doubled = {name for name in header if name and header.count(name) > 1}

    @property
    def name(self) -> str:
        """What the part is called."""
        return self.part.name

    @property
    def is_csv(self) -> bool:
        """Whether it comes as CSV rather than with types."""
        return self.part.kind in ("csv", "postgresql")

    def batches(self, progress: Progress) -> Iterator[pl.DataFrame]:
        """The records in batches, in order; text is trimmed, markers of missing values removed.

        Raises:
            DataError: The part cannot be read to its end.
        """
        more = [pl.lit(self.part.values[name], pl.String).alias(name) for name in self.columns[len(self._own) :]]
        with _readable(self):
            for batch in self._csv_batches(progress) if self.is_csv else self._typed_batches(progress):
                self.read += batch.num_rows
                yield _tidy(pl.DataFrame(pl.from_arrow(batch))).with_columns(more)

    def row_numbers(self, positions: np.ndarray) -> np.ndarray:
        """Row numbers in the part by position (0, 1, …) among its unbroken records.

        The header of a CSV file is row 1 (skipped lines count); so is the first row of a Parquet
        file or of a table.
        """
        first = 2 + self.layout.skip_lines if self.part.kind == "csv" else 1
        broken = np.sort(np.fromiter(self.broken, dtype=np.int64))
        # Before the i-th broken row there are (its number - i) - first unbroken ones.
        before = np.searchsorted(broken - np.arange(len(broken)), first + positions, side="right")
        return first + positions + before

    def _csv_header(self) -> list[str]:
        encoding = "utf-8-sig" if self.layout.encoding == "utf-8" else self.layout.encoding
        with self.part.stream(head=True) as stream, io.TextIOWrapper(stream, encoding, newline="") as text:
            for _ in range(self.layout.skip_lines):
                text.readline()
            header = next(csv.reader(text, delimiter=self.layout.separator), [])
        if not any(name.strip() for name in header):
            raise ValueError("an empty file" if not header else "a header without names")
        return [name.strip() for name in header]

    def _typed_header(self) -> list[str]:
        """Columns that hold lists or records are not read."""
        with self._typed() as source:
            schema = source.schema_arrow if isinstance(source, pq.ParquetFile) else source.schema
        return [item.name for item in schema if not pa.types.is_nested(item.type)]

    @contextmanager
    def _typed(self) -> Iterator[pq.ParquetFile | pa.RecordBatchReader]:
        """What gives rows with types."""
        if self.part.files is None:
            with arrow_reader(self.part.where, _TYPED_BATCH_ROWS) as reader:
                yield reader
        else:
            with self.part.files.open_input_file(self.part.where) as stream, pq.ParquetFile(stream) as file:
                yield file

    def _csv_batches(self, progress: Progress) -> Iterator[pa.RecordBatch]:
        def skip(row: pyarrow.csv.InvalidRow) -> str:
            self.broken[row.number] = f"row: has {row.actual_columns} fields, not {row.expected_columns}"
            return "skip"

        done = 0
        encoding = "utf8" if self.layout.encoding in ("utf-8", "utf-8-sig") else self.layout.encoding
        with (
            self.part.stream() as stream,
            pyarrow.csv.open_csv(
                stream,
                # Row numbers are only available with a single thread.
                read_options=pyarrow.csv.ReadOptions(
                    use_threads=False,
                    block_size=_CSV_BLOCK_BYTES,
                    encoding=encoding,
                    column_names=self._own,
                    skip_rows=self.layout.skip_lines,
                    skip_rows_after_names=1,
                ),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=self.layout.separator,
                    newlines_in_values=True,
                    ignore_empty_lines=False,
                    invalid_row_handler=skip,
                ),
                convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(self._own, pa.string())),
            ) as reader,
        ):
            for batch in reader:
                # An offset takes four bytes per cell in memory, a separator one byte in the file.
                done += batch.nbytes - 3 * batch.num_rows * batch.num_columns
                progress(min(done / self.part.size, 1.0) if self.part.size else 0.0)
                yield batch

    def _typed_batches(self, progress: Progress) -> Iterator[pa.RecordBatch]:
        done = 0
        with self._typed() as source:
            if isinstance(source, pq.ParquetFile):
                batches, rows = source.iter_batches(_TYPED_BATCH_ROWS, columns=self._header), source.metadata.num_rows
            else:
                batches, rows = (batch.select(self._header) for batch in source), 0
            for batch in batches:
                done += batch.num_rows
                progress(done / rows if rows else 0.0)
                yield batch.rename_columns(self._own)


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
        if self._file.part.kind != "csv":
            advice = "check the URL" if self._file.part.files is None else "save it again as Parquet"
            raise DataError(f"{name}: a table must be readable; got: {what}; {advice}") from error
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

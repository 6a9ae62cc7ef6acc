"""Sources of rows: their parts (files, folders, object stores, tables of a database), how each is read in batches, and where
good rows wait until all parts are read.
"""

from __future__ import annotations

import collections
import csv
import fnmatch
import functools
import io
import itertools
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urlsplit

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.fs as fs
import pyarrow.parquet as pq

from ..atomic import write_whole
from .mapping import TableMapping
from .schema import DataError
from .workbooks import read_workbook

Source = Path | str
"""A file, a folder, a pattern of file names, or a URL: `s3://`, `gs://`, `abfs://`, `postgresql://`, `duckdb://`."""
ENDINGS = (".csv", ".xlsx", ".parquet")
_DATABASES = ("postgresql", "duckdb")
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
Progress = Callable[[float], None]
"""Called with the share of a part that has been read, from 0 to 1."""

# What spreadsheets, R and pandas write for missing values.
_MISSING = ["", "NA", "N/A", "NaN", "nan", "NULL", "null", "None"]
_SAVE_AGAIN = {"parquet": "save it again as Parquet", "xlsx": "save the table alone in a workbook, or as CSV"}
_CSV_BLOCK_BYTES = 16 * 2**20
_TYPED_BATCH_ROWS = 250_000
_RUN_ROWS = 1_000_000
"""Rows that are held until they are written."""
_FACTS = "facts.json"
_KEPT_FILES = ("bad", "returns")
_VERSION = 1


# The parts of a source of rows: one file, the files of a folder or an object store, or a table of a database.


@dataclass(frozen=True)
class Part:
    """A file, or a table of a database.

    Attributes:
        name: What it is called in messages: the file's name, or its path within its folder.
        kind: csv, xlsx, parquet, postgresql or duckdb.
        where: Its path, or the URL of a table.
        files: The file system that holds it; None for a table.
        size: Bytes; 0 for a table.
        changed: When it was last changed, in nanoseconds; 0 for a table.
        values: Columns that the names of its folders give (`month=2024-03`), as Hive and Spark write
            them.
    """

    name: str
    kind: str
    where: str
    files: fs.FileSystem | None = None
    size: int = 0
    changed: int = 0
    values: Mapping[str, str | None] = field(default_factory=dict)

    def stream(self, head: bool = False) -> AbstractContextManager[Any]:
        """The bytes of a CSV file, or of a table of PostgreSQL as CSV; of a `head`, no more than the header is needed."""
        if self.files is None:
            return copied(self.where, head=head)
        return self.files.open_input_stream(self.where)


def parts_of(source: Source) -> list[Part]:
    """The parts of a source, in the order of their names.

    Args:
        source: A CSV, XLSX or Parquet file; a folder of them; a path with `*`; the URL of one of these in an
            object store; or `postgresql://USER@HOST/DATABASE#TABLE` or `duckdb:///FILE#TABLE`.

    Raises:
        DataError: There is no such source, or a folder holds no such file.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for day in "12":
        ...     _ = (folder / f"{day}.csv").write_text("date,product,units,price_paid\\n")
        >>> [part.name for part in parts_of(folder)]
        ['1.csv', '2.csv']
    """
    text = str(source)
    scheme, mark, _ = text.partition("://")
    if mark and scheme in _DATABASES:
        return [_table(text)]
    name = text.rsplit("/", 1)[-1] if mark else Path(text).name
    try:
        files, where = fs.FileSystem.from_uri(text) if mark else (fs.LocalFileSystem(), text)
        root = where[: where.index("*")].rpartition("/")[0] if "*" in where else where.rstrip("/")
        found = files.get_file_info(root or ".")
        is_folder = found.type == fs.FileType.Directory
        listed = files.get_file_info(fs.FileSelector(root or ".", recursive=True)) if is_folder else []
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{name}: a table must be readable; got: {str(error).splitlines()[0]}; check the URL and who may read it"
        ) from error
    if is_folder:
        return _in_folder(text, files, root, where if "*" in where else None, listed)
    if found.type != fs.FileType.File:
        raise DataError(
            f"{name}: a table must be a file; got {source_name(source)}, where there is none; check the path"
        )
    if not where.lower().endswith(ENDINGS):
        raise DataError(
            f"{name}: a table must end in .csv, .xlsx or .parquet; got {Path(where).suffix!r}; convert it, or rename a text file"
        )
    return [_file(name, files, found, {})]


def source_name(source: Source) -> str:
    """A source as it is shown: without the names and passwords of those who read it."""
    return re.sub(r"//[^/]*@", "//", str(source))


def _in_folder(
    source: str, files: fs.FileSystem, root: str, pattern: str | None, listed: list[fs.FileInfo]
) -> list[Part]:
    """The files of a folder that hold rows; names with a leading dot or underscore are no data."""
    parts = []
    for info in sorted(listed, key=lambda info: info.path):
        inside = info.path[len(root) + 1 :] if root else info.path.removeprefix("./")
        steps = inside.split("/")
        hidden = any(step.startswith((".", "_")) for step in steps)
        wanted = pattern is None or fnmatch.fnmatchcase(info.path.removeprefix("./"), pattern.removeprefix("./"))
        if info.type != fs.FileType.File or hidden or not wanted or not inside.lower().endswith(ENDINGS):
            continue
        pairs = (step.split("=", 1) for step in steps[:-1] if "=" in step)
        values = {unquote(key): None if value == _HIVE_NULL else unquote(value) for key, value in pairs}
        parts.append(_file(inside, files, info, values))
    if not parts:
        raise DataError(
            f"{source_name(source)}: a folder or pattern must lead to files that end in .csv, .xlsx or .parquet; got none; check "
            "the path"
        )
    return parts


def _file(name: str, files: fs.FileSystem, info: fs.FileInfo, values: Mapping[str, str | None]) -> Part:
    kind = info.path.rpartition(".")[2].lower()
    return Part(name, kind, info.path, files, info.size or 0, info.mtime_ns or 0, values)


def _table(url: str) -> Part:
    """A table of a database; the name leaves out who asks, and the password."""
    split = urlsplit(url)
    name = source_name(f"{split.scheme}://{split.netloc}{split.path}")
    if not split.fragment:
        raise DataError(f"{name}: a database must be given with a table; got none; write {name}#TABLE")
    return Part(f"{name}#{split.fragment}", split.scheme, url)


# Tables of PostgreSQL and DuckDB, read in batches.


class _BlockStream(io.RawIOBase):
    """Blocks of bytes as a stream."""

    def __init__(self, blocks: Iterator[Any]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest and (block := next(self._blocks, None)) is not None:
            self._rest = memoryview(block)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


@contextmanager
def copied(url: str, *, head: bool = False) -> Iterator[io.BufferedReader]:
    """A table of PostgreSQL as the server writes it in CSV, while it comes.

    Args:
        url: `postgresql://USER@HOST/DATABASE#TABLE`, as libpq has it; TABLE may name its schema.
        head: Whether the header is all that is wanted.

    Raises:
        ImportError: The extra `postgres` is not installed.
        OSError: The server does not give it.
    """
    import psycopg
    from psycopg import sql

    address, table = urldefrag(url)
    command = sql.SQL("copy (select * from {}{}) to stdout (format csv, header)")
    select = command.format(sql.Identifier(*table.split(".")), sql.SQL(" limit 0" if head else ""))
    try:
        with psycopg.connect(address) as connection, connection.cursor() as cursor:
            # Rows come in the same order each time, and dates as ISO 8601 has them.
            cursor.execute("set synchronize_seqscans = off")
            cursor.execute("set datestyle = 'ISO'")
            with cursor.copy(select) as blocks:
                yield io.BufferedReader(_BlockStream(iter(blocks)), 1 << 20)
                # Of a header, the end is not read; the connection is not free before.
                collections.deque(blocks, maxlen=0)
    except psycopg.Error as error:
        raise OSError(str(error).splitlines()[0]) from error


@contextmanager
def arrow_reader(url: str, rows: int) -> Iterator[pa.RecordBatchReader]:
    """A table of DuckDB in batches.

    Args:
        url: `duckdb:///FILE#TABLE`, with a fourth slash before an absolute path.
        rows: Most rows of a batch.

    Raises:
        ImportError: The extra `scale` is not installed.
        OSError: There is no such file or table.
    """
    import duckdb

    split = urlsplit(url)
    table = ".".join('"' + step.replace('"', '""') + '"' for step in split.fragment.split("."))
    try:
        with duckdb.connect((split.netloc + split.path).removeprefix("/"), read_only=True) as database:
            yield database.sql(f"select * from {table}").to_arrow_reader(rows)
    except duckdb.Error as error:
        raise OSError(str(error).splitlines()[0]) from error


# Read a part of a table in batches and keep track of its row numbers.


@dataclass
class TableFile:
    """A CSV, XLSX or Parquet file, or a table of a database, that has a header.

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
        self._header = header
        self._own = _distinct(header)
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

        The header of a CSV or XLSX file is row 1 (skipped lines count); so is the first row of a
        Parquet file or of a table.
        """
        first = 2 + self.layout.skip_lines if self.part.kind in ("csv", "xlsx") else 1
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
        if self.part.kind == "xlsx":
            return self._workbook[0]
        with self._typed() as source:
            schema = source.schema_arrow if isinstance(source, pq.ParquetFile) else source.schema
        return [item.name for item in schema if not pa.types.is_nested(item.type)]

    @functools.cached_property
    def _workbook(self) -> tuple[list[str], pl.DataFrame]:
        """Header and rows of a workbook, which is read as a whole."""
        with self.part.stream() as stream:
            header, rows = read_workbook(stream, self.layout)
        if not any(header):
            raise ValueError("a header without names")
        return header, rows

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
        layout = self.layout
        encoding = "utf8" if layout.encoding in ("utf-8", "utf-8-sig") else layout.encoding
        # Row numbers are only available with a single thread.
        read = pyarrow.csv.ReadOptions(use_threads=False, block_size=_CSV_BLOCK_BYTES, encoding=encoding)
        read.column_names = self._own
        read.skip_rows = layout.skip_lines
        read.skip_rows_after_names = 1
        parse = pyarrow.csv.ParseOptions(delimiter=layout.separator, newlines_in_values=True, ignore_empty_lines=False)
        parse.invalid_row_handler = skip
        convert = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(self._own, pa.string()))
        with self.part.stream() as stream, pyarrow.csv.open_csv(stream, read, parse, convert) as reader:
            for batch in reader:
                # An offset takes four bytes per cell in memory, a separator one byte in the file.
                done += batch.nbytes - 3 * batch.num_rows * batch.num_columns
                progress(min(done / self.part.size, 1.0) if self.part.size else 0.0)
                yield batch

    def _typed_batches(self, progress: Progress) -> Iterator[pa.RecordBatch]:
        if self.part.kind == "xlsx":
            rows = self._workbook[1]
            yield from rows.rename(dict(zip(rows.columns, self._own, strict=True))).to_arrow().to_batches()
            return
        done = 0
        with self._typed() as source:
            whole = isinstance(source, pq.ParquetFile)
            rows = source.metadata.num_rows if whole else 0
            for batch in source.iter_batches(_TYPED_BATCH_ROWS, columns=self._header) if whole else source:
                done += batch.num_rows
                progress(done / rows if rows else 0.0)
                yield batch.select(self._header).rename_columns(self._own)


@contextmanager
def _readable(file: TableFile) -> Iterator[None]:
    """Turn errors of reading into a DataError of one line."""
    try:
        yield
    except DataError:
        raise
    except (OSError, ValueError, csv.Error, pa.ArrowException) as error:
        what = str(error).splitlines()[0]
        if file.part.kind != "csv":
            advice = _SAVE_AGAIN.get(file.part.kind, "check the URL")
            raise DataError(f"{file.name}: a table must be readable; got: {what}; {advice}") from error
        raise DataError(
            f"{file.name}: a table must be readable as {file.layout.encoding}; got: {what}; save it again as UTF-8 CSV, "
            "or give its encoding and skip_lines in a mapping file (`repricer data mapping`)"
        ) from error


def _distinct(header: list[str]) -> list[str]:
    seen = (header[:position].count(name) * bool(name) for position, name in enumerate(header))
    plain = (name or f"column {position}" for position, name in enumerate(header, start=1))
    return [f"{name} ({times + 1})" if times else name for name, times in zip(plain, seen, strict=True)]


def _tidy(batch: pl.DataFrame) -> pl.DataFrame:
    batch = batch.cast({pl.Categorical: pl.String, pl.Decimal: pl.Float64})
    text = pl.col(pl.String)
    batch = batch.with_columns(pl.col(pl.Float64, pl.Float32).fill_nan(None), text.str.strip_chars())
    return batch.with_columns(pl.when(text.is_in(_MISSING)).then(None).otherwise(text).name.keep())


# Where the good rows of a table wait until all its parts are read: in memory, or on disk by week.


@dataclass
class PartRows:
    """What a part holds, once it is checked row by row.

    Attributes:
        name: The part's name.
        folder: Where its rows are kept; None for the memory.
        day: Column by which rows are kept apart, a week in each file; None where there is no such.
        facts: Counts of rows, by what they are.
        bad: Faulty rows: `row` (number in the part), `reason`, `text`, `hash` (of the whole row).
        returns: Sale lines with negative units.
    """

    name: str
    folder: Path | None
    day: str | None
    facts: dict[str, int] = field(default_factory=dict)
    bad: pl.DataFrame = field(default_factory=pl.DataFrame)
    returns: pl.DataFrame = field(default_factory=pl.DataFrame)
    _held: list[pl.DataFrame] = field(default_factory=list)
    _runs: int = 0

    def add(self, rows: pl.DataFrame) -> None:
        """Keep good rows, which come in the order of the part."""
        self._held.append(rows)
        if self.folder is not None and sum(map(len, self._held)) >= _RUN_ROWS:
            self._write()

    def close(self) -> None:
        """Note that all is kept; a folder without this note is one of a process that was killed."""
        if self.folder is None:
            return
        self._write()
        for name in _KEPT_FILES:
            path = self.folder / f"{name}.parquet"
            getattr(self, name).write_parquet(path)
            # A few rows of a large frame would keep all its texts in memory.
            setattr(self, name, pl.read_parquet(path))
        write_whole(self.folder / _FACTS, json.dumps({"name": self.name, "day": self.day, "facts": self.facts}))

    @functools.cached_property
    def weeks(self) -> dict[int, list[Path]]:
        """The weeks that have rows, numbered from 1970 on, and their files; week 0 for all of them in memory."""
        if self.folder is None:
            return {0: []}
        names = (path.stem.split("-") for path in self.folder.glob("*-*.parquet"))
        runs = itertools.groupby(sorted((int(week), int(run)) for week, run in names), key=lambda run: run[0])
        return {week: [self.folder / f"{week}-{run}.parquet" for _, run in own] for week, own in runs}

    def rows(self, week: int, columns: list[str] | None = None, *, last: bool = False) -> list[pl.DataFrame]:
        """The rows of a week in the order of the part.

        Args:
            week: Its number.
            columns: Those that are wanted; by default all.
            last: Whether they are wanted for the last time.
        """
        if self.folder is None:
            held = self._held
            self._held = [] if last else self._held
            return held if columns is None else [rows.select(columns) for rows in held]
        return [pl.read_parquet(path, columns=columns, memory_map=False) for path in self.weeks.get(week, [])]

    def _write(self) -> None:
        """Write the rows held in memory to the disk, a file a week, and hold none."""
        assert self.folder is not None, "only what is kept on disk is written"
        if not self._held:
            return
        rows = pl.concat(self._held)
        self._held = []
        # 1970 began on a Thursday: weeks from Monday on.
        week = (rows[self.day].dt.epoch("d") + 3) // 7 if self.day else pl.zeros(len(rows), pl.Int64, eager=True)
        for (number,), of_week in rows.group_by(week.alias("week"), maintain_order=True):
            of_week.write_parquet(self.folder / f"{number}-{self._runs}.parquet", compression="lz4", statistics=False)
        self._runs += 1


class Stage:
    """A folder that keeps what was read, part by part, so that no part is read twice.

    Args:
        folder: The folder; it is made if it is missing.
        made_with: What the rows depend on beside the parts: the layouts, and the key of the
            pseudonyms.
    """

    def __init__(self, folder: Path, made_with: Any) -> None:
        self.folder = folder
        self._made_with = made_with
        self._used = set[Path]()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = (path for path in folder.glob(f"*/*/{_FACTS}"))
        self._before = {path.parent: json.loads(path.read_text())["name"] for path in kept}

    def find(self, table: str, part: tuple[str, int, int]) -> PartRows | None:
        """What is kept of a part, if it has been read and has not changed since."""
        folder = self._place(table, part)
        if folder not in self._before:
            return None
        facts = json.loads((folder / _FACTS).read_text())
        bad, returns = (pl.read_parquet(folder / f"{name}.parquet") for name in _KEPT_FILES)
        return PartRows(facts["name"], folder, facts["day"], facts["facts"], bad, returns)

    def new(self, table: str, part: tuple[str, int, int], day: str | None) -> PartRows:
        """An empty place for a part."""
        folder = self._place(table, part)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True)
        return PartRows(part[0], folder, day)

    def account(self, table: str) -> list[str]:
        """What became of the parts of a table since the last import, or the one that was interrupted."""
        before = {name for folder, name in self._before.items() if folder.parent.name == table}
        used = {folder for folder in self._used if folder.parent.name == table}
        now = {json.loads((folder / _FACTS).read_text())["name"]: folder in self._before for folder in used}
        same = {name for name, old in now.items() if old}
        if not before:
            return []
        return [
            f"parts: {len(now):,}, of which {len(now.keys() - before):,} new, {len((now.keys() & before) - same):,} "
            f"read again and {len(same):,} as at the last import; {len(before - now.keys()):,} gone"
        ]

    def tidy(self) -> None:
        """Remove what belongs to no part any more."""
        for folder in [*self.folder.glob("*/*/")]:
            if folder not in self._used:
                shutil.rmtree(folder, ignore_errors=True)

    def _place(self, table: str, part: tuple[str, int, int]) -> Path:
        made_of = json.dumps([_VERSION, self._made_with, table, *part], default=repr)
        folder = self.folder / table / sha256(made_of.encode()).hexdigest()[:24]
        self._used.add(folder)
        return folder

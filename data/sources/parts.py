"""The parts of a source of rows: one file, the files of a folder or an object store, or a table of a database."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.fs as fs

from ..schema import DataError
from .databases import copied

Source = Path | str
"""A file, a folder, a pattern of file names, or a URL: `s3://`, `gs://`, `abfs://`, `postgresql://`, `duckdb://`."""
ENDINGS = (".csv", ".parquet")
_DATABASES = ("postgresql", "duckdb")
_NOTHING = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class Part:
    """A file, or a table of a database.

    Attributes:
        name: What it is called in messages: the file's name, or its path within its folder.
        kind: csv, parquet, postgresql or duckdb.
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
        source: A CSV or Parquet file; a folder of them; a path with `*`; the URL of one of these in an
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
        if found.type == fs.FileType.Directory:
            listed = files.get_file_info(fs.FileSelector(root or ".", recursive=True))
        else:
            listed = []
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{name}: a table must be readable; got: {str(error).splitlines()[0]}; check the URL and who may read it"
        ) from error
    if found.type == fs.FileType.Directory:
        return _in_folder(text, files, root, where if "*" in where else None, listed)
    if found.type != fs.FileType.File:
        raise DataError(f"{name}: a table must be a file; got {told(source)}, where there is none; check the path")
    if not where.lower().endswith(ENDINGS):
        raise DataError(
            f"{name}: a table must end in .csv or .parquet; got {Path(where).suffix!r}; convert it, or rename a text file"
        )
    return [_file(name, files, found, {})]


def told(source: Source) -> str:
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
        values = {unquote(key): None if value == _NOTHING else unquote(value) for key, value in pairs}
        parts.append(_file(inside, files, info, values))
    if not parts:
        raise DataError(
            f"{told(source)}: a folder or pattern must lead to files that end in .csv or .parquet; got none; check the path"
        )
    return parts


def _file(name: str, files: fs.FileSystem, info: fs.FileInfo, values: Mapping[str, str | None]) -> Part:
    kind = info.path.rpartition(".")[2].lower()
    return Part(name, kind, info.path, files, info.size or 0, info.mtime_ns or 0, values)


def _table(url: str) -> Part:
    """A table of a database; the name leaves out who asks, and the password."""
    split = urlsplit(url)
    name = told(f"{split.scheme}://{split.netloc}{split.path}")
    if not split.fragment:
        raise DataError(f"{name}: a database must be given with a table; got none; write {name}#TABLE")
    return Part(f"{name}#{split.fragment}", split.scheme, url)

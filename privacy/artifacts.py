"""What else was made of a customer's rows: the folders and files that name or rest on them."""

from __future__ import annotations

import gzip
import io
import json
import mmap
import re
import sqlite3
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from . import PrivacyError
from .encryption import ENDING, content_of, kept_file
from .pseudonyms import PSEUDONYM

_FILE_KINDS = {
    "fit.json": ("fitted market", "fit again: repricer fit"),
    "run.json": ("run", "train again on the new market: repricer train"),
    "manifest.json": ("bundle", "fit, train and export again, as a refresh keeps the segments, and reload services"),
    "report.html": ("report", "write it again: repricer report"),
}
_TABLE_FIX = "erase the customer there as well: repricer data erase"
_FILE = "remove it, or write it again"
_OF_A_FOLDER = ("fit.json", "run.json", "manifest.json")
_RESTS_ON = ("scenario.toml", "manifest.json", "manifest.json" + ENDING)
_PSEUDONYM = re.compile(PSEUDONYM.pattern.encode())
_SQLITE = b"SQLite format 3\0"


class Artifact(NamedTuple):
    """Something that was made of tables.

    Attributes:
        kind: What it is.
        path: Where.
        what_to_do: What removes the customer from it.
    """

    kind: str
    path: Path
    what_to_do: str


def stale(folders: Iterable[Path], names: set[str], tables_sha256: str, own: Iterable[Path] = ()) -> list[Artifact]:
    """What rests on tables that held a customer.

    Args:
        folders: Where to look, with all folders in them.
        names: The customer's pseudonym and, where known, the id.
        tables_sha256: Fingerprint of the tables without the customer; what was made of these is fine.
        own: The folders of these tables, in which nothing is looked for.

    Returns:
        Fitted markets, runs, bundles, kept lists and reports; other tables and files that hold the
        pseudonym; decision logs with a market of this name.

    Raises:
        PrivacyError, EncryptionError: A file cannot be read.

    Example:
        >>> stale([Path("no such folder")], {"c_0123456789abcdef"}, "")
        []
    """
    found = []
    for path in _files(folders, own):
        name = path.name.removesuffix(ENDING)
        if name in _FILE_KINDS:
            place = path.parent if name in _OF_A_FOLDER else path
            if name not in _OF_A_FOLDER or not _made_of(path.parent, tables_sha256):
                found.append(Artifact(_FILE_KINDS[name][0], place, _FILE_KINDS[name][1]))
        if markets := _logged(path, names):
            do = "; ".join(f"repricer log erase {path} {market} --by NAME" for market in sorted(markets))
            found.append(Artifact("decision log", path, do))
        elif {*mentioned(path)} & names:
            imported = kept_file(path.parent, "sales.parquet") is not None
            found.append(Artifact("tables", path.parent, _TABLE_FIX) if imported else Artifact("file", path, _FILE))
    return list(dict.fromkeys(found))


def using(folders: Iterable[Path], names: set[str], own: Iterable[Path] = ()) -> dict[Path, int]:
    """The files outside the folders of some tables that hold some of these pseudonyms, and how many of them."""
    counts = {path: len({*mentioned(path)} & names) for path in _files(folders, own)}
    return {path: count for path, count in counts.items() if count}


def mentioned(path: Path) -> Iterator[str]:
    """Every pseudonym in a file: text, Parquet, gzip, archives such as XLSX, SQLite; plain or encrypted."""
    if path.suffix == ENDING:
        yield from _within(content_of(path), path.with_suffix(""))
    elif path.suffix in (".parquet", ".gz", ".xlsx", ".npz", ".zip"):
        yield from _within(path.read_bytes(), path)
    elif path.stat().st_size:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield from {found[0].decode() for found in _PSEUDONYM.finditer(content)}


def _within(content: bytes, path: Path) -> Iterator[str]:
    parts = [content]
    if path.suffix == ".parquet":
        # Without threads: one that still lets go of the content as the process ends would abort it.
        try:
            table = pq.ParquetFile(io.BytesIO(content), pre_buffer=False).read(use_threads=False)
        except pa.ArrowException as error:
            raise PrivacyError(f"{path} must be a Parquet file; got: {error}; restore or remove it") from None
        # A column of categories or of lists holds text too.
        texts = (column for column in table.columns if not pa.types.is_primitive(column.type))
        lists = (column if pa.types.is_nested(column.type) else column.unique() for column in texts)
        parts = [str(column.to_pylist()).encode() for column in lists]
    elif path.suffix == ".gz":
        parts = [gzip.decompress(content)]
    elif zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = [archive.read(member) for member in archive.namelist()]
    for part in parts:
        yield from {found[0].decode() for found in _PSEUDONYM.finditer(part)}


def _files(folders: Iterable[Path], own: Iterable[Path]) -> Iterator[Path]:
    """The files in folders, each once, but for those in some of their own."""
    own = {folder.resolve() for folder in own}
    found = {path.resolve() for folder in folders for path in folder.rglob("*") if path.is_file()}
    yield from sorted(path for path in found if not own & {*path.parents})


def _made_of(folder: Path, tables_sha256: str) -> bool:
    """Whether an artifact says that it was made of the tables with this fingerprint, and of no others."""
    named = (folder / name for name in _RESTS_ON if (folder / name).is_file())
    return any(tables_sha256.encode() in content_of(path) for path in named) and not _refreshed(folder)


def _refreshed(folder: Path) -> bool:
    """Whether `repricer refresh` made a market or bundle: its segments are those of the earlier tables still."""
    manifest, report = (kept_file(folder, name) for name in ("manifest.json", "fit.json"))
    if manifest is not None:
        return "refreshed" in json.loads(content_of(manifest))
    return report is not None and json.loads(content_of(report)).keys() == {"refit"}


def _logged(path: Path, names: set[str]) -> set[str]:
    """The markets of a decision log that have one of these names."""
    with path.open("rb") as file:
        if file.read(len(_SQLITE)) != _SQLITE:
            return set()
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as log:
            return names & {name for (name,) in log.execute("select name from subjects")}
    except sqlite3.Error:
        return set()

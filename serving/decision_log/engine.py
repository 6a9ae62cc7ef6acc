"""Connections to a SQLite file or a PostgreSQL database, whose commits wait for the disk."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

_PATIENCE = 1
"""Seconds to wait for a connection, or for another process to finish writing; a request
waits for them.
"""
_MOST_PAGES = 8000
"""Pages of SQLite's write-ahead file, 32 MB, at which it begins again."""
_LOCK = int.from_bytes(hashlib.sha256(b"repricer decision log").digest()[:8], "big", signed=True)
"""The advisory lock of a PostgreSQL database under which its chains grow."""


def url_of(place: str | os.PathLike[str]) -> URL:
    """The URL of a place. Raises ValueError for one that is neither SQLite nor PostgreSQL."""
    text = os.fspath(place)
    if not text:
        raise ValueError("decision log must be a path or a URL; got an empty text; name a file, or leave it out")
    if "://" not in text:
        return URL.create("sqlite", database=text)
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise ValueError(f"decision log must be a path or a URL; got one that cannot be read; {error}") from error
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise ValueError(
            f"decision log must be SQLite or PostgreSQL; got {url.drivername}; name postgresql://HOST/DATABASE"
        )
    return url


def engine_of(url: URL) -> Engine:
    """Connections to a database, each with the settings that a log needs."""
    if url.get_backend_name() == "postgresql":
        # A connection that the server has closed is replaced before it is used.
        engine = create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": _PATIENCE})
        settings = ("SET synchronous_commit = on", f"SET lock_timeout = '{_PATIENCE}s'")
    else:
        # The driver must not begin transactions: `locked` does, with an immediate lock.
        engine = create_engine(url, connect_args={"timeout": _PATIENCE, "isolation_level": None})
        # So that commits seldom move pages to their place: a thread of the storage does it before.
        pages = f"PRAGMA wal_autocheckpoint = {_MOST_PAGES}"
        settings = ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA secure_delete = ON", pages)
        if url.database:
            _keep_to(engine, os.path.abspath(url.database))

    @event.listens_for(engine, "connect")
    def _(connection: Any, _record: Any) -> None:
        # A returned decision must survive a power failure: every commit waits for the disk.
        for setting in settings:
            connection.execute(setting).close()
        connection.commit()

    return engine


def _keep_to(engine: Engine, file: str) -> None:
    """Refuse to go on where a file was moved, deleted or replaced since the first connection: SQLite would
    write on into the file that nobody finds any more.
    """
    opened: list[tuple[int, int]] = []

    def check(*_: Any) -> None:
        if opened and _identity(file) != opened[0]:
            raise sqlite3.OperationalError("its file was moved, deleted or replaced; put it back, or restart")

    @event.listens_for(engine, "connect")
    def _(*_: Any) -> None:
        if not opened and (identity := _identity(file)):
            opened.append(identity)

    # Before a connection, which would make a new file, and before each use of an open one.
    event.listen(engine, "do_connect", check)
    event.listen(engine, "checkout", check)


def check_whole(file: str) -> None:
    """Check that SQLite's write-ahead file is not gone with rows that were not moved to their place: SQLite opens
    what is left without a word, and forgets the index beside it, which alone knows.

    Raises:
        ValueError: It is gone.
    """
    try:
        with open(f"{file}-shm", "rb") as index:
            head = index.read(100)
    except OSError:
        return
    pages, moved = head[16:20], head[96:100]  # see https://www.sqlite.org/walformat.html
    if pages != moved and not os.path.exists(f"{file}-wal"):
        raise ValueError(
            f"decision log must have its write-ahead file; got {file} without {file}-wal, which holds the last rows; put it "
            f"back, or remove {file}-shm to go on without them"
        )


def _identity(file: str) -> tuple[int, int] | None:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_dev, status.st_ino


@contextmanager
def locked(engine: Engine, patience: int = _PATIENCE) -> Iterator[Connection]:
    """A transaction that holds the write lock from its start, so that two writers never continue
    the same row.

    Args:
        patience: Seconds to wait for the lock.
    """
    with engine.connect() as connection:
        sqlite = engine.dialect.name == "sqlite"
        if patience != _PATIENCE:
            words = f"PRAGMA busy_timeout = {1000 * patience}" if sqlite else f"SET LOCAL lock_timeout = '{patience}s'"
            connection.exec_driver_sql(words)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if sqlite else f"SELECT pg_advisory_xact_lock({_LOCK})")
        yield connection
        connection.commit()
        if patience != _PATIENCE:
            connection.invalidate()


def line_of(error: Exception) -> str:
    """The driver's message, in one line."""
    return " ".join(str(getattr(error, "orig", None) or error).split())

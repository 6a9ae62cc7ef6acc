"""Append-only tables in SQLite or PostgreSQL, each a hash chain; waiting writers share one commit."""

from __future__ import annotations

import functools
import hashlib
import logging
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Engine,
    MetaData,
    Select,
    Table,
    Text,
    create_engine,
    delete,
    event,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError

from .hash_chain import EMPTY, Tail, linked

_MOST_TOGETHER = 256
"""Most jobs in one commit, so that many jobs do not delay the first one."""
_MOST_ROWS = 128
"""Most rows in one statement; databases allow a few ten thousand values."""
_PATIENCE = 1
"""Seconds to wait for a connection, or for another process to finish writing; a request
waits for them.
"""
_LOCK = int.from_bytes(hashlib.sha256(b"repricer decision log").digest()[:8], "big", signed=True)
"""The advisory lock of a PostgreSQL database under which its chains grow."""
_GUARDS = {
    "sqlite": {
        "stay": "BEFORE UPDATE ON {table} BEGIN",
        "remain": "BEFORE DELETE ON {table} BEGIN",
        # INSERT OR REPLACE deletes without the trigger for it.
        "once": "BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id OR rowid = NEW.rowid) BEGIN",
    },
    "postgresql": {"append_only": "BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} FOR EACH STATEMENT"},
}
"""The triggers of a table with a hash chain, by kind of database."""
_REFUSAL = {
    "sqlite": "SELECT RAISE(ABORT, '{table} are append-only'); END",
    "postgresql": "EXECUTE FUNCTION repricer_append_only()",
}
_IN_FORCE = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT tgname FROM pg_trigger WHERE tgenabled <> 'D' AND NOT tgisinternal",
}
_POSTGRES_FUNCTION = (
    "CREATE OR REPLACE FUNCTION repricer_append_only() RETURNS trigger LANGUAGE plpgsql"
    " AS $$ BEGIN RAISE EXCEPTION '% are append-only', TG_TABLE_NAME; END $$"
)
_log = logging.getLogger(__name__)


class LogError(OSError):
    """The decision log cannot be read or written now: disk full, no connection, locked for too
    long.
    """


def chained_table(name: str, metadata: MetaData, *columns: Column[Any]) -> Table:
    """A table with a hash chain, in which the database refuses to change or delete rows."""
    links = (Column("previous_hash", Text, nullable=False), Column("hash", Text, nullable=False))
    return Table(name, metadata, Column("id", BigInteger, primary_key=True, autoincrement=False), *columns, *links)


class Writing:
    """An exclusive transaction: it sees all committed rows and continues the chains."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tails: dict[str, Tail] = {}
        self._waiting: dict[Table, list[dict[str, Any]]] = {}

    def append(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows, each with every column of the table except those of the chain, in the table's
        order.
        """
        if table.name not in self._tails:
            last = select(table.c.id, table.c.hash).order_by(table.c.id.desc()).limit(1)
            found = self._connection.execute(last).first()
            self._tails[table.name] = EMPTY if found is None else Tail(found.id, found.hash)
        done, self._tails[table.name] = linked(rows, self._tails[table.name])
        self._waiting.setdefault(table, []).extend(done)

    def replace(self, table: Table, row: Mapping[str, Any]) -> None:
        """Write one row of a table without a chain in place of the one with its `id`."""
        self.remove(table, table.c.id == row["id"])
        self._connection.execute(insert(table).values(row))

    def remove(self, table: Table, which: ColumnElement[bool]) -> None:
        """Remove rows of a table without a chain."""
        self._connection.execute(delete(table).where(which))

    def read(self, query: Select[Any]) -> list[dict[str, Any]]:
        """The rows of a query, including those just appended."""
        self.flush()
        return [dict(row) for row in self._connection.execute(query).mappings()]

    def flush(self) -> None:
        """Send the appended rows to the database."""
        for table, rows in self._waiting.items():
            for first in range(0, len(rows), _MOST_ROWS):
                part = rows[first : first + _MOST_ROWS]
                values = tuple(value for row in part for value in row.values())
                self._connection.exec_driver_sql(
                    _insertion(table, len(part), self._connection.dialect.paramstyle), values
                )
        self._waiting.clear()


@functools.lru_cache(maxsize=1024)
def _insertion(table: Table, rows: int, style: str) -> str:
    """One statement for many rows: a driver releases the interpreter lock at each statement, and
    regains it late.
    """
    mark = "?" if style == "qmark" else "%s"
    row = f"({', '.join([mark] * len(table.columns))})"
    return f"INSERT INTO {table.name} ({', '.join(table.columns.keys())}) VALUES {', '.join([row] * rows)}"


class _Job(NamedTuple):
    work: Callable[[Writing], Any]
    done: Future[Any]


class Storage:
    """Tables in a SQLite file or a PostgreSQL database. Several threads and processes may write.

    One thread writes; jobs that wait for it are committed together.

    Args:
        place: A path or a URL.
        metadata: The tables.

    Raises:
        ValueError: The place holds something else.
    """

    def __init__(self, place: str | os.PathLike[str], metadata: MetaData) -> None:
        url = _url(place)
        self.name = url.render_as_string(hide_password=True) if "://" in str(place) else str(place)
        try:
            if url.get_backend_name() == "sqlite" and url.database:
                # SQLite gives the files beside it the same permissions.
                with suppress(OSError):
                    os.close(os.open(url.database, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            self._engine = _engine(url)
            with _locked(self._engine) as connection:
                before = set(inspect(connection).get_table_names())
                metadata.create_all(connection)
                self._check(connection, metadata)
                self._guard(connection, metadata, before)
        except SQLAlchemyError as error:
            raise ValueError(
                f"decision log must be a new file, one of its own, or the URL of a database; got {self.name}: {_line(error)}"
            ) from error
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._open, self._door = True, threading.Lock()
        self._writer: threading.Thread | None = None
        self.written = -math.inf
        """When the last transaction was committed, in the seconds of `time.monotonic`."""

    def submit(self, work: Callable[[Writing], Any]) -> Future[Any]:
        """Do work in a transaction, all of it or nothing.

        Returns:
            A future that holds the result once it is on disk; it raises LogError, or what the work
            raised.
        """
        job = _Job(work, Future())
        with self._door:
            if not self._open:
                raise LogError(f"decision log {self.name} is closed")
            if self._writer is None:
                self._writer = threading.Thread(target=self._write, name="decision-log", daemon=True)
                self._writer.start()
            self._jobs.put(job)
        return job.done

    def rows(self, query: Select[Any]) -> Iterator[dict[str, Any]]:
        """The rows of a query, read in pieces, as they were at its start. Raises LogError."""
        try:
            with self._engine.connect().execution_options(yield_per=1000) as connection:
                yield from map(dict, connection.execute(query).mappings())
        except SQLAlchemyError as error:
            raise LogError(f"decision log {self.name}: {_line(error)}") from error

    def close(self) -> None:
        """Write what is waiting, and disconnect from the database."""
        with self._door:
            self._open = False
            self._jobs.put(None)
        if self._writer is not None:
            self._writer.join()
        self._engine.dispose()

    def _check(self, connection: Connection, metadata: MetaData) -> None:
        for table in metadata.sorted_tables:
            found = {column["name"] for column in inspect(connection).get_columns(table.name)}
            if strange := found ^ set(table.columns.keys()):
                raise ValueError(
                    f"decision log must be one of this version; got {self.name}, whose table {table.name} "
                    f"differs in {', '.join(sorted(strange))}; keep it as it is and start a new log"
                )

    def _guard(self, connection: Connection, metadata: MetaData, before: set[str]) -> None:
        """Let the database refuse changes; where it no longer did, say so."""
        kind = connection.dialect.name
        found = set(connection.execute(text(_IN_FORCE[kind])).scalars())
        if kind == "postgresql":
            connection.execute(text(_POSTGRES_FUNCTION))
        for table in metadata.sorted_tables:
            for name, when in _GUARDS[kind].items() if "previous_hash" in table.columns else ():
                trigger = f"{table.name}_{name}"
                if trigger in found:
                    continue
                # Logs of earlier versions had no trigger for INSERT OR REPLACE.
                if table.name in before and name != "once":
                    facts = {"log": self.name, "trigger": trigger, "now": "set again; run repricer log verify"}
                    _log.error("append-only trigger was dropped", extra={"facts": facts})
                on = f" ON {table.name}" if kind == "postgresql" else ""
                connection.execute(text(f"DROP TRIGGER IF EXISTS {trigger}{on}"))
                words = f"CREATE TRIGGER {trigger} {when} {_REFUSAL[kind]}"
                connection.execute(text(words.format(table=table.name)))

    def _write(self) -> None:
        """The writing thread: all waiting jobs go into one transaction."""
        while (first := self._jobs.get()) is not None:
            jobs = self._together([first])
            if not self._commit(jobs):
                for job in jobs:
                    self._commit([job])

    def _together(self, waiting: list[_Job]) -> list[_Job]:
        """These jobs and others that wait behind them; a cancelled one gets no result, and no row."""
        with suppress(queue.Empty):
            while len(waiting) < _MOST_TOGETHER:
                job = self._jobs.get_nowait()
                if job is None:
                    self._jobs.put(None)  # the last, as the door is closed
                    break
                waiting.append(job)
        return [job for job in waiting if job.done.set_running_or_notify_cancel()]

    def _commit(self, jobs: list[_Job]) -> bool:
        """Do the jobs in one transaction and set their results; False if one failed, to be found by
        doing each alone.
        """
        try:
            with _locked(self._engine) as connection:
                writing = Writing(connection)
                results = [job.work(writing) for job in jobs]
                writing.flush()
        except Exception as error:
            if isinstance(error, OperationalError):
                # A full disk, a lost connection or a lock affects all, also those that came while
                # it was waited for.
                jobs = [*jobs, *self._together([])]
            elif len(jobs) > 1:
                return False
            known = isinstance(error, SQLAlchemyError)
            for job in jobs:
                job.done.set_exception(LogError(f"decision log {self.name}: {_line(error)}") if known else error)
            return True
        self.written = time.monotonic()
        for job, result in zip(jobs, results, strict=True):
            job.done.set_result(result)
        return True


def _url(place: str | os.PathLike[str]) -> URL:
    text = os.fspath(place)
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


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        # A connection that the server has closed is replaced before it is used.
        engine = create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": _PATIENCE})
        settings = ("SET synchronous_commit = on", f"SET lock_timeout = '{_PATIENCE}s'")
    else:
        # The driver must not begin transactions: `_locked` does, with an immediate lock.
        engine = create_engine(url, connect_args={"timeout": _PATIENCE, "isolation_level": None})
        settings = ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL")

    @event.listens_for(engine, "connect")
    def _(connection: Any, _record: Any) -> None:
        # A returned decision must survive a power failure: every commit waits for the disk.
        for setting in settings:
            connection.execute(setting).close()
        connection.commit()

    return engine


@contextmanager
def _locked(engine: Engine) -> Iterator[Connection]:
    """A transaction that holds the write lock from its start, so that two writers never continue
    the same row.
    """
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        yield connection
        connection.commit()


def _line(error: Exception) -> str:
    """The driver's message, in one line."""
    return " ".join(str(getattr(error, "orig", None) or error).split())

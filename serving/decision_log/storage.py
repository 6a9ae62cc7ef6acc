"""The tables of the log in SQLite or PostgreSQL; waiting writers share one commit."""

from __future__ import annotations

import functools
import itertools
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Executable, Table, Update, delete, insert, inspect, select
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from .engine import engine_of, line_of, locked, url_of
from .guards import guard, missing
from .hash_chain import EMPTY, Tail, linked
from .schema import MAINTENANCE, METADATA, SCHEMA, VERSION

_MOST_TOGETHER = 256
"""Most jobs in one commit, so that many jobs do not delay the first one."""
_MOVES = 0.5
"""Seconds between two moves of SQLite's pages, and in which another process is waited for."""
_MOST_ROWS = 128
"""Most rows in one statement; databases allow a few ten thousand values."""


class LogError(OSError):
    """The decision log cannot be read or written now: disk full, no connection, locked for too
    long.
    """


class Writing:
    """An exclusive transaction: it sees all committed rows and continues the chains."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tails: dict[str, Tail] = {}
        self._waiting: dict[Table, list[Mapping[str, Any]]] = {}

    def append(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> Tail:
        """Add rows, each with every column of the table except those of the chain, in the table's
        order. Returns the new end of the chain.
        """
        if table.name not in self._tails:
            found: Any = self._connection.execute(_last(table)).first()
            self._tails[table.name] = start_of(table, self.read) if found is None else Tail(found.id, found.hash)
        done, self._tails[table.name] = linked(rows, self._tails[table.name])
        self.put(table, done)
        return self._tails[table.name]

    def put(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows, each with every column of the table, in its order."""
        self._waiting.setdefault(table, []).extend(rows)

    def replace(self, table: Table, row: Mapping[str, Any]) -> None:
        """Write one row of a table without a chain in place of the one with its `id`."""
        self.remove(table, table.c.id == row["id"])
        self._connection.execute(insert(table).values(row))

    def remove(self, table: Table, which: ColumnElement[bool]) -> None:
        """Remove rows; of a table with a chain, those that are archived or discarded."""
        self._connection.execute(delete(table).where(which))

    def change(self, update: Update) -> None:
        """Change rows of a table without a chain."""
        self._connection.execute(update)

    def read(self, query: Executable) -> list[dict[str, Any]]:
        """The rows of a query, including those just appended."""
        self.flush()
        return self.look(query)

    def look(self, query: Executable) -> list[dict[str, Any]]:
        """The rows of a query, without those that wait to be sent."""
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


Query = Callable[[Executable], Iterable[Mapping[str, Any]]]
"""What answers a query: a transaction, or a log that is read."""


def start_of(table: Table, look: Query) -> Tail:
    """Where the chain of a table begins: after the rows that went to an archive."""
    m = MAINTENANCE.c
    query = select(m.up_to, m.up_to_hash).where(m.table_name == table.name).order_by(m.id.desc()).limit(1)
    for row in look(query):
        return Tail(row["up_to"], row["up_to_hash"])
    return EMPTY


@functools.cache
def _last(table: Table) -> Executable:
    """The query for the last row of a table, made once: that takes longer than running it."""
    return select(table.c.id, table.c.hash).order_by(table.c.id.desc()).limit(1)


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

    Raises:
        ValueError: The place holds something else.
    """

    def __init__(self, place: str | os.PathLike[str]) -> None:
        url = url_of(place)
        self.name = url.render_as_string(hide_password=True) if "://" in str(place) else str(place)
        try:
            if url.get_backend_name() == "sqlite" and url.database:
                # SQLite gives the files beside it the same permissions.
                with suppress(OSError):
                    os.close(os.open(url.database, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            self._engine = engine_of(url)
            # A service that starts does not hold up those that write.
            with self._engine.connect() as connection:
                complete = _is_complete(connection)
            if not complete:
                with locked(self._engine) as connection:
                    _prepare(connection, self.name)
        except SQLAlchemyError as error:
            raise ValueError(
                f"decision log must be a new file, one of its own, or the URL of a database; got {self.name}: {line_of(error)}"
            ) from error
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._open, self._door = True, threading.Lock()
        self._threads: list[threading.Thread] = []
        self._ended = threading.Event()
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
            if not self._threads:
                self._start()
            self._jobs.put(job)
        return job.done

    def rows(self, query: Executable) -> Iterator[dict[str, Any]]:
        """The rows of a query, read in pieces, as they were at its start. Raises LogError."""
        try:
            with self._engine.connect().execution_options(yield_per=1000) as connection:
                yield from map(dict, connection.execute(query).mappings())
        except SQLAlchemyError as error:
            raise LogError(f"decision log {self.name}: {line_of(error)}") from error

    def pages(self, query: Executable, size: int) -> Iterator[list[dict[str, Any]]]:
        """The rows of a query in lists of a size. Raises LogError."""
        rows = self.rows(query)
        while page := list(itertools.islice(rows, size)):
            yield page

    def tidy(self, table: Table) -> None:
        """Let the database forget former values of the rows of a table. Raises LogError."""
        kind = self._engine.dialect.name
        words = "PRAGMA wal_checkpoint(TRUNCATE)" if kind == "sqlite" else f"VACUUM {table.name}"
        until = time.monotonic() + _MOVES
        try:
            while True:
                with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                    found = connection.exec_driver_sql(words)
                    busy = kind == "sqlite" and found.scalar_one()
                # SQLite itself does not wait for one who moves pages.
                if not busy or time.monotonic() > until:
                    break
                time.sleep(0.02)
        except SQLAlchemyError as error:
            raise LogError(f"decision log {self.name}: {line_of(error)}") from error
        if busy:
            raise LogError(
                f"decision log {self.name}: done, but former values stay in {self.name}-wal until those who read it end"
            )

    def close(self) -> None:
        """Write what is waiting, and disconnect from the database."""
        with self._door:
            self._open = False
            self._jobs.put(None)
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._engine.dispose()

    def _start(self) -> None:
        work = {"decision-log": self._write}
        if self._engine.dialect.name == "sqlite":
            work["decision-log-pages"] = self._move_pages
        self._threads = [threading.Thread(target=each, name=name, daemon=True) for name, each in work.items()]
        for thread in self._threads:
            thread.start()

    def _move_pages(self) -> None:
        """The thread that moves committed pages from SQLite's write-ahead file to their place: a commit
        that did it, every few hundred decisions, would take ten times as long.
        """
        moved = -math.inf
        while not self._ended.wait(_MOVES):
            if self.written > moved:
                moved = time.monotonic()
                # Another process may do it now; of a full disk, the writer hears itself.
                with suppress(OperationalError), self._engine.connect() as connection:
                    connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)").close()

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
            with locked(self._engine) as connection:
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
                job.done.set_exception(LogError(f"decision log {self.name}: {line_of(error)}") if known else error)
            return True
        self.written = time.monotonic()
        for job, result in zip(jobs, results, strict=True):
            job.done.set_result(result)
        return True


def _is_complete(connection: Connection) -> bool:
    """Whether the tables of this version and their triggers are there."""
    if not METADATA.tables.keys() <= set(inspect(connection).get_table_names()):
        return False
    version = connection.execute(select(VERSION.c.version_num)).scalar()
    return version == str(SCHEMA) and not any(_differences(connection).values()) and not missing(connection)


def _differences(connection: Connection) -> dict[str, set[str]]:
    """Columns that a table has and should not have, or the other way round, by table."""
    found = {name: columns for (_, name), columns in inspect(connection).get_multi_columns().items()}
    return {
        name: {column["name"] for column in found.get(name, ())} ^ set(table.columns.keys())
        for name, table in METADATA.tables.items()
    }


def _prepare(connection: Connection, name: str) -> None:
    """Make the tables, or bring those of an earlier version up to this one."""
    before = set(inspect(connection).get_table_names())
    old = "decisions" in before and VERSION.name not in before
    if old:
        from .upgrade import upgrade  # Alembic takes a while to import, and is seldom needed

        upgrade(connection, name)
    METADATA.create_all(connection)
    if "decisions" not in before:
        connection.execute(insert(VERSION).values(version_num=str(SCHEMA)))
    version = connection.execute(select(VERSION.c.version_num)).scalar()
    if version != str(SCHEMA):
        raise ValueError(
            f"decision log must be of version {SCHEMA} or earlier; got {name} of version {version}; update repricer"
        )
    for table, strange in _differences(connection).items():
        if strange:
            raise ValueError(
                f"decision log must be one of repricer's; got {name}, whose table {table} "
                f"differs in {', '.join(sorted(strange))}; name another place"
            )
    guard(connection, name, new=old or "decisions" not in before)

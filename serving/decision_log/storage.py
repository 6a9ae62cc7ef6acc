"""The tables of the log in SQLite or PostgreSQL; waiting writers share one commit."""

from __future__ import annotations

import itertools
import math
import os
import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NamedTuple

from sqlalchemy import Connection, Executable, Table, insert, inspect, select
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from .engine import check_whole, engine_of, line_of, locked, url_of
from .guards import guard, missing
from .schema import METADATA, SCHEMA, VERSION
from .transactions import LogError, Transactions, Work
from .writer import WriterProcess

_MOST_TOGETHER = 256
"""Most jobs in one commit, so that many jobs do not delay the first one."""
_MOVES = 0.5
"""Seconds between two moves of SQLite's pages, and in which another process is waited for."""


class _Job(NamedTuple):
    work: Work
    done: Future[Any]


class Storage:
    """Tables in a SQLite file or a PostgreSQL database. Several threads and processes may write.

    One thread writes; jobs that wait for it are committed together.

    Args:
        place: A path or a URL.
        apart: Write in a process of its own, to which all work is sent: beside other threads, one
            that writes waits for the interpreter at every statement, and they for it.

    Raises:
        ValueError: The place holds something else.
    """

    def __init__(self, place: str | os.PathLike[str], apart: bool = False) -> None:
        url = url_of(place)
        self.name = url.render_as_string(hide_password=True) if "://" in str(place) else str(place)
        try:
            if url.get_backend_name() == "sqlite" and url.database:
                check_whole(url.database)
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
        self._writer = WriterProcess(place, self.name) if apart else Transactions(self._engine, self.name)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._open, self._door = True, threading.Lock()
        self._threads: list[threading.Thread] = []
        self._ended = threading.Event()
        self.written = -math.inf
        """When the last transaction was committed, in the seconds of `time.monotonic`."""

    def submit(self, work: Work) -> Future[Any]:
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
        self._writer.close()
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
            self._commit(self._together([first]))

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

    def _commit(self, jobs: list[_Job]) -> None:
        """Do the jobs and set their results."""
        try:
            found = self._writer.run([job.work for job in jobs])
        except Exception as error:
            # What stops one stops all, also those that came while it was waited for.
            jobs = [*jobs, *self._together([])]
            found = [error] * len(jobs)
        if not all(isinstance(each, Exception) for each in found):
            self.written = time.monotonic()
        for job, result in zip(jobs, found, strict=True):
            if isinstance(result, Exception):
                job.done.set_exception(result)
            else:
                job.done.set_result(result)


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

"""The tables of the log in SQLite or PostgreSQL; waiting writers share one commit."""

from __future__ import annotations

import itertools
import math
import os
import queue
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NamedTuple

from sqlalchemy import Connection, Executable, Table, insert, inspect, select
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from .engine import check_whole, engine_of, line_of, locked, url_of
from .tables import METADATA, SCHEMA, VERSION
from .transactions import LogError, Work, Writing, guard, unguarded

_MOST_TOGETHER = 256
"""Most jobs in one commit, so that many jobs do not delay the first one."""
_MOVES = 0.5
"""Seconds between two moves of SQLite's pages, and in which another process is waited for."""
_STARTS = 30
"""Seconds to wait for another one who makes the tables."""
PATIENCE = 2.5
"""Seconds after which a commit that does not end is given up by those who wait for it."""


class _Job(NamedTuple):
    work: Work
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
                _check_file(url.database)
            self.engine = engine_of(url)
            # A service that starts does not hold up those that write.
            with self.engine.connect() as connection:
                complete = _is_complete(connection)
            if not complete:
                with locked(self.engine, _STARTS) as connection:
                    _prepare(connection, self.name)
        except SQLAlchemyError as error:
            raise ValueError(
                f"decision log must be a new file, one of its own, or the URL of a database; got {self.name}: {line_of(error)}"
            ) from error
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._open, self._door = True, threading.Lock()
        self._threads: list[threading.Thread] = []
        self._ended, self._begun = threading.Event(), math.inf
        self.written = -math.inf
        """When the last transaction was committed, in the seconds of `time.monotonic`."""

    def submit(self, work: Work) -> Future[Any]:
        """Do work in a transaction, all of it or nothing.

        Returns:
            A future that holds the result once it is on disk; it raises LogError, or what the work
            raised.

        Raises:
            LogError: The log is closed, or what is being committed does not end.
        """
        job = _Job(work, Future())
        with self._door:
            if not self._open:
                raise LogError(f"decision log {self.name} is closed")
            if time.monotonic() - self._begun > PATIENCE:
                raise LogError(f"decision log {self.name} has not answered for more than {PATIENCE:g} s")
            if not self._threads:
                self._start()
            self._jobs.put(job)
        return job.done

    def run(self, work: Work) -> Any:
        """As `submit`, but wait for the result, not for ever."""
        done = self.submit(work)
        try:
            return done.result(PATIENCE)
        except TimeoutError:
            done.cancel()
            raise LogError(f"decision log {self.name} has not answered for {PATIENCE:g} s") from None

    def rows(self, query: Executable) -> Iterator[dict[str, Any]]:
        """The rows of a query, read in pieces, as they were at its start. Raises LogError."""
        try:
            with self.engine.connect().execution_options(yield_per=1000) as connection:
                yield from map(dict, connection.execute(query).mappings())
        except SQLAlchemyError as error:
            raise LogError(f"decision log {self.name}: {line_of(error)}") from error

    def pages(self, query: Executable, size: int) -> Iterator[list[dict[str, Any]]]:
        """The rows of a query in lists of a size. Raises LogError."""
        rows = self.rows(query)
        while page := list(itertools.islice(rows, size)):
            yield page

    def outside(self, words: str) -> Any:
        """The first value of a statement that no transaction may hold. Raises LogError."""
        try:
            with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                found = connection.exec_driver_sql(words)
                return found.scalar() if found.returns_rows else None
        except SQLAlchemyError as error:
            raise LogError(f"decision log {self.name}: {line_of(error)}") from error

    def tidy(self, *tables: Table) -> None:
        """Let the database forget former values of the rows of some tables. Raises LogError."""
        if self.engine.dialect.name != "sqlite":
            for table in tables:
                self.outside(f"VACUUM {table.name}")
            return
        until = time.monotonic() + _MOVES
        # SQLite itself does not wait for one who moves pages.
        while self.outside("PRAGMA wal_checkpoint(TRUNCATE)"):
            if time.monotonic() > until:
                raise LogError(
                    f"decision log {self.name}: done, but former values stay in {self.name}-wal until those who read it end"
                )
            time.sleep(0.02)

    def close(self) -> None:
        """Write what is waiting, and disconnect from the database."""
        with self._door:
            self._open = False
            self._jobs.put(None)
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self.engine.dispose()

    def _start(self) -> None:
        work = [self._write] + [self._move_pages] * (self.engine.dialect.name == "sqlite")
        self._threads = [threading.Thread(target=each, name="decision-log", daemon=True) for each in work]
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
                with suppress(OperationalError), self.engine.connect() as connection:
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
        self._begun = time.monotonic()
        try:
            found = self._run([job.work for job in jobs])
        except Exception as error:
            # What stops one stops all, also those that came while it was waited for.
            jobs = [*jobs, *self._together([])]
            found = [error] * len(jobs)
        self._begun = math.inf
        if not all(isinstance(each, Exception) for each in found):
            self.written = time.monotonic()
        for job, result in zip(jobs, found, strict=True):
            if isinstance(result, Exception):
                job.done.set_exception(result)
            else:
                job.done.set_result(result)

    def _run(self, works: list[Work]) -> list[Any]:
        """Do all in one transaction, or each in one of its own where one of several fails.

        Returns:
            What each returned, or the error that it raised.

        Raises:
            LogError: Nothing can be written now: a full disk, a lost connection, a lock.
        """
        try:
            with locked(self.engine) as connection:
                writing = Writing(connection)
                results = [work(writing) for work in works]
                writing.flush()
            return results
        except OperationalError as error:
            raise LogError(f"decision log {self.name}: {line_of(error)}") from error
        except Exception as error:
            if len(works) > 1:
                return [self._alone(work) for work in works]
            known = isinstance(error, SQLAlchemyError)
            return [LogError(f"decision log {self.name}: {line_of(error)}") if known else error]

    def _alone(self, work: Work) -> Any:
        try:
            return self._run([work])[0]
        except LogError as error:
            return error


def _check_file(path: str) -> None:
    check_whole(path)
    # SQLite gives the files beside it the same permissions.
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    if os.name == "posix" and os.path.isfile(path) and (mode := stat.S_IMODE(os.stat(path).st_mode)) & 0o007:
        raise ValueError(f"decision log must not be open to everybody; got {path}, mode {mode:o}; `chmod 600 {path}`")


def _is_complete(connection: Connection) -> bool:
    """Whether the tables of this version and their triggers are there."""
    there = METADATA.tables.keys() <= set(inspect(connection).get_table_names())
    return there and _version(connection) == str(SCHEMA) and not unguarded(connection)


def _version(connection: Connection) -> str | None:
    known = inspect(connection).has_table(VERSION.name)
    return connection.execute(select(VERSION.c.version_num)).scalar() if known else None


def _prepare(connection: Connection, name: str) -> None:
    """Make the tables, or say why they cannot be used."""
    new, version = not inspect(connection).has_table("decisions"), _version(connection)
    if not new and version != str(SCHEMA):
        older = version is None or int(version) < SCHEMA
        advice = "keep it as it is and start a new log" if older else "update repricer"
        advice = f"run `repricer log upgrade {name}`" if version == "3" else advice
        raise ValueError(
            f"decision log must be of version {SCHEMA}; got {name} of version {version or '2 or earlier'}; {advice}"
        )
    METADATA.create_all(connection)
    if new:
        connection.execute(insert(VERSION).values(version_num=str(SCHEMA)))
    guard(connection, name, new=new)

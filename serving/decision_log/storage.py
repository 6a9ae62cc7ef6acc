"""The tables of the log in SQLite or PostgreSQL; waiting writers share one commit."""

from __future__ import annotations

import hashlib
import itertools
import math
import operator
import os
import queue
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from sqlalchemy import Connection, Engine, Executable, Table, bindparam, create_engine, event, insert, inspect, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError

from ..documents import FilePath
from .chain import EMPTY, Tail, document, facts_of, linked
from .tables import CHAINS, DECISIONS, EVENTS, METADATA, SCHEMA, VERSION

_MOST_TOGETHER = 256
"""Most jobs in one commit, so that many jobs do not delay the first one."""
_TIDY = 0.5
"""Seconds to wait for another process that moves them."""
PATIENCE = 2.5
"""Seconds after which a commit that does not end is given up by those who wait for it."""
_LOCK_PATIENCE = 1
"""Seconds to wait for a connection, or for another process to finish writing; a request
waits for them.
"""
_PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON")
_LOCK = int.from_bytes(hashlib.sha256(b"repricer decision log").digest()[:8], "big", signed=True)
"""The advisory lock of a PostgreSQL database under which its chains grow."""
Query = Callable[..., Iterable[Mapping[str, Any]]]
"""What answers a query, with values by name for its parameters: a transaction, or a log that is read."""


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
        """Continue a chain with rows; returns its new end."""
        tail = self._tails.get(table.name) or end_of(table, self.read)
        done, self._tails[table.name] = linked(rows, tail)
        self.put(table, done)
        return self._tails[table.name]

    def note(self, kind: str, facts: Mapping[str, Any], number: int | None = None) -> None:
        """Record an event."""
        self.append(EVENTS, [document(kind, facts, number=number)])

    def put(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add complete rows."""
        self._waiting.setdefault(table, []).extend(rows)

    def do(self, statement: Executable, **values: Any) -> None:
        """Change rows."""
        self.flush()
        self._connection.execute(statement, values)

    def read(self, query: Executable, **values: Any) -> list[dict[str, Any]]:
        """The rows of a query, including those just appended."""
        self.flush()
        return [dict(found) for found in self._connection.execute(query, values).mappings()]

    def flush(self) -> None:
        """Send the appended rows to the database."""
        mark = "?" if self._connection.dialect.paramstyle == "qmark" else "%s"
        for table, rows in self._waiting.items():
            keys = table.columns.keys()
            words = f"INSERT INTO {table.name} ({', '.join(keys)}) VALUES ({', '.join([mark] * len(keys))})"
            if rows:  # in the driver's words, which takes half the time
                self._connection.exec_driver_sql(words, list(map(operator.itemgetter(*keys), rows)))
        self._waiting.clear()


Work = Callable[[Writing], Any]
"""What is done in a transaction."""


_LAST = {table: select(table.c.id, table.c.hash).order_by(table.c.id.desc()).limit(1) for table in CHAINS}
_LAST_EVENT = select(EVENTS).where(EVENTS.c.name == bindparam("kind")).order_by(EVENTS.c.id.desc()).limit(1)


def start_of(table: Table, look: Query) -> Tail:
    """Where the chain of a table begins: after the rows that went to an archive."""
    for found in look(_LAST_EVENT, kind=rotated(table)):
        return Tail(found["number"], facts_of(found)["up_to_hash"])
    return EMPTY


def rotated(table: Table) -> str:
    """The kind of event that says that rows of a table went to an archive; its number is that of the last of them."""
    return f"{table.name} rotated"


def end_of(table: Table, look: Query) -> Tail:
    """Where the chain of a table ends."""
    for found in look(_LAST[table]):
        return Tail(found["id"], found["hash"])
    return start_of(table, look)


class _Job(NamedTuple):
    work: Work
    done: Future[Any]


class Storage:
    """Tables in a SQLite file or a PostgreSQL database. Several threads and processes may write.

    One thread writes; jobs that wait for it are committed together.

    Args:
        place: A path or a URL.
        version: Of its tables; one of a former version must be there.

    Raises:
        ValueError: The place holds something else.
    """

    def __init__(self, place: FilePath, version: int = SCHEMA) -> None:
        url = _url_of(place)
        self.name = url.render_as_string(hide_password=True) if "://" in str(place) else str(place)
        try:
            if url.get_backend_name() == "sqlite" and url.database:
                _check_file(url.database)
            is_read_only = url.get_backend_name() == "sqlite" and _is_read_only(url.database or "")
            self.engine = _engine_of(url, is_read_only)
            # A service that starts does not hold up those that write.
            with self.engine.connect() as connection:
                is_new = _is_new(connection, self.name, version)
            if is_new:
                with _locked(self.engine) as connection:
                    if _is_new(connection, self.name, version):  # no other process has made them meanwhile
                        METADATA.create_all(connection)
                        connection.execute(insert(VERSION).values(version_num=str(SCHEMA)))
        except SQLAlchemyError as error:
            must = "decision log must be a new file, one of its own, or the URL of a database"
            raise ValueError(f"{must}; got {self.name}: {_line_of(error)}") from error
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._open = True
        self._door = threading.Lock()
        self._begun = math.inf
        self._committed = -math.inf
        self._thread = threading.Thread(target=self._write, name="decision-log", daemon=True)
        self._thread.start()

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

    @property
    def age(self) -> float:
        """Seconds since something was written."""
        return time.monotonic() - self._committed

    def rows(self, query: Executable, **values: Any) -> Iterator[dict[str, Any]]:
        """The rows of a query, read in pieces, as they were at its start. Raises LogError.

        Args:
            query: Made once where it is often asked: that takes longer than to answer it.
            values: Those of its parameters, by name.
        """
        try:
            with self.engine.connect().execution_options(yield_per=1000) as connection:
                yield from map(dict, connection.execute(query, values).mappings())
        except SQLAlchemyError as error:
            raise self._error(error) from error

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
            raise self._error(error) from error

    def tidy(self, *tables: Table) -> None:
        """Let the database forget former values of the rows of some tables. Raises LogError."""
        if self.engine.dialect.name != "sqlite":
            for table in tables:
                self.outside(f"VACUUM {table.name}")
            return
        until = time.monotonic() + _TIDY
        # SQLite itself does not wait for one who moves pages.
        while self.outside("PRAGMA wal_checkpoint(TRUNCATE)"):
            if time.monotonic() > until:
                raise LogError(f"decision log: done, but former values stay in {self.name}-wal until its readers end")
            time.sleep(0.02)

    def close(self) -> None:
        """Write what is waiting, and disconnect from the database. Raises LogError where it does not answer."""
        with self._door:
            self._open = False
            self._jobs.put(None)
        while self._thread.is_alive():
            self._thread.join(_TIDY)
            if time.monotonic() - self._begun > PATIENCE:
                raise LogError(f"decision log {self.name} has not answered for more than {PATIENCE:g} s; left open")
        self.engine.dispose()

    def _write(self) -> None:
        """The writing thread: all waiting jobs go into one transaction."""
        while (first := self._jobs.get()) is not None:
            self._begun = time.monotonic()
            self._commit(self._together([first]))
            self._begun = math.inf

    def _together(self, waiting: list[_Job]) -> list[_Job]:
        """The jobs to commit together: these and others that wait behind them; none that was cancelled meanwhile."""
        with suppress(queue.Empty):
            while len(waiting) < _MOST_TOGETHER:
                job = self._jobs.get_nowait()
                if job is None:
                    # The mark by which `close` ends the writing thread, which has to read it after these jobs.
                    self._jobs.put(None)
                    break
                waiting.append(job)
        return [job for job in waiting if job.done.set_running_or_notify_cancel()]

    def _commit(self, jobs: list[_Job]) -> None:
        """Do all in one transaction, or each in one of its own where one of several fails; set their results."""
        try:
            with _locked(self.engine) as connection:
                writing = Writing(connection)
                found = [job.work(writing) for job in jobs]
                writing.flush()
        except OperationalError as error:
            # A full disk, a lost connection or a lock stops all, also those that came while it was waited for.
            for job in [*jobs, *self._together([])]:
                job.done.set_exception(self._error(error))
        except Exception as error:
            if len(jobs) == 1:
                jobs[0].done.set_exception(self._error(error) if isinstance(error, SQLAlchemyError) else error)
                return
            for job in jobs:
                self._commit([job])
        else:
            self._committed = time.monotonic()
            for job, result in zip(jobs, found, strict=True):
                job.done.set_result(result)

    def _error(self, error: Exception) -> LogError:
        return LogError(f"decision log {self.name}: {_line_of(error)}")


def _url_of(place: FilePath) -> URL:
    """The URL of a place. Raises ValueError for one that is neither SQLite nor PostgreSQL."""
    text = os.fspath(place)
    try:
        url = make_url(text) if "://" in text else URL.create("sqlite", database=text)
    except ArgumentError as error:
        raise ValueError(f"decision log must be a path or a URL; got one that cannot be read; {error}") from error
    if url.get_backend_name() in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() != "sqlite" or not text:
        got = url.drivername if text else "an empty text"
        raise ValueError(f"decision log must be a file or a PostgreSQL database; got {got}; name one")
    return url


def _engine_of(url: URL, is_read_only: bool) -> Engine:
    """Connections to a database, each with the settings that a log needs."""
    if url.get_backend_name() == "postgresql":
        # A connection that the server has closed is replaced before it is used.
        engine = create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": _LOCK_PATIENCE})
        settings = ("SET synchronous_commit = on", f"SET lock_timeout = '{_LOCK_PATIENCE}s'")
    else:
        settings = [f"PRAGMA {setting}" for setting in _PRAGMAS]
        if is_read_only:
            own = {"mode": "ro", "immutable": "1", "uri": "true"}
            url = url.set(database=f"file:{quote(os.path.abspath(url.database or ''))}", query=own)
            settings = []
        # The driver must not begin transactions: `locked` does, with an immediate lock.
        engine = create_engine(url, connect_args={"timeout": _LOCK_PATIENCE, "isolation_level": None})
        if url.database and not is_read_only:
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
    write on into the file that is no longer found.
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


def _identity(file: str) -> tuple[int, int] | None:
    with suppress(OSError):
        status = os.stat(file)
        return status.st_dev, status.st_ino


@contextmanager
def _locked(engine: Engine) -> Iterator[Connection]:
    """A transaction that holds the write lock from its start, so that two writers never continue
    the same row.
    """
    with engine.connect() as connection:
        sqlite = engine.dialect.name == "sqlite"
        connection.exec_driver_sql("BEGIN IMMEDIATE" if sqlite else f"SELECT pg_advisory_xact_lock({_LOCK})")
        yield connection
        connection.commit()


def _line_of(error: Exception) -> str:
    """The driver's message, in one line."""
    return " ".join(str(getattr(error, "orig", None) or error).split())


def _is_read_only(path: str) -> bool:
    """Whether a file cannot be written here. Raises ValueError where its last rows are beside it and cannot be read."""
    if not os.path.isfile(path) or os.access(path, os.W_OK):
        return False
    beside = Path(f"{path}-wal")
    if beside.is_file() and beside.stat().st_size:
        got = f"got {path}, which cannot be written, with its last rows in {beside}"
        raise ValueError(f"decision log must be whole to be read; {got}; copy both files to where they can be written")
    return True


def _check_file(path: str) -> None:
    """Make a file that others cannot read, or check one: SQLite opens what is left where its write-ahead file is gone with
    rows that were not moved to their place, and forgets the index beside it, which alone knows.

    Raises:
        ValueError: That file is gone, or everybody may read the log.
    """
    index = Path(f"{path}-shm")
    head = index.read_bytes()[:100] if index.is_file() else b""
    # How many pages it has, and how many were moved: see https://www.sqlite.org/walformat.html
    if head[16:20] != head[96:100] and not os.path.exists(f"{path}-wal"):
        got = f"got {path} without {path}-wal, which holds the last rows"
        fix = f"put it back, or remove {index} to go on without them"
        raise ValueError(f"decision log must have its write-ahead file; {got}; {fix}")
    # SQLite gives the files beside it the same permissions.
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    if os.name == "posix" and os.path.isfile(path) and (mode := stat.S_IMODE(os.stat(path).st_mode)) & 0o007:
        raise ValueError(f"decision log must not be open to everybody; got {path}, mode {mode:o}; `chmod 600 {path}`")


def _is_new(connection: Connection, name: str, wanted: int) -> bool:
    """Whether there are no tables. Raises ValueError for those of another version than is wanted."""
    known = set(inspect(connection).get_table_names())
    version = connection.execute(select(VERSION.c.version_num)).scalar() if VERSION.name in known else None
    if version is None and DECISIONS.name in known:
        version = "2 or earlier"
    if version == str(wanted) or (version is None and wanted == SCHEMA):
        return version is None
    fix = "keep it, read it with the repricer that wrote it (`repricer log export`), and start a new log"
    if version == str(SCHEMA - 1):
        fix = f"`repricer log migrate {name} NEW` makes a new log of it"
    raise ValueError(f"decision log must be of version {wanted}; got {name} of version {version or 'none'}; {fix}")

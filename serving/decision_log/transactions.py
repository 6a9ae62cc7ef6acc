"""Transactions of the log: several jobs in one, each continuing the chains where the last one ended."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Engine, Executable, Table, Update, delete, insert, select
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from .engine import line_of, locked
from .hash_chain import EMPTY, Tail, linked
from .schema import MAINTENANCE

_MOST_ROWS = 128
"""Most rows in one statement; databases allow a few ten thousand values."""
T = TypeVar("T")


class LogError(OSError):
    """The decision log cannot be read or written now: disk full, no connection, locked for too
    long.
    """


class Writing:
    """An exclusive transaction: it sees all committed rows and continues the chains."""

    def __init__(self, connection: Connection, kept: dict[type, Any] | None = None) -> None:
        self._connection, self._kept = connection, {} if kept is None else kept
        self._tails: dict[str, Tail] = {}
        self._waiting: dict[Table, list[Mapping[str, Any]]] = {}

    def keep(self, kind: type[T]) -> T:
        """The object of a class that stays from one transaction to the next."""
        if kind not in self._kept:
            self._kept[kind] = kind()
        return self._kept[kind]

    def append(
        self, table: Table, rows: Sequence[Mapping[str, Any]], texts: Sequence[str | None] | None = None
    ) -> Tail:
        """Add rows, each with every column of the table except those of the chain, in the table's
        order, and with its `text_of` where it was made before. Returns the new end of the chain.
        """
        if table.name not in self._tails:
            found: Any = self._connection.execute(_last(table)).first()
            self._tails[table.name] = start_of(table, self.read) if found is None else Tail(found.id, found.hash)
        done, self._tails[table.name] = linked(rows, self._tails[table.name], texts)
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


Work = Callable[[Writing], Any]
"""What is done in a transaction; it can be pickled where it may run in another process."""


class Transactions:
    """Does work in transactions, for one thread."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine, self._name = engine, name
        self._kept: dict[type, Any] = {}

    def run(self, works: Sequence[Work]) -> list[Any]:
        """Do all in one transaction, or each in one of its own where one of several fails.

        Returns:
            What each returned, or the error that it raised.

        Raises:
            LogError: Nothing can be written now: a full disk, a lost connection, a lock.
        """
        try:
            with locked(self._engine) as connection:
                writing = Writing(connection, self._kept)
                results = [work(writing) for work in works]
                writing.flush()
        except OperationalError as error:
            raise LogError(f"decision log {self._name}: {line_of(error)}") from error
        except Exception as error:
            if len(works) > 1:
                return [self._alone(work) for work in works]
            known = isinstance(error, SQLAlchemyError)
            return [LogError(f"decision log {self._name}: {line_of(error)}") if known else error]
        return results

    def _alone(self, work: Work) -> Any:
        try:
            return self.run([work])[0]
        except LogError as error:
            return error

    def close(self) -> None:
        """Nothing: the engine is its owner's to close."""

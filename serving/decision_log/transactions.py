"""Transactions of the log, and the triggers by which the database refuses to change or delete rows of a chain."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Executable, Table, delete, insert, inspect, select, text

from .chain import EMPTY, Tail, document, facts_of, linked
from .tables import CHAINS, MAINTENANCE

_MOST_ROWS = 128
"""Most rows in one statement; databases allow a few ten thousand values."""
_KEPT = ("id", "time", "name", "number", "date", "digest", "previous_hash", "hash")
_GONE = "(SELECT coalesce(max(number), 0) FROM maintenance WHERE name = {table})"
"""The last row of a table that may be deleted."""
_GUARDS = {
    "sqlite": {
        # Erasure empties the body, its salt and the name of the market, all together, and nothing else.
        "stay": "BEFORE UPDATE ON {table} WHEN coalesce(NEW.body, NEW.salt, NEW.market) IS NOT NULL OR "
        + " OR ".join(f"OLD.{key} IS NOT NEW.{key}" for key in _KEPT),
        "remain": "BEFORE DELETE ON {table} WHEN OLD.id > " + _GONE.format(table="'{table}'"),
        # INSERT OR REPLACE deletes without the trigger for it.
        "once": "BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id OR rowid = NEW.rowid)",
    },
    "postgresql": {
        "append_only": "BEFORE TRUNCATE ON {table} FOR EACH STATEMENT",
        "remain": "BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW",
    },
}
"""The triggers of a table with a hash chain, by kind of database."""
_REFUSAL = {
    "sqlite": "BEGIN SELECT RAISE(ABORT, '{table} are append-only'); END",
    "postgresql": "EXECUTE FUNCTION repricer_append_only()",
}
_IN_FORCE = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT tgname FROM pg_trigger WHERE tgenabled <> 'D' AND NOT tgisinternal",
}
_POSTGRES_FUNCTION = (
    "CREATE OR REPLACE FUNCTION repricer_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " IF TG_OP = 'UPDATE' THEN IF coalesce(NEW.body, NEW.salt) IS NULL AND NEW.market IS NULL"
    f" AND ({', '.join(f'OLD.{key}' for key in _KEPT)}) IS NOT DISTINCT FROM ({', '.join(f'NEW.{key}' for key in _KEPT)})"
    " THEN RETURN NEW; END IF; END IF;"
    f" IF TG_OP = 'DELETE' THEN IF OLD.id <= {_GONE.format(table='TG_TABLE_NAME')} THEN RETURN OLD; END IF; END IF;"
    " RAISE EXCEPTION '% are append-only', TG_TABLE_NAME; END $$"
)
_log = logging.getLogger(__name__)
Query = Callable[[Executable], Iterable[Mapping[str, Any]]]
"""What answers a query: a transaction, or a log that is read."""


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
        tail = self._tails.get(table.name)
        if tail is None:
            found: Any = self._connection.execute(_last(table)).first()
            tail = start_of(table, self.read) if found is None else Tail(found.id, found.hash)
        done, self._tails[table.name] = linked(rows, tail)
        self.put(table, done)
        return self._tails[table.name]

    def maintain(self, what: str, facts: Mapping[str, Any], number: int | None = None) -> None:
        """Record what is done to the log."""
        self.append(MAINTENANCE, [document(what, facts, number=number)])

    def put(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add complete rows."""
        self._waiting.setdefault(table, []).extend(rows)

    def replace(self, table: Table, own: Mapping[str, Any]) -> None:
        """Write one row of a table without a chain in place of the one with its `id`."""
        self.do(delete(table).where(table.c.id == own["id"]))
        self.do(insert(table).values(own))

    def do(self, statement: Executable) -> None:
        """Change rows as the triggers allow."""
        self.flush()
        self._connection.execute(statement)

    def read(self, query: Executable) -> list[dict[str, Any]]:
        """The rows of a query, including those just appended."""
        self.flush()
        return [dict(found) for found in self._connection.execute(query).mappings()]

    def has(self, table: str) -> bool:
        """Whether there is a table of this name."""
        return inspect(self._connection).has_table(table)

    def flush(self) -> None:
        """Send the appended rows to the database."""
        for table, rows in self._waiting.items():
            keys = table.columns.keys()
            for first in range(0, len(rows), _MOST_ROWS):
                part = rows[first : first + _MOST_ROWS]
                values = tuple(one[key] for one in part for key in keys)
                statement = _insertion(table, len(part), self._connection.dialect.paramstyle)
                self._connection.exec_driver_sql(statement, values)
        self._waiting.clear()


Work = Callable[[Writing], Any]
"""What is done in a transaction."""


def start_of(table: Table, look: Query) -> Tail:
    """Where the chain of a table begins: after the rows that went to an archive."""
    m = MAINTENANCE.c
    for found in look(select(MAINTENANCE).where(m.name == table.name).order_by(m.id.desc()).limit(1)):
        return Tail(found["number"], facts_of(found)["up_to_hash"])
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


def guard(connection: Connection, name: str, *, new: bool) -> None:
    """Let the database refuse changes; where it no longer did, say so.

    Args:
        name: How the log calls itself.
        new: Whether its tables were just made.
    """
    kind = connection.dialect.name
    if kind == "postgresql":
        connection.execute(text(_POSTGRES_FUNCTION))
    for table, guarded in unguarded(connection):
        trigger = f"{table}_{guarded}"
        if not new:
            facts = {"log": name, "trigger": trigger, "now": "set again; run repricer log verify"}
            _log.error("append-only trigger was dropped", extra={"facts": facts})
        connection.execute(text(f"DROP TRIGGER IF EXISTS {trigger}{f' ON {table}' if kind == 'postgresql' else ''}"))
        words = f"CREATE TRIGGER {trigger} {_GUARDS[kind][guarded]} {_REFUSAL[kind]}"
        connection.execute(text(words.format(table=table)))


def unguarded(connection: Connection) -> list[tuple[str, str]]:
    """The triggers that are not in force, each as its table and what it guards."""
    kind = connection.dialect.name
    found = set(connection.execute(text(_IN_FORCE[kind])).scalars())
    return [(table.name, name) for table in CHAINS for name in _GUARDS[kind] if f"{table.name}_{name}" not in found]

"""Triggers by which the database refuses to change or delete rows of a hash chain. Only rows that
`maintenance` says are archived or discarded may be deleted.
"""

from __future__ import annotations

import logging

from sqlalchemy import Connection, text

from .schema import CHAINS

_GONE = "(SELECT coalesce(max(up_to), 0) FROM maintenance WHERE table_name = {table})"
"""The last row of a table that may be deleted."""
_GUARDS = {
    "sqlite": {
        "stay": "BEFORE UPDATE ON {table} BEGIN",
        "remain": "BEFORE DELETE ON {table} WHEN OLD.id > " + _GONE.format(table="'{table}'") + " BEGIN",
        # INSERT OR REPLACE deletes without the trigger for it.
        "once": "BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id OR rowid = NEW.rowid) BEGIN",
    },
    "postgresql": {
        "append_only": "BEFORE UPDATE OR TRUNCATE ON {table} FOR EACH STATEMENT",
        "remain": "BEFORE DELETE ON {table} FOR EACH ROW",
    },
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
    "CREATE OR REPLACE FUNCTION repricer_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    f" IF TG_LEVEL = 'ROW' THEN IF OLD.id <= {_GONE.format(table='TG_TABLE_NAME')} THEN RETURN OLD; END IF; END IF;"
    " RAISE EXCEPTION '% are append-only', TG_TABLE_NAME; END $$"
)
_log = logging.getLogger(__name__)


def guard(connection: Connection, name: str, *, new: bool) -> None:
    """Let the database refuse changes; where it no longer did, say so.

    Args:
        name: How the log calls itself.
        new: Whether its tables were just made.
    """
    kind = connection.dialect.name
    if kind == "postgresql":
        connection.execute(text(_POSTGRES_FUNCTION))
    for table, guarded in missing(connection):
        trigger = f"{table}_{guarded}"
        if not new:
            facts = {"log": name, "trigger": trigger, "now": "set again; run repricer log verify"}
            _log.error("append-only trigger was dropped", extra={"facts": facts})
        connection.execute(text(dropped(kind, trigger, table)))
        words = f"CREATE TRIGGER {trigger} {_GUARDS[kind][guarded]} {_REFUSAL[kind]}"
        connection.execute(text(words.format(table=table)))


def missing(connection: Connection) -> list[tuple[str, str]]:
    """The triggers that are not in force, each as its table and what it guards."""
    kind = connection.dialect.name
    found = set(connection.execute(text(_IN_FORCE[kind])).scalars())
    return [(table.name, name) for table in CHAINS for name in _GUARDS[kind] if f"{table.name}_{name}" not in found]


def unguard(connection: Connection) -> None:
    """Drop all triggers of the log, whatever version made them."""
    kind = connection.dialect.name
    for table in CHAINS:
        for guarded in _GUARDS[kind]:
            if kind == "sqlite" or connection.dialect.has_table(connection, table.name):
                connection.execute(text(dropped(kind, f"{table.name}_{guarded}", table.name)))


def dropped(kind: str, trigger: str, table: str) -> str:
    """The statement that drops a trigger, if it is there."""
    return f"DROP TRIGGER IF EXISTS {trigger}{f' ON {table}' if kind == 'postgresql' else ''}"

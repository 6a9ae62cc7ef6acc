"""From one row per product, in the clear, to one sealed and compressed row per decision.

The chains of the former tables are verified, and the new ones continue from their ends.
"""

# Alembic loads this file by its path, so that imports cannot be relative; the type checker does not know the package.
# pyright: reportMissingImports=false

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any

from alembic import context, op
from repricer.serving.decision_log.guards import unguard
from repricer.serving.decision_log.hash_chain import EMPTY, Tail, checked
from repricer.serving.decision_log.records import Record, now, packed
from repricer.serving.decision_log.schema import DECISIONS, MAINTENANCE, METADATA, OUTCOMES
from repricer.serving.decision_log.sealing import Sealer, opened
from repricer.serving.decision_log.transactions import Writing
from sqlalchemy import Boolean, Connection, column, inspect, select, table, text

revision, down_revision = "3", None

_LINKS = ("previous_hash", "hash")
_DECISIONS = [
    "id",
    "schema",
    "time",
    "request_id",
    "market",
    "period",
    "product",
    "state",
    "proposed",
    "price",
    "discounts",
    "also",
    "trail",
    "arm",
    "propensity",
    "shadow",
    "policy",
    "bundle",
]
_OUTCOMES = ["id", "schema", "time", "request_id", "product", "segment", "units", "price_paid", "stockout", "date"]
_JSON = ("state", "discounts", "also", "trail", "shadow")
_AT_ONCE = 200
"""Decisions that are sent together."""


def upgrade() -> None:
    """Replace the tables `decisions` and `outcomes`."""
    connection, name = op.get_bind(), context.config.attributes["name"]
    for former, columns in (("decisions", _DECISIONS), ("outcomes", _OUTCOMES)):
        _check(connection, name, former, {*columns, *_LINKS})
    unguard(connection)
    for former in ("decisions", "outcomes"):
        for index in inspect(connection).get_indexes(former):
            op.drop_index(str(index["name"]), former)
        op.rename_table(former, f"{former}_2")
        if connection.dialect.name == "postgresql":
            op.execute(f"ALTER INDEX {former}_pkey RENAME TO {former}_2_pkey")
    METADATA.create_all(connection)
    writing, sealer = Writing(connection), Sealer()
    _continue(writing, "decisions", _last(connection, "decisions_2"))
    _continue(writing, "outcomes", _last(connection, "outcomes_2"))
    _decisions(connection, writing, sealer)
    _outcomes(connection, writing)
    writing.flush()
    for former in ("decisions", "outcomes"):
        op.drop_table(f"{former}_2")


def _check(connection: Connection, name: str, former: str, columns: set[str]) -> None:
    found = {each["name"] for each in inspect(connection).get_columns(former)}
    if strange := found ^ columns:
        raise ValueError(
            f"decision log must be of version 2 or later; got {name}, whose table {former} differs in "
            f"{', '.join(sorted(strange))}; keep it as it is and start a new log"
        )


def _last(connection: Connection, former: str) -> Tail:
    found = connection.execute(text(f"SELECT id, hash FROM {former} ORDER BY id DESC LIMIT 1")).first()
    return EMPTY if found is None else Tail(*found)


def _continue(writing: Writing, name: str, tail: Tail) -> None:
    """Let the new chain begin with the hash of the former one's last row."""
    if tail != EMPTY:
        row = {"time": now(), "action": "upgrade", "table_name": name, "up_to": 0, "up_to_hash": tail.hash}
        writing.append(MAINTENANCE, [{**row, "done_by": "repricer", "reason": f"{tail.rows} rows of version 2"}])


def _former(connection: Connection, name: str, columns: list[str]) -> Iterable[Mapping[str, Any]]:
    """The rows of a former table, each once its hash is checked."""
    typed = [column(each, Boolean) if each == "stockout" else column(each) for each in (*columns, *_LINKS)]
    query = select(table(f"{name}_2", *typed)).order_by(text("id"))
    rows = connection.execute(query, execution_options={"yield_per": 1000}).mappings()
    return checked(name, map(dict, rows))


def _decisions(connection: Connection, writing: Writing, sealer: Sealer) -> None:
    rows = _former(connection, "decisions", _DECISIONS)
    records = (_record(list(group)) for _, group in itertools.groupby(rows, lambda row: row["request_id"]))
    while some := list(itertools.islice(records, _AT_ONCE)):
        writing.append(DECISIONS, [sealer.row(writing, one, packed(one.rows, one.shared))[0] for one in some])
        writing.flush()


def _record(rows: list[Mapping[str, Any]]) -> Record:
    """A decision from its rows, one per product."""
    products, date = [], None
    for row in rows:
        plain = {key: None if row[key] is None else json.loads(row[key]) for key in _JSON}
        if isinstance(plain["state"], dict):
            date = plain["state"].pop("date", None)
        same = {key: row[key] for key in ("product", "proposed", "price", "propensity")}
        products.append({**same, **plain})
    first = rows[0]
    shared = {key: first[key] for key in ("arm", "policy", "bundle")}
    return Record(first["time"], first["request_id"], first["market"], first["period"], date, shared, products)


def _outcomes(connection: Connection, writing: Writing) -> None:
    rows = _former(connection, "outcomes", _OUTCOMES)
    for (request, time), group in itertools.groupby(rows, lambda row: (row["request_id"], row["time"])):
        found = writing.read(select(DECISIONS).where(DECISIONS.c.request_id == request))
        decision = next(opened(found, writing.look, writing.look))
        told = [{key: row[key] for key in _OUTCOMES[4:]} for row in group]
        writing.append(OUTCOMES, [{"time": time, "decision": decision.id, "body": decision.sealed(told)}])

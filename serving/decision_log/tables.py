"""The tables of the log: the one declaration of a row, of which every chain is made, and what has no chain."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, MetaData, String, Table, Text

SCHEMA = 5
"""Version of the tables; a log of another one is refused."""
METADATA = MetaData()


def _chain(name: str, *indexed: str) -> Table:
    needed = {"time": Text, "name": Text, "digest": LargeBinary, "previous_hash": Text, "hash": Text}
    others = {"number": BigInteger, "date": Text, "market": Text, "salt": LargeBinary, "body": LargeBinary}
    table = Table(name, METADATA, Column("id", BigInteger, primary_key=True, autoincrement=False))
    for key, kind in (needed | others).items():
        table.append_column(Column(key, kind, nullable=key in others))
    for key in indexed:
        Index(f"{name}_by_{key}", table.c[key])
    return table


DECISIONS = _chain("decisions", "name")
"""`name` is the request id, `number` the period and `date` its first day."""
OUTCOMES = _chain("outcomes", "number", "name", "market")
"""`number` is the id of the decision. A row on many has that of the last; `name` says of which block they are."""
APPROVALS = _chain("approvals", "name")
"""Decisions about a price list; `name` is the week."""
SWITCHES = _chain("switches")
"""Transitions of the switches; `name` is the switch."""
MAINTENANCE = _chain("maintenance", "name")
"""What was done to the log; `name` is the table whose rows up to `number` are gone, or what else was done."""
BUNDLES = _chain("bundles", "name")
"""The files of every bundle that was active or on trial; `name` is its digest."""
Index("decisions_of_market", DECISIONS.c.market, DECISIONS.c.number)
DAYS = Index("decisions_of_day", DECISIONS.c.market, DECISIONS.c.date, DECISIONS.c.id)
"""Logs of earlier releases get it when they are opened."""
CHAINS = (DECISIONS, OUTCOMES, APPROVALS, SWITCHES, MAINTENANCE, BUNDLES)
VERSION = Table("alembic_version", METADATA, Column("version_num", String(32), primary_key=True))
TRIALS = Table("trials", METADATA, Column("id", BigInteger, primary_key=True), Column("filler", Text, nullable=False))
"""One row, which is written again and again to see whether decisions can be."""
_REPLY = {"question": Text, "answer": LargeBinary}
REPLIES = Table(
    *("replies", METADATA, Column("id", Text, primary_key=True), Column("time", Text, nullable=False, index=True)),
    *(Column(key, kind, nullable=False) for key, kind in _REPLY.items()),
)
"""The answers to requests with an idempotency key, by request id; kept for a day."""

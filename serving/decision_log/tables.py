"""The tables of the log: the one declaration of a row, of which every chain is made, and what has no chain."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, MetaData, String, Table, Text

SCHEMA = 6
"""Version of the tables; a log of another one is refused."""
METADATA = MetaData()


def chain(name: str, metadata: MetaData = METADATA) -> Table:
    """A table whose rows make a chain."""
    needed = {"time": Text, "name": Text, "digest": LargeBinary, "previous_hash": Text, "hash": Text}
    others = {"number": BigInteger, "date": Text, "market": Text, "salt": LargeBinary, "body": LargeBinary}
    table = Table(name, metadata, Column("id", BigInteger, primary_key=True, autoincrement=False))
    for key, kind in (needed | others).items():
        table.append_column(Column(key, kind, nullable=key in others))
    return table


DECISIONS = chain("decisions")
"""`name` is the request id, `number` the period and `date` its first day."""
OUTCOMES = chain("outcomes")
"""`number` is the id of the decision, `name` the product, and `date` the day of the sale."""
EVENTS = chain("events")
"""What people, guards and commands did; `name` is the kind of event."""
CHAINS = (DECISIONS, OUTCOMES, EVENTS)
Index("decisions_by_name", DECISIONS.c.name)
Index("decisions_of_market", DECISIONS.c.market, DECISIONS.c.number)
Index("decisions_of_day", DECISIONS.c.market, DECISIONS.c.date, DECISIONS.c.id)
Index("outcomes_of_product", OUTCOMES.c.number, OUTCOMES.c.name)
Index("outcomes_of_market", OUTCOMES.c.market)
Index("events_of_kind", EVENTS.c.name, EVENTS.c.date)
ERASED = "erased"
"""The kind of event that says of which decisions the bodies are empty."""
FILES = "files"
"""The kind that says that the files of a bundle are here, with their hash."""
SPLIT = "split"
"""The kind that says in an archive where its decisions end."""
BUNDLES = Table(
    "bundles", METADATA, Column("digest", Text, primary_key=True), Column("files", LargeBinary, nullable=False)
)
"""The files of every bundle that was active or on trial; an event has their hash."""
VERSION = Table("alembic_version", METADATA, Column("version_num", String(32), primary_key=True))
TRIALS = Table("trials", METADATA, Column("id", BigInteger, primary_key=True), Column("filler", Text, nullable=False))
"""One row, which is written again and again to see whether decisions can be."""
_REPLY = {"question": Text, "answer": LargeBinary}
REPLIES = Table(
    *("replies", METADATA, Column("id", Text, primary_key=True), Column("time", Text, nullable=False, index=True)),
    *(Column(key, kind, nullable=False) for key, kind in _REPLY.items()),
)
"""The answers to requests with an idempotency key, by request id; kept for a day."""

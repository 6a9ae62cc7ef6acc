"""The tables of the decision log: one row per decision, per report of what it sold, per decision
about a price list, per throw of a switch, and per change of the log itself.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Index, Integer, LargeBinary, MetaData, String, Table, Text

SCHEMA = 3
"""Version of the tables; `migrations` brings logs of version 2 up to it."""
METADATA = MetaData()


def _chained(name: str, *columns: Column) -> Table:
    """A table with a hash chain, in which the database refuses to change or delete rows."""
    links = (Column("previous_hash", Text, nullable=False), Column("hash", Text, nullable=False))
    return Table(name, METADATA, Column("id", BigInteger, primary_key=True, autoincrement=False), *columns, *links)


VERSION = Table("alembic_version", METADATA, Column("version_num", String(32), primary_key=True))
SUBJECTS = Table(
    "subjects",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, unique=True),
    Column("key", LargeBinary),
)
"""The markets by name, and the key of each; an erased one has neither."""
DICTIONARIES = Table(
    "dictionaries",
    METADATA,
    Column("id", LargeBinary, primary_key=True),
    Column("bundle", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
)
"""What the decisions of a bundle have in common, against which they are compressed; the id is the
beginning of its SHA-256.
"""
DECISIONS = _chained(
    "decisions",
    Column("time", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("subject", Integer, nullable=False),
    Column("period", Integer, nullable=False),
    Column("date", Text),
    Column("dictionary", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
OUTCOMES = _chained(
    "outcomes",
    Column("time", Text, nullable=False),
    Column("decision", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
APPROVALS = _chained(
    "approvals",
    Column("schema", Integer, nullable=False),
    Column("time", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("week", Text, nullable=False),
    Column("proposal", Text, nullable=False),
    Column("current_price", Double, nullable=False),
    Column("new_price", Double, nullable=False),
    Column("status", Text, nullable=False),
    Column("price", Double, nullable=False),
    Column("decided_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("bundle", Text, nullable=False),
)
SWITCHES = _chained(
    "switches",
    Column("schema", Integer, nullable=False),
    Column("time", Text, nullable=False),
    Column("switch", Text, nullable=False),
    Column("position", Text, nullable=False),
    Column("thrown_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
)
MAINTENANCE = _chained(
    "maintenance",
    Column("time", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("table_name", Text, nullable=False),
    Column("up_to", BigInteger, nullable=False),
    Column("up_to_hash", Text, nullable=False),
    Column("done_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
)
"""What was done to the log: rows up to a number that were moved to an archive or discarded, so that
the chain of the table begins after them; a subject that was erased; an upgrade.
"""
CHAINS = (DECISIONS, OUTCOMES, APPROVALS, SWITCHES, MAINTENANCE)
BUNDLES = Table("bundles", METADATA, Column("id", Text, primary_key=True), Column("files", LargeBinary, nullable=False))
"""The bundles that were active, by digest, so that every instance can have the one that is."""
TRIALS = Table("trials", METADATA, Column("id", Integer, primary_key=True), Column("filler", Text, nullable=False))
"""One row, which is written again and again to see whether decisions can be."""
REPLIES = Table(
    "replies",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("time", Text, nullable=False, index=True),
    Column("question", Text, nullable=False),
    Column("answer", LargeBinary, nullable=False),
)
"""The answers to requests with an idempotency key, by request id; kept for a day."""
Index("approvals_week", APPROVALS.c.week)
Index("decisions_request", DECISIONS.c.request_id)
Index("decisions_subject", DECISIONS.c.subject, DECISIONS.c.period)
Index("outcomes_decision", OUTCOMES.c.decision)
Index("maintenance_table", MAINTENANCE.c.table_name, MAINTENANCE.c.up_to)

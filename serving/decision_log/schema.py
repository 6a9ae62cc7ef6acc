"""The tables of the decision log: one row per priced product, one per outcome, and one per decision
about a price list.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Double, Index, Integer, LargeBinary, MetaData, Table, Text

from .storage import chained_table

SCHEMA = 2
"""Version of the rows, stored in each. Version 1 was for SQLite only, without arms, propensities
and outcomes.
"""
METADATA = MetaData()
DECISIONS = chained_table(
    "decisions",
    METADATA,
    Column("schema", Integer, nullable=False),
    Column("time", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("market", Text, nullable=False),
    Column("period", Integer, nullable=False),
    Column("product", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("proposed", Double),
    Column("price", Double, nullable=False),
    Column("discounts", Text, nullable=False),
    Column("also", Text, nullable=False),
    Column("trail", Text, nullable=False),
    Column("arm", Text, nullable=False),
    Column("propensity", Double, nullable=False),
    Column("shadow", Text),
    Column("policy", Text, nullable=False),
    Column("bundle", Text, nullable=False),
)
OUTCOMES = chained_table(
    "outcomes",
    METADATA,
    Column("schema", Integer, nullable=False),
    Column("time", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("segment", Text),
    Column("units", Double, nullable=False),
    Column("price_paid", Double),
    Column("stockout", Boolean, nullable=False),
    Column("date", Text),
)
APPROVALS = chained_table(
    "approvals",
    METADATA,
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
SWITCHES = chained_table(
    "switches",
    METADATA,
    Column("schema", Integer, nullable=False),
    Column("time", Text, nullable=False),
    Column("switch", Text, nullable=False),
    Column("position", Text, nullable=False),
    Column("thrown_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
)
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
Index("decisions_market", DECISIONS.c.market, DECISIONS.c.period)
Index("outcomes_request", OUTCOMES.c.request_id)

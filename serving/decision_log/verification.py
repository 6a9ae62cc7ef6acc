"""Checks that nothing in a log was changed, or is missing."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from sqlalchemy import select

from .chain import START, ChainError, Tail, checked, facts_of
from .storage import Storage, start_of
from .tables import BUNDLES, CHAINS, DECISIONS, MAINTENANCE, OUTCOMES, SWITCHES


class Head(NamedTuple):
    """The end of a log: the number of decisions so far and the hash of the last one, and the same
    for reports of outcomes, approvals of price lists, throws of switches, maintenance, and bundles; and how many of
    the decisions and reports of outcomes are gone, to an archive or for good.
    """

    rows: int
    hash: str
    outcomes: int
    outcomes_hash: str
    approvals: int
    approvals_hash: str
    switches: int
    switches_hash: str
    maintenance: int
    maintenance_hash: str
    bundles: int
    bundles_hash: str
    gone: int = 0
    outcomes_gone: int = 0


def verified(storage: Storage, head: str | None = None) -> Head:
    """The ends of all chains, once every row is checked.

    Args:
        head: A hash noted earlier; it must still be in the log.

    Raises:
        ChainError: A row does not match its hash, or rows are missing.
        LogError: The log cannot be read.
    """
    tails: list[Any] = []
    acts = [facts_of(row) for row in storage.rows(select(MAINTENANCE).order_by(MAINTENANCE.c.id))]
    erased = {number for act in acts for number in act.get("erased", ())}
    for table in CHAINS:
        start = start_of(table, storage.rows)
        tail, query = start, select(table).where(table.c.id > start.rows).order_by(table.c.id)
        for row in checked(table.name, storage.rows(query), start, erased, "number" if table is OUTCOMES else "id"):
            tail = Tail(row["id"], row["hash"])
        tails.append(tail)
    # The last one of an archive is known, too.
    known = {None, START, *(act.get("up_to_hash") for act in acts)}
    if head not in known and not any(any(storage.rows(select(t.c.id).where(t.c.hash == head))) for t in CHAINS):
        counts = ", ".join(f"{tail.rows} {table.name}" for table, tail in zip(CHAINS, tails, strict=True))
        line = f"must still hold the row with hash {head}; got {counts} without it; restore a backup"
        raise ChainError(f"decision log {line}")
    _check_switches(storage)
    gone = (start_of(table, storage.rows).rows for table in (DECISIONS, OUTCOMES))
    return Head(*(part for tail in tails for part in tail), *gone)


def _check_switches(storage: Storage) -> None:
    """Check that the bundles that switches name are there: a start loads them."""
    there = {row["name"] for row in storage.rows(select(BUNDLES.c.name))}
    for row in storage.rows(select(SWITCHES).where(SWITCHES.c.name.in_(("bundle", "canary")))):
        position = json.loads(facts_of(row)["position"])
        if position and (position if row["name"] == "bundle" else position["bundle"]) not in there:
            raise ChainError(f"bundles: that of switches, row {row['id']}, must be there; got none; restore a backup")

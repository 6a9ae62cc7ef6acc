"""Checks that nothing in a log was changed, or is missing."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Table, select

from .chain import START, ChainError, Row, Tail, checked, facts_of
from .replies import check_replies
from .storage import Storage, end_of, start_of
from .tables import BUNDLES, CHAINS, DECISIONS, ERASED, EVENTS, FILES, OUTCOMES, SPLIT


class Head(NamedTuple):
    """The ends of the chains of a log: the number of decisions so far and the hash of the last one, and the same for
    outcomes and events; and how many of the decisions and outcomes are gone, to an archive or for good.
    """

    rows: int
    hash: str
    outcomes: int
    outcomes_hash: str
    events: int
    events_hash: str
    gone: int = 0
    outcomes_gone: int = 0


def verified(storage: Storage, head: str | Mapping[str, Any] | None = None) -> Head:
    """The ends of all chains, once every row is checked.

    Args:
        head: What was noted earlier and must still be in the log: all ends, as this gave them (a mapping of the fields
            of `Head`), or one hash, which says nothing of the other chains.

    Raises:
        ChainError: A row does not match its hash, or rows are missing.
        LogError: The log cannot be read.
    """
    tails = {EVENTS: end_of(EVENTS, storage.rows)}
    events = [(row["id"], row["name"], row["number"], facts_of(row)) for row in _checked(storage, EVENTS)]
    erased = {number for _, kind, _, facts in events if kind == ERASED for number in facts["decisions"]}
    # Outcomes before decisions: a service may go on meanwhile.
    last = max((row["number"] for row in _checked(storage, OUTCOMES, erased, "number")), default=0)
    tails[OUTCOMES] = end_of(OUTCOMES, storage.rows)
    tails[DECISIONS] = start_of(DECISIONS, storage.rows)
    for row in _checked(storage, DECISIONS, erased):
        tails[DECISIONS] = Tail(row["id"], row["hash"])
    # An archive also holds outcomes of decisions that stayed in its log.
    archived = {Tail(number, facts["up_to_hash"]) for _, kind, number, facts in events if kind == SPLIT}
    if last > tails[DECISIONS].rows and tails[DECISIONS] not in archived:
        got = f"got an outcome of decision {last:,} after {tails[DECISIONS].rows:,} decisions"
        raise ChainError(f"decision log must hold the decision of every outcome; {got}; restore a backup")
    starts = {table: start_of(table, storage.rows).rows for table in CHAINS}
    ends: list[Any] = [part for table in CHAINS for part in tails[table]]
    found = Head(*ends, gone=starts[DECISIONS], outcomes_gone=starts[OUTCOMES])
    if isinstance(head, str):
        _check_known(storage, head, [facts for *_, facts in events], tails)
    elif head is not None:
        _check_noted(storage, head, starts)
    _check_bundles(storage, events)
    check_replies(storage.rows)
    return found


def _checked(storage: Storage, table: Table, gone: Collection[int] = (), key: str = "id") -> Iterator[Row]:
    start = start_of(table, storage.rows)
    query = select(table).where(table.c.id > start.rows).order_by(table.c.id)
    return checked(table.name, storage.rows(query), start, gone, key)


def _check_known(storage: Storage, head: str, acts: list[Any], tails: Mapping[Table, Tail]) -> None:
    """Check that a hash is still in the log; the last one of an archive is known, too."""
    known = {START, *(act.get("up_to_hash") for act in acts)}
    if head not in known and not any(any(storage.rows(select(t.c.id).where(t.c.hash == head))) for t in CHAINS):
        counts = ", ".join(f"{tails[table].rows} {table.name}" for table in CHAINS)
        line = f"must still hold the row with hash {head}; got {counts} without it; restore a backup"
        raise ChainError(f"decision log {line}")


def _check_noted(storage: Storage, noted: Mapping[str, Any], starts: Mapping[Table, int]) -> None:
    """Check that every chain still has the end that was noted, unless that went to an archive; each that has not is named."""
    lacking = list[str]()
    for table in CHAINS:
        counted = "rows" if table is DECISIONS else table.name
        rows = noted.get(counted)
        own = noted.get("hash" if table is DECISIONS else f"{counted}_hash")
        if not isinstance(rows, int) or not isinstance(own, str):
            raise ChainError(
                f"a note of the heads must be what log verify --json wrote; got none of {table.name}; note all"
            )
        there = select(table.c.id).where(table.c.id == rows, table.c.hash == own)
        if rows > starts[table] and not any(storage.rows(there)):
            lacking.append(f"{table.name}: the log must still hold its row {rows:,} with hash {own}")
    if lacking:
        raise ChainError(f"{'; '.join(lacking)}; got another, or none; restore a backup")


def _check_bundles(storage: Storage, events: list[Any]) -> None:
    """Check that the bundles that events name are there, as they were: a start loads them."""
    named = {facts["bundle"]: facts["sha256"] for _, kind, _, facts in events if kind == FILES}
    for row in storage.rows(select(BUNDLES).where(BUNDLES.c.digest.in_(list(named)))):
        if hashlib.sha256(row["files"]).hexdigest() != named.pop(row["digest"]):
            raise ChainError(f"bundle {row['digest']} must be as it was recorded; got another; restore a backup")
    if named:
        raise ChainError(f"bundle {min(named)} must be in the log; got none; restore a backup")

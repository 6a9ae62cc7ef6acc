"""Checks that nothing in a log was changed, or is missing."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Executable, Table, select

from .hash_chain import START, ChainError, Tail, walked
from .schema import CHAINS, DECISIONS, DICTIONARIES, MAINTENANCE, OUTCOMES, SUBJECTS
from .sealing import dictionary_id
from .storage import Storage
from .transactions import start_of


class Head(NamedTuple):
    """The end of a log: the number of decisions so far and the hash of the last one, and the same
    for reports of outcomes, approvals of price lists, throws of switches, and maintenance; and how many of
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
    gone: int = 0
    outcomes_gone: int = 0


def verified(storage: Storage, head: str | None, since: Head | None) -> Head:
    """The ends of all chains, once every hash after `since` is checked.

    Args:
        head: A hash noted earlier; it must still be in the log.
        since: The ends that an earlier check found; by default, all is checked.

    Raises:
        ChainError: A row does not match its hash, or rows are missing.
        LogError: The log cannot be read.
    """
    known, tails = {None, START}, []
    noted: list[Any] = list(since or ())
    for place, table in enumerate(CHAINS):
        start = start_of(table, storage.rows)
        if noted:
            start = _later(storage, table, start, Tail(*noted[2 * place : 2 * place + 2]))
        query = select(table).where(table.c.id > start.rows).order_by(table.c.id)
        tails.append(walked(table.name, storage.rows(query), start))
        known |= {start.hash, tails[-1].hash}
        if head not in known and any(storage.rows(select(table.c.id).where(table.c.hash == head))):
            known.add(head)
    if head not in known and any(storage.rows(select(MAINTENANCE.c.id).where(MAINTENANCE.c.up_to_hash == head))):
        known.add(head)  # of a row that is in an archive, or of an earlier version
    gone = (start_of(table, storage.rows).rows for table in (DECISIONS, OUTCOMES))
    found = Head(*(part for tail in tails for part in tail), *gone)
    if head not in known:
        counts = ", ".join(f"{tail.rows} {table.name}" for table, tail in zip(CHAINS, tails, strict=True))
        raise ChainError(
            f"decision log must still hold the row with hash {head}; got {counts} without it; restore a backup"
        )
    _check_the_rest(storage)
    return found


def _later(storage: Storage, table: Table, start: Tail, since: Tail) -> Tail:
    """Where to begin: at the start of the chain, or at the row that was the last one."""
    if since.rows <= start.rows:
        return start
    row: Any = next(storage.rows(select(table.c.id, table.c.hash).where(table.c.id == since.rows)), None)
    if row is None or row["hash"] != since.hash:
        raise ChainError(
            f"{table.name}: row {since.rows} must have the hash that an earlier check found; got "
            f"{'another' if row else 'no such row'}; restore a backup"
        )
    return since


def erased_without_record() -> Executable:
    """The subjects whose key is gone, though no row of `maintenance` says so."""
    recorded = select(MAINTENANCE.c.up_to).where(MAINTENANCE.c.table_name == SUBJECTS.name)
    return select(SUBJECTS.c.id).where(SUBJECTS.c.key.is_(None), SUBJECTS.c.id.not_in(recorded))


def _check_the_rest(storage: Storage) -> None:
    """What the chains do not hold themselves: dictionaries, and why keys are gone."""
    for row in storage.rows(select(DICTIONARIES)):
        if dictionary_id(row["content"]) != row["id"]:
            raise ChainError(
                f"dictionaries: that of bundle {row['bundle']} must match its id; got another; restore a backup"
            )
    for row in storage.rows(erased_without_record()):
        raise ChainError(
            f"subjects: the key of subject {row['id']} must be there, as no erasure of it is recorded; got none; "
            "restore the keys"
        )

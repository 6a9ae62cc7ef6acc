"""What keeps a log small and its owner within the law: erasure, rotation, retention, backup."""

from __future__ import annotations

import datetime as dt
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Executable, Table, func, select, true

from ...atomic import whole_file
from .hash_chain import ChainError, Tail
from .records import now
from .schema import BUNDLES, CHAINS, DECISIONS, DICTIONARIES, MAINTENANCE, OUTCOMES, REPLIES, SUBJECTS
from .sealing import Sealer
from .storage import Storage
from .transactions import Query, Writing, start_of
from .verification import Head, erased_without_record, verified

_PIECE = 1_000
"""Rows that are copied or deleted in one transaction, so that a service can write in between."""


class Rotated(NamedTuple):
    """How many decisions and reports of outcomes left the log, and where its chains begin now."""

    decisions: int
    outcomes: int
    start: Tail
    outcomes_start: Tail


class _Cut(NamedTuple):
    """The last rows that leave the log, and the last outcome that their decisions have."""

    decisions: Tail
    outcomes: Tail
    last_outcome: int


def erase(storage: Storage, market: str, by: str, reason: str) -> int:
    """Destroy the key of a market, so that nobody can read its decisions and outcomes any more.

    Returns:
        The number of its decisions.

    Raises:
        ValueError: There is no such market in the log.
        LogError: It cannot be done now; or it is done, and former values stay in the write-ahead
            log of SQLite until those who read it end.
    """

    def write(writing: Writing) -> int:
        found = writing.read(select(SUBJECTS.c.id).where(SUBJECTS.c.name == market))
        if not found:
            raise ValueError(f"market must be one of the log; got {market!r}, which is not there, or erased; check it")
        return _erased(writing, found[0]["id"], by, reason)

    decisions = storage.submit(write).result()
    storage.tidy(SUBJECTS)
    return decisions


def _erased(writing: Writing, subject: int, by: str, reason: str) -> int:
    mine = DECISIONS.c.subject == subject
    for row in writing.read(select(DECISIONS.c.request_id).where(mine, DECISIONS.c.time > _ago(days=2))):
        whole = row["request_id"].rpartition(".")[0]
        writing.remove(REPLIES, REPLIES.c.id.in_((row["request_id"], whole)))
    writing.keep(Sealer).erase(writing, subject, by, reason)
    (count,) = writing.read(select(func.count().label("n")).where(mine))
    return count["n"]


def rotate(storage: Storage, days: float, archive: Path | None, by: str, reason: str) -> Rotated:
    """Move decisions older than some days, with their outcomes, to an archive, or discard them.

    The chains of the log go on; those of the archive end where they now begin. What is discarded
    takes with it the keys of markets of which nothing is left.

    Args:
        days: Age.
        archive: A new SQLite file, without the keys; None discards.

    Raises:
        ChainError: The rows do not match their hashes; nothing is removed.
        ValueError: The archive exists.
        LogError: The log cannot be read or written; what was begun is ended by the next call.
    """
    cut = _cut(storage, _ago(days=days))
    if archive is not None and cut.decisions != start_of(DECISIONS, storage.rows):
        _archive(storage, cut, archive)

    def note(writing: Writing) -> None:
        facts = {"time": now(), "action": "discard" if archive is None else "archive"}
        for table, tail in ((DECISIONS, cut.decisions), (OUTCOMES, cut.outcomes)):
            if tail != start_of(table, writing.look):
                up_to = {"table_name": table.name, "up_to": tail.rows, "up_to_hash": tail.hash}
                writing.append(MAINTENANCE, [{**facts, **up_to, "done_by": by, "reason": reason}])

    storage.submit(note).result()
    decisions = _deleted(storage, DECISIONS, cut.decisions.rows)
    outcomes = _deleted(storage, OUTCOMES, cut.outcomes.rows)
    if archive is None:
        _discard_keys(storage, by)
    return Rotated(decisions, outcomes, cut.decisions, cut.outcomes)


def _cut(storage: Storage, before: str) -> _Cut:
    """Where to cut: decisions by their time, outcomes so that none goes before its decision."""
    start, outcomes_start = (start_of(table, storage.rows) for table in (DECISIONS, OUTCOMES))
    d, o = DECISIONS.c, OUTCOMES.c
    last = _one(storage.rows, select(func.max(d.id)).where(d.time < before)) or start.rows
    last_outcome = _one(storage.rows, select(func.max(o.id)).where(o.decision <= last)) or outcomes_start.rows
    later = _one(storage.rows, select(func.min(o.id)).where(o.decision > last))
    ended = last_outcome if later is None else max(later - 1, outcomes_start.rows)
    tails = (_tail(storage, DECISIONS, last, start), _tail(storage, OUTCOMES, ended, outcomes_start))
    return _Cut(*tails, last_outcome)


def _tail(storage: Storage, table: Table, last: int, start: Tail) -> Tail:
    if last <= start.rows:
        return start
    return Tail(last, _one(storage.rows, select(table.c.hash).where(table.c.id == last)))


def _archive(storage: Storage, cut: _Cut, archive: Path) -> None:
    """Write a log of the decisions up to the cut, and all their outcomes, and verify it."""
    last = {DECISIONS: cut.decisions.rows, OUTCOMES: cut.last_outcome}
    with _new_file(archive) as copy, closing(Storage(copy)) as target:
        _copy(storage, target, {table: table.c.id <= last[table] if table in last else true() for table in _KEPT})
        if verified(target, None, None)[:2] != cut.decisions:
            raise ChainError(f"{archive} must end where the log now begins; got another hash; verify the log")


_KEPT = (*CHAINS, DICTIONARIES, BUNDLES)
"""What a copy of a log holds: all but its keys and what a service needs from minute to minute."""


def _new_file(path: Path) -> Any:
    if path.exists():
        raise ValueError(f"{path} must be a new file; got one that exists; name another")
    return whole_file(path, mode=0o600)


def _copy(source: Storage, target: Storage, tables: dict[Table, ColumnElement[bool]]) -> None:
    for table, which in tables.items():
        key = next(iter(table.primary_key.columns))
        for page in source.pages(select(table).where(which).order_by(key), _PIECE):
            target.submit(lambda writing, table=table, page=page: writing.put(table, page)).result()


def backup(storage: Storage, out: Path) -> Head:
    """Copy a log to a new SQLite file, and its keys to another one beside it.

    Keys are a file of their own so that an erased one is gone when the file is replaced.

    Returns:
        Where the copy ends.

    Raises:
        ChainError: The copy does not match its hashes.
        ValueError: The file exists.
        LogError: The log cannot be read.
    """
    # A row that comes meanwhile is left to the next backup; outcomes first, as they name decisions.
    ends = {table: _one(storage.rows, select(func.max(table.c.id))) or 0 for table in reversed(CHAINS)}
    with _new_file(out) as copy, closing(Storage(copy)) as target:
        _copy(storage, target, {table: table.c.id <= ends[table] for table in CHAINS})
        _copy(storage, target, dict.fromkeys((DICTIONARIES, BUNDLES), true()))
        head = verified(target, None, None)
    with whole_file(keys_of(out), mode=0o600) as copy, closing(Storage(copy)) as target:
        _copy(storage, target, {SUBJECTS: true()})
    return head


def keys_of(backup: Path) -> Path:
    """Where the keys of a backup are."""
    return backup.with_name(f"{backup.name}.keys")


def restore(source: Storage, keys: Storage, target: Storage) -> Head:
    """Copy a backup and its keys into a new log, which may be another kind of database.

    Returns:
        Where the log ends.

    Raises:
        ChainError: It does not match its hashes.
        ValueError: The new log is not empty.
        LogError: A log cannot be read or written.
    """
    if any(_one(target.rows, select(func.count(table.c.id))) for table in CHAINS):
        raise ValueError(f"LOG must be a new log; got {target.name}, which has rows; name another")
    _copy(source, target, dict.fromkeys(_KEPT, true()))
    _copy(keys, target, {SUBJECTS: true()})
    _erase(target, erased_without_record(), "restore", "erased after this backup")
    return verified(target, None, None)


def _deleted(storage: Storage, table: Table, up_to: int) -> int:
    """Delete rows in pieces; returns how many."""
    count = 0
    while (first := _one(storage.rows, select(func.min(table.c.id)))) is not None and first <= up_to:
        last = min(first + _PIECE - 1, up_to)
        storage.submit(lambda writing, last=last: writing.remove(table, table.c.id <= last)).result()
        count += last - first + 1
    return count


def _discard_keys(storage: Storage, by: str) -> None:
    """Erase the markets of which the log holds no decision any more."""
    seen = select(DECISIONS.c.id).where(DECISIONS.c.subject == SUBJECTS.c.id).exists()
    forgotten = select(SUBJECTS.c.id).where(SUBJECTS.c.key.is_not(None), ~seen)
    _erase(storage, forgotten, by, "no decision is left")


def _erase(storage: Storage, subjects: Executable, by: str, reason: str) -> None:
    def write(writing: Writing) -> None:
        for row in writing.read(subjects):
            writing.keep(Sealer).erase(writing, row["id"], by, reason)

    storage.submit(write).result()
    storage.tidy(SUBJECTS)


def _ago(days: float) -> str:
    """The time (UTC) some days ago, as rows hold it."""
    return (dt.datetime.now(dt.UTC) - dt.timedelta(days=days)).isoformat(timespec="milliseconds")


def _one(look: Query, query: Executable) -> Any:
    """The one value of a query, None without one."""
    return next((value for row in look(query) for value in row.values()), None)

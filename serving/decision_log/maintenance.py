"""What keeps a log small and its owner within the law: erasure, rotation, retention, backup."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Executable, Table, delete, func, select, true, update

from ...atomic import whole_file
from ..documents import FilePath
from .chain import EMPTIED, ChainError, Tail
from .storage import Query, Storage, Writing, end_of, rotated, start_of
from .tables import BUNDLES, CHAINS, DECISIONS, ERASED, EVENTS, OUTCOMES, REPLIES, SPLIT
from .verification import Head, verified

_PIECE = 1_000
"""Rows that are copied or deleted in one transaction, so that a service can write in between."""


class Rotated(NamedTuple):
    """How many decisions and outcomes left the log, and where the chain of decisions begins now."""

    decisions: int
    outcomes: int
    start: Tail


def erase(storage: Storage, market: str, by: str, reason: str = "") -> int:
    """Empty the bodies of a market's decisions and outcomes, their salts and its name.

    Returns:
        The number of its decisions.

    Raises:
        ValueError: There is no such market in the log.
        LogError: It cannot be done now; or it is done, and former values stay in the write-ahead
            log of SQLite until those who read it end.
    """

    def write(writing: Writing) -> int:
        d = DECISIONS.c
        o = OUTCOMES.c
        decisions = [row["id"] for row in writing.read(select(d.id).where(d.market == market))]
        emptied = {*decisions, *(row["number"] for row in writing.read(select(o.number).where(o.market == market)))}
        if not emptied:
            raise ValueError(f"market must be one of the log; got {market!r}, which is not there, or erased; check it")
        _forget_replies(writing, market)
        for table in (DECISIONS, OUTCOMES):
            writing.do(update(table).where(table.c.market == market).values(EMPTIED))
        writing.note(ERASED, {"by": by, "reason": reason, "decisions": sorted(emptied)})
        return len(decisions)

    decisions = storage.submit(write).result()
    storage.tidy(DECISIONS, OUTCOMES)
    return decisions


def _forget_replies(writing: Writing, market: str) -> None:
    """Remove the answers that are kept for requests that are sent again."""
    recent = select(DECISIONS.c.name).where(DECISIONS.c.market == market, DECISIONS.c.time > _ago(2))
    for row in writing.read(recent):
        writing.do(delete(REPLIES).where(REPLIES.c.id.in_((row["name"], row["name"].rpartition(".")[0]))))


def rotate(storage: Storage, days: float, archive: FilePath | None, by: str, reason: str = "") -> Rotated:
    """Move the first decisions of the log that are older than some days, with their outcomes, to an archive, or discard
    them. It stops before the first one that is younger: a clock that was wrong takes no others along.

    The chains of the log go on; those of the archive end where they now begin.

    Args:
        days: Age.
        archive: A new SQLite file; None discards.

    Raises:
        ChainError: The rows do not match their hashes; nothing is removed.
        ValueError: The archive exists.
        LogError: The log cannot be read or written; what was begun is ended by the next call.
    """
    o = OUTCOMES.c
    start = start_of(DECISIONS, storage.rows)
    last = start.rows + older(storage, days)
    reported = _one(storage.rows, select(func.max(o.id)).where(o.number <= last)) or 0
    later = _one(storage.rows, select(func.min(o.id)).where(o.number > last))
    # No outcome goes before its decision.
    cut = {DECISIONS: _tail(storage, DECISIONS, last), OUTCOMES: _tail(storage, OUTCOMES, (later or reported + 1) - 1)}
    if archive is not None and cut[DECISIONS] != start:
        _archive(storage, cut[DECISIONS], reported, Path(archive), {"by": by, "reason": reason})

    def note(writing: Writing) -> None:
        facts = {"action": "discard" if archive is None else "archive", "by": by, "reason": reason}
        for table, tail in cut.items():
            if tail != start_of(table, writing.read):
                writing.note(rotated(table), {**facts, "up_to_hash": tail.hash}, number=tail.rows)

    storage.submit(note).result()
    decisions, outcomes = (_deleted(storage, table, tail.rows) for table, tail in cut.items())
    return Rotated(decisions, outcomes, cut[DECISIONS])


def older(storage: Storage, days: float) -> int:
    """How many decisions `rotate` takes: those before the first that is younger. Raises LogError."""
    d = DECISIONS.c
    start = start_of(DECISIONS, storage.rows).rows
    end = end_of(DECISIONS, storage.rows).rows
    younger = select(d.id).where(d.id > start, d.time >= _ago(days)).order_by(d.id).limit(1)
    return (_one(storage.rows, younger) or end + 1) - 1 - start


def _tail(storage: Storage, table: Table, last: int) -> Tail:
    """The chain up to a row; its start where the row is not there."""
    found = _one(storage.rows, select(table.c.hash).where(table.c.id == last))
    return Tail(last, found) if found else start_of(table, storage.rows)


def _archive(storage: Storage, end: Tail, last_outcome: int, archive: Path, who: Mapping[str, str]) -> None:
    """Write a log of the decisions up to `end`, and all their outcomes, and verify it."""
    which: dict[Table, ColumnElement[bool]] = {EVENTS: true(), BUNDLES: true()}
    which |= {DECISIONS: DECISIONS.c.id <= end.rows, OUTCOMES: OUTCOMES.c.id <= last_outcome}
    with _new_file(archive) as copy, closing(Storage(copy)) as target:
        _copy(storage, target, which)
        facts = {**who, "up_to_hash": end.hash}
        target.submit(lambda writing: writing.note(SPLIT, facts, number=end.rows)).result()
        if verified(target)[:2] != end:
            raise ChainError(f"{archive} must end where the log now begins; got another hash; verify the log")


def _new_file(path: Path) -> Any:
    if path.exists():
        raise ValueError(f"{path} must be a new file; got one that exists; name another")
    return whole_file(path, mode=0o600)


def _copy(source: Storage, target: Storage, tables: dict[Table, ColumnElement[bool]]) -> None:
    for table, which in tables.items():
        for page in source.pages(select(table).where(which).order_by(table.primary_key.columns[0]), _PIECE):
            target.submit(lambda writing, table=table, page=page: writing.put(table, page)).result()


def backup(storage: Storage, out: FilePath) -> Head:
    """Copy a log in SQLite, which may be in use, to a new file.

    Returns:
        Where the copy ends.

    Raises:
        ChainError: The copy does not match its hashes.
        ValueError: The file exists, or the log is a PostgreSQL database.
        LogError: The log cannot be read.
    """
    if storage.engine.dialect.name != "sqlite":
        raise ValueError(f"backup copies a SQLite file; got {storage.name}; use pg_dump")
    with _new_file(Path(out)) as copy:
        quoted = str(copy).replace("'", "''")
        storage.outside(f"VACUUM INTO '{quoted}'")
        copy.chmod(0o600)
        with closing(Storage(copy)) as target:
            return verified(target)


def restore(storage: Storage, place: FilePath) -> Head:
    """Copy a backup into a new log, which may be another kind of database.

    Returns:
        Where the log ends.

    Raises:
        ChainError: It does not match its hashes.
        ValueError: The new log is not empty.
        LogError: A log cannot be read or written.
    """
    with closing(Storage(place)) as target:
        if any(_one(target.rows, select(func.count(table.c.id))) for table in CHAINS):
            raise ValueError(f"LOG must be a new log; got {target.name}, which has rows; name another")
        # What says which rows may be gone comes first.
        _copy(storage, target, dict.fromkeys((EVENTS, BUNDLES, DECISIONS, OUTCOMES), true()))
        return verified(target)


def _deleted(storage: Storage, table: Table, up_to: int) -> int:
    """Delete rows in pieces; returns how many."""
    count = 0
    while (first := _one(storage.rows, select(func.min(table.c.id)))) is not None and first <= up_to:
        last = min(first + _PIECE - 1, up_to)
        storage.submit(lambda writing, last=last: writing.do(delete(table).where(table.c.id <= last))).result()
        count += last - first + 1
    return count


def _ago(days: float) -> str:
    """The time (UTC) some days ago, as rows hold it."""
    return (dt.datetime.now(dt.UTC) - dt.timedelta(days=days)).isoformat(timespec="milliseconds")


def _one(look: Query, query: Executable) -> Any:
    """The one value of a query, None without one."""
    return next((value for row in look(query) for value in row.values()), None)

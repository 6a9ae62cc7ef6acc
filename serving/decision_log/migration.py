"""A log of version 5, or its file of switches, read into a new log: its events were rows of four tables, and its outcomes
stood in blocks.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import json
import operator
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from typing import Any

import msgspec
from sqlalchemy import MetaData, Table, select

from ..documents import FilePath
from .chain import EMPTIED, EMPTY, TEXT, ChainError, Row, Tail, check_body, document, facts_of, followed, hashed
from .outcomes import outcome_row
from .records import text_of, unpacked
from .storage import Storage, Writing, end_of, rotated
from .tables import BUNDLES, CHAINS, DECISIONS, ERASED, EVENTS, FILES, OUTCOMES, SPLIT, chain
from .verification import Head, verified

FORMER = 5
"""The version that is read."""
_PAGE = 1_000
_TABLES = MetaData()
_OUTCOMES, _APPROVALS, _SWITCHES, _MAINTENANCE, _BUNDLES = (
    chain(name, _TABLES) for name in ("outcomes", "approvals", "switches", "maintenance", "bundles")
)
_KEYS = ("number", "digest", "market", "salt", "body")
_PARTS = msgspec.msgpack.Decoder(list[tuple[int, bytes, str | None, bytes | None, bytes | None]])
"""The body of a row with the outcomes of many decisions."""


def migrate(storage: Storage, former: FilePath) -> Head:
    """Copy a log of version 5 into this one, which is new; the former one stays as it is.

    Returns:
        Where this log ends.

    Raises:
        ChainError: A row of the former log does not match its hash.
        ValueError: That is no log of version 5, or this one has rows.
        LogError: A log cannot be read or written.
    """
    if any(end_of(table, storage.rows) != EMPTY for table in CHAINS):
        raise ValueError(f"NEW must be a new log; got {storage.name}, which has rows; name another")
    with closing(Storage(former, version=FORMER)) as old:
        storage.submit(lambda writing: _write_events(writing, old)).result()
        for page in _pages(_decisions(old)):
            storage.submit(lambda writing, page=page: writing.put(DECISIONS, page)).result()
        for page in _pages(_outcomes(old)):
            storage.submit(lambda writing, page=page: writing.append(OUTCOMES, page)).result()
    return verified(storage)


def adopt(storage: Storage, switches: FilePath) -> bool:
    """Write what a file of switches of version 5 holds into this log, unless that knows of a bundle already.

    Returns:
        Whether it was written.

    Raises:
        ChainError: A row of the file does not match its hash.
        ValueError: It is no such file.
        LogError: It cannot be read, or the log cannot be written.
    """

    def write(writing: Writing) -> bool:
        is_new = not writing.read(select(EVENTS.c.id).where(EVENTS.c.name == "bundle").limit(1))
        if is_new:
            _write_events(writing, old)
        return is_new

    with closing(Storage(switches, version=FORMER)) as old:
        return storage.submit(write).result()


def _write_events(writing: Writing, old: Storage) -> None:
    """Write the rows of all tables that became events, in the order of their times; that of each table stays."""
    streams = [_followed(old, table) for table in (_BUNDLES, _SWITCHES, _APPROVALS, _MAINTENANCE)]
    for row in heapq.merge(*streams, key=operator.itemgetter("time")):
        check_body(row["table"].name, row)
        writing.append(EVENTS, [{**_event(row), "time": row["time"]}])
        if row["table"] is _BUNDLES:
            writing.put(BUNDLES, [{"digest": row["name"], "files": row["body"]}])
    writing.note("migrated", {"log": old.name, "version": FORMER})


def _event(row: Row) -> dict[str, Any]:
    """A row of one of these tables as an event."""
    name = row["name"]
    if row["table"] is _BUNDLES:
        return document(FILES, {"bundle": name, "sha256": hashlib.sha256(row["body"]).hexdigest()})
    facts = facts_of(row)
    if row["table"] is _SWITCHES:
        position = json.loads(facts["position"])
        return document(name, {"position": position, "by": facts["thrown_by"], "reason": facts["reason"]})
    if row["table"] is _APPROVALS:
        kinds = {"decided": "decision", "key-value": "item", "experiment": "experiment"}
        kind = kinds.get(name.partition(" ")[0], "approval")
        return document(kind, facts, date=name if kind == "approval" else None)
    own = {"by": facts.pop("done_by", ""), **facts}
    if name == "markets":
        return document(ERASED, {**own, "decisions": own.pop("erased")})
    if name == "archive":
        return document(SPLIT, own, number=own.pop("up_to", None))
    # Outcomes have another chain from here on.
    kind = rotated(DECISIONS) if name == DECISIONS.name else f"{name} rotated before"
    return document(kind, own, number=row["number"])


def _decisions(old: Storage) -> Iterator[Row]:
    """The decisions, whose chain stays as it is."""
    erased = _erased(old)
    columns = DECISIONS.columns.keys()
    for row in _followed(old, DECISIONS):
        check_body(DECISIONS.name, row, row["id"] in erased)
        yield {key: row[key] for key in columns}


def _outcomes(old: Storage) -> Iterator[Row]:
    """A row for each outcome, without its links; one for each decision whose market was erased."""
    erased = _erased(old)
    for row in _followed(old, _OUTCOMES):
        parts = _parts(row)
        for part in parts:
            check_body(_OUTCOMES.name, {**row, **part}, part["number"] in erased)
            if part["body"] is None:
                yield {**EMPTIED, "time": row["time"], "name": "", "date": None, **part}
                continue
            if part is row:  # a row of one decision holds its outcomes packed
                outcomes, _ = unpacked(text_of(part["body"]))
            else:
                outcomes = msgspec.json.decode(part["body"])
            for outcome in outcomes:
                new_row = {**outcome_row(part["number"], part["market"], outcome), "time": row["time"]}
                yield {**new_row, TEXT: hashed(new_row)}


def _parts(row: Row) -> Sequence[Row]:
    """What one row holds of several decisions; of a row of one decision, the row itself. Raises ChainError."""
    if row["salt"] is not None or row["body"] is None:
        return [row]
    with suppress(TypeError, zlib.error, msgspec.DecodeError):
        parts: list[Row] = [dict(zip(_KEYS, part, strict=True)) for part in _PARTS.decode(zlib.decompress(row["body"]))]
        if row["digest"] == hashlib.sha256(b"".join(b"%d %b" % (p["number"], p["digest"]) for p in parts)).digest():
            return parts
    raise ChainError(f"outcomes: row {row['id']} must hold what was written; got another body; restore a backup")


def _followed(old: Storage, table: Table) -> Iterator[Row]:
    """The rows of a table, each once it follows from the one before; with the `table`."""
    start = EMPTY
    m = _MAINTENANCE.c
    for found in old.rows(select(_MAINTENANCE).where(m.name == table.name).order_by(m.id.desc()).limit(1)):
        start = Tail(found["number"], facts_of(found)["up_to_hash"])
    query = select(table).where(table.c.id > start.rows).order_by(table.c.id)
    return ({**row, "table": table} for row in followed(table.name, old.rows(query), start))


def _erased(old: Storage) -> set[int]:
    """The numbers of the decisions whose bodies may be empty."""
    return {number for row in old.rows(select(_MAINTENANCE)) for number in facts_of(row).get("erased", ())}


def _pages(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while page := list(itertools.islice(rows, _PAGE)):
        yield page

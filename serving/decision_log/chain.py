"""A row of the log and its hash chain.

The hash of a row covers the row before it and a salted digest of its body, not the body itself: once a market's
bodies, names and salts are emptied, nothing of them can be guessed, and the chain still verifies.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

_SALT = 16
START = "0" * 64
"""The hash before the first row."""


class ChainError(ValueError):
    """A row that was changed after it was written, or rows that are missing.

    Example:
        >>> rows, _ = linked([row("r", b"1.95")], EMPTY)
        >>> list(checked("decisions", [rows[0] | {"body": b"1.50"}]))
        Traceback (most recent call last):
        repricer.serving.decision_log.chain.ChainError: decisions: row 1 must hold what was written; ...
    """


class Tail(NamedTuple):
    """The end of a chain: the number of its last row, and the hash of that."""

    rows: int
    hash: str


EMPTY = Tail(0, START)
EMPTIED = {"market": None, "salt": None, "body": None}
"""What erasure leaves of a row."""
Row = Mapping[str, Any]
TEXT = "text"
"""Where a row that is not written yet may hold what its hash will cover, so that a long transaction need not make it."""


def now() -> str:
    """The time (UTC), as rows hold it."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")


def row(
    name: str, body: bytes, *, date: str | None = None, market: str | None = None, number: int | None = None
) -> dict[str, Any]:
    """A row without its links."""
    salt = os.urandom(_SALT)
    own = {"digest": digest(salt, market, body), "market": market, "salt": salt, "body": body}
    return {"time": now(), "name": name, "number": number, "date": date, **own}


def document(name: str, facts: Mapping[str, Any], **own: Any) -> dict[str, Any]:
    """A row whose body is a JSON object."""
    return row(name, json.dumps(facts).encode(), **own)


def facts_of(found: Row) -> dict[str, Any]:
    """The JSON object in the body of a row. Raises ChainError."""
    with suppress(TypeError, ValueError):
        if isinstance(facts := json.loads(found["body"]), dict):
            return facts
    raise ChainError(f"row {found['id']} must hold what was written; got another body; restore a backup")


def digest(salt: bytes, market: str | None, body: bytes) -> bytes:
    """What the chain holds of a body and its market."""
    return hashlib.sha256(b"%b%b\0%b" % (salt, (market or "").encode(), body)).digest()


def is_whole(own: Row) -> bool:
    """Whether the body of a row, its market and its salt are those that the chain holds."""
    there = isinstance(own["body"], bytes) and isinstance(own["salt"], bytes)
    # Only so do their bytes, one after another, say where each ends.
    apart = there and len(own["salt"]) == _SALT and own["market"] != "" and "\0" not in (own["market"] or "")
    return apart and digest(own["salt"], own["market"], own["body"]) == own["digest"]


def linked(rows: Sequence[Row], tail: Tail) -> tuple[list[dict[str, Any]], Tail]:
    """The rows with their numbers and hashes, and the new end of the chain."""
    done = []
    for own in rows:
        number = tail.rows + 1
        found = _hash(tail.hash, own)
        done.append({"id": number, **own, "previous_hash": tail.hash, "hash": found})
        tail = Tail(number, found)
    return done, tail


def followed(table: str, rows: Iterable[Row], tail: Tail = EMPTY) -> Iterator[Row]:
    """The rows of a table after `tail`, each once its hash follows from the one before; its body is not read. Raises
    ChainError.
    """
    for own in rows:
        if (own["id"], own["previous_hash"], own["hash"]) != (tail.rows + 1, tail.hash, _hash(tail.hash, own)):
            must = f"{table}: row {tail.rows + 1} must follow from the row before"
            raise ChainError(f"{must}; got another hash; restore a backup")
        tail = Tail(own["id"], own["hash"])
        yield own


def check_body(table: str, own: Row, may_be_empty: bool = False) -> None:
    """Check that a row has the body, market and salt that the chain holds. Raises ChainError."""
    is_empty = own["body"] is own["salt"] is own["market"] is None
    if not (may_be_empty if is_empty else is_whole(own)):
        got = "an empty body, of which no erasure is recorded" if is_empty else "another body, market or salt"
        raise ChainError(f"{table}: row {own['id']} must hold what was written; got {got}; restore a backup")


def checked(
    table: str, rows: Iterable[Row], tail: Tail = EMPTY, gone: Collection[int] = (), key: str = "id"
) -> Iterator[Row]:
    """The rows of a table after `tail`, each once it is checked.

    Args:
        gone: Numbers of the decisions whose bodies may be empty.
        key: Where the rows hold these numbers.

    Raises:
        ChainError: A row was changed, emptied or removed.
    """
    for own in followed(table, rows, tail):
        check_body(table, own, own[key] in gone)
        yield own


def _hash(previous: str, own: Row) -> str:
    return hashlib.sha256(f"{previous}{own.get(TEXT) or hashed(own)}".encode()).hexdigest()


def hashed(own: Row) -> str:
    """What the hash of a row covers beside the row before it."""
    values = [own["time"], own["name"], own["number"], own["date"], own["digest"].hex()]
    return json.dumps(values, separators=(",", ":"))

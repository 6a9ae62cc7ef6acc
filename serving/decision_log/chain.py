"""A row of the log and its hash chain.

The hash of a row covers the row before it and a salted digest of its body, not the body itself: once a market's
bodies, names and salts are emptied, nothing of them can be guessed, and the chain still verifies. A row may hold many
parts, each with a salt and a digest of its own: a long upload is written in a few rows, and prices hardly wait for it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

_SALT, _DIGEST = 16, 32
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
"""What erasure leaves of a row, or of a part."""
Row = Mapping[str, Any]
_KEYS = ("number", "digest", "market", "salt", "body")
_PARTS = msgspec.msgpack.Decoder(list[tuple[int, bytes, str | None, bytes | None, bytes | None]])
"""The body of a row of many parts."""


def now() -> str:
    """The time (UTC), as rows hold it."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")


def row(name: str, body: bytes, *, date: str | None = None, **own: Any) -> dict[str, Any]:
    """A row without its links, made of a `part`."""
    return {"time": now(), "name": name, "date": date, **part(body, **own)}


def part(body: bytes, *, market: str | None = None, number: int | None = None) -> dict[str, Any]:
    """What may be one of several in a row."""
    salt = os.urandom(_SALT)
    return {"number": number, "digest": digest(salt, market, body), "market": market, "salt": salt, "body": body}


def document(name: str, facts: Mapping[str, Any], *, number: int | None = None) -> dict[str, Any]:
    """A row whose body is a JSON object."""
    return row(name, json.dumps(facts).encode(), number=number)


def bound(name: str, parts: Sequence[Row]) -> dict[str, Any]:
    """Several rows as the parts of one, whose number is the highest of theirs."""
    one = row(name, b"", number=max(part["number"] for part in parts))
    return {**one, "salt": None, "digest": _over(parts), "body": body_of_parts(parts)}


def body_of_parts(parts: Iterable[Row]) -> bytes:
    """The body of a row of many parts."""
    return zlib.compress(msgspec.msgpack.encode([[part[key] for key in _KEYS] for part in parts]), 1)


def parts_of(own: Row) -> list[Row]:
    """The parts of a row; a row of one is its own. Raises ChainError."""
    if own["salt"] is not None or own["body"] is None:
        return [own]
    try:
        return [dict(zip(_KEYS, part, strict=True)) for part in _PARTS.decode(zlib.decompress(own["body"]))]
    except (TypeError, zlib.error, msgspec.DecodeError) as error:
        raise ChainError(f"row {own['id']} must hold what was written; got another body; restore a backup") from error


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
        number, found = tail.rows + 1, _hash(tail.hash, own)
        done.append({"id": number, **own, "previous_hash": tail.hash, "hash": found})
        tail = Tail(number, found)
    return done, tail


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
    for own in rows:
        follows = (own["id"], own["previous_hash"], own["hash"]) == (tail.rows + 1, tail.hash, _hash(tail.hash, own))
        wrong = _wrong(own, gone, key) if follows else "follow from the row before; got another hash"
        if wrong:
            raise ChainError(f"{table}: row {tail.rows + 1} must {wrong}; restore a backup")
        tail = Tail(own["id"], own["hash"])
        yield own


def _wrong(own: Row, erased: Collection[int], key: str) -> str | None:
    """What a row must do, and what it has instead."""
    parts = parts_of(own)
    if parts[:1] != [own] and (any(len(one["digest"]) != _DIGEST for one in parts) or _over(parts) != own["digest"]):
        return "hold what was written; got other parts"
    if key == "number" and own["name"] and parts[:1] == [own]:
        return "hold what was written; got no parts"  # erasure empties the parts of a market, not all
    for one in parts:
        if one["body"] is one["salt"] is one["market"] is None:
            if one[key] not in erased:
                return "hold what was written; got an empty body, of which no erasure is recorded"
        elif not is_whole(one):
            return "hold what was written; got another body, market or salt"
    return None


def _over(parts: Iterable[Row]) -> bytes:
    """What the chain holds of a row of many parts."""
    return hashlib.sha256(b"".join(b"%d %b" % (part["number"], part["digest"]) for part in parts)).digest()


def _hash(previous: str, own: Row) -> str:
    values = [own["time"], own["name"], own["number"], own["date"], own["digest"].hex()]
    text = json.dumps(values, separators=(",", ":"))
    return hashlib.sha256(f"{previous}{text}".encode()).hexdigest()

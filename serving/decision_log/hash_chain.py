"""Hash chains: each row of a table is hashed together with the row before it, so that nothing changes unnoticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

START = "0" * 64
"""What the first row follows from."""
_LINKS = ("id", "previous_hash", "hash")


class ChainError(ValueError):
    """A row that is not what was written, or rows that are gone."""


class Tail(NamedTuple):
    """Where a chain ends: number of its rows, and the hash of the last one."""

    rows: int
    hash: str


EMPTY = Tail(0, START)


def linked(rows: Iterable[Mapping[str, Any]], tail: Tail) -> tuple[list[dict[str, Any]], Tail]:
    """The rows with their links, and where the chain ends with them."""
    done = []
    for row in rows:
        own = _hash(tail.hash, row)
        done.append({"id": tail.rows + 1, **row, "previous_hash": tail.hash, "hash": own})
        tail = Tail(tail.rows + 1, own)
    return done, tail


def walked(name: str, rows: Iterable[Mapping[str, Any]]) -> Tail:
    """Where the chain of the table `name` ends. Raises ChainError at the first row that does not fit."""
    tail = EMPTY
    for row in rows:
        content = {key: value for key, value in row.items() if key not in _LINKS}
        if (row["id"], row["previous_hash"], row["hash"]) != (tail.rows + 1, tail.hash, _hash(tail.hash, content)):
            raise ChainError(
                f"{name}: row {tail.rows + 1} must follow from the row before; got another hash; restore what was kept"
            )
        tail = Tail(tail.rows + 1, row["hash"])
    return tail


def as_json(value: Any) -> str:
    """The one way in which a value is written, so that equal values have equal hashes."""
    return json.dumps(value, separators=(",", ":"))


def _hash(previous: str, content: Mapping[str, Any]) -> str:
    return hashlib.sha256(as_json([previous, *content.values()]).encode()).hexdigest()

"""The hash of a log row: it covers the row and the hash of the row before, so that any change is
detected.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

START = "0" * 64
"""The hash before the first row."""
_LINKS = ("id", "previous_hash", "hash")


class ChainError(ValueError):
    """A row that was changed after it was written, or rows that are missing.

    Example:
        >>> (row,), _ = linked([{"price": 1.95}], EMPTY)
        >>> walked("decisions", [row | {"price": 1.5}])
        Traceback (most recent call last):
        repricer.serving.decision_log.hash_chain.ChainError: decisions: row 1 must follow from the row before; ...
    """


class Tail(NamedTuple):
    """The end of a chain: the number of its rows and the hash of the last one."""

    rows: int
    hash: str


EMPTY = Tail(0, START)


def linked(
    rows: Sequence[Mapping[str, Any]], tail: Tail, texts: Sequence[str | None] | None = None
) -> tuple[list[dict[str, Any]], Tail]:
    """The rows with their numbers and hashes, and the new end of the chain.

    Args:
        rows: Rows in the order of the table's columns.
        tail: The end of the chain so far.
        texts: The `text_of` each row, where it was made before.
    """
    done = []
    for row, text in zip(rows, texts or [None] * len(rows), strict=True):
        own = _hash(tail.hash, text or text_of(row))
        done.append({"id": tail.rows + 1, **row, "previous_hash": tail.hash, "hash": own})
        tail = Tail(tail.rows + 1, own)
    return done, tail


def walked(name: str, rows: Iterable[Mapping[str, Any]], tail: Tail = EMPTY) -> Tail:
    """The end of the chain of the table `name`, once every hash of the rows after `tail` is
    checked. Raises ChainError at the first mismatch.
    """
    for row in checked(name, rows, tail):
        tail = Tail(row["id"], row["hash"])
    return tail


def checked(name: str, rows: Iterable[Mapping[str, Any]], tail: Tail = EMPTY) -> Iterator[Mapping[str, Any]]:
    """The rows of the table `name` after `tail`, each once its hash is checked. Raises ChainError."""
    for row in rows:
        content = {key: value for key, value in row.items() if key not in _LINKS}
        if (row["id"], row["previous_hash"], row["hash"]) != (
            tail.rows + 1,
            tail.hash,
            _hash(tail.hash, text_of(content)),
        ):
            raise ChainError(
                f"{name}: row {tail.rows + 1} must follow from the row before; got another hash; restore a backup"
            )
        tail = Tail(row["id"], row["hash"])
        yield row


def as_json(value: Any) -> str:
    """The JSON text of a value; equal values have equal texts, and so equal hashes."""
    return _json.encode(value)


# Bytes stand for themselves by their SHA-256.
_json = json.JSONEncoder(separators=(",", ":"), default=lambda content: hashlib.sha256(content).hexdigest())


def text_of(row: Mapping[str, Any]) -> str:
    """The values of a row as the end of a JSON list, which takes longer than to hash it."""
    return as_json(list(row.values()))[1:]


def _hash(previous: str, text: str) -> str:
    """SHA-256 of the previous row's hash and this row's values, as one JSON list."""
    return hashlib.sha256(f'["{previous}",{text}'.encode()).hexdigest()

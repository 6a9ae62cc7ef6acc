"""The decision log: what was answered, to what, by which policy; nothing in it can change unnoticed."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, NamedTuple

from .predictor import PriceAnswer
from .state import State

_COLUMNS = {
    "time": "TEXT",
    "request_id": "TEXT",
    "period": "INTEGER",
    "product": "TEXT",
    "state": "TEXT",
    "proposed": "REAL",
    "price": "REAL",
    "discounts": "TEXT",
    "trail": "TEXT",
    "policy": "TEXT",
    "bundle": "TEXT",
    "previous_hash": "TEXT",
    "hash": "TEXT",
}
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS decisions (id INTEGER PRIMARY KEY, {", ".join(map(" ".join, _COLUMNS.items()))});
CREATE TRIGGER IF NOT EXISTS decisions_stay BEFORE UPDATE ON decisions
BEGIN SELECT RAISE(ABORT, 'decisions are append-only'); END;
CREATE TRIGGER IF NOT EXISTS decisions_remain BEFORE DELETE ON decisions
BEGIN SELECT RAISE(ABORT, 'decisions are append-only'); END;
"""
_NAMES = ", ".join(_COLUMNS)
_INSERT = f"INSERT INTO decisions ({_NAMES}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_START = "0" * 64


class ChainError(ValueError):
    """A row of the decision log that is not what was written, or rows that are gone."""


class Head(NamedTuple):
    """How far a log reaches: number of rows, and the hash of the last one."""

    rows: int
    hash: str


class DecisionLog:
    """An append-only SQLite file with a row a priced product, each hashed together with the row before it.

    Several threads and processes may write to one file. The chain shows a change to any row but the loss of the last
    ones only to who noted a later head, and is no secret: note `verify().hash` where the log's writer cannot reach.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path, self._lock = path, threading.Lock()
        try:
            self._db = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
            # A decision that was answered must survive a power cut: every commit waits for the disk.
            self._db.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; {_SCHEMA}")
            self._db.execute(f"SELECT {_NAMES} FROM decisions LIMIT 0")
        except sqlite3.Error as error:
            raise ValueError(f"decision log must be a new file or one of its own; got {path}: {error}") from error

    def record(self, answer: PriceAnswer, state: State, request_id: str) -> None:
        """Commit one row a product, all or none; they are on the disk when this returns. Raises sqlite3.Error."""
        items = {item["product"]: item for item in state["products"]}
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        rows = [
            (
                now,
                request_id,
                answer.period,
                price.product,
                _json(items[price.product]),
                price.proposed,
                price.price,
                _json(price.discounts),
                _json([vars(change) for change in price.trail]),
                answer.policy,
                answer.bundle,
            )
            for price in answer.prices
        ]
        with self._lock, self._db as db:
            # The write lock comes before the head is read, so that two writers never continue the same row.
            db.execute("BEGIN IMMEDIATE")
            last = db.execute("SELECT hash FROM decisions ORDER BY id DESC LIMIT 1").fetchone()
            db.executemany(_INSERT, _chained(rows, last[0] if last else _START))

    def export(self) -> Iterator[dict[str, Any]]:
        """The rows in order, with discounts, state and trail as the JSON text that was hashed."""
        with closing(sqlite3.connect(self._path)) as db:
            for row in db.execute(f"SELECT {_NAMES} FROM decisions ORDER BY id"):
                yield dict(zip(_COLUMNS, row, strict=True))

    def verify(self, head: str | None = None) -> Head:
        """Walk the chain and return where it ends. Raises ChainError at the first row that does not fit.

        head: a hash noted earlier; it must still be in the chain, or rows at its end are gone.
        """
        rows, previous, seen = 0, _START, head in (None, _START)
        for rows, row in enumerate(self.export(), start=1):
            *content, before, own = row.values()
            if before != previous or own != _hash(previous, content):
                raise ChainError(f"decision log: row {rows} must follow from the row before; got another hash")
            previous, seen = own, seen or own == head
        if not seen:
            raise ChainError(f"decision log must still hold the row with hash {head}; got {rows} rows without it")
        return Head(rows, previous)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()


def _chained(rows: list[tuple[Any, ...]], previous: str) -> Iterator[tuple[Any, ...]]:
    for row in rows:
        own = _hash(previous, row)
        yield (*row, previous, own)
        previous = own


def _hash(previous: str, content: Any) -> str:
    return hashlib.sha256(_json([previous, *content]).encode()).hexdigest()


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))

"""Brings a log of version 3, in which every market had a key, up to the present one."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, inspect, text, update
from sqlalchemy.exc import SQLAlchemyError

from .chain import EMPTY, START, ChainError, Tail, document, row
from .engine import engine_of, line_of, locked, url_of
from .records import body_of
from .storage import Storage
from .tables import APPROVALS, BUNDLES, DECISIONS, METADATA, OUTCOMES, SCHEMA, SWITCHES, VERSION
from .transactions import Writing

_FORMER = ("decisions", "outcomes", "approvals", "switches", "maintenance")
_TRIGGERS = ("stay", "remain", "once", "append_only")
_AT_ONCE = 500


class Upgraded(NamedTuple):
    """How many rows were rewritten, and of how many the key is gone."""

    rows: int
    unreadable: int


def upgrade(place: str | os.PathLike[str], keys: str | os.PathLike[str] | None = None) -> Upgraded:
    """Rewrite a log of version 3, all of it or nothing; its chains are verified and go on.

    Args:
        place: The log: nothing else may use it meanwhile.
        keys: What has the keys of an archive or a backup: a log, or a file of keys.

    Raises:
        ChainError: A row does not match its hash.
        ValueError: The place is no log of version 3.
    """
    engine, name = engine_of(url_of(place)), str(place)
    try:
        secrets = None if keys is None else _secrets_of(keys)
        with locked(engine) as connection:
            version = None
            if inspect(connection).has_table(VERSION.name):
                version = connection.execute(text(f"SELECT version_num FROM {VERSION.name}")).scalar()
            if version != "3":
                raise ValueError(
                    f"upgrade needs a log of version 3; got {name} of version {version}; leave it as it is"
                )
            found = _Upgrade(connection, secrets).run()
    except SQLAlchemyError as error:
        raise ValueError(f"upgrade needs a log of version 3; got {name}: {line_of(error)}") from error
    finally:
        engine.dispose()
    # Opening it sets the triggers.
    with closing(Storage(place)) as storage:
        storage.tidy()
    return found


def _secrets_of(keys: str | os.PathLike[str]) -> dict[int, Any]:
    engine = engine_of(url_of(keys))
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM subjects WHERE key IS NOT NULL")).mappings()
        found = {each["id"]: dict(each) for each in rows}
    engine.dispose()
    return found


class _Upgrade:
    def __init__(self, connection: Connection, secrets: dict[int, Any] | None) -> None:
        self._connection, self._given, self._unreadable = connection, secrets, 0
        self._decisions = dict[int, tuple[int, bytes]]()

    def run(self) -> Upgraded:
        own = {each["id"]: each for each in self._rows("SELECT * FROM subjects") if each["key"]}
        self._secrets = self._given or own
        self._dictionaries = {bytes(each["id"]): each["content"] for each in self._rows("SELECT * FROM dictionaries")}
        self._set_aside()
        acts = list(_checked("maintenance", self._rows("SELECT * FROM maintenance_3 ORDER BY id"), EMPTY))
        self._erased = {act["up_to"] for act in acts if act["action"] == "erase"}
        METADATA.create_all(self._connection)
        writing, count, emptied = Writing(self._connection), len(acts), dict[str, list[int]]()
        for name, table in zip(_FORMER[:4], (DECISIONS, OUTCOMES, APPROVALS, SWITCHES), strict=True):
            start = next((Tail(a["up_to"], a["up_to_hash"]) for a in reversed(acts) if a["table_name"] == name), EMPTY)
            last = self._rows(f"SELECT id, hash FROM {name}_3 ORDER BY id DESC LIMIT 1")
            end = Tail(last[0]["id"], last[0]["hash"]) if last else start
            if end == EMPTY:
                continue
            facts = {"action": "upgrade", "done_by": "repricer", "reason": f"{end.rows - start.rows} rows of version 3"}
            writing.maintain(name, {**facts, "up_to_hash": end.hash}, number=start.rows)
            rows = _checked(name, self._stream(f"SELECT * FROM {name}_3 ORDER BY id"), start)
            while some := list(itertools.islice(rows, _AT_ONCE)):
                new = [self._new(name, each) for each in some]
                found = [each["id"] for each, made in zip(some, new, strict=True) if made["body"] is None]
                emptied[name], count = emptied.get(name, []) + found, count + len(some)
                writing.append(table, new)
                writing.flush()
        for act in acts:
            kept = {key: act[key] for key in ("time", "action", "table_name", "up_to", "done_by", "reason")}
            writing.maintain("version 3", {**kept, "up_to_hash": act["up_to_hash"] or START})
        writing.maintain("version 3", {"action": "upgrade", "done_by": "repricer", "reason": "", "erased": emptied})
        files = self._rows("SELECT id, files FROM bundles_3 ORDER BY id")
        writing.append(BUNDLES, [row(each["id"], bytes(each["files"])) for each in files])
        writing.flush()
        for name in (*(f"{each}_3" for each in (*_FORMER, "bundles")), "dictionaries"):
            self._connection.execute(text(f"DROP TABLE {name}"))
        self._connection.execute(update(VERSION).values(version_num=str(SCHEMA)))
        return Upgraded(count, sum(map(len, emptied.values())))

    def _set_aside(self) -> None:
        """Rename the former tables; their triggers and indexes go."""
        postgres = self._connection.dialect.name == "postgresql"
        for name in (*_FORMER, "bundles"):
            for trigger in _TRIGGERS:
                self._do(f"DROP TRIGGER IF EXISTS {name}_{trigger}{f' ON {name}' if postgres else ''}")
            for index in inspect(self._connection).get_indexes(name):
                self._do(f"DROP INDEX {index['name']}")
            self._do(f"ALTER TABLE {name} RENAME TO {name}_3")
            if postgres:
                self._do(f"ALTER INDEX {name}_pkey RENAME TO {name}_3_pkey")

    def _new(self, name: str, former: Mapping[str, Any]) -> dict[str, Any]:
        """A row of the present version."""
        time = former["time"]
        if name == "decisions":
            self._decisions[former["id"]] = former["subject"], bytes(former["dictionary"])
            own = {"number": former["period"], "date": former["date"], "time": time}
            return self._opened(former["request_id"], former["subject"], former["dictionary"], former["body"], own)
        if name == "outcomes":
            subject, dictionary = self._decisions.get(former["decision"], (0, b""))
            return self._opened("", subject, dictionary, former["body"], {"number": former["decision"], "time": time})
        links = ("id", "schema", "time", "previous_hash", "hash", "switch")
        facts = {key: value for key, value in former.items() if key not in links}
        return document(former["switch"] if name == "switches" else former["week"], facts, time=time)

    def _opened(self, name: str, subject: int, dictionary: bytes, body: bytes, own: dict[str, Any]) -> dict[str, Any]:
        """A row with a body that was sealed; emptied where the key is gone."""
        if subject not in self._secrets:
            if subject and self._given is None and subject not in self._erased:
                raise ValueError("upgrade needs the keys of an archive or a backup; got none; give --keys LOG")
            return row(name, bytes(body), **own) | {"market": None, "salt": None, "body": None}
        secret, sealed = self._secrets[subject], bytes(body)
        packed = AESGCM(bytes(secret["key"])).decrypt(sealed[:12], sealed[12:], None)
        plain = zlib.decompressobj(-15, zdict=bytes(self._dictionaries[bytes(dictionary)])).decompress(packed)
        return row(name, body_of(plain), market=secret["name"], **own)

    def _stream(self, query: str) -> Iterator[dict[str, Any]]:
        yield from map(dict, self._connection.execute(text(query), execution_options={"yield_per": 1000}).mappings())

    def _rows(self, query: str) -> list[dict[str, Any]]:
        return list(self._stream(query))

    def _do(self, statement: str) -> None:
        self._connection.execute(text(statement))


def _checked(name: str, rows: Iterable[dict[str, Any]], tail: Tail) -> Iterator[dict[str, Any]]:
    """The rows of a former table, each once its hash is checked."""
    for own in rows:
        values = [value for key, value in own.items() if key not in ("id", "previous_hash", "hash")]
        text_of = json.dumps([tail.hash, *values], separators=(",", ":"), default=_sha256)
        found = hashlib.sha256(text_of.encode()).hexdigest()
        if (own["id"], own["previous_hash"], own["hash"]) != (tail.rows + 1, tail.hash, found):
            raise ChainError(
                f"{name}: row {tail.rows + 1} must follow from the row before; got another hash; restore a backup"
            )
        tail = Tail(own["id"], own["hash"])
        yield own


def _sha256(content: Any) -> str:
    return hashlib.sha256(bytes(content)).hexdigest()

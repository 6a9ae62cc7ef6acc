"""What a log keeps of a market is compressed and sealed with the market's key. Without the key
nobody can read it, and the chain, which covers the sealed bytes, still holds.
"""

from __future__ import annotations

import functools
import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import func, select, update

from .hash_chain import ChainError
from .records import Record, common_text, now, packed, unpacked
from .schema import DECISIONS, DICTIONARIES, MAINTENANCE, SUBJECTS
from .transactions import Query, Writing

_NONCE, _ID = 12, 16
_LEVEL = 3
"""Of compression: half the time of the usual one, for a tenth more bytes."""
_MOST_KNOWN = 50_000
"""Keys that the writer keeps at hand."""
_MOST_ASKED = 500
"""Markets in one query."""

_LAST = select(
    *(
        select(func.coalesce(func.max(each), 0)).scalar_subquery().label(name)
        # Decisions may have numbers of markets that a log restored without its keys does not know.
        for name, each in {
            "named": SUBJECTS.c.id,
            "seen": DECISIONS.c.subject,
            "maintained": MAINTENANCE.c.id,
        }.items()
    )
)
"""Made once: making a statement takes longer than running it."""


class Opened(NamedTuple):
    """A decision that was read.

    Attributes:
        id: Number of its row.
        record: What it holds.
        key: The key of its market.
        dictionary: What it was compressed against.
    """

    id: int
    record: Record
    key: AESGCM
    dictionary: bytes

    def outcomes(self, body: bytes) -> list[dict[str, Any]]:
        """What an outcome row of this decision holds."""
        return unpacked(_opened(self.key, self.dictionary, body))[0]

    def sealed(self, outcomes: list[dict[str, Any]]) -> bytes:
        """The body of an outcome row."""
        return _sealed(self.key, self.dictionary, packed(outcomes))


class Draft(NamedTuple):
    """A body that was sealed before its transaction.

    Attributes:
        subject: Number of the market, which never has another key.
        dictionary: Id of what it was compressed against.
        body: The sealed body.
    """

    subject: int
    dictionary: bytes
    body: bytes


class Drafts:
    """Seals bodies before their transaction, for which others wait, with the keys that the log has by then.

    Args:
        look: Answers queries about the log.
    """

    def __init__(self, look: Query) -> None:
        self._look = look
        self._known = dict[str, tuple[int, AESGCM]]()
        self._dictionaries = dict[str, tuple[bytes, bytes]]()

    def of(self, records: Sequence[tuple[Record, bytes]]) -> list[Draft | None]:
        """The bodies of some decisions; None where the log has no key for the market yet, or no
        dictionary. Raises LogError.
        """
        self._learn({record.market for record, _ in records}, {record.shared["bundle"] for record, _ in records})
        return [self._one(*one) for one in records]

    def _one(self, record: Record, text: bytes) -> Draft | None:
        key, dictionary = self._known.get(record.market), self._dictionaries.get(record.shared["bundle"])
        if key is None or dictionary is None:
            return None
        return Draft(key[0], dictionary[0], _sealed(key[1], dictionary[1], text))

    def _learn(self, markets: set[str], bundles: set[str]) -> None:
        """Read the keys of markets, as each may have been erased, and dictionaries that are not known."""
        names, known = sorted(markets), dict[str, tuple[int, AESGCM]]()
        for first in range(0, len(names), _MOST_ASKED):
            asked = SUBJECTS.c.name.in_(names[first : first + _MOST_ASKED])
            known |= {row["name"]: (row["id"], AESGCM(row["key"])) for row in self._look(select(SUBJECTS).where(asked))}
        self._known = known
        for bundle in bundles - self._dictionaries.keys():
            for row in self._look(select(DICTIONARIES).where(DICTIONARIES.c.bundle == bundle).limit(1)):
                self._dictionaries[bundle] = row["id"], row["content"]


class Sealer:
    """Seals decisions for the one thread that writes, and keeps keys and dictionaries at hand."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, AESGCM]] = {}
        self._dictionaries: dict[str, tuple[bytes, bytes]] = {}
        # Made in this transaction, which may yet fail.
        self._made: dict[str, tuple[int, AESGCM]] = {}
        self._drafted: dict[str, tuple[bytes, bytes]] = {}
        self._transaction: Writing | None = None
        self._maintained = self._last = 0

    def row(self, writing: Writing, record: Record, text: bytes, draft: Draft | None = None) -> dict[str, Any]:
        """The row of a decision, without its links.

        Args:
            writing: The transaction.
            record: The decision.
            text: Its packed rows.
            draft: Its body, which counts where key and dictionary are still the same.
        """
        self._renew(writing)
        subject, key = self._key(writing, record.market)
        dictionary, content = self._dictionary(writing, record.shared["bundle"], text)
        same = draft is not None and (draft.subject, draft.dictionary) == (subject, dictionary)
        return {
            "time": record.time,
            "request_id": record.request_id,
            "subject": subject,
            "period": record.period,
            "date": record.date,
            "dictionary": dictionary,
            "body": draft.body if draft is not None and same else _sealed(key, content, text),
        }

    def erase(self, writing: Writing, subject: int, by: str, reason: str) -> None:
        """Destroy the key and the name of a market."""
        writing.flush()
        # Others that were made in this transaction stay: to find them in the database proves nothing yet.
        self._known, self._made = {}, {name: made for name, made in self._made.items() if made[0] != subject}
        writing.change(update(SUBJECTS).where(SUBJECTS.c.id == subject).values(name=None, key=None))
        row = {"time": now(), "action": "erase", "table_name": SUBJECTS.name, "up_to": subject, "up_to_hash": ""}
        writing.append(MAINTENANCE, [{**row, "done_by": by, "reason": reason}])

    def _renew(self, writing: Writing) -> None:
        """Once in a transaction: let go of keys where another process may have erased one."""
        if writing is self._transaction:
            return
        self._transaction, self._made, self._drafted = writing, {}, {}
        (found,) = writing.look(_LAST)
        self._last = max(found["named"], found["seen"])
        if found["maintained"] != self._maintained or len(self._known) > _MOST_KNOWN:
            self._known, self._maintained = {}, found["maintained"]

    def _key(self, writing: Writing, market: str) -> tuple[int, AESGCM]:
        """The number and the key of a market, which are made if there are none."""
        if found := self._known.get(market) or self._made.get(market):
            return found
        for row in writing.look(select(SUBJECTS).where(SUBJECTS.c.name == market)):
            self._known[market] = row["id"], AESGCM(row["key"])
            return self._known[market]
        self._last += 1
        secret = AESGCM.generate_key(128)
        writing.put(SUBJECTS, [{"id": self._last, "name": market, "key": secret}])
        self._made[market] = self._last, AESGCM(secret)
        return self._made[market]

    def _dictionary(self, writing: Writing, bundle: str, text: bytes) -> tuple[bytes, bytes]:
        """The id and the content of a bundle's dictionary, which is made from a first text."""
        if found := self._dictionaries.get(bundle) or self._drafted.get(bundle):
            return found
        for row in writing.look(select(DICTIONARIES).where(DICTIONARIES.c.bundle == bundle).limit(1)):
            self._dictionaries[bundle] = row["id"], row["content"]
            return self._dictionaries[bundle]
        content = common_text(text)
        writing.put(DICTIONARIES, [{"id": dictionary_id(content), "bundle": bundle, "content": content}])
        self._drafted[bundle] = dictionary_id(content), content
        return self._drafted[bundle]


def dictionary_id(content: bytes) -> bytes:
    """The id of a dictionary, which decisions name and the chain covers."""
    return hashlib.sha256(content).digest()[:_ID]


def opened(rows: Iterable[Mapping[str, Any]], look: Query, keys: Query) -> Iterator[Opened]:
    """The decisions in some rows, without those whose key was erased.

    Args:
        rows: Rows of the table, at most some hundred.
        look: Answers queries about the log.
        keys: Answers queries about the keys.

    Raises:
        ChainError: A key or a dictionary is not the one it was.
    """
    rows = list(rows)
    numbers, ids = {row["subject"] for row in rows}, {row["dictionary"] for row in rows}
    known = {row["id"]: row for row in keys(select(SUBJECTS).where(SUBJECTS.c.id.in_(numbers))) if row["key"]}
    contents = {row["id"]: row["content"] for row in look(select(DICTIONARIES).where(DICTIONARIES.c.id.in_(ids)))}
    seals = {number: AESGCM(row["key"]) for number, row in known.items()}
    for row in rows:
        if row["subject"] not in seals:
            continue
        key, dictionary, market = seals[row["subject"]], contents[row["dictionary"]], known[row["subject"]]["name"]
        try:
            products, shared = unpacked(_opened(key, dictionary, row["body"]))
        except (InvalidTag, zlib.error) as error:
            raise ChainError(
                f"decisions: row {row['id']} must open with the key of its market; got another key; restore the keys"
            ) from error
        record = Record(row["time"], row["request_id"], market, row["period"], row["date"], shared, products)
        yield Opened(row["id"], record, key, dictionary)


def _sealed(key: AESGCM, dictionary: bytes, text: bytes) -> bytes:
    compressor = _compressor(dictionary).copy()
    nonce = os.urandom(_NONCE)
    return nonce + key.encrypt(nonce, compressor.compress(text) + compressor.flush(), None)


@functools.lru_cache(maxsize=64)
def _compressor(dictionary: bytes) -> Any:
    """A compressor that has read the dictionary, to be copied: that is half the work."""
    return zlib.compressobj(_LEVEL, zlib.DEFLATED, -15, zdict=dictionary)


def _opened(key: AESGCM, dictionary: bytes, body: bytes) -> bytes:
    text = key.decrypt(body[:_NONCE], body[_NONCE:], None)
    return zlib.decompressobj(-15, zdict=dictionary).decompress(text)

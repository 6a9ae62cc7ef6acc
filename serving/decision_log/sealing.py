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
from .transactions import LogError, Query, Writing

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
        return sealed_body(self.key, self.dictionary, packed(outcomes))


class Draft(NamedTuple):
    """A body that was sealed before its transaction.

    Attributes:
        subject: Number of the market, which never has another key; None of one without a key.
        secret: A key for a market without one.
        dictionary: Id of what it was compressed against.
        body: The sealed body.
        text: Of the row, for the chain; None without a number.
    """

    subject: int | None
    secret: bytes | None
    dictionary: bytes
    body: bytes
    text: str | None = None


class Sealer:
    """Seals decisions for the one thread that writes, and keeps keys and dictionaries at hand."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, AESGCM]] = {}
        self._dictionaries: dict[str, tuple[bytes, bytes]] = {}
        # Made in this transaction, which may yet fail.
        self._made: dict[str, tuple[int, AESGCM]] = {}
        self._drafted: dict[str, tuple[bytes, bytes]] = {}
        self._secrets: dict[str, bytes] = {}
        self._absent = set[str]()
        self._transaction: Writing | None = None
        self._maintained = self._last = 0

    def look_up(self, writing: Writing, markets: Iterable[str]) -> None:
        """Find the keys of several markets together."""
        self._renew(writing)
        names = sorted({name for name in markets if name not in self._known and name not in self._made})
        found = market_keys(writing.look, names)
        self._known |= found
        self._absent |= set(names) - found.keys()

    def row(
        self, writing: Writing, record: Record, text: bytes, draft: Draft | None = None
    ) -> tuple[dict[str, Any], str | None]:
        """The row of a decision, without its links, and its text for the chain where that is known.

        Args:
            text: Its packed rows, which a draft with a number does without.
            draft: Its body, which counts where the market has its key.

        Raises:
            LogError: The key of the draft has been erased.
        """
        self._renew(writing)
        subject, key = self._key(writing, record.market, None if draft is None else draft.secret)
        dictionary, content = self._dictionary(writing, record.shared["bundle"], text)
        if draft is not None and draft.dictionary == dictionary:
            if draft.subject == subject:
                return row_of(record, subject, dictionary, draft.body), draft.text
            if draft.secret is not None and draft.secret == self._secrets.get(record.market):
                return row_of(record, subject, dictionary, draft.body), None
        if not text:
            raise LogError(f"market {record.market!r} was erased from the log meanwhile")
        return row_of(record, subject, dictionary, sealed_body(key, content, text)), None

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
        self._secrets, self._absent = {}, set()
        (found,) = writing.look(_LAST)
        self._last = max(found["named"], found["seen"])
        if found["maintained"] != self._maintained or len(self._known) > _MOST_KNOWN:
            self._known, self._maintained = {}, found["maintained"]

    def _key(self, writing: Writing, market: str, fresh: bytes | None) -> tuple[int, AESGCM]:
        """The number and the key of a market; the fresh one, or a new one, where there is none."""
        if found := self._known.get(market) or self._made.get(market):
            return found
        if market not in self._absent:
            self.look_up(writing, [market])
            if market in self._known:
                return self._known[market]
        self._last += 1
        secret = self._secrets[market] = fresh or AESGCM.generate_key(128)
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


def row_of(record: Record, subject: int, dictionary: bytes, body: bytes) -> dict[str, Any]:
    """The row of a decision, without its links."""
    return {
        "time": record.time,
        "request_id": record.request_id,
        "subject": subject,
        "period": record.period,
        "date": record.date,
        "dictionary": dictionary,
        "body": body,
    }


def market_keys(look: Query, names: Sequence[str]) -> dict[str, tuple[int, AESGCM]]:
    """The number and the key of each market that has one, by name."""
    found = dict[str, tuple[int, AESGCM]]()
    for first in range(0, len(names), _MOST_ASKED):
        asked = SUBJECTS.c.name.in_(names[first : first + _MOST_ASKED])
        found |= {row["name"]: (row["id"], AESGCM(row["key"])) for row in look(select(SUBJECTS).where(asked))}
    return found


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


def sealed_body(key: AESGCM, dictionary: bytes, text: bytes) -> bytes:
    """A packed text, compressed against a dictionary and encrypted."""
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

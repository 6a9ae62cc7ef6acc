"""Bodies that are sealed before their transaction, for which others wait."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import select

from .hash_chain import text_of
from .records import Record
from .schema import DICTIONARIES
from .sealing import Draft, market_keys, row_of, sealed_body
from .storage import Storage
from .transactions import LogError, Query


class Drafts:
    """Seals bodies with the keys that the log has by then.

    Args:
        place: The log, which another process opens again.
        look: Answers queries about it.
    """

    def __init__(self, place: str | os.PathLike[str], look: Query) -> None:
        self._place, self._look = place, look
        self._dictionaries = dict[str, tuple[bytes, bytes]]()

    def of(self, records: Sequence[tuple[Record, bytes]]) -> list[Draft | None]:
        """The bodies of some decisions; None where the log has no dictionary yet. Raises LogError."""
        known = market_keys(self._look, sorted({record.market for record, _ in records}))
        fresh = {name: AESGCM.generate_key(128) for name in {record.market for record, _ in records} - known.keys()}
        return [self._one(record, text, known.get(record.market), fresh.get(record.market)) for record, text in records]

    def __reduce__(self) -> tuple[Callable[[str], Drafts], tuple[str]]:
        return _elsewhere, (os.fspath(self._place),)

    def _one(self, record: Record, text: bytes, known: tuple[int, AESGCM] | None, fresh: bytes | None) -> Draft | None:
        dictionary = self._dictionary(record.shared["bundle"])
        if dictionary is None:
            return None
        name, content = dictionary
        if known is None:
            assert fresh is not None
            return Draft(None, fresh, name, sealed_body(AESGCM(fresh), content, text))
        subject, key = known
        body = sealed_body(key, content, text)
        return Draft(subject, None, name, body, text_of(row_of(record, subject, name, body)))

    def _dictionary(self, bundle: str) -> tuple[bytes, bytes] | None:
        if bundle not in self._dictionaries:
            for row in self._look(select(DICTIONARIES).where(DICTIONARIES.c.bundle == bundle).limit(1)):
                self._dictionaries[bundle] = row["id"], row["content"]
        return self._dictionaries.get(bundle)


@functools.lru_cache(maxsize=1)
def _elsewhere(place: str) -> Drafts:
    """In another process, which opens the log once. Raises LogError."""
    try:
        return Drafts(place, Storage(place).rows)
    except ValueError as error:
        raise LogError(str(error)) from error

"""Answers kept for a day, so that a request that is sent again gets the same one."""

from __future__ import annotations

import datetime as dt
import hashlib
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.json import Decoder
from sqlalchemy import delete, insert, select

from .chain import ChainError
from .records import text_of
from .storage import Query, Writing
from .tables import DECISIONS, REPLIES

_KEPT = dt.timedelta(days=1)


class ReusedKeyError(ValueError):
    """An idempotency key of another request; the message is one line."""


class Reply(NamedTuple):
    """One answer.

    Attributes:
        request_id: Names the answer; it follows from the idempotency key and the caller.
        question: Digest of the request.
        answer: The body of the answer.
    """

    request_id: str
    question: str
    answer: bytes

    @property
    def packed(self) -> bytes:
        """The answer as it is kept."""
        return zlib.compress(self.answer)


class _Recorded(Struct):
    reply: str | None = None


_recorded = Decoder(_Recorded)


def kept(writing: Writing, request_id: str, question: str) -> bytes | None:
    """The answer that this request got before, None if it got none. Raises ReusedKeyError."""
    for row in writing.read(select(REPLIES).where(REPLIES.c.id == request_id)):
        _check(row, writing.read)
        if row["question"] != question:
            raise ReusedKeyError("Idempotency-Key must name one request; got another body before; take a new key")
        return zlib.decompress(row["answer"])
    if writing.read(select(DECISIONS.c.id).where(DECISIONS.c.name.in_((request_id, f"{request_id}.1"))).limit(1)):
        raise ReusedKeyError("Idempotency-Key must be new, or of the last day; got an older one; take a new key")
    return None


def check_replies(look: Query) -> None:
    """Check that the answers that are kept are those that were recorded. Raises ChainError."""
    for row in look(select(REPLIES)):
        _check(row, look)


def _check(reply: Mapping[str, Any], look: Query) -> None:
    """Check an answer by its decisions, in whose chain its digest is; those of an earlier release have none."""
    d = DECISIONS.c
    names = (reply["id"], f"{reply['id']}.1")
    for decision in look(select(d.body).where(d.name.in_(names), d.body.is_not(None))):
        recorded = _recorded.decode(text_of(decision["body"])).reply
        if recorded not in (None, digest_of(reply["question"], reply["answer"])):
            raise ChainError(
                f"the answer that is kept of {reply['id']} must be as it was given; got another; restore a backup"
            )


def digest_of(question: str, answer: bytes) -> str:
    """What the chain of decisions holds of an answer that is kept."""
    return hashlib.blake2b(b"%b\0%b" % (question.encode(), answer), digest_size=32).hexdigest()


def keep(writing: Writing, reply: Reply) -> None:
    """Keep an answer, and let go of those that are too old."""
    now = dt.datetime.now(dt.UTC)
    writing.do(delete(REPLIES).where(REPLIES.c.time < (now - _KEPT).isoformat()))
    row = {"time": now.isoformat(), "question": reply.question, "answer": reply.packed}
    writing.do(insert(REPLIES).values(id=reply.request_id, **row))

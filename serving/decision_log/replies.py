"""Answers kept for a day, so that a request that is sent again gets the same one."""

from __future__ import annotations

import datetime as dt
import zlib
from typing import NamedTuple

from sqlalchemy import delete, insert, select

from .storage import Writing
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


def kept(writing: Writing, request_id: str, question: str) -> bytes | None:
    """The answer that this request got before, None if it got none. Raises ReusedKeyError."""
    for row in writing.read(select(REPLIES).where(REPLIES.c.id == request_id)):
        if row["question"] != question:
            raise ReusedKeyError("Idempotency-Key must name one request; got another body before; take a new key")
        return zlib.decompress(row["answer"])
    if writing.read(select(DECISIONS.c.id).where(DECISIONS.c.name.in_((request_id, f"{request_id}.1"))).limit(1)):
        raise ReusedKeyError("Idempotency-Key must be new, or of the last day; got an older one; take a new key")
    return None


def keep(writing: Writing, reply: Reply) -> None:
    """Keep an answer, and let go of those that are too old."""
    now = dt.datetime.now(dt.UTC)
    writing.do(delete(REPLIES).where(REPLIES.c.time < (now - _KEPT).isoformat()))
    row = {"time": now.isoformat(), "question": reply.question, "answer": zlib.compress(reply.answer)}
    writing.do(insert(REPLIES).values(id=reply.request_id, **row))

"""Answers kept for a day, so that a request that is sent again gets the same one."""

from __future__ import annotations

import datetime as dt
import hashlib
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.json import Decoder
from sqlalchemy import ColumnElement, Text, bindparam, delete, insert, or_, select

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


def _is_first_of(request_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether a decision is the first of a request: of several, it has the number 1."""
    name = DECISIONS.c.name
    return or_(name == request_id, name == request_id + ".1")


_NAMED = bindparam("name", type_=Text)
_IS_DECIDED = select(DECISIONS.c.id).where(_is_first_of(_NAMED)).limit(1)
_ALL_KEPT = select(REPLIES, DECISIONS.c.body).outerjoin(
    DECISIONS, _is_first_of(REPLIES.c.id) & DECISIONS.c.body.is_not(None)
)
_IS_KEPT = _ALL_KEPT.where(REPLIES.c.id == _NAMED)
_FORGET = delete(REPLIES).where(REPLIES.c.time < bindparam("before"))
_KEEP = insert(REPLIES)


def kept(writing: Writing, request_id: str, question: str) -> bytes | None:
    """The answer that this request got before, None if it got none. Raises ReusedKeyError."""
    for row in writing.read(_IS_KEPT, name=request_id):
        _check(row)
        if row["question"] != question:
            raise ReusedKeyError("Idempotency-Key must name one request; got another body before; take a new key")
        return zlib.decompress(row["answer"])
    if writing.read(_IS_DECIDED, name=request_id):
        raise ReusedKeyError("Idempotency-Key must be new, or of the last day; got an older one; take a new key")
    return None


def check_replies(look: Query) -> None:
    """Check that the answers that are kept are those that were recorded. Raises ChainError."""
    for row in look(_ALL_KEPT):
        _check(row)


def _check(reply: Mapping[str, Any]) -> None:
    """Check an answer by its first decision, in whose chain its digest is; those of an earlier release have none."""
    recorded = None if reply["body"] is None else _recorded.decode(text_of(reply["body"])).reply
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
    writing.do(_FORGET, before=(now - _KEPT).isoformat())
    row = {"time": now.isoformat(), "question": reply.question, "answer": reply.packed}
    writing.do(_KEEP, id=reply.request_id, **row)

"""Requests with many states, or very many products: computed in one go, wherever there is time for it."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

from ...decision import Decision
from ...decision_log.additions import Packed, additions
from ...decision_log.drafts import Drafts
from ...decision_log.replies import Reply
from ...market_state import MARKET, StateError
from ..schemas import MOST_STATES, parsed_apart
from .recent_decisions import MOST_MARKETS
from .slots import Answered, Counted, Draws, Slots, answered

_PIECE_PRICES = 1000
"""Prices that are computed at once, in a few milliseconds: while they are converted, no other
thread of the process runs.
"""


class LargeRequest(NamedTuple):
    """A request.

    Attributes:
        body: Its body.
        request_id: Names its answers.
        question: Digest of the body, where the answer is kept.
        key: Assigns named markets to arms, see `Draws`.
        number: Of the request, by which unnamed markets are assigned.
    """

    body: bytes
    request_id: str
    question: str | None
    key: bytes
    number: object


class LargeAnswer(NamedTuple):
    """What a large request gets.

    Attributes:
        text: The answer, as JSON.
        work: Writes the decisions to the log; None without one.
        counted: What is counted, where it was not counted piece by piece.
        recent: The last decisions by market, pickled.
    """

    text: bytes
    work: Packed | None
    counted: Counted
    recent: list[tuple[str, bytes]]


def answer_large(
    slots: Slots, request: LargeRequest, drafts: Drafts | None, count: Callable[[Slots, Answered], None] | None = None
) -> LargeAnswer:
    """Answer a request: all of its states or none.

    Args:
        slots: The policies.
        request: The request.
        drafts: Seals rows for the log; None without one.
        count: Counts each piece before the next one is computed, so that the guards of a newer
            bundle can end its trial in between.

    Raises:
        BodyError: The body cannot be read.
        StateError: A state cannot be read.
        LogError: The log cannot be read.
    """
    states = parsed_apart(request.body)
    several = isinstance(states, list)
    pieces = _answered(slots, request, states if several else [states], count)
    found: list[Any] = [one for piece in pieces for one in piece.found]
    ids = [f"{request.request_id}.{i}" for i in range(1, len(found) + 1)] if several else [request.request_id]
    named: list[tuple[str, Decision]] = list(zip(ids, found, strict=True))
    text = b",".join(decision.to_json(request_id) for request_id, decision in named)
    text = b"[%b]" % text if several else text
    reply = None if request.question is None else Reply.of(request.request_id, request.question, text)
    work = None if drafts is None else Packed(additions(named, drafts, reply))
    last = {one.state.get("market", MARKET): one for one in found[-MOST_MARKETS:]}
    recent = [(market, pickle.dumps(one)) for market, one in last.items()]
    return LargeAnswer(text, work, Counted.sum([piece.counted for piece in pieces]), recent)


def _answered(
    slots: Slots, request: LargeRequest, states: list[Any], count: Callable[[Slots, Answered], None] | None
) -> list[Answered]:
    if not 0 < len(states) <= MOST_STATES:
        raise StateError(f"a request must hold 1 to {MOST_STATES} states; got {len(states)}; send several requests")
    draws = Draws(request.key, (f"{request.number}.{i}" for i in itertools.count()))
    size = max(_PIECE_PRICES // slots.active.bundle.catalogue.num_products, 1)
    pieces = list[Answered]()
    for first in range(0, len(states), size):
        piece = answered(slots, draws, states[first : first + size])
        if count is not None:
            count(slots, piece)
        for number, one in enumerate(piece.found, start=first + 1):
            if isinstance(one, StateError):
                raise StateError(f"state {number} of {len(states)}: {one}") if len(states) > 1 else one
        pieces.append(piece)
    return pieces

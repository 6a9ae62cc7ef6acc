"""`POST /v1/prices` and `/v1/outcomes`: decisions, recorded before they are returned, and what they sold."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import orjson
from starlette.responses import JSONResponse, Response

from ..decision import Decision
from ..decision_log.chain import ChainError
from ..decision_log.log import DecisionLog
from ..decision_log.outcomes import ContradictionError, OutcomeError, outcome_of
from ..decision_log.replies import Reply, ReusedKeyError
from ..decision_log.transactions import LogError
from ..market_state import State, StateError
from ..sample_states import example_state
from .batching import Batcher, Commits
from .bodies import MOST_OUTCOMES, MOST_STATES, BodyError, Outcomes, Priced, Receipt, parsed
from .deployment import Deployment
from .gate import IDEMPOTENCY_KEY, MAX_BODY, problem
from .openapi import Call, Route, operation_id, reference
from .page.recent import RecentDecisions
from .slots import answered

_INLINE_PRICES = 500
"""Up to this many prices are computed faster than a thread takes over."""
_INLINE_BYTES = 256 << 10
"""Up to this size, a body is parsed faster than a thread takes over."""
_PIECE_PRICES = 1000
"""Prices that are computed at once, in a few milliseconds: while they are converted, no other
thread of the process runs.
"""
_BEFORE = 64
"""Where a list begins, at the latest, for it to be told from one state without reading it."""
_LONGEST_KEY = 255


class Prices:
    """Makes decisions and records them before they are returned.

    Args:
        deployment: Answers.
        log: Where decisions are recorded; None records none.
        recent: Keeps the last ones for the page.
        aside: Where large requests are computed.
    """

    def __init__(
        self, deployment: Deployment, log: DecisionLog | None, recent: RecentDecisions, aside: ThreadPoolExecutor
    ) -> None:
        self._deployment, self._log, self._recent, self._aside = deployment, log, recent, aside
        self._batcher, self._commits = Batcher(deployment), Commits()

    def routes(self) -> list[Route]:
        """The routes, described with this bundle's example."""
        catalogue = self._deployment.bundle.catalogue
        state, product, one = example_state(catalogue), catalogue.products[0], reference(Priced.__name__)
        several = [state | {"market": f"store {i}"} for i in (1, 2)]
        fit = min(MOST_STATES, MAX_BODY // len(orjson.dumps(state)))
        states = {"type": "array", "items": reference("MarketState"), "minItems": 1, "maxItems": MOST_STATES}
        about = f"One state, or several in {MAX_BODY:,} bytes: {fit:,} like the example."
        prices = Route(
            "POST",
            "/v1/prices",
            self.prices,
            "prices",
            (413, 422, 503),
            {"anyOf": [one, {"type": "array", "items": one}]},
            {"anyOf": [reference("MarketState"), states], "description": about},
            {"initial": state, "several": several},
        )
        if self._log is None:
            return [prices]
        reported = {"outcomes": [{"request_id": "$response.header.X-Request-Id", "product": product, "units": 3}]}
        link = {"operationId": operation_id("POST", "/v1/outcomes"), "requestBody": reported}
        prices = prices._replace(links={"sold": link})
        sold = {"period": 0, "product": product, "units": 12, "price_paid": 1.95, "date": "2024-03-04"}
        refusals, example = (409, 413, 422, 503), {"period": {"outcomes": [sold]}}
        names = Receipt.__name__, Outcomes.__name__
        return [prices, Route("POST", "/v1/outcomes", self.outcomes, "prices", refusals, *names, example)]

    async def prices(self, call: Call) -> Response:
        """Allowed prices for one market state or several, with the changes that the price rules
        made.
        """
        try:
            large = self._is_large(call.body)
            state = None if large else parsed(call.body)
            question, text = self._question(call), None
            if question and self._log is not None:
                text = await self._commits.of(self._log.submit_kept(call.request_id, question))
            if text is None:
                text = await (self._large(call, question) if large else self._one(state, call.request_id, question))
        except (BodyError, StateError, ReusedKeyError) as error:
            return problem(422, str(error))
        except LogError as error:
            return problem(503, f"a decision must be recorded before it is returned; got {error}; try again")
        return Response(text, media_type="application/json")

    async def outcomes(self, call: Call) -> Response:
        """Report what sold. A repeated report counts once; one that contradicts an earlier report
        is refused.
        """
        assert self._log is not None
        try:
            reported, submitted = await asyncio.to_thread(_reported, self._log, call.body)
            new = await self._commits.of(submitted)
        except (OutcomeError, BodyError) as error:
            return problem(409 if isinstance(error, ContradictionError) else 422, str(error))
        except (LogError, ChainError) as error:
            return problem(503, f"outcomes must be recorded before they are accepted; got {error}; try again")
        return JSONResponse({"accepted": reported, "new": new})

    def _is_large(self, body: bytes) -> bool:
        """Whether a request has several states, or takes long in another way."""
        several = body[:_BEFORE].lstrip().startswith(b"[")
        return several or len(body) >= _INLINE_BYTES or self._deployment.bundle.catalogue.num_products > _INLINE_PRICES

    def _question(self, call: Call) -> str | None:
        """The digest of a request that must get the same answer again; None for
        others. Raises BodyError.
        """
        key = dict(call.scope["headers"]).get(IDEMPOTENCY_KEY)
        if key is None:
            return None
        if self._log is None:
            raise BodyError("Idempotency-Key needs a decision log; got none; start the service with --log")
        if not 0 < len(key) <= _LONGEST_KEY:
            raise BodyError(f"Idempotency-Key must have 1 to {_LONGEST_KEY} characters; got {len(key)}; shorten it")
        return hashlib.blake2b(call.body, digest_size=16).hexdigest()

    async def _one(self, state: Any, request_id: str, question: str | None) -> bytes:
        """The answer to one state, once its decision is in the log, if there is one; requests that
        wait together share a commit. Raises StateError.
        """
        with self._deployment.metrics.span("price"):
            decision = await self._batcher.ask(state)
            self._recent.add(decision)
            text = decision.to_json(request_id)
        return await self._recorded([(request_id, decision)], question, text)

    async def _large(self, call: Call, question: str | None) -> bytes:
        """As `_one`, for a large request; its decisions are all recorded, or none."""
        loop, log = asyncio.get_running_loop(), self._log
        with self._deployment.metrics.span("price"):
            named, text = await loop.run_in_executor(self._aside, self._answered, call)
        if log is None:
            return text
        reply = None if question is None else Reply.of(call.request_id, question, text)
        submitted = await loop.run_in_executor(self._aside, log.submit_decisions, named, reply)
        return await self._committed(submitted) or text

    async def _recorded(self, named: Sequence[tuple[str, Decision]], question: str | None, text: bytes) -> bytes:
        if self._log is None:
            return text
        reply = None if question is None else Reply.of(named[0][0], question, text)
        return await self._committed(self._log.submit_decisions(named, reply)) or text

    async def _committed(self, job: Future[bytes | None]) -> bytes | None:
        metrics = self._deployment.metrics
        with metrics.commits.time(), metrics.span("commit"):
            return await self._commits.of(job)

    def _answered(self, call: Call) -> tuple[list[tuple[str, Decision]], bytes]:
        """The decisions of a large request by their names, and the answer. Raises BodyError, StateError."""
        states = parsed(call.body)
        several = isinstance(states, list)
        found = self._decided(states if several else [states])
        ids = [f"{call.request_id}.{i}" for i in range(1, len(found) + 1)] if several else [call.request_id]
        named = list(zip(ids, found, strict=True))
        text = b",".join(decision.to_json(request_id) for request_id, decision in named)
        for decision in found[-100:]:
            self._recent.add(decision)
        return named, b"[%b]" % text if several else text

    def _decided(self, states: list[State]) -> list[Decision]:
        if not 0 < len(states) <= MOST_STATES:
            raise StateError(f"a request must hold 1 to {MOST_STATES} states; got {len(states)}; send several requests")
        slots, draws, found = self._deployment.slots, self._deployment.draws_of_one(), list[Decision]()
        size = max(_PIECE_PRICES // slots.active.bundle.catalogue.num_products, 1)
        for first in range(0, len(states), size):
            # The guards of a newer bundle may end its trial in between.
            piece = self._deployment.judge(slots, answered(slots, draws, states[first : first + size]))
            for number, one in enumerate(piece.found, start=first + 1):
                if isinstance(one, StateError):
                    raise StateError(f"state {number} of {len(states)}: {one}") if len(states) > 1 else one
                found.append(one)
        return found


def _reported(log: DecisionLog, body: bytes) -> tuple[int, Future[int]]:
    """How many outcomes a body holds, and their commit. Raises BodyError, OutcomeError, LogError."""
    data = parsed(body)
    found = data.get("outcomes") if isinstance(data, dict) and len(data) == 1 else None
    if not isinstance(found, list) or not 0 < len(found) <= MOST_OUTCOMES:
        raise OutcomeError(
            f'outcomes must be {{"outcomes": [1 to {MOST_OUTCOMES} objects]}}; got something else; '
            "see /docs for an example"
        )
    return len(found), log.submit_outcomes([outcome_of(item) for item in found])

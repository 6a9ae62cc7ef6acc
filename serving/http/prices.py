"""`POST /v1/prices` and `/v1/outcomes`: decisions, recorded before they are returned, and what they sold."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Collection
from concurrent.futures import Executor, Future
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
from starlette.responses import Response

from ..decision import Decision, Priced
from ..decision_log.log import DecisionLog, Named
from ..decision_log.outcomes import OutcomeError, outcome_of
from ..decision_log.replies import Reply, kept
from ..market_state import MARKET, State, StateError
from .batching import Batcher, committed
from .bodies import MOST_OUTCOMES, MOST_STATES, BodyError, Outcomes, Receipt, States, parsed
from .deployment import Deployment
from .gate import IDEMPOTENCY_KEY, BundleExample, Call, Endpoint, Operation, Routes, docstring, operation_id
from .gate.paths import OUTCOMES

_INLINE_BYTES = 64 << 10
"""Up to this size, some 600 products, a state is priced faster than a thread takes over."""
_PIECE_PRICES = 1000
"""Prices that are computed at once, in a few milliseconds: while they are converted, no other
thread of the process runs.
"""
_LONGEST_KEY = 255


MOST_MARKETS = 100
Submitted = tuple[bytes, Future[bytes | None]]


class Recent:
    """Keeps the last decision of each of the last hundred markets, in memory only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen = OrderedDict[str, tuple[datetime, Decision]]()

    def add(self, decision: Decision) -> None:
        """Store a decision as the last one of its market."""
        market = decision.state.get("market", MARKET)
        with self._lock:
            self._seen[market] = datetime.now(UTC), decision
            self._seen.move_to_end(market)
            if len(self._seen) > MOST_MARKETS:
                self._seen.popitem(last=False)

    def keep(self, markets: Collection[str]) -> None:
        """Forget all other markets."""
        with self._lock:
            for market in self._seen.keys() - markets:
                del self._seen[market]

    @property
    def markets(self) -> dict[str, tuple[datetime, Decision]]:
        """The decisions by name of the market, each with its time (UTC), the latest first."""
        with self._lock:
            return dict(reversed(self._seen.items()))


class PriceRoutes:
    """Makes decisions and records them before they are returned.

    Args:
        deployment: Answers.
        log: Where decisions are recorded.
        recent: Keeps the last ones for the page.
        aside: Where large requests are computed.
    """

    def __init__(self, deployment: Deployment, log: DecisionLog, recent: Recent, aside: Executor) -> None:
        self._deployment = deployment
        self._log = log
        self._recent = recent
        self._aside = aside
        self._batcher = Batcher(deployment)

    def routes(self) -> Routes:
        """The routes."""
        prices = Operation(
            tag="prices",
            text=docstring(self.prices),
            body=States,
            answer=Priced | list[Priced],
            refusals=(503,),
            examples=lambda of: {"initial": of.state, "several": [of.state, of.state]},
            links=_what_it_sold,
        )
        outcomes = Operation(
            tag="prices",
            text=docstring(self.outcomes),
            body=Outcomes,
            answer=Receipt,
            refusals=(409, 503),
            examples=_example_outcomes,
        )
        return {
            "POST /v1/prices": Endpoint(self.prices, prices),
            "POST /v1/outcomes": Endpoint(self.outcomes, outcomes),
        }

    async def prices(self, call: Call) -> Response:
        """Allowed prices for one market state or several, with the changes that the price rules
        made.
        """
        _name_by_key(call)
        question = self._question(call)
        text = None
        loop = asyncio.get_running_loop()
        if question:
            text = await committed(self._log.submit(partial(kept, request_id=call.request_id, question=question)))
        if text is None:
            if self._is_large(call.body):
                text, job = await loop.run_in_executor(self._aside, self._many, call, question)
            else:
                decision = await self._batcher.ask(parsed(call.body))
                text, job = self._submitted([(call.request_id, decision)], b"%b", call, question)
            with self._deployment.metrics.commits.time():
                # Another request with this key may have been first.
                text = await committed(job) or text
        return Response(text, media_type="application/json")

    async def outcomes(self, call: Call) -> Response:
        """Report what sold. A repeated report counts once; one that contradicts an earlier report
        is refused.
        """
        receipt = await asyncio.to_thread(self._reported, call.body)
        return Response(msgspec.json.encode(receipt), media_type="application/json")

    def _is_large(self, body: bytes) -> bool:
        """Whether a request has several states, or takes long in another way."""
        return len(body) >= _INLINE_BYTES or body.lstrip().startswith(b"[")

    def _question(self, call: Call) -> str | None:
        """The digest of a request that must get the same answer again; None for
        others. Raises BodyError.
        """
        key = dict(call.scope["headers"]).get(IDEMPOTENCY_KEY)
        if key is None:
            return None
        if not 0 < len(key) <= _LONGEST_KEY:
            raise BodyError(f"Idempotency-Key must have 1 to {_LONGEST_KEY} characters; got {len(key)}; shorten it")
        return hashlib.blake2b(call.body, digest_size=16).hexdigest()

    def _many(self, call: Call, question: str | None) -> Submitted:
        """The answer to a large request, and its commit. Raises BodyError, StateError."""
        states = parsed(call.body)
        name = call.request_id
        if not isinstance(states, list):
            return self._submitted([(name, one) for one in self._decided([states])], b"%b", call, question)
        named = [(f"{name}.{i}", decision) for i, decision in enumerate(self._decided(states), start=1)]
        return self._submitted(named, b"[%b]", call, question)

    def _submitted(self, named: Named, form: bytes, call: Call, question: str | None) -> Submitted:
        """The answer that holds some decisions, and their commit: of all, or none."""
        for _, decision in named[-100:]:
            self._recent.add(decision)
        text = form % b",".join(decision.to_json(request_id) for request_id, decision in named)
        reply = None if question is None else Reply(call.request_id, question, text)
        return text, self._log.submit_decisions(named, reply)

    def _decided(self, states: list[State]) -> list[Decision]:
        if not 0 < len(states) <= MOST_STATES:
            raise StateError(f"a request must hold 1 to {MOST_STATES} states; got {len(states)}; send several requests")
        slots = self._deployment.slots
        found = list[Decision]()
        size = max(_PIECE_PRICES // slots.active.bundle.catalogue.num_products, 1)
        for first in range(0, len(states), size):
            # The guards of a newer bundle may end its trial in between.
            piece = self._deployment.answer(states[first : first + size], slots)
            for number, one in enumerate(piece, start=first + 1):
                if isinstance(one, StateError):
                    raise StateError(f"state {number} of {len(states)}: {one}") if len(states) > 1 else one
                found.append(one)
        return found

    def _reported(self, body: bytes) -> Receipt:
        """How many outcomes a body holds, and how many of them are new. Raises BodyError, OutcomeError, LogError."""
        data = parsed(body)
        found = data.get("outcomes") if isinstance(data, dict) and len(data) == 1 else None
        if not isinstance(found, list) or not 0 < len(found) <= MOST_OUTCOMES:
            form = f'{{"outcomes": [1 to {MOST_OUTCOMES} objects]}}'
            raise OutcomeError(f"outcomes must be {form}; got something else; see /docs for an example")
        return Receipt(len(found), self._log.record_outcomes([outcome_of(item) for item in found]))


def _what_it_sold(of: BundleExample) -> dict[str, Any]:
    sold = {"request_id": "$response.header.X-Request-Id", "product": of.product, "units": 3}
    return {"sold": {"operationId": operation_id("POST", OUTCOMES), "requestBody": {"outcomes": [sold]}}}


def _example_outcomes(of: BundleExample) -> dict[str, Any]:
    sold = {"period": 0, "product": of.product, "units": 12, "price_paid": 1.95, "date": "2024-03-04"}
    return {"period": {"outcomes": [sold]}}


def _name_by_key(call: Call) -> None:
    """The same key of the same caller is the same request, whose answer has the same id."""
    key = dict(call.scope["headers"]).get(IDEMPOTENCY_KEY)
    if key:
        caller = (call.caller or "").encode()
        named = b"%d %b%b" % (len(caller), caller, key)
        call.scope["state"]["request_id"] = hashlib.blake2b(named, digest_size=16).hexdigest()

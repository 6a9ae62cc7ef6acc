"""The routes for prices, their explanation, and what-if questions. Needs the `serve` extra."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.types import Scope

from ..answers.answer import RECENT, Answer, answer_question
from ..decision_log.hash_chain import ChainError
from ..decision_log.log import DecisionLog
from ..decision_log.replies import Reply, ReusedKeyError
from ..decision_log.transactions import LogError, Work
from ..explanation.preview import at_other_prices, explained
from ..explanation.sentences import Explanation
from ..explanation.what_if import NoResponseError, WhatIf
from ..helper_process import HelperError
from ..market_state import StateError
from ..sample_states import example_state
from .answering.large import LargeRequest, answer_large
from .answering.recent_decisions import RecentDecisions
from .batching import Batcher, Results, Turns
from .deployment import Deployment
from .middleware import IDEMPOTENCY_KEY, MAX_BODY, Endpoint, problem
from .outcome_routes import OUTCOMES
from .processes.aside import Aside
from .schemas import (
    BodyError,
    Priced,
    content,
    described_body,
    described_states,
    json_body,
    parsed,
    problems,
)

_INLINE_PRICES = 500
"""Up to this many prices are computed faster than a thread takes over."""
_INLINE_BYTES = 256 << 10
"""Up to this size, a body is parsed faster than a thread takes over."""
_APART_BYTES = 32 << 10
"""From this size on, a body is worth another process."""
_LONG_BYTES = 256 << 10
"""From this size on, a transaction takes so long that others take note, some 5 ms."""
_MOST_LARGE = 3
"""Of the largest requests: two are computed while one waits for its turn to be recorded."""
_BEFORE = 64
"""Where a list begins, at the latest, for it to be told from one state without reading it."""
_LONGEST_KEY = 255


def add_answers(
    app: FastAPI, deployment: Deployment, decisions: DecisionLog | None, recent: RecentDecisions, aside: Aside
) -> dict[str, Endpoint]:
    """Add `POST /v1/prices`, `/v1/explain`, `/v1/what-if` and `/v1/answer`; returns the endpoints
    that skip routing, by path.
    """
    pricing = _Pricing(deployment, decisions, recent, aside)
    # Not the bundle's example: the framework leaves out the null of unlimited stock.
    state = example_state(deployment.bundle.catalogue)
    product = deployment.bundle.catalogue.products[0]
    shown = described_states(MAX_BODY, state, initial=state, several=[state | {"market": f"store {i}"} for i in (1, 2)])
    _add_questions(app, deployment, {"state": state, "product": product}, aside)
    asked = {"question": f"Why did {product} get dearer?", "state": state}
    _add_desk_answers(app, deployment, decisions, asked, aside)
    sold = {"outcomes": [{"request_id": "$response.header.X-Request-Id", "product": product, "units": 3}]}
    links = {} if decisions is None else {"sold": {"operationId": OUTCOMES, "requestBody": sold}}
    return {"/v1/prices": _add_prices(app, pricing, shown, links)}


class _Pricing:
    """Makes decisions and records them before they are returned."""

    def __init__(
        self, deployment: Deployment, decisions: DecisionLog | None, recent: RecentDecisions, aside: Aside
    ) -> None:
        self._deployment, self._decisions, self._recent, self._aside = deployment, decisions, recent, aside
        self._batcher, self._results = Batcher(deployment), Results()
        self._turns, self._places = Turns(self._batcher.is_busy), asyncio.Semaphore(_MOST_LARGE)

    async def answer(self, body: bytes, scope: Scope) -> Response:
        """The response to the body of a request."""
        try:
            request_id = scope["state"]["request_id"]
            large = self._is_large(body)
            state = None if large else parsed(body)
            question = self._question(body, scope)
            text = None
            if question and self._decisions is not None:
                text = await self._results.of(self._decisions.submit_kept(request_id, question))
            if text is None and large:
                # Of the largest, whose answers take megabytes, few at a time; others do not wait for them.
                async with self._places if len(body) >= _INLINE_BYTES else contextlib.nullcontext():
                    text = await self._large(LargeRequest(body, request_id, question, *self._deployment.draws_of_one()))
            elif text is None:
                text = await self._one(state, request_id, question)
        except (BodyError, StateError, ReusedKeyError) as error:
            return problem(422, str(error))
        except HelperError as error:
            return problem(503, f"prices must be computed; got {error}; try again")
        except LogError as error:
            return problem(503, f"a decision must be recorded before it is returned; got {error}; try again")
        return Response(text, media_type="application/json")

    def _is_large(self, body: bytes) -> bool:
        """Whether a request has several states, or takes long in another way."""
        several = body[:_BEFORE].lstrip().startswith(b"[")
        return several or len(body) >= _INLINE_BYTES or self._deployment.bundle.catalogue.num_products > _INLINE_PRICES

    def _question(self, body: bytes, scope: Scope) -> str | None:
        """The digest of a request that must get the same answer again; None for
        others. Raises BodyError.
        """
        key = dict(scope["headers"]).get(IDEMPOTENCY_KEY)
        if key is None:
            return None
        if self._decisions is None:
            raise BodyError("Idempotency-Key needs a decision log; got none; start the service with --log")
        if not 0 < len(key) <= _LONGEST_KEY:
            raise BodyError(f"Idempotency-Key must have 1 to {_LONGEST_KEY} characters; got {len(key)}; shorten it")
        return hashlib.blake2b(body, digest_size=16).hexdigest()

    async def _one(self, state: Any, request_id: str, question: str | None) -> bytes:
        """The answer to one state, once its decision is in the log, if there is one; requests that
        wait together share a commit. Raises StateError.
        """
        metrics = self._deployment.metrics
        with metrics.span("price"):
            decision = await self._batcher.ask(state)
            self._recent.add(decision)
            text = decision.to_json(request_id)
        if self._decisions is None:
            return text
        reply = None if question is None else Reply.of(request_id, question, text)
        with metrics.commits.time(), metrics.span("commit"):
            return await self._results.of(self._decisions.submit_decisions([(request_id, decision)], reply)) or text

    async def _large(self, request: LargeRequest) -> bytes:
        """As `_one`, for a large request; its decisions are all recorded, or none."""
        deployment, log = self._deployment, self._decisions
        slots, metrics = deployment.slots, deployment.metrics
        drafts = None if log is None else log.drafts
        with metrics.span("price"):
            if slots.trial is None and len(request.body) >= _APART_BYTES:
                slots = replace(slots, former=None, canary=None)
                answer = await self._aside.ask(answer_large, slots, request, drafts)
                deployment.count(slots, answer.counted)
            else:
                # The guards of a trial live in this process.
                answer = await self._aside.work(answer_large, slots, request, drafts, deployment.judge)
        for market, decision in answer.recent:
            self._recent.add_packed(market, decision)
        if log is None or answer.work is None:
            return answer.text
        commit = functools.partial(self._commit, log, answer.work)
        kept = await (self._turns.take(commit) if answer.work.size >= _LONG_BYTES else commit())
        return kept or answer.text

    async def _commit(self, log: DecisionLog, work: Work) -> bytes | None:
        metrics = self._deployment.metrics
        with metrics.commits.time(), metrics.span("commit"):
            return await self._results.of(log.submit_work(work))


def _add_prices(app: FastAPI, pricing: _Pricing, shown: dict[str, Any], links: dict[str, Any]) -> Endpoint:
    one = {"$ref": f"#/components/schemas/{Priced.__name__}"}

    @app.post(
        "/v1/prices",
        responses=problems(413, 422, 503)
        | {200: content({"anyOf": [one, {"type": "array", "items": one}]}) | {"links": links}},
        openapi_extra=shown,
        tags=["prices"],
    )
    async def prices(request: Request) -> Response:
        """Allowed prices for one market state or several, with the changes that the price rules
        made.
        """
        return await pricing.answer(await request.body(), request.scope)

    return pricing.answer


def _add_questions(app: FastAPI, deployment: Deployment, question: dict[str, Any], aside: Aside) -> None:
    @app.post(
        "/v1/explain",
        responses=problems(413, 422, 503) | {200: content(Explanation.__name__)},
        openapi_extra=described_body("Question", initial=question),
        tags=["questions"],
    )
    async def why(request: Request) -> Response:
        """Explain a product's price: sentences to read out, and the parts that add up to it.
        Nothing is recorded.
        """

        async def answer(body: dict[str, Any]) -> bytes:
            state, product = _field(body, "state"), _field(body, "product")
            return await aside.ask(explained, *deployment.chosen(state), state, product)

        return await _answered(request, ("state", "product"), answer)

    price = deployment.bundle.catalogue.regular_price[0]
    tried = question | {"prices": [round(float(price) * share, 2) for share in (0.9, 1.0, 1.1)]}

    @app.post(
        "/v1/what-if",
        responses=problems(409, 413, 422, 503) | {200: content(WhatIf.__name__)},
        openapi_extra=described_body("WhatIfQuestion", grid=question, own_prices=tried),
        tags=["questions"],
    )
    async def curve(request: Request) -> Response:
        """Expected sales, revenue and profit of a product at other prices in this period. Nothing
        is recorded.
        """

        async def answer(body: dict[str, Any]) -> bytes:
            state, product = _field(body, "state"), _field(body, "product")
            return await aside.ask(at_other_prices, *deployment.chosen(state), state, product, body.get("prices"))

        return await _answered(request, ("state", "product", "prices"), answer)


def _add_desk_answers(
    app: FastAPI, deployment: Deployment, decisions: DecisionLog | None, asked: dict[str, Any], aside: Aside
) -> None:
    history = None if decisions is None else functools.partial(decisions.recent, count=RECENT)

    @app.post(
        "/v1/answer",
        responses=problems(413, 422, 503) | {200: content(Answer.__name__)},
        openapi_extra=described_body("CustomerQuestion", initial=asked),
        tags=["questions"],
    )
    async def desk(request: Request) -> Response:
        """What customer service may say to a question in English, German, French or Spanish; the
        answer is in English. Nothing is recorded.
        """

        def answer(question: Any, state: Any, product: Any) -> bytes:
            return orjson.dumps(answer_question(question, *deployment.preview(state), history=history, product=product))

        async def answered(body: dict[str, Any]) -> bytes:
            return await aside.work(answer, _field(body, "question"), _field(body, "state"), body.get("product"))

        return await _answered(request, ("question", "state", "product"), answered)


async def _answered(
    request: Request, keys: tuple[str, ...], answer: Callable[[dict[str, Any]], Awaitable[bytes]]
) -> Response:
    """The JSON that `answer` makes of the body; 422, 409 or 503 with one line where it cannot."""
    try:
        body = await json_body(request)
    except BodyError as error:
        return problem(422, str(error))
    if not isinstance(body, dict) or not body.keys() <= set(keys):
        return problem(422, f"request must be an object with {', '.join(keys)}; got something else; see /docs")
    try:
        return Response(await answer(body), media_type="application/json")
    except StateError as error:
        return problem(422, str(error))
    except NoResponseError as error:
        return problem(409, str(error))
    except HelperError as error:
        return problem(503, f"a question must be computed; got {error}; try again")
    except (LogError, ChainError) as error:
        return problem(503, f"past decisions must be readable to answer; got {error}; try again")


def _field(body: dict[str, Any], key: str) -> Any:
    if key not in body:
        raise StateError(f"request must have {key}; got none; add it")
    return body[key]

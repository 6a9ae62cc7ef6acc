"""The routes that answer questions: prices, why, and what if. Needs the `serve` extra."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict
from typing import Any

import orjson
from anyio import to_thread
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from ..decision import Decision
from ..decision_log.log import DecisionLog
from ..decision_log.storage import LogError
from ..explanation.sentences import Explanation, explain
from ..explanation.what_if import NoResponseError, WhatIf, what_if
from ..market_state import StateError
from ..sample_states import example_state
from .batching import Batcher
from .deployment import Operation
from .middleware import Endpoint, problem
from .recent_decisions import Recent
from .schemas import (
    MOST_STATES,
    BodyError,
    Priced,
    described_body,
    described_states,
    json_body,
    problems,
)

_INLINE_PRICES = 500
"""Prices that are worked out faster than a thread would take over."""


def add_answers(
    app: FastAPI, operation: Operation, decisions: DecisionLog | None, recent: Recent
) -> dict[str, Endpoint]:
    """`POST /v1/prices`, `/v1/explain` and `/v1/what-if`; returns the endpoints that need no routing, by path."""
    asking = _Asking(operation, decisions, recent)
    state = example_state(operation.bundle.catalogue)
    product = operation.bundle.catalogue.products[0]
    shown = described_states(opening=state, several=[state | {"market": f"store {i}"} for i in (1, 2)])
    _add_questions(app, operation, {"state": state, "product": product})
    return {"/v1/prices": _add_prices(app, asking, shown)}


class _Asking:
    """Gets decisions and records them before they are given."""

    def __init__(self, operation: Operation, decisions: DecisionLog | None, recent: Recent) -> None:
        self._operation, self._decisions, self._recent = operation, decisions, recent
        self._batcher = Batcher(operation)

    async def answer(self, body: bytes, request_id: str) -> Response:
        """The answer to the body of a request."""
        try:
            state = orjson.loads(body)
        except ValueError as error:
            return problem(422, f"request must be a state in JSON; got: {str(error)[:100]}; see /docs for an example")
        try:
            found = await (self.several if isinstance(state, list) else self.one)(state, request_id)
        except StateError as error:
            return problem(422, str(error))
        except LogError as error:
            return problem(503, f"the decision must be recorded before it is given; got {error}; try again")
        return Response(orjson.dumps(found), media_type="application/json")

    async def one(self, state: Any, request_id: str) -> dict[str, Any]:
        """The answer to one state as plain JSON. Raises StateError, LogError."""
        if self._operation.bundle.catalogue.num_products <= _INLINE_PRICES:
            decision = await self._batcher.ask(state)
        else:
            (decision,) = await self._worked_out([state])
        await self._recorded([(request_id, decision)])
        return self._given(request_id, decision)

    async def several(self, states: list[Any], request_id: str) -> list[dict[str, Any]]:
        """The answers to several states, all or none. Raises StateError, LogError."""
        if not 0 < len(states) <= MOST_STATES:
            raise StateError(f"a request must hold 1 to {MOST_STATES} states; got {len(states)}; send several requests")
        found = await self._worked_out(states)
        named = [(f"{request_id}.{i}", decision) for i, decision in enumerate(found, start=1)]
        await self._recorded(named)
        return [self._given(name, decision) for name, decision in named]

    async def _worked_out(self, states: list[Any]) -> list[Decision]:
        found = await to_thread.run_sync(self._operation.answer, states)
        decisions = []
        for i, one in enumerate(found, start=1):
            if isinstance(one, StateError):
                raise StateError(f"state {i} of {len(states)}: {one}") if len(states) > 1 else one
            decisions.append(one)
        return decisions

    async def _recorded(self, named: list[tuple[str, Decision]]) -> None:
        """Wait until all are in the log, if there is one: those who wait at the same time share a commit."""
        log = self._decisions
        if log is None:
            return

        def submitted() -> list[Future[None]]:
            return [
                log.submit(one.answer, one.state, name, propensity=one.propensity, arm=one.arm, shadow=one.shadow)
                for name, one in named
            ]

        few = len(named) * len(named[0][1].answer.prices) <= _INLINE_PRICES
        futures = submitted() if few else await to_thread.run_sync(submitted)
        await asyncio.gather(*map(asyncio.wrap_future, futures))

    def _given(self, request_id: str, decision: Decision) -> dict[str, Any]:
        self._recent.note(decision)
        own = {"request_id": request_id, "arm": decision.arm, "warnings": decision.warnings}
        # The encoder knows dataclasses: no dictionary is made of each price.
        return vars(decision.answer) | own


def _add_prices(app: FastAPI, asking: _Asking, shown: dict[str, Any]) -> Endpoint:
    @app.post(
        "/v1/prices",
        response_model=Priced | list[Priced],
        responses=problems(413, 422, 503),
        openapi_extra=shown,
        tags=["prices"],
    )
    async def prices(request: Request) -> Response:
        """Allowed prices for one market state, or for each of several, with what the price rules changed."""
        return await asking.answer(await request.body(), request.scope["state"]["request_id"])

    return asking.answer


def _add_questions(app: FastAPI, operation: Operation, question: dict[str, Any]) -> None:
    @app.post(
        "/v1/explain",
        response_model=Explanation,
        responses=problems(413, 422),
        openapi_extra=described_body("Question", opening=question),
        tags=["questions"],
    )
    async def why(request: Request) -> JSONResponse:
        """Why a product has its price: sentences to read out, and the parts that add up to it. Nothing is recorded."""

        def answer(body: dict[str, Any]) -> Any:
            predictor, seen, decision = operation.preview(_field(body, "state"))
            policy = predictor.recalling(seen)
            return explain(predictor.bundle, policy, seen.view, decision, _field(body, "product"))

        return await _asked(request, ("state", "product"), answer)

    price = operation.bundle.catalogue.regular_price[0]
    tried = question | {"prices": [round(float(price) * share, 2) for share in (0.9, 1.0, 1.1)]}

    @app.post(
        "/v1/what-if",
        response_model=WhatIf,
        responses=problems(409, 413, 422),
        openapi_extra=described_body("WhatIfQuestion", grid=question, own_prices=tried),
        tags=["questions"],
    )
    async def curve(request: Request) -> JSONResponse:
        """What other prices of a product would sell and earn in this period. Nothing is recorded."""

        def answer(body: dict[str, Any]) -> Any:
            predictor, seen, decision = operation.preview(_field(body, "state"))
            return what_if(predictor.bundle, seen.view, decision.answer, _field(body, "product"), body.get("prices"))

        return await _asked(request, ("state", "product", "prices"), answer)


async def _asked(request: Request, keys: tuple[str, ...], answer: Callable[[dict[str, Any]], Any]) -> JSONResponse:
    """What `answer` makes of the body in a thread, as JSON; 422 or 409 with one line where it cannot."""
    try:
        body = await json_body(request)
    except BodyError as error:
        return problem(422, str(error))
    if not isinstance(body, dict) or not body.keys() <= set(keys):
        return problem(422, f"request must be an object with {', '.join(keys)}; got something else; see /docs")
    try:
        return JSONResponse(asdict(await to_thread.run_sync(answer, body)))
    except StateError as error:
        return problem(422, str(error))
    except NoResponseError as error:
        return problem(409, str(error))


def _field(body: dict[str, Any], key: str) -> Any:
    if key not in body:
        raise StateError(f"request must have {key}; got none; add it")
    return body[key]

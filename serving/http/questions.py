"""`POST /v1/explain`, `/v1/what-if` and `/v1/answer`: questions about prices; nothing is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import orjson
from starlette.responses import Response

from ..answers.answer import RECENT, answer_question
from ..decision_log.log import DecisionLog
from ..documents import keys_mistake
from ..explanation import explain_decision, what_if
from .bodies import BodyError, parsed
from .deployment import Deployment
from .gate import Call, Routes


def question_routes(deployment: Deployment, log: DecisionLog, aside: ThreadPoolExecutor) -> Routes:
    """The routes of questions, each answered in a thread, as it takes as long as many prices.

    Args:
        deployment: Whose prices are meant.
        log: Past decisions.
        aside: Where they are answered.
    """
    history = partial(log.recent, count=RECENT)

    def explain(state: Any, product: Any) -> Any:
        predictor, seen, decision = deployment.preview(state)
        return explain_decision(predictor.bundle, predictor.at_state(seen), seen.view, decision, product)

    def curve(state: Any, product: Any, prices: Any) -> Any:
        predictor, seen, decision = deployment.preview(state)
        return what_if(predictor.bundle, seen.view, decision.answer, product, prices)

    def answer(question: Any, state: Any, product: Any) -> Any:
        return answer_question(question, *deployment.preview(state), history=history, product=product)

    async def answered(reply: Callable[..., Any], needed: tuple[str, ...], more: tuple[str, ...], call: Call) -> Any:
        def work() -> bytes:
            return orjson.dumps(reply(*_fields(call, needed, more)))

        text = await asyncio.get_running_loop().run_in_executor(aside, work)
        return Response(text, media_type="application/json")

    return {
        "POST /v1/explain": partial(answered, explain, ("state", "product"), ()),
        "POST /v1/what-if": partial(answered, curve, ("state", "product"), ("prices",)),
        "POST /v1/answer": partial(answered, answer, ("question", "state"), ("product",)),
    }


def _fields(call: Call, needed: tuple[str, ...], optional: tuple[str, ...]) -> list[Any]:
    """The fields of a body. Raises BodyError where others are there, or a needed one is not."""
    body, known = parsed(call.body), (*needed, *optional)
    if problem := keys_mistake(body, known, needed, "request"):
        raise BodyError(problem)
    return [body.get(key) for key in known]

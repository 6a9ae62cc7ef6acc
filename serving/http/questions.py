"""`POST /v1/explain`, `/v1/what-if` and `/v1/answer`: questions about prices; nothing is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import orjson
from msgspec import Struct
from starlette.responses import Response

from ..answers.answer import RECENT, Answer, answer_question
from ..decision_log.log import DecisionLog
from ..explanation import Explanation, WhatIf, explain_decision, what_if
from .bodies import CustomerQuestion, Question, WhatIfQuestion, read_body
from .deployment import Deployment
from .gate import BundleExample, Call, Endpoint, Examples, Operation, Routes, docstring


def question_routes(deployment: Deployment, log: DecisionLog, aside: ThreadPoolExecutor) -> Routes:
    """The routes of questions, each answered in a thread, as it takes as long as many prices.

    Args:
        deployment: Whose prices are meant.
        log: Past decisions.
        aside: Where they are answered.
    """
    history = partial(log.recent, count=RECENT)

    def explained(asked: Question) -> Any:
        """Explain a product's price: sentences to read out, and the parts that add up to it. Nothing is recorded."""
        predictor, seen, decision = deployment.preview(asked.state)
        return explain_decision(predictor.bundle, predictor.at_state(seen), seen.view, decision, asked.product)

    def tried(asked: WhatIfQuestion) -> Any:
        """Expected sales, revenue and profit of a product at other prices in this period. Nothing is recorded."""
        predictor, seen, decision = deployment.preview(asked.state)
        return what_if(predictor.bundle, seen.view, decision.answer, asked.product, asked.prices)

    def replied(asked: CustomerQuestion) -> Any:
        """What customer service may say to a question in English, German, French or Spanish; the answer is in English.
        Nothing is recorded.
        """
        market = deployment.preview(asked.state)
        return answer_question(asked.question, *market, history=history, product=asked.product)

    async def answered(kind: type[Struct], reply: Callable[[Any], Any], call: Call) -> Response:
        def work() -> bytes:
            return orjson.dumps(reply(read_body(call.body, kind)))

        text = await asyncio.get_running_loop().run_in_executor(aside, work)
        return Response(text, media_type="application/json")

    def question(
        body: type[Struct], reply: Callable[[Any], Any], answer: Any, examples: Examples, *refusals: int
    ) -> Endpoint:
        operation = Operation(
            tag="questions",
            text=docstring(reply),
            body=body,
            answer=answer,
            refusals=(*refusals, 503),
            examples=examples,
        )
        return Endpoint(partial(answered, body, reply), operation)

    return {
        "POST /v1/explain": question(Question, explained, Explanation, lambda of: {"initial": of._asdict()}),
        "POST /v1/what-if": question(WhatIfQuestion, tried, WhatIf, lambda of: {"grid": of._asdict()}, 409),
        "POST /v1/answer": question(CustomerQuestion, replied, Answer, _example_question),
    }


def _example_question(of: BundleExample) -> dict[str, Any]:
    return {"initial": {"question": "Why did it get dearer?"} | of._asdict()}

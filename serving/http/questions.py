"""`POST /v1/explain`, `/v1/what-if`, `/v1/try-prices` and `/v1/answer`: questions about prices; nothing is recorded."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
from starlette.responses import Response

from ..answers.answer import RECENT, Answer, answer_question
from ..decision_log.chain import ChainError
from ..decision_log.log import DecisionLog
from ..decision_log.transactions import LogError
from ..explanation.preview import at_other_prices, explained
from ..explanation.sentences import Explanation
from ..explanation.what_if import NoResponseError, WhatIf
from ..market_state import StateError
from ..sample_states import example_state
from .bodies import BodyError, parsed
from .deployment import Deployment
from .gate import problem
from .openapi import Call, Route
from .what_if_form import tried_prices


class Questions:
    """Answers questions in a thread, as each takes as long as many prices.

    Args:
        deployment: Whose prices are meant.
        log: Past decisions.
        aside: Where they are answered.
    """

    def __init__(self, deployment: Deployment, log: DecisionLog | None, aside: ThreadPoolExecutor) -> None:
        self._deployment, self._aside = deployment, aside
        self._history = None if log is None else functools.partial(log.recent, count=RECENT)

    def routes(self) -> list[Route]:
        """The routes, described with this bundle's example."""
        catalogue = self._deployment.bundle.catalogue
        question: dict[str, Any] = {"state": example_state(catalogue), "product": catalogue.products[0]}
        price = float(catalogue.regular_price[0])
        tried = {"grid": question, "own_prices": question | {"prices": [round(price * s, 2) for s in (0.9, 1.0, 1.1)]}}
        asked = {"initial": {"question": f"Why did {question['product']} get dearer?", "state": question["state"]}}
        refused, none = (413, 422, 503), (409, 413, 422, 503)
        explain, what_if, answer = Explanation.__name__, WhatIf.__name__, Answer.__name__
        return [
            Route(
                "POST", "/v1/explain", self.explain, "questions", refused, explain, "Question", {"initial": question}
            ),
            Route("POST", "/v1/what-if", self.what_if, "questions", none, what_if, "WhatIfQuestion", tried),
            Route("POST", "/v1/try-prices", self.try_prices, "questions", none),
            Route("POST", "/v1/answer", self.answer, "questions", refused, answer, "CustomerQuestion", asked),
        ]

    async def explain(self, call: Call) -> Response:
        """Explain a product's price: sentences to read out, and the parts that add up to it.
        Nothing is recorded.
        """

        def answer(state: Any, product: Any) -> bytes:
            return explained(*self._deployment.chosen(state), state, product)

        return await self._answered(call, ("state", "product"), (), answer)

    async def what_if(self, call: Call) -> Response:
        """Expected sales, revenue and profit of a product at other prices in this period. Nothing
        is recorded.
        """

        def answer(state: Any, product: Any, prices: Any) -> bytes:
            return at_other_prices(*self._deployment.chosen(state), state, product, prices)

        return await self._answered(call, ("state", "product"), ("prices",), answer)

    async def try_prices(self, call: Call) -> Response:
        """Expected sales, revenue and profit of all products in this period, with some at other prices. Nothing is
        recorded.
        """

        def answer(state: Any, prices: Any) -> bytes:
            return orjson.dumps(tried_prices(*self._deployment.chosen(state), state, prices))

        return await self._answered(call, ("state", "prices"), (), answer)

    async def answer(self, call: Call) -> Response:
        """What customer service may say to a question in English, German, French or Spanish; the
        answer is in English. Nothing is recorded.
        """

        def answer(question: Any, state: Any, product: Any) -> bytes:
            shown = self._deployment.preview(state)
            return orjson.dumps(answer_question(question, *shown, history=self._history, product=product))

        return await self._answered(call, ("question", "state"), ("product",), answer)

    async def _answered(
        self, call: Call, needed: tuple[str, ...], optional: tuple[str, ...], answer: Callable[..., bytes]
    ) -> Response:
        """The JSON that `answer` makes of the fields of the body; one line where it cannot."""

        def work() -> bytes:
            body = parsed(call.body)
            if not isinstance(body, dict) or not body.keys() <= {*needed, *optional}:
                known = ", ".join((*needed, *optional))
                raise BodyError(f"request must be an object with {known}; got something else; see /docs")
            for key in needed:
                if key not in body:
                    raise BodyError(f"request must have {key}; got none; add it")
            return answer(*(body.get(key) for key in (*needed, *optional)))

        try:
            text = await asyncio.get_running_loop().run_in_executor(self._aside, work)
        except (BodyError, StateError) as error:
            return problem(422, str(error))
        except NoResponseError as error:
            return problem(409, str(error))
        except (LogError, ChainError) as error:
            return problem(503, f"past decisions must be readable to answer; got {error}; try again")
        return Response(text, media_type="application/json")

"""The course of a request: what is noted of it, how Starlette's router finds its route, and what that is given."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..metrics import RequestCounts
from .operation import Operation
from .problems import problem

IDEMPOTENCY_KEY = b"idempotency-key"
_log = logging.getLogger("repricer.requests")


class Call(NamedTuple):
    """A request that was let in.

    Example:
        >>> Call({"type": "http", "state": {"caller": "till 3"}}, b"{}").caller
        'till 3'
    """

    scope: Scope
    body: bytes

    @property
    def caller(self) -> str | None:
        """The name of its API key."""
        return self.scope["state"]["caller"]

    @property
    def request_id(self) -> str:
        """Names the answer."""
        return self.scope["state"]["request_id"]


Answer = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True)
class Endpoint:
    """Reads the body of a request and answers it.

    Attributes:
        answer: Answers a request.
        operation: What `/openapi.json` says of it; None for pages and their files, which it leaves out.

    Example:
        >>> async def answer(_: Call) -> Response:
        ...     return Response("ok")
        >>> Endpoint(answer).operation is None
        True
    """

    answer: Answer
    operation: Operation | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        answer = await self.answer(Call(scope, await Request(scope, receive).body()))
        await answer(scope, receive, send)


Routes = Mapping[str, Endpoint]
"""What answers, by method and path, such as "POST /v1/prices"; GET answers HEAD too."""


class _ExactRoute(Route):
    """A route of one path. Starlette's pattern would take the path with a line feed at its end as well, which no check
    before it knows.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether it answers this path and method."""
        return super().matches(scope) if scope["path"] == self.path else (Match.NONE, {})


def starlette_routes(routes: Routes) -> list[Route]:
    """The routes for Starlette's router, in their order."""
    found = list[Route]()
    for name, endpoint in routes.items():
        method, _, path = name.partition(" ")
        found.append(_ExactRoute(path, endpoint, methods=[method]))
    return found


class RequestRecorder:
    """Middleware that gives each request its id, which its answer carries, counts it and logs it. What fails is answered
    in one line, and its log quotes nobody.

    Args:
        app: What answers.
        counts: Count the requests.
        paths: Those of the service; any other is logged as one.
    """

    def __init__(self, app: ASGIApp, counts: RequestCounts, paths: Collection[str]) -> None:
        self._app = app
        self._counts = counts
        self._paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request be answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0
        state = scope.setdefault("state", {})
        state["request_id"] = os.urandom(16).hex()
        state["caller"] = None

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", state["request_id"].encode())]
            elif scope["method"] == "HEAD":
                message["body"] = b""
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except Exception:
            if status:
                raise  # an answer was begun
            _log.exception("failed", extra={"facts": {"request_id": state["request_id"]}})
            line = f"the service failed; report request {state['request_id']} to its operator"
            await problem(500, line)(scope, receive, sent)
            state["caller"] = None
        route = scope["path"] if scope["path"] in self._paths else "other"
        seconds = time.perf_counter() - started
        self._counts.answered(route, status, seconds)
        facts = {"route": route, "method": scope["method"], "status": status, "ms": round(seconds * 1e3, 3)}
        _log.info("request", extra={"facts": {**facts, "request_id": state["request_id"], "key": state["caller"]}})

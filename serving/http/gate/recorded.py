"""What is noted of every request: its id, a line of the log, and the metrics."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..request_counts import RequestCounts
from .problems import problem

_log = logging.getLogger("repricer.requests")


class Recorded:
    """Middleware that gives each request its id, which its answer carries, counts it and logs it. What fails is answered
    in one line, and its log quotes nobody.

    Args:
        app: What answers.
        counts: Count the requests.
        paths: Those of the service; any other is logged as one.
    """

    def __init__(self, app: ASGIApp, counts: RequestCounts, paths: Collection[str]) -> None:
        self._app, self._counts, self._paths = app, counts, frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request be answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, state = time.perf_counter(), 0, scope.setdefault("state", {})
        state["request_id"], state["caller"] = os.urandom(16).hex(), None

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
        route, seconds = scope["path"] if scope["path"] in self._paths else "other", time.perf_counter() - started
        self._counts.answered(route, status, seconds)
        facts = {"route": route, "method": scope["method"], "status": status, "ms": round(seconds * 1e3, 3)}
        _log.info("request", extra={"facts": {**facts, "request_id": state["request_id"], "key": state["caller"]}})

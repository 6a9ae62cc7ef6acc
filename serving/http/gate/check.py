"""A check before every request: a middleware that lets it in or answers it."""

from __future__ import annotations

from abc import ABC, abstractmethod

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from .calls import OPEN_PATHS
from .problems import problem

Headers = dict[bytes, bytes]


class Check(ABC):
    """Middleware that lets a request in or refuses it. Health and readiness are asked without it.

    Args:
        app: What answers the requests that are let in.
    """

    open_paths: tuple[str, ...] = OPEN_PATHS
    """Paths that it does not check."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    @abstractmethod
    def check(self, scope: Scope, headers: Headers) -> None:
        """Raise HTTPException, with the line, for a request that is refused."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in or answer it."""
        if scope["type"] == "http" and scope["path"] not in self.open_paths:
            try:
                self.check(scope, dict(scope["headers"]))
            except HTTPException as refusal:
                answer = problem(refusal.status_code, refusal.detail, refusal.headers)
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)

"""What routes are given and how Starlette's router finds them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

PRICES = "/v1/prices"
OPEN_PATHS = ("/healthz", "/readyz")
"""Those that need neither a key nor a known Host: a load balancer asks them."""
IDEMPOTENCY_KEY = b"idempotency-key"


class Call(NamedTuple):
    """A request that was let in."""

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
Routes = Mapping[str, Answer]
"""What answers, by method and path, such as "POST /v1/prices"; GET answers HEAD too."""


class _Endpoint:
    """Reads the body of a request and answers it."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await self._answer(Call(scope, await Request(scope, receive).body()))
        await answer(scope, receive, send)


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
    for name, answer in routes.items():
        method, _, path = name.partition(" ")
        found.append(_ExactRoute(path, _Endpoint(answer), methods=[method]))
    return found

"""Refusals: one line with its status, whether a check, the router or a route gives it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ExceptionHandler

from ...bundle.files import BundleError
from ...decision_log.chain import ChainError
from ...decision_log.outcomes import ContradictionError, OutcomeError
from ...decision_log.replies import ReusedKeyError
from ...decision_log.storage import LogError
from ...explanation import NoResponseError
from ...market_state import StateError
from ...price_list.rows import ListError
from ..bodies import BodyError
from ..switchboard import DeploymentError
from .paths import PRICES

_REFUSALS: dict[type[Exception], int] = {
    ContradictionError: 409,
    ClientDisconnect: 400,
    **dict.fromkeys((DeploymentError, BundleError, ListError, NoResponseError), 409),
    **dict.fromkeys((BodyError, StateError, OutcomeError, ReusedKeyError), 422),
}
"""What routes raise, and the status that it becomes; of a class and its base, the class counts."""
_AGAIN = "try again with the same Idempotency-Key, as the decision may be recorded later"


class Problem(msgspec.Struct):
    """What is wrong, in one line."""

    detail: str


def problem(status: int, line: str, headers: Mapping[str, str] | None = None) -> Response:
    """The answer that says what is wrong, in one line.

    Example:
        >>> problem(404, "there is no such path").body
        b'{"detail":"there is no such path"}'
    """
    text = msgspec.json.encode(Problem(line))
    return Response(text, status, headers, media_type="application/json")


def handlers() -> dict[type[Exception], ExceptionHandler]:
    """What answers in the place of the router or a route that raises."""
    found: dict[type[Exception], ExceptionHandler] = {HTTPException: _unrouted}
    found |= dict.fromkeys(_REFUSALS, _refused)
    return found | dict.fromkeys((LogError, ChainError), _without_log)


async def _unrouted(_: Request, error: Exception) -> Response:
    """No route has this path, or none this method."""
    assert isinstance(error, HTTPException), "it handles no other"
    if error.status_code != 405:
        return problem(404, "path must be one of the service; got another; see /docs")
    assert error.headers is not None, "the router names the methods"
    allowed = ", ".join(sorted(error.headers["Allow"].split(", ")))
    return problem(405, f"method must be one of {allowed}; got another; see /docs", {"Allow": allowed})


async def _refused(_: Request, error: Exception) -> Response:
    status = next(_REFUSALS[kind] for kind in type(error).__mro__ if kind in _REFUSALS)
    return problem(status, str(error))


async def _without_log(request: Request, error: Exception) -> Response:
    again = _AGAIN if request.scope["path"] == PRICES else "try again"
    return problem(503, f"the log of decisions must be at hand to answer; got {error}; {again}")

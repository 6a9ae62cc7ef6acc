"""Checks before every request (limits, API key, role), and metrics and logs after it. Needs the
`serve` extra.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import os
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Lifespan, Receive, Scope, Send

from ..bundle.files import BundleError
from ..decision_log.chain import ChainError
from ..decision_log.outcomes import ContradictionError, OutcomeError
from ..decision_log.replies import ReusedKeyError
from ..decision_log.storage import LogError
from ..explanation import NoResponseError
from ..market_state import StateError
from ..price_list.rows import ListError
from .api_keys import KeyRing
from .bodies import BodyError
from .metrics import Metrics
from .settings import ServiceSettings
from .switchboard import DeploymentError

MAX_BODY = 4 << 20
"""Largest body of a request in bytes, enough for some ten thousand products."""
_MOST_HEADER_BYTES = 64 << 10
_PRICES = "/v1/prices"
_PRICE_PATHS = (_PRICES, "/v1/outcomes")
_AGAIN = "try again with the same Idempotency-Key, as the decision may be recorded later"
_OPEN_PATHS = ("/healthz", "/readyz")
_CALLERS = 10_000
_log = logging.getLogger("repricer.requests")
IDEMPOTENCY_KEY = b"idempotency-key"
QUESTIONS = {
    "/v1/explain": 20,
    "/v1/what-if": 15,
    "/v1/answer": 20,
    "/metrics": 10,
    "/v1/operation": 5,
}
QUESTIONS |= dict.fromkeys(("/", "/openapi.json", "/price-list", "/v1/price-list", "/v1/price-list/image"), 20)
"""Requests for which each of these counts, as it takes that many times the time of a price; one of the admin's counts for
five.
"""
_ADMIN, _LISTS = "/v1/admin/", "/v1/admin/price-list/"
_SWITCH_BODY = 64 << 10
"""Largest body of a switch in bytes."""
_ONCE = (
    b"host",
    b"authorization",
    b"content-length",
    b"content-type",
    b"transfer-encoding",
    b"origin",
    IDEMPOTENCY_KEY,
)
"""Headers that a request may have once: of two, a proxy may have read the other one."""
_REFUSALS: dict[type[Exception], int] = {
    ContradictionError: 409,
    ClientDisconnect: 400,
    **dict.fromkeys((DeploymentError, BundleError, ListError, NoResponseError), 409),
    **dict.fromkeys((BodyError, StateError, OutcomeError, ReusedKeyError), 422),
    **dict.fromkeys((LogError, ChainError), 503),
}
"""What routes raise, and the status that it becomes; a subclass stands before its base."""


class Call(NamedTuple):
    """A request that the gate has let in."""

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


Routes = Mapping[str, Callable[[Call], Awaitable[Response]]]
"""What answers, by method and path, such as "POST /v1/prices"; GET answers HEAD too."""


def role_for(path: str) -> str:
    """The role that a path requires."""
    if path.startswith("/v1/admin"):
        return "admin"
    return "price" if path.startswith(_PRICE_PATHS) else "read"


def problem(status: int, line: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """What is wrong, in one line."""
    return JSONResponse({"detail": line}, status_code=status, headers=headers)


class RateLimit:
    """A token bucket per caller; a request takes as many tokens as it costs, if there is one.

    A bucket may go below zero: what costs more than is left is answered, and the caller waits
    until the debt is paid.

    The last ten thousand callers are remembered; any other starts with a full bucket.

    Args:
        per_second: Tokens that a bucket regains each second.
        burst: Tokens of a full bucket.
        clock: Returns the time in seconds.
    """

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = per_second, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, caller: str, cost: float = 1.0) -> float:
        """Take `cost` tokens; returns 0 if there was one, otherwise the seconds until the next."""
        now = self._clock()
        tokens, before = self._buckets.pop(caller, (self._burst, now))
        tokens = min(self._burst, tokens + (now - before) * self._rate)
        granted = tokens >= 1
        self._buckets[caller] = (tokens - granted * cost, now)
        if len(self._buckets) > _CALLERS:
            self._buckets.popitem(last=False)
        return 0.0 if granted else (1 - tokens) / self._rate


class Gate(Starlette):
    """The application: body limit, API key and role, rate limit, metrics, log and request id of every request; pure ASGI
    for speed. Starlette has what runs beside it.

    Args:
        routes: What answers.
        settings: Say which API keys there are, which hosts may be named, and how often a caller may ask.
        state_bytes: Size of a body with one state; a larger body counts as several requests.
        metrics: Counters to update.
        lifespan: What runs beside requests.
    """

    def __init__(
        self, routes: Routes, settings: ServiceSettings, state_bytes: int, metrics: Metrics, lifespan: Lifespan[Any]
    ) -> None:
        super().__init__(lifespan=lifespan)
        self._routes: dict[str, dict[str, Any]] = {}
        for name, answer in routes.items():
            method, _, path = name.partition(" ")
            self._routes.setdefault(path, {}).update({method: answer} | ({"HEAD": answer} if method == "GET" else {}))
        self._hosts, self._state_bytes = tuple(_name(host.encode()) for host in settings.hosts), state_bytes
        self._keys = None if settings.keys is None else KeyRing(settings.keys)
        self._limit, self._metrics = RateLimit(settings.rate, settings.burst), metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it; count it in the metrics, and log it."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        started, state = time.perf_counter(), scope.setdefault("state", {})
        state["request_id"], state["caller"] = os.urandom(16).hex(), None
        try:
            answer = await self._answer(scope, receive)
        except HTTPException as refusal:
            answer = problem(refusal.status_code, refusal.detail, refusal.headers)
        except tuple(_REFUSALS) as error:
            status = next(status for kind, status in _REFUSALS.items() if isinstance(error, kind))
            again = _AGAIN if scope["path"] == _PRICES else "try again"
            log = f"the log of decisions must be at hand to answer; got {error}; {again}"
            answer = problem(status, log if status == 503 else str(error))
        except Exception:
            _log.exception("failed", extra={"facts": {"request_id": state["request_id"]}})
            line = f"the service failed; report request {state['request_id']} to its operator"
            answer, state["caller"] = problem(500, line), None
        headers = [*answer.raw_headers, (b"x-request-id", state["request_id"].encode())]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})
        route, seconds = scope["path"] if scope["path"] in self._routes else "other", time.perf_counter() - started
        self._metrics.answered(route, answer.status_code, seconds)
        facts = {"route": route, "method": scope["method"], "status": answer.status_code, "ms": round(seconds * 1e3, 3)}
        _log.info("request", extra={"facts": {**facts, "request_id": state["request_id"], "key": state["caller"]}})

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        path, state, headers = scope["path"], scope["state"], dict(scope["headers"])
        _check_headers(scope, headers)
        if path not in _OPEN_PATHS:
            self._check(scope, headers)
        methods = self._routes.get(path)
        if methods is None:
            raise HTTPException(404, "path must be one of the service; got another; see /docs")
        if scope["method"] not in methods:
            allowed = ", ".join(sorted(methods))
            raise HTTPException(405, f"method must be one of {allowed}; got another; see /docs", {"Allow": allowed})
        if path == _PRICES and (retry_key := headers.get(IDEMPOTENCY_KEY)):
            # The same key of the same caller is the same request.
            named = (state["caller"] or "").encode()
            key = b"%d %b%b" % (len(named), named, retry_key)
            state["request_id"] = hashlib.blake2b(key, digest_size=16).hexdigest()
        return await methods[scope["method"]](Call(scope, await Request(scope, receive).body()))

    def _check(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """Note the name of the request's key. Raises HTTPException for a request that is refused."""
        if self._hosts and _name(headers.get(b"host", b"")) not in self._hosts:
            known = ", ".join(self._hosts)
            raise HTTPException(421, f"Host must be one of {known}; got another; start the service with --allow-host")
        if (size := sum(len(name) + len(value) for name, value in scope["headers"])) > _MOST_HEADER_BYTES:
            raise HTTPException(431, f"headers must have at most {_MOST_HEADER_BYTES} bytes; got {size}; send fewer")
        path, caller, key = scope["path"], (scope.get("client") or ("",))[0], None
        if self._keys is not None:
            key = self._keys.find(_token(headers.get(b"authorization", b"").decode("latin-1")))
            caller = caller if key is None else f"key {key.name}"
        # A request with neither header has no body, as curl sends one without data.
        length = headers.get(b"content-length", b"" if b"transfer-encoding" in headers else b"0")
        most = _SWITCH_BODY if path.startswith(_ADMIN) and not path.startswith(_LISTS) else MAX_BODY
        size = int(length) if length.isdigit() and len(length) < 10 and int(length) <= most else -1
        weight = QUESTIONS.get(path, 5 if path.startswith(_ADMIN) else 1)
        wait = self._limit.wait(caller, max(1, -(-size // self._state_bytes)) * weight)
        if wait:
            line = f"requests must keep to the rate limit; got one {wait:.2f} s too early; wait as Retry-After says"
            raise HTTPException(429, line, {"Retry-After": str(int(wait) + 1)})
        if self._keys is not None:
            role = role_for(path)
            if key is None:
                line = "a request must have a known API key; got none; send 'Authorization: Bearer KEY'"
                raise HTTPException(401, line, {"WWW-Authenticate": 'Bearer, Basic realm="repricer"'})
            scope["state"]["caller"] = key.name
            if not key.may(role):
                line = f"this path requires the role {role}; got a key for {key.role}; use another key"
                raise HTTPException(403, line)
        if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            _check_body(headers, length.decode("latin-1"), size, most)


def _check_headers(scope: Scope, headers: dict[bytes, bytes]) -> None:
    """Raise HTTPException for a request of which another server could read something else."""
    if len(headers) < len(scope["headers"]):
        names = [name for name, _ in scope["headers"]]
        for name in _ONCE:
            if names.count(name) > 1:
                line = f"header {name.decode()} must be there once; got it {names.count(name)} times; send one"
                raise HTTPException(400, line)
    if scope.get("http_version") == "1.1" and b"host" not in headers:
        raise HTTPException(400, "a request must have the header host; got none; send it")


def _check_body(headers: dict[bytes, bytes], length: str, size: int, most: int) -> None:
    """Refuse requests from pages of other sites, and bodies that are too long or of unknown length. Raises
    HTTPException.
    """
    origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site", b"none")
    if origin is not None and origin.partition(b"://")[2] != headers.get(b"host"):
        got = repr(origin[:100].decode("latin-1"))
        raise HTTPException(403, f"Origin must be the service's own; got {got}; call from a server")
    if site not in (b"same-origin", b"none"):
        line = "a browser must send requests from the service's own page; got another site; call from a server"
        raise HTTPException(403, line)
    if size < 0:
        got = length[:20] or "none"
        line = f"request must state its content-length, at most {most}; got {got}; send several requests"
        raise HTTPException(413, line)
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if size and kind != b"application/json":
        got = kind[:100].decode("latin-1") or "none"
        raise HTTPException(415, f"content-type must be application/json; got {got}; set the header")


def _name(host: bytes) -> str:
    """The name or address in a Host header, without the port."""
    return re.sub(r":\d*$", "", host.decode("latin-1")).lower()


def _token(authorization: str) -> str:
    """The key of a Bearer header, or the password of a Basic one, which a browser sends."""
    kind, _, value = authorization.partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        with suppress(binascii.Error, UnicodeDecodeError):
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
    return ""

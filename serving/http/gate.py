"""Checks before every request (limits, API key, role), and metrics and logs after it. Needs the
`serve` extra.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import logging
import os
import re
import time
from collections.abc import Collection, Iterable

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from .api_keys import KeyRing
from .metrics import Metrics
from .openapi import OPEN_PATHS, Call, Route
from .rate_limit import RateLimit

MAX_BODY = 4 << 20
"""Largest body of a request in bytes, enough for some ten thousand products."""
_PIECE = 256 << 10
"""Bytes of an answer that are sent at once."""
_PRICE_PATHS = ("/v1/prices", "/v1/outcomes")
_log = logging.getLogger("repricer.requests")
IDEMPOTENCY_KEY = b"idempotency-key"
QUESTIONS = {"/v1/explain": 20, "/v1/what-if": 15, "/v1/answer": 20}
"""Requests for which each of these counts, as it takes that many times the time of a price."""


def role_for(path: str) -> str:
    """The role that a path requires."""
    if path.startswith("/v1/admin"):
        return "admin"
    return "price" if path.startswith(_PRICE_PATHS) else "read"


def problem(status: int, line: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """A response that says what is wrong, in one line."""
    return JSONResponse({"detail": line}, status_code=status, headers=headers)


class Gate:
    """Body limit, API key and role, rate limit, metrics, log and request id of every request; pure
    ASGI for speed.

    Args:
        routes: What answers.
        keys: The API keys; None accepts every request.
        hosts: Names that a request may give as its Host; any where there are none.
        limit: The rate limit of each caller.
        state_bytes: Size of a body with one state; a larger body counts as several requests.
        metrics: Counters to update.
    """

    def __init__(
        self,
        routes: Iterable[Route],
        *,
        keys: KeyRing | None,
        hosts: Collection[str],
        limit: RateLimit,
        state_bytes: int,
        metrics: Metrics,
    ) -> None:
        self._routes: dict[str, dict[str, Route]] = {}
        for route in routes:
            for method in (route.method, "HEAD")[: 1 + (route.method == "GET")]:
                self._routes.setdefault(route.path, {})[method] = route
        self._hosts, self._state_bytes = tuple(_name(host.encode()) for host in hosts), state_bytes
        self._keys, self._limit, self._metrics = keys, limit, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        started = time.perf_counter()
        state = scope.setdefault("state", {})
        state["request_id"], state["caller"] = os.urandom(16).hex(), None
        try:
            answer = await self._answer(scope, receive)
        except Exception:
            _log.exception("failed", extra={"facts": {"request_id": state["request_id"]}})
            line = f"the service failed; report request {state['request_id']} to its operator"
            answer, state["caller"] = problem(500, line), None
        headers = [*answer.raw_headers, (b"x-request-id", state["request_id"].encode())]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
        await _send_body(send, b"" if scope["method"] == "HEAD" else answer.body)
        self._record(scope, answer.status_code, time.perf_counter() - started)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        state, headers = scope["state"], dict(scope["headers"])
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            return refusal
        methods = self._routes.get(scope["path"])
        if methods is None:
            return problem(404, "path must be one of the service; got another; see /docs")
        route = methods.get(scope["method"])
        if route is None:
            allowed = ", ".join(sorted(methods))
            return problem(405, f"method must be one of {allowed}; got another; see /docs", {"Allow": allowed})
        if route.path == "/v1/prices" and (retry_key := headers.get(IDEMPOTENCY_KEY)):
            state["request_id"] = _id_of_retries(state["caller"] or "", retry_key)
        return await route.answer(Call(scope, await _body(receive)))

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        """Count an answered request in the metrics, and log it."""
        route = scope["path"] if scope["path"] in self._routes else "other"
        self._metrics.answered(route, status, seconds)
        if _log.isEnabledFor(logging.INFO):
            facts = {"route": route, "method": scope["method"], "status": status, "ms": round(seconds * 1e3, 3)}
            # Not `info`, which would look up the caller's frame.
            record = _log.makeRecord(_log.name, logging.INFO, "", 0, "request", (), None)
            record.facts = facts | {"request_id": scope["state"]["request_id"], "key": scope["state"]["caller"]}
            _log.handle(record)

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes]) -> Response | None:
        """The response that refuses this request, or None; notes the name of its key."""
        path = scope["path"]
        if path in OPEN_PATHS:
            return None
        if self._hosts and _name(headers.get(b"host", b"")) not in self._hosts:
            line = f"Host must be one of {', '.join(self._hosts)}; got another; start the service with --allow-host"
            return problem(421, line)
        caller, key = (scope.get("client") or ("",))[0], None
        if self._keys is not None:
            key = self._keys.find(_token(headers.get(b"authorization", b"").decode("latin-1")))
            caller = caller if key is None else f"key {key.name}"
        wait = self._limit.wait(caller, self._cost(path, headers.get(b"content-length", b"")))
        if wait:
            line = f"requests must keep to the rate limit; got one {wait:.2f} s too early; wait as Retry-After says"
            return problem(429, line, {"Retry-After": str(int(wait) + 1)})
        if self._keys is not None:
            role = role_for(path)
            if key is None:
                line = "a request must have a known API key; got none; send 'Authorization: Bearer KEY'"
                return problem(401, line, {"WWW-Authenticate": 'Bearer, Basic realm="repricer"'})
            scope["state"]["caller"] = key.name
            if not key.may(role):
                return problem(403, f"this path requires the role {role}; got a key for {key.role}; use another key")
        return _unfit(scope, headers)

    def _cost(self, path: str, length: bytes) -> int:
        """For how many requests one counts."""
        # A length that is too long, or no number, is refused as it is.
        size = int(length) if length.isdigit() and len(length) < 10 else 0
        return max(1, -(-size // self._state_bytes) if size <= MAX_BODY else 1) * QUESTIONS.get(path, 1)


def _id_of_retries(caller: str, retry_key: bytes) -> str:
    """The request id of an idempotency key: the same key of the same caller is the same request."""
    named = caller.encode()
    return hashlib.blake2b(b"%d %b%b" % (len(named), named, retry_key), digest_size=16).hexdigest()


async def _body(receive: Receive) -> bytes:
    """The body of a request; the part that arrived where the caller hung up."""
    message = await receive()
    if not message.get("more_body", False):
        return message.get("body", b"")
    parts = [message.get("body", b"")]
    while message.get("more_body", False):
        message = await receive()
        parts.append(message.get("body", b""))
    return b"".join(parts)


async def _send_body(send: Send, body: bytes | memoryview) -> None:
    """Send a body, a large one in pieces: other answers leave in between."""
    for start in range(0, len(body) or 1, _PIECE):
        if start:
            await asyncio.sleep(0)
        piece = body[start : start + _PIECE]
        await send({"type": "http.response.body", "body": piece, "more_body": start + _PIECE < len(body)})


def _unfit(scope: Scope, headers: dict[bytes, bytes]) -> JSONResponse | None:
    """Refuses requests from pages of other sites, and bodies that are too long or of unknown
    length.
    """
    if scope["method"] in ("GET", "HEAD", "OPTIONS"):
        return None
    origin = headers.get(b"origin")
    if origin is not None and origin.partition(b"://")[2] != headers.get(b"host"):
        line = f"Origin must be the service's own; got {origin[:100].decode('latin-1')!r}; call from a server"
        return problem(403, line)
    if headers.get(b"sec-fetch-site", b"none") not in (b"same-origin", b"none"):
        return problem(
            403, "a browser must send requests from the service's own page; got another site; call from a server"
        )
    # A request with neither header has no body, as curl sends one without data.
    length = headers.get(b"content-length", b"" if b"transfer-encoding" in headers else b"0").decode("latin-1")
    if not length.isdecimal() or len(length) > 9 or int(length) > MAX_BODY:
        line = f"request must state its content-length, at most {MAX_BODY}; got {length[:20] or 'none'}; send several requests"
        return problem(413, line)
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if int(length) and kind != b"application/json":
        line = f"content-type must be application/json; got {kind[:100].decode('latin-1') or 'none'}; set the header"
        return problem(415, line)
    return None


def _name(host: bytes) -> str:
    """The name or address in a Host header, without the port."""
    return re.sub(r":\d*$", "", host.decode("latin-1")).lower()


def _token(authorization: str) -> str:
    """The key of a Bearer header, or the password of a Basic one, which a browser sends."""
    kind, _, value = authorization.partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""

"""Checks before every request: each is a middleware that lets it in or answers it, for one reason."""

from __future__ import annotations

import base64
import binascii
import re
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from ..api_keys import KeyRing
from .calls import IDEMPOTENCY_KEY
from .paths import ADMIN, LISTS, OPEN_PATHS, OUTCOMES, PRICES
from .problems import problem

Headers = dict[bytes, bytes]
_MOST_BYTES = 64 << 10
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
MAX_BODY = 4 << 20
"""Largest body of a request in bytes, enough for some ten thousand products."""
_SWITCH_BODY = 64 << 10
"""Largest body of a switch in bytes."""
_CALLERS = 10_000
_REQUEST_WEIGHTS = {
    "/v1/explain": 20,
    "/v1/what-if": 15,
    "/v1/answer": 20,
    "/metrics": 10,
    "/v1/operation": 5,
}
_REQUEST_WEIGHTS |= dict.fromkeys(("/", "/openapi.json", "/price-list", "/v1/price-list", "/v1/price-list/image"), 20)
"""Requests for which each of these counts, as it takes that many times the time of a price."""
_ADMIN_WEIGHT = 5


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


class OneReading(Check):
    """Refuses requests of which another server could read something else, of any path."""

    open_paths = ()

    def check(self, scope: Scope, headers: Headers) -> None:
        """Raise HTTPException for a header that is there twice, or a Host that is not."""
        if len(headers) < len(scope["headers"]):
            names = [name for name, _ in scope["headers"]]
            for name in _ONCE:
                if names.count(name) > 1:
                    line = f"header {name.decode()} must be there once; got it {names.count(name)} times; send one"
                    raise HTTPException(400, line)
        if scope.get("http_version") == "1.1" and b"host" not in headers:
            raise HTTPException(400, "a request must have the header host; got none; send it")


class KnownHost(Check):
    """Refuses requests that name another host than the service's.

    Args:
        app: What answers the requests that are let in.
        hosts: Those that may be named; any where there are none.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        super().__init__(app)
        self._hosts = tuple(_name(host.encode()) for host in hosts)

    def check(self, scope: Scope, headers: Headers) -> None:
        """Raise HTTPException for another host."""
        if self._hosts and _name(headers.get(b"host", b"")) not in self._hosts:
            known = ", ".join(self._hosts)
            raise HTTPException(421, f"Host must be one of {known}; got another; start the service with --allow-host")


class ShortHeaders(Check):
    """Refuses requests with long headers."""

    def check(self, scope: Scope, headers: Headers) -> None:
        """Raise HTTPException where they are too long together."""
        size = sum(len(name) + len(value) for name, value in scope["headers"])
        if size > _MOST_BYTES:
            raise HTTPException(431, f"headers must have at most {_MOST_BYTES} bytes; got {size}; send fewer")


def _name(host: bytes) -> str:
    """The name or address in a Host header, without the port."""
    return re.sub(r":\d*$", "", host.decode("latin-1")).lower()


def most_bytes(path: str) -> int:
    """The largest body that a path takes."""
    return _SWITCH_BODY if path.startswith(ADMIN) and not path.startswith(LISTS) else MAX_BODY


def stated_length(headers: Headers) -> bytes:
    """What a request says of its length. One with neither header has no body, as curl sends one without data."""
    return headers.get(b"content-length", b"" if b"transfer-encoding" in headers else b"0")


def stated_bytes(path: str, headers: Headers) -> int:
    """The length of a body, or -1 where it is unknown or more than the path takes."""
    length = stated_length(headers)
    return int(length) if length.isdigit() and len(length) < 10 and int(length) <= most_bytes(path) else -1


class OwnBodies(Check):
    """Refuses requests from pages of other sites, and bodies that are too long, of unknown length or no JSON."""

    def check(self, scope: Scope, headers: Headers) -> None:
        """Raise HTTPException for them."""
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return
        origin = headers.get(b"origin")
        site = headers.get(b"sec-fetch-site", b"none")
        if origin is not None and origin.partition(b"://")[2] != headers.get(b"host"):
            got = repr(origin[:100].decode("latin-1"))
            raise HTTPException(403, f"Origin must be the service's own; got {got}; call from a server")
        if site not in (b"same-origin", b"none"):
            line = "a browser must send requests from the service's own page; got another site; call from a server"
            raise HTTPException(403, line)
        size = stated_bytes(scope["path"], headers)
        if size < 0:
            got = stated_length(headers).decode("latin-1")[:20] or "none"
            most = most_bytes(scope["path"])
            line = f"request must state its content-length, at most {most}; got {got}; send several requests"
            raise HTTPException(413, line)
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if size and kind != b"application/json":
            got = kind[:100].decode("latin-1") or "none"
            raise HTTPException(415, f"content-type must be application/json; got {got}; set the header")


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
        self._rate = per_second
        self._burst = burst
        self._clock = clock
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


def role_for(path: str) -> str:
    """The role that a path requires."""
    if path.startswith("/v1/admin"):
        return "admin"
    return "price" if path.startswith((PRICES, OUTCOMES)) else "read"


class KnownCaller(Check):
    """Refuses callers without a key that may do this, and those who ask too often; notes the name of the key.

    Args:
        app: What answers the requests that are let in.
        keys: Those that there are; everybody may do anything without.
        limit: How often a caller may ask.
        state_bytes: Size of a body with one state; a larger body counts as several requests.
    """

    def __init__(self, app: ASGIApp, keys: KeyRing | None, limit: RateLimit, state_bytes: int) -> None:
        super().__init__(app)
        self._keys = keys
        self._limit = limit
        self._state_bytes = state_bytes

    def check(self, scope: Scope, headers: Headers) -> None:
        """Raise HTTPException for a caller who is refused."""
        path = scope["path"]
        caller = (scope.get("client") or ("",))[0]
        key = None
        if self._keys is not None:
            key = self._keys.find(_token(headers.get(b"authorization", b"").decode("latin-1")))
            caller = caller if key is None else f"key {key.name}"
        weight = _REQUEST_WEIGHTS.get(path, _ADMIN_WEIGHT if path.startswith(ADMIN) else 1)
        requests = max(1, -(-stated_bytes(path, headers) // self._state_bytes))
        wait = self._limit.wait(caller, requests * weight)
        if wait:
            line = f"requests must keep to the rate limit; got one {wait:.2f} s too early; wait as Retry-After says"
            raise HTTPException(429, line, {"Retry-After": str(int(wait) + 1)})
        if self._keys is None:
            return
        if key is None:
            line = "a request must have a known API key; got none; send 'Authorization: Bearer KEY'"
            raise HTTPException(401, line, {"WWW-Authenticate": 'Bearer, Basic realm="repricer"'})
        scope["state"]["caller"] = key.name
        role = role_for(path)
        if not key.may(role):
            line = f"this path requires the role {role}; got a key for {key.role}; use another key"
            raise HTTPException(403, line)


def _token(authorization: str) -> str:
    """The key of a Bearer header, or the password of a Basic one, which a browser sends."""
    kind, _, value = authorization.partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        with suppress(binascii.Error, UnicodeDecodeError):
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
    return ""

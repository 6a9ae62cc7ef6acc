"""Check of who asks: its API key, its role, and how often."""

from __future__ import annotations

import base64
import binascii
from contextlib import suppress

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Scope

from ..api_keys import KeyRing
from .calls import PRICES
from .check import Check, Headers
from .own_bodies import ADMIN, stated_bytes
from .rate_limit import RateLimit

_PRICE_PATHS = (PRICES, "/v1/outcomes")
_WEIGHTS = {
    "/v1/explain": 20,
    "/v1/what-if": 15,
    "/v1/answer": 20,
    "/metrics": 10,
    "/v1/operation": 5,
}
_WEIGHTS |= dict.fromkeys(("/", "/openapi.json", "/price-list", "/v1/price-list", "/v1/price-list/image"), 20)
"""Requests for which each of these counts, as it takes that many times the time of a price."""
_ADMIN_WEIGHT = 5


def role_for(path: str) -> str:
    """The role that a path requires."""
    if path.startswith("/v1/admin"):
        return "admin"
    return "price" if path.startswith(_PRICE_PATHS) else "read"


class Access(Check):
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
        path, caller, key = scope["path"], (scope.get("client") or ("",))[0], None
        if self._keys is not None:
            key = self._keys.find(_token(headers.get(b"authorization", b"").decode("latin-1")))
            caller = caller if key is None else f"key {key.name}"
        weight = _WEIGHTS.get(path, _ADMIN_WEIGHT if path.startswith(ADMIN) else 1)
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

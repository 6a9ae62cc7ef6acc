"""Checks of what every header stands for: once, short, and of a host that the service has."""

from __future__ import annotations

import re
from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Scope

from .calls import IDEMPOTENCY_KEY
from .check import Check, Headers

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

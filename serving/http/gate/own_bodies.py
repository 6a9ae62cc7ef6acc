"""Check of requests that change something: from the service's own pages, with a body of stated length and kind."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import Scope

from .check import Check, Headers

MAX_BODY = 4 << 20
"""Largest body of a request in bytes, enough for some ten thousand products."""
ADMIN = "/v1/admin/"
_LISTS = "/v1/admin/price-list/"
_SWITCH_BODY = 64 << 10
"""Largest body of a switch in bytes."""


def most_bytes(path: str) -> int:
    """The largest body that a path takes."""
    return _SWITCH_BODY if path.startswith(ADMIN) and not path.startswith(_LISTS) else MAX_BODY


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
        origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site", b"none")
        if origin is not None and origin.partition(b"://")[2] != headers.get(b"host"):
            got = repr(origin[:100].decode("latin-1"))
            raise HTTPException(403, f"Origin must be the service's own; got {got}; call from a server")
        if site not in (b"same-origin", b"none"):
            line = "a browser must send requests from the service's own page; got another site; call from a server"
            raise HTTPException(403, line)
        size = stated_bytes(scope["path"], headers)
        if size < 0:
            got, most = stated_length(headers).decode("latin-1")[:20] or "none", most_bytes(scope["path"])
            line = f"request must state its content-length, at most {most}; got {got}; send several requests"
            raise HTTPException(413, line)
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if size and kind != b"application/json":
            got = kind[:100].decode("latin-1") or "none"
            raise HTTPException(415, f"content-type must be application/json; got {got}; set the header")

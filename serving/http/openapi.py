"""The routes of the service, and their description as an OpenAPI document."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from importlib.metadata import version
from inspect import cleandoc
from typing import Any, NamedTuple

import msgspec
from starlette.responses import Response
from starlette.types import Scope

from ...pricing import RecurrentPolicy
from ..bundle.reading import Bundle
from .bodies import Problem, body_schemas

OPEN_PATHS = ("/healthz", "/readyz")
_COMMON = (401, 403, 415, 421, 429)
"""What every request may get."""
_OBJECT = {"type": "object"}


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


class Route(NamedTuple):
    """One route.

    Attributes:
        method: GET, which answers HEAD too, POST or PUT.
        path: Its path.
        answer: Makes the response; its docstring describes the route.
        tag: Its group in the document; none where it is not described.
        refusals: Statuses beside those that every request may get.
        found: The schema of what it returns, or the name of that.
        body: The schema of its body, or the name of that.
        examples: Bodies by name.
        more: What else the document says of it.
        links: What a caller can do with the answer, by name.
    """

    method: str
    path: str
    answer: Callable[[Call], Awaitable[Response]]
    tag: str = ""
    refusals: tuple[int, ...] = ()
    found: Mapping[str, Any] | str = _OBJECT
    body: Mapping[str, Any] | str | None = None
    examples: Mapping[str, Any] = {}
    more: Mapping[str, Any] = {}
    links: Mapping[str, Any] = {}


def openapi(routes: Iterable[Route], bundle: Bundle) -> bytes:
    """The document, with the products and periods of a bundle."""
    paths: dict[str, Any] = {}
    for route in routes:
        if route.tag:
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    components = {
        "schemas": body_schemas(bundle.catalogue, isinstance(bundle.policy, RecurrentPolicy)),
        "securitySchemes": {
            "key": {"type": "http", "scheme": "bearer", "description": "`repricer keys add` makes one"}
        },
    }
    info = {"title": "repricer", "version": version("repricer")}
    return msgspec.json.encode({"openapi": "3.1.0", "info": info, "paths": paths, "components": components})


def _operation(route: Route) -> dict[str, Any]:
    words = cleandoc(route.answer.__doc__ or "")
    refusals = sorted({*route.refusals, *(() if route.path in OPEN_PATHS else _COMMON)})
    found = {
        "operationId": operation_id(route.method, route.path),
        "tags": [route.tag],
        "summary": words.partition(":")[0].partition(".")[0],
        "description": words,
        "security": [] if route.path in OPEN_PATHS else [{"key": []}, {}],
        "responses": {
            "200": {"description": "the answer", "content": _content(route.found), "links": route.links},
            **{str(one): {"description": "one line", "content": _content(Problem.__name__)} for one in refusals},
        },
    }
    if route.body is not None:
        examples = {name: {"value": value} for name, value in route.examples.items()}
        found["requestBody"] = {"required": True, "content": _content(route.body, examples)}
    for key, value in route.more.items():
        found[key] = {**found[key], **value} if isinstance(value, dict) and key in found else value
    return found


def operation_id(method: str, path: str) -> str:
    """How the document calls an operation."""
    return f"{method.lower()}{path.replace('/', '_').replace('-', '_')}"


def _content(schema: Mapping[str, Any] | str, examples: Mapping[str, Any] | None = None) -> dict[str, Any]:
    own = reference(schema) if isinstance(schema, str) else schema
    return {"application/json": {"schema": own, **({"examples": examples} if examples else {})}}


def reference(name: str) -> dict[str, str]:
    """The schema of a name."""
    return {"$ref": f"#/components/schemas/{name}"}

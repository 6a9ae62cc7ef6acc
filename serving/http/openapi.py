"""The OpenAPI document of a service: made of its routes, the types of their bodies, and the state that a bundle takes."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Any

from msgspec import Struct

from ..bundle.reading import Bundle
from ..documents import SCHEMA_REFERENCE, schemas
from ..market_state import state_type
from ..sample_states import example_state
from .gate import BundleExample, Operation, Routes, operation_id
from .gate.paths import OPEN_PATHS
from .gate.problems import Problem

_OF_GATE = (401, 403, 415, 421, 429)
"""Statuses by which the gate refuses requests to the paths that it checks."""
_OF_BODY = (413, 422)
"""Statuses by which a body is refused."""
_OF_QUERY = (422,)
"""The status by which a query is refused."""
_KEY_SCHEME = {"type": "http", "scheme": "bearer", "description": "`repricer keys add` makes one"}
_REFUSED = "Problem"
Json = dict[str, Any]


def openapi(bundle: Bundle, routes: Routes) -> bytes:
    """The document of the routes that have an `Operation`.

    Args:
        bundle: Its products, periods and segments are those that a state may name; examples are made of it.
        routes: Those of the service.
    """
    catalogue = bundle.catalogue
    example = BundleExample(example_state(catalogue), catalogue.products[0])
    operations = {name: endpoint.operation for name, endpoint in routes.items() if endpoint.operation is not None}
    bodies = {name: operation.body for name, operation in operations.items() if operation.body is not None}
    answers = {name: operation.answer for name, operation in operations.items() if operation.answer is not None}
    # All at once, as two types of one name then get names of their own.
    found, named = schemas([*bodies.values(), *answers.values(), Problem, state_type(catalogue)])
    of_bodies = dict(zip(bodies, found, strict=False))
    of_answers = dict(zip(answers, found[len(bodies) :], strict=False))

    paths: dict[str, Json] = {}
    for name, operation in operations.items():
        method, _, path = name.partition(" ")
        described = _described(method, path, operation)
        described["responses"] = _responses(path, operation, of_answers.get(name), example)
        if operation.query is not None:
            described["parameters"] = _parameters(operation.query)
        if name in of_bodies:
            described["requestBody"] = _request_body(operation, of_bodies[name], example)
        paths.setdefault(path, {})[method.lower()] = described
    refused = {"description": "one line", "content": _json({"$ref": SCHEMA_REFERENCE.format(name=Problem.__name__)})}
    document = {
        "openapi": "3.1.0",
        "info": {"title": "repricer", "version": version("repricer")},
        "paths": paths,
        "components": {
            "schemas": {**named, "Product": {"enum": catalogue.products}},
            "securitySchemes": {"key": _KEY_SCHEME},
            "responses": {_REFUSED: refused},
        },
    }
    return json.dumps(document).encode()


def _described(method: str, path: str, operation: Operation) -> Json:
    return {
        "operationId": operation_id(method, path),
        "tags": [operation.tag],
        "summary": operation.title,
        "description": operation.text,
        "security": [] if path in OPEN_PATHS else [{"key": []}, {}],
    }


def _responses(path: str, operation: Operation, schema: Json | None, example: BundleExample) -> Json:
    """What may be answered, by status."""
    content = {operation.media_type: {}} if schema is None else _json(schema)
    answered: Json = {"description": "the answer", "content": content}
    if operation.links is not None:
        answered["links"] = operation.links(example)
    statuses = set(operation.refusals)
    if path not in OPEN_PATHS:
        statuses.update(_OF_GATE)
    if operation.body is not None:
        statuses.update(_OF_BODY)
    if operation.query is not None:
        statuses.update(_OF_QUERY)
    refused = {str(status): {"$ref": f"#/components/responses/{_REFUSED}"} for status in sorted(statuses)}
    return {"200": answered, **refused}


def _parameters(query: type[Struct]) -> list[Json]:
    properties = schemas([query])[1][query.__name__]["properties"]
    return [{"name": name, "in": "query", "schema": schema} for name, schema in properties.items()]


def _request_body(operation: Operation, schema: Json, example: BundleExample) -> Json:
    body = {"schema": schema}
    if operation.examples is not None:
        made = operation.examples(example)
        body["examples"] = {name: {"value": value} for name, value in made.items()}
    return {"required": operation.needs_body, "content": {"application/json": body}}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}

"""The OpenAPI document says what the service does: it is made of its routes and of the types that check their bodies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from repricer.serving import Bundle
from repricer.serving.http.app import create_app
from repricer.serving.http.desk_app import create_desk
from repricer.serving.http.gate import BundleExample, Endpoint, Operation
from repricer.serving.http.openapi import openapi
from repricer.serving.http.settings import ServiceSettings
from repricer.serving.price_list.files import write_list
from repricer.serving.price_list.rows import PriceRow
from repricer.serving.sample_states import example_state
from starlette.routing import Route
from starlette.testclient import TestClient

PAGES = {"/", "/docs", "/openapi.json", "/price-list"}


@pytest.fixture
def listed(tmp_path: Path, price_rows: list[PriceRow]) -> Path:
    path = tmp_path / "list.csv"
    write_list(path, price_rows, currency="EUR")
    return path


@pytest.fixture
def service(one_path: Path, listed: Path, tmp_path: Path) -> Any:
    return create_app(one_path, log=tmp_path / "log.db", settings=ServiceSettings(price_list=str(listed)))


def operations(app: Any) -> Iterator[tuple[str, str, Operation]]:
    """Methods, paths and operations of the routes that have one."""
    for route in app.routes:
        assert isinstance(route, Route)
        endpoint: Any = route.endpoint
        assert isinstance(endpoint, Endpoint)
        if endpoint.operation is not None:
            (method,) = (route.methods or set()) - {"HEAD"}
            yield method, route.path, endpoint.operation


@pytest.mark.parametrize("alone", [False, True])
def test_every_route_is_described_but_for_pages(service: Any, listed: Path, one_path: Path, alone: bool) -> None:
    app: Any = create_desk(listed, one_path) if alone else service
    document = TestClient(app).get("/openapi.json").json()
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(method, path) for method, path, _ in operations(app)}
    left_out = {route.path for route in app.routes} - {path for _, path in described}
    assert all(path in PAGES or path.startswith("/page/") for path in left_out)
    names = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))
    assert all(operation["summary"] for methods in document["paths"].values() for operation in methods.values())


def test_what_it_refers_to_is_there(service: Any) -> None:
    document = TestClient(service).get("/openapi.json").json()
    found = set[str]()

    def collect(part: Any) -> None:
        if isinstance(part, dict):
            found.update([part["$ref"]] if isinstance(part.get("$ref"), str) else [])
            for value in part.values():
                collect(value)
        elif isinstance(part, list):
            for value in part:
                collect(value)

    collect(document)
    known = {f"#/components/{kind}/{name}" for kind, named in document["components"].items() for name in named}
    assert {"#/components/schemas/MarketState", "#/components/schemas/Product"} <= found <= known
    linked = document["paths"]["/v1/prices"]["post"]["responses"]["200"]["links"]["sold"]
    assert linked["operationId"] == document["paths"]["/v1/outcomes"]["post"]["operationId"]


def test_bodies_answers_queries_and_refusals_are_those_declared(one: Bundle, service: Any) -> None:
    document = TestClient(service).get("/openapi.json").json()
    live = document["paths"]["/v1/admin/price-list/live"]["post"]
    body = live["requestBody"]
    assert body["required"] is True
    assert body["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ListApproval"}
    assert set(live["responses"]) == {"200", *map(str, (401, 403, 409, 413, 415, 421, 422, 429, 503))}
    assert document["paths"]["/v1/admin/reload"]["post"]["requestBody"]["required"] is False
    query = {one["name"]: one["schema"] for one in document["paths"]["/v1/price-list"]["get"]["parameters"]}
    assert query["limit"] == {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}
    ready = document["paths"]["/readyz"]["get"]
    assert (ready["security"], set(ready["responses"])) == ([], {"200", "503"})
    assert document["components"]["schemas"]["Product"] == {"enum": list(one.catalogue.products)}


def test_answers_to_the_examples_are_of_the_declared_types(one: Bundle, service: Any) -> None:
    example = BundleExample(example_state(one.catalogue), one.catalogue.products[0])
    tried = 0
    with TestClient(service) as client:
        for method, path, operation in operations(service):
            for body in (operation.examples or (lambda _: {}))(example).values():
                answer = client.request(method, path, json=body)
                if answer.status_code == 409:  # there is no second bundle
                    continue
                found = msgspec.json.decode(answer.content, type=operation.answer)
                assert json.loads(msgspec.json.encode(found)) == answer.json(), path
                tried += path.startswith(("/v1/prices", "/v1/outcomes", "/v1/explain", "/v1/what-if", "/v1/answer"))
    assert tried == 6


def test_it_describes_no_path_that_this_service_lacks(one: Bundle, service: Any) -> None:
    (prices,) = (route.endpoint for route in service.routes if route.path == "/v1/prices")
    found = json.loads(openapi(one, {"POST /v1/prices": prices}))
    assert found["paths"].keys() == {"/v1/prices"}
    assert "Explanation" not in found["components"]["schemas"]

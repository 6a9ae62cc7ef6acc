"""The OpenAPI file says what the service does: its routes, and the structs that check its bodies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from repricer.serving import Bundle, PriceAnswer
from repricer.serving.answers.answer import Answer
from repricer.serving.documents import schemas
from repricer.serving.explanation import Explanation, WhatIf
from repricer.serving.http.app import create_app
from repricer.serving.http.bodies import (
    CanaryShare,
    Certificate,
    HoldoutShare,
    ListApproval,
    ListDecisions,
    Outcomes,
    OverridePrice,
    Rollback,
    Switch,
    Throw,
)
from repricer.serving.http.desk_app import create_desk
from repricer.serving.http.desk_routes import Wanted
from repricer.serving.http.openapi import DOCUMENT, openapi
from repricer.serving.price_list.files import write_list
from repricer.serving.price_list.rows import PriceRow

BODIES = (
    Outcomes,
    Throw,
    Rollback,
    Switch,
    HoldoutShare,
    CanaryShare,
    Certificate,
    ListDecisions,
    ListApproval,
    OverridePrice,
)
ANSWERS = (Explanation, WhatIf, Answer)
FILLED_IN = {"MarketState", "ProductState", "Product"}
"""With what the bundle has."""


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return json.loads(DOCUMENT.read_text(encoding="utf-8"))


def test_its_schemas_are_those_of_the_structs(document: dict[str, Any]) -> None:
    found = document["components"]["schemas"]
    for name, schema in schemas(*BODIES, *ANSWERS).items():
        assert found[name] == schema, f"put this into {DOCUMENT.name}: {json.dumps({name: schema}, indent=1)}"
    assert all(found[name] == {} for name in FILLED_IN)
    own, of_answer = found["Priced"]["properties"], schemas(PriceAnswer)["PriceAnswer"]["properties"]
    assert {key: own[key] for key in of_answer} == of_answer
    assert own.keys() - of_answer == {"request_id", "arm", "warnings"}
    query = document["paths"]["/v1/price-list"]["get"]["parameters"]
    assert {one["name"]: one["schema"] for one in query} == schemas(Wanted)["Wanted"]["properties"]


def test_its_paths_are_those_of_the_service(
    document: dict[str, Any], one_path: Path, price_rows: list[PriceRow], tmp_path: Path
) -> None:
    write_list(tmp_path / "list.csv", price_rows, currency="EUR")
    service: Any = create_app(one_path, log=tmp_path / "log.db")
    desk: Any = create_desk(tmp_path / "list.csv", one_path)
    routes = [*service.routes, *desk.routes]
    methods = {route.path: {method.lower() for method in route.methods} for route in routes}
    described = {path: set(found) for path, found in document["paths"].items()}
    pages = {"/", "/docs", "/openapi.json", "/price-list"}
    assert {path for path in methods if path not in pages and not path.startswith("/page/")} == described.keys()
    for path, found in described.items():
        assert methods[path] - {"head"} == found


def test_it_describes_no_path_that_this_service_lacks(one: Bundle) -> None:
    found = json.loads(openapi(one, frozenset(["/v1/prices"])))
    assert found["paths"].keys() == {"/v1/prices"}
    text = json.dumps(found)
    assert not any(f'"{name}"' in text for name in ("STATE", "PRODUCT", "VERSION"))
    assert found["components"]["schemas"]["Product"] == {"enum": list(one.catalogue.products)}

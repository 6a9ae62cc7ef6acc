"""What a page of another site cannot make a browser do."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from repricer.serving import Bundle, example_state
from repricer.serving.http.app import ServiceSettings, create_app

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # which HTTP client the test client would rather have
    from starlette.testclient import TestClient


@pytest.fixture(scope="module")
def client(one_path: Path) -> Iterator[TestClient]:
    app = create_app(one_path, settings=ServiceSettings(hosts=("localhost", "[::1]", "Prices.Example.com:443")))
    with TestClient(app, base_url="http://localhost:8000") as client:
        yield client


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "[::1]:8000"}, 200),
        ({"host": "LOCALHOST"}, 200),
        ({"host": "Prices.example.com"}, 200),
        ({"host": "evil.example"}, 421),
        ({"host": "localhost.evil.example:8000"}, 421),
        ({"origin": "http://localhost:8000"}, 200),
        ({"origin": "http://localhost:9000"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"content-type": "application/json; charset=utf-8"}, 200),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_a_request_must_be_the_callers_own(
    client: TestClient, one: Bundle, headers: dict[str, str], status: int
) -> None:
    def asked(method: str, path: str, body: Any) -> int:
        return client.request(method, path, json=body, headers=headers).status_code

    assert asked("POST", "/v1/prices", example_state(one.catalogue)) == status
    assert asked("PUT", "/v1/admin/holdout", {"share": 0}) == status
    assert client.get("/healthz", headers=headers).status_code == 200

from __future__ import annotations

import base64
import json
import logging
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from repricer.serving import Bundle, DecisionLog, example_state
from repricer.serving.http.api_keys import add_key
from repricer.serving.http.app import ServiceSettings, create_app
from repricer.serving.http.prices import PriceRoutes
from repricer.serving.http.processes.json_logging import JsonFormatter

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # which HTTP client the test client would rather have
    from starlette.testclient import TestClient


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, dict[str, str]]:
    """Headers by role; the file is keys.json."""
    path = tmp_path / "keys.json"
    return {
        role: {"authorization": f"Bearer {add_key(path, role=role, name=role)}"} for role in ("read", "price", "admin")
    }


@pytest.fixture
def client(one_path: Path, keys: dict[str, dict[str, str]], tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(
        create_app(one_path, log=tmp_path / "log.db", settings=ServiceSettings(keys=tmp_path / "keys.json"))
    ) as client:
        yield client


def test_each_role_may_what_it_may(client: TestClient, keys: dict[str, dict[str, str]], one: Bundle) -> None:
    state = example_state(one.catalogue)
    question = {"state": state, "product": "cider"}
    asked = [
        ("GET", "/", None, 0),
        ("GET", "/metrics", None, 0),
        ("GET", "/v1/policy", None, 0),
        ("POST", "/v1/what-if", question, 0),
        ("POST", "/v1/explain", question, 0),
        ("POST", "/v1/answer", question | {"question": "why?"}, 0),
        ("POST", "/v1/prices", state, 1),
        ("POST", "/v1/prices", [state, state], 1),
        ("POST", "/v1/outcomes", {"outcomes": [{"period": 0, "product": "cider", "units": 3}]}, 1),
        ("PUT", "/v1/admin/holdout", {"share": 0.1}, 2),
        ("PUT", "/v1/admin/kill-switch", {"on": True}, 2),
    ]
    for method, path, body, least in asked:
        assert client.request(method, path, json=body).status_code == 401
        for rank, role in enumerate(("read", "price", "admin")):
            status = client.request(method, path, json=body, headers=keys[role]).status_code
            assert status == (200 if rank >= least else 403), (path, role)
    assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200


def test_a_browser_may_send_the_key_as_a_password(client: TestClient, keys: dict[str, dict[str, str]]) -> None:
    key = keys["read"]["authorization"].removeprefix("Bearer ")
    basic = base64.b64encode(f"anyone:{key}".encode()).decode()
    assert client.get("/", headers={"authorization": f"Basic {basic}"}).status_code == 200
    for wrong in ("Basic !", "Basic //79", "Basic", "Bearer", f"Digest {key}"):
        refused = client.get("/", headers={"authorization": wrong})
        assert (refused.status_code, "Basic" in refused.headers["www-authenticate"]) == (401, True)


def test_another_sites_page_may_not_ask(client: TestClient, keys: dict[str, dict[str, str]]) -> None:
    headers = keys["admin"] | {"sec-fetch-site": "cross-site"}
    refused = client.put("/v1/admin/kill-switch", json={"on": True}, headers=headers)
    assert (refused.status_code, "another site" in refused.json()["detail"]) == (403, True)


def test_too_many_requests_wait(one_path: Path, one: Bundle) -> None:
    with TestClient(create_app(one_path, settings=ServiceSettings(rate=0.01, burst=2))) as client:
        statuses = [client.post("/v1/prices", json=example_state(one.catalogue)) for _ in range(3)]
        assert [one.status_code for one in statuses] == [200, 200, 429]
        assert int(statuses[2].headers["retry-after"]) >= 1
        assert client.get("/healthz").status_code == 200


def test_switches_over_http(client: TestClient, keys: dict[str, dict[str, str]], one: Bundle) -> None:
    admin, state = keys["admin"], example_state(one.catalogue)
    assert client.put("/v1/admin/kill-switch", json={"on": True}, headers=admin).json()["kill_switch"] is True
    assert client.post("/v1/prices", json=state, headers=admin).json()["arm"] == "fallback"
    explained = client.post("/v1/explain", json={"state": state, "product": "cider"}, headers=admin).json()
    assert "fallback rule" in " ".join(explained["sentences"])
    assert client.put("/v1/admin/kill-switch", json={"on": False}, headers=admin).status_code == 200
    assert client.put("/v1/admin/holdout", json={"share": 0.25}, headers=admin).json()["holdout"] == 0.25
    for path, body in (("holdout", {"share": 2}), ("holdout", {}), ("kill-switch", {"on": "maybe"})):
        assert client.put(f"/v1/admin/{path}", json=body, headers=admin).status_code == 422
    assert client.post("/v1/admin/rollback", headers=admin).status_code == 409
    assert client.post("/v1/admin/reload", headers=admin).json()["active"]["bundle"] == one.digest


def test_a_decision_of_the_log_says_what_answered(one_path: Path, one: Bundle, tmp_path: Path) -> None:
    log, state = tmp_path / "log.db", example_state(one.catalogue)
    with TestClient(create_app(one_path)) as client:
        assert len(client.post("/v1/prices", json=[state]).json()) == 1
    with TestClient(create_app(one_path, log=log)) as client:
        answers = client.post("/v1/prices", json=[state, state | {"market": "b"}]).json()
    rows = list(DecisionLog(log).export())
    assert [row["market"] for row in rows] == [name for name in ("shop", "b") for _ in range(3)]
    assert [row["request_id"] for row in rows] == [a["request_id"] for a in answers for _ in range(3)]
    assert len({a["request_id"] for a in answers}) == 2


@pytest.mark.parametrize("body", [[], [{}], [[1]], "x", {"a": 1}])
def test_several_states_are_priced_all_or_none(one_path: Path, one: Bundle, body: object, tmp_path: Path) -> None:
    states = [example_state(one.catalogue), *body] if body and isinstance(body, list) else body
    with TestClient(create_app(one_path, log=tmp_path / "log.db")) as client:
        refused = client.post("/v1/prices", json=states)
    assert (refused.status_code, list(refused.json())) == (422, ["detail"])
    assert DecisionLog(tmp_path / "log.db").verify().rows == 0


def test_what_fails_is_one_line_and_its_log_quotes_nobody(
    one_path: Path, one: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(one_path)
    monkeypatch.setattr(app.state.deployment, "answer", lambda states: 1 / 0)
    with caplog.at_level(logging.INFO), TestClient(app) as client:
        failed = client.post("/v1/prices", json=example_state(one.catalogue) | {"market": "Jane Doe's"})
    assert (failed.status_code, list(failed.json())) == (500, ["detail"])
    lines = [
        json.loads(JsonFormatter().format(record)) for record in caplog.records if record.name.startswith("repricer")
    ]
    assert any(line.get("error") == "ZeroDivisionError" for line in lines)
    asked = next(line for line in lines if line["event"] == "request")
    assert asked.keys() == {"time", "level", "logger", "event", "route", "method", "status", "ms", "request_id", "key"}
    assert "Jane" not in json.dumps(lines)
    assert "testclient" not in json.dumps(lines)


def test_an_unknown_path_is_not_noted(one_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), TestClient(create_app(one_path)) as client:
        assert client.get("/customers/jane@example.org").status_code == 404
        assert "jane" not in client.get("/metrics").text
    assert not any("jane" in JsonFormatter().format(r) for r in caplog.records if r.name.startswith("repricer"))


def test_a_path_is_one_of_the_service_exactly(one_path: Path) -> None:
    """A pattern may end before a line feed, and what is weighed by its path would then count as little as a price."""
    with TestClient(create_app(one_path)) as client:
        for path in ("/v1/policy%0A", "/v1/policy/", "/v1/polic", "//v1/policy", "/V1/policy"):
            refused = client.get(path)
            assert (refused.status_code, refused.json()["detail"].startswith("path must be one of")) == (404, True)


def test_a_wrong_method_is_named_with_those_that_there_are(one_path: Path) -> None:
    with TestClient(create_app(one_path)) as client:
        for path, allowed in (("/v1/prices", "POST"), ("/v1/policy", "GET, HEAD"), ("/healthz", "GET, HEAD")):
            refused = client.delete(path)
            line = f"method must be one of {allowed}; got another; see /docs"
            assert (refused.status_code, refused.headers["allow"]) == (405, allowed)
            assert refused.json() == {"detail": line}


def test_head_is_get_without_the_body(one_path: Path) -> None:
    with TestClient(create_app(one_path)) as client:
        head, get = client.head("/v1/policy"), client.get("/v1/policy")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == get.headers["content-length"]


def test_large_requests_and_questions_count_by_size(one_path: Path, one: Bundle) -> None:
    state = example_state(one.catalogue)
    question = {"state": state, "product": "cider"}
    spent = {}
    for path, body in (
        ("/v1/prices", state),
        ("/v1/prices", [state] * 100),
        ("/v1/what-if", question),
        ("/v1/explain", question),
    ):
        with TestClient(create_app(one_path, settings=ServiceSettings(rate=0.001, burst=2.0))) as client:
            response = client.post(path, json=body)
            assert response.status_code == 200
            assert client.get("/v1/policy").status_code in (200, 429)
            size = -(
                -int(response.request.headers["content-length"]) // (2 * len(json.dumps(state, separators=(",", ":"))))
            )
            spent[path, size] = float(client.get("/v1/policy").headers["retry-after"])
    waits = [spent["/v1/prices", 1], *(wait for (path, size), wait in spent.items() if size > 1)]
    (size,) = (size for _, size in spent if size > 1)
    assert waits == pytest.approx([1000, 1000 * (size - 1)], abs=60)
    assert spent["/v1/what-if", 1] == pytest.approx(14000, abs=60)
    assert spent["/v1/explain", 1] == pytest.approx(19000, abs=60)


def test_a_price_does_not_wait_for_a_batch(
    one_path: Path, one: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, state, busy, free = create_app(one_path), example_state(one.catalogue), threading.Event(), threading.Event()
    answered = PriceRoutes._many

    def waiting(*given: Any) -> Any:
        busy.set()
        assert free.wait(20)
        return answered(*given)

    monkeypatch.setattr(PriceRoutes, "_many", waiting)
    with TestClient(app) as client, ThreadPoolExecutor() as pool:
        batches = [pool.submit(client.post, "/v1/prices", json=[state] * 3) for _ in range(60)]
        assert busy.wait(20)
        assert client.post("/v1/prices", json=state).status_code == 200
        assert client.put("/v1/admin/holdout", json={"share": 0.1}).status_code == 200
        free.set()
        assert {batch.result().status_code for batch in batches} == {200}


@pytest.mark.parametrize(("path", "granted"), [("/v1/policy", 2), ("/metrics", 1), ("/v1/operation", 1), ("/", 1)])
def test_what_takes_longer_than_a_price_counts_as_several(one_path: Path, path: str, granted: int) -> None:
    with TestClient(create_app(one_path, settings=ServiceSettings(rate=0.001, burst=2.0))) as client:
        assert [client.get(path).status_code for _ in range(3)].count(200) == granted


def test_a_switch_counts_as_several_and_its_body_is_short(one_path: Path) -> None:
    with TestClient(create_app(one_path, settings=ServiceSettings(rate=0.001, burst=12.0))) as client:
        long = {"on": True, "reason": "x" * (70 << 10)}
        assert client.put("/v1/admin/kill-switch", json=long).status_code in (413, 429)
    with TestClient(create_app(one_path)) as client:
        refused = client.put("/v1/admin/kill-switch", json=long)
        assert (refused.status_code, "at most 65536" in refused.json()["detail"]) == (413, True)


@pytest.mark.parametrize("name", ["host", "authorization", "content-type", "idempotency-key", "origin"])
def test_a_header_that_is_there_twice_is_refused(one_path: Path, name: str) -> None:
    with TestClient(create_app(one_path)) as client:
        twice = [(name, "localhost"), (name, "127.0.0.1")]
        refused = client.post("/v1/prices", content=b"{}", headers=[("content-type", "application/json"), *twice])
        assert refused.status_code == 400
        assert f"header {name} must be there once" in refused.json()["detail"]


def test_readiness_writes_nothing_beside_decisions(one_path: Path, one: Bundle, tmp_path: Path) -> None:
    with TestClient(create_app(one_path, log=tmp_path / "log.db")) as client:
        trials = MagicMock(wraps=client.app.state.decisions.submit_trial)  # pyright: ignore
        client.app.state.decisions.submit_trial = trials  # pyright: ignore
        for _ in range(5):
            assert client.post("/v1/prices", json=example_state(one.catalogue)).status_code == 200
            assert client.get("/readyz").status_code == 200
        assert trials.call_count == 0
        client.app.state.decisions._committed -= 2  # pyright: ignore
        assert [client.get("/readyz").status_code for _ in range(3)] == [200] * 3
        assert trials.call_count == 1


def test_an_erased_market_is_gone_from_the_page(one_path: Path, one: Bundle, tmp_path: Path) -> None:
    with TestClient(create_app(one_path, log=tmp_path / "log.db")) as client:
        for market in ("Oslo", "Rome"):
            client.post("/v1/prices", json=example_state(one.catalogue) | {"market": market})
        assert "Oslo" in client.get("/").text
        with closing(DecisionLog(tmp_path / "log.db")) as log:
            log.erase("Oslo", "Ann")
        assert "Oslo" not in client.get("/").text
        assert "Rome" in client.get("/", params={"market": "Oslo"}).text

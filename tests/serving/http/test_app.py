from __future__ import annotations

import json
import sqlite3
import time
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from repricer.serving import Bundle, BundleError, DecisionLog, Predictor, example_state
from repricer.serving.bundle.files import own_key, own_key_paths
from repricer.serving.http.app import MAX_BODY, create_app
from starlette.applications import Starlette

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # which HTTP client the test client would rather have
    from starlette.testclient import TestClient


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "decisions.db"


@pytest.fixture
def app(one_path: Path, log: Path) -> Starlette:
    return create_app(one_path, public_key=own_key_paths(one_path)[1], log=log)


@pytest.fixture
def client(app: Starlette) -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


def test_it_answers_as_the_predictor_does_and_logs_it(one: Bundle, client: TestClient, log: Path) -> None:
    state = example_state(one.catalogue)
    response = client.post("/v1/prices", json=state)
    assert response.status_code == 200
    wanted = json.loads(json.dumps(Predictor(one).price(state).to_dict()))
    own = {"request_id": response.headers["x-request-id"], "arm": "policy", "warnings": response.json()["warnings"]}
    assert response.json() | {"milliseconds": 0} == wanted | own | {"milliseconds": 0}
    rows = list(DecisionLog(log).export())
    assert [row["price"] for row in rows] == [item["price"] for item in response.json()["prices"]]
    assert {row["request_id"] for row in rows} == {response.headers["x-request-id"]}
    assert DecisionLog(log).verify().rows == 1


def test_it_answers_for_dates_and_says_for_which(dated: Bundle, dated_path: Path, log: Path) -> None:
    state = example_state(dated.catalogue) | {"date": "2018-01-10"}
    with TestClient(create_app(dated_path, log=log)) as client:
        answer = client.post("/v1/prices", json=state).json()
        late = client.post("/v1/prices", json=state | {"date": "2018-05-01"})
        why = client.post("/v1/explain", json={"state": state, "product": "anchovy"}).json()
        curve = client.post("/v1/what-if", json={"state": state, "product": "anchovy"}).json()
        page = client.get("/").text
    assert (answer["period"], answer["date"], answer["last_day"]) == (1, "2018-01-08", "2018-01-14")
    assert late.status_code == 422
    assert "2018-01-01 to 2018-02-25, the weeks of this market; got 2018-05-01; refresh" in late.json()["detail"]
    assert " from 2018-01-08, " in why["sentences"][0]
    assert curve["date"] == "2018-01-08"
    assert "week from 2018-01-08" in page
    assert {row["date"] for row in DecisionLog(log).export()} == {"2018-01-08"}


def test_two_requests_have_two_names(one: Bundle, client: TestClient) -> None:
    names = {client.post("/v1/prices", json=example_state(one.catalogue)).headers["x-request-id"] for _ in range(2)}
    assert len(names) == 2


def test_status(client: TestClient, one: Bundle) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready", "bundle": one.digest, "canary": None}
    policy = client.get("/v1/policy").json()
    assert (policy["policy"], policy["bundle"], policy["trust"]) == ("ppo:3", one.digest, "pinned")
    assert policy["manifest"] == one.manifest


def test_the_page_names_policy_and_features_in_words(client: TestClient, one: Bundle) -> None:
    far = example_state(one.catalogue)
    far = far | {"period": 3, "products": [item | {"last_units": 1e6} for item in far["products"]]}
    for _ in range(50):
        assert client.post("/v1/prices", json=far).status_code == 200
    page = client.get("/").text
    assert "policy ppo, training seed 3" in page
    assert "% of the values of the sales of the last period against their forecast lie outside" in page
    assert "ppo:" not in page
    assert "log_surprise" not in page


def test_the_description_has_models_and_a_valid_example(client: TestClient) -> None:
    description = client.get("/openapi.json").json()
    body = description["paths"]["/v1/prices"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"]["anyOf"][0] == {"$ref": "#/components/schemas/MarketState"}
    assert {"Priced", "ProductState", "ProductPrice"} <= description["components"]["schemas"].keys()
    for path, methods in description["paths"].items():
        for method, described in methods.items():
            for example in (
                described.get("requestBody", {})
                .get("content", {})
                .get("application/json", {})
                .get("examples", {})
                .values()
            ):
                answer = client.request(method, path, json=example["value"])
                # There is no second bundle to shadow with, no former one, and no newer one.
                lacking = ("shadow", "rollback", "canary", "promote")
                assert answer.status_code == 200 or path.removeprefix("/v1/admin/") in lacking, path


def one_line(response: Any) -> str:
    assert 400 <= response.status_code < 500, response.text
    assert list(response.json()) == ["detail"]
    line = response.json()["detail"]
    assert "\n" not in line
    return line


def test_a_wrong_state_is_one_line_and_no_row(one: Bundle, client: TestClient, log: Path) -> None:
    state = example_state(one.catalogue)
    state["products"][0]["list_prise"] = 2.0
    response = client.post("/v1/prices", json=state)
    assert response.status_code == 422
    assert "got 'list_prise'; did you mean 'list_price'?" in one_line(response)
    assert DecisionLog(log).verify().rows == 0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no json",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"period": ' + b"9" * 10_000 + b"}",
        b"NaN",
        b"null",
        b'"\\ud800"',
        b'{"\\ud800": 1}',
        b'{"period": 0, "products": [{"product": "\\ud800", "list_price": 1, "on_hand": 1}]}',
    ],
    ids=lambda content: str(content[:20]),
)
@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
def test_a_body_that_is_no_state_is_one_line(client: TestClient, content: bytes, kind: str) -> None:
    one_line(client.post("/v1/prices", content=content, headers={"content-type": kind}))


LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
ITEMS = st.fixed_dictionaries(
    {"product": st.sampled_from(["anchovy", "biscuit", "cider"]), "list_price": LEAF, "on_hand": LEAF}
)
BODIES = st.fixed_dictionaries({"period": st.integers(0, 7), "products": st.lists(ITEMS, min_size=3, max_size=3)})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES | LEAF | st.lists(LEAF))
def test_no_input_is_the_services_fault(client: TestClient, body: Any) -> None:
    response = client.post("/v1/prices", content=json.dumps(body), headers={"content-type": "application/json"})
    if response.status_code != 200:
        one_line(response)


def test_a_body_must_say_that_it_is_short(client: TestClient, one: Bundle) -> None:
    for length in (str(MAX_BODY + 1), "9" * 5000, "-1", "x"):
        response = client.post("/v1/prices", content=b"{}", headers={"content-length": length})
        assert response.status_code == 413
        one_line(response)
    chunks = client.post("/v1/prices", content=iter([json.dumps(example_state(one.catalogue)).encode()]))
    assert (chunks.status_code, "got none" in one_line(chunks)) == (413, True)


def test_a_request_without_a_body_needs_no_length(client: TestClient) -> None:
    request = client.build_request("POST", "/v1/admin/reload")
    del request.headers["content-length"]
    assert client.send(request).status_code == 200


def test_no_price_without_a_record(client: TestClient, app: Starlette, one: Bundle, log: Path) -> None:
    with closing(sqlite3.connect(log)) as db, db:
        db.execute("DROP TABLE decisions")
    response = client.post("/v1/prices", json=example_state(one.catalogue))
    assert response.status_code == 503
    assert "prices" not in response.json()
    assert client.get("/healthz").status_code == 200


def test_a_batch_is_in_the_log_whole_or_not_at_all(client: TestClient, one: Bundle, log: Path) -> None:
    state = example_state(one.catalogue)
    last = "WHEN NEW.name LIKE '%.301' BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
    with closing(sqlite3.connect(log)) as db, db:
        db.execute(f"CREATE TRIGGER full BEFORE INSERT ON decisions {last}")
    refused = client.post("/v1/prices", json=[state] * 300 + [state | {"market": "last"}])
    assert (refused.status_code, DecisionLog(log).verify().rows) == (503, 0)


def test_a_locked_log_fails_in_a_second_and_is_not_ready(client: TestClient, one: Bundle, log: Path) -> None:
    state = example_state(one.catalogue)
    assert client.get("/readyz").status_code == 200
    with closing(sqlite3.connect(log, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        started = time.perf_counter()
        assert client.post("/v1/prices", json=state).status_code == 503
        assert client.get("/readyz").status_code == 503
        assert time.perf_counter() - started < 3
        assert client.get("/healthz").status_code == 200
        db.execute("ROLLBACK")
    assert client.get("/readyz").status_code == 200
    assert client.post("/v1/prices", json=state).status_code == 200
    assert DecisionLog(log).verify().rows == 1


def test_an_error_of_the_service_is_one_answer_in_json(
    client: TestClient, app: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise KeyError("secret")

    monkeypatch.setattr(app.state.deployment, "status", broken)
    response = client.get("/v1/operation")
    assert response.status_code == 500
    assert f"report request {response.headers['x-request-id']}" in response.json()["detail"]
    assert client.get("/healthz").status_code == 200


def test_probes_may_ask_for_the_head_alone_and_no_answer_quotes_the_host(client: TestClient) -> None:
    for path in ("/healthz", "/readyz"):
        assert (client.head(path).status_code, client.head(path).content) == (200, b"")
    response = client.get("/v1/policy/", headers={"host": "evil.example"}, follow_redirects=False)
    assert (response.status_code, "evil" in response.headers.get("location", "")) == (404, False)


def test_without_a_named_log_nothing_is_left_behind(one_path: Path, one: Bundle, tmp_path: Path) -> None:
    with TestClient(create_app(one_path)) as client:
        assert client.post("/v1/prices", json=example_state(one.catalogue)).status_code == 200
        assert client.get("/v1/policy").json()["trust"] == "self-signed"
    assert list(tmp_path.iterdir()) == []


def test_there_is_no_service_of_a_bundle_that_cannot_be_trusted(one_path: Path, tmp_path: Path) -> None:
    own_key(tmp_path / "stranger")
    with pytest.raises(BundleError, match="another signer"):
        create_app(one_path, public_key=own_key_paths(tmp_path / "stranger")[1])


@pytest.mark.parametrize(
    ("path", "body", "line"),
    [
        ("kill-switch", {"on": 1}, "request: on must be true or false; got 1; fix it"),
        ("kill-switch", {"on": "yes"}, "request: on must be true or false; got 'yes'"),
        ("kill-switch", {"on": True, "off": False}, "request must have known keys; got 'off'"),
        ("kill-switch", {}, "request must have on; got no on; add it"),
        ("kill-switch", [], "request must be an object with on, by, reason; got []"),
        ("holdout", {"share": "0.1"}, "request: share must be a number from 0 to below 1; got '0.1'"),
        ("holdout", {"share": 1}, "got 1; use the kill switch for all markets"),
        ("holdout", {"share": True}, "request: share must be a number from 0 to below 1; got True"),
    ],
)
def test_a_wrong_switch_is_one_line_and_changes_nothing(client: TestClient, path: str, body: Any, line: str) -> None:
    before = client.get("/v1/operation").json()
    response = client.put(f"/v1/admin/{path}", json=body)
    assert response.status_code == 422
    assert line in one_line(response)
    assert client.get("/v1/operation").json() == before


@pytest.mark.parametrize("path", ["/v1/explain", "/v1/what-if", "/v1/answer", "/v1/outcomes"])
@pytest.mark.parametrize("content", [b"", b"no json", b"\xff\xfe", b"[" * 100_000, b"null", b"3"], ids=str)
def test_a_body_that_is_no_json_object_is_one_line(client: TestClient, path: str, content: bytes) -> None:
    response = client.post(path, content=content, headers={"content-type": "application/json"})
    assert response.status_code == 422
    one_line(response)


def test_a_state_that_would_break_the_logs_export_is_refused(client: TestClient, one: Bundle, log: Path) -> None:
    response = client.post("/v1/prices", json=example_state(one.catalogue) | {"loyalty": [1]})
    assert response.status_code == 422
    assert "loyalty must be an object with thrifty, loyal; got [1]" in one_line(response)
    assert DecisionLog(log).verify().rows == 0


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/v1/prices", 'STATE, "market": "a", "market": "b"}'),
        ("/v1/prices", 'STATE, "market": "a" , "market"\t: "b"}'),
        ("/v1/explain", '{"product": "cider", "state": STATE}, "product": "anchovy"}'),
        ("/v1/outcomes", '{"outcomes": [{"product": "cider", "period": 0, "units": 1, "units": 2}]}'),
        ("/v1/admin/kill-switch", '{"on": false, "on": true}'),
    ],
)
def test_a_key_that_is_named_twice_is_one_line(client: TestClient, one: Bundle, path: str, content: str) -> None:
    body = content.replace("STATE", json.dumps(example_state(one.catalogue))[:-1])
    response = client.request(
        "PUT" if "admin" in path else "POST", path, content=body, headers={"content-type": "application/json"}
    )
    assert (response.status_code, response.json()["detail"].count("\n")) == (422, 0)
    assert "must be unique; got" in response.json()["detail"]


def test_a_name_with_a_colon_is_no_second_key(client: TestClient, one: Bundle) -> None:
    state = example_state(one.catalogue) | {"market": 'Oslo: "market":'}
    assert client.post("/v1/prices", json=state).status_code == 200


def test_the_description_holds_this_catalogues_state(client: TestClient, one: Bundle) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    state, product = schemas["MarketState"], schemas["ProductState"]
    assert (state["properties"]["period"]["minimum"], state["properties"]["period"]["maximum"]) == (0, 7)
    assert state["properties"]["products"]["minItems"] == state["properties"]["products"]["maxItems"] == 3
    assert product["properties"]["product"]["enum"] == list(one.catalogue.products)
    assert state["properties"]["loyalty"]["propertyNames"]["enum"] == ["thrifty", "loyal"]
    assert (state["required"], product["required"]) == (
        ["period", "products"],
        ["product", "list_price", "on_hand"],
    )
    for schema in (state, product):
        assert schema["additionalProperties"] is False
        assert all(value["description"] for value in schema["properties"].values())
    on_hand = product["properties"]["on_hand"]["anyOf"]
    assert on_hand == [{"type": "number", "minimum": 0, "maximum": 1e12}, {"type": "null"}]

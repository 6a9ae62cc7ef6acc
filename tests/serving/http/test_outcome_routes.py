from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from repricer.serving import Bundle, DecisionLog, example_state
from repricer.serving.http.app import create_app
from repricer.serving.http.bodies import MOST_OUTCOMES

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # which HTTP client the test client would rather have
    from starlette.testclient import TestClient


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "decisions.db"


@pytest.fixture
def client(one_path: Path, path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(one_path, log=path)) as client:
        yield client


@pytest.fixture
def request_id(client: TestClient, one: Bundle) -> str:
    """A decision of period 0."""
    return client.post("/v1/prices", json=example_state(one.catalogue)).headers["x-request-id"]


def tell(client: TestClient, *outcomes: dict[str, Any]) -> Any:
    return client.post("/v1/outcomes", json={"outcomes": list(outcomes)})


def test_outcomes_are_recorded_beside_their_decision(client: TestClient, request_id: str, path: Path) -> None:
    cider = {"product": "cider", "units": 3, "price_paid": 4.5, "stockout": True, "date": "2024-03-04"}
    response = tell(client, {"request_id": request_id, **cider}, {"period": 0, "product": "anchovy", "units": 0})
    assert (response.status_code, response.json()) == (200, {"accepted": 2, "new": 2})
    log = DecisionLog(path)
    first, second = log.export_outcomes()
    assert {key: first[key] for key in cider} == cider
    assert (first["request_id"], second["request_id"]) == (request_id, request_id)
    assert (second["units"], second["price_paid"], second["stockout"], second["segment"]) == (0, None, False, None)
    assert log.verify().outcomes == 2
    sold = {row["product"]: row for row in log.sold()}
    assert (sold["cider"]["units"], sold["cider"]["paid"], sold["cider"]["stockout"]) == (3, 13.5, 1)
    assert sold["biscuit"]["units"] is None


def test_the_same_again_is_taken_once_and_a_contradiction_refused(
    client: TestClient, request_id: str, path: Path
) -> None:
    told = {"request_id": request_id, "product": "cider", "units": 3}
    assert [tell(client, told).json()["new"] for _ in range(2)] == [1, 0]
    assert tell(client, told, told).json() == {"accepted": 2, "new": 0}
    for otherwise in ({"units": 4}, {"price_paid": 1.0}, {"stockout": True}, {"segment": "loyal"}):
        response = tell(client, told | otherwise, {**told, "product": "anchovy"})
        assert response.status_code == 409
        assert "must stay" in response.json()["detail"]
    # All of a request or none.
    assert [row["product"] for row in DecisionLog(path).export_outcomes()] == ["cider"]


def test_segments_add_up(client: TestClient, request_id: str, path: Path, one: Bundle) -> None:
    told = {"request_id": request_id, "product": "cider"}
    shares = ({"segment": "loyal", "units": 1, "price_paid": 2}, {"segment": "thrifty", "units": 3, "price_paid": 4})
    assert tell(client, *({**told, **share} for share in shares)).json()["new"] == 2
    sold = next(row for row in DecisionLog(path).sold() if row["product"] == "cider")
    assert (sold["units"], sold["paid"]) == (4, 14)


def test_a_period_means_the_last_decision_of_that_market(client: TestClient, request_id: str, one: Bundle) -> None:
    state = example_state(one.catalogue)
    later = client.post("/v1/prices", json=state).headers["x-request-id"]
    client.post("/v1/prices", json=state | {"market": "Oslo"})
    told = {"product": "cider", "units": 3}
    assert tell(client, {"period": 0, **told}).json()["new"] == 1
    assert tell(client, {"request_id": later, **told}).json()["new"] == 0
    assert tell(client, {"request_id": request_id, **told}).json()["new"] == 1
    assert tell(client, {"period": 0, "market": "Oslo", **told}).json()["new"] == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"units": -1}, "units must be a number from 0"),
        ({"units": float("nan")}, "request must be JSON"),
        ({"units": None}, "must have product, units; got no units; add it"),
        ({"price_paid": "2"}, "price_paid must be a number from 0"),
        ({"stockout": 1}, "stockout must be true or false"),
        ({"date": "4.3.2024"}, "date must be YYYY-MM-DD, or null; got '4.3.2024'"),
        ({"date": "20240304"}, "date must be YYYY-MM-DD, or null; got '20240304'"),
        ({"date": "2024-W10-1"}, "date must be YYYY-MM-DD, or null; got '2024-W10-1'"),
        ({"unit": 1}, "got 'unit'; did you mean 'units'?"),
        ({"product": "beer"}, "one that decision .* priced; got 'beer'"),
        ({"request_id": "nobody"}, "got request_id 'nobody'; it is in the answer's header X-Request-Id"),
        ({"period": 1}, "got both; give one"),
        ({"request_id": None}, "got neither; give one"),
        ({"request_id": None, "period": 5}, "got market 'shop', period 5"),
        ({"segment": "\ud800"}, "request must be JSON"),
        ({"request_id": "\0"}, "request_id must be 1 to 200 printable characters"),
    ],
)
def test_a_wrong_outcome_is_one_line(client: TestClient, request_id: str, change: dict[str, Any], says: str) -> None:
    told = {"request_id": request_id, "product": "cider", "units": 3} | change
    response = client.post(
        "/v1/outcomes", content=json.dumps({"outcomes": [told]}), headers={"content-type": "application/json"}
    )
    assert response.status_code == 422
    assert re.search(says, response.json()["detail"])


LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
KEYS = ("product", "units", "request_id", "period", "market", "price_paid", "stockout", "segment", "date")
TOLD = st.dictionaries(st.sampled_from(KEYS), LEAF)
BODIES = st.fixed_dictionaries({"outcomes": st.lists(TOLD | LEAF, max_size=3) | LEAF}) | LEAF


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES)
def test_no_input_is_the_services_fault(client: TestClient, request_id: str, body: Any) -> None:
    response = client.post("/v1/outcomes", content=json.dumps(body), headers={"content-type": "application/json"})
    assert response.status_code == 422
    assert list(response.json()) == ["detail"]
    assert "\n" not in response.json()["detail"]


def test_too_many_at_once_are_refused(client: TestClient, request_id: str) -> None:
    response = tell(client, *({"period": 0, "product": "cider", "units": 1} for _ in range(MOST_OUTCOMES + 1)))
    assert response.status_code == 422


def test_the_description_has_models_and_an_example(client: TestClient) -> None:
    description = client.get("/openapi.json").json()
    body = description["paths"]["/v1/outcomes"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"] == {"$ref": "#/components/schemas/Outcomes"}
    assert {"ReportedOutcome", "Receipt"} <= description["components"]["schemas"].keys()
    assert body["examples"]["period"]["value"]["outcomes"]

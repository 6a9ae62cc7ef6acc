"""Large requests: the same answers as single ones, counted and recorded, all or none."""

from __future__ import annotations

import shutil
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from repricer.agents import Run
from repricer.scenarios import MarketSpec
from repricer.serving import Bundle, DecisionLog, example_state, export
from repricer.serving.bundle.files import own_key_paths
from repricer.serving.http.app import ServiceSettings, create_app
from repricer.serving.http.metrics import index_of

from ..conftest import make_run

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # which HTTP client the test client would rather have
    from starlette.testclient import TestClient


@contextmanager
def service(path: Path, folder: Path, **settings: Any) -> Iterator[tuple[TestClient, DecisionLog]]:
    log = folder / "log.db"
    app = create_app(path, log=log, settings=ServiceSettings(**settings))
    with TestClient(app) as client, closing(DecisionLog(log)) as decisions:
        yield client, decisions


def states(bundle: Bundle, count: int = 30) -> list[dict[str, Any]]:
    return [example_state(bundle.catalogue) | {"market": f"store {n}", "period": n % 3} for n in range(count)]


@pytest.mark.parametrize("settings", [{}, {"holdout": 0.5, "seed": 3}, {"killed": True}], ids=str)
def test_a_batch_is_answered_counted_and_recorded_as_its_states_alone(
    one_path: Path, one: Bundle, tmp_path: Path, settings: dict[str, Any]
) -> None:
    with service(one_path, tmp_path, **settings) as (client, log):
        batch = client.post("/v1/prices", json=states(one))
        alone = [client.post("/v1/prices", json=state).json() for state in states(one)]
        unnamed = client.post("/v1/prices", json=[example_state(one.catalogue)] * 30)
        assert (batch.status_code, unnamed.status_code) == (200, 200)
        changing = {"request_id", "milliseconds"}
        plain = [
            [{k: v for k, v in one.items() if k not in changing} for one in each] for each in (batch.json(), alone)
        ]
        assert plain[0] == plain[1]
        assert [row["request_id"] for row in batch.json()] == [
            f"{batch.headers['x-request-id']}.{n}" for n in range(1, 31)
        ]
        assert log.verify().rows == 90
        arms = Counter(row["arm"] for row in log.export())
        shown = client.get("/metrics").text
        assert all(f'repricer_prices_total{{arm="{arm}"}} {count}.0' in shown for arm, count in arms.items())
        assert "store 7" in client.get("/", params={"market": "store 7"}).text


def test_a_wrong_state_stops_all_and_a_retry_gets_the_same(one_path: Path, one: Bundle, tmp_path: Path) -> None:
    with service(one_path, tmp_path) as (client, log):
        wrong = client.post("/v1/prices", json=[*states(one), {"period": 0}])
        assert (wrong.status_code, wrong.json()["detail"][:18]) == (422, "state 31 of 31: st")
        assert client.post("/v1/prices", content=b"[1", headers={"content-type": "application/json"}).status_code == 422
        assert log.verify().rows == 0
        first, again = (
            client.post("/v1/prices", json=states(one), headers={"Idempotency-Key": "night"}) for _ in range(2)
        )
        assert (first.status_code, first.content) == (200, again.content)
        assert log.verify().rows == 30


def test_a_newer_bundle_on_trial_is_judged_by_large_requests_too(
    one_run: Run, one_path: Path, one: Bundle, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(one_path, tmp_path / "bundle"))
    newer = export(one_run, tmp_path / "newer", seed=5, key=own_key_paths(one_path)[0])
    with service(path, tmp_path) as (client, _):
        shutil.copytree(newer, path, dirs_exist_ok=True)
        assert client.put("/v1/admin/canary", json={"share": 0.5}).status_code == 200
        answers = client.post("/v1/prices", json=states(one)).json()
        assert {answer["arm"] for answer in answers} == {"policy", "canary"}


@pytest.mark.parametrize("path", ["/v1/explain", "/v1/what-if"])
def test_what_is_wrong_with_a_question_is_one_line(one_path: Path, one: Bundle, tmp_path: Path, path: str) -> None:
    asked = {"state": example_state(one.catalogue), "product": "cider"}
    with service(one_path, tmp_path) as (client, _):
        for wrong in (asked | {"product": "tea"}, asked | {"state": [1]}, {"state": {}}, asked | {"more": 1}):
            refused = client.post(path, json=wrong)
            assert (refused.status_code, list(refused.json())) == (422, ["detail"])
        assert client.post(path, json=asked).status_code == 200


def test_the_index_of_the_prices_returned_last_is_a_metric(spec: MarketSpec, one: Bundle, tmp_path: Path) -> None:
    weights, most = np.array([[0.2, 0.1, 0.0], [0.1, 0.1, 0.1]]), np.array([9.0, 9.0])
    rules = {"index_names": ("rival", "month"), "index_weights": weights, "index_at_most": most}
    bounded = export(make_run(spec.with_changes(prices=rules), product_wise=True), tmp_path / "bundle")
    with service(bounded, tmp_path) as (client, _):
        assert "repricer_price_index{" not in client.get("/metrics").text
        answer = client.post("/v1/prices", json=example_state(one.catalogue)).json()
        lines = client.get("/metrics").text.splitlines()
    shown = [float(line.split()[1]) for line in lines if line.startswith("repricer_price_index{")]
    np.testing.assert_allclose(shown, weights @ [row["price"] for row in answer["prices"]], rtol=1e-6)
    assert index_of(one.guardrails, np.ones(3)) == {}

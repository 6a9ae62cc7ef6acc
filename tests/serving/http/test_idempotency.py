from __future__ import annotations

import sqlite3
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from repricer.serving import Bundle, DecisionLog, example_state
from repricer.serving.decision_log.storage import Storage
from repricer.serving.http.app import ServiceSettings, create_app

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # which HTTP client the test client would rather have
    from starlette.testclient import TestClient


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "decisions.db"


@pytest.fixture
def client(one_path: Path, log: Path) -> Iterator[TestClient]:
    with TestClient(create_app(one_path, log=log, settings=ServiceSettings(holdout=0.5))) as client:
        yield client


def ask(client: TestClient, body: Any, key: str = "order 7") -> Any:
    return client.post("/v1/prices", json=body, headers={"Idempotency-Key": key})


def test_a_retry_gets_the_same_answer_and_one_row(client: TestClient, one: Bundle, one_path: Path, log: Path) -> None:
    state = example_state(one.catalogue)
    first = ask(client, state)
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda _: ask(client, state), range(20)))
    # Another process, with another position of the switch, on the same log.
    with TestClient(create_app(one_path, log=log, settings=ServiceSettings(killed=True, seed=9))) as other:
        again.append(ask(other, state))
        assert ask(other, state, "order 8").json()["request_id"] != first.json()["request_id"]
    for response in again:
        assert (response.status_code, response.content) == (200, first.content)
        assert response.headers["x-request-id"] == first.json()["request_id"]
    assert DecisionLog(log).verify().rows == 2


def test_retries_that_meet_get_one_decision(client: TestClient, one: Bundle, log: Path) -> None:
    states = [example_state(one.catalogue)] * 3
    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(lambda _: ask(client, states).content, range(16)))
    assert (len(answers), DecisionLog(log).verify().rows) == (1, 3)


def test_a_key_names_one_request(client: TestClient, one: Bundle, one_path: Path, log: Path) -> None:
    state = example_state(one.catalogue)
    assert ask(client, state).status_code == 200
    other = ask(client, state | {"market": "Oslo"})
    assert (other.status_code, "got another body before" in other.text) == (422, True)
    with closing(sqlite3.connect(log)) as db, db:
        db.execute("DELETE FROM replies")
    assert "got an older one" in ask(client, state).text
    assert "must have 1 to 255" in ask(client, state, "k" * 300).text


def test_a_decision_that_a_503_did_not_settle_is_settled_by_its_key(
    client: TestClient, one: Bundle, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on, commit = threading.Event(), Storage._commit
    monkeypatch.setattr("repricer.serving.http.batching.PATIENCE", 0.2)
    state = example_state(one.catalogue)
    ask(client, state, "earlier")  # so that the next look finds the writer awake

    def slowly(storage: Storage, jobs: Any) -> None:
        written = any("add" in getattr(job.work, "__qualname__", "") for job in jobs)
        assert not written or goes_on.wait(10)
        commit(storage, jobs)

    monkeypatch.setattr(Storage, "_commit", slowly)
    unsettled = ask(client, state)
    assert unsettled.status_code == 503
    assert "same Idempotency-Key, as the decision may be recorded later" in unsettled.json()["detail"]
    goes_on.set()
    monkeypatch.setattr("repricer.serving.http.batching.PATIENCE", 5)
    settled = ask(client, state)
    assert settled.status_code == 200
    assert DecisionLog(log).verify().rows == 2
    assert [row["request_id"] for row in DecisionLog(log).export()][-1] == settled.json()["request_id"]

"""Large requests, and questions, in processes of their own: the same answers, counted and recorded alike."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from repricer.agents import Run
from repricer.serving import Bundle, DecisionLog, example_state, export
from repricer.serving.bundle.signing import own_key_paths
from repricer.serving.http import batching, price_routes
from repricer.serving.http.app import ServiceSettings, create_app

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # which HTTP client the test client would rather have
    from fastapi.testclient import TestClient


@contextmanager
def service(path: Path, folder: Path, apart: bool, **settings: Any) -> Iterator[tuple[TestClient, DecisionLog]]:
    log = folder / f"{apart}.db"
    app = create_app(path, log=log, settings=ServiceSettings(**settings), apart=apart)
    with TestClient(app) as client:
        yield client, DecisionLog(log)


@pytest.fixture(autouse=True)
def _apart_at_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(price_routes, "_APART_BYTES", 0)


def states(bundle: Bundle, count: int = 30) -> list[dict[str, Any]]:
    return [example_state(bundle.catalogue) | {"market": f"store {n}", "period": n % 3} for n in range(count)]


def plain(rows: Any) -> list[dict[str, Any]]:
    changing = ("request_id", "milliseconds", "time")
    return [{key: value for key, value in row.items() if key not in changing} for row in rows]


def counts(client: TestClient) -> list[str]:
    lines = client.get("/metrics").text.splitlines()
    return sorted(
        line
        for line in lines
        if line.startswith(("repricer_prices_", "repricer_rule", "repricer_outside")) and "_created" not in line
    )


@pytest.mark.parametrize("settings", [{}, {"holdout": 0.5, "seed": 3}, {"killed": True}], ids=str)
def test_processes_answer_count_and_record_as_threads_do(
    one_path: Path, one: Bundle, tmp_path: Path, settings: dict[str, Any]
) -> None:
    found = []
    for apart in (False, True):
        with service(one_path, tmp_path, apart, **settings) as (client, log):
            answers = [client.post("/v1/prices", json=states(one)) for _ in range(2)]
            unnamed = client.post("/v1/prices", json=[example_state(one.catalogue)] * 30)
            assert {one.status_code for one in (*answers, unnamed)} == {200}
            assert [row["request_id"] for row in answers[0].json()] == [
                f"{answers[0].headers['x-request-id']}.{n}" for n in range(1, 31)
            ]
            assert log.verify().rows == 90
            shown = client.get("/", params={"market": "store 7"}).text
            assert "store 7" in shown
            exported = plain(log.export())
            found.append(([plain(one.json()) for one in (*answers, unnamed)], exported, counts(client)))
    assert found[0] == found[1]


@pytest.mark.parametrize("path", ["/v1/explain", "/v1/what-if"])
def test_questions_get_the_same_answer(one_path: Path, one: Bundle, tmp_path: Path, path: str) -> None:
    asked = {"state": example_state(one.catalogue), "product": "cider"}
    found = []
    for apart in (False, True):
        with service(one_path, tmp_path, apart) as (client, _):
            unknown = client.post(path, json=asked | {"product": "tea"})
            unread = client.post(path, json=asked | {"state": [1]})
            found.append([client.post(path, json=asked).json(), unknown.json(), unread.json()])
            assert (unknown.status_code, unread.status_code) == (422, 422)
    assert found[0] == found[1]


def test_a_wrong_state_stops_all_and_a_retry_gets_the_same(one_path: Path, one: Bundle, tmp_path: Path) -> None:
    with service(one_path, tmp_path, apart=True) as (client, log):
        wrong = client.post("/v1/prices", json=[*states(one), {"period": 0}])
        assert (wrong.status_code, wrong.json()["detail"][:18]) == (422, "state 31 of 31: st")
        assert client.post("/v1/prices", content=b"[1", headers={"content-type": "application/json"}).status_code == 422
        assert log.verify().rows == 0
        first, again = (
            client.post("/v1/prices", json=states(one), headers={"Idempotency-Key": "night"}) for _ in range(2)
        )
        assert (first.status_code, first.content) == (200, again.content)
        assert log.verify().rows == 30


def test_a_process_that_was_killed_costs_one_answer(one_path: Path, one: Bundle, tmp_path: Path) -> None:
    with service(one_path, tmp_path, apart=True) as (client, log):
        assert client.post("/v1/prices", json=states(one)).status_code == 200
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                command = (entry / "cmdline").read_bytes()
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == os.getpid() and b"helper_process" in command:
                os.kill(int(entry.name), signal.SIGKILL)
        answers = [client.post("/v1/prices", json=states(one)) for _ in range(5)]
        refused = [answer for answer in answers if answer.status_code != 200]
        assert all(answer.status_code == 503 for answer in refused)
        assert len(refused) <= 3
        assert log.verify().rows == 30 * (6 - len(refused))


def test_a_newer_bundle_on_trial_is_judged_by_large_requests_too(
    one_run: Run, one_path: Path, one: Bundle, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(one_path, tmp_path / "bundle"))
    newer = export(one_run, tmp_path / "newer", seed=5, key=own_key_paths(one_path)[0])
    with service(path, tmp_path, apart=True) as (client, _):
        shutil.copytree(newer, path, dirs_exist_ok=True)
        assert client.put("/v1/admin/canary", json={"share": 0.5}).status_code == 200
        answers = client.post("/v1/prices", json=states(one)).json()
        assert {answer["arm"] for answer in answers} == {"policy", "canary"}


def test_long_transactions_wait_for_their_turn_while_prices_are_asked_for(
    one_path: Path, one: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(price_routes, "_LONG_BYTES", 0)
    monkeypatch.setattr(batching, "_SHARE", 1e-9)
    monkeypatch.setattr(batching, "_LONGEST_WAIT", 1.0)
    monkeypatch.setattr(batching, "_RECENT", 60.0)

    def two_batches(client: TestClient) -> float:
        assert client.post("/v1/prices", json=states(one)).status_code == 200
        started = time.monotonic()
        assert client.post("/v1/prices", json=states(one)).status_code == 200
        return time.monotonic() - started

    with service(one_path, tmp_path, apart=False) as (client, log):
        assert two_batches(client) < 0.9
        assert client.post("/v1/prices", json=states(one)[0]).status_code == 200
        assert two_batches(client) > 0.9
        assert log.verify().rows == 121


def test_short_lists_do_not_wait_for_the_largest_requests(
    one_path: Path, one: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one place for the largest is taken, by a request that waits for its turn to be recorded."""
    few, many = states(one, 2), states(one)
    monkeypatch.setattr(price_routes, "_MOST_LARGE", 1)
    monkeypatch.setattr(price_routes, "_INLINE_BYTES", len(json.dumps(few)) + 1)
    monkeypatch.setattr(price_routes, "_LONG_BYTES", 4_000)
    monkeypatch.setattr(batching, "_SHARE", 1e-9)
    monkeypatch.setattr(batching, "_RECENT", 60.0)
    monkeypatch.setattr(batching, "_LONGEST_WAIT", 2.0)
    with service(one_path, tmp_path, apart=False) as (client, _), ThreadPoolExecutor(2) as callers:
        client.post("/v1/prices", json=few[0])
        largest = [callers.submit(client.post, "/v1/prices", json=many) for _ in range(2)]
        (first,), (second,) = wait(largest, return_when=FIRST_COMPLETED)
        assert first.result().status_code == client.post("/v1/prices", json=few).status_code == 200
        assert not second.done()
        assert second.result().status_code == 200

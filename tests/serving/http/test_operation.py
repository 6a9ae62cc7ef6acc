"""What an operator meets: restarts, rejected bundles, blocked logs, deleted keys, callers who press."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from repricer.benchmarks.loopback import free_port
from repricer.cli import main
from repricer.serving import Bundle, ChainError, DecisionLog, Predictor, example_state, export, load_bundle
from repricer.serving.bundle.files import own_key_paths
from repricer.serving.decision_log.outcomes import ReportedOutcome
from repricer.serving.http.api_keys import KeyFileError, KeyRing, add_key
from repricer.serving.http.app import ServiceSettings, create_app

from .canary.test_money import loss, sold
from .processes.limited import HEAD, health, limited_service

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # which HTTP client the test client would rather have
    from starlette.testclient import TestClient


@pytest.fixture
def bundle(one_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(one_path, tmp_path / "bundle"))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture(scope="module")
def newer(one_run: Any, one_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(one_run, tmp_path_factory.mktemp("newer") / "bundle", seed=5, key=own_key_paths(one_path)[0])


@pytest.fixture(scope="module")
def dearer(one_run: Any, one_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose price rules raise all prices by a lot."""
    prices = {"floor": [2.6, 3.9, 6.5], "max_change": None}
    run = replace(one_run, spec=one_run.spec.with_changes(prices=prices))
    return export(run, tmp_path_factory.mktemp("dearer") / "bundle", key=own_key_paths(one_path)[0])


def put(path: Path, by: Path) -> None:
    shutil.copytree(by, path, dirs_exist_ok=True)


def active(client: TestClient) -> str:
    return client.get("/readyz").json()["bundle"]


def test_a_rollback_after_a_restart_does_not_activate_a_bundle_on_trial(
    bundle: Path, newer: Path, one: Bundle, log: Path
) -> None:
    with TestClient(create_app(bundle, log=log)) as client:
        put(bundle, newer)
        assert client.put("/v1/admin/canary", json={"share": 0.05}).status_code == 200
    with TestClient(create_app(bundle, log=log)) as client:
        refused = client.post("/v1/admin/rollback")
        assert (refused.status_code, "needs a former bundle" in refused.json()["detail"]) == (409, True)
        assert (active(client), client.get("/readyz").json()["canary"]) == (one.digest, load_bundle(newer).digest)


def test_a_rollback_after_a_restart_does_not_activate_a_bundle_that_a_guard_took_back(
    bundle: Path, dearer: Path, one: Bundle, log: Path
) -> None:
    states = [example_state(one.catalogue) | {"market": f"store {i}"} for i in range(200)]
    with TestClient(create_app(bundle, log=log)) as client:
        put(bundle, dearer)
        assert client.put("/v1/admin/canary", json={"share": 0.5}).status_code == 200
        client.post("/v1/prices", json=states)
        until = time.monotonic() + 5
        while client.get("/v1/operation").json()["canary"] and time.monotonic() < until:
            time.sleep(0.05)
    with TestClient(create_app(bundle, log=log)) as client:
        assert client.post("/v1/admin/rollback").status_code == 409
        again = client.post("/v1/admin/reload")
        assert (again.status_code, "was taken back" in again.json()["detail"]) == (409, True)
        assert active(client) == one.digest


def test_a_rollback_after_a_restart_activates_what_was_active_before(
    bundle: Path, newer: Path, one: Bundle, log: Path
) -> None:
    with TestClient(create_app(bundle, log=log)) as client:
        put(bundle, newer)
        assert client.post("/v1/admin/reload").status_code == 200
    with TestClient(create_app(bundle, log=log)) as client:
        assert client.get("/v1/operation").json()["former"]["bundle"] == one.digest
        assert client.post("/v1/admin/rollback").status_code == 200
        assert active(client) == one.digest


@pytest.mark.parametrize("effect", [0.5, 0.1, 0.0])
def test_the_money_guard_sees_a_loss_of_any_size(effect: float) -> None:
    assert loss(sold(effect)) > 0.99


def test_the_money_guard_sees_that_all_is_sold_below_cost() -> None:
    rows = [{**row, "paid": row["paid"] / 4} if row["arm"] == "canary" else row for row in sold(1.0)]
    assert loss(rows, {"tea": 1.0, "coffee": 1.0}) > 0.99


def test_an_upload_of_outcomes_takes_no_price_its_turn(one: Bundle, one_path: Path, log: Path) -> None:
    with TestClient(create_app(one_path, log=log, settings=ServiceSettings(rate=1e6, burst=1e6))) as client:
        states = [example_state(one.catalogue) | {"market": f"store {i}"} for i in range(4000)]
        asked = client.post("/v1/prices", json=states).json()
        outcomes = [{"request_id": answer["request_id"], "product": "cider", "units": 1} for answer in asked]
        with ThreadPoolExecutor(1) as pool:
            uploading = pool.submit(client.post, "/v1/outcomes", json={"outcomes": outcomes})
            slowest = 0.0
            while not uploading.done():
                started = time.perf_counter()
                assert client.get("/readyz").status_code == 200
                assert client.post("/v1/prices", json=states[0]).status_code == 200
                slowest = max(slowest, time.perf_counter() - started)
        assert uploading.result().json() == {"accepted": 4000, "new": 4000}
        assert slowest < 0.5  # one lock for all of it took 2 s and more


def test_a_log_that_blocks_costs_prices_and_not_health(one: Bundle, one_path: Path, log: Path) -> None:
    app, state = create_app(one_path, log=log), example_state(one.catalogue)
    go, begun = threading.Event(), threading.Event()
    with TestClient(app) as client:
        blocked = app.state.decisions.submit(lambda _: (begun.set(), go.wait(30)))
        assert begun.wait(5)
        time.sleep(1.1)  # a log that was written within a second is ready
        try:
            started = time.perf_counter()
            with ThreadPoolExecutor(8) as pool:
                asked = [pool.submit(client.post, "/v1/prices", json=state) for _ in range(8)]
                assert client.get("/healthz").status_code == 200
                assert client.get("/readyz").status_code == 503
                assert {one.result().status_code for one in asked} == {503}
            assert time.perf_counter() - started < 6
            # From now on no price waits for what does not move.
            started = time.perf_counter()
            assert client.post("/v1/prices", json=state).status_code == 503
            assert time.perf_counter() - started < 0.5
        finally:
            go.set()
        blocked.result()
        assert client.post("/v1/prices", json=state).status_code == 200


def test_refusals_by_rate_hold_no_connection(one: Bundle, one_path: Path) -> None:
    with TestClient(create_app(one_path, settings=ServiceSettings(rate=0.01, burst=1))) as client:
        client.post("/v1/prices", json=example_state(one.catalogue))
        started = time.perf_counter()
        for _ in range(10):
            refused = client.post("/v1/prices", json=example_state(one.catalogue))
            assert (refused.status_code, int(refused.headers["retry-after"]) >= 1) == (429, True)
        assert time.perf_counter() - started < 1


@pytest.fixture
def two_markets(one: Bundle, bundle: Path, log: Path) -> Path:
    with TestClient(create_app(bundle, log=log)) as client:
        for market in ("Oslo", "Rome"):
            client.post("/v1/prices", json=example_state(one.catalogue) | {"market": market})
    return log


def changed(log: Path, statement: str) -> None:
    """What somebody with the file could do."""
    with closing(sqlite3.connect(log)) as db, db:
        db.executescript(statement)


SWAPPED = "CASE market WHEN 'Oslo' THEN 'Rome' ELSE 'Oslo' END"


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE decisions SET market = {SWAPPED}",
        "UPDATE decisions SET body = zeroblob(length(body))",
        "UPDATE decisions SET body = NULL, salt = NULL, market = NULL WHERE id = 1",
        "UPDATE bundles SET files = X'2A'",
        "UPDATE bundles SET files = CAST(files || X'00' AS BLOB)",
        "DELETE FROM bundles",
    ],
)
def test_verify_covers_all_that_an_export_or_a_start_reads(two_markets: Path, statement: str) -> None:
    with closing(DecisionLog(two_markets)) as log:
        log.verify()
    changed(two_markets, statement)
    with closing(DecisionLog(two_markets)) as log, pytest.raises(ChainError):
        log.verify()


def test_a_damaged_bundle_in_the_log_is_one_line_at_the_start_and_in_a_rollback(
    two_markets: Path, bundle: Path, newer: Path, one_path: Path
) -> None:
    put(bundle, newer)
    with TestClient(create_app(bundle, log=two_markets)):
        pass
    changed(two_markets, "UPDATE bundles SET files = X'2A'")
    with pytest.raises(ValueError, match=r"bundle .* must be as it was recorded; .* restore a backup"):
        create_app(one_path, log=two_markets)
    with TestClient(create_app(bundle, log=two_markets)) as client:
        refused = client.post("/v1/admin/rollback")
        assert (refused.status_code, "must be as it was recorded" in refused.json()["detail"]) == (503, True)


def test_a_large_question_does_not_hold_up_prices(one_path: Path) -> None:
    text = json.dumps({"question": "why? " * 100 + ":" * 10, "rows": [{f"k{i}": ":"} for i in range(150_000)]})
    with limited_service(one_path) as (_, port, _log), ThreadPoolExecutor(1) as pool:
        caller = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

        def ask() -> tuple[int, float]:
            started = time.perf_counter()
            caller.request("POST", "/v1/answer", text, {"content-type": "application/json"})
            return caller.getresponse().status, time.perf_counter() - started

        asked, slowest = pool.submit(ask), 0.0
        while not asked.done():
            slowest = max(slowest, health(port))
        status, took = asked.result()
        assert status == 422
        caller.close()
    # Against the question's own time, so that a busy machine changes nothing: in the event loop health waits for all of it.
    assert slowest < took / 2, (slowest, took)


def test_the_policy_is_described_once(one_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app, large = create_app(one_path), [n / 7 for n in range(40_000)]
    monkeypatch.setitem(app.state.deployment.bundle.manifest, "large", large)
    started = time.perf_counter()
    json.dumps(large)
    once = time.perf_counter() - started
    with TestClient(app) as client:
        assert client.get("/v1/policy").json()["manifest"]["large"] == large
        started = time.perf_counter()
        for _ in range(20):
            client.get("/v1/policy")
    assert time.perf_counter() - started < 20 * once / 2


def test_an_idempotency_key_belongs_to_its_caller(one: Bundle, one_path: Path, tmp_path: Path) -> None:
    keys = {name: add_key(tmp_path / "keys.json", role="price", name=name) for name in ("till", "till 2")}
    settings = ServiceSettings(keys=str(tmp_path / "keys.json"))
    with TestClient(create_app(one_path, log=tmp_path / "log.db", settings=settings)) as client:
        found = [
            client.post(
                "/v1/prices",
                json=example_state(one.catalogue),
                headers={"authorization": f"Bearer {keys[name]}", "idempotency-key": key},
            )
            for name, key in (("till", "2 x"), ("till 2", "x"))
        ]
    assert [answer.status_code for answer in found] == [200, 200]
    assert found[0].json()["request_id"] != found[1].json()["request_id"]


def test_keys_of_a_deleted_file_are_not_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = add_key(tmp_path / "keys.json", role="price", name="till")
    ring, now = KeyRing(tmp_path / "keys.json"), time.monotonic()
    assert ring.find(key) is not None
    (tmp_path / "keys.json").unlink()
    monkeypatch.setattr(time, "monotonic", lambda: now + 5)
    assert ring.find(key) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_key_file_is_its_owners_alone(tmp_path: Path, mode: int) -> None:
    add_key(tmp_path / "keys.json", role="price", name="till")
    (tmp_path / "keys.json").chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        KeyRing(tmp_path / "keys.json")


@pytest.mark.parametrize("mode", [0o644, 0o606])
def test_a_log_is_not_for_everybody(two_markets: Path, mode: int) -> None:
    two_markets.chmod(mode)
    with pytest.raises(ValueError, match=r"decision log must not be open to everybody; got .* `chmod 600"):
        DecisionLog(two_markets)


def test_the_highest_rate_starts(one_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("repricer.cli.serve.run", lambda *_, **__: None)
    started = CliRunner().invoke(main, ["serve", str(one_path), "--rate", "1e9"])
    assert started.exit_code == 0, started.output


@pytest.mark.skipif(os.name != "posix", reason="signals of other systems differ")
def test_a_half_sent_request_does_not_delay_the_end_and_long_headers_are_refused(one_path: Path) -> None:
    with limited_service(one_path) as (process, port, _):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as long:
            long.sendall(HEAD + b"x: " + b"y" * 100_000 + b"\r\ncontent-length: 2\r\n\r\n[]")
            assert b" 431 " in long.recv(1 << 16)
        health(port)
        half = socket.create_connection(("127.0.0.1", port), timeout=10)
        half.sendall(HEAD + b"content-length: 100000\r\n\r\n[")
        time.sleep(0.3)
        started = time.perf_counter()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) in (0, -signal.SIGTERM)
        assert time.perf_counter() - started < 4
        half.close()


@pytest.mark.skipif(os.name != "posix", reason="signals of other systems differ")
def test_several_workers_are_several_services(one_path: Path, tmp_path: Path) -> None:
    port = free_port()
    words = [sys.executable, "-m", "repricer.cli", "serve", str(one_path), "--port", str(port), "--workers", "2"]
    folder = tmp_path / "temporary"
    folder.mkdir()
    environment = os.environ | {"TMPDIR": str(folder)}
    with subprocess.Popen(
        [*words, "--log", str(tmp_path / "log.db")], env=environment, stdout=-3, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        lines: list[str] = []
        for line in process.stderr:
            lines.append(line)
            if "startup complete" in line or "all workers are ready" in line:
                break
        process.kill()
        process.wait()
    time.sleep(0.5)
    assert list(folder.glob("repricer*")) == []
    assert any("--workers" in line and "deploy" in line for line in lines)


def test_outcomes_of_decisions_are_all_or_none_and_known_ones_count_once(one: Bundle, log: Path) -> None:
    with closing(DecisionLog(log)) as decisions:
        for n in range(3):
            state = example_state(one.catalogue) | {"market": f"store {n}"}
            decisions.record(Predictor(one).price(state), state, f"r{n}")
        told = [ReportedOutcome("cider", 1.0, request_id=f"r{n}") for n in range(3)]
        with pytest.raises(ValueError, match="got request_id 'r9'"):
            decisions.record_outcomes([*told, ReportedOutcome("cider", 1.0, request_id="r9")])
        assert decisions.verify().outcomes == 0
        assert decisions.record_outcomes([*told, told[0]]) == 3
        assert decisions.record_outcomes(told) == 0

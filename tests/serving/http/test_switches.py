from __future__ import annotations

import shutil
import sqlite3
import time
import warnings
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from repricer.cli import main
from repricer.serving import DecisionLog, export, load_bundle
from repricer.serving.bundle.files import own_key_paths
from repricer.serving.decision_log.storage import LogError
from repricer.serving.http.app import ServiceSettings, create_app
from repricer.serving.http.switchboard import Positions

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
    out = tmp_path_factory.mktemp("newer") / "bundle"
    return export(one_run, out, seed=5, key=own_key_paths(one_path)[0])


def switched(log: DecisionLog) -> list[dict[str, Any]]:
    """The events that move a switch."""
    return [event for event in log.events() if "position" in event]


def status(client: TestClient) -> tuple[bool, float, str]:
    found = client.get("/v1/operation").json()
    return found["kill_switch"], found["holdout"], found["active"]["bundle"]


def within(seconds: float, client: TestClient, wanted: tuple[bool, float, str]) -> bool:
    until = time.monotonic() + seconds
    while status(client) != wanted and time.monotonic() < until:
        time.sleep(0.05)
    return status(client) == wanted


def test_switches_reach_every_instance_and_outlive_all(bundle: Path, newer: Path, log: Path, tmp_path: Path) -> None:
    other, digests = Path(shutil.copytree(bundle, tmp_path / "other")), [load_bundle(p).digest for p in (bundle, newer)]
    with TestClient(create_app(bundle, log=log)) as one, TestClient(create_app(other, log=log)) as two:
        shutil.copytree(newer, bundle, dirs_exist_ok=True)
        assert one.post("/v1/admin/reload", json={"by": "Ann", "reason": "weekly"}).status_code == 200
        assert (
            one.put("/v1/admin/kill-switch", json={"on": True, "by": "Ann", "reason": "odd prices"}).status_code == 200
        )
        assert two.put("/v1/admin/holdout", json={"share": 0.2}).status_code == 200
        wanted = (True, 0.2, digests[1])
        assert within(2, one, wanted)
        assert within(2, two, wanted)
    # A new process, as after kill -9; its options are older than the last throws, and one has the old bundle.
    for path in (bundle, other):
        with TestClient(create_app(path, log=log, settings=ServiceSettings(holdout=0.5))) as again:
            assert status(again) == wanted
    with TestClient(create_app(other, log=log)) as again:
        assert again.post("/v1/admin/rollback").status_code == 200
    with TestClient(create_app(bundle, log=log)) as last:
        assert status(last) == (True, 0.2, digests[0])
    rows = switched(DecisionLog(log))
    assert [(row["event"], row["by"], row["reason"]) for row in rows[1:3]] == [
        ("bundle", "Ann", "weekly"),
        ("kill_switch", "Ann", "odd prices"),
    ]
    assert len(rows) == 6
    assert DecisionLog(log).verify().events == len(rows) + len(digests)  # with the files of each bundle


def test_a_switch_that_cannot_be_recorded_is_not_thrown(
    bundle: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise LogError("disk full")

    with TestClient(create_app(bundle, log=log)) as client:
        monkeypatch.setattr(DecisionLog, "record_switches", full)
        assert client.put("/v1/admin/kill-switch", json={"on": True}).status_code == 503
        assert status(client)[0] is False


def test_a_service_that_starts_with_the_kill_switch_stops_all(bundle: Path, log: Path) -> None:
    with TestClient(create_app(bundle, log=log)) as client:
        client.put("/v1/admin/kill-switch", json={"on": False})
        create_app(bundle, log=log, settings=ServiceSettings(killed=True))
        assert within(2, client, (True, 0.0, load_bundle(bundle).digest))


def test_without_a_named_log_one_beside_the_bundle_keeps_them(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what a file of an earlier version kept is read once, with a line that says so."""
    former = Path(f"{bundle}.switches.db")
    with closing(sqlite3.connect(former)) as db:
        db.executescript((Path(__file__).parents[1] / "decision_log" / "version_5.sql").read_text())
    former.chmod(0o600)
    monkeypatch.setattr("repricer.cli.serve.run", lambda *_, **__: None)
    lines = list[str]()
    for _ in range(2):
        result = CliRunner().invoke(main, ["serve", str(bundle)])
        assert result.exit_code == 0, result.output
        lines.append(result.stderr)
    line = f"the switches of {former} are now events of {bundle}.log.db; that file is no longer read\n"
    assert [text.count(line) for text in lines] == [1, 0]
    with closing(DecisionLog(f"{bundle}.log.db")) as log:
        now = Positions().after(log.transitions()[0])
        assert (now.active, now.killed, now.holdout) == (load_bundle(bundle).digest, True, 0.2)


def test_reloads_are_counted_where_newer_bundles_are_tried_first(bundle: Path, log: Path) -> None:
    with TestClient(create_app(bundle, log=log, settings=ServiceSettings(canary=0.1))) as client:
        assert client.post("/v1/admin/reload").status_code == 200
        (bundle / "golden.json").write_text("{}")
        assert client.post("/v1/admin/reload").status_code == 409
        counted = client.get("/metrics").text
    for result in ("same", "refused"):
        assert f'repricer_reloads_total{{result="{result}"}} 1.0' in counted


def dated(monkeypatch: pytest.MonkeyPatch, created: str) -> None:
    """Bundles are exported on a day."""
    from repricer.serving.exporter import export as module

    class Clock:
        @staticmethod
        def now(_: Any) -> Any:
            import datetime as dt

            return dt.datetime.fromisoformat(created)

    monkeypatch.setattr(module, "datetime", Clock)


def test_a_start_with_an_older_bundle_follows_the_fleet(
    bundle: Path, one_run: Any, one_path: Path, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        dated(patch, "2001-01-01T00:00:00+00:00")
        older = export(one_run, tmp_path / "older", seed=9, key=own_key_paths(one_path)[0])
    with TestClient(create_app(bundle, log=log)) as one:
        for settings in (None, ServiceSettings(canary=0.1)):
            with TestClient(create_app(older, log=log, settings=settings)) as late:
                assert status(late) == status(one) == (False, 0.0, load_bundle(bundle).digest)
                assert late.post("/v1/admin/reload").status_code == 409
    assert len(switched(DecisionLog(log))) == 1


@pytest.mark.parametrize("broken", [True, False], ids=["broken", "missing"])
def test_a_start_without_the_bundle_at_the_path_takes_the_active_one(bundle: Path, log: Path, broken: bool) -> None:
    with TestClient(create_app(bundle, log=log)) as client:
        wanted = status(client)
    if broken:
        (bundle / "policy.onnx").write_bytes(b"something")
    else:
        shutil.rmtree(bundle)
    with TestClient(create_app(bundle, log=log)) as client:
        assert status(client) == wanted
        assert client.get("/readyz").status_code == 200
        assert client.post("/v1/admin/reload").status_code == 409


def test_a_start_with_another_key_replaces_a_bundle_that_it_cannot_trust(
    bundle: Path, one_run: Any, log: Path, tmp_path: Path
) -> None:
    create_app(bundle, log=log)
    other = export(one_run, tmp_path / "other", seed=9)
    with TestClient(create_app(other, log=log, public_key=own_key_paths(other)[1])) as client:
        assert status(client)[2] == load_bundle(other).digest

"""The certificate of the policy's prices: on record, on the page, in the metrics, in every instance and after a restart."""

from __future__ import annotations

import shutil
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from repricer.serving import DecisionLog, export, load_bundle
from repricer.serving.bundle.files import own_key_paths
from repricer.serving.http.api_keys import add_key
from repricer.serving.http.app import ServiceSettings, create_app
from repricer.serving.http.switchboard import DeploymentError, Positions

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # which HTTP client the test client would rather have
    from starlette.testclient import TestClient

FACTS = {
    **{"state": "certified", "loss": 0.02, "confidence": 0.95, "policy_share": 0.75, "date": "2026-03-01"},
    **{"analysis": "ab" * 32, "lower_bound": -0.0125, "estimate": 0.031},
}
TODAY = "2026-03-02"
BODY = {**FACTS, "by": "Ann", "reason": "the first look above -2%"}


def test_it_is_shown_to_all_and_outlives_the_service(one_path: Path, tmp_path: Path) -> None:
    log, digest = tmp_path / "log.db", load_bundle(one_path).digest
    kept = {**FACTS, "bundle": digest}
    with TestClient(create_app(one_path, log=log)) as one, TestClient(create_app(one_path, log=log)) as two:
        assert one.get("/v1/operation").json()["certificate"] is None
        assert "repricer_certificate_state{" not in one.get("/metrics").text
        answer = one.put("/v1/admin/certificate", json=BODY)
        assert (answer.status_code, answer.json()["certificate"]) == (200, kept)
        until = time.monotonic() + 2
        while two.get("/v1/operation").json()["certificate"] != kept and time.monotonic() < until:
            time.sleep(0.05)
        counted, page = two.get("/metrics").text, two.get("/").text
    assert 'repricer_certificate_state{state="certified"} 1.0' in counted
    assert "repricer_certificate_lower_bound_ratio -0.0125" in counted
    words = (
        "Certified with 95% confidence: these prices lose at most 2% against the fallback. Estimated +3.1%, at least"
    )
    assert f"{words} -1.2%. Sales to 2026-03-01.</li>" in page
    with TestClient(create_app(one_path, log=log)) as again:
        assert again.get("/v1/operation").json()["certificate"] == kept
    (row,) = DecisionLog(log).events("certificate")
    assert (row["by"], row["reason"]) == ("Ann", "the first look above -2%")


def test_it_belongs_to_the_bundle_that_was_active(one_path: Path, one_run: Any, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(one_path, tmp_path / "bundle"))
    newer = export(one_run, tmp_path / "newer", seed=5, key=own_key_paths(one_path)[0])
    with TestClient(create_app(bundle, log=tmp_path / "log.db")) as client:
        client.put("/v1/admin/certificate", json=BODY)
        shutil.copytree(newer, bundle, dirs_exist_ok=True)
        assert client.post("/v1/admin/reload").status_code == 200
        assert client.get("/v1/operation").json()["certificate"] is None
        assert "repricer_certificate_state{" not in client.get("/metrics").text
        assert "Sales to" not in client.get("/").text


@pytest.mark.parametrize(
    ("state", "words"), [("stopped", "Stopped: these prices probably lose more"), ("waiting", "Not certified yet")]
)
def test_other_states_without_figures(one_path: Path, state: str, words: str) -> None:
    with TestClient(create_app(one_path)) as client:
        body = {**BODY, "state": state, "lower_bound": None, "estimate": None}
        assert client.put("/v1/admin/certificate", json=body).status_code == 200
        assert f'certificate_state{{state="{state}"}} 1.0' in client.get("/metrics").text
        assert "repricer_certificate_lower_bound_ratio NaN" in client.get("/metrics").text
        assert words in client.get("/").text


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"state": "holding"}, "state must be"),
        ({"confidence": 1.5}, "confidence must be"),
        ({"analysis": "none"}, "analysis must"),
        ({"date": "soon"}, "date must be"),
        ({"x": 1}, "known keys"),
    ],
)
def test_a_wrong_one_is_refused_in_one_line(one_path: Path, change: dict[str, Any], line: str) -> None:
    with TestClient(create_app(one_path)) as client:
        refused = client.put("/v1/admin/certificate", json={**BODY, **change})
        assert refused.status_code == 422
        assert line in refused.json()["detail"]
        assert client.get("/v1/operation").json()["certificate"] is None


def test_only_a_key_that_may_throw_switches_may_put_it(one_path: Path, tmp_path: Path) -> None:
    keys = {role: add_key(tmp_path / "keys.json", role=role, name=role) for role in ("price", "admin")}
    with TestClient(create_app(one_path, settings=ServiceSettings(keys=str(tmp_path / "keys.json")))) as client:
        for role, status in (("price", 403), ("admin", 200)):
            headers = {"authorization": f"Bearer {keys[role]}"}
            assert client.put("/v1/admin/certificate", json=BODY, headers=headers).status_code == status


def test_an_older_one_never_replaces_a_newer_one() -> None:
    now = Positions(active="a").after(Positions(active="a").certified(FACTS, TODAY))
    assert now.certificate == {**FACTS, "bundle": "a"}
    assert (now.killed, now.holdout, now.active) == (False, None, "a")
    assert now.certified(FACTS, TODAY)  # a second reading of the same day
    with pytest.raises(DeploymentError, match="must not be older than the last one; got 2026-02-28 after 2026-03-01"):
        now.certified({**FACTS, "date": "2026-02-28"}, TODAY)


def test_one_of_days_to_come_is_refused_and_one_on_record_blocks_none() -> None:
    with pytest.raises(DeploymentError, match="must be of days that are over; got 2099-01-01, after 2026-03-02"):
        Positions(active="a").certified({**FACTS, "date": "2099-01-01"}, TODAY)
    now = Positions(active="a").after([("certificate", {**FACTS, "date": "2099-01-01", "bundle": "a"})])
    assert now.after(now.certified(FACTS, TODAY)).certificate == {**FACTS, "bundle": "a"}


def test_a_date_to_come_is_refused_over_http(one_path: Path) -> None:
    with TestClient(create_app(one_path)) as client:
        assert client.put("/v1/admin/certificate", json={**BODY, "date": "2999-01-01"}).status_code == 409

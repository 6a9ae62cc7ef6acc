"""The price list as a service of its own: what it answers, what it reads again, and what it leaves to the price service."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from repricer.cli import main
from repricer.serving import DecisionLog
from repricer.serving.bundle.files import BundleError
from repricer.serving.http.api_keys import KeyFileError, add_key
from repricer.serving.http.app import ServiceSettings, create_app
from repricer.serving.http.desk_app import create_desk
from repricer.serving.http.settings import AccessSettings
from repricer.serving.price_list.files import write_list
from repricer.serving.price_list.rows import ListError, PriceRow
from starlette.testclient import TestClient


@pytest.fixture
def listed(price_rows: list[PriceRow], tmp_path: Path) -> Path:
    write_list(tmp_path / "prices.csv", price_rows)
    return tmp_path / "prices.csv"


@contextmanager
def desk(listed: Path, bundle: Path, **more: Any) -> Iterator[TestClient]:
    with TestClient(create_desk(listed, bundle, **more)) as client:
        yield client


def test_it_serves_the_page_its_files_and_its_routes(listed: Path, dated_bundle: Path) -> None:
    with desk(listed, dated_bundle) as client:
        page = client.get("/price-list")
        assert (page.status_code, client.get("/").text) == (200, page.text)
        assert "current prices" not in page.text
        for name in ("page.css", "price_list.js", "price_image.js", "icon.svg"):
            assert client.get(f"/page/{name}").status_code == 200
        paths = client.get("/openapi.json").json()["paths"]
        assert "/v1/price-list" in paths
        assert "/v1/prices" not in paths
        assert client.post("/v1/prices", json={}).status_code == 404
        assert client.put("/v1/admin/kill-switch", json={"on": True}).status_code == 404
        counts = client.get("/metrics").text
        assert 'repricer_requests_total{route="/price-list",status="200"} 1.0' in counts
        assert "repricer_kill_switch" not in counts


def test_it_is_ready_while_it_can_read_and_record(listed: Path, dated_bundle: Path, tmp_path: Path) -> None:
    with desk(listed, dated_bundle, log=tmp_path / "log.db") as client:
        assert client.get("/readyz").json() == {"status": "ready"}
        listed.unlink()
        gone = client.get("/readyz")
        assert (gone.status_code, "price list must be a file" in gone.json()["detail"]) == (409, True)
        assert client.get("/healthz").status_code == 200


def test_a_bundle_that_is_replaced_is_read_again(
    listed: Path, dated_bundle: Path, dated_path: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(dated_bundle, bundle)
    with desk(listed, bundle) as client:
        assert client.get("/price-list").status_code == 200
        shutil.rmtree(bundle)
        refused = client.get("/price-list")
        assert (refused.status_code, "must be a bundle" in refused.json()["detail"]) == (409, True)
        shutil.copytree(dated_path, bundle)
        row = client.get("/v1/price-list", params={"limit": 1}).json()["rows"][0]
        typed = {"zone": row["zone"], "product": row["product"], "week": row["week"], "price": row["new_price"]}
        assert client.post("/v1/admin/price-list/cost", json=typed).status_code == 200


def test_it_leaves_the_switches_of_the_services_alone(listed: Path, dated_bundle: Path, tmp_path: Path) -> None:
    """A service that starts with a new bundle activates it in the whole fleet; a desk must not."""
    with desk(listed, dated_bundle, log=tmp_path / "log.db") as client:
        assert client.get("/price-list").status_code == 200
    log = DecisionLog(tmp_path / "log.db")
    assert log.verify().events == 0
    log.close()


def test_what_cannot_start_says_so_and_leaves_no_log(listed: Path, dated_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nowhere must be a bundle"):
        create_desk(listed, tmp_path / "nowhere", log=tmp_path / "log.db")
    with pytest.raises(ListError, match=r"price list must be a file; got .*nowhere\.csv"):
        create_desk(tmp_path / "nowhere.csv", dated_bundle, log=tmp_path / "log.db")
    assert not (tmp_path / "log.db").exists()
    with pytest.raises(KeyFileError, match="must be a file of API keys"):
        create_desk(listed, dated_bundle, settings=AccessSettings(keys=str(tmp_path / "keys.json")))


def test_a_service_has_no_price_list_unless_asked_in_the_old_way(listed: Path, dated_bundle: Path) -> None:
    with TestClient(create_app(dated_bundle)) as client:
        assert client.get("/price-list").status_code == client.get("/v1/price-list").status_code == 404
    with TestClient(create_app(dated_bundle, settings=ServiceSettings(price_list=str(listed)))) as client:
        assert "current prices" in client.get("/price-list").text
        assert client.get("/v1/price-list").json()["total"] == 24


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was asked to run, in place of a process that would not end."""
    calls: list[dict[str, Any]] = []

    def noted(app: Any, host: str, port: int, **more: Any) -> None:
        calls.append({"app": app, "host": host, "port": port, **more})

    monkeypatch.setattr("repricer.serving.http.processes.server.serve", noted)
    return calls


def call(*words: Any) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_the_command_says_where_the_page_is(
    listed: Path, dated_bundle: Path, tmp_path: Path, served: list[dict[str, Any]]
) -> None:
    result = call("desk", listed, "--bundle", dated_bundle, "--log", tmp_path / "log.db")
    assert (result.exit_code, result.stdout) == (0, f"{listed} at http://127.0.0.1:8002\n")
    found = call("desk", listed, "--bundle", dated_bundle, "--port", 9000, "--json")
    assert json.loads(found.stdout) == {"url": "http://127.0.0.1:9000", "list": str(listed)}
    assert [one["port"] for one in served] == [8002, 9000]
    with TestClient(served[1]["app"], base_url="http://shop.example") as client:
        assert client.get("/price-list").status_code == 421


def test_the_command_stays_at_home_without_keys_and_a_certificate(
    listed: Path, dated_bundle: Path, tmp_path: Path, served: list[dict[str, Any]]
) -> None:
    words = ("desk", listed, "--bundle", dated_bundle, "--host", "0.0.0.0")
    assert "without --keys" in call(*words).stderr
    keys = tmp_path / "keys.json"
    add_key(keys, role="admin", name="ann")
    refused = call(*words, "--keys", keys)
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert "pass --tls-certificate and --tls-key" in refused.stderr
    assert call(*words, "--keys", keys, "--behind-proxy").exit_code == 0
    assert len(served) == 1


def test_the_old_way_names_the_new_command(
    listed: Path, dated_bundle: Path, tmp_path: Path, served: list[dict[str, Any]]
) -> None:
    result = call("serve", dated_bundle, "--price-list", listed, "--log", tmp_path / "log.db")
    assert result.exit_code == 0
    assert f"repricer desk {listed} --bundle {dated_bundle} --log LOG" in result.stderr
    assert "--price-list" not in call("serve", "--help").stdout
    assert any(route.path == "/price-list" for route in served[0]["app"].routes)

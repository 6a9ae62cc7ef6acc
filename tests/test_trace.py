"""CONTRIBUTING names the modules that one price goes through."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest
from repricer.serving import example_state, export, load_bundle
from repricer.serving.http.api_keys import add_key
from repricer.serving.http.app import ServiceSettings, create_app

from .serving.conftest import make_run, spec  # noqa: F401  a fixture

ROOT = Path(__file__).parents[1]
MOST = 15
SERVER = "serving/http/processes/server"
"""What the test client does not go through."""


def documented() -> set[str]:
    (row,) = re.findall(
        r"^\| which modules one price goes through \| (.*) \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.M
    )
    found = set()
    for part in row.split("; "):
        folder, _, names = part.partition(": ")
        names = re.findall(r"`([^`]*)`", names)
        folder = folder.strip("`").removesuffix(".py")
        found |= {f"{folder}/{name}" for name in names} if names else {folder}
    return found


def test_one_price_goes_through_the_modules_that_contributing_names(spec: Any, tmp_path: Path) -> None:  # noqa: F811
    client = pytest.importorskip("starlette.testclient").TestClient
    seen, watching = set[str](), threading.Event()

    def watch(frame: Any, event: str, _: Any) -> None:
        file = Path(frame.f_code.co_filename)
        if watching.is_set() and event == "call" and file.is_relative_to(ROOT):
            seen.add(str(file.relative_to(ROOT).with_suffix("")))

    path = export(make_run(spec, product_wise=True), tmp_path / "bundle")
    key = add_key(tmp_path / "keys.json", role="price", name="till")
    threading.setprofile(watch)  # of the threads to come: the log's and the event loop's
    try:
        app = create_app(path, log=tmp_path / "log.db", settings=ServiceSettings(keys=str(tmp_path / "keys.json")))
        with client(app) as asking:
            watching.set()
            state, headers = example_state(load_bundle(path).catalogue), {"authorization": f"Bearer {key}"}
            assert asking.post("/v1/prices", json=state, headers=headers).status_code == 200
            watching.clear()
    finally:
        threading.setprofile(None)
    rooms = ("serving/http", "serving/decision_log", "serving/predictor")
    own = {module for module in seen if module.startswith(rooms)} | {SERVER}
    assert own == documented()
    assert len(own) <= MOST

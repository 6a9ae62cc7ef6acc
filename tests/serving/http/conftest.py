from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from repricer.benchmarks.loopback import free_port
from starlette.applications import Starlette

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def serving(app: Starlette, port: int | None = None) -> Iterator[str]:
    """The address of a running service."""
    port = port or free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def opened(browser: Any, url: str, ready: str, size: tuple[int, int], path: str = "") -> Iterator[Any]:
    """A page that is open and ready; at its end it must have had no problem and asked nobody else."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    page.problems, page.asked = [], []
    page.on("console", lambda message: page.problems.append(message.text) if message.type != "info" else None)
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(url + path)
    page.wait_for_selector(ready)
    yield page
    assert page.problems == []
    assert all(asked.startswith(url) for asked in page.asked)
    page.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine to drive the page with")
    api = pytest.importorskip("playwright.sync_api", reason="playwright drives the page")
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()

"""The page in a real browser; visibly skipped where there is none."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from repricer.serving import Bundle, example_state
from repricer.serving.http.app import create_app

from .conftest import opened, serving


@pytest.fixture(scope="module")
def url(browser: Any, one_path: Path, one: Bundle) -> Iterator[str]:
    """A running service that two markets have asked."""
    with serving(create_app(one_path)) as address:
        for market in ("north", "south"):
            body = json.dumps(example_state(one.catalogue) | {"market": market}).encode()
            urllib.request.urlopen(
                urllib.request.Request(f"{address}/v1/prices", body, {"content-type": "application/json"})
            )
        yield address


@pytest.fixture(params=[(1280, 900), (390, 844)], ids=["desk", "phone"])
def page(browser: Any, url: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    with opened(browser, url, "#why li", request.param) as page:
        yield page


def test_it_shows_prices_changes_trails_and_alarms(page: Any, one: Bundle) -> None:
    rows = page.locator("tbody tr")
    assert rows.count() == 3
    assert "anchovy" in rows.first.inner_text()
    assert "%" in rows.first.inner_text()
    page.locator("summary").first.click()
    assert "Proposed" in rows.first.inner_text()
    assert "outside the training range" in page.locator(".alarms").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_slider_moves_the_curve_by_keyboard(page: Any) -> None:
    curve = lambda: [page.get_attribute(f"#curve .{part}", name) for part, name in (("point", "cx"), ("chosen", "x1"))]  # noqa: E731
    before, figures = curve(), page.inner_text("#figures")
    page.focus("#price")
    page.keyboard.press("ArrowRight")
    assert curve() != before
    assert page.inner_text("#figures") != figures
    line = page.get_attribute("#curve .line", "d")
    page.focus("#stock")
    page.keyboard.press("Home")  # nothing in stock sells nothing
    page.locator("#figures", has_text="0.0 (0.0 to 0.0) units").wait_for()
    assert page.get_attribute("#curve .line", "d") != line


def test_the_keyboard_reaches_everything_in_order(page: Any) -> None:
    reached = []
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "document.activeElement.id || document.activeElement.className || document.activeElement.tagName"
            )
        )
    for element in ("skip", "market", "scroll", "SUMMARY", "product", "price", "stock"):
        assert element in reached, reached


def test_another_market_can_be_shown(page: Any) -> None:
    assert "Prices of south" in page.content()
    page.select_option("#market", "north")
    page.click("form button")
    page.wait_for_selector("#why li")
    assert "Prices of north" in page.content()


def test_a_name_cannot_become_markup(url: str, one: Bundle, browser: Any) -> None:
    market = "</script><img src=x onerror=alert(1)>"
    body = json.dumps(example_state(one.catalogue) | {"market": market}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{url}/v1/prices", body, {"content-type": "application/json"}))
    page = browser.new_page()
    page.goto(url)
    page.wait_for_selector("#why li")
    assert page.locator("img").count() == 0
    assert market in page.inner_text("#prices-title")
    page.close()


def test_the_page_of_the_api_asks_nobody_else(page: Any, url: str) -> None:
    page.goto(f"{url}/docs")
    page.wait_for_selector(".opblock-tag, .opblock")
    assert page.locator(".opblock", has_text="/v1/prices").first.is_visible()
    page.locator(".opblock", has_text="/v1/what-if").first.click()
    page.wait_for_selector(".opblock-body")

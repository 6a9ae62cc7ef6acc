"""The panels of key-value items and the price index in a real browser, by keyboard alone; visibly skipped without one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from repricer.serving.http.desk_app import create_desk
from repricer.serving.price_list.files import write_list
from repricer.serving.price_list.image import IndexPath, KeyItem, PriceImage, read_image, write_image
from repricer.serving.price_list.rows import PriceRow

from .conftest import opened, serving

NASTY = "<img src=x onerror=alert(1)>"
IMAGE = PriceImage(
    (
        KeyItem(id="007", name="anchovy", score=0.91, reasons=("in 12.0% of baskets", "response -2.3")),
        KeyItem(id="=9", name="cider", score=0.5, reasons=(NASTY,)),
    ),
    (
        IndexPath(
            zone="all stores",
            reference="rival",
            base="competing prices",
            products=3,
            known=2,
            coverage=0.8,
            weeks=tuple(dt.date(2017, 12, 25) + dt.timedelta(weeks=n) for n in range(4)),
            index=(None, 0.98, 1.01, 1.03),
            past=2,
            bound=1.02,
        ),
    ),
)


@pytest.fixture(params=[(1280, 900), (390, 844)], ids=["desk", "phone"])
def page(
    browser: Any, dated_bundle: Path, price_rows: list[PriceRow], tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Any]:
    write_list(tmp_path / "prices.csv", price_rows)
    write_image(tmp_path / "prices.csv", IMAGE)
    app = create_desk(tmp_path / "prices.csv", dated_bundle)
    with serving(app) as url, opened(browser, url, "#key-item-rows tr", request.param, "/price-list") as page:
        page.list = tmp_path / "prices.csv"
        yield page


def test_items_are_decided_by_keyboard(page: Any) -> None:
    page.focus("#by")
    page.keyboard.type("Ann")
    confirm, reject = (page.get_by_role("button", name=f"{what} anchovy", exact=True) for what in ("Confirm", "Reject"))
    page.focus("#key-item-rows button")
    page.keyboard.press("Enter")
    page.locator("#status-line", has_text="anchovy: confirmed by Ann.").wait_for()
    assert (confirm.get_attribute("aria-pressed"), reject.get_attribute("aria-pressed")) == ("true", "false")
    # The focus stays; the next Tab leads to the other decision, and the same key again takes one back.
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.locator("#status-line", has_text="anchovy: rejected by Ann.").wait_for()
    assert read_image(page.list).key_items[0].status == "rejected"
    page.keyboard.press("Space")
    page.locator("#status-line", has_text="anchovy: proposed.").wait_for()
    assert read_image(page.list) == IMAGE


def test_reasons_and_the_index_are_there_as_text(page: Any) -> None:
    assert page.locator("#key-items img").count() == 0
    assert NASTY in page.locator("#key-items").inner_text()
    row = page.locator("#price-index-rows tr").inner_text()
    for text in ("competitors", "0.980", "1.010 to 1.030", "1.020, exceeded", "2 of 3, 80% of the basket"):
        assert text in row
    label = page.locator("#price-index svg").get_attribute("aria-label")
    assert label.startswith("Index against competitors: 0.980 in the week of 2018-01-01, 1.030 in that of 2018-01-15")
    page.focus("#price-index summary")
    page.keyboard.press("Enter")
    assert page.locator("#price-index details li").all_inner_texts()[2] == "2018-01-08: 1.010, list"
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_axe_finds_nothing_serious(page: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe checks the page").Axe()
    found = axe.run(page).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []

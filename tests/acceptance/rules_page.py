"""The approval page on the demo's list: its panels and a typed price by keyboard in headless Chromium, and axe."""

from __future__ import annotations

import functools
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Error, sync_playwright
from repricer.atomic import write_json
from repricer.serving.http.desk_app import create_desk
from repricer.serving.price_list.files import read_list

from ..serving.http.conftest import CHROMIUM, opened, serving
from .checks import Skip, check
from .rules_cost import costs, demo_folder

DESK, PHONE = (1280, 900), (390, 844)
_MOST_TABS, _PATIENCE = 400, 10_000


class Seen(NamedTuple):
    """What went wrong: steps that did not do what they should, and serious findings of axe."""

    failed: list[str]
    serious: list[str]


def tab_to(page: Any, name: str) -> None:
    """Press Tab until the element with this id or label has the focus."""
    for _ in range(_MOST_TABS):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id || document.activeElement.ariaLabel") == name:
            return
    raise AssertionError(f"Tab does not reach {name}")


def rules_panel(page: Any, _: Path) -> None:
    """Every rule is there, the dearest first, and the first that binds a product opens by keyboard."""
    found = costs()
    tab_to(page, "rules-summary")
    page.keyboard.press("Enter")
    names = [text.split("\n")[0] for text in page.locator("#rule-rows th").all_inner_texts()]
    wanted = [one.rule.replace("_", " ") for one in (*found.rules, *found.groups, found.together)]
    assert names == wanted, names
    dearest = next(one for one in found.rules if one.products)
    tab_to(page, f"{len(dearest.products)} products that {dearest.rule.replace('_', ' ')} binds")
    page.keyboard.press("Enter")
    assert dearest.products[0].product in page.locator("#rule-rows details[open] li").first.inner_text()


def typed_override(page: Any, prices: Path) -> None:
    """A typed price shows what it costs, one beyond a firm rule that it will be refused, and nothing is decided."""
    row = page.evaluate("document.querySelector('#rows button:nth-of-type(2)').ariaLabel")
    tab_to(page, row)
    page.keyboard.press("Enter")
    proposed = float(page.locator("#price").input_value())
    for price, text in ((0.97 * proposed, "against the proposed"), (proposed, "Costs nothing against the proposed")):
        page.keyboard.press("Control+A")
        page.keyboard.type(f"{price:.2f}" if price != proposed else f"{proposed}")
        page.locator("#cost", has_text=text).wait_for(timeout=_PATIENCE)
    assert page.locator("#cost").get_attribute("aria-live") == "polite"
    page.keyboard.press("Control+A")
    page.keyboard.type(f"{100 * proposed:.2f}")
    page.locator("#cost", has_text="is allowed").wait_for(timeout=_PATIENCE)
    page.keyboard.press("Escape")
    assert all(one.status == "proposed" for one in read_list(prices))


PANELS: list[Callable[[Any, Path], None]] = [rules_panel, typed_override]
"""What is driven by keyboard, a function of the page and the list's path; a further panel of the page adds its own."""


@functools.cache
def seen() -> Seen:
    """All panels at a desk and on a phone."""
    if CHROMIUM is None:
        raise Skip("needs a Chromium")
    failed, serious = list[str](), list[str]()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        prices = Path(shutil.copy(demo_folder() / "prices.csv", folder))
        write_json(prices.with_name("prices.rules.json"), msgspec.to_builtins(costs()))
        app = create_desk(prices, demo_folder() / "bundle", log=Path(folder, "log.db"))
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for size in (DESK, PHONE):
            with serving(app) as url, opened(browser, url, "#rows tr", size, "/price-list") as page:
                for panel in PANELS:
                    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
                    try:
                        panel(page, prices)
                    except (AssertionError, Error) as error:
                        failed.append(f"{panel.__name__} at {size[0]} pixels: {str(error)[:200]}")
                page.locator("#rows button:nth-of-type(2)").first.focus()
                for state in ("list", "dialog"):
                    if state == "dialog":
                        page.keyboard.press("Enter")
                    found = Axe().run(page).response["violations"]
                    serious += [f"{state}: {one['id']}" for one in found if one["impact"] in ("serious", "critical")]
                if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
                    failed.append(f"wider than {size[0]} pixels")
        browser.close()
    for line in (*failed, *serious):
        print(line, file=sys.stderr)
    return Seen(failed, serious)


@check("rules", "approval page of the demo: panels that the keyboard cannot drive, at a desk and on a phone", "==", 0)
def driven() -> float:
    return float(len(seen().failed))


@check("rules", "approval page of the demo: serious findings of axe, at a desk and on a phone", "==", 0)
def accessible() -> float:
    return float(len(seen().serious))

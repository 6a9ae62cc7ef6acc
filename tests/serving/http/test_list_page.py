"""The page of the price list in a real browser, by keyboard alone; visibly skipped where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from repricer.atomic import write_json
from repricer.evaluation.rule_costs import RuleCosts, rule_costs
from repricer.scenarios import MarketSpec
from repricer.serving.http.app import ServiceSettings, create_app
from repricer.serving.price_list.files import read_list, write_list
from repricer.serving.price_list.rows import PriceRow, sealed

from .conftest import opened, serving

NASTY = "</script><img src=x onerror=alert(1)>"


@pytest.fixture
def listed(price_rows: list[PriceRow], tmp_path: Path) -> Path:
    """The list, with markup in a zone's name."""
    write_list(tmp_path / "prices.csv", [sealed(msgspec.structs.replace(row, zone=NASTY)) for row in price_rows])
    return tmp_path / "prices.csv"


@pytest.fixture(scope="module")
def found(dated_market: MarketSpec) -> RuleCosts:
    return rule_costs(dated_market, draws=4)


@pytest.fixture(params=[(1280, 900), (390, 844)], ids=["desk", "phone"])
def page(browser: Any, dated_bundle: Path, listed: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    settings = ServiceSettings(price_list=str(listed))
    app = create_app(dated_bundle, log=listed.with_name("log.db"), settings=settings)
    with serving(app) as url, opened(browser, url, "#rows tr", request.param, "/price-list") as page:
        yield page


def said(page: Any, text: str) -> None:
    page.locator("#status-line", has_text=text).wait_for()


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def tab_to(page: Any, name: str) -> None:
    """Press Tab until the element with this id or label has the focus."""
    for _ in range(200):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id || document.activeElement.ariaLabel") == name:
            return
    raise AssertionError(f"Tab does not reach {name}")


def test_it_shows_the_list_and_filters_it(page: Any, price_rows: list[PriceRow]) -> None:
    assert page.locator("#rows tr").count() == 24
    assert page.locator("img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    first = page.locator("#rows tr").first.inner_text()
    assert price_rows[0].reason in first
    assert f"{price_rows[0].new_price:.2f}" in first
    tab_to(page, "search")
    outside = [row for row in price_rows if row.outside_charged]
    product, week = outside[0].product, str(outside[0].week)
    page.keyboard.type(product)
    page.locator("#list-title", has_text="8 of 8 prices").wait_for()
    tab_to(page, "outside")
    press(page, "Space")
    count = sum(row.product == product for row in outside)
    page.locator("#list-title", has_text=f"{count} of {count} prices").wait_for()
    page.select_option("#week", week)
    page.locator("#list-title", has_text="1 of 1 prices").wait_for()


def test_the_desk_decides_by_keyboard(page: Any, listed: Path, price_rows: list[PriceRow]) -> None:
    tab_to(page, "by")
    page.keyboard.type("Ann")
    tab_to(page, "Approve anchovy, week of 2018-01-01")
    press(page, "Enter")
    said(page, "anchovy, week of 2018-01-01: approved.")
    # The focus stays in the row.
    assert page.evaluate("document.activeElement.ariaLabel") == "Approve anchovy, week of 2018-01-01"
    tab_to(page, "Override anchovy, week of 2018-02-19")
    press(page, "Enter")
    page.keyboard.press("Control+A")
    page.keyboard.type("99")
    press(page, "Tab")
    page.keyboard.type("the rival is at it")
    press(page, "Enter")
    page.locator("#wrong", has_text="the price must keep the price rule").wait_for()
    page.problems.clear()  # Chromium logs the refusal
    page.focus("#price")
    page.keyboard.press("Control+A")
    page.keyboard.type(f"{price_rows[7].new_price - 0.05:.2f}")
    press(page, "Enter")
    said(page, "anchovy, week of 2018-02-19: overridden.")
    tab_to(page, "Postpone cider, week of 2018-02-19")
    press(page, "Enter", "Escape", "Enter")
    page.keyboard.type("ask the buyer")
    press(page, "Enter")
    said(page, "cider, week of 2018-02-19: postponed.")
    rows = read_list(listed)
    assert (rows[0].status, rows[0].decided_by) == ("approved", "Ann")
    assert (rows[7].status, rows[7].decision_reason) == ("overridden", "the rival is at it")
    assert (rows[23].status, rows[23].decision_reason) == ("postponed", "ask the buyer")
    page.focus("#approve-shown")
    press(page, "Enter")
    said(page, "21 prices: approved.")
    page.focus("#make-live")
    press(page, "Enter")
    said(page, "The list is live: 24 prices, 24 new decisions recorded.")
    assert listed.with_name("live.csv").is_file()


def test_an_override_shows_its_cost_while_it_is_typed(page: Any, listed: Path, price_rows: list[PriceRow]) -> None:
    tab_to(page, "Override anchovy, week of 2018-02-19")
    press(page, "Enter", "Control+A")
    proposed = price_rows[7].new_price
    page.keyboard.type(f"{proposed - 0.05:.2f}")
    cost = page.locator("#cost", has_text=f"currency of profit against the proposed {proposed:.2f}.")
    cost.wait_for()
    assert cost.get_attribute("aria-live") == "polite"
    press(page, "Control+A")
    page.keyboard.type("99")
    page.locator("#cost", has_text="Will be refused: it leaves").wait_for()
    press(page, "Control+A")
    page.keyboard.type(f"{proposed:.2f}")
    page.locator("#cost", has_text="Costs nothing against the proposed").wait_for()
    press(page, "Escape")
    assert read_list(listed) == [sealed(msgspec.structs.replace(row, zone=NASTY)) for row in price_rows]


def test_it_shows_what_each_rule_costs(page: Any, found: RuleCosts, listed: Path) -> None:
    assert page.locator("#rules").is_hidden()
    write_json(listed.with_name("prices.rules.json"), msgspec.to_builtins(found))
    page.reload()
    page.locator("#rules-summary", has_text="the dearest is").wait_for()
    tab_to(page, "rules-summary")
    press(page, "Enter")
    names = page.locator("#rule-rows th").all_inner_texts()
    assert [name.split("\n")[0] for name in names] == [
        one.rule.replace("_", " ") for one in (*found.rules, *found.groups, found.together)
    ]
    assert (
        f"No choice: frozen leave biscuit at {found.no_choice[0].price:.2f}." in page.locator("#no-choice").inner_text()
    )
    dearest = next(one for one in found.rules if one.products)
    tab_to(
        page,
        f"{len(dearest.products)} product{'s' * (len(dearest.products) > 1)} that {dearest.rule.replace('_', ' ')} binds",
    )
    press(page, "Enter")
    assert dearest.products[0].product in page.locator("#rule-rows details[open] li").first.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_axe_finds_nothing_serious(page: Any, found: RuleCosts, listed: Path) -> None:
    write_json(listed.with_name("prices.rules.json"), msgspec.to_builtins(found))
    page.reload()
    page.locator("#rules-summary", has_text="the dearest is").click()
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe checks the page").Axe()
    for state in ("list", "dialog"):
        if state == "dialog":
            page.get_by_role("button", name="Override anchovy, week of 2018-01-01").click()
        found = axe.run(page).response["violations"]
        serious = [one["id"] for one in found if one["impact"] in ("serious", "critical")]
        assert serious == [], (state, serious)

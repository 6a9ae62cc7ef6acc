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
from repricer.serving.http.desk_app import create_desk
from repricer.serving.price_list.files import read_list, write_list
from repricer.serving.price_list.products import by_product
from repricer.serving.price_list.rows import PriceRow, sealed
from repricer.serving.price_list.summary import (
    ListSummary,
    PastRow,
    PosteriorEstimate,
    ProductSummary,
    ZoneSummary,
    proposal_of,
    write_summary,
)

from .conftest import opened, serving

NASTY = "</script><img src=x onerror=alert(1)>"
SIZES = [(1280, 900), (390, 844)]
OUTSIDE = """() => [...document.querySelectorAll("button, input, select, summary, a")].filter((one) => {
  const box = one.getBoundingClientRect();
  return box.width && getComputedStyle(one).position !== "absolute" && (box.left < 0 || box.right > window.innerWidth);
}).map((one) => one.outerHTML)"""
"""The controls that do not lie within the window; the link that is seen with the focus alone is none."""


def outside_window(page: Any) -> list[str]:
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    return page.evaluate(OUTSIDE)


@pytest.fixture
def listed(price_rows: list[PriceRow], tmp_path: Path) -> Path:
    """The list, with markup in a zone's name."""
    write_list(tmp_path / "prices.csv", [sealed(msgspec.structs.replace(row, zone=NASTY)) for row in price_rows])
    return tmp_path / "prices.csv"


@pytest.fixture
def summary(listed: Path) -> ListSummary:
    """A summary beside the list; the second week of the first product is a planned deal."""
    rows = read_list(listed)
    zone = ZoneSummary(
        zone=NASTY,
        verdict="Recommended: other regular prices.",
        metric="profit",
        gain=PosteriorEstimate(0.031, 0.01, 0.052),
        amount=PosteriorEstimate(1234.0, -400.0, 2100.0),
        changed=16,
        at_bound=5,
        bounds={"ceiling": 4, "largest change": 1},
        past=(PastRow("the plan", 100, 250.0, 90.0, 2.5, 0.1), PastRow("the last 8 weeks", 98, 240.0, 88.0, 2.45, 0.2)),
    )
    own = ProductSummary(
        zone=NASTY,
        product_id="007",
        regular_price=2.1,
        planned_deals=(rows[1].week,),
        units=PosteriorEstimate(4.0, -2.0, 9.0),
        cost_of_leaving=PosteriorEstimate(12.5, 3.0, 20.0),
    )
    found = ListSummary(
        proposal=proposal_of(rows), currency="currency", objective="profit", zones=(zone,), products=(own,)
    )
    write_summary(listed, found)
    return found


@pytest.fixture(scope="module")
def found(dated_market: MarketSpec) -> RuleCosts:
    return rule_costs(dated_market, draws=4)


@pytest.fixture(params=SIZES, ids=["desk", "phone"])
def page(browser: Any, dated_bundle: Path, listed: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    app = create_desk(listed, dated_bundle, log=listed.with_name("log.db"))
    with serving(app) as url, opened(browser, url, "#rows tbody tr", request.param, "/price-list") as page:
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


def test_it_shows_a_row_a_product_and_filters_them(page: Any, price_rows: list[PriceRow]) -> None:
    assert page.locator("#rows tbody tr").count() == 3
    assert page.locator("img").count() == 0
    assert outside_window(page) == []
    first = page.locator("#rows tbody tr").first
    assert by_product(price_rows)[0].reason in first.inner_text()
    assert first.inner_text().count("Raised") == 1
    assert first.locator(".cells li").count() == 8
    assert f"{price_rows[0].new_price:.2f}" in first.inner_text()
    tab_to(page, f"Weeks of anchovy, {NASTY}")
    press(page, "Enter")
    assert page.locator("#rows tbody tr").count() == 3 + 8
    assert outside_window(page) == []
    assert page.evaluate("document.activeElement.ariaExpanded") == "true"
    press(page, "Enter")
    assert page.locator("#rows tbody tr").count() == 3
    page.focus("#search")
    page.keyboard.type("cid")
    page.locator("#list-title", has_text="1 of 1 products").wait_for()
    press(page, "Control+A", "Delete")
    tab_to(page, "outside")
    press(page, "Space")
    count = len({row.product for row in price_rows if row.outside_charged})
    page.locator("#list-title", has_text=f"{count} of {count} products").wait_for()


def test_a_product_and_a_single_week_are_decided_by_keyboard(
    page: Any, listed: Path, price_rows: list[PriceRow]
) -> None:
    week, weeks = f"anchovy, {NASTY}, week of 2018-02-19", f"cider, {NASTY}, 8 weeks"
    tab_to(page, "by")
    page.keyboard.type("Ann")
    tab_to(page, f"Weeks of anchovy, {NASTY}")
    press(page, "Enter")
    tab_to(page, f"Override {week}")
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
    said(page, f"{week}: overridden.")
    # The focus stays in the row, whose weeks stay unfolded.
    assert page.evaluate("document.activeElement.ariaLabel") == f"Approve {week}"
    page.focus("#by")
    tab_to(page, f"Approve anchovy, {NASTY}, 7 of 8 weeks")
    press(page, "Enter")
    said(page, "7 of 8 weeks: approved.")
    assert page.evaluate("document.activeElement.ariaLabel") == f"Approve anchovy, {NASTY}, 8 weeks"
    tab_to(page, f"Override {weeks}")
    press(page, "Enter")
    page.keyboard.press("Control+A")
    price = round(price_rows[16].new_price - 0.05, 2)
    page.keyboard.type(f"{price:.2f}")
    page.locator("#cost", has_text="of profit against the proposed").wait_for()
    press(page, "Tab")
    page.keyboard.type("a round price")
    press(page, "Enter")
    said(page, f"{weeks}: overridden.")
    tab_to(page, f"Postpone {weeks}")
    press(page, "Enter", "Escape", "Enter")
    page.keyboard.press("Control+A")
    page.keyboard.type("ask the buyer")
    press(page, "Enter")
    said(page, f"{weeks}: postponed.")
    rows = read_list(listed)
    assert [(row.status, row.decided_by) for row in rows[:7]] == [("approved", "Ann")] * 7
    assert (rows[7].status, rows[7].decision_reason) == ("overridden", "the rival is at it")
    assert {(row.status, row.decision_reason) for row in rows[16:]} == {("postponed", "ask the buyer")}
    page.focus("#approve-shown")
    press(page, "Enter")
    said(page, "8 prices: approved.")
    page.focus("#make-live")
    press(page, "Enter")
    said(page, "The list is live: 24 prices, 24 new decisions recorded.")
    assert listed.with_name("live.csv").is_file()


def test_an_override_shows_its_cost_while_it_is_typed(page: Any, listed: Path, price_rows: list[PriceRow]) -> None:
    tab_to(page, f"Weeks of anchovy, {NASTY}")
    press(page, "Enter")
    tab_to(page, f"Override anchovy, {NASTY}, week of 2018-02-19")
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
    assert outside_window(page) == []
    press(page, "Escape")
    assert read_list(listed) == [sealed(msgspec.structs.replace(row, zone=NASTY)) for row in price_rows]


def test_it_opens_with_the_summary(page: Any, listed: Path, summary: ListSummary) -> None:
    assert page.locator("#summary").is_hidden()
    page.reload()
    page.locator("#summary", has_text="Recommended").wait_for()
    text = page.locator("#summary").inner_text()
    for words in (
        "Recommended: other regular prices.",
        "Expected profit against the current prices: +3.1% (90% interval +1.0% to +5.2%), +1,234 currency (90% interval -400 to +2,100)",
        "5 of 16 changed prices stand at a bound: 4 at ceiling, 1 at largest change.",
        "the last 8 weeks",
    ):
        assert words in text
    page.wait_for_selector("#rows tbody tr")
    first = page.locator("#rows tbody tr").first
    for words in ("+4.0 (−2.0 to +9.0)", "expected to cost 12.50 (3.00 to 20.00)"):
        assert words in first.inner_text()
    assert first.locator(".cells li").nth(1).get_attribute("class") in ("cell kept", "cell dropped")
    assert outside_window(page) == []
    write_list(listed, read_list(listed)[:8])
    page.reload()
    page.locator("#summary", has_text="got that of other rows").wait_for()


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
    assert outside_window(page) == []


def test_axe_finds_nothing_serious(page: Any, found: RuleCosts, listed: Path, summary: ListSummary) -> None:
    write_json(listed.with_name("prices.rules.json"), msgspec.to_builtins(found))
    page.reload()
    page.locator("#rules-summary", has_text="the dearest is").click()
    page.get_by_role("button", name="Weeks of anchovy").click()
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe checks the page").Axe()
    for state in ("list", "dialog"):
        if state == "dialog":
            page.get_by_role("button", name="Override anchovy").first.click()
        found = axe.run(page).response["violations"]
        serious = [one["id"] for one in found if one["impact"] in ("serious", "critical")]
        assert serious == [], (state, serious)


@pytest.mark.parametrize("size", SIZES, ids=["desk", "phone"])
def test_28_products_are_28_rows(
    browser: Any, dated_bundle: Path, tmp_path: Path, size: tuple[int, int], price_rows: list[PriceRow]
) -> None:
    rows = [
        sealed(
            msgspec.structs.replace(
                row, product=f"{row.product} {n}, with the long name of a real product 12 x 330 ml", product_id=str(n)
            )
        )
        for n in range(28)
        for row in price_rows[:8]
    ]
    write_list(tmp_path / "prices.csv", rows)
    app = create_desk(tmp_path / "prices.csv", dated_bundle)
    with serving(app) as url, opened(browser, url, "#rows tbody tr", size, "/price-list") as page:
        assert page.locator("#rows tbody tr").count() == 28
        assert outside_window(page) == []
        for fold in page.locator(".fold").all()[:3]:
            fold.click()
        assert page.locator("#rows tbody tr").count() == 28 + 24
        assert outside_window(page) == []

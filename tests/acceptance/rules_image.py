"""The price image of a chain with two zones: items and index against the raw tables, and the page by keyboard alone."""

from __future__ import annotations

import atexit
import functools
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from repricer.data import ImportReport, Tables, save_tables
from repricer.scenarios import load_scenario
from repricer.serving import DecisionLog, export
from repricer.serving.http.desk_app import create_desk
from repricer.serving.price_list.files import read_list
from repricer.serving.price_list.image import IndexPath, read_image
from repricer.tests.data.shop_shapes import chain
from repricer.tests.serving.conftest import make_run
from repricer.tests.serving.http.conftest import CHROMIUM, serving

from .checks import Skip, check

WEEK, YEAR = pd.Timedelta(days=7), pd.Timedelta(days=364)


def tables() -> Tables:
    """A chain of two zones: receipts, customers, and a rival who charges for three of four products, dearer every week."""
    shop, rng = chain(stores=6, weeks=60, zones=0.1, alike=2), np.random.default_rng(1)
    lines = len(shop.sales)
    receipt = shop.sales["date"].astype(str) + shop.sales["store"] + rng.integers(0, 30, lines).astype(str)
    sales = shop.sales.assign(basket=receipt, customer=rng.integers(0, 400, lines).astype(str))
    weeks = enumerate(sorted(sales["date"].unique()))
    rows = [(week, one, price + w / 100) for w, week in weeks for one, price in (("p0", 2.9), ("p1", 3.5), ("p2", 3.7))]
    signals = pd.DataFrame(rows, columns=["date", "product", "value"]).assign(name="competitor_price")
    return replace(shop, sales=sales, signals=signals)


def said(*command: object) -> dict[str, Any]:
    """The JSON document of a command."""
    words = [sys.executable, "-m", "repricer", *map(str, command), "--json"]
    return json.loads(subprocess.run(words, check=True, capture_output=True).stdout)


@functools.cache
def shop() -> Path:
    """A folder with the tables, a market for each zone, its items and the price list of all zones."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    path = Path(folder.name)
    save_tables(tables(), ImportReport({"sales": 1}, {"sales": 1}, {"sales": {}}), path / "tables")
    how = ("--by", "zone", "--forecaster", "moving-average", "--draws", 8, "--weeks", 4)
    said("fit", path / "tables", "--out", path / "market", *how)
    said("rules", "items", path / "market", "--dataset", path / "tables", "--count", 4)
    said("prices", path / "market", "--out", path / "prices.csv", "--draws", 4)
    said("prices", path / "market", "--zone", "zone-1", "--out", path / "zone.csv", "--draws", 4)
    return path


def index_of(path: IndexPath, sales: pd.DataFrame, list_price: pd.DataFrame) -> list[float]:
    """The index in the weeks of a path, from the sale lines of its zone and the prices of the list."""
    first, signals = pd.Timestamp(path.weeks[path.past]), tables().signals
    assert signals is not None

    def charged(week: pd.Timestamp) -> pd.Series:
        own = sales[sales["date"].between(week, week + WEEK, inclusive="left")]
        return (own["units"] * own["price_paid"]).groupby(own["product"]).sum() / own.groupby("product")["units"].sum()

    def rival(week: pd.Timestamp) -> pd.Series:
        known = signals[signals["date"] < week + WEEK].sort_values("date")
        return known.groupby("product")["value"].last()

    units = sales[sales["date"] >= first - YEAR].groupby("product")["units"].sum()
    found = []
    for number, day in enumerate(map(pd.Timestamp, path.weeks)):
        price = charged(day) if number < path.past else list_price.loc[day]
        ago = {"month": 4 * WEEK, "year": YEAR}
        reference = rival(min(day, first - WEEK)) if path.reference == "rival" else charged(first - ago[path.reference])
        own = units[reference.index]
        found.append(float((own * price[reference.index]).sum() / (own * reference).sum()))
    return found


@check("rules", "price index of two zones, past weeks and list, off the raw tables", "<=", 1e-5)
def index_off_tables() -> float:
    folder, sales = shop(), tables().sales
    stores = json.loads((folder / "market/zones.json").read_text())
    rows = pd.DataFrame(
        [(row.zone, row.product_id, pd.Timestamp(row.week), row.price) for row in read_list(folder / "prices.csv")]
    )
    paths = read_image(folder / "prices.csv").price_index
    if {(path.zone, path.reference) for path in paths} != {(z, r) for z in stores for r in ("rival", "month", "year")}:
        return math.nan
    off = []
    for path in paths:
        price = rows[rows[0] == path.zone].pivot(index=2, columns=1, values=3)
        own = index_of(path, sales[sales["store"].isin(stores[path.zone])], price)
        # In past weeks the market holds a price that moved by less than 1% for the same.
        slack = [0.005 if number < path.past else 0.0 for number in range(len(own))]
        off += [max(abs(a - b) - c, 0) for a, b, c in zip(own, path.index, slack, strict=True) if b is not None]
    return max(off)


@check("rules", "key-value items: reasons that differ from the raw tables", "==", 0)
def wrong_reasons() -> float:
    folder, shop_tables = shop(), tables()
    first = pd.Timestamp(read_list(folder / "prices.csv")[0].week)
    sales = shop_tables.sales[shop_tables.sales["date"] >= first - YEAR]
    share = {name: sales.groupby("product")[name].nunique() / sales[name].nunique() for name in ("basket", "customer")}
    wrong = 0
    for item in read_image(folder / "prices.csv").key_items:
        named = "no competitor price known" if item.id == "p3" else "competitor price known"
        told = [
            f"in {share['basket'][item.id]:.1%} of baskets",
            f"bought by {share['customer'][item.id]:.0%} of customers",
        ]
        wrong += len({*told, named} - {*item.reasons})
    return wrong + (len(read_image(folder / "prices.csv").key_items) != 3)


@contextmanager
def page() -> Iterator[tuple[Any, Path]]:
    """The page of the list of a zone in Chromium, and its folder."""
    if CHROMIUM is None:
        raise Skip("needs Chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise Skip("needs playwright") from error
    folder = shop()
    bundle = folder / "bundle"
    if not bundle.exists():
        export(make_run(load_scenario(folder / "market/zone-1"), product_wise=True), bundle)
    app = create_desk(folder / "zone.csv", bundle, log=folder / "log.db")
    with serving(app) as url, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page()
        tab.goto(f"{url}/price-list")
        tab.wait_for_selector("#key-item-rows tr")
        yield tab, folder
        browser.close()


def tab_to(tab: Any, name: str) -> None:
    """Press Tab until the element with this id or label has the focus."""
    for _ in range(500):
        tab.keyboard.press("Tab")
        if (
            tab.evaluate(
                "document.activeElement.id || document.activeElement.ariaLabel || document.activeElement.textContent"
            )
            == name
        ):
            return
    raise AssertionError(f"Tab does not reach {name}")


@check("rules", "key-value items decided by keyboard and recorded under a name", "==", 2)
def decided_by_keyboard() -> float:
    with page() as (tab, folder):
        tab_to(tab, "by")
        tab.keyboard.type("Ann")
        tab_to(tab, "approve-shown")
        tab.select_option("#week", "")
        tab.keyboard.press("Enter")
        tab.locator("#status-line", has_text="prices: approved").wait_for()
        one, other, *_ = read_image(folder / "zone.csv").key_items
        for what, key, name in (("Confirm", "Enter", one.id), ("Reject", "Space", other.id)):
            tab_to(tab, f"{what} {name}")
            tab.keyboard.press(key)
            tab.locator("#status-line", has_text=f"{name}: {what.lower()}ed by Ann.").wait_for()
        tab_to(tab, "make-live")
        tab.keyboard.press("Enter")
        tab.locator("#status-line", has_text="The list is live").wait_for()
    with closing(DecisionLog(folder / "log.db")) as log:
        rows = list(log.events("item"))
    said("rules", "items", folder / "market", "--list", folder / "zone.csv")
    kept = {row["id"]: row["status"] for row in json.loads((folder / "market/key_items.json").read_text())}
    decided = {(one.id, "confirmed"), (other.id, "rejected")}
    return len(decided & {(row["item"], row["status"]) for row in rows if row["decided_by"] == "Ann"} & {*kept.items()})


@check("rules", "price image on the page: serious findings of axe, and paths without their text", "==", 0)
def serious_findings() -> float:
    from axe_playwright_python.sync_playwright import Axe

    with page() as (tab, _):
        tab_to(tab, "Weeks against competitors, zone-1")
        tab.keyboard.press("Enter")
        found = Axe().run(tab).response["violations"]
        silent = [
            one
            for one in tab.locator("#price-index svg").all()
            if "Index against" not in one.get_attribute("aria-label")
        ]
        weeks = tab.locator("#price-index details[open] li").count()
    return len([one for one in found if one["impact"] in ("serious", "critical")]) + len(silent) + (weeks < 4)

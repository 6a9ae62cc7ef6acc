"""Key-value items by hand, with reasons for what is known and what is not; the index of a list over zones and parts."""

from __future__ import annotations

import datetime as dt
import tomllib
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from repricer.data import Tables
from repricer.planning.price_image import (
    group_of_rules,
    image_of_list,
    keep_items,
    kept_items,
    key_items,
    price_index,
    proposals,
    with_decisions,
)
from repricer.profiles import LEAST_CUSTOMERS
from repricer.scenarios import MarketSpec
from repricer.scenarios.shop_sections import PastSection
from repricer.serving.price_list.image import IndexPath, KeyItem, decided_items
from repricer.serving.price_list.rows import ListError, PriceRow

IDS = ("007", "008", "=9")
MILK = KeyItem(id="7", name="milk", score=0.9)


@pytest.fixture(scope="module")
def market(dated_market: MarketSpec) -> MarketSpec:
    """It begins on 2018-01-01; the basket holds 30 anchovies, 20 biscuits and 50 ciders."""
    past = {"price": np.array([[2.0, 3.0, 5.0], [2.1, 2.9, 5.5]]), "rival_price": [[0, 0, 0], [2.0, 0, 4.0]]}
    own = {"last_rival_price": [2.0, 0.0, 5.0], "month_ago_price": [2.0, 3.0, 5.0], "year_ago_price": [0.0, 0.0, 0.0]}
    return dated_market.with_changes(past=past | own | {"basket_units": [30.0, 20.0, 50.0]})


@pytest.fixture(scope="module")
def tables() -> Tables:
    """Four baskets a customer; all of the 60 customers buy anchovies, three in four times, ten of them a biscuit, 55 cider."""
    day, rows = pd.Timestamp("2017-06-01"), []
    for who in range(60):
        bought = [("007", 0), ("007", 1), ("007", 2)] + [("008", 3)] * (who < 10) + [("=9", 3)] * (who < 55)
        bought += [("soap", 3)]
        rows += [{"product": one, "basket": f"{who} {basket}", "customer": f"c{who}"} for one, basket in bought]
    old = {"product": "008", "basket": "old", "customer": "c0", "date": pd.Timestamp("2015-01-01")}
    sales = pd.DataFrame([*({**row, "date": day} for row in rows), old]).assign(units=1.0, price_paid=2.0)
    return Tables(sales)


RESPONSE = {
    "price_response": [
        {"product": "007", "elasticity": -1.5, "identified": True},
        {"product": "008", "elasticity": -4.0, "identified": False},
        {"product": "=9", "elasticity": -2.34, "identified": True},
    ]
}


def test_scores_and_reasons_by_hand(market: MarketSpec, tables: Tables) -> None:
    found = {item.id: item for item in key_items([(market, RESPONSE)], tables)}
    # Percentiles: baskets 3/3, 1/3, 2/3 (of 240: 180, 10, 55); response 1/2, unknown, 2/2; customers as baskets; rivals.
    assert found["007"].score == pytest.approx((1 + 1 / 2 + 1 + 1) / 4, abs=1e-4)
    assert found["008"].score == pytest.approx((1 / 3 + 1 / 3 + 0) / 3, abs=1e-4)
    assert found["=9"].score == pytest.approx((2 / 3 + 1 + 2 / 3 + 1) / 4, abs=1e-4)
    assert list(found) == ["007", "=9", "008"]
    assert found["=9"].reasons == (
        "in 22.9% of baskets",
        "bought by 92% of customers",
        "response -2.3",
        "competitor price known",
    )
    assert found["008"].reasons == (
        "in 4.2% of baskets",
        f"bought by fewer than {LEAST_CUSTOMERS} customers",
        "response not identified by the sales",
        "no competitor price known",
    )
    assert {item.status for item in found.values()} == {"proposed"}


def test_what_is_not_known_is_said_and_does_not_count(market: MarketSpec, tables: Tables) -> None:
    bare = Tables(tables.sales.drop(columns=["basket", "customer"]))
    for given in (bare, None):
        found = {item.id: item for item in key_items([(market, {})], given)}
        assert found["008"].reasons == (
            "share of baskets not known; 20.0% of units",
            "share of customers not known",
            "response not identified by the sales",
            "no competitor price known",
        )
        # Percentiles of the units 2/3, 1/3, 3/3; rivals.
        assert [found[key].score for key in IDS] == pytest.approx([(2 / 3 + 1) / 2, (1 / 3 + 0) / 2, 1], abs=1e-4)
    # A market of an earlier fit knows neither units nor competing prices.
    older = key_items([(replace(market, past=PastSection()), RESPONSE)])
    assert [(item.id, item.score) for item in older] == [("=9", 1.0), ("007", 0.5), ("008", 0.0)]
    assert older[0].reasons[0] == "share of baskets not known"


def test_a_tenth_is_proposed_and_what_was_decided_stays() -> None:
    items = [KeyItem(id=str(n), name=f"p{n}", score=1 - n / 100) for n in range(50)]
    assert len(proposals(items)) == 5
    decided = decided_items(items, {"p40": "confirmed", "41": "rejected"}, "Ann")
    assert [item.id for item in proposals(decided, 2)] == ["0", "1", "40", "41"]
    again = with_decisions(items[:10], decided)
    assert [(item.id, item.status, item.decided_by) for item in again[10:]] == [
        ("40", "confirmed", "Ann"),
        ("41", "rejected", "Ann"),
    ]
    back = decided_items(decided, {"40": "proposed"}, "Bo")
    assert (back[40].status, back[40].decided_by, back[40].decided_at) == ("proposed", "", "")
    with pytest.raises(
        ListError, match="an item must be the id or the name of a product of the market; got 'p4x'; did"
    ):
        decided_items(items, {"p4x": "confirmed"}, "Ann")


def test_items_are_kept_beside_the_market_and_found_from_its_zones(tmp_path: Path) -> None:
    (tmp_path / "market" / "zone-1").mkdir(parents=True)
    keep_items(tmp_path / "market", [MILK])
    assert kept_items(tmp_path / "market") == kept_items(tmp_path / "market" / "zone-1") == (MILK,)
    (tmp_path / "market" / "key_items.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"key_items.json must hold key-value items; got: .*; remove it, and find"):
        kept_items(tmp_path / "market")


def test_the_confirmed_items_are_a_table_of_the_rules() -> None:
    items = [msgspec.structs.replace(MILK, status="confirmed"), KeyItem(id="8", name="x", score=0.5)]
    items += [KeyItem(id='a "b", [c]', name="brie", score=0.4, status="confirmed")]
    assert tomllib.loads(group_of_rules(items)) == {"group": {"key-value": {"products": ["7", 'a "b", [c]']}}}


def listed(market: MarketSpec, rows: list[PriceRow], price: list[float]) -> list[PriceRow]:
    """The rows at one price for each product."""
    return [msgspec.structs.replace(row, new_price=price[n // 8]) for n, row in enumerate(rows)]


def by_reference(paths: tuple[IndexPath, ...]) -> dict[str, IndexPath]:
    return {path.reference: path for path in paths}


def test_the_index_of_a_list_by_hand(market: MarketSpec, price_rows: list[PriceRow]) -> None:
    found = by_reference(price_index([(market, listed(market, price_rows, [2.2, 3.0, 5.1]))]))
    assert found.keys() == {"rival", "month"}  # of a year ago nothing is known
    rival, month = found["rival"], found["month"]
    assert (rival.products, rival.known, rival.past, len(rival.weeks)) == (3, 2, 2, 10)
    assert rival.weeks[:3] == (dt.date(2017, 12, 18), dt.date(2017, 12, 25), dt.date(2018, 1, 1))
    # (30 * 2.2 + 50 * 5.1) / (30 * 2.0 + 50 * 5.0); in the week before at 2.1 and 5.5, against 2.0 and 4.0.
    assert rival.index[0] is None
    assert rival.index[1] == pytest.approx((63 + 275) / (60 + 200), abs=1e-6)
    assert rival.index[2:] == pytest.approx([(66 + 255) / (60 + 250)] * 8, abs=1e-6)
    assert rival.coverage == pytest.approx((30 * 2.1 + 50 * 5.5) / (30 * 2.1 + 20 * 2.9 + 50 * 5.5), abs=1e-4)
    assert month.base == "prices of the week of 2017-12-04"
    assert month.index[0] == 1.0
    assert month.index[-1] == pytest.approx((66 + 60 + 255) / (60 + 60 + 250), abs=1e-6)
    assert month.coverage == 1.0


def test_parts_of_a_zone_are_one_basket_and_zones_are_apart(market: MarketSpec, price_rows: list[PriceRow]) -> None:
    rows = listed(market, price_rows, [2.2, 3.0, 5.1])
    once, twice = (by_reference(price_index([(market, rows)] * n)) for n in (1, 2))
    assert twice["rival"].index == once["rival"].index
    assert (twice["rival"].known, twice["rival"].products) == (4, 6)
    north = [msgspec.structs.replace(row, zone="north") for row in rows]
    apart = price_index([(market, rows), (market, north)])
    assert [(path.zone, path.reference) for path in apart] == [
        (zone, name) for zone in ("all stores", "north") for name in ("rival", "month")
    ]


def test_a_market_of_an_earlier_fit_has_no_index(
    dated_market: MarketSpec, price_rows: list[PriceRow], tmp_path: Path
) -> None:
    assert price_index([(dated_market, price_rows)]) == ()
    assert image_of_list(tmp_path, [(dated_market, price_rows)]).price_index == ()

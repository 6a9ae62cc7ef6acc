"""Stores whose regular prices agree are one zone; the zones' sales are comparable at one price level."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from repricer.data import DataError, Tables, sales_panel, with_prices
from repricer.fitting import fit
from repricer.fitting.zones import Zone, at_price_level, price_zones, zone_panel, zone_tables
from repricer.forecasting import MovingAverage
from repricer.tests.data.shop_shapes import chain

TABLES = chain(zones=0.1, alike=3)
ZONES = price_zones(TABLES.sales)


def test_stores_with_the_same_regular_prices_are_found_in_spite_of_own_closed_weeks():
    assert sorted(map(len, ZONES.values())) == [27, 28, 28]
    for stores in ZONES.values():
        assert len({int(store[1:]) % 3 for store in stores}) == 1
    assert price_zones(chain(zones=0.0).sales) == {"zone-1": tuple(sorted(f"s{n}" for n in range(83)))}
    assert len(price_zones(chain(zones=0.5).sales)) <= 20


def test_each_store_can_be_a_zone_but_not_each_of_83():
    few = chain(stores=3)
    assert set(price_zones(few.sales, "store").values()) == {("s0",), ("s1",), ("s2",)}
    with pytest.raises(DataError, match="zones must be at most 20; got 83 stores; fit by zone"):
        price_zones(TABLES.sales, "store")
    with pytest.raises(DataError, match="sales must name the store of every line"):
        price_zones(TABLES.sales.drop(columns="store"))


def test_stores_whose_names_differ_in_other_signs_alone_are_all_kept():
    few = chain(stores=3).sales
    for names in (("Nord 1", "nord-1", "Süd"), ("東京", "大阪", "京都"), ("a", "A", "a-2")):
        zones = price_zones(
            few.assign(store=few["store"].map(dict(zip(("s0", "s1", "s2"), names, strict=True)))), "store"
        )
        assert sorted(zones.values()) == sorted((name,) for name in names)


def test_sales_of_all_zones_at_one_price_level():
    zone = Zone("zone-2", ZONES)
    own = zone_tables(TABLES, zone).sales
    assert set(own["store"]) == set(ZONES["zone-2"])
    sold = at_price_level(panel(TABLES.sales, "p0", "p1"), zone)
    here = own.groupby("product")["regular_price"].median()
    for name in ZONES:
        np.testing.assert_allclose(sold["regular_price"].sel(store=name).median("week"), here[["p0", "p1"]])
    lines = TABLES.sales[TABLES.sales["product"].isin(["p0", "p1"])]
    assert sold["units"].sum() == lines["units"].sum()


def panel(sales: pd.DataFrame, *products: str):
    return with_prices(sales_panel(Tables(sales), products))


def test_a_price_level_is_that_of_the_same_weeks():
    """Prices are the same in both zones and rise in the middle; one sells more before, the other after."""
    weeks, zone = pd.date_range("2024-01-01", periods=20, freq="7D"), Zone("old", {"old": ("a",), "new": ("b",)})
    price = np.where(np.arange(20) < 10, 2.0, 2.6)
    lines = pd.DataFrame({"date": weeks, "product": "tea", "units": 1.0, "price_paid": price, "regular_price": price})
    sales = pd.concat([lines.assign(store="a"), lines[:3].assign(store="a"), lines[7:].assign(store="b")])
    for name in ("old", "new"):
        found = at_price_level(panel(sales, "tea"), replace(zone, name=name))["regular_price"]
        np.testing.assert_allclose(found.sel(store="old", product="tea"), price)
        np.testing.assert_allclose(found.sel(store="new", product="tea")[7:], price[7:])


def test_products_are_chosen_at_the_prices_of_a_zone():
    """Over all zones, which differ by 5%, only half of the products have one price a week."""
    tables = chain(stores=6, weeks=30, zones=0.05, alike=2)
    zones = price_zones(tables.sales)
    fitted = fit(tables, zone=Zone("zone-2", zones), forecaster=MovingAverage(), weeks=2, holdout_weeks=2, draws=4)
    assert sorted(fitted.spec.products.ids) == ["p0", "p1", "p2", "p3"]


def test_what_zones_cannot_do_is_refused():
    zone = Zone("zone-1", ZONES)
    alone = TABLES.sales[(TABLES.sales["product"] != "p1") | TABLES.sales["store"].isin(ZONES["zone-1"])]
    with pytest.raises(DataError, match="got none of p1 in zone-2; exclude it"):
        at_price_level(panel(alone, "p0", "p1"), zone)
    alone = alone[(alone["product"] != "p0") | ~alone["store"].isin(ZONES["zone-1"])]
    with pytest.raises(DataError, match="got none of p0 in zone-1, p1 in zone-2; exclude them"):
        at_price_level(panel(alone, "p0", "p1", "p2"), zone)
    with pytest.raises(DataError, match="got none of gone; find the zones anew"):
        zone_panel(panel(alone, "p2"), Zone("gone", {"gone": ("s99",)}))
    plan = pd.DataFrame({"date": [TABLES.sales["date"].max()], "product": ["p0"], "price": [3.0]})
    with pytest.raises(DataError, match="a plan must hold for all stores"):
        zone_tables(Tables(TABLES.sales, TABLES.products, plan=plan), zone)
    stock = pd.DataFrame({"date": plan["date"], "product": "p0", "on_hand": 9.0})
    some = pd.concat([stock.assign(store="s0"), stock])
    for counts in (stock, some):
        with pytest.raises(
            DataError, match=r"stock must name the store of every count .* got 1 of \d without; name them"
        ):
            zone_tables(Tables(TABLES.sales, stock=counts), zone)
    alone = zone_tables(Tables(TABLES.sales, stock=stock), Zone("zone-1", {"zone-1": ("s0",)})).stock
    assert alone is not None
    assert alone["on_hand"].tolist() == [9.0]

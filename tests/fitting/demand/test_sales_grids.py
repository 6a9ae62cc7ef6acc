"""Past sales as arrays: what was not on sale, because nobody was there to sell it, says nothing of demand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from repricer.data import Tables, product_weeks, sales_panel, with_prices
from repricer.fitting.demand import SalesGrids
from repricer.fitting.demand.candidate_models import suspect_effects

WEEKS = pd.date_range("2024-01-01", periods=6, freq="7D")


def sold(weeks, product: str, store: str) -> pd.DataFrame:
    row = {"product": product, "store": store, "units": 9.0, "price_paid": 2.0, "regular_price": 2.0}
    return pd.DataFrame({"date": weeks}).assign(**row)


def by_store(sales: pd.DataFrame, days: int = 7):
    return with_prices(sales_panel(Tables(sales), days=days))


def test_a_store_that_sold_nothing_was_closed():
    # Store b sells no tea in week 1, but milk; in week 3 it sells nothing.
    parts = [sold(WEEKS, "tea", "a"), sold(WEEKS[[0, 2, 4, 5]], "tea", "b"), sold(WEEKS[[1]], "milk", "b")]
    sales = pd.concat(parts).sort_values("date")
    grids = SalesGrids.of(product_weeks(sales).query("product == 'tea'"), ["tea"], by_store(sales))
    assert grids.stores == ("a", "b")
    assert np.isfinite(grids.price[0]).all()
    assert np.isfinite(grids.price[1, :, 0]).tolist() == [True, True, True, False, True, True]
    assert grids.units[1, :, 0].tolist() == [9, 0, 9, 0, 9, 9]


def test_a_week_in_which_the_shop_sold_nothing_is_closed():
    panel = product_weeks(sold(WEEKS[[0, 1, 2, 4, 5]], "tea", "a"))
    grids = SalesGrids.of(panel, ["tea"])
    assert np.isfinite(grids.price[0, :, 0]).tolist() == [True, True, True, False, True, True]


@pytest.mark.parametrize("days", [7, 1])
def test_a_store_without_a_sale_has_the_reductions_of_the_others(days):
    """Were its price the regular one, a reduction in all stores would seem to sell nothing there."""
    weeks = pd.date_range("2024-01-01", periods=6, freq=f"{days}D")
    tea = pd.concat([sold(weeks, "tea", "a"), sold(weeks[[0, 1, 3, 5]], "tea", "b").assign(regular_price=4.0)])
    tea = tea[tea["date"] != weeks[4]]
    tea["price_paid"] = tea["regular_price"] * np.where(tea["date"].isin(weeks[[1, 2]]), 0.75, 1.0)
    sales = pd.concat([tea, sold(weeks, "milk", "a"), sold(weeks, "milk", "b")]).sort_values("date")
    grids = SalesGrids.of(product_weeks(sales, days=days).query("product == 'tea'"), ["tea"], by_store(sales, days))
    assert grids.units[1, :, 0].tolist() == [9, 9, 0, 9, 0, 9]
    # Store a reduces in week 2; in week 4 nobody sells any.
    np.testing.assert_allclose(grids.price[1, :, 0], [4, 3, 3, 4, 4, 4])


def test_a_row_without_units_says_the_price_of_its_store():
    tea = pd.concat([sold(WEEKS, "tea", "a"), sold(WEEKS, "tea", "b").assign(units=[9.0, 9, 0, 9, 9, 9])])
    tea["price_paid"] = np.where(tea["units"] == 0, 1.5, 2.0)
    sales = pd.concat([tea, sold(WEEKS, "milk", "b")]).sort_values("date")
    grids = SalesGrids.of(product_weeks(sales).query("product == 'tea'"), ["tea"], by_store(sales))
    assert grids.price[1, :, 0].tolist() == [2, 2, 1.5, 2, 2, 2]


def test_what_is_not_known_of_a_product_is_no_warning():
    """Nobody knows what milk costs, and store b never sold any."""
    tea = pd.concat([sold(WEEKS, "tea", "a"), sold(WEEKS, "tea", "b")]).assign(unit_cost=1.0)
    sales = pd.concat([tea, sold(WEEKS, "milk", "a").assign(unit_cost=np.nan)]).sort_values("date")
    sales["units"] += 50.0
    for cost, moves in ((1.0, False), (1.1, True)):
        sales.loc[(sales["product"] == "tea") & (sales["date"] == WEEKS[3]), "unit_cost"] = cost
        grids = SalesGrids.of(product_weeks(sales), ["milk", "tea"], by_store(sales))
        assert (grids.unit_cost is not None) == moves
    assert np.isnan(grids.regular[1, :, 0]).all()
    assert suspect_effects(replace(grids, unit_cost=None)) == {}


def test_stores_of_other_weeks_or_products_are_an_error():
    sales = pd.concat([sold(WEEKS, "tea", "a"), sold(WEEKS, "tea", "b")])
    panel, stores = product_weeks(sales), by_store(sales)
    assert SalesGrids.of(panel, ["tea"], stores).stores == ("a", "b")
    for other in (stores.isel(week=slice(1, None)), stores.assign_coords(week=WEEKS + pd.Timedelta(days=1))):
        with pytest.raises(ValueError, match="week"):
            SalesGrids.of(panel, ["tea"], other)
    with pytest.raises(KeyError):
        SalesGrids.of(panel, ["tea"], stores.assign_coords(product=["milk"]))

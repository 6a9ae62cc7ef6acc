"""What stores sold of some products, day by day: the numbers that experiments are planned and read with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd
import polars as pl
import xarray as xr

from ...data import Tables
from ...data.panel.aggregation import WHOLE_SHOP
from .designs import DAYS

_SALES_COLUMNS = ["date", "store", "product", "units", "price_paid", "regular_price"]
_FEW_WEEKS = 3


def by_week(days: np.ndarray) -> bool:
    """Whether the days of sales mean weeks: they are many, and all of one weekday.

    Args:
        days: Day numbers.

    Example:
        >>> by_week(np.arange(0, 35, 7)), by_week(np.arange(35))
        (True, False)
    """
    return bool(np.ptp(days) > _FEW_WEEKS * DAYS and len(np.unique(days % DAYS)) == 1)


def store_days(tables: Tables, products: Sequence[str], first: date, end: date) -> xr.Dataset:
    """Units, revenue, and revenue at regular prices by store, product and day; NaN where a store sells nothing all day.

    Sales by week, which are all dated on the same weekday, are spread evenly over the seven days from that day on.

    Args:
        tables: The shop's tables. Where no sale names a store, all are of one; else sales without a store are left out.
        products: Ids of the products.
        first: First day.
        end: The day after the last.

    Raises:
        ValueError: There are no sales between these days.

    Example:
        >>> days = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03"])
        >>> sales = pd.DataFrame({"date": days, "product": ["tea", "milk", "tea"], "units": 2.0, "price_paid": 3.0})
        >>> store_days(Tables(sales), ["tea"], date(2024, 1, 1), date(2024, 1, 4))["revenue"].values.ravel().tolist()
        [6.0, 0.0, 6.0]
    """
    date_sold = pl.col("date").dt.date()
    lines = tables.sale_lines(_SALES_COLUMNS)
    columns = lines.collect_schema()
    named = "store" in columns and lines.select(pl.col("store").is_not_null().any()).collect().item()
    store = pl.col("store").cast(pl.String) if named else pl.lit(WHOLE_SHOP)
    lines = lines.filter(date_sold.is_between(first, end, closed="left"))
    lines = lines.with_columns(store=store, day=(date_sold - first).dt.total_days()).drop_nulls("store")
    # Whatever the product, a sale shows that the store was open.
    open_days = lines.group_by("store", "day").len().collect().to_pandas()
    units = pl.col("units")
    paid = units * pl.col("price_paid")
    at_regular = units * pl.col("regular_price") if "regular_price" in columns else paid
    tested = lines.filter(pl.col("product").is_in(list(products))).group_by("store", "product", "day")
    sums = tested.agg(units.sum(), paid.sum().alias("revenue"), at_regular.sum().alias("regular_revenue")).collect()
    if not len(sums):
        raise ValueError(f"sales must hold the tested products from {first} to {end}; got none; import later sales")
    days = np.arange((end - first).days)
    stores = sorted(open_days["store"].unique())
    found = sums.to_pandas().set_index(["store", "product", "day"]).to_xarray()
    found = found.reindex(store=stores, product=list(products), day=days).fillna(0.0)
    found["open"] = xr.DataArray(pd.crosstab(open_days["store"], open_days["day"]).reindex(columns=days, fill_value=0))
    if by_week(open_days["day"].to_numpy()):
        # A day takes a seventh of the sales dated on the first day of its week, or nothing where that day is too early.
        week_start = days - (days - open_days["day"].iloc[0]) % DAYS
        within = xr.DataArray(week_start >= 0, dims="day")
        found = found.isel(day=np.maximum(week_start, 0)).where(within, 0.0) / DAYS
    found = found.assign_coords(day=pd.date_range(first, periods=len(days)))
    return found.drop_vars("open").where(found["open"] > 0)

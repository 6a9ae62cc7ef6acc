"""The sales of every store, product and week as one labelled data set."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import xarray as xr

from ..tables import Tables
from ..weeks import Weeks, period_of
from .regular_prices import regular_prices
from .weekly import whole_weeks

WHOLE_SHOP = "all"
"""The one store of sales that name none."""
_COLUMNS = ["date", "store", "product", "units", "price_paid", "regular_price", "unit_cost"]


def store_weeks(tables: Tables, products: Sequence[str], weeks: pd.DatetimeIndex) -> xr.Dataset:
    """Units and prices of every store, week and product.

    Args:
        tables: The shop's tables.
        products: N products, in this order.
        weeks: First days of the W weeks, or of days.

    Returns:
        Variables over the axes `store`, `week` and `product`:

        - `units`: units sold, 0 where nothing was;
        - `price` and `regular_price`: currency per unit, weighted by units, NaN without a sale; the latter as
          `regular_prices` finds it;
        - `unit_cost`: currency per unit, where the sales give any.

    Example:
        >>> weeks = pd.date_range("2024-01-01", periods=2, freq="7D")
        >>> sales = pd.DataFrame({"date": weeks, "product": "tea", "units": 3.0, "price_paid": 2.0, "regular_price": 2.0})
        >>> store_weeks(Tables(sales), ["tea"], weeks)["units"].sel(store="all", product="tea").values.tolist()
        [3.0, 3.0]
    """
    calendar = Weeks(weeks[0].to_pydatetime(), len(weeks), period_of(weeks).days)
    lines = tables.sale_lines(_COLUMNS).filter(pl.col("product").is_in(list(products)))
    columns = lines.collect_schema().names()
    if "store" not in columns:
        lines = lines.with_columns(store=pl.lit(WHOLE_SHOP))
    units = pl.col("units")
    sums = {"units": units, "paid": units * pl.col("price_paid"), "listed": units * pl.col("regular_price")}
    if "unit_cost" in columns:
        sums |= {"cost": units * pl.col("unit_cost"), "costed": units.filter(pl.col("unit_cost").is_not_null())}
    lines = lines.with_columns(
        pl.col("store").cast(pl.String).fill_null(WHOLE_SHOP), week=calendar.number(pl.col("date"))
    )
    totals = lines.filter(pl.col("week").is_between(0, len(weeks) - 1)).group_by("store", "week", "product")
    found = totals.agg(**{name: value.sum() for name, value in sums.items()}).collect(engine="streaming")
    stores = found["store"].unique().sort().to_list()
    shape = (len(stores), len(weeks), len(products))
    where = (
        pd.Index(stores).get_indexer(pd.Index(found["store"].to_list())),
        found["week"].to_numpy(),
        pd.Index(products).get_indexer(pd.Index(found["product"].to_list())),
    )

    def grid(name: str) -> np.ndarray:
        values = np.zeros(shape)
        values[where] = found[name].to_numpy()
        return values

    sold = grid("units")
    with np.errstate(invalid="ignore", divide="ignore"):
        price, listed = (np.where(sold > 0, grid(name) / sold, np.nan) for name in ("paid", "listed"))
        cost = {"unit_cost": grid("cost") / grid("costed")} if "cost" in sums else {}
    values = {"units": sold, "price": price, "regular_price": regular_prices(price, listed, calendar.days), **cost}
    return xr.Dataset(
        {name: (("store", "week", "product"), array) for name, array in values.items()},
        coords={"store": stores, "week": weeks, "product": list(products)},
    )


def with_regular_prices(tables: Tables, products: Sequence[str]) -> Tables:
    """The tables with the regular price of every sale line, found store by store where the tables give none.

    Args:
        tables: The shop's tables; as they are where any line was sold below its regular price.
        products: The products whose regular prices are wanted.

    Example:
        >>> weeks = pd.date_range("2024-01-01", periods=9, freq="7D")
        >>> paid = [2.0, 2.0, 2.0, 1.5, 2.0, 2.0, 2.0, 2.0, 2.0]
        >>> sales = pd.DataFrame({"date": weeks, "product": "tea", "units": 3.0, "price_paid": paid, "regular_price": paid})
        >>> with_regular_prices(Tables(sales), ["tea"]).sales["regular_price"].unique().tolist()
        [2.0]
    """
    sales = tables.sales
    if not len(sales) or (sales["regular_price"] > sales["price_paid"] * (1 + 1e-6)).any():
        return tables
    with warnings.catch_warnings(action="ignore"):  # the panel warns of left out weeks
        calendar = whole_weeks(tables.sale_lines(["date"]))
    weeks = pd.DatetimeIndex(calendar.first_days(calendar.numbers()).to_numpy())
    panel = store_weeks(tables, products, weeks)
    store = sales["store"].astype(object).where(sales["store"].notna(), WHOLE_SHOP) if "store" in sales else WHOLE_SHOP
    at = (
        np.zeros(len(sales), dtype=int)
        if isinstance(store, str)
        else panel.indexes["store"].get_indexer(pd.Index(store.astype(str))),
        (sales["date"] - weeks[0]) // period_of(weeks),
        panel.indexes["product"].get_indexer(pd.Index(sales["product"])),
    )
    known = np.all(
        [(index >= 0) & (index < size) for index, size in zip(at, panel["price"].shape, strict=True)], axis=0
    )
    listed = sales["regular_price"].to_numpy(dtype=np.float64, copy=True)
    found = panel["regular_price"].to_numpy()[tuple(np.asarray(index)[known] for index in at)]
    listed[known] = np.fmax(found, listed[known])
    return replace(tables, sales=sales.assign(regular_price=listed))

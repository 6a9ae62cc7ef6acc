"""The price that was charged in a week: that of most stores, never a mean of several."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import polars as pl

from ..experiments import WHOLE_SHOP
from ..tables import Tables
from ..weeks import WEEK, YEAR_WEEKS, Weeks

CHARGED = "charged"
"""The column of a panel that holds what `charged_prices` finds."""
_CHARGED_CLOSE = 0.05
"""A price this close to one that was charged is that one."""
_PRICED = ["date", "store", "product", "units", "price_paid"]


def charged_prices(tables: Tables, weeks: Weeks, products: Sequence[str]) -> pd.DataFrame:
    """The price of each product and week in which it was sold: in each store that of most units, and of these that of most stores.

    Of prices that as many stores charged, it is the one of more units, then the higher one.

    Args:
        tables: The shop's tables.
        weeks: The weeks.
        products: The products.

    Returns:
        `product`, `week` (first day) and `charged`, currency per unit.

    Example:
        >>> day = pd.Timestamp("2024-01-01")
        >>> sales = pd.DataFrame({"date": day, "store": list("abc"), "product": "tea", "units": [1.0, 1.0, 9.0]})
        >>> tables = Tables(sales.assign(price_paid=[2.79, 2.79, 2.5]))
        >>> charged_prices(tables, Weeks(day.to_pydatetime(), 1), ["tea"])["charged"].tolist()
        [2.79]
    """
    lines = tables.sale_lines(_PRICED)
    store = (
        pl.col("store").cast(pl.String).fill_null(WHOLE_SHOP)
        if "store" in lines.collect_schema()
        else pl.lit(WHOLE_SHOP)
    )
    rows = lines.with_columns(pl.col("product").cast(pl.String), store=store, week=weeks.number(pl.col("date")))
    rows = rows.filter(
        pl.col("product").is_in(list(products))
        & pl.col("week").is_between(0, weeks.count - 1)
        & (pl.col("price_paid") > 0)
    )
    own = rows.group_by("product", "week", "store", "price_paid").agg(pl.col("units").sum())
    keys, price = ["product", "week"], pl.col("price_paid")
    by_store = own.sort("units", price, descending=True).unique([*keys, "store"], keep="first", maintain_order=True)
    over_stores = by_store.group_by(*keys, "price_paid").agg(pl.len(), pl.col("units").sum())
    most = over_stores.sort("len", "units", price, descending=True).unique(keys, keep="first", maintain_order=True)
    found = most.select(*keys, charged=price).sort(keys).collect(engine="streaming")
    return found.with_columns(week=weeks.first_days(found["week"])).to_pandas()


def with_charged(panel: pd.DataFrame, tables: Tables) -> pd.DataFrame:
    """A weekly panel with the column `charged` of `charged_prices`, NaN without a sale.

    Args:
        panel: As `product_weeks` returns it.
        tables: The tables that it was made of.

    Example:
        >>> day = pd.Timestamp("2024-01-01")
        >>> sales = pd.DataFrame({"date": day, "product": "tea", "units": [1.0, 3.0], "price_paid": [2.0, 3.0]})
        >>> with_charged(pd.DataFrame({"product": ["tea"], "week": [day]}), Tables(sales))["charged"].tolist()
        [3.0]
    """
    found = charged_prices(tables, Weeks.over(panel["week"]), list(panel["product"].unique()))
    return panel.merge(found, on=["product", "week"], how="left")


def as_charged(panel: pd.DataFrame, product: pd.Series, price: pd.Series) -> pd.Series:
    """Prices as the shop charged them in the last year of a panel, where one of these is close; others as they are.

    Args:
        panel: A weekly panel; without the column `charged`, no price is known to have been charged.
        product: The product of each price.
        price: The prices, currency per unit.

    Example:
        >>> panel = pd.DataFrame({"product": "tea", "week": pd.date_range("2024-01-01", periods=2, freq="7D")})
        >>> panel = panel.assign(charged=[2.79, 1.99])
        >>> as_charged(panel, pd.Series(["tea"] * 3), pd.Series([2.76, 2.0, 2.4])).tolist()
        [2.79, 1.99, 2.4]
    """
    if CHARGED not in panel:
        return price
    lately = panel[panel["week"] > panel["week"].max() - YEAR_WEEKS * WEEK].dropna(subset=CHARGED)
    known = {str(name): own.unique() for name, own in lately.groupby("product")[CHARGED]}

    def nearest(own: pd.Series) -> pd.Series:
        prices = known.get(str(own.name), np.array([np.inf]))
        near = prices[np.abs(prices - own.to_numpy()[:, None]).argmin(axis=1)]
        return own.mask(np.abs(near / own - 1) <= _CHARGED_CLOSE, near)

    return price.groupby(product.to_numpy(), sort=False).transform(nearest)

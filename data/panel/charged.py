"""What was charged in a week: the price of most stores and how far they reduced it, never a mean of several."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import polars as pl
import xarray as xr

from ..experiments import WHOLE_SHOP
from ..tables import Tables
from ..weeks import WEEK, YEAR_WEEKS, Weeks, to_polars
from .aggregation import carried_forward, with_prices

CHARGED = "charged"
"""Column of a panel: the price that more than half of the stores charged."""
CHARGED_SHARE = "charged_share"
"""Column: the price over the store's own regular one that half of the stores charged or exceeded; at most 1."""
REGULAR_LEVEL = "regular_level"
"""Column: the regular price by `regular_levels`."""
_CHARGED_CLOSE = 0.05
"""A price this close to one that was charged is that one."""
_IN_COMMON = 0.5
"""Stores have prices in common where most of them charged one in more than this share of the weeks."""
_PRICED = ["date", "store", "product", "units", "price_paid"]
_KEYS = ["product", "week"]


def charged_prices(tables: Tables, weeks: Weeks, products: Sequence[str], stores: xr.Dataset) -> pd.DataFrame:
    """What most stores charged for each product in each week in which it was sold, in each store the price of most units.

    Where stores have price levels of their own, no price is that of most of them; how far they reduce it is.

    Args:
        tables: The shop's tables.
        weeks: The weeks.
        products: The products.
        stores: The panel of the tables by store, as `sales_panel` returns it, which knows each store's regular prices.

    Returns:
        `product`, `week` (first day), `charged`, the price of more than half of the stores, currency per unit, NaN for none,
        and `charged_share`, the price over the store's own regular one that half of the stores charged or exceeded, at most 1.

    Example:
        >>> from repricer.data import sales_panel
        >>> day = pd.Timestamp("2024-01-01")
        >>> sales = pd.DataFrame({"date": day, "store": list("abc"), "product": "tea", "units": [1.0, 1.0, 9.0]})
        >>> tables = Tables(sales.assign(price_paid=[2.79, 2.79, 2.5], regular_price=2.79))
        >>> found = charged_prices(tables, Weeks(day.to_pydatetime(), 1), ["tea"], sales_panel(tables))
        >>> found[["charged", "charged_share"]].to_numpy().tolist()
        [[2.79, 1.0]]
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
    price = pl.col("price_paid")
    regular = pl.col("regular_price")
    own = rows.group_by(*_KEYS, "store", "price_paid").agg(pl.col("units").sum())
    by_store = own.sort("units", price, descending=True).unique([*_KEYS, "store"], keep="first", maintain_order=True)
    by_store = by_store.join(_regular_prices(stores, weeks).lazy(), on=[*_KEYS, "store"], how="left")
    share = (price / regular.fill_nan(None)).clip(upper_bound=1.0).fill_null(1.0)
    reduced = by_store.group_by(_KEYS).agg(pl.len().alias("stores"), charged_share=share.quantile(0.5, "higher"))
    most = by_store.group_by(*_KEYS, "price_paid").agg(charging=pl.len())
    most = most.join(reduced, on=_KEYS).filter(2 * pl.col("charging") > pl.col("stores"))
    found = reduced.join(most.select(*_KEYS, charged=price), on=_KEYS, how="left").sort(_KEYS)
    frame = found.select(*_KEYS, CHARGED, CHARGED_SHARE).collect(engine="streaming")
    return frame.with_columns(week=weeks.first_days(frame["week"])).to_pandas()


def _regular_prices(stores: xr.Dataset, weeks: Weeks) -> pl.DataFrame:
    """The regular price of each product, week and store of a panel in which it was sold."""
    table = with_prices(stores)["regular_price"].to_dataframe().dropna().reset_index()
    known = to_polars(table, [*_KEYS, "store", "regular_price"])
    return known.with_columns(pl.col("product", "store").cast(pl.String), week=weeks.number(pl.col("week")))


def with_charged(panel: pd.DataFrame, tables: Tables, stores: xr.Dataset) -> pd.DataFrame:
    """A weekly panel with the columns `charged` and `charged_share` of `charged_prices`, NaN without a sale, and with the
    `regular_level` of `regular_levels`.

    Args:
        panel: As `product_weeks` returns it.
        tables: The tables that it was made of.
        stores: Their panel by store, as `sales_panel` returns it.

    Example:
        >>> from repricer.data import sales_panel
        >>> day = pd.Timestamp("2024-01-01")
        >>> sales = pd.DataFrame({"date": day, "product": "tea", "units": [1.0, 3.0], "price_paid": [2.0, 3.0]})
        >>> tables = Tables(sales.assign(regular_price=3.0))
        >>> with_charged(pd.DataFrame({"product": ["tea"], "week": [day]}), tables, sales_panel(tables))["charged"].tolist()
        [3.0]
    """
    found = charged_prices(tables, Weeks.over(panel["week"]), list(panel["product"].unique()), stores)
    level = regular_levels(stores).to_series().rename(REGULAR_LEVEL).reset_index()
    return panel.merge(found, on=_KEYS, how="left").merge(level, on=_KEYS, how="left")


def regular_levels(stores: xr.Dataset) -> xr.DataArray:
    """The mean of the stores' regular prices by week and product, at the units that each sold in the last year of a panel.

    Weighted by the units of the week, it would move with what each store happens to sell in it. In an experiment a store's
    is the planned one.

    Args:
        stores: The panel by store, as `sales_panel` returns it.

    Returns:
        Currency per unit, NaN for products that were not sold in the last year.

    Example:
        >>> from repricer.data import sales_panel
        >>> days = pd.to_datetime(["2024-01-01", "2024-01-01", "2024-01-08", "2024-01-08"])
        >>> sales = pd.DataFrame({"date": days, "store": list("abab"), "product": "tea", "units": [1.0, 3.0, 3.0, 1.0]})
        >>> sales = sales.assign(price_paid=[2.0, 3.0, 2.0, 3.0], regular_price=[2.0, 3.0, 2.0, 3.0])
        >>> regular_levels(sales_panel(Tables(sales))).values.ravel().tolist()
        [2.5, 2.5]
    """
    backward = {"week": slice(None, None, -1)}
    prices = with_prices(stores)
    regular = carried_forward(prices["planned_regular" if "planned_regular" in prices else "regular_price"])
    regular = carried_forward(regular.isel(backward)).isel(backward)
    lately = stores["week"] > stores["week"].max() - np.timedelta64(YEAR_WEEKS * WEEK.days, "D")
    sold = stores["units"].where(lately, 0.0).sum("week").where(np.isfinite(regular))
    return (regular * sold).sum("store") / sold.sum("store").where(sold.sum("store") > 0)


def as_charged(panel: pd.DataFrame, product: pd.Series, price: pd.Series) -> pd.Series:
    """Prices as the shop charged them in the last year of a panel, where one of these is close; others as they are, such as
    those of products for which stores have prices of their own.

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
    lately = _last_year(panel)
    lately = lately[lately["product"].isin(_in_common(lately))].dropna(subset=CHARGED)
    known = {str(name): own.unique() for name, own in lately.groupby("product")[CHARGED]}

    def nearest(own: pd.Series) -> pd.Series:
        prices = known.get(str(own.name), np.array([np.inf]))
        near = prices[np.abs(prices - own.to_numpy()[:, None]).argmin(axis=1)]
        return own.mask(np.abs(near / own - 1) <= _CHARGED_CLOSE, near)

    return price.groupby(product.to_numpy(), sort=False).transform(nearest)


def without_common_prices(panel: pd.DataFrame) -> list[str]:
    """The products for which most stores had no price in common in most weeks of a panel's last year.

    Args:
        panel: A weekly panel with what `with_charged` adds.

    Example:
        >>> panel = pd.DataFrame({"product": ["tea", "mint"], "week": pd.Timestamp("2024-01-01"), "charged_share": 1.0})
        >>> without_common_prices(panel.assign(charged=[2.79, np.nan]))
        ['mint']
    """
    lately = _last_year(panel)
    return sorted(set(lately["product"]) - set(_in_common(lately)))


def _last_year(panel: pd.DataFrame) -> pd.DataFrame:
    """The rows of the last year in which a product was sold."""
    sold = panel[CHARGED_SHARE if CHARGED_SHARE in panel else CHARGED].notna()
    return panel[sold & (panel["week"] > panel["week"].max() - YEAR_WEEKS * WEEK)]


def _in_common(lately: pd.DataFrame) -> pd.Index:
    """The products for which most stores charged one price in most weeks."""
    share = lately[CHARGED].notna().groupby(lately["product"]).mean()
    return share.index[share > _IN_COMMON]

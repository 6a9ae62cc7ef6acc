"""Prices of the same product in other stores, as an instrument for its price (Hausman 1996)."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from ...data import product_weeks

OTHER_STORES_PRICE = "other_stores_price"


def hausman_panel(
    sales: pd.DataFrame, stores: Collection[str], *, products: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return the weekly panel of some stores, with the price of the same product in all the others.

    Costs move a product's price in all regions at once, and do not move its demand in one of them.
    The instrument is invalid where stores share campaigns or demand shocks, and useless where all
    of them charge one price. Pass the column to the estimator:
    `PriceResponse(instruments=["other_stores_price"])`.

    Args:
        sales: canonical sales with `store`.
        stores: stores whose demand is estimated; the others give the instrument.
        products: as for `repricer.data.product_weeks`.

    Returns:
        The panel with `other_stores_price` (currency per unit; NaN in weeks without sales
        elsewhere, which the estimator leaves out).

    Raises:
        ValueError: `sales` has no stores, or all or none of them are in `stores`.

    Example:
        >>> days = pd.date_range("2024-01-01", periods=28).repeat(2)
        >>> sales = pd.DataFrame({"date": days, "product": "tea", "store": ["north", "south"] * 28, "units": 1.0})
        >>> sales = sales.assign(price_paid=2.0, regular_price=2.0, basket=range(56))
        >>> hausman_panel(sales, ["north"])["other_stores_price"].unique().tolist()
        [2.0]
    """
    if "store" not in sales or sales["store"].isna().all():
        raise ValueError("sales: column 'store' must be given; got no store; the instrument needs several")
    here = sales["store"].isin(list(stores))
    if here.all() or not here.any():
        raise ValueError(
            f"stores must name some of the stores in sales and leave others; got {here.sum()} of {len(here)} sale "
            "lines; name others"
        )
    panel = product_weeks(sales[here], products=products)
    # The weeks of both parts must start on the same day.
    start, elsewhere = panel["week"].min(), sales[~here & sales["store"].notna()]
    week = start + pd.to_timedelta((elsewhere["date"] - start).dt.days // 7 * 7, unit="D")
    elsewhere = elsewhere.assign(week=week, revenue=elsewhere["units"] * elsewhere["price_paid"])
    totals = elsewhere.groupby(["product", "week"])[["revenue", "units"]].sum()
    price = (totals["revenue"] / totals["units"]).rename(OTHER_STORES_PRICE)
    return panel.join(price, on=["product", "week"])

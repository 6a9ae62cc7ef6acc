"""Sale lines to the weekly panel that every model is fitted on."""

from __future__ import annotations

import warnings

import pandas as pd

from .schema import DataError

_KEYS = ["product", "week"]
_ENOUGH_WEEKS = 4


def product_weeks(sales: pd.DataFrame, *, products: pd.DataFrame | None = None) -> pd.DataFrame:
    """Add sale lines up to one row for each product and week, on a complete grid.

    Weeks are 7-day blocks counted from the first date in `sales`. A last week that ends on an earlier
    weekday than all the others did (there must be four) is unfinished: it is left out, with a warning.

    Args:
        sales: canonical sales of the whole shop.
        products: canonical products; given, the panel holds those of them that were sold, with their
            `category`. A subset therefore gives a panel of the subset, with the traffic of the whole shop.

    Returns:
        Rows sorted by product and week, with columns

        - `product`, `week` (first day) and, with `products`, `category`;
        - `units` (0 where nothing was sold) and `revenue` (currency);
        - `price` and `regular_price` (currency per unit, weighted by units; a week without sales carries the
          last price forward, and weeks before the first sale carry the first one back);
        - `discount_share`, the part of the regular price that was taken off, in [0, 1];
        - `buyers`, distinct customers (NaN where `sales` names none);
        - `traffic`, distinct baskets (or else sale lines) of the whole shop in that week.

    Raises:
        DataError: `sales` holds no rows.
    """
    if sales.empty:
        raise DataError("sales must hold rows; got none; check which products and dates were picked")
    lines = _by_week(sales)
    traffic = _traffic(lines)
    if products is not None:
        lines = lines[lines["product"].isin(products["product"])]
    panel = _with_prices(_complete(_totals(lines), traffic.index))
    panel["traffic"] = panel["week"].map(traffic)
    columns = [*_KEYS, "units", "revenue", "price", "regular_price", "discount_share", "buyers", "traffic"]
    if products is None:
        return panel[columns]
    panel["category"] = panel["product"].map(products.set_index("product")["category"])
    return panel[[*_KEYS, "category", *columns[2:]]]


def _by_week(sales: pd.DataFrame) -> pd.DataFrame:
    """Attach the `week` (its first day) to every sale line, and leave an unfinished last week out."""
    first = sales["date"].min()
    weekday = (sales["date"] - first).dt.days % 7
    lines = sales.assign(week=sales["date"] - pd.to_timedelta(weekday, unit="D"))
    *earlier, last = weekday.groupby(lines["week"]).max()
    if len(earlier) < _ENOUGH_WEEKS or last >= min(earlier):
        return lines
    finished = lines["week"] < lines["week"].max()
    warnings.warn(
        f"the week from {lines['week'].max():%Y-%m-%d} ends after {last + 1} days and is left out "
        f"({(~finished).sum():,} sale lines)",
        stacklevel=3,
    )
    return lines[finished]


def _traffic(lines: pd.DataFrame) -> pd.Series:
    weeks = pd.date_range(lines["week"].min(), lines["week"].max(), freq="7D", name="week")
    if "basket" in lines:
        lines = lines[lines["basket"].isna() | ~lines.duplicated(["week", "basket"])]
    return lines.groupby("week").size().reindex(weeks, fill_value=0).astype(float)


def _totals(lines: pd.DataFrame) -> pd.DataFrame:
    """Units, revenue and buyers of the products and weeks with sales."""
    totals = (
        lines.assign(
            revenue=lines["units"] * lines["price_paid"],
            regular_revenue=lines["units"] * lines["regular_price"],
        )
        .groupby(_KEYS)[["units", "revenue", "regular_revenue"]]
        .sum()
    )
    if "customer" not in lines or lines["customer"].isna().all():
        return totals.assign(buyers=float("nan"))
    known = lines[[*_KEYS, "customer"]].dropna().drop_duplicates()
    return totals.assign(buyers=known.groupby(_KEYS).size())


def _complete(totals: pd.DataFrame, weeks: pd.Index) -> pd.DataFrame:
    """Spread the totals over all products and weeks; what was not sold is 0."""
    products = totals.index.get_level_values("product").unique().sort_values()
    panel = totals.reindex(pd.MultiIndex.from_product([products, weeks], names=_KEYS))
    filled = {"units": 0.0, "revenue": 0.0, "regular_revenue": 0.0}
    if totals["buyers"].notna().any():
        filled["buyers"] = 0.0
    return panel.fillna(filled).reset_index()


def _with_prices(panel: pd.DataFrame) -> pd.DataFrame:
    """Add prices and discounts; weeks without a sale take the price of the week before, or else after."""
    known = pd.DataFrame(
        {"price": panel["revenue"] / panel["units"], "regular_price": panel["regular_revenue"] / panel["units"]}
    )
    known = known.groupby(panel["product"]).ffill().groupby(panel["product"]).bfill()
    discount = (1 - known["price"] / known["regular_price"]).clip(lower=0).fillna(0.0)
    return panel.assign(price=known["price"], regular_price=known["regular_price"], discount_share=discount)

"""The stock that a market of the weeks to come starts with: what was counted, and what is about to be delivered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..data import Tables
from ..data.weeks import WEEK, name_of
from ..scenarios.fields import listed

_STOCK_WEEKS = 4
TOO_LITTLE = (
    "what is on its way belongs into the column `delivery` of the plan, or with price zones, which take no plan, into the "
    "counts."
)
"""How the sentence ends that names products with less stock than a usual week's sales."""


def units_on_hand(tables: Tables, products: Sequence[str], end: pd.Timestamp) -> pd.Series:
    """Units on hand at the end of the data, by product: the last counts, less what was sold after them.

    Returns:
        The units, over all stores; NaN where a store that sold the product in the last four weeks has
        not counted it in them.

    Example:
        >>> day = pd.to_datetime(["2024-01-06", "2024-01-07"])
        >>> sales = pd.DataFrame({"date": day, "product": "tea", "units": 2.0})
        >>> stock = pd.DataFrame({"date": day[:1], "product": ["tea"], "on_hand": [9.0]})
        >>> units_on_hand(Tables(sales, stock=stock), ["tea", "jam"], pd.Timestamp("2024-01-08")).tolist()
        [7.0, nan]
    """
    unknown = pd.Series(np.nan, index=pd.Index(products), dtype=float)
    if tables.stock is None:
        return unknown
    keys = ["product", *(["store"] if "store" in tables.stock and "store" in tables.sales else [])]
    counts, sales = (
        table[table["date"].between(end - _STOCK_WEEKS * WEEK, end, inclusive="left") & table["product"].isin(products)]
        for table in (tables.stock, tables.sales)
    )
    places = list(dict.fromkeys([*keys, *(["store"] if "store" in counts else [])]))
    last = counts.sort_values("date", kind="stable").groupby(places, dropna=False).tail(1)
    counted = last.groupby(keys, dropna=False).agg(on_hand=("on_hand", "sum"), counted=("date", "max"))
    lines = sales.merge(counted.reset_index(), on=keys, how="left")
    sold = lines[lines["date"] > lines["counted"]].groupby(keys, dropna=False)["units"].sum()
    left = (counted["on_hand"] - sold.reindex(counted.index, fill_value=0.0)).clip(lower=0.0)
    uncounted = lines.loc[lines["counted"].isna(), "product"].unique()
    return left.groupby("product").sum().drop(uncounted, errors="ignore").reindex(unknown.index)


def initial_stock(
    tables: Tables, products: pd.DataFrame, first: pd.Timestamp, usual: pd.Series, period: pd.Timedelta = WEEK
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Units with which a market of the weeks to come starts, and sentences that say how they are known.

    Args:
        tables: The shop's tables. The column `delivery` of the plan adds what is to be delivered in the first week;
            later deliveries are the market's own orders.
        products: The products, in their order: `product` and `name`.
        first: First day of the market.
        usual: Units that each product sells in a usual week.
        period: Length of a week, which is a day for a market of days.

    Returns:
        (N,) units, NaN where they are not known, and the sentences.

    Example:
        >>> units, notes = initial_stock(tables, products, pd.Timestamp("2024-01-01"), usual)  # doctest: +SKIP
    """
    order = list(products["product"])
    unit = name_of(period)
    units = units_on_hand(tables, order, first)
    due, later = _deliveries(tables.plan, order, first, period)
    if units.isna().all():
        note = f"The units on hand at the end of the data are not known{_why_unknown(tables, first)}: the market starts with "
        note += "the most that it orders up to"
        return units.to_numpy(), (note + (", and planned deliveries are not used." if later or due.any() else "."),)
    name = products.set_index("product")["name"]
    note = "The market starts with the units on hand at the end of the data"
    note += f" and the deliveries planned for its first {unit}" if due.any() else ""
    note += f", and orders the rest by itself in place of later deliveries ({later})" if later else ""
    if units.isna().any():
        note += f"; without a recent count in every store, with the most that it orders up to: {listed(list(name[units.isna()]))}"
    total = units + due
    short = name[(total < usual.reindex(order)).to_numpy()]
    words = [f"{note}."]
    if len(short):
        words.append(
            f"For {len(short)} of {len(order)} products that is less than a usual {unit}'s sales: {listed(list(short))}; "
            + TOO_LITTLE
        )
    return total.to_numpy(dtype=np.float64), tuple(words)


def _why_unknown(tables: Tables, first: pd.Timestamp) -> str:
    """Why the counts of a stock table, which has some, do not tell what there is at its start."""
    if tables.stock is None:
        return ""
    days = tables.stock["date"]
    return (
        f", as no product has a count in every store that sold it from {first - _STOCK_WEEKS * WEEK:%Y-%m-%d} to "
        f"{first - pd.Timedelta(days=1):%Y-%m-%d} (the table stock has counts of {days.min():%Y-%m-%d} to {days.max():%Y-%m-%d})"
    )


def _deliveries(
    plan: pd.DataFrame | None, order: list[str], first: pd.Timestamp, period: pd.Timedelta
) -> tuple[pd.Series, int]:
    """Units to be delivered in the first week by product, and the number of deliveries in later ones."""
    if plan is None or "delivery" not in plan:
        return pd.Series(0.0, index=pd.Index(order)), 0
    ahead = plan[(plan["date"] >= first) & (plan["delivery"] > 0) & plan["product"].isin(order)]
    due = ahead[ahead["date"] < first + period]
    return due.groupby("product")["delivery"].sum().reindex(order, fill_value=0.0), len(ahead) - len(due)

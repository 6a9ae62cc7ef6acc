"""Rows of a regression from the weekly panel: logs, week and season effects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...data.weeks import DAY, period_of
from ..models.base import check_rows

MIN_WEEKS = 8
MIN_PRICE_SD = 0.02
"""Below it, noise in price changes of 1% would be extrapolated to reductions of tens of percent."""


def regression_rows(panel: pd.DataFrame, *, columns: Sequence[str]) -> pd.DataFrame:
    """Check a panel and add `log_price` and `category`.

    Weeks with a stockout are left out, as their units are only a lower bound of the demand.
    """
    rows = check_rows(panel, ["product", "week", "units", "price", "traffic"], name="panel")
    if missing := [name for name in columns if name not in rows]:
        raise ValueError(
            f"panel: column {missing[0]!r} is named as instrument or control; got {', '.join(map(str, rows.columns))}; "
            "add it to the panel"
        )
    rows = categorised(rows[(rows["price"] > 0) & (rows["traffic"] > 0)])
    rows = rows.assign(log_price=np.log(rows["price"]))
    return rows[~rows["stockout"].fillna(False).astype(bool)] if "stockout" in rows else rows


def categorised(rows: pd.DataFrame) -> pd.DataFrame:
    """Put all products into one category where the panel has none."""
    return rows if "category" in rows else rows.assign(category="all")


def usable(rows: pd.DataFrame, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Keep weeks with sales and known `columns`, of products with enough weeks and moving prices."""
    sold = rows[(rows["units"] > 0) & rows[list(columns)].notna().all(axis=1)]
    by_product = sold.groupby("product")["log_price"]
    moves = by_product.transform("std") >= MIN_PRICE_SD
    kept = sold[moves & (by_product.transform("size") >= MIN_WEEKS)]
    return kept.assign(log_units=np.log(kept["units"]))


def weeks_sold(rows: pd.DataFrame) -> pd.Series:
    """Count the weeks with sales of each product."""
    return (rows["units"] > 0).groupby(rows["product"]).sum()


def moves_apart(rows: pd.DataFrame, name: str) -> bool:
    """Whether a column varies within products, and differently between them."""
    within = rows[name] - rows.groupby("product")[name].transform("mean")
    left = within - within.groupby(rows["week"]).transform("mean")
    return bool(left.abs().max() > 1e-9 * rows[name].abs().max())


def in_logs(values: pd.Series) -> pd.Series:
    """Take the logarithm of a column that is positive everywhere (costs, not indicators)."""
    return pd.Series(np.log(values), index=values.index) if (values > 0).all() else values.astype(float)


def dummies(keys: pd.Series) -> pd.DataFrame:
    """Return an indicator column for each key."""
    return pd.get_dummies(keys, dtype=float)


def season(week: pd.Series, category: pd.Series) -> pd.DataFrame:
    """Return a sine and a cosine of the year for each category."""
    year = 2 * np.pi * week.dt.day_of_year / 365.25
    member = dummies(category)
    return pd.concat([member.mul(np.sin(year), axis=0), member.mul(np.cos(year), axis=0)], axis=1)


def weekdays(week: pd.Series, category: pd.Series) -> pd.DataFrame:
    """Return an indicator of each weekday but Monday for each category; no columns for weeks."""
    if period_of(week) != DAY:
        return pd.DataFrame(index=week.index)
    return dummies((category + week.dt.day_name()).where(week.dt.day_of_week > 0))


def calendar(rows: pd.DataFrame) -> pd.DataFrame:
    """Return week effects, and the season and the weekdays of every category but the first."""
    others = rows["category"].where(rows["category"] != rows["category"].min())
    parts = [dummies(rows["week"]).iloc[:, 1:], season(rows["week"], others), weekdays(rows["week"], others)]
    return pd.concat(parts, axis=1)

"""The weeks of a whole shop: traffic, what drives it and what is planned."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from .models.base import check_rows

BEHAVIOUR = ("views", "carts")
"""Columns of a panel that say what customers looked at."""


def market_weeks(panel: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """One row per week: `traffic`, drivers and plans, averaged over products by revenue so far; and whether the shop
    sold anything in it.
    """
    rows = check_rows(panel, ["product", "week", "units", "price", "discount_share", "traffic"], name="panel")
    weight = (rows["units"] * rows["price"]).groupby(rows["product"]).cumsum()
    by_week = rows.groupby("week")
    traffic = by_week["traffic"].first()
    # A week in which the shop was closed takes the traffic of the week before, to fill windows; see `MarketTrend`.
    weeks = pd.DataFrame({"traffic": traffic.where(traffic > 0).ffill()})
    if weeks["traffic"].isna().any():
        raise ValueError(
            "panel: traffic must be positive in the first week; got 0; leave weeks before the first sale out"
        )
    for name, column in _averaged(rows):
        known = column.notna() & (weight > 0)
        sums = pd.DataFrame({"value": column * weight, "weight": weight})[known].groupby(rows["week"]).sum()
        weeks[name] = sums["value"] / sums["weight"]
    weeks["log_price"] = weeks["log_price"].cumsum()
    for name in BEHAVIOUR:
        if name in rows:
            weeks[name] = np.log1p(by_week[name].sum())
    for name in rows.columns:
        if name.startswith("signal_") or name == "holiday":
            weeks[name] = by_week[name].first()
    return weeks.ffill().fillna(0.0), traffic > 0


def _averaged(rows: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    """The columns averaged over products; of log prices, their changes, for a chained index."""
    price = _log(rows["price"])
    yield "log_price", price.groupby(rows["product"]).diff()
    yield "discount_share", rows["discount_share"]
    for name in ("promotion", "rating"):
        if name in rows:
            yield name, rows[name]
    if "competitor_price" in rows:
        yield "competitor", _log(rows["competitor_price"]) - price


def _log(values: pd.Series) -> pd.Series:
    return pd.Series(np.log(values.where(values > 0)), values.index)

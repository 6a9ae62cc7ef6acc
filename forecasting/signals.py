"""Weekly series to monitor, from a panel or a long table."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..data.weeks import WEEK

_PRODUCT_SIGNALS = ("units", "competitor_price", "views", "carts", "rating")


def weekly_series(table: pd.DataFrame) -> pd.DataFrame:
    """Return the series that `find_alarms` monitors.

    Args:
        table: a weekly panel or a long table, see `find_alarms`.

    Returns:
        `name`, `product` (empty: a series of the market), `week`, `value` and `explained`, the
        shop's own price reduction and promotion of the week, which the value may follow (0 where
        unknown).

    Raises:
        ValueError: see `find_alarms`.
    """
    series = _from_long(table) if {"name", "value"} <= set(table) else _from_panel(table)
    doubled = series.duplicated(["name", "product", "week"])
    if doubled.any():
        row = series[doubled].iloc[0]
        raise ValueError(
            f"table: one value for each series and week is allowed; got two of {row['name']} in "
            f"{row['week']:%Y-%m-%d}; drop one"
        )
    return series.sort_values(["name", "product", "week"], ignore_index=True)


def _from_long(table: pd.DataFrame) -> pd.DataFrame:
    if "week" not in table and "date" not in table:
        raise ValueError(f"table: column week or date is missing; got {', '.join(map(str, table.columns))}; add one")
    rows = table.assign(product=table["product"].fillna("") if "product" in table else "", explained=0.0)
    if "week" not in table:
        first = rows["date"].min()
        rows["week"] = first + WEEK * ((rows["date"] - first) // WEEK)
        rows = rows.groupby(["name", "product", "week"], as_index=False)[["value", "explained"]].mean()
    return rows[["name", "product", "week", "value", "explained"]]


def _from_panel(panel: pd.DataFrame) -> pd.DataFrame:
    missing = [name for name in ("product", "week", "units", "traffic") if name not in panel]
    if missing:
        raise ValueError(
            f"table: column {missing[0]!r} is missing; needed is a weekly panel, or a long table with week, name, value; "
            f"got {', '.join(map(str, panel.columns))}"
        )
    # Units measure no demand while the product is sold out, or the shop closed.
    observed = (panel["traffic"] > 0) & ~panel["stockout"] if "stockout" in panel else panel["traffic"] > 0
    rows = panel.assign(units=panel["units"].where(observed))
    if "price" in rows:
        # Before its first sale a product has no price.
        rows = rows[rows["price"].notna()]
    weeks = panel.drop_duplicates("week").assign(product="")
    signals = [name for name in map(str, panel.columns) if name == "traffic" or name.startswith("signal_")]
    watched = [(name, rows) for name in _PRODUCT_SIGNALS if name in panel] + [(name, weeks) for name in signals]
    series = [
        source[["product", "week"]].assign(
            name=name, value=source[name].astype(float), explained=_reduction(rows) if name == "units" else 0.0
        )
        for name, source in watched
    ]
    return pd.concat(series, ignore_index=True)


def _reduction(panel: pd.DataFrame) -> pd.Series:
    """Log price reduction plus the share of stores with a promotion."""
    known = {"price", "regular_price"} <= set(panel)
    ratio = panel["regular_price"] / panel["price"] if known else pd.Series(1.0, panel.index)
    reduction = pd.Series(np.log(ratio), panel.index)
    return reduction.replace([np.inf, -np.inf], np.nan).fillna(0.0) + panel.get("promotion", 0.0)

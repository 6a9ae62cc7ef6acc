"""Price zones: stores that charge the same prices."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist

from ..data import DataError, Tables, with_prices
from ..data.panel.aggregation import open_weeks, store_price_gaps
from ..scenarios.fields import listed

MOST_ZONES = 20
"""With more, a zone's own level could not be estimated beside the others'."""
# Stores of a zone differ in regular prices by at most this much on average, in logs.
_AGREE = 0.02


@dataclass(frozen=True)
class Zone:
    """One of a shop's price zones.

    Attributes:
        name: Its name.
        stores: The stores of every zone, as `price_zones` returns them.

    Example:
        >>> Zone("zone-1", {"zone-1": ("a",), "zone-2": ("b",)}).name
        'zone-1'
    """

    name: str
    stores: Mapping[str, Sequence[str]]


def price_zones(sales: pd.DataFrame, by: str = "zone") -> dict[str, tuple[str, ...]]:
    """The stores of each price zone, the zone with the most revenue first.

    Args:
        sales: Canonical sales that name the store of every line.
        by: "zone" groups stores whose regular prices agree within 2% (complete linkage; Kaufman and
            Rousseeuw 1990), in at most 20 zones; "store" makes each store a zone.

    Raises:
        DataError: A line names no store, or there are too many zones.

    Example:
        >>> rows = {"product": "tea", "regular_price": [2.0, 2.0, 3.0], "price_paid": [2.0, 2.0, 3.0], "units": 1.0}
        >>> price_zones(pd.DataFrame({"store": ["a", "b", "c"], "date": pd.Timestamp("2024-01-01"), **rows}))
        {'zone-1': ('a', 'b'), 'zone-2': ('c',)}
    """
    if "store" not in sales or sales["store"].isna().any():
        raise DataError(
            f"sales must name the store of every line to be fitted by {by}; got lines without; fit by chain"
        )
    revenue = (sales["units"] * sales["price_paid"]).groupby(sales["store"]).sum()
    if by == "store":
        if len(revenue) > MOST_ZONES:
            raise DataError(
                f"zones must be at most {MOST_ZONES}; got {len(revenue)} stores; fit by zone, or some stores"
            )
        found = dict[str, tuple[str, ...]]()
        for rank, store in enumerate(revenue.sort_values(ascending=False).index, start=1):
            name = f"store-{re.sub(r'[^a-z0-9]+', '-', str(store).lower())}"
            while name in found:
                name += f"-{rank}"
            found[name] = (store,)
        return found
    levels = store_price_gaps(sales).mean("week").to_series().unstack()
    levels = levels.reindex([str(store) for store in revenue.index])
    label = _grouped(levels) if len(revenue) > 1 else np.ones(1, dtype=int)
    groups = revenue.groupby(label)
    ranked = groups.sum().sort_values(ascending=False, kind="stable").index
    return {f"zone-{rank}": tuple(groups.get_group(group).index) for rank, group in enumerate(ranked, start=1)}


def zone_tables(tables: Tables, zone: Zone | None) -> Tables:
    """The tables of a zone's stores.

    Args:
        tables: The shop's tables.
        zone: The zone; None for all stores.

    Raises:
        DataError: There is a plan, which knows no zones, or a count of stock of no one store beside several zones.

    Example:
        >>> own = zone_tables(tables, Zone("zone-1", price_zones(tables.sales)))  # doctest: +SKIP
    """
    if zone is None:
        return tables
    if tables.plan is not None:
        raise DataError("a plan must hold for all stores; got price zones, whose prices differ; leave the plan out")
    stock = tables.stock
    if stock is not None and len(zone.stores) > 1:
        # Each zone would start with the units of all.
        nowhere = len(stock) if "store" not in stock else int(stock["store"].isna().sum())
        if nowhere:
            raise DataError(
                f"stock must name the store of every count beside price zones; got {nowhere:,} of {len(stock):,} without; "
                "name them, or leave the table stock out"
            )

    def own(table: pd.DataFrame | None) -> pd.DataFrame | None:
        if table is None or "store" not in table:
            return table
        here = table[table["store"].isin(zone.stores[zone.name]) | table["store"].isna()]
        return here if len(here) else None

    return replace(tables, **{name: own(getattr(tables, name)) for name in ("sales", "stock", "promotions")})


def zone_panel(panel: xr.Dataset, zone: Zone | None) -> xr.Dataset:
    """The part of a shop's panel that is a zone's.

    Args:
        panel: The sales of every store, as `data.sales_panel` returns them.
        zone: The zone; None for all stores.

    Raises:
        DataError: The zone sold nothing.

    Example:
        >>> own = zone_panel(sales_panel(tables), Zone("zone-1", zones))  # doctest: +SKIP
    """
    if zone is None:
        return panel
    own = panel.sel(store=panel["store"].isin(list(map(str, zone.stores[zone.name]))))
    if not own["traffic"].any():
        raise DataError(f"sales must hold lines of every price zone; got none of {zone.name}; find the zones anew")
    return open_weeks(own)


def at_price_level(panel: xr.Dataset, zone: Zone) -> xr.Dataset:
    """The sales of every zone, with the zones as stores, at the price level of one: they share their response to prices.

    Prices are multiplied by the regular price in this zone over that in their own, the median over the weeks in which
    both sold a product.

    Args:
        panel: The sales of every store, as `data.with_prices` returns them.
        zone: The zone.

    Raises:
        DataError: A zone sold none of a product.

    Example:
        >>> at_price_level(with_prices(sales_panel(tables)), Zone("zone-1", zones))  # doctest: +SKIP
    """
    zone_of = {str(store): name for name, stores in zone.stores.items() for store in stores}
    own = panel.sel(store=panel["store"].isin(list(zone_of)))
    zones = own.assign_coords(store=[zone_of[store] for store in own.indexes["store"]])
    zones = with_prices(zones.groupby("store").sum().transpose(*panel["units"].dims)).reindex(store=list(zone.stores))
    level = zones["regular_price"].median("week")
    unsold = np.isnan(level.transpose("product", "store").to_numpy())
    lacking = [
        f"{name} in {list(zone.stores)[int(own.argmax())]}"
        for name, own in zip(level.indexes["product"], unsold, strict=True)
        if own.any()
    ]
    if lacking:
        raise DataError(
            f"products must be sold in every zone; got none of {listed(lacking, 20)}; exclude "
            f"{'it' if len(lacking) == 1 else 'them'}"
        )
    # In the same weeks: over all of them, prices that moved would differ by when a zone sold more.
    ratio, usual = (prices.sel(store=zone.name, drop=True) / prices for prices in (zones["regular_price"], level))
    factor = ratio.median("week").fillna(usual)
    return with_prices(zones.assign({name: zones[name] * factor for name in ("revenue", "regular_revenue")}))


def _grouped(levels: pd.DataFrame) -> np.ndarray:
    """(G,) a label for each store: stores with one label agree."""
    tree = linkage(pdist(levels.fillna(0.0).to_numpy(), "cityblock") / levels.shape[1], "complete")
    label = fcluster(tree, _AGREE, "distance")
    return label if label.max() <= MOST_ZONES else fcluster(tree, MOST_ZONES, "maxclust")

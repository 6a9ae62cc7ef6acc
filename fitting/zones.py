"""Price zones: stores that charge the same prices."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist

from ..data import DataError, Tables
from ..data.weeks import WEEK
from ..scenarios.fields import listed

MOST_ZONES = 20
"""With more, a zone's own level could not be estimated beside the others'."""
# Stores of a zone differ in regular prices by at most this much on average, in logs.
_AGREE = 0.02
# The products that sell most stand for all.
_PRODUCTS = 50


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


class AllZones(NamedTuple):
    """What was sold in all zones of a shop, for the fit of one: they share their response to prices.

    Attributes:
        sales: Sale lines at the price level of the one, with the zone of each line as its store.
        tables: The tables of the whole shop.
        stores: The stores of each zone.
    """

    sales: pd.DataFrame
    tables: Tables
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
    label = _grouped(_price_levels(sales)) if len(revenue) > 1 else np.ones(1, dtype=int)
    groups = revenue.groupby(label)
    ranked = groups.sum().sort_values(ascending=False, kind="stable").index
    return {f"zone-{rank}": tuple(groups.get_group(group).index) for rank, group in enumerate(ranked, start=1)}


def zone_tables(tables: Tables, zone: Zone) -> Tables:
    """The tables of a zone's stores.

    Args:
        tables: The shop's tables.
        zone: The zone.

    Raises:
        DataError: There is a plan, which knows no zones, or a count of stock of no one store beside several zones.

    Example:
        >>> own = zone_tables(tables, Zone("zone-1", price_zones(tables.sales)))  # doctest: +SKIP
    """
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


def at_price_level(sales: pd.DataFrame, zone: Zone, products: Sequence[str]) -> pd.DataFrame:
    """The sale lines of all zones at the price level of one, with the zone of each line as its store.

    Args:
        sales: Canonical sales.
        products: Ids of the products whose prices are multiplied by the regular price in this zone over that in their
            own, the median over the weeks in which both sold them.

    Raises:
        DataError: A zone sold none of a product.

    Example:
        >>> lines = at_price_level(tables.sales, Zone("zone-1", zones), ["tea"])  # doctest: +SKIP
    """
    zone_of = {store: name for name, stores in zone.stores.items() for store in stores}
    lines = sales[sales["store"].isin(zone_of)]
    lines = lines.assign(store=lines["store"].astype(object).map(zone_of))
    priced = lines[lines["product"].isin(products)]
    level = priced.groupby(["store", "product"])["regular_price"].median().unstack()
    level = level.reindex(index=list(zone.stores), columns=list(products))
    lacking = level.isna()
    if lacking.any(axis=None):
        where = lacking.idxmax()[lacking.any()]
        raise DataError(
            f"products must be sold in every zone; got none of {listed([f'{name} in {at}' for name, at in where.items()], 20)}; "
            f"exclude {'it' if len(where) == 1 else 'them'}"
        )
    # In the same weeks: over all of them, prices that moved would differ by when a zone sold more.
    week = ((priced["date"] - sales["date"].min()) // WEEK).rename("week")
    weekly = priced.groupby(["store", "product", week])["regular_price"].median().unstack(["product", "week"])
    same = (weekly.loc[zone.name] / weekly).T.groupby("product").median().T
    factor = same.reindex_like(level).fillna(level.loc[zone.name] / level).to_numpy()
    at = level.index.get_indexer(pd.Index(lines["store"]))
    column = level.columns.get_indexer(pd.Index(lines["product"]))
    own = np.where(column < 0, 1.0, factor[at, column])
    return lines.assign(price_paid=lines["price_paid"] * own, regular_price=lines["regular_price"] * own)


def of_zone(tables: Tables, zone: Zone | None, products: Sequence[str]) -> tuple[Tables, AllZones | None]:
    """The tables of a zone, and what was sold in all zones; for no zone the tables as they are.

    Args:
        zone: The zone; None for all stores.
        products: As for `at_price_level`.

    Raises:
        DataError: As for `zone_tables` and `at_price_level`.

    Example:
        >>> of_zone(tables, None, ["tea"])[1] is None  # doctest: +SKIP
        True
    """
    if zone is None:
        return tables, None
    return zone_tables(tables, zone), AllZones(at_price_level(tables.sales, zone, products), tables, zone.stores)


def _price_levels(sales: pd.DataFrame) -> pd.DataFrame:
    """(G, P) mean log regular price by store, relative to the mean of all stores in the same week."""
    best = sales.groupby("product")["units"].sum().nlargest(_PRODUCTS).index
    lines = sales[sales["product"].isin(best) & (sales["regular_price"] > 0)]
    week = (lines["date"] - sales["date"].min()) // WEEK
    log = lines["regular_price"].map(np.log)
    apart = log - log.groupby([lines["product"], week]).transform("mean")
    return apart.groupby([lines["store"], lines["product"]]).mean().unstack().reindex(sorted(sales["store"].unique()))


def _grouped(levels: pd.DataFrame) -> np.ndarray:
    """(G,) a label for each store: stores with one label agree."""
    tree = linkage(pdist(levels.fillna(0.0).to_numpy(), "cityblock") / levels.shape[1], "complete")
    label = fcluster(tree, _AGREE, "distance")
    return label if label.max() <= MOST_ZONES else fcluster(tree, MOST_ZONES, "maxclust")

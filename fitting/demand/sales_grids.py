"""The weekly sales of all products as arrays: stores, weeks, products."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ...data.panel.aggregation import carried_forward
from ...data.panel.promotion_kinds import PROMOTION, column_of, kinds_in
from ...data.weeks import DAY, period_of, periods_in_a_week

Array = NDArray[np.float64]
MOST_STORES = 20
"""With more stores, a shop is taken as one in the price response."""
# And so it is with fewer units a week in a store.
_LEAST_UNITS = 2.0
_AXES = ("store", "week", "product")
_PRICES = ("price", "regular_price")
_READ = ("units", "promotion", "stockout", *_PRICES, "unit_cost", "holiday", "traffic")


@dataclass(frozen=True)
class SalesGrids:
    """Past sales of N products over W weeks, in G stores or in the shop as a whole (G = 1).

    Attributes:
        weeks: The W weeks.
        units: (G, W, N) units sold.
        price: (G, W, N) price paid, currency per unit; without a sale that of a row without units, or else the regular
            price with the reductions of the other stores, or, on a day without a sale in any, the higher of those before and after it;
            NaN before the first sale, and where the shop or store was closed.
        regular: (G, W, N) regular price, currency per unit; NaN before the first sale.
        sold_out: (G, W, N) whether the product sold out.
        promotions: (G, W, N) share of stores with a display or mailer, by its kind; `PROMOTION` where no kinds are told
            apart; none if not recorded.
        unit_cost: (W, N) cost of a unit in that week, currency; None if it is not known or never
            moves.
        holiday: (W,) number of holidays; None if not recorded.
        stores: G names.

    Example:
        >>> from repricer.forecasting import example_panel
        >>> panel = example_panel()
        >>> grids = SalesGrids.of(panel, sorted(panel["product"].unique()))
        >>> grids.units.shape[0], grids.stores
        (1, ('all',))
    """

    weeks: pd.DatetimeIndex
    units: Array
    price: Array
    regular: Array
    sold_out: NDArray[np.bool_]
    promotions: Mapping[str, Array]
    unit_cost: Array | None
    holiday: Array | None
    stores: tuple[str, ...]

    @classmethod
    def of(cls, past: pd.DataFrame, products: list[str], stores: xr.Dataset | None = None) -> SalesGrids:
        """From the weekly panel.

        Args:
            past: The panel of `data.product_weeks`.
            products: N products, in this order.
            stores: The same weeks and products by store, as `data.with_prices` returns them, with the displays and
                stock-outs of each store where they are known; a few stores that sell enough count by themselves.

        Raises:
            ValueError: The weeks or products of the stores are others.
        """
        # A zone may have had no promotions, and others some.
        kinds = kinds_in(dict.fromkeys([*past, *([] if stores is None else stores)]))
        columns = [*_READ, *map(column_of, kinds)]
        shop = past.set_index(["week", "product"])[[name for name in columns if name in past]].to_xarray()
        shop = shop.reindex(product=products)
        week = shop.max("product")
        if stores is not None and _told_apart(stores):
            stores, shop = xr.align(stores.sel(product=products), shop, join="exact")
            own = (*_READ[:3], *map(column_of, kinds), "unsold_rows")
            shop = shop.assign({name: stores[name] for name in own if name in stores})
            # A store that sold nothing at all was closed.
            shop = shop.assign({name: carried_forward(stores[name]).where(stores["traffic"] > 0) for name in _PRICES})
        else:
            shop = shop.assign(units=shop["units"].fillna(0.0).expand_dims(store=["all"]))

        def grid(name: str) -> Array:
            return shop[name].broadcast_like(shop["units"]).transpose(*_AXES).to_numpy().astype(np.float64)

        units, price, regular = (grid(name) for name in ("units", *_PRICES))
        weeks = pd.DatetimeIndex(shop.indexes["week"])
        unsold = regular * _off(price, regular, units)
        if period_of(weeks) == DAY:
            unsold = np.where((units > 0).any(axis=0), unsold, _between_sales(price, units))
        priced = units > 0
        if "unsold_rows" in shop:
            priced |= grid("unsold_rows") > 0
        price = np.where(priced, price, unsold)
        if "traffic" in week:
            price[:, (week["traffic"] == 0).to_numpy()] = np.nan
        cost = shop["unit_cost"].transpose("week", "product").to_numpy() if "unit_cost" in shop else None
        shown = {kind: np.nan_to_num(grid(name)) for kind in kinds or [PROMOTION] if (name := column_of(kind)) in shop}
        holiday = week["holiday"].to_numpy() if "holiday" in week else None
        return cls(
            weeks=weeks,
            units=units,
            price=price,
            regular=regular,
            sold_out=grid("stockout") > 0 if "stockout" in shop else np.zeros(units.shape, dtype=bool),
            promotions={kind: share for kind, share in shown.items() if share.std() > 0},
            unit_cost=None if cost is None or not _moves(cost) else cost,
            holiday=holiday if holiday is not None and holiday.std() > 0 else None,
            stores=tuple(shop.indexes["store"]),
        )

    def of_stores(self, names: Collection[str]) -> SalesGrids:
        """The sales of some of the stores."""
        own = np.isin(self.stores, list(names))
        return replace(
            self,
            units=self.units[own],
            price=self.price[own],
            regular=self.regular[own],
            sold_out=self.sold_out[own],
            promotions={kind: share[own] for kind, share in self.promotions.items()},
            stores=tuple(np.array(self.stores)[own].tolist()),
        )

    def met(self, regular: Array) -> Array:
        """(G, W, N) prices that customers met: while a shop is closed the last ones, before the first sale today's
        regular ones, (N,).
        """
        last = np.stack([pd.DataFrame(store).ffill().to_numpy() for store in self.price])
        return np.where(np.isfinite(last), last, regular)


def _between_sales(price: Array, units: Array) -> Array:
    """The price of a day without a sale: the higher of those around it, as a reduction would have sold."""
    sold = np.where(units > 0, price, np.nan)
    after = np.stack([pd.DataFrame(store).bfill().to_numpy() for store in sold])
    return np.where(np.isfinite(after), np.maximum(price, after), price)


def _off(price: Array, regular: Array, units: Array) -> Array:
    """(W, N) the price over the regular one, the median of the stores that sold a product in a week; 1 where none did.

    A store without a sale has the reductions of the others: else, those of a whole chain would seem to sell nothing.
    """
    off = np.where(units > 0, price, np.nan) / regular
    return np.ma.median(np.ma.masked_invalid(off), axis=0).filled(1.0)


def _moves(cost: Array) -> bool:
    """Whether the cost of any product changes."""
    # Unlike nanmin and nanmax, these say nothing of a product without any cost.
    low = np.fmin.reduce(cost)
    high = np.fmax.reduce(cost)
    return bool((high > 1.005 * low).any())


def _told_apart(stores: xr.Dataset) -> bool:
    """Whether there are a few stores, which sell enough to be kept apart."""
    cells = stores["units"].size / periods_in_a_week(stores["week"])
    return 1 < stores.sizes["store"] <= MOST_STORES and bool(stores["units"].sum() >= _LEAST_UNITS * cells)

"""The weekly sales of all products as arrays: stores, weeks, products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...data.panel import regular_prices
from ...data.weeks import DAY, period_of, periods_in_a_week

Array = NDArray[np.float64]
MOST_STORES = 20
"""With more stores, a shop is taken as one in the price response."""
# And so it is with fewer units a week in a store.
_LEAST_UNITS = 2.0


@dataclass(frozen=True)
class SalesGrids:
    """Past sales of N products over W weeks, in G stores or in the shop as a whole (G = 1).

    Attributes:
        weeks: The W weeks.
        units: (G, W, N) units sold.
        price: (G, W, N) price paid, currency per unit; without a sale the regular price with the reductions
            of the other stores, or, on a day without a sale in any, the higher of those before and after it;
            NaN before the first sale, and where the shop or store was closed.
        regular: (G, W, N) regular price, currency per unit; NaN before the first sale.
        sold_out: (G, W, N) whether the product sold out.
        promotion: (G, W, N) share of stores with a display or mailer; None if not recorded.
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
    promotion: Array | None
    unit_cost: Array | None
    holiday: Array | None
    stores: tuple[str, ...]

    @classmethod
    def of(
        cls,
        past: pd.DataFrame,
        products: list[str],
        sales: pd.DataFrame | None = None,
        context: pd.DataFrame | None = None,
    ) -> SalesGrids:
        """From the weekly panel.

        Args:
            past: The panel of `data.product_weeks`.
            products: N products, in this order.
            sales: The sale lines behind it; where they name a few stores, each store counts by
                itself.
            context: Displays and stock-outs of each of these stores, as `data.context_by_store` returns
                them; None if they are not told apart.
        """
        weeks = pd.DatetimeIndex(np.sort(past["week"].unique()))

        def grid(column: str, panel: pd.DataFrame = past) -> Array | None:
            if column not in panel:
                return None
            table = panel.pivot(index="week", columns="product", values=column).reindex(weeks)
            return table.reindex(columns=products).to_numpy(dtype=np.float64)

        units, price, regular = (grid(name) for name in ("units", "price", "regular_price"))
        assert units is not None
        assert price is not None
        assert regular is not None
        cost = grid("unit_cost")
        holiday = past.groupby("week")["holiday"].first().to_numpy(np.float64) if "holiday" in past else None
        by_store = None if sales is None else _by_store(sales, products, weeks)
        stores = ("all",) if by_store is None else by_store[0]
        panels = [past] * len(stores)
        if by_store is not None and context is not None:
            panels = [context[context["store"] == store] for store in stores]
        promotion, sold_out = (
            np.stack([cast(Array, grid(column, panel)) for panel in panels]) if column in panels[0] else None
            for column in ("promotion", "stockout")
        )
        whole = (np.nan_to_num(units)[None], price[None], regular[None])
        units, price, regular = whole if by_store is None else by_store[1:]
        unsold = regular * _off(price, regular, units)
        if period_of(weeks) == DAY:
            unsold = np.where((units > 0).any(axis=0), unsold, _between_sales(price, units))
        price = np.where(units > 0, price, unsold)
        if "traffic" in past:
            price[:, (past.groupby("week")["traffic"].first() == 0).to_numpy()] = np.nan
        return cls(
            weeks=weeks,
            units=units,
            price=price,
            regular=regular,
            sold_out=np.zeros(units.shape, dtype=bool) if sold_out is None else sold_out > 0,
            promotion=None if promotion is None or np.nanstd(promotion) == 0 else np.nan_to_num(promotion),
            unit_cost=None if cost is None or not _moves(cost) else cost,
            holiday=holiday if holiday is not None and holiday.std() > 0 else None,
            stores=stores,
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
    low, high = np.fmin.reduce(cost), np.fmax.reduce(cost)
    return bool((high > 1.005 * low).any())


def _by_store(
    sales: pd.DataFrame, products: list[str], weeks: pd.DatetimeIndex
) -> tuple[tuple[str, ...], Array, Array, Array] | None:
    """Stores, (G, W, N) units, prices and regular prices; None for one store, many, or stores that sell next to nothing."""
    if "store" not in sales or sales["store"].isna().any():
        return None
    lines = sales.loc[
        sales["product"].isin(products), ["date", "store", "product", "units", "price_paid", "regular_price"]
    ]
    stores = sorted(lines["store"].unique())
    cells = len(stores) * len(weeks) * len(products)
    if not 1 < len(stores) <= MOST_STORES or lines["units"].sum() < _LEAST_UNITS * cells / periods_in_a_week(weeks):
        return None
    week = np.searchsorted(weeks.to_numpy(), lines["date"].to_numpy(), side="right") - 1
    listed = lines["regular_price"].fillna(lines["price_paid"])
    lines = lines.assign(week=week, paid=lines["units"] * lines["price_paid"], listed=lines["units"] * listed)
    sums = lines[week >= 0].groupby(["store", "week", "product"])[["units", "paid", "listed"]].sum()
    index = pd.MultiIndex.from_product([stores, range(len(weeks)), products], names=["store", "week", "product"])
    sums = sums.reindex(index)
    shape = (len(stores), len(weeks), len(products))
    prices = sums[["paid", "listed"]].div(sums["units"], axis=0)
    paid, listed = (prices[name].to_numpy().reshape(shape) for name in prices)
    prices["listed"] = regular_prices(paid, listed, period_of(weeks).days).ravel()
    prices = prices.groupby(["store", "product"]).ffill()
    units, paid, listed = (
        column.to_numpy().reshape(shape) for column in (sums["units"], prices["paid"], prices["listed"])
    )
    open_ = _open(sales, stores, weeks)[..., None]
    return tuple(stores), np.nan_to_num(units), np.where(open_, paid, np.nan), np.where(open_, listed, np.nan)


def _open(sales: pd.DataFrame, stores: list[str], weeks: pd.DatetimeIndex) -> NDArray[np.bool_]:
    """(G, W) whether a store sold anything in a week."""
    store = pd.Index(stores).get_indexer(pd.Index(sales["store"]))
    week = np.searchsorted(weeks.to_numpy(), sales["date"].to_numpy(), side="right") - 1
    sold = np.zeros((len(stores), len(weeks)), dtype=bool)
    sold[store[(store >= 0) & (week >= 0)], week[(store >= 0) & (week >= 0)]] = True
    return sold

"""What the stores sold up to the first day of a market, and how their prices compare."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from ...data import Tables
from ...data.panel.regular_prices import regular_prices
from ...scenarios import MarketSpec
from .designs import DAYS
from .store_days import store_days

# Stores of an experiment, those that sell most: more add cost, and little that is not read in these.
MOST_STORES = 60
_HISTORY_WEEKS = 52
_COMPARED_WEEKS = 13
_REGULAR_SALES = 0.75
_LEAST_LEVEL_CHANGE = 0.005


class Past:
    """What S stores sold of N products on the H days of whole weeks before a market.

    Args:
        spec: The market.
        sales: The shop's sales, or tables, up to its first day.
        stores: Stores that it stands for; by default all. Those are taken that sell in most weeks, and of them the
            `MOST_STORES` that sell most.

    Attributes:
        stores: Their names.
        left_out: Names of other stores.
        sold: Units and revenue by store, product and day, see `store_days`.
        share: (S,) their shares of all sales.
        alike: (S, 2) what the arms should be alike in: logarithms of recent sales, and of those over the usual ones.
        without_deals: (S, N, H) units, less what deals added: the fit knows the deals, too.
        money: (S, N) money that was paid, currency.
        level: (S, N) regular prices of each store relative to all, of the last weeks.
    """

    def __init__(self, spec: MarketSpec, sales: pd.DataFrame | Tables, stores: Sequence[str] | None) -> None:
        assert spec.calendar is not None
        ids = list(spec.products.ids or spec.products.names)
        first = spec.calendar.first_day
        tables = Tables(sales) if isinstance(sales, pd.DataFrame) else sales
        found = store_days(tables, ids, first - dt.timedelta(days=DAYS * _HISTORY_WEEKS), first)
        last = np.flatnonzero(np.isfinite(found["units"].to_numpy()).any(axis=(0, 1)))[-1]
        if found.sizes["day"] - 1 - last >= DAYS:
            got = f"got {found.indexes['day'][last]:%Y-%m-%d} as their last one"
            fix = "import later sales, or fit the market on these"
            raise ValueError(f"sales must reach up to {first}, the first day of {spec.name}; {got}; {fix}")
        found = found if stores is None else found.sel(store=found["store"].isin(list(stores)))
        sold = np.isfinite(found["units"].to_numpy()).any(axis=(0, 1))
        found = found.isel(day=slice(DAYS * (int(sold.argmax()) // DAYS), None))
        traffic = found["units"].coarsen(day=DAYS).sum().sum("product").to_numpy()
        steady = (traffic[:, -_COMPARED_WEEKS:] > 0).mean(axis=1) >= _REGULAR_SALES
        count = min(MOST_STORES, max(int(steady.sum()), 1))
        best = np.sort(np.argsort(-traffic.sum(axis=1) * steady, kind="stable")[:count])
        self.sold = found.isel(store=best)
        self.share = traffic[best].sum(axis=1) / traffic.sum()
        self.stores = tuple(self.sold["store"].to_numpy().tolist())
        self.left_out = tuple(found["store"].to_numpy()[np.setdiff1d(np.arange(len(traffic)), best)].tolist())
        self.money = self.sold["revenue"].sum("day").to_numpy()
        recent = np.maximum(traffic[best, -_COMPARED_WEEKS:].sum(axis=1), 1e-9)
        usual = np.maximum(traffic[best].mean(axis=1) * _COMPARED_WEEKS, 1e-9)
        self.alike = np.log(np.stack([recent, recent / usual], axis=1))
        weeks = self.sold.coarsen(day=DAYS).sum()
        units = weeks["units"].where(weeks["units"] > 0)
        price, listed = (
            (weeks[name] / units).transpose("store", "day", "product") for name in ("revenue", "regular_revenue")
        )
        regular = price.copy(data=regular_prices(price.to_numpy(), listed.to_numpy())).transpose(*units.dims)
        self.without_deals = self.sold["units"].to_numpy() / np.repeat(_deals(units, price / regular), DAYS, axis=-1)
        self.level = _levels(*(one.isel(day=slice(-_COMPARED_WEEKS, None)) for one in (units, regular)))


def _deals(units: xr.DataArray, ratio: xr.DataArray) -> np.ndarray:
    """(S, N, W) the factor by which deals changed the units: a power, for each product, of paid over regular prices."""
    depth, sold = (xr.apply_ufunc(np.log, one.transpose(*units.dims)) for one in (ratio, units))
    depth = depth.clip(max=0.0).where(depth > -np.inf)
    x, y = (one - one.mean("day") for one in (depth, sold + 0.0 * depth))
    slope = (x * y).sum(["store", "day"]) / np.maximum((x**2).sum(["store", "day"]), 1e-9)
    return np.exp(slope * depth.fillna(0.0)).transpose(*units.dims).to_numpy()


def _levels(units: xr.DataArray, regular: xr.DataArray) -> np.ndarray:
    regular = regular.where(np.isfinite(regular) & (units > 0))
    units = units.where(np.isfinite(regular))
    whole = (units * regular).sum("store") / np.maximum(units.sum("store"), 1e-9)
    level = (regular / np.maximum(whole, 1e-9)).median("day")
    level = level.fillna(level.median("product")).fillna(1.0)
    return level.where(np.abs(level - 1) >= _LEAST_LEVEL_CHANGE, 1.0).to_numpy()

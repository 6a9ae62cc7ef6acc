"""Forecast errors of shops alone, of all rows in one place, and of a federated fit, over drawn shops.

`python -m repricer.benchmarks.federated [--sets N]`: sets of five synthetic shops, each with few
products and weeks; the last 8 weeks are held out. `pooled` is the regression on the panel of all
shops; `federated` goes by files in a folder, as `repricer federate` does.
"""

from __future__ import annotations

import argparse
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..data import Tables, product_weeks
from ..forecasting import Forecaster, MovingAverage, PooledRegression
from ..forecasting.metrics import wape
from ..forecasting.models.random_coefficients import Common
from ..forecasting.shared_regression import fit_shared
from .customers import markdown
from .uplift import draw_shop
from .uplift import shop_tables as tables_of

SHOPS = 5
HELD = 8
TRAFFIC_WEEKS = 4
FAMILIES = ("clean", "promoted", "endogenous", "seasonal")
PRODUCTS = (4, 12)
WEEKS = {"10": (10,) * SHOPS, "16": (16,) * SHOPS, "12 to 104": (12, 16, 26, 52, 104)}


def shop_tables(family: str, seed: int, products: int, weeks: int) -> Tables:
    """The last weeks of a drawn shop that sells the first of its products only."""
    tables = tables_of(draw_shop(family, seed=seed, weeks=104))
    assert tables.products is not None
    kept = tables.products.iloc[:products]
    since = tables.sales["date"].max() - pd.Timedelta(weeks=weeks - 1)
    sold = tables.sales["product"].isin(kept["product"]) & (tables.sales["date"] >= since)
    return replace(tables, sales=tables.sales[sold].reset_index(drop=True), products=kept, plan=None)


def panels(family: str, first: int, products: int, weeks: tuple[int, ...]) -> dict[str, pd.DataFrame]:
    """The weeks of each of five shops, the held-out ones too."""
    tables = (shop_tables(family, first + n, products, length + HELD) for n, length in enumerate(weeks))
    return {f"shop-{n}": product_weeks(one) for n, one in enumerate(tables)}


def split(panel: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Past, and the weeks held out."""
    start = np.sort(panel["week"].unique())[-HELD]
    return panel[panel["week"] < start], panel[panel["week"] >= start]


def federated(pasts: dict[str, pd.DataFrame]) -> Common:
    """What the shops' products have in common, by files in a folder."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(len(pasts)) as pool:
        place = Path(folder)
        key = bytes(32)
        parts = [pool.submit(fit_shared, past, place, key, name=name, shops=len(pasts)) for name, past in pasts.items()]
        return parts[0].result().common


def error(model: Forecaster, panel: pd.DataFrame) -> float:
    """WAPE of the held-out weeks at their prices, with the traffic of the last weeks of the past."""
    past, future = split(panel)
    traffic = past.groupby("week")["traffic"].first().tail(TRAFFIC_WEEKS).mean()
    forecast = model.predict(future.drop(columns="units").assign(traffic=traffic))
    forecast = forecast.merge(future[["product", "week", "units"]])
    return wape(forecast["units"], forecast["mean"])


def errors(shops: dict[str, pd.DataFrame], common: Common | None = None) -> pd.DataFrame:
    """WAPE by shop and way of fitting."""

    def apart(name: str, panel: pd.DataFrame) -> pd.DataFrame:
        # Shops have products, and rivals among them, of their own.
        return panel.assign(product=name + " " + panel["product"], category=name + " " + panel["category"])

    pasts = {name: split(panel)[0] for name, panel in shops.items()}
    pooled = PooledRegression().fit(pd.concat([apart(name, past) for name, past in pasts.items()]))
    common = common or federated(pasts)
    rows = {}
    for name, panel in shops.items():
        models = {
            "moving average": MovingAverage(),
            "alone": PooledRegression(),
            "federated": PooledRegression(common=common),
        }
        rows[name] = {way: error(model.fit(pasts[name]), panel) for way, model in models.items()}
        rows[name]["pooled"] = error(pooled, apart(name, panel))
    return pd.DataFrame(rows).T


def main() -> None:
    """Print the table, a row as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=6, help="sets of five shops")
    sets = parser.parse_args().sets
    for family in FAMILIES:
        for products in PRODUCTS:
            for label, weeks in WEEKS.items():
                some = [errors(panels(family, 10 * n, products, weeks)).mean() for n in range(sets)]
                gain = pd.Series([row["federated"] / row["alone"] - 1 for row in some])
                row = {"family": family, "products": products, "weeks": label, **pd.DataFrame(some).mean()}
                row |= {"against alone": gain.mean(), "standard error": gain.std() / np.sqrt(sets)}
                print(markdown(pd.DataFrame([row])), flush=True)


if __name__ == "__main__":
    main()

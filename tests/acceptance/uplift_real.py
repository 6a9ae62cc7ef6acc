"""Can the demand model be assumed: price changes of a real grocer, calibration, size and speed, Nevo's cereals.

Sizes: M posterior draws, T weeks, N products.
"""

from __future__ import annotations

import functools
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from repricer.fitting import fit
from repricer.fitting.demand import CategoryData, CategoryModel, Priors, Problem, SalesGrids, estimate
from repricer.forecasting import PooledRegression
from repricer.scenarios import save_scenario
from scipy import stats

from .checks import check
from .demand_market import fitted, shop
from .demand_response import nevo
from .loop import demo

Array = NDArray[np.float64]
PUBLISHED, REGULAR, CUT = -30.4, 1.0, 0.15
EARLIER = (0, 8, 16, 24)
_CALIBRATED, _RANKS, _BINS = 200, 99, 10


@functools.cache
def changes() -> dict[str, Any]:
    """Predicted against realised price changes of the 200 best sellers, weeks 41 to 52."""
    found = fitted()[1]["proof"]["price_changes"]["pooled"]
    low, high = found["slope_interval90"]
    print(
        f"  slope {found['slope']:.3f}, 90% interval {low:.3f} to {high:.3f}, R2 {found['r2']:.2f}, coverage "
        f"{found['coverage90']:.2f}, {found['changes']} price changes of {found['products']} products"
    )
    return found


@check("uplift", "Complete Journey, 200 products: slope of held-out price changes", ">=", 0.8)
def slope() -> float:
    return changes()["slope"]


@check("uplift", "Complete Journey, 200 products: slope of held-out price changes, upper limit", "<=", 1.2)
def steepest() -> float:
    return changes()["slope"]


@check("uplift", "Complete Journey, 200 products: distance of the changes' 90% coverage from 90%", "<=", 0.1)
def coverage() -> float:
    return abs(changes()["coverage90"] - 0.9)


@functools.cache
def slope_before(weeks: int) -> float:
    """Slope of the held-out price changes of the 60 best sellers in eight weeks that end so long before the tables do."""
    tables, products = shop()
    best = products[products["product"].isin(tables.sales["product"].value_counts().index[:60])]
    end = tables.sales["date"].max() - pd.Timedelta(weeks=weeks)
    known = replace(tables, sales=tables.sales[tables.sales["date"] <= end].drop(columns="customer"))
    market = fit(known, best, name="earlier", holdout_weeks=8, forecaster=PooledRegression())
    found = market.report["proof"]["price_changes"]["pooled"]
    low, high = found["slope_interval90"]
    print(f"  eight weeks to {end.date()}: slope {found['slope']:.2f}, 90% interval {low:.2f} to {high:.2f}")
    return found["slope"]


@check(
    "uplift",
    "Complete Journey, 60 products, held-out weeks of four seasons: distance of the mean slope from 1",
    "<=",
    0.1,
)
def slopes() -> float:
    return abs(np.mean([slope_before(weeks) for weeks in EARLIER]) - 1)


@check("uplift", "demo, default bounds: recommended product-weeks outside what was charged", "<=", 0.2)
def outside() -> float:
    return demo()["document"]["comparison"]["uncertainty"]["outside_share"]


@check("uplift", "arrays of a market of 30 products with 200 posterior draws", "<=", 2.0, "MB")
def size() -> float:
    tables, products = shop()
    spec = fit(tables, products.head(30), name="top-30", forecaster=PooledRegression()).spec
    with TemporaryDirectory() as folder:
        save_scenario(spec, Path(folder))
        return sum(path.stat().st_size for path in Path(folder).glob("*.npz")) / 1e6


def drawn_shop(products: int, weeks: int = 92, seed: int = 0) -> tuple[SalesGrids, pd.DataFrame]:
    """Sales of categories of six products at prices that move by chance."""
    generator = np.random.default_rng(seed)
    price = np.where(
        generator.random((weeks, products)) < 0.2, 1 - generator.uniform(0.08, 0.35, (weeks, products)), 1.0
    )
    units = generator.poisson(20.0 * price**-2.3).astype(float)
    table = pd.DataFrame(
        {"product": [f"p{n}" for n in range(products)], "category": [f"c{n // 6}" for n in range(products)]}
    )
    grids = SalesGrids(
        weeks=pd.date_range("2016-01-04", periods=weeks, freq="7D"),
        units=units[None],
        price=price[None],
        regular=np.ones((1, weeks, products)),
        sold_out=np.zeros((1, weeks, products), dtype=bool),
        promotions={},
        unit_cost=None,
        holiday=None,
        stores=("all",),
    )
    return grids, table


@functools.cache
def seconds(products: int) -> float:
    """Processor time per product of likelihood and posterior."""
    grids, table = drawn_shop(products)
    first, few = drawn_shop(6)
    Problem(first, few, np.ones(6)).solve()  # libraries are loaded
    started = time.process_time()
    Problem(grids, table, np.ones(products)).solve()
    return (time.process_time() - started) / products


for _products in (12, 2000):

    @check("uplift", f"likelihood and posterior of {_products} products, processor time each", "<=", 0.15, "s")
    def quick(products: int = _products) -> float:
        return seconds(products)


def _memory(products: int) -> float:
    """Bytes of the posterior per product."""
    grids, table = drawn_shop(products, weeks=40)
    found = Problem(grids, table, np.ones(products)).solve(draws=50)
    arrays = [(p.draws, p.model.data.units, p.model.data.price) for p in found.posteriors]
    return sum(array.nbytes for group in arrays for array in group) / products


@check("uplift", "arrays of the posteriors per product, 240 products over 60", "<=", 1.05)
def memory() -> float:
    return _memory(240) / _memory(60)


@functools.cache
def ranks() -> dict[str, NDArray[np.intp]]:
    """Simulation-based calibration (Talts et al. 2018): ranks of the truth among thinned posterior draws.

    The predicted gain is that of a cut of all prices by 15%, in revenue.
    """
    found: dict[str, list[int]] = {"elasticity": [], "outside share": [], "predicted gain": []}
    for seed in range(_CALIBRATED):
        data, theta = _drawn(seed)
        posterior = estimate(data, Priors(), draws=_RANKS, seed=seed)
        known, drawn = (_quantities(posterior.model, rows) for rows in (theta[None], posterior.draws))
        for name, values in drawn.items():
            found[name].append(int((values < known[name]).sum()))
    return {name: np.array(values) for name, values in found.items()}


def _drawn(seed: int, weeks: int = 92, products: int = 6) -> tuple[CategoryData, Array]:
    """A category drawn from the prior, with its parameters."""
    generator, priors = np.random.default_rng(1000 + seed), Priors()
    reduced = generator.random((weeks, products)) < 0.2
    price = np.where(reduced, 1 - generator.uniform(0.08, 0.35, (weeks, products)), 1.0)[None]
    level = np.exp(generator.normal(3.0, 0.6, products))
    years = np.arange(1 - weeks, 1) / 52
    model = CategoryModel(CategoryData(np.broadcast_to(level, price.shape), price, years=years), priors)
    theta = generator.normal(model.layout.mean, model.layout.spread)
    theta[model.layout.level] = np.log(level)
    mean = np.exp(model.log_mean(torch.as_tensor(theta)).numpy())
    sold = generator.poisson(mean * generator.gamma(1 / 0.08, 0.08, mean.shape)).astype(float)
    return CategoryData(sold, price, years=years), theta


def _quantities(model: CategoryModel, theta: Array) -> dict[str, Array]:
    at = model.layout
    now = model.at_regular(torch.as_tensor(theta))
    utility, steep = now.utility.numpy()[:, 0], now.steepness.numpy()

    def revenue(price: float) -> Array:
        weight = np.exp(utility - steep * (price - 1))
        return price * weight.sum(axis=1) / (1 + weight.sum(axis=1))

    return {
        "elasticity": np.exp(theta[:, at.category] + theta[:, at.product])[:, 0],
        "outside share": theta[:, at.outside][:, 0],
        "predicted gain": revenue(1 - CUT) / revenue(REGULAR),
    }


for _name in ("elasticity", "outside share", "predicted gain"):

    @check("uplift", f"calibration over {_CALIBRATED} draws of the prior: p-value of {_name}'s ranks", ">=", 0.01)
    def calibrated(name: str = _name) -> float:
        counted = np.bincount(ranks()[name] * _BINS // (_RANKS + 1), minlength=_BINS)
        return float(stats.chisquare(counted).pvalue)


@functools.cache
def cereals() -> tuple[CategoryData, float, Array]:
    """Nevo's cereals as a category: shares of 24 products in 94 markets, and what the instruments do not explain.

    Returns:
        The category with prices relative to their mean, that mean, and (G, W, J) log shares.
    """
    table = nevo().sort_values(["market", "product"])
    price, share = (table.pivot(index="market", columns="product", values=c).to_numpy() for c in ("price", "share"))
    effects = [pd.get_dummies(table[name]).to_numpy(dtype=np.float64) for name in ("product", "market")]
    excluded = table[[f"demand_instruments{number}" for number in range(20)]].to_numpy()
    first = np.column_stack([excluded, *effects])
    residual = table["price"].to_numpy() - first @ np.linalg.lstsq(first, table["price"].to_numpy())[0]
    markets, mean = len(price), float(price.mean())
    data = CategoryData(
        units=share[None],
        price=price[None] / mean,
        week_features=np.eye(markets) - 1 / markets,
        feature_spread=np.full(markets, 3.0),
        effects=residual.reshape(1, 1, *price.shape) / mean,
        effect_mean=np.zeros(1),
        effect_spread=np.full(1, 50.0),
    )
    return data, mean, np.log(share)[None]


@check("uplift", "Nevo's cereals, choice model with a control function: distance from -30.4", "<=", 0.05)
def cereals_coefficient() -> float:
    """Gauss-Newton on log shares: the data are shares, not counts, so the errors are normal in logs."""
    data, mean, log_share = cereals()
    # One price coefficient for all products and next to no prior, as in the published regression.
    model = CategoryModel(data, Priors(product_spread=1e-4, category_spread=3.0, outside_spread=3.0))
    at = model.layout
    at.mean[at.level] = log_share.mean(axis=(0, 1))
    at.spread[at.level] = 10.0
    theta, variance = at.mean.copy(), 1.0
    jacobian = torch.func.jacfwd(model.log_mean)
    for _ in range(30):
        point = torch.as_tensor(theta)
        left = (log_share - model.log_mean(point).numpy()).ravel()
        slopes = jacobian(point).numpy().reshape(left.size, -1)
        precision = np.diag(at.spread**-2.0)
        move = np.linalg.solve(
            slopes.T @ slopes / variance + precision, slopes.T @ left / variance - precision @ (theta - at.mean)
        )
        theta, variance = theta + move, float((left**2).mean())
        if np.abs(move).max() < 1e-8:
            break
    found = -model.at_regular(torch.as_tensor(theta)).steepness.numpy().mean() / mean
    print(f"  price coefficient {found:.2f}")
    return abs(found / PUBLISHED - 1)

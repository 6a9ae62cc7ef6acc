"""Fraud: whether planted pseudonyms are found, honest ones left alone, and what the fit gains without them."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from repricer.benchmarks.uplift import StudySettings, Truth, draw_shop
from repricer.benchmarks.uplift.shop import write_files
from repricer.data import ImportReport, Tables, flagged_customers, import_tables, load_complete_journey, without_flagged
from repricer.fitting import fit
from repricer.forecasting import candidates
from repricer.privacy.pseudonyms import pseudonymise

from .checks import check

_SEEDS, _KEY = (0, 1, 2), b"acceptance" * 4
_PLANTED = ("burst", "return", "probe")
_EACH, _WEEKS, _UNITS = 3, 12, (25, 60)
"""Pseudonyms of each kind; weeks in which each buys; units it then buys in a day."""


def planted(shop: Truth, folder: Path) -> dict[str, Path]:
    """The files of a shop with resellers in the cheapest weeks, purchases that come back, and machines that look."""
    paths, random = write_files(shop, folder), np.random.default_rng(shop.seed)
    sales = pd.read_csv(paths["sales"], dtype={"product": str})
    kind = [(kind, f"{kind}-{n}") for kind in _PLANTED[:2] for n in range(_EACH)]
    more = []
    for what, customer in kind:
        own = sales[sales["product"] == random.choice(sales["product"].unique())].drop_duplicates("date")
        depth = (own["price_paid"] / own["regular_price"]).to_numpy()
        weeks = np.argsort(depth)[:_WEEKS] if what == "burst" else random.choice(len(own), _WEEKS, replace=False)
        units = random.integers(*_UNITS, _WEEKS).astype(float)
        bought = own.iloc[weeks].assign(customer=customer, units=units)
        more.append(bought)
        if what == "return":
            more.append(bought.assign(units=-units))
    pd.concat([sales, *more]).to_csv(paths["sales"], index=False)
    honest = sales.sample(5000, random_state=shop.seed)[["date", "product", "customer"]]
    product = sales["product"].iloc[0]
    looks = [
        pd.DataFrame({"date": sales["date"].iloc[-1], "product": product, "customer": f"probe-{n}"}, index=range(200))
        for n in range(_EACH)
    ]
    paths["behaviour"] = folder / "behaviour.csv"
    pd.concat([honest, *looks]).assign(event="view", value=1).to_csv(paths["behaviour"], index=False)
    return paths


@functools.cache
def _imported(seed: int) -> tuple[Truth, Tables, ImportReport]:
    shop = draw_shop("segments", seed)
    with tempfile.TemporaryDirectory() as folder:
        return shop, *import_tables(planted(shop, Path(folder)), key=_KEY)


def _ids(seed: int) -> list[str]:
    names = pd.Series([f"{kind}-{n}" for kind in _PLANTED for n in range(_EACH)])
    return list(pseudonymise(names, key=_KEY))


@check("trust", "planted bursts, returns and price probes on three drawn shops: share flagged", ">=", 0.95)
def found() -> float:
    return float(np.mean([one in _imported(seed)[2].flagged for seed in _SEEDS for one in _ids(seed)]))


@check("trust", "honest customers flagged on three drawn shops", "<=", 0.01, "of them")
def honest() -> float:
    customers = [set(_imported(seed)[1].sales["customer"]) - set(_ids(seed)) for seed in _SEEDS]
    flagged = [set(_imported(seed)[2].flagged) & own for seed, own in zip(_SEEDS, customers, strict=True)]
    return sum(map(len, flagged)) / sum(map(len, customers))


@check("trust", "customers of The Complete Journey flagged", "<=", 0.01, "of them")
def real() -> float:
    tables, _ = load_complete_journey(key=_KEY)
    return len(flagged_customers(tables.sales, tables.behaviour)) / tables.sales["customer"].nunique()


def _elasticity_error(shop: Truth, tables: Tables) -> float:
    """Root mean square error of the products' own elasticities at regular prices."""
    settings = StudySettings("segments")
    given = {"seed": 0, "forecaster": candidates(seed=0)[settings.forecaster]}
    fitted = fit(tables, tables.products, name="shop", **given)
    names = [row["product"] for row in fitted.report["price_response"]]
    told = np.array([row["elasticity"] for row in fitted.report["price_response"]])
    known = dict(zip(tables.products["product"], _elasticities(shop), strict=True))
    return float(np.sqrt(np.mean((told - [known[name] for name in names]) ** 2)))


def _elasticities(shop: Truth) -> NDArray[np.float64]:
    step, found = 0.01, []
    for n in range(shop.regular.size):
        up, down = shop.regular.copy(), shop.regular.copy()
        up[n], down[n] = up[n] * np.exp(step), down[n] * np.exp(-step)
        more, less = (shop.units(prices)[:, n].sum() for prices in (up, down))
        found.append(np.log(more / less) / (2 * step))
    return np.array(found)


@functools.cache
def _errors(seed: int) -> tuple[float, float]:
    """With the planted rows, and without those of flagged customers."""
    shop, tables, report = _imported(seed)
    return _elasticity_error(shop, tables), _elasticity_error(shop, without_flagged(tables, report)[0])


@check("trust", "error of elasticities without flagged customers over that with them, mean of three shops", "<=", 0.9)
def gain() -> float:
    errors = np.array([_errors(seed) for seed in _SEEDS])
    print(f"  RMS error of elasticities with and without flagged customers: {errors.round(3).tolist()}", flush=True)
    return float(errors[:, 1].mean() / errors[:, 0].mean())

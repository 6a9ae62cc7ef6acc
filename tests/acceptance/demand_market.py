"""The fitted market of the 200 products with the most sale lines: does it sell what the shop sold?"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from repricer.data import Tables, load_complete_journey, product_weeks
from repricer.envs import rollout
from repricer.evaluation import SalesRecorder, fidelity, named_policy
from repricer.fitting import fit
from repricer.forecasting import CoefficientEstimate, PooledRegression, PriceResponse
from repricer.scenarios import MarketSpec

from .checks import check
from .loop import demo

PRODUCTS, HELD_OUT, FLAT_WEEKS = 200, 12, 8
TIMES_MOVING, TIMES_FLAT, SIMULATED = 0.75, 0.70, 1.05


@functools.cache
def shop() -> tuple[Tables, pd.DataFrame]:
    """Tables of the whole shop, and the products to fit."""
    tables, _ = load_complete_journey(key=b"for this check only")
    assert tables.products is not None
    top = tables.sales["product"].value_counts().index[:PRODUCTS]
    return tables, tables.products[tables.products["product"].isin(top)].reset_index(drop=True)


@functools.cache
def fitted() -> tuple[MarketSpec, dict[str, Any], pd.DataFrame, list[str]]:
    """Market on weeks 2 to 40 for weeks 41 to 52, the fit's report, the panel of all, and the products in their order."""
    tables, products = shop()
    found = fit(tables, products, name="top-200", holdout_weeks=HELD_OUT)
    return found.proof, found.report, product_weeks(tables, products=products), list(products["product"])


@functools.cache
def simulated() -> dict[str, Any]:
    return fidelity(fitted()[0])


@functools.cache
def flat_wape() -> float:
    """Error of the mean of the last weeks before, held flat."""
    panel = fitted()[2]
    units = panel.pivot(index="week", columns="product", values="units").to_numpy()
    past, future = units[:-HELD_OUT], units[-HELD_OUT:]
    return float(np.abs(future - past[-FLAT_WEEKS:].mean(axis=0)).sum() / future.sum())


@check(
    "demand", "fitted market, 12 weeks ahead: WAPE over that of a flat mean of 8 weeks", "<=", TIMES_FLAT * SIMULATED
)
def against_flat() -> float:
    return simulated()["wape"] / flat_wape()


@check("demand", "fitted market, one week ahead: WAPE over that of a moving average", "<=", TIMES_MOVING * SIMULATED)
def one_week() -> float:
    """A market fitted before each of the weeks, on all that was known then, with the quickest of the forecasters."""
    tables, products = shop()
    error = average = units = 0.0
    for left in range(HELD_OUT):
        end = tables.sales["date"].max() - pd.Timedelta(weeks=left)
        # Nobody named, nothing personal: segments and slots would take most of the time.
        known = replace(tables, sales=tables.sales[tables.sales["date"] <= end].drop(columns="customer"))
        week = fit(known, products, name="week", weeks=1, holdout_weeks=1, forecaster=PooledRegression())
        found = fidelity(week.proof)
        sold = sum(row["actual_units"] for row in found["products"])
        rows = {row["forecaster"]: row["wape"] for row in week.report["proof"]["backtest"]}
        error, average, units = error + found["wape"] * sold, average + rows["moving-average"] * sold, units + sold
    return error / average


@check("demand", "fitted market, 200 products: p-value of even bars in the calibration (PIT) plot", ">=", 0.05)
def calibrated() -> float:
    return simulated()["calibration"]["p_value"]


@check("demand", "demo: p-value of even bars in the calibration (PIT) plot of its report", ">=", 0.05)
def calibrated_demo() -> float:
    return demo()["document"]["fit"]["simulated_p_value"]


def pooled(panel: pd.DataFrame) -> CoefficientEstimate:
    return PriceResponse(instruments=()).fit(panel).pooled_


@check("demand", "fitted market: elasticity of its sales against what went in", "<=", 1.96, "standard errors")
def elasticity() -> float:
    """The same regression on sales simulated at the historical prices, and on the response that was fitted."""
    spec, report, _, products = fitted()
    recorder = SalesRecorder(spec)
    rollout(spec, named_policy("historical", spec), episodes=1, seed=5, watch=recorder)
    names, by_product = (
        list(spec.products.names),
        {row["product"]: row["elasticity"] for row in report["price_response"]},
    )
    shop = pd.DataFrame({"product": names, "category": spec.products.category, "regular": spec.products.regular_price})
    shop["response"] = [by_product[product] for product in products]
    sold = product_weeks(recorder.sales(), products=shop).merge(shop[["product", "regular", "response"]], on="product")
    level = sold.groupby("product")["units"].transform("mean")
    went_in = sold.assign(units=level * (sold["price"] / sold["regular"]) ** sold["response"])
    found = pooled(sold)
    return abs(found.coefficient - pooled(went_in).coefficient) / found.se

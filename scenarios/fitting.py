"""From a shop's tables to a fitted market: every model fitted on the past, the last weeks kept out to be simulated."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from ..data import Tables, product_weeks
from ..forecasting import (
    QUANTILES,
    Forecaster,
    MarketPaths,
    MarketShock,
    MarketTrend,
    MovingAverage,
    PriceResponse,
    Sarimax,
    SeasonalNaive,
    backtest,
    fitted_dispersion,
    select,
)
from .builder import Assumptions, FittedModels, build_market, outside_share
from .customers import Customers, OnStep, Split, fit_customers, records
from .spec import MarketSpec, Shocks

_HORIZON_OF_SELECTION = 4
_RECENT_WEEKS = 8
_LOW_PRICE_QUANTILE = 0.1


def fit_market(
    tables: Tables,
    products: pd.DataFrame,
    *,
    name: str,
    holdout_weeks: int = 12,
    currency: str = "currency",
    assumptions: Assumptions | None = None,
    seed: int = 0,
    on_step: OnStep = lambda _: None,
) -> tuple[MarketSpec, dict[str, Any]]:
    """Fit every model on the weeks before the last `holdout_weeks`, and build the market of those weeks.

    tables: canonical; where the sales name no customers, the market has one segment, without discounts and slots.
    products: `product`, `category` and, where known, `name` of those to price; unit costs come from the tables. on_step: told what is being fitted. Returns the market and
    the fit report (plain data, for JSON and the report).

    Raises ValueError where the history is too short.
    """
    assumptions = assumptions or Assumptions()
    split = _split(tables, products, holdout_weeks)
    on_step("demand forecasters")
    forecaster, demand = _demand(split)
    on_step("market trend")
    trend = MarketTrend(seed=seed).fit(split.past)
    paths = trend.sample_paths(len(split.weeks), planned=split.future)
    traffic, shock = paths.bands(), paths.shock()
    on_step("price response")
    response = PriceResponse().fit(split.past)
    customers = fit_customers(tables, split, seed, on_step)
    models = _models(split, forecaster, paths, response, customers, assumptions.cover_quantile)
    spec = build_market(models, name=name, assumptions=assumptions, currency=currency)
    report = {
        **demand,
        "price_response": records(response.elasticity_.merge(split.products[["product", "name"]], on="product")),
        "category_response": _category_response(response, models),
        "reference_effect": asdict(response.reference_effect_) | {"used": spec.reference_price is not None},
        **customers.report,
        "trend": _trend(trend, split, traffic) | {"volatility": shock.volatility, "persistence": shock.persistence},
        "assumptions": list(spec.assumptions),
    }
    return spec, report


def _split(tables: Tables, products: pd.DataFrame, holdout_weeks: int) -> Split:
    panel = product_weeks(tables, products=products)
    weeks = np.sort(panel["week"].unique())
    # A quarter's seasonal terms and the backtest's origins need this much past.
    least = 26
    if len(weeks) < least + holdout_weeks:
        raise ValueError(
            f"sales must cover at least {least + holdout_weeks} weeks ({least} to fit, {holdout_weeks} to simulate); "
            f"got {len(weeks)}; add history or lower holdout_weeks"
        )
    start = weeks[-holdout_weeks]
    return Split(
        products=_described(products, tables),
        past=panel[panel["week"] < start],
        future=panel[panel["week"] >= start],
        sales=tables.sales[tables.sales["date"] < start],
    )


def _described(products: pd.DataFrame, tables: Tables) -> pd.DataFrame:
    """The products with a name (their id where they have none) and the unit cost that the tables know."""
    rows = products.reset_index(drop=True)
    name = rows["name"] if "name" in rows else rows["product"]
    rows = rows.assign(name=name.fillna(rows["product"]))
    if tables.products is None or "unit_cost" not in tables.products or "unit_cost" in rows:
        return rows
    return rows.merge(tables.products[["product", "unit_cost"]], on="product", how="left")


def _demand(split: Split) -> tuple[Forecaster, dict[str, Any]]:
    """The forecaster that wins inside the past, fitted on all of it, with both backtest tables."""
    candidates = {"seasonal-naive": SeasonalNaive(), "moving-average": MovingAverage(), "sarimax": Sarimax()}
    weeks = np.sort(split.past["week"].unique())
    origins = [weeks[-1 - 2 * _HORIZON_OF_SELECTION], weeks[-1 - _HORIZON_OF_SELECTION]]
    inside = backtest(candidates, split.past, origins=origins, horizon=_HORIZON_OF_SELECTION)
    chosen = select(inside)
    whole = pd.concat([split.past, split.future])
    held_out = backtest(candidates, whole, origins=[weeks[-1]], horizon=len(split.weeks))
    return candidates[chosen].fit(split.past), {
        "chosen_forecaster": chosen,
        "selection": records(inside[inside["step"] == 0]),
        "backtest": records(held_out[held_out["step"] == 0]),
    }


def _models(
    split: Split,
    forecaster: Forecaster,
    paths: MarketPaths,
    response: PriceResponse,
    customers: Customers,
    quantile: float,
) -> FittedModels:
    order = split.products["product"]
    recent = split.past[split.past["week"] >= np.sort(split.past["week"].unique())[-_RECENT_WEEKS]]
    regular = recent.groupby("product")["regular_price"].median()
    low = split.past.groupby("product")["price"].quantile(_LOW_PRICE_QUANTILE)
    traffic = pd.DataFrame({"week": paths.weeks, "traffic": paths.traffic.mean(axis=0)})
    ahead = split.future[["product", "week"]].merge(traffic, on="week")
    ahead = ahead.assign(regular_price=ahead["product"].map(regular))
    forecast = forecaster.predict(ahead.assign(price=ahead["regular_price"]))
    mean = forecast.pivot(index="week", columns="product", values="mean")[order].to_numpy(dtype=np.float64)
    elasticity = response.elasticity_.set_index("product").loc[order, "shrunk"]
    category = response.category_elasticity_.set_index("category")["shrunk"]
    shock = paths.shock()
    return FittedModels(
        products=split.products,
        first_day=split.weeks[0],
        forecast=np.maximum(mean, 0.05),
        promotion_uplift=_promotion_uplift(split.past, elasticity)[order].to_numpy(dtype=np.float64),
        overdispersion=_overdispersion(forecast, list(order), shock),
        shocks=Shocks(volatility=shock.volatility, persistence=shock.persistence),
        regular_price=regular[order].to_numpy(dtype=np.float64),
        low_price=low[order].to_numpy(dtype=np.float64),
        elasticity=elasticity.to_numpy(dtype=np.float64),
        category_elasticity=category[split.products["category"].unique()].to_numpy(dtype=np.float64),
        reference_effect=response.reference_effect_.coefficient,
        memory=response.reference_effect_.memory,
        segments=customers.names,
        segment_elasticity=customers.elasticity,
        segment_units=customers.units,
        affinity=customers.affinity,
        candidates=customers.candidates,
        high_units=split.past.groupby("product")["units"].quantile(quantile)[order].to_numpy(dtype=np.float64),
        past_price=split.grid("price"),
        past_units=split.grid("units"),
    )


def _promotion_uplift(past: pd.DataFrame, elasticity: pd.Series) -> pd.Series:
    """Mean over the past of a product's demand relative to that at its regular price, by its own elasticity."""
    uplift = (past["price"] / past["regular_price"]).pow(past["product"].map(elasticity))
    return uplift.groupby(past["product"]).mean()


def _overdispersion(forecast: pd.DataFrame, order: list[str], shock: MarketShock) -> np.ndarray:
    """(N,) variance of a gamma multiplier that, with the market's shock, spreads sales as the forecasts' quantiles do."""
    table = forecast.pivot(index="week", columns="product")
    upper = {level: table[f"q{level}"][order].to_numpy(dtype=np.float64) for level in QUANTILES if level > 0.5}
    whole = fitted_dispersion(table["mean"][order].to_numpy(dtype=np.float64), upper).mean(axis=0)
    market = np.expm1(shock.volatility**2)
    return np.maximum((whole - market) / (1 + market), 0.0)


def _category_response(response: PriceResponse, models: FittedModels) -> list[dict[str, Any]]:
    shares, cut = outside_share(models)
    order = models.products["category"].unique()
    table = response.category_elasticity_.set_index("category").loc[order, ["shrunk", "shrunk_se"]]
    table = table.rename(columns={"shrunk": "elasticity", "shrunk_se": "se"})
    return records(table.assign(outside_share=shares, clamped=cut).reset_index())


def _trend(trend: MarketTrend, split: Split, ahead: pd.DataFrame) -> dict[str, Any]:
    past = split.past.groupby("week")["traffic"].first()
    error = trend.scores_.set_index("candidate")["mae"]
    return {
        "scores": records(trend.scores_),
        "used": trend.chosen_,
        "score": float(error[["support vectors", "random forest"]].min()),
        "naive": float(error["naive"]),
        "moving_average": float(error["moving average"]),
        "weeks": [f"{week:%Y-%m-%d}" for week in past.index],
        "history": past.tolist(),
        "forecast_weeks": [f"{week:%Y-%m-%d}" for week in ahead["week"]],
        "traffic": ahead["traffic"].tolist(),
        "low": ahead["low"].tolist(),
        "high": ahead["high"].tolist(),
    }

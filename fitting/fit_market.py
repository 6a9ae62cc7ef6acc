"""Fit every model on a shop's past, and build the market of the weeks held out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from sklearn.base import clone

from ..data import Tables, choose_products, load_tables, product_weeks
from ..forecasting import (
    PLANNED,
    QUANTILES,
    Forecaster,
    MarketPaths,
    MarketShock,
    MarketTrend,
    MovingAverage,
    PriceResponse,
    Selected,
    fitted_dispersion,
    forecasts_from,
    score,
)
from ..scenarios import MarketSpec, scenario_name
from ..scenarios.sections import Shocks
from .assumptions import Assumptions
from .customers import JOBS, Customers, Split, fit_customers, records
from .market_builder import FittedModels, build_market, outside_share
from .response import PROMOTION, DemandResponse

_BASELINE, _CHOSEN = "moving-average", "selected"
# A quarter's seasonal terms and the backtest's origins need this much history.
_LEAST_WEEKS = 26
_RECENT_WEEKS = 8
_LOW_PRICE_QUANTILE = 0.1
_LEAST_UNITS = 0.05


class FittedMarket(NamedTuple):
    """What `fit` returns.

    Attributes:
        spec: The market of the held-out weeks.
        report: How it was fitted and how well, as plain data for JSON and for the HTML report.

    Example:
        >>> market = fit("shop/")  # doctest: +SKIP
        >>> market.spec.market.horizon_periods  # doctest: +SKIP
        12
    """

    spec: MarketSpec
    report: dict[str, Any]


def fit(
    tables: Tables | str | os.PathLike[str],
    products: pd.DataFrame | None = None,
    *,
    name: str | None = None,
    holdout_weeks: int = 12,
    currency: str = "currency",
    assumptions: Assumptions | None = None,
    seed: int = 0,
    forecaster: Forecaster | None = None,
    promotions: bool = False,
    on_step: Callable[[str], None] = lambda _: None,
) -> FittedMarket:
    """Fit every model on a shop's past, and build the market of the held-out weeks.

    Args:
        tables: Imported tables, or the folder that `repricer data import` wrote them to. If the
            sales name no customers, the market has one segment and no personal discounts or
            recommendations.
        products: The products to price: columns `product`, `category` and, where known, `name` and
            `unit_cost`. By default the best sellers, as `choose_products` selects them.
        name: Name of the market; by default the folder's, or "market".
        holdout_weeks: Last weeks, kept out of the fit and simulated by the market.
        currency: Unit of the money in the tables, for display.
        assumptions: What the tables do not say; the defaults of `Assumptions` if left out.
        seed: Seed of every random draw.
        forecaster: The demand model; by default `Selected`, which picks the best models for each
            product.
        promotions: Whether displays and mailers are a decision in the market. Otherwise a price
            reduction brings those that usually came with one.
        on_step: Called with the name of each step when it begins.

    Returns:
        The market and the fit report.

    Raises:
        ValueError: The history is too short, or promotions are to be a decision but are not
            recorded.
        DataError: The folder holds no imported tables.

    Example:
        >>> import repricer
        >>> spec, report = repricer.fit("shop/", holdout_weeks=8)  # doctest: +SKIP
        >>> run = repricer.train(spec)  # doctest: +SKIP
    """
    if not isinstance(tables, Tables):
        name = name or scenario_name(Path(tables).resolve().name)
        tables = load_tables(Path(tables))
    products = choose_products(tables) if products is None else products
    assumptions = assumptions or Assumptions()
    split = _split(tables, products, holdout_weeks)
    on_step("price response")
    response = DemandResponse.fit(split.past, promotions)
    on_step("demand forecasters")
    forecaster, demand = _demand(split, forecaster or Selected(seed=seed, n_jobs=JOBS))
    on_step("market trend")
    trend = MarketTrend(seed=seed).fit(split.past)
    paths = trend.sample_paths(len(split.weeks), planned=split.future)
    customers = fit_customers(tables, split, seed, on_step)
    models = _models(split, forecaster, paths, response, customers, assumptions.cover_quantile)
    spec = build_market(models, name=name or "market", assumptions=assumptions, currency=currency)
    spec = spec.with_changes(history={"tables_sha256": tables.fingerprint()})
    return FittedMarket(spec, demand | _report(spec, split, models, response, customers, (trend, paths)))


def _split(tables: Tables, products: pd.DataFrame, holdout_weeks: int) -> Split:
    panel = product_weeks(tables, products=products)
    weeks = np.sort(panel["week"].unique())
    if len(weeks) < _LEAST_WEEKS + holdout_weeks:
        raise ValueError(
            f"sales must cover at least {_LEAST_WEEKS + holdout_weeks} weeks ({_LEAST_WEEKS} to fit, {holdout_weeks} "
            f"to simulate); got {len(weeks)}; add history or lower holdout_weeks"
        )
    start = weeks[-holdout_weeks]
    return Split(
        products=_described(products, tables),
        past=panel[panel["week"] < start],
        future=panel[panel["week"] >= start],
        sales=tables.sales[tables.sales["date"] < start],
    )


def _described(products: pd.DataFrame, tables: Tables) -> pd.DataFrame:
    """The products with a name (their id if they have none) and the unit cost from the tables."""
    rows = products.reset_index(drop=True)
    name = rows["name"] if "name" in rows else rows["product"]
    rows = rows.assign(name=name.fillna(rows["product"]))
    if tables.products is None or "unit_cost" not in tables.products or "unit_cost" in rows:
        return rows
    return rows.merge(tables.products[["product", "unit_cost"]], on="product", how="left")


def _demand(split: Split, forecaster: Forecaster) -> tuple[Forecaster, dict[str, Any]]:
    """The forecaster fitted on the past, and its and its candidates' held-out errors."""
    started = time.perf_counter()
    fitted = cast(Forecaster, clone(forecaster)).fit(split.past)
    seconds = {_CHOSEN: time.perf_counter() - started}
    models, chosen = {_BASELINE: MovingAverage().fit(split.past)}, {}
    if isinstance(fitted, Selected):
        models |= fitted.models_
        seconds |= fitted.scores_.set_index("forecaster")["seconds"].to_dict()
        chosen = {
            "selection": records(fitted.scores_),
            "chosen_by_product": records(fitted.selection_[["product", "chosen"]]),
        }
    whole, origin = pd.concat([split.past, split.future]), split.past["week"].max()
    held_out = [
        {
            "forecaster": name,
            **score(forecasts_from(model, whole, origin=origin, horizon=len(split.weeks))),
            "failures": len(model.failures_),
            "seconds": float(seconds.get(name, 0.0)),
        }
        for name, model in (models | {_CHOSEN: fitted}).items()
    ]
    return fitted, {"chosen_forecaster": _CHOSEN, "backtest": held_out, **chosen}


def _models(
    split: Split,
    forecaster: Forecaster,
    paths: MarketPaths,
    response: DemandResponse,
    customers: Customers,
    quantile: float,
) -> FittedModels:
    """Everything that the market is built from; `quantile` of past weekly units is a busy week."""
    order = split.products["product"]
    recent = split.past[split.past["week"] >= np.sort(split.past["week"].unique())[-_RECENT_WEEKS]]
    regular = recent.groupby("product")["regular_price"].median()
    low = split.past.groupby("product")["price"].quantile(_LOW_PRICE_QUANTILE)
    at_plan, at_regular = _forecasts(split, forecaster, paths, regular)
    prices = response.prices
    elasticity = prices.elasticity_.set_index("product").loc[order, "shrunk"]
    shock, exposure = paths.shock(), response.exposure
    return FittedModels(
        products=split.products,
        first_day=split.weeks[0],
        forecast=_mean(at_regular, order),
        planned=_mean(at_plan, order),
        overdispersion=_overdispersion(at_plan, list(order), shock),
        shocks=Shocks(volatility=shock.volatility, persistence=shock.persistence),
        regular_price=regular[order].to_numpy(dtype=np.float64),
        low_price=low[order].to_numpy(dtype=np.float64),
        elasticity=elasticity.to_numpy(dtype=np.float64),
        substitution=response.substitution,
        reference_effect=prices.reference_effect_.coefficient,
        memory=prices.reference_effect_.memory,
        segments=customers.names,
        segment_elasticity=customers.elasticity,
        segment_units=customers.units,
        affinity=customers.affinity,
        candidates=customers.candidates,
        high_units=split.past.groupby("product")["units"].quantile(quantile)[order].to_numpy(dtype=np.float64),
        past_price=split.grid("price"),
        past_units=split.grid("units"),
        exposure_effect=None if exposure is None else exposure.coefficient,
        past_promotion=split.grid(PROMOTION) if response.decided else None,
    )


def _forecasts(
    split: Split, forecaster: Forecaster, paths: MarketPaths, regular: pd.Series
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Forecasts of the weeks to simulate: at planned prices, and at regular prices."""
    traffic = pd.DataFrame({"week": paths.weeks, "traffic": paths.traffic.mean(axis=0)})
    given = ["product", "week", "price", "regular_price", *(name for name in PLANNED if name in split.future)]
    planned = split.future[given].merge(traffic, on="week")
    price = planned["product"].map(regular)
    usual = planned.drop(columns=PROMOTION, errors="ignore").assign(price=price, regular_price=price)
    return forecaster.predict(planned), forecaster.predict(usual)


def _mean(forecast: pd.DataFrame, order: pd.Series) -> np.ndarray:
    """(T, N) mean units per week, bounded away from zero."""
    table = forecast.pivot(index="week", columns="product", values="mean")[order]
    return np.maximum(table.to_numpy(dtype=np.float64), _LEAST_UNITS)


def _overdispersion(forecast: pd.DataFrame, order: list[str], shock: MarketShock) -> np.ndarray:
    """(N,) variance of the gamma multiplier that completes the market's shock."""
    table = forecast.pivot(index="week", columns="product")
    quantiles = {level: table[f"q{level}"][order].to_numpy(dtype=np.float64) for level in QUANTILES}
    whole = fitted_dispersion(table["mean"][order].to_numpy(dtype=np.float64), quantiles).mean(axis=0)
    market = np.expm1(shock.volatility**2)
    return np.maximum((whole - market) / (1 + market), 0.0)


def _report(
    spec: MarketSpec,
    split: Split,
    models: FittedModels,
    response: DemandResponse,
    customers: Customers,
    traffic: tuple[MarketTrend, MarketPaths],
) -> dict[str, Any]:
    """The fit report, except for its part on the demand forecasts."""
    prices = response.prices
    return {
        "price_response": records(prices.elasticity_.merge(split.products[["product", "name"]], on="product")),
        "identification": str(response.alone.identification_),
        "category_response": _category_response(prices, models),
        "reference_effect": asdict(prices.reference_effect_) | {"used": spec.reference_price is not None},
        **_exposure(response),
        **customers.report,
        "trend": _trend(split, *traffic),
        "assumptions": list(spec.assumptions),
    }


def _exposure(response: DemandResponse) -> dict[str, Any]:
    """The effect of displays and mailers, and the price response without them."""
    if response.exposure is None:
        return {}
    alone = response.alone.pooled_
    return {
        "exposure_effect": asdict(response.exposure)
        | {"usual_share": response.usual, "elasticity_alone": alone.coefficient, "elasticity_alone_se": alone.se}
    }


def _category_response(response: PriceResponse, models: FittedModels) -> list[dict[str, Any]]:
    shares, cut = outside_share(models)
    order = models.products["category"].unique()
    table = response.category_elasticity_.set_index("category").loc[order, ["shrunk", "shrunk_se"]]
    table = table.rename(columns={"shrunk": "elasticity", "shrunk_se": "se"})
    return records(table.assign(outside_share=shares, clamped=cut).reset_index())


def _trend(split: Split, trend: MarketTrend, paths: MarketPaths) -> dict[str, Any]:
    past, ahead, shock = split.past.groupby("week")["traffic"].first(), paths.bands(), paths.shock()
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
        "volatility": shock.volatility,
        "persistence": shock.persistence,
    }

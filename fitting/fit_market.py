"""Fit every model on a shop's past, and build the market of the weeks held out."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from sklearn.base import clone

from ..data import Tables, load_tables, product_weeks
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
from .demand import FittedDemand, Priors, SalesGrids, SegmentUnits, fit_demand
from .fit_report import fit_report
from .fitted_models import FittedModels
from .identification import identified
from .market_builder import build_market
from .price_range import narrowest
from .profit_floor import with_profit_floor
from .regression import PROMOTION, price_regression
from .shop_rules import priced_products

_BASELINE = "moving-average"
# A quarter's seasonal terms and the backtest's origins need this much history.
_LEAST_WEEKS = 26
_RECENT_WEEKS = 8
# The range of prices that the shop charged: these quantiles of the past year, by product.
_CHARGED_QUANTILES, _CHARGED_WEEKS = (0.02, 0.98), 52
# The history over which a forecast that ignores prices has averaged them.
_AVERAGED_WEEKS = 26
# A reference-price effect this many standard errors above zero enters the demand model.
_CLEAR = 2.5
_LEAST_UNITS = 0.05
# A segment's elasticity relative to the average one.
_SEGMENT_RESPONSE = (0.5, 2.0)


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
    objective: str | None = None,
    priors: Priors | None = None,
    draws: int = 200,
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
            reduction leaves them as the shop planned them.
        objective: What the market rewards: revenue or profit; by default profit where the tables
            give every unit cost, else revenue.
        priors: What is believed about demand before the sales are seen; the defaults of `Priors` if
            left out.
        draws: Number of posterior draws.
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
    assumptions = assumptions or Assumptions()
    products = priced_products(tables, assumptions.rules) if products is None else products
    products = assumptions.rules.chosen_from(products)
    split = _split(tables, products, holdout_weeks)
    objective = _objective(objective or assumptions.rules.shop.objective, split.products)
    on_step("price regression")
    regression = price_regression(split.past, promotions=promotions)
    on_step("demand forecasters")
    forecaster, demand = _demand(split, forecaster or Selected(seed=seed, n_jobs=JOBS))
    on_step("market trend")
    trend = MarketTrend(seed=seed).fit(split.past)
    paths = trend.sample_paths(len(split.weeks), planned=split.future)
    customers = fit_customers(tables, split, seed, on_step)
    on_step("price response")
    response = _response(split, customers, regression, priors or Priors(), draws, seed)
    known = identified(response)
    models = _models(split, forecaster, paths, response, customers, assumptions.cover_quantile, promotions)
    models = replace(models, identified=known["identified"].to_numpy())

    def market(assumptions: Assumptions) -> MarketSpec:
        options = {"name": name or "market", "objective": objective, "currency": currency, "seed": seed}
        spec = build_market(models, assumptions=assumptions, **cast(Any, options))
        return with_profit_floor(spec, models, assumptions)

    spec = market(assumptions)
    narrow = narrowest(spec, models, assumptions)
    if narrow != assumptions:
        spec = market(narrow)
    follows = {"follows_demand": None if np.isnan(response.follow_demand) else response.follow_demand}
    spec = spec.with_changes(history={"tables_sha256": tables.fingerprint()} | follows)
    report = fit_report(spec, split, response, regression, known, customers, (trend, paths), seed)
    return FittedMarket(spec, demand | report)


def _objective(objective: str | None, products: pd.DataFrame) -> str:
    known = "unit_cost" in products and products["unit_cost"].notna().all()
    if objective not in (None, "revenue", "profit"):
        raise ValueError(f"objective must be revenue or profit; got {objective!r}; choose one of them")
    return objective or ("profit" if known else "revenue")


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
    used = re.sub(r"(?<!^)(?=[A-Z])", "-", type(fitted).__name__).lower()
    seconds = {used: time.perf_counter() - started}
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
        for name, model in (models | {used: fitted}).items()
    ]
    return fitted, {"chosen_forecaster": used, "backtest": held_out, **chosen}


def _response(
    split: Split, customers: Customers, regression: PriceResponse, priors: Priors, draws: int, seed: int
) -> FittedDemand:
    """The demand of every category by likelihood."""
    products = split.products
    reference = regression.reference_effect_
    clear = reference.coefficient > _CLEAR * reference.se
    response = customers.elasticity / np.average(customers.elasticity, weights=customers.units.sum(axis=1))
    return fit_demand(
        SalesGrids.of(split.past, list(products["product"]), split.sales),
        products,
        _regular_price(split)[products["product"]].to_numpy(dtype=np.float64),
        priors,
        segments=SegmentUnits(customers.units, np.clip(response, *_SEGMENT_RESPONSE)),
        memory=reference.memory if clear else None,
        draws=draws,
        seed=seed,
    )


def _regular_price(split: Split) -> pd.Series:
    """Today's regular price by product."""
    recent = split.past[split.past["week"] >= np.sort(split.past["week"].unique())[-_RECENT_WEEKS]]
    return recent.groupby("product")["regular_price"].median()


def _models(
    split: Split,
    forecaster: Forecaster,
    paths: MarketPaths,
    response: FittedDemand,
    customers: Customers,
    quantile: float,
    promotions: bool,
) -> FittedModels:
    """Everything that the market is built from; `quantile` of past weekly units is a busy week."""
    order, weeks = split.products["product"], np.sort(split.past["week"].unique())
    last_year = split.past[split.past["week"] >= weeks[-min(_CHARGED_WEEKS, len(weeks))]]
    charged = last_year.groupby("product")["price"].quantile(list(_CHARGED_QUANTILES)).unstack().loc[order]
    at_plan, at_regular = _forecasts(split, forecaster, paths, _regular_price(split))
    planned, usual = _with_prices(split, response, _mean(at_plan, order), _mean(at_regular, order))
    shock = paths.shock()
    return FittedModels(
        products=split.products,
        first_day=split.weeks[0],
        forecast=usual,
        planned=planned,
        overdispersion=_overdispersion(at_plan, list(order), shock),
        shocks=Shocks(volatility=shock.volatility, persistence=shock.persistence),
        regular_price=response.regular_price,
        charged=charged.to_numpy(dtype=np.float64).T,
        levels=_levels(last_year, response),
        demand=response,
        segments=customers.names,
        affinity=customers.affinity,
        candidates=customers.candidates,
        high_units=split.past.groupby("product")["units"].quantile(quantile)[order].to_numpy(dtype=np.float64),
        past_price=split.grid("price"),
        past_units=split.grid("units"),
        past_promotion=split.grid(PROMOTION) if promotions else None,
    )


def _levels(last_year: pd.DataFrame, response: FittedDemand) -> np.ndarray:
    """(2, C) the range of a category's mean price over its regular prices, charged together in a week."""
    price = last_year.pivot(index="week", columns="product", values="price")[list(response.products)].to_numpy(float)
    relative = pd.DataFrame(price / response.regular_price).T.groupby(response.category).mean().T
    return relative.quantile(list(_CHARGED_QUANTILES)).to_numpy()


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


def _with_prices(
    split: Split, response: FittedDemand, planned: np.ndarray, usual: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(T, N) forecasts at planned and at regular prices; the demand model sees to those that ignore prices."""
    recent = split.past[split.past["week"] >= np.sort(split.past["week"].unique())[-_AVERAGED_WEEKS]]

    def lift(rows: pd.DataFrame) -> np.ndarray:
        def grid(column: str) -> np.ndarray:
            return rows.pivot(index="week", columns="product", values=column)[list(response.products)].to_numpy(float)

        price = np.where(np.isfinite(grid("price")), grid("price"), response.regular_price)
        return response.lift(price, np.nan_to_num(grid(PROMOTION)) if PROMOTION in rows else None)

    ahead = lift(split.future)
    blind = np.isclose(planned, usual, rtol=1e-6).all(axis=0)
    base = planned / lift(recent).mean(axis=0)
    return np.where(blind, base * ahead, planned), np.where(blind, base, usual)


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

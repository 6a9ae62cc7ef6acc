"""From a shop's tables to a fitted market: every model fitted on the past, the last weeks kept out to be simulated."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from sklearn.base import clone

from ..data import Tables, product_weeks
from ..forecasting import (
    PLANNED,
    QUANTILES,
    CoefficientEstimate,
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
from ..scenarios import MarketSpec
from ..scenarios.sections import Shocks
from .customers import Customers, OnStep, Split, fit_customers, records
from .market_builder import Assumptions, FittedModels, build_market, outside_share

_PROMOTION, _RIVALS = "promotion", "rival_log_price"
_BASELINE, _CHOSEN = "moving-average", "selected"
_JOBS = min(os.cpu_count() or 1, 4)
_RECENT_WEEKS = 8
_LOW_PRICE_QUANTILE = 0.1
_LEAST_UNITS = 0.05


def fit_market(
    tables: Tables,
    products: pd.DataFrame,
    *,
    name: str,
    holdout_weeks: int = 12,
    currency: str = "currency",
    assumptions: Assumptions | None = None,
    seed: int = 0,
    forecaster: Forecaster | None = None,
    promotions: bool = False,
    on_step: OnStep = lambda _: None,
) -> tuple[MarketSpec, dict[str, Any]]:
    """Fit every model on the weeks before the last `holdout_weeks`, and build the market of those weeks.

    tables: canonical; where the sales name no customers, the market has one segment, without discounts and slots.
    products: `product`, `category` and, where known, `name` of those to price; unit costs come from the tables.
    forecaster: by default `Selected`, the best of all for each product. promotions: whether displays and mailers are a
    decision in the market; otherwise reductions bring them as they did. on_step: told what is being fitted. Returns the
    market and the fit report (plain data, for JSON and the report).

    Raises ValueError where the history is too short, or promotions that are to be decided are not recorded.
    """
    assumptions = assumptions or Assumptions()
    split = _split(tables, products, holdout_weeks)
    on_step("price response")
    response = _Response.of(split.past, promotions)
    on_step("demand forecasters")
    forecaster, demand = _demand(split, forecaster or Selected(seed=seed, n_jobs=_JOBS))
    on_step("market trend")
    trend = MarketTrend(seed=seed).fit(split.past)
    paths = trend.sample_paths(len(split.weeks), planned=split.future)
    traffic, shock = paths.bands(), paths.shock()
    customers = fit_customers(tables, split, seed, on_step)
    models = _models(split, forecaster, paths, response, customers, assumptions.cover_quantile)
    spec = build_market(models, name=name, assumptions=assumptions, currency=currency)
    spec = spec.with_changes(history={"tables_sha256": tables.fingerprint()})
    report = {
        **demand,
        "price_response": records(response.prices.elasticity_.merge(split.products[["product", "name"]], on="product")),
        "identification": str(response.alone.identification_),
        "category_response": _category_response(response.prices, models),
        "reference_effect": asdict(response.prices.reference_effect_) | {"used": spec.reference_price is not None},
        **_exposure(response),
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


def _demand(split: Split, forecaster: Forecaster) -> tuple[Forecaster, dict[str, Any]]:
    """The forecaster fitted on the past, and its errors in the weeks kept out beside those of what it chose from."""
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


@dataclass(frozen=True)
class _Response:
    """How demand answers to prices, as the market holds it.

    prices: to the shop's reductions with the displays and mailers that came with them, rivals' prices held fixed. alone:
    with displays and mailers held fixed too; the same where none are recorded or they are a decision of their own
    (`decided`). usual: displays and mailers (share of stores) a log point of reduction came with.
    """

    prices: PriceResponse
    alone: PriceResponse
    usual: float
    decided: bool

    @classmethod
    def of(cls, past: pd.DataFrame, promotions: bool) -> _Response:
        past = past.assign(**{_RIVALS: _rival_log_price(past)})
        response = PriceResponse(controls=(_RIVALS,) if past[_RIVALS].any() else ())
        alone = response.fit(past)
        recorded = _PROMOTION in alone.control_effects_
        if promotions and not recorded:
            raise ValueError(
                "promotions must be recorded, and move apart from prices, to be decided; got none in the tables; import a "
                "promotions table or leave promotions out"
            )
        if promotions or not recorded:
            return cls(alone, alone, 0.0, decided=promotions)
        depth, promotion = _depth(past), past[_PROMOTION]
        depth, promotion = (column - column.groupby(past["product"]).transform("mean") for column in (depth, promotion))
        usual = float((depth * promotion).sum() / (depth**2).sum())
        together = cast(PriceResponse, clone(response)).fit(past.drop(columns=_PROMOTION))
        return cls(together, alone, usual, decided=False)

    @property
    def exposure(self) -> CoefficientEstimate | None:
        """Effect of a display or mailer in all stores on log units."""
        return self.alone.control_effects_.get(_PROMOTION)

    @property
    def substitution(self) -> float:
        """Response to the prices of the category's other products over that to the own price, in [0, 1]."""
        rivals = self.prices.control_effects_.get(_RIVALS, CoefficientEstimate(0.0, 0.0))
        return float(np.clip(-rivals.coefficient / self.prices.pooled_.coefficient, 0.0, 1.0))


def _rival_log_price(rows: pd.DataFrame) -> pd.Series:
    """Mean log price of the other products of the category in that week; 0 where there is none."""
    price = pd.Series(np.log(rows["price"].where(rows["price"] > 0)), rows.index)
    others = price.groupby([rows["category"], rows["week"]])
    count = others.transform("count") - price.notna()
    return ((others.transform("sum") - price.fillna(0.0)) / count.where(count > 0)).fillna(0.0)


def _depth(rows: pd.DataFrame) -> pd.Series:
    """Log points by which a price lies below the regular one."""
    return pd.Series(np.log(rows["regular_price"] / rows["price"]), rows.index).fillna(0.0)


def _models(
    split: Split,
    forecaster: Forecaster,
    paths: MarketPaths,
    response: _Response,
    customers: Customers,
    quantile: float,
) -> FittedModels:
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
        past_promotion=split.grid(_PROMOTION) if response.decided else None,
    )


def _forecasts(
    split: Split, forecaster: Forecaster, paths: MarketPaths, regular: pd.Series
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Forecasts of the weeks to simulate: at the prices and promotions planned for them, and at all regular prices."""
    traffic = pd.DataFrame({"week": paths.weeks, "traffic": paths.traffic.mean(axis=0)})
    given = ["product", "week", "price", "regular_price", *(name for name in PLANNED if name in split.future)]
    planned = split.future[given].merge(traffic, on="week")
    price = planned["product"].map(regular)
    usual = planned.drop(columns=_PROMOTION, errors="ignore").assign(price=price, regular_price=price)
    return forecaster.predict(planned), forecaster.predict(usual)


def _mean(forecast: pd.DataFrame, order: pd.Series) -> np.ndarray:
    """(T, N) mean units a week, a little above none."""
    table = forecast.pivot(index="week", columns="product", values="mean")[order]
    return np.maximum(table.to_numpy(dtype=np.float64), _LEAST_UNITS)


def _overdispersion(forecast: pd.DataFrame, order: list[str], shock: MarketShock) -> np.ndarray:
    """(N,) variance of a gamma multiplier that, with the market's shock, spreads sales as the forecasts' quantiles do."""
    table = forecast.pivot(index="week", columns="product")
    quantiles = {level: table[f"q{level}"][order].to_numpy(dtype=np.float64) for level in QUANTILES}
    whole = fitted_dispersion(table["mean"][order].to_numpy(dtype=np.float64), quantiles).mean(axis=0)
    market = np.expm1(shock.volatility**2)
    return np.maximum((whole - market) / (1 + market), 0.0)


def _exposure(response: _Response) -> dict[str, Any]:
    """What displays and mailers do, and prices without them, where they are recorded."""
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

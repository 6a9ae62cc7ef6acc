"""One pass from a split to a market: price response, traffic, forecasts, and the market of the weeks ahead."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..data.panel.promotion_kinds import PROMOTION, column_of, kinds_in
from ..data.schema import COMPETITOR_PRICE
from ..forecasting import (
    QUANTILES,
    Forecaster,
    MarketPaths,
    MarketShock,
    MarketTrend,
    PriceResponse,
    fitted_dispersion,
    planned_columns,
)
from ..jobs.processes import JOBS
from ..scenarios import MarketSpec
from ..scenarios.sections import Shocks
from .assumptions import Assumptions
from .customers import Customers
from .demand import FittedDemand, Priors, Problem, SalesGrids, SegmentUnits
from .fitted_models import ChargedPrices, FittedModels
from .halves import halved_demand
from .identification import identified
from .market_builder import build_market
from .price_index import basket_columns
from .price_search import narrowest, with_profit_floor
from .regression import price_regression
from .split import Split, grid_of, regular_price

# The range of prices that the shop charged: these quantiles of the past year, by product.
_CHARGED_QUANTILES = (0.02, 0.98)
_CHARGED_WEEKS = 52
# The history over which a forecast that ignores prices has averaged them.
_AVERAGED_WEEKS = 26
# A forecast that is the same at this share of the regular prices ignores prices.
_LOWER = 0.9
_LEAST_UNITS = 0.05
_CLOSED_UNITS = 1e-3
_LAGS = 4
# Weeks before the market whose prices its rules may look back at, and the change that is one.
_PAST_WEEKS = 13
_SAME = 0.01
_DIGITS = 1e-6
# A segment's elasticity relative to the average one.
_SEGMENT_RESPONSE = (0.5, 2.0)


@dataclass(frozen=True)
class FitOptions:
    """What does not depend on the split; the fields are arguments of `fit`."""

    name: str
    objective: str
    currency: str
    assumptions: Assumptions
    priors: Priors
    draws: int
    promotions: bool
    seed: int
    period: str = "week"


@dataclass(frozen=True)
class FittedSplit:
    """The market of a split's weeks, and what it was built from.

    Attributes:
        spec: The market.
        split: The past, and the weeks that the market simulates.
        response: The demand model.
        priors: Its priors.
        regression: The price regression, a check of it.
        known: Which products' answers to prices the sales identify, as `identified` returns them.
        trend: The trend model.
        paths: Its paths over the weeks to simulate.
    """

    spec: MarketSpec
    split: Split
    response: FittedDemand
    priors: Priors
    regression: PriceResponse
    known: pd.DataFrame
    trend: MarketTrend
    paths: MarketPaths


def fit_split(
    split: Split, forecaster: Forecaster, customers: Customers, options: FitOptions, *, trend_model: str | None = None
) -> FittedSplit:
    """Fit price response and traffic on the past of a split, and build the market of its weeks.

    Args:
        forecaster: The demand forecaster, fitted on the past.
        options: What the caller of `fit` asked for.
        trend_model: The trend's candidate to use; by default the best by backtest.

    Raises:
        ValueError: Promotions are to be a decision but are not recorded.
    """
    regression = price_regression(split.past, promotions=options.promotions)
    trend = MarketTrend(lags=_lags(split), seed=options.seed, chosen=trend_model).fit(split.past)
    paths = trend.sample_paths(len(split.weeks), planned=split.future)
    problem = _problem(split, customers, options)
    response = problem.solve(draws=options.draws, seed=options.seed, n_jobs=JOBS)
    known = identified(response, options.priors.unlike)
    models = _models(split, forecaster, paths, response, customers, options)
    if split.to_come:
        # No prices are found for weeks that are over.
        halves = halved_demand(problem, split, response, options.draws, options.seed)
        models = replace(models, halves=halves, plan=(*models.plan, halves.note))
    silent = [why if isinstance(why, str) else None for why in known["reason"]]
    spec = _market(replace(models, unidentified=silent), options)
    if response.suspects:
        before, after = response.chance("prices follow")
        spec = spec.with_changes(evidence={"follows_demand": after, "follows_demand_before": before})
    return FittedSplit(spec, split, response, options.priors, regression, known, trend, paths)


def _lags(split: Split) -> int:
    """Weeks that the trend looks back; fewer where the history is short."""
    weeks = len(split.past["week"].unique()) // split.per_week
    return split.per_week * min(_LAGS, weeks // _LAGS)


def _market(models: FittedModels, options: FitOptions) -> MarketSpec:
    """The market, with prices that leave what was charged no further than it pays."""

    asked = {key: getattr(options, key) for key in ("name", "objective", "period", "currency", "seed")}

    def market(assumptions: Assumptions) -> MarketSpec:
        return with_profit_floor(build_market(models, assumptions=assumptions, **asked), models, assumptions)

    spec = market(options.assumptions)
    narrow = narrowest(spec, models, options.assumptions)
    return spec if narrow == options.assumptions else market(narrow)


def _problem(split: Split, customers: Customers, options: FitOptions) -> Problem:
    """The demand of every category, to be estimated by likelihood."""
    products = split.products
    response = customers.elasticity / np.average(customers.elasticity, weights=customers.units.sum(axis=1))
    return Problem(
        SalesGrids.of(split.past, list(products["product"]), split.past_places),
        products,
        regular_price(split.past)[products["product"]].to_numpy(dtype=np.float64),
        options.priors,
        SegmentUnits(customers.units, np.clip(response, *_SEGMENT_RESPONSE)),
        split.past_stores,
    )


def _models(
    split: Split,
    forecaster: Forecaster,
    paths: MarketPaths,
    response: FittedDemand,
    customers: Customers,
    options: FitOptions,
) -> FittedModels:
    """Everything that the market is built from."""
    order = split.products["product"]
    prices = charged_prices(split)
    at_plan, *others = _forecasts(split, forecaster, paths, regular_price(split.past))
    planned, usual = _with_prices(split, response, *(_mean(each, split) for each in (at_plan, *others)))
    shock = paths.shock()
    busy = options.assumptions.cover_quantile
    open_ = split.past[split.past["traffic"] > 0]
    return FittedModels(
        products=prices.products,
        first_day=split.weeks[0],
        period=split.period,
        forecast=usual,
        planned=planned,
        overdispersion=_overdispersion(at_plan, list(order), shock),
        shocks=Shocks(volatility=shock.volatility, persistence=shock.persistence),
        regular_price=response.regular_price,
        charged=prices.charged,
        levels=_levels(_last_year(split), response),
        demand=response,
        segments=customers.names,
        affinity=customers.affinity,
        candidates=customers.candidates,
        high_units=open_.groupby("product")["units"].quantile(busy)[order].to_numpy(dtype=np.float64),
        past_price=_past_price(split, response),
        current_price=split.grid("price"),
        sold_units=None if split.to_come else split.grid("units"),
        current_promotion=split.grid(PROMOTION) if options.promotions else None,
        plan=split.plan,
        initial_units=split.initial_units,
        protected=customers.protected,
    )


def charged_prices(split: Split) -> ChargedPrices:
    """What the shop charged in the past of a split."""
    order = split.products["product"]
    prices = _last_year(split).groupby("product")["price"]
    charged = prices.quantile(list(_CHARGED_QUANTILES)).unstack().loc[order]  # pyright: ignore[reportArgumentType]
    regular = regular_price(split.past)[order].to_numpy(dtype=np.float64)
    products = _with_competing_price(split).assign(**basket_columns(split))
    return ChargedPrices(products, regular, charged.to_numpy(dtype=np.float64).T)


def _last_year(split: Split) -> pd.DataFrame:
    weeks = np.sort(split.past["week"].unique())
    return split.past[split.past["week"] >= weeks[-min(_CHARGED_WEEKS * split.per_week, len(weeks))]]


def _with_competing_price(split: Split) -> pd.DataFrame:
    """The products with the last known price of a competitor, where the tables give any."""
    if COMPETITOR_PRICE not in split.past:
        return split.products
    last = split.past.sort_values("week").groupby("product")[COMPETITOR_PRICE].last()
    return split.products.assign(**{COMPETITOR_PRICE: split.products["product"].map(last)})


def _past_price(split: Split, response: FittedDemand) -> np.ndarray:
    """(B, N) prices of the last weeks: regular ones before the first sale, and small changes left out where one of two
    prices is a mean of several, which is seldom in whole cents.
    """
    recent = grid_of(split.past, "price", response.products)[-_PAST_WEEKS * split.per_week :]
    price = np.where(np.isnan(recent), response.regular_price, recent)
    for t in range(len(price) - 2, -1, -1):
        change = abs(price[t] / price[t + 1] - 1)
        pair = price[t : t + 2]
        whole = (abs(pair - pair.round(2)) < _DIGITS * pair).all(axis=0)
        price[t] = np.where(change < np.where(whole, _DIGITS, _SAME), price[t + 1], price[t])
    return price


def _levels(last_year: pd.DataFrame, response: FittedDemand) -> np.ndarray:
    """(2, C) the range of a category's mean price over its regular prices, charged together in a week."""
    price = grid_of(last_year, "price", response.products)
    relative = pd.DataFrame(price / response.regular_price).T.groupby(response.category).mean().T
    return relative.quantile(list(_CHARGED_QUANTILES)).to_numpy()


def _forecasts(
    split: Split, forecaster: Forecaster, paths: MarketPaths, regular: pd.Series
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Forecasts of the weeks to simulate: at planned prices, at regular prices, and at prices below these."""
    traffic = pd.DataFrame({"week": paths.weeks, "traffic": paths.traffic.mean(axis=0)})
    given = ["product", "week", "price", "regular_price", *planned_columns(split.future)]
    planned = split.future[given].merge(traffic, on="week")
    price = planned["product"].map(regular)
    shown = [PROMOTION, *map(column_of, kinds_in(planned))]
    usual = planned.drop(columns=shown, errors="ignore").assign(price=price, regular_price=price)
    lower = usual.assign(price=_LOWER * price)
    return forecaster.predict(planned), forecaster.predict(usual), forecaster.predict(lower)


def _with_prices(
    split: Split, response: FittedDemand, planned: np.ndarray, usual: np.ndarray, lower: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(T, N) forecasts at planned and at regular prices, of customers who remember the regular ones.

    What prices do is the demand model's: a forecaster of a product alone does not know that the buyers of other products'
    deals come back. It gives the level at planned prices, or, if it ignores prices, at those of the last weeks, and the course
    of the weeks.
    """
    rows = pd.concat([split.past, split.future])
    weeks = len(split.weeks)
    recent = _AVERAGED_WEEKS * split.per_week
    charged = grid_of(rows, "price", response.products)
    price = np.where(np.isfinite(charged), charged, response.regular_price)
    shown = displays(rows, response)
    remembered = None if response.remembered is None else response.remembered.price(price)
    lift = response.lift(price, shown, reference=remembered)
    # The plan may be one of regular prices, at which every forecast is the usual one.
    blind = np.isclose(lower, usual, rtol=1e-6).all(axis=0)
    base = planned / lift[-weeks - recent : -weeks].mean(axis=0)
    level = planned.sum(axis=0) / (usual * lift[-weeks:]).sum(axis=0)
    return np.where(blind, base * lift[-weeks:], planned), np.where(blind, base, usual * level)


def displays(panel: pd.DataFrame, response: FittedDemand) -> dict[str, np.ndarray]:
    """(T, N) share of stores with a display or mailer of each kind that has an effect, as far as a panel tells.

    Args:
        panel: Rows of a split.
        response: The fitted demand.
    """
    columns = {kind: column_of(kind) for kind in response.kinds}
    return {
        kind: np.nan_to_num(grid_of(panel, name, response.products)) for kind, name in columns.items() if name in panel
    }


def _mean(forecast: pd.DataFrame, split: Split) -> np.ndarray:
    """(T, N) mean units per week, above zero; next to none on weekdays that are always closed."""
    mean = grid_of(forecast, "mean", split.products["product"])
    units = np.maximum(mean, _LEAST_UNITS / split.per_week)
    return np.where(split.weeks.day_of_week.isin(split.closed)[:, None], _CLOSED_UNITS, units)


def _overdispersion(forecast: pd.DataFrame, order: list[str], shock: MarketShock) -> np.ndarray:
    """(N,) variance of the gamma multiplier that completes the market's shock."""
    quantiles = {level: grid_of(forecast, f"q{level}", order) for level in QUANTILES}
    whole = fitted_dispersion(grid_of(forecast, "mean", order), quantiles).mean(axis=0)
    market = np.expm1(shock.volatility**2)
    return np.maximum((whole - market) / (1 + market), 0.0)

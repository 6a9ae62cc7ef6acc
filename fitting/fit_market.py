"""Prove every model on the last weeks of a shop's data, and build the market of the weeks after it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import clone

from ..data import Tables, load_experiments, load_tables
from ..forecasting import (
    Forecaster,
    LogLogRegression,
    Lstm,
    MovingAverage,
    Selected,
    candidates,
    forecasts_from,
    score,
    with_stores,
)
from ..jobs.processes import JOBS
from ..privacy.budget import NETWORK, Privacy
from ..scenarios import MarketSpec, scenario_name
from .assumptions import Assumptions, cost_doubts, unit_costs
from .customers import Customers, check_protected, fit_customers, published, records, release
from .demand import Priors
from .fit_report import fit_report, held_products, not_priced, proof_report, sales_by_week, shop_fields
from .fit_split import FitOptions, charged_prices, fit_split
from .market_builder import check_rules
from .refit import fit_record, lstm_of
from .split import DEFAULT_WEEKS, Split, check_period, held_out, market_products, sales_by_store, weeks_to_come
from .zones import Zone, zone_tables

_BASELINE = "moving-average"
_YARDSTICK = "log-log-regression"
# Last weeks, or days, on which forecasters are judged.
_JUDGED = {"week": 12, "day": 28}


class FittedMarket(NamedTuple):
    """What `fit` returns.

    Attributes:
        spec: The market of the weeks after the data.
        report: How it was fitted and, under `proof`, how well the same models did in the held-out
            weeks, as plain data for JSON and for the HTML report.
        proof: The market of the held-out weeks, fitted on the weeks before them.

    Example:
        >>> market = fit("shop/")  # doctest: +SKIP
        >>> market.spec.market.horizon_periods  # doctest: +SKIP
        12
    """

    spec: MarketSpec
    report: dict[str, Any]
    proof: MarketSpec

    def __repr__(self) -> str:
        market = self.spec.market
        count = len(self.spec.products.names)
        return f"FittedMarket({self.spec.name}, {count} products, {market.horizon_periods} periods from {market.first_day})"

    def to_dict(self) -> dict[str, Any]:
        """The report."""
        return self.report

    def to_frame(self) -> pd.DataFrame:
        """The response of each product to its price, a row each: elasticity with its interval, whether the sales tell it."""
        return pd.DataFrame(self.report["price_response"])


def fit(
    tables: Tables | str | os.PathLike[str],
    products: pd.DataFrame | None = None,
    *,
    name: str | None = None,
    weeks: int | None = None,
    holdout_weeks: int | None = None,
    period: str = "week",
    currency: str = "currency",
    assumptions: Assumptions | None = None,
    seed: int = 0,
    forecaster: Forecaster | None = None,
    promotions: bool = False,
    objective: str | None = None,
    priors: Priors | None = None,
    draws: int = 200,
    zone: Zone | None = None,
    privacy: Privacy | None = None,
    experiments: Sequence[str | os.PathLike[str]] = (),
    on_step: Callable[[str], None] = lambda _: None,
) -> FittedMarket:
    """Prove every model on the last weeks of a shop's data, and build the market of the weeks after it.

    The proof fits on the weeks before the held-out ones. The market is then fitted on all weeks:
    price response, traffic, and the forecasters that the proof chose; the choice itself, the weights of
    networks, segments and recommender are those of the proof.

    Args:
        tables: Imported tables, or the folder that `repricer data import` wrote them to. If the
            sales name no customers, the market has one segment and no personal discounts or
            recommendations.
        products: The products of the market: columns `product`, `category` and, where known, `name`, `unit_cost` and `vat`; `held`
            says why one is not to be priced, in a clause. By default the best sellers, as `choose_products` selects them,
            and what else sells in their categories, see `data.choose_market`.
        name: Name of the market; by default the folder's, or "market".
        weeks: Length of the market in weeks, 12 by default and 4 by day; it begins after the data.
            Its current prices are those of the table `plan`, and else the shop's usual pattern,
            which the assumptions state.
        holdout_weeks: Last weeks of the data, on which the proof is made; 12 by default, 4 by day.
        period: How long a price stays: week, or day for a shop whose sales hold each day.
        currency: Unit of the money in the tables, for display.
        assumptions: What the tables do not say; the defaults of `Assumptions` if left out.
        seed: Seed of every random draw.
        forecaster: The demand model; by default `Selected`, which picks the best models for each
            product.
        promotions: Whether displays and mailers are a decision in the market. Otherwise a price
            reduction leaves them as the shop planned them.
        objective: What the market rewards: revenue or profit; by default profit where the tables
            give every unit cost and none is doubtful (`cost_doubts`), else revenue.
        priors: What is assumed about demand before the sales are seen; the defaults of `Priors` if
            left out.
        draws: Number of posterior draws.
        zone: The price zone whose market it is, by default all stores. Prices, forecasts and customers
            are the zone's own; the response to prices is estimated from the sales of all zones.
        privacy: How little segments may tell of any one customer, and a network of any one product, and the
            budget that pays for it; by default they are exact.
        experiments: Folders of price experiments, whose weeks are among the sales, as `data.load_experiments` reads them.
            The prices of their calendars are the regular ones there, and tell how customers answer to them.
        on_step: Called with the name of each step when it begins.

    Returns:
        The market, the fit report, and the market of the proof.

    Raises:
        ValueError: The history is too short, the period is neither week nor day or not for zones,
            or promotions are to be a decision but are not recorded.
        DataError: The sales are no daily ones, the folder holds no imported tables, or the privacy budget
            is spent.

    Example:
        >>> import repricer
        >>> market = repricer.fit("shop/", weeks=8)  # doctest: +SKIP
        >>> run = repricer.train(market.spec)  # doctest: +SKIP
    """
    check_period(period, zones=zone is not None)
    weeks = weeks or DEFAULT_WEEKS[period]
    holdout_weeks = holdout_weeks or DEFAULT_WEEKS[period]
    if not isinstance(tables, Tables):
        tables, name = load_tables(Path(tables)), name or scenario_name(Path(tables).resolve().name)
    name = name or "market"
    if experiments:
        tables = replace(tables, experiments=load_experiments(map(Path, experiments)))
    rules = (assumptions := assumptions or Assumptions()).rules
    if products is None:
        products = market_products(tables, rules, zone, holdout_weeks=holdout_weeks, period=period)
    (priors := priors or Priors()).check_categories(_categories(tables, products))
    products = rules.chosen_from(products)
    split = held_out(tables, products, holdout_weeks, zone, period)
    ahead = weeks_to_come(tables, split, weeks, zone)
    check_protected(tables, rules.shop.protected, privacy is not None)
    check_rules(assumptions, charged_prices(split), charged_prices(ahead))
    asked = objective or rules.shop.objective
    unknown = unit_costs(split.products).isna().to_numpy()
    if asked not in (None, "revenue", "profit"):
        raise ValueError(f"objective must be revenue or profit; got {asked!r}; choose one of them")
    own = zone_tables(tables, zone)
    doubts = cost_doubts(own, products, assumptions.vat)
    goal = asked or ("revenue" if unknown.any() or doubts else "profit")
    options = FitOptions(name, goal, currency, assumptions, priors, draws, promotions, seed, period)
    forecaster = forecaster or Selected(seed=seed, n_jobs=JOBS, horizon=_JUDGED[period])
    on_step("demand forecasters and customers")
    demand, customers = _models(tables, split, ahead, forecaster, seed, privacy, rules.shop.protected)
    on_step("price response, proof and the weeks to come")
    both = ((split, demand.forecaster), (ahead, demand.ahead))
    fitted: Any = Parallel(n_jobs=JOBS)(delayed(fit_split)(*part, customers, options) for part in both)
    proof, market = fitted
    report = {
        **ahead.span(),
        "plan": list(ahead.plan),
        **not_priced(own, products, rules),
        **held_products(own, products, market),
        **demand.choice,
        **fit_report(market, customers),
        "proof": proof_report(proof, demand.errors, seed),
        "refit": fit_record(
            options,
            _without_known_costs(products, own),
            demand.ahead,
            customers,
            zone,
            used=demand.choice["chosen_forecaster"],
            weeks=weeks,
            first_day=f"{ahead.weeks[0]:%Y-%m-%d}",
            trend=market.trend.chosen_,
            experiments=tables.experiments,
        ),
        # For want of their unit costs, prices maximise revenue.
        "objective": goal,
        "costs_assumed": bool(unknown.any()),
        "doubtful_costs": doubts,
        "revenue_without_costs": np.array(market.spec.products.names)[unknown & (asked is None)].tolist(),
    }
    zones = 1 if zone is None else len(zone.stores)
    shop = shop_fields(market, own, funding_share=assumptions.funding_share, zones=zones)
    told = {"tables_sha256": own.fingerprint()}
    spec = market.spec.with_changes(**shop | {"evidence": shop["evidence"] | told})
    return FittedMarket(spec, report, proof.spec.with_changes(evidence=told))


class _Demand(NamedTuple):
    """The forecaster fitted on the past and on all weeks, how it was chosen, and its and its candidates'
    held-out errors.
    """

    forecaster: Forecaster
    ahead: Forecaster
    choice: dict[str, Any]
    errors: list[dict[str, Any]]


def _categories(tables: Tables, products: pd.DataFrame) -> set[str]:
    """All that the tables and the products to price name."""
    named = set(products["category"].astype(str))
    if tables.products is not None and "category" in tables.products:
        named |= set(tables.products["category"].dropna().astype(str))
    return named


def _without_known_costs(products: pd.DataFrame, tables: Tables) -> pd.DataFrame:
    """The products without the unit costs and VAT that are those of the product table: a refit takes these from newer
    tables.
    """
    if tables.products is None:
        return products
    for column in {"unit_cost", "vat"} & {*tables.products} & {*products}:
        known = products["product"].map(tables.products.set_index("product")[column])
        products = products.assign(**{column: products[column].mask(products[column] == known)})
    return products


def _models(
    tables: Tables,
    split: Split,
    ahead: Split,
    forecaster: Forecaster,
    seed: int,
    privacy: Privacy | None,
    protected: tuple[str, ...],
) -> tuple[_Demand, Customers]:
    """Forecasters and customers, side by side where there are cores: neither needs the other."""
    if privacy is not None:
        return _private_models(tables, split, ahead, forecaster, seed, privacy)
    if JOBS == 1 or not isinstance(forecaster, Selected):
        return _demand(split, ahead, forecaster), fit_customers(tables, split, seed, protected)
    with ThreadPoolExecutor(1) as beside:
        # A thread is enough, as this one only waits for the processes in which `Selected` fits.
        customers = beside.submit(fit_customers, tables, split, seed, protected)
        return _demand(split, ahead, forecaster), customers.result()


def _private_models(
    tables: Tables, split: Split, ahead: Split, forecaster: Forecaster, seed: int, privacy: Privacy
) -> tuple[_Demand, Customers]:
    """As `_models`, paid for before anything is asked; all that is released of customers and networks has noise."""
    named = "customer" in split.sales and bool(split.sales["customer"].notna().any())
    under = _under(forecaster, privacy)
    privacy.pay(customers=named, network=under is not None)
    demand = _demand(split, ahead, under or forecaster)
    if named:
        customers = published(split, release(split, privacy, seed), privacy)
    else:
        customers = fit_customers(tables, split, seed)
    network = lstm_of(demand.forecaster)
    trained = None if network is None else network.privacy_
    report = privacy.report(customers=named, network=under is not None, trained=trained)
    return demand._replace(choice=demand.choice | {"privacy": report}), customers


def _under(forecaster: Forecaster, privacy: Privacy) -> Forecaster | None:
    """The forecaster, training its network at that network's share of epsilon; None if it trains none."""
    if isinstance(forecaster, Lstm):
        asked = privacy.query(NETWORK)
        return cast(Lstm, clone(forecaster)).set_params(epsilon=asked.epsilon, delta=asked.delta)
    if not isinstance(forecaster, Selected):
        return None
    named = dict(forecaster.forecasters or candidates(seed=forecaster.seed))
    private = {name: under for name, model in named.items() if (under := _under(model, privacy)) is not None}
    return cast(Selected, clone(forecaster)).set_params(forecasters=named | private) if private else None


def _demand(split: Split, ahead: Split, forecaster: Forecaster) -> _Demand:
    started = time.perf_counter()
    fitted = cast(Forecaster, clone(with_stores(forecaster, sales_by_store(ahead)))).fit(split.past)
    seconds = time.perf_counter() - started
    if JOBS == 1:
        return _Demand(fitted, fitted.refitted(ahead.past), *_proved(split, fitted, seconds))
    with ThreadPoolExecutor(1) as beside:
        refitted = beside.submit(Parallel(n_jobs=JOBS), [delayed(fitted.refitted)(ahead.past)])
        proved, (later,) = _proved(split, fitted, seconds), cast(Any, refitted.result())
        return _Demand(fitted, later, *proved)


def _proved(split: Split, fitted: Forecaster, seconds: float) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """How a forecaster was chosen, and its and its candidates' held-out errors."""
    used = re.sub(r"(?<!^)(?=[A-Z])", "-", type(fitted).__name__).lower()
    yardstick = with_stores(LogLogRegression(), sales_by_store(split))
    models = {_BASELINE: MovingAverage().fit(split.past), _YARDSTICK: yardstick.fit(split.past)}
    took = {used: seconds}
    chosen = {}
    if isinstance(fitted, Selected):
        models |= fitted.models_
        took |= fitted.scores_.set_index("forecaster")["seconds"].to_dict()
        chosen = {"selection": records(fitted.scores_)}
        chosen["chosen_by_product"] = records(fitted.selection_[["product", "chosen"]])
    whole = pd.concat([split.past, split.future])
    origin = split.past["week"].max()
    models |= {used: fitted}
    when = {"origin": origin, "horizon": len(split.weeks)}
    rows = {name: forecasts_from(model, whole, **when) for name, model in models.items()}
    errors = [
        {"forecaster": name, **score(rows[name]), "failures": len(model.failures_), "seconds": float(took.get(name, 0))}
        for name, model in models.items()
    ]
    return {"chosen_forecaster": used, "sales_by_week": sales_by_week(split, rows[used]), **chosen}, errors

"""The record of a fit, and the market that newer tables make under it: nothing is chosen or proved again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..data import Tables, sales_panel, with_prices
from ..data.panel.promotion_kinds import shown_kinds
from ..data.panel.weekly import weekly_table
from ..data.weeks import PERIODS
from ..forecasting import Forecaster, Lstm, PooledRegression, Sarimax, Selected, candidates, with_stores
from ..forecasting.backtest import rolling_forecasts
from ..forecasting.models.random_coefficients import Common
from ..jobs.processes import JOBS
from ..pricing import PriceEndings, PriceLadder
from ..scenarios import MarketSpec
from ..scenarios.fields import listed
from ..scenarios.sections import Fairness
from .assumptions import Assumptions
from .customers import Customers, records
from .demand import Priors
from .fit_report import price_response, regular_prices, shop_fields
from .fit_split import FitOptions, fit_split
from .initial_stock import TOO_LITTLE
from .promotion_kinds import PromotionKinds
from .shop_rules import ShopRules
from .split import held_out, sales_by_store, weeks_to_come
from .zones import Zone, zone_panel, zone_tables

_PRODUCT = ["product", "category", "name", "unit_cost", "vat", "held"]
_CUSTOMERS = ("names", "elasticity", "units", "affinity", "candidates")
_PROTECTED = "protected"
_SELECTED = "selected"
_LSTM = "lstm"
_NETWORKS = "networks"
_COMMON = "common"
_EPSILON = "epsilon"
_ARMA = "arma"
_EVIDENCE = ("proof_wape", "yardstick_wape", "placebo_effect", "placebo_p")
_SEPARATE = ("assumptions", "priors", "period")
_NO_NETWORKS = (
    "the record of the fit comes from an earlier version and holds no weights of the LSTM: its forecasts are those of the "
    "statistical models alone; fit again to have it back"
)


def fit_record(
    options: FitOptions,
    products: pd.DataFrame,
    forecaster: Forecaster,
    customers: Customers,
    zone: Zone | None,
    *,
    used: str,
    experiments: pd.DataFrame | None = None,
    **facts: Any,
) -> dict[str, Any]:
    """What `refit` needs, as plain data for JSON.

    Args:
        options: What the caller of `fit` asked for.
        products: The products priced, as the caller gave them.
        forecaster: The forecaster fitted on all weeks.
        zone: The price zone, if the market is that of one.
        used: The forecaster's name.
        experiments: The calendars of price experiments, whose weeks stay among the sales.
        facts: `weeks`, the market's length, its `first_day`, and `trend`, the trend's candidate in use.
    """
    chosen = {}
    if isinstance(forecaster, Selected):
        weights = {product: row[row > 0].to_dict() for product, row in forecaster.weights_.iterrows()}
        chosen = {"chosen": weights, "stretch": forecaster.stretch_.tolist()}
    elif isinstance(forecaster, PooledRegression) and forecaster.common is not None:
        chosen = {_COMMON: forecaster.common.document()}
    return {
        **vars(options),
        **assumed(options.assumptions, options.priors),
        **facts,
        "products": records(products.filter(_PRODUCT)),
        "forecaster": {"name": used, _ARMA: _arma(forecaster), **_network(forecaster)} | chosen,
        "zone": _plain(zone),
        "experiments": None
        if experiments is None
        else records(experiments.assign(week=experiments["week"].astype(str))),
        "customers": {name: _plain(getattr(customers, name)) for name in (*_CUSTOMERS, _PROTECTED)},
    }


def assumed(assumptions: Assumptions, priors: Priors) -> dict[str, Any]:
    """Assumptions and priors, as plain data for JSON; `assumed_in` reads it."""
    own = {key: value for key, value in vars(assumptions).items() if key != "rules"}
    return {"assumptions": _plain(own), "rules": _rules_table(assumptions.rules), "priors": asdict(priors)}


def assumed_in(record: Mapping[str, Any]) -> tuple[Assumptions, Priors]:
    """Assumptions and priors of a record that holds what `assumed` returned."""
    given = dict(record["assumptions"])
    given["unit_cost_range"] = tuple(given["unit_cost_range"])
    # Earlier versions had priors that this one has not.
    known = {item.name for item in fields(Priors)}
    priors = Priors(**{name: prior for name, prior in record["priors"].items() if name in known})
    return Assumptions(**given, rules=ShopRules.of(record["rules"])), priors


class Refit(NamedTuple):
    """What `refit` returns.

    Attributes:
        spec: The market of the weeks after the tables.
        price_response: As in the report of `fit`, by product.
        regular_prices: As in that report, by category.
        notes: What is less than at the fit, or than a usual week needs, a sentence each.
    """

    spec: MarketSpec
    price_response: list[dict[str, Any]]
    notes: tuple[str, ...] = ()
    regular_prices: tuple[dict[str, Any], ...] = ()


def refit(
    tables: Tables,
    record: Mapping[str, Any],
    *,
    weeks: int | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> Refit:
    """The market of the weeks after newer tables, by the choices of an earlier fit.

    Price responses, traffic and forecasts are estimated anew on all weeks. Which forecasters each
    product has, the trend's model, the segments and the recommender stay as that fit found them, and so do the
    weights of its networks and the ARMA parameters, which read the new weeks.

    Args:
        tables: The shop's tables, up to date.
        record: The part `refit` of the report that `fit` returned.
        weeks: Length of the market; by default as before.
        on_step: Called with the name of each step when it begins.

    Raises:
        ValueError: A product is no longer in the tables, or the forecaster is none of this package.

    Example:
        >>> refit(load_tables("shop"), report["refit"]).spec.calendar  # doctest: +SKIP
    """
    products = pd.DataFrame(record["products"])
    if gone := products_gone(tables, products):
        raise ValueError(
            f"tables must hold sales of all {len(products)} products of the market; got none of {listed(gone)}; "
            "fit again without them, and train"
        )
    on_step("weekly sales")
    tables = _with_experiments(tables, record)
    unknown = _stores_of_no_zone(tables, zone := _zone(record))
    proof = held_out(tables, products, 1, zone, _period(record))
    ahead = weeks_to_come(tables, proof, weeks or record["weeks"], zone)
    on_step("demand forecasters")
    forecaster = with_stores(_forecaster(record["forecaster"], record["seed"]), sales_by_store(ahead)).fit(ahead.past)
    on_step("price response")
    customers = _customers(record["customers"])
    options = _options(record)
    market = fit_split(ahead, forecaster, customers, options, trend_model=record.get("trend"))
    own = {"tables_sha256": zone_tables(tables, zone).fingerprint()}
    # Fits of earlier versions kept no spread.
    own |= {"proof_bias": record.get("proof_bias"), "proof_spread": record.get("proof_spread", 0.0)}
    own |= {name: record[name] for name in _EVIDENCE if name in record}
    zones = 1 if zone is None else len(zone.stores)
    shop = shop_fields(market, tables, funding_share=options.assumptions.funding_share, zones=zones)
    spec = market.spec.with_changes(**shop | {"evidence": shop["evidence"] | own})
    uses_lstm = any(_LSTM in weights for weights in _chosen(record["forecaster"]).values())
    short = (line for line in ahead.plan if line.endswith(TOO_LITTLE))
    lacking = _NO_NETWORKS * (uses_lstm and _NETWORKS not in record["forecaster"])
    notes = tuple(filter(None, (lacking, unknown, *short, spec.evidence.doubt)))
    return Refit(spec, price_response(market), notes, tuple(regular_prices(market.response, market.priors)))


def forecasts_since(tables: Tables, record: Mapping[str, Any], first_day: date, last_day: date) -> pd.DataFrame:
    """Forecasts of the weeks between two days, each one week ahead, at the prices and displays that came.

    They come from the forecasters that the fit chose, which see the sales of earlier weeks alone.

    Args:
        tables: The shop's tables, up to date.
        record: As for `refit`.
        first_day: First day of the first week.
        last_day: A day of the last week, at most; later weeks are left out.

    Returns:
        One row per product and week: `product`, `week`, `units` sold, `mean` forecast and its quantiles.

    Example:
        >>> forecasts_since(tables, report["refit"], date(2024, 3, 4), date(2024, 3, 31))["mean"]  # doctest: +SKIP
    """
    tables = _with_experiments(tables, record)
    zone = _zone(record)
    products = pd.DataFrame(record["products"])
    days = PERIODS[_period(record)].days
    stores = sales_panel(tables, list(products["product"]), days=days, first=first_day)
    own = zone_panel(stores, zone)
    panel = weekly_table(own, zone_tables(tables, zone), products, shown_kinds(tables.promotions))
    kinds = PromotionKinds.of(panel[panel["week"] < pd.Timestamp(first_day)], with_prices(own))
    panel = kinds.applied(panel)
    weeks = np.sort(panel["week"].unique())
    since = np.flatnonzero((weeks >= np.datetime64(first_day)) & (weeks <= np.datetime64(last_day)))
    forecaster = _forecaster(record["forecaster"], record["seed"])
    return rolling_forecasts(forecaster, panel, origins=list(weeks[since - 1]), horizon=1, refit=False)[0]


def products_gone(tables: Tables, products: pd.DataFrame) -> list[str]:
    """The ids of the products of which the tables hold no sales any more, with which nothing can be fitted again.

    Args:
        tables: The shop's tables, up to date.
        products: The products of the market, with a column `product`.

    Example:
        >>> sales = pd.DataFrame({"product": ["tea"]})
        >>> products_gone(Tables(sales), pd.DataFrame({"product": ["tea", "jam"]}))
        ['jam']
    """
    return products.loc[~products["product"].isin(tables.sales["product"].unique()), "product"].tolist()


def _with_experiments(tables: Tables, record: Mapping[str, Any]) -> Tables:
    """The tables with the experiments of a fit; tables that have some keep their own."""
    rows = record.get("experiments")
    if rows is None or tables.experiments is not None:
        return tables
    return replace(tables, experiments=pd.DataFrame(rows).assign(week=lambda found: pd.to_datetime(found["week"])))


def _period(record: Mapping[str, Any]) -> str:
    """What a period of the market is; bundles of earlier versions are all of weeks."""
    return record.get("period", "week")


def _zone(record: Mapping[str, Any]) -> Zone | None:
    return Zone(**record["zone"]) if record.get("zone") else None


def _stores_of_no_zone(tables: Tables, zone: Zone | None) -> str:
    """That stores came since the fit, whose sales belong to no price zone; empty where none came."""
    known = set() if zone is None else {store for stores in zone.stores.values() for store in stores}
    new = sorted({*tables.sales["store"].dropna()} - known) if known else []
    note = f"stores that came since the fit are in no price zone, and their sales are left out: {listed(new)}"
    return f"{note}; fit again to have them" if new else ""


def lstm_of(forecaster: Forecaster) -> Lstm | None:
    """The LSTM in use by a fitted forecaster."""
    lstm = forecaster.models_.get(_LSTM) if isinstance(forecaster, Selected) else forecaster
    return lstm if isinstance(lstm, Lstm) else None


def _network(forecaster: Forecaster) -> dict[str, Any]:
    """The weights of the LSTM in use, None where there is none or too little history to train one, and their epsilon."""
    lstm = lstm_of(forecaster)
    kept = None if lstm is None else lstm.kept_networks()
    return {_NETWORKS: kept} | ({} if lstm is None or lstm.epsilon is None else {_EPSILON: lstm.epsilon})


def _arma(forecaster: Forecaster) -> dict[str, list[float]]:
    """The ARMA parameters in use, by product."""
    models = forecaster.models_.values() if isinstance(forecaster, Selected) else [forecaster]
    models = [model.base_.sarimax_ if isinstance(model, Lstm) else model for model in models]
    return {product: known for model in models if isinstance(model, Sarimax) for product, known in model.arma_.items()}


def _chosen(record: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The weight of each candidate in use, by product; records of earlier versions hold names joined by "+"."""
    chosen = record.get("chosen", {})
    return {
        product: found if isinstance(found, dict) else dict.fromkeys(names := found.split("+"), 1 / len(names))
        for product, found in chosen.items()
    }


def _forecaster(record: Mapping[str, Any], seed: int) -> Forecaster:
    networks = record.get(_NETWORKS)
    epsilon = record.get(_EPSILON)
    arma = record.get(_ARMA)
    # Under privacy no network is trained again, for which no budget was paid.
    lstm = Lstm(seed=seed, epsilon=epsilon, kept=networks if epsilon is None else networks or "", arma=arma)
    known = candidates(seed=seed) | {_LSTM: lstm, "sarimax": Sarimax(arma=arma)}
    if record["name"] == _SELECTED:
        chosen = _chosen(record)
        stretch = record["stretch"]
        return Selected(known, seed=seed, n_jobs=JOBS, chosen=chosen, stretch=stretch, networks=networks)
    if _COMMON in record:
        return PooledRegression(common=Common.of(record[_COMMON]))
    if record["name"] not in known:
        raise ValueError(
            f"a market can be fitted again with one of the forecasters {_SELECTED}, {', '.join(known)}; got "
            f"{record['name']}; call repricer.fit with it"
        )
    return known[record["name"]]


def _customers(record: Mapping[str, Any]) -> Customers:
    given = {name: record[name] for name in _CUSTOMERS[1:]}
    arrays = {name: None if rows is None else np.array(rows, dtype=np.float64) for name, rows in given.items()}
    # Fits of earlier versions knew of no protected groups.
    groups = record.get(_PROTECTED)
    if groups is not None:
        groups = Fairness(tuple(groups["groups"]), tuple(groups["attribute"]), np.array(groups["share"]))
    return Customers(tuple(record["names"]), **arrays, report={}, protected=groups)  # pyright: ignore[reportArgumentType]


def _options(record: Mapping[str, Any]) -> FitOptions:
    plain = {item.name: record[item.name] for item in fields(FitOptions) if item.name not in _SEPARATE}
    assumptions, priors = assumed_in(record)
    return FitOptions(**plain, period=_period(record), assumptions=assumptions, priors=priors)


def _rules_table(rules: ShopRules) -> dict[str, Any]:
    """The rules as nested tables, as `ShopRules.of` reads them."""
    table = _plain(rules)
    return {key: part for key, part in table.items() if key != "prices"} | {"shop": table["shop"] | table["prices"]}


def _plain(value: Any) -> Any:
    """Plain data for JSON; what is None in a table is left out."""
    if isinstance(value, PriceEndings | PriceLadder):
        value = value.fractions if isinstance(value, PriceEndings) else value.steps
    if is_dataclass(value):
        return {key: _plain(part) for key, part in vars(value).items() if part is not None}
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value

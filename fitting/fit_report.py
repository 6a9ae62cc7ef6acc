"""The fit report: what was fitted, and how far it can be believed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd

from ..data import Tables, reasons_not_chosen
from ..data.weeks import WEEK, YEAR_WEEKS
from ..forecasting import MarketPaths, MarketTrend, PriceResponse
from .customers import Customers, records
from .demand import CONTROL, PROMOTION, FittedDemand, SalesGrids, cross_elasticities
from .fit_split import FittedSplit
from .identification import identification_checks
from .market_builder import unique_names
from .price_changes import price_changes
from .shop_rules import ShopRules
from .split import Split

_NAMED = 3
_SHOWN_WEEKS, _SHOWN_PRODUCTS = 78, 6


def fit_report(market: FittedSplit, customers: Customers) -> dict[str, Any]:
    """The fit report of a market, except for its part on the demand forecasts.

    Returns:
        Plain data for JSON.

    Example:
        >>> fit_report(*parts)["unidentified"]  # doctest: +SKIP
        []
    """
    split, response, regression = market.split, market.response, market.regression
    used = market.spec.reference_price is not None
    return {
        "price_response": price_response(market),
        "unidentified": np.array(market.spec.products.names)[~market.known["identified"].to_numpy(bool)].tolist(),
        "identification_checks": identification_checks(response, regression.elasticity_),
        "identification": str(regression.identification_),
        "category_response": _category_response(response, regression),
        "costs_used": None if np.isnan(response.first_stage_f).all() else CONTROL in response.effects,
        "cross_elasticities": _with_names(cross_elasticities(response), split.products),
        "beyond_costs": response.beyond_costs,
        "prices_follow_demand": _number(response.follow_demand),
        "prices_follow_demand_before": _number(response.assumed_to_follow),
        "price_curvature": response.curvature,
        "reference_effect": asdict(regression.reference_effect_)
        | {"used": used, "put_by": float(response.put_by.mean()) if used else None},
        **_exposure(response, regression),
        **customers.report,
        "trend": _trend(split, market.trend, market.paths),
        "prices_by_week": _prices_by_week(split),
        "charged": _charged(split),
        "assumptions": list(market.spec.assumptions),
    }


def not_priced(tables: Tables, products: pd.DataFrame, rules: ShopRules) -> dict[str, Any]:
    """How many products of the tables are not priced by reason, and the names of the best sellers among them.

    Args:
        tables: The shop's tables.
        products: The products that are priced, with a column `product`.
        rules: The shop's rules.

    Example:
        >>> not_priced(tables, products, ShopRules())["not_priced_names"]  # doctest: +SKIP
        {'their price hardly moves': ['Oat milk 1 l', 'Soy milk 1 l']}
    """
    listed = tables.products
    kept = None if listed is None else rules.chosen_from(listed)
    reasons = reasons_not_chosen(replace(tables, products=kept), products)
    ids = names = reasons.index.to_series()
    if listed is not None and kept is not None:
        out = ids.isin(listed["product"]) & ~ids.isin(kept["product"])
        reasons = reasons.mask(out, "the shop's rules leave them out")
        if "name" in listed:
            names = ids.map(listed.set_index("product")["name"]).fillna(ids)
    names = unique_names(pd.DataFrame({"product": ids, "name": names}))
    first = {str(why): names[reasons == why].tolist()[:_NAMED] for why in reasons.value_counts().index}
    return {"not_priced": {why: int((reasons == why).sum()) for why in first}, "not_priced_names": first}


def price_response(market: FittedSplit) -> list[dict[str, Any]]:
    """How each product answers to its price, and whether the sales identify that.

    Example:
        >>> price_response(market)[0]["elasticity_interval90"]  # doctest: +SKIP
        [-3.1, -1.9]
    """
    names = market.split.products[["product", "name"]]
    by_regression = market.regression.elasticity_.merge(names, on="product")
    by_likelihood = pd.DataFrame(market.response.report())  # `elasticity…`, beside which `raw…` and `shrunk…` are put
    found = by_likelihood.merge(by_regression.drop(columns="category"), on="product", how="left")
    return records(found.merge(market.known, on="product"))


def proof_report(proof: FittedSplit, errors: list[dict[str, Any]], seed: int) -> dict[str, Any]:
    """How the models did in the held-out weeks.

    Args:
        proof: The market of the held-out weeks.
        errors: Held-out errors of the forecasters.

    Returns:
        Plain data for JSON: the weeks, `backtest` and `price_changes`.
    """
    split, response = proof.split, proof.response
    weekly = SalesGrids.of(pd.concat([split.past, split.future]), list(response.products))
    changes = price_changes(weekly, response, len(split.weeks), seed)
    return split.span() | {"backtest": errors, "price_changes": changes}


def _with_names(rows: list[dict[str, Any]], products: pd.DataFrame) -> list[dict[str, Any]]:
    """Pairs of products, with their names."""
    names = dict(zip(products["product"], products["name"], strict=True))
    return [row | {"name": names[row["product"]], "other_name": names[row["other"]]} for row in rows]


def _exposure(response: FittedDemand, regression: PriceResponse) -> dict[str, Any]:
    """The effect of displays and mailers: utility by likelihood, log units by regression."""
    effect, check = response.effect(PROMOTION), regression.control_effects_.get(PROMOTION)
    if effect is None or check is None:
        return {}
    mean = effect.mean(axis=1)
    return {"exposure_effect": asdict(check) | {"utility": float(mean.mean()), "utility_se": float(mean.std())}}


def _category_response(response: FittedDemand, regression: PriceResponse) -> list[dict[str, Any]]:
    """By category: mean elasticity and outside share, and the regression's response of the category's total."""
    totals = regression.category_elasticity_.set_index("category")["shrunk"].to_dict()
    rows = []
    for c, name in enumerate(response.names):
        own = response.elasticity[:, response.members(c)].mean(axis=1)
        outside = response.outside[:, c]
        rows.append(
            {
                "category": name,
                "elasticity": float(own.mean()),
                "se": float(own.std()),
                "outside_share": float(outside.mean()),
                "outside_share_se": float(outside.std()),
                "total_by_regression": totals.get(name),
                "shock": response.posteriors[c].shock_spread,
                "first_stage_f": _number(response.first_stage_f[c]),
                "stores": response.posteriors[c].model.data.sizes[0],
                "converged": response.posteriors[c].converged,
            }
        )
    return rows


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def sales_by_week(split: Split, forecast: pd.DataFrame) -> dict[str, Any]:
    """Units sold in the last weeks, the held-out ones too, and the forecast of these.

    Args:
        split: The split with held-out weeks.
        forecast: `week`, `units` and `mean`, as `forecasts_from` returns them.

    Example:
        >>> sales_by_week(split, rows)["forecast"]  # doctest: +SKIP
        [812.4, 790.1]
    """
    past, ahead = split.past[split.past["traffic"] > 0], forecast.groupby("week")[["units", "mean"]].sum()
    units = pd.concat([past.groupby("week")["units"].sum().tail(_SHOWN_WEEKS * split.per_week), ahead["units"]])
    return {
        "weeks": _days(units.index),
        "units": units.tolist(),
        "forecast_weeks": _days(ahead.index),
        "forecast": ahead["mean"].tolist(),
    }


def _days(weeks: Iterable[pd.Timestamp]) -> list[str]:
    return [f"{week:%Y-%m-%d}" for week in weeks]


def _prices_by_week(split: Split) -> dict[str, Any]:
    """The average price planned, in the same weeks a year ago and in as many last weeks, at the last year's units."""
    order, year = list(split.products["product"]), YEAR_WEEKS * WEEK
    sold = split.past[split.past["week"] > split.past["week"].max() - year].groupby("product")["units"].sum()[order]
    paid = split.past.pivot(index="week", columns="product", values="price")[order]
    tables = {
        "planned": pd.DataFrame(split.grid("price"), split.weeks, order),
        "year_ago": paid.reindex(split.weeks - year),
        "recent": paid.tail(len(split.weeks)),
    }
    means = {name: (table * sold).sum(axis=1) / (table.notna() * sold).sum(axis=1) for name, table in tables.items()}
    averages = {name: [_number(value) for value in mean] for name, mean in means.items()}
    return {"weeks": _days(split.weeks), "recent_weeks": _days(tables["recent"].index)} | averages


def _charged(split: Split) -> list[dict[str, Any]]:
    """Price and units of the best sellers in each of the last weeks."""
    rows = split.past[(split.past["traffic"] > 0) & (split.past["units"] > 0)]
    revenue = (rows["units"] * rows["price"]).groupby(rows["product"]).sum()
    names = split.products.set_index("product")["name"]
    return [
        {"product": names[product], **own[["price", "units"]].tail(YEAR_WEEKS * 2 * split.per_week).to_dict("list")}
        for product in revenue.nlargest(_SHOWN_PRODUCTS).index
        for own in [rows[rows["product"] == product]]
    ]


def _trend(split: Split, trend: MarketTrend, paths: MarketPaths) -> dict[str, Any]:
    past, ahead, shock = split.past.groupby("week")["traffic"].first(), paths.bands(), paths.shock()
    error = trend.scores_.set_index("candidate")["mae"]
    return {
        "scores": records(trend.scores_),
        "used": trend.chosen_,
        "score": float(error[["support vectors", "random forest"]].min()),
        "naive": float(error["naive"]),
        "moving_average": float(error["moving average"]),
        "weeks": _days(past.index),
        "history": past.tolist(),
        "forecast_weeks": _days(ahead["week"]),
        "traffic": ahead["traffic"].tolist(),
        "low": ahead["low"].tolist(),
        "high": ahead["high"].tolist(),
        "volatility": shock.volatility,
        "persistence": shock.persistence,
    }

"""The fit report: what was fitted, and how reliable it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd

from ..data import Tables, reasons_not_chosen, revenue_shares
from ..data.panel.promotion_kinds import PROMOTION
from ..data.panel.regular_prices import upper_envelope
from ..data.weeks import WEEK, YEAR_WEEKS
from ..forecasting import MarketPaths, MarketTrend, PriceResponse
from ..pricing.planned_deals import DEAL
from ..scenarios.sections import Products
from .customers import Customers, records
from .demand import CONTROL, FittedDemand, LastingResponse, Priors, SalesGrids, cross_elasticities
from .fit_split import FittedSplit, displays
from .fitted_models import why_held
from .identification import identification_checks
from .market_builder import unique_names
from .price_changes import price_changes
from .price_index import basket_columns, past_rival_price
from .shop_rules import ShopRules
from .split import Split, grid_of

_PRODUCTS_NAMED = 3
_PRIOR_DRAWS = 2_000
_SHOWN_WEEKS = 78
_SHOWN_PRODUCTS = 6
# Weeks on either side among which those without a deal have the usual unit cost.
_AROUND_WEEKS = 8


def fit_report(market: FittedSplit, customers: Customers) -> dict[str, Any]:
    """The fit report of a market, except for its part on the demand forecasts.

    Returns:
        Plain data for JSON.

    Example:
        >>> fit_report(*parts)["unidentified"]  # doctest: +SKIP
        []
    """
    split = market.split
    response = market.response
    regression = market.regression
    names = split.products.set_index("product")["name"]
    # How likely it is that prices follow demand, before and after the sales are seen.
    follow = response.chance("prices follow") if response.suspects else (None, None)
    return {
        "price_response": price_response(market),
        "unidentified": [
            name
            for name, held, known in zip(
                market.spec.products.names, why_held(split.products), market.known["identified"], strict=True
            )
            if held is None and not known
        ],
        "identification_checks": identification_checks(response),
        "identification": str(regression.identification_),
        "category_response": _category_response(response),
        "costs_used": None if np.isnan(response.first_stage_f).all() else CONTROL in response.effects,
        "cross_elasticities": [
            row | {"name": names[row["product"]], "other_name": names[row["other"]]}
            for row in cross_elasticities(response)
        ],
        "candidate_models": [
            {"model": name, "prior": before, "probability": after}
            for name, (before, after) in response.candidates.items()
        ],
        **dict(zip(("prices_follow_demand_before", "prices_follow_demand"), follow, strict=True)),
        "price_curvature": response.curvature,
        "deals": _deals(response),
        "regular_prices": regular_prices(response, market.priors),
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
        left_out = ids.isin(listed["product"]) & ~ids.isin(kept["product"])
        reasons = reasons.mask(left_out, "the shop's rules leave them out")
        if "name" in listed:
            names = ids.map(listed.set_index("product")["name"]).fillna(ids)
    names = unique_names(pd.DataFrame({"product": ids, "name": names}))
    # The commonest reason first, and under each the best sellers first.
    best_sellers = {str(why): names[reasons == why].tolist()[:_PRODUCTS_NAMED] for why in reasons.value_counts().index}
    counts = {why: int((reasons == why).sum()) for why in best_sellers}
    return {"not_priced": counts, "not_priced_names": best_sellers}


def held_products(tables: Tables, products: pd.DataFrame, market: FittedSplit) -> dict[str, Any]:
    """What is in a market at its planned prices, by reason, and which shares of its categories' revenue are modelled and priced.

    Args:
        tables: The shop's tables.
        products: The products of the market, with `held` where some are not to be priced.
        market: The market.

    Returns:
        `held`: by reason, the products' names, best sellers first; `revenue_modelled` and `revenue_priced`, shares of what
        still sells in the categories of the market, over the last year.

    Example:
        >>> held_products(tables, products, market)["revenue_modelled"]  # doctest: +SKIP
        0.96
    """
    spec = market.spec
    ids = np.array(spec.products.ids or spec.products.names)
    modelled, priced = revenue_shares(tables, products, ids[~spec.guardrails.held].tolist())
    held: dict[str, list[str]] = {}
    for name, why in zip(spec.products.names, why_held(market.split.products), strict=True):
        if why is not None:
            held.setdefault(why, []).append(name)
    return {"held": held, "revenue_modelled": modelled, "revenue_priced": priced}


def price_response(market: FittedSplit) -> list[dict[str, Any]]:
    """How each product answers to its price, and whether the sales identify that.

    Example:
        >>> price_response(market)[0]["elasticity_interval90"]  # doctest: +SKIP
        [-3.1, -1.9]
    """
    names = market.split.products[["product", "name"]]
    by_regression = market.regression.elasticity_.merge(names, on="product")
    # `elasticity…` by likelihood, beside which `raw…` and `shrunk…` are put.
    found = market.response.report().merge(by_regression.drop(columns="category"), on="product", how="left")
    return records(found.merge(market.known, on="product"))


def proof_report(proof: FittedSplit, errors: list[dict[str, Any]], seed: int) -> dict[str, Any]:
    """How the models did in the held-out weeks.

    Args:
        proof: The market of the held-out weeks.
        errors: Held-out errors of the forecasters.

    Returns:
        Plain data for JSON: the weeks, `backtest` and `price_changes`.
    """
    split = proof.split
    response = proof.response
    weekly = SalesGrids.of(pd.concat([split.past, split.future]), list(response.products))
    changes = price_changes(weekly, response, len(split.weeks), seed)
    return split.span() | {"backtest": errors, "price_changes": changes}


def shop_fields(
    market: FittedSplit, tables: Tables, *, funding_share: float = 0.0, zones: int = 1
) -> dict[str, dict[str, Any]]:
    """What the sections `plan`, `past` and `evidence` of a market say of its planned deals, of the weeks before it, and of
    its fit.

    Args:
        market: The market of the weeks to come.
        tables: The shop's tables, of whose promotions the column `funding` counts, in the week itself or a year before.
        funding_share: What suppliers pay of a planned reduction where the tables do not say, as a share of it.
        zones: Number of price zones that are fitted together.

    Example:
        >>> shop_fields(market, tables)["evidence"]["regular_moves"]  # doctest: +SKIP
        4
    """
    split = market.split
    columns = ("units", "revenue", "price", "regular_price")
    ids = split.products["product"]
    units, revenue, price, regular = (grid_of(split.past, name, ids) for name in columns)
    weeks = len(units)
    year = YEAR_WEEKS * split.per_week
    length = len(split.weeks)
    ends = [end for end in (weeks, weeks - year + length, weeks - year) if length <= end <= weeks]
    spans = [slice(end - length, end) for end in ends]
    deal = np.where(np.isfinite(price), price < DEAL * regular, np.nan)
    products = market.spec.products
    revenue = products.net(revenue)
    profit = revenue - units * _booked_costs(split, products.unit_cost)
    past: dict[str, Any] = {
        "units": [np.nansum(units[span], axis=0) for span in spans],
        "revenue": [np.nansum(revenue[span], axis=0) for span in spans],
        "profit": [np.nansum(profit[span], axis=0) for span in spans],
        "deals": [np.nan_to_num(pd.DataFrame(deal[span]).mean().to_numpy()) for span in spans],
    }
    past = (past if spans else {}) | basket_columns(split)
    if (rival := past_rival_price(split)) is not None:
        past["rival_price"] = rival[-market.spec.sizes["B"] :]
    plan: dict[str, Any] = {"funding": _funding(split, tables, funding_share, products)}
    if market.spec.promotion is None and (shown := displays(split.future, market.response)):
        plan |= _planned_displays(shown, market.response)
    told = regular_prices(market.response, market.priors)
    evidence = {
        "regular_moves": sum(row["moves"] for row in told),
        "prior_share": float(np.mean([row["relative_prior_share"] for row in told])),
        "zones": zones,
    }
    return {"plan": plan, "past": past, "evidence": evidence}


def _planned_displays(shown: dict[str, np.ndarray], response: FittedDemand) -> dict[str, np.ndarray]:
    """The utility of displays and mailers of all kinds in all stores, and the share of it that is planned in each week.

    Utilities of kinds add up, so that one number a product and week stands for all of them.

    Args:
        shown: (T, N) share of stores, by kind.
        response: The fitted demand, with the effect of each.
    """
    lift = {kind: np.maximum(_effect(response, kind).mean(axis=0), 0.0)[response.category] for kind in shown}
    whole = np.sum(list(lift.values()), axis=0)
    worth = np.sum([lift[kind] * share for kind, share in shown.items()], axis=0)
    alike = np.mean(list(shown.values()), axis=0)
    return {"feature_lift": whole, "promotion": np.where(whole > 0, worth / np.where(whole > 0, whole, 1.0), alike)}


def _booked_costs(split: Split, unit_cost: np.ndarray) -> np.ndarray:
    """(W, N) the unit costs that the sales give for each past week, deals' own included; today's where they give none."""
    if "unit_cost" not in split.past:
        return np.broadcast_to(unit_cost, grid_of(split.past, "units", split.products["product"]).shape)
    booked = grid_of(split.past, "unit_cost", split.products["product"])
    return np.where(np.isfinite(booked), booked, unit_cost)


def _funding(split: Split, tables: Tables, share: float, products: Products) -> np.ndarray:
    """(T, N) what suppliers pay for a unit sold on a planned deal, without VAT.

    That is what the tables say of the deal, or of the same weeks a year before; else what the unit costs of these weeks say;
    else the share of a reduction by which they mostly fell.
    """
    price = split.grid("price")
    regular = split.grid("regular_price")
    ids = split.products["product"]
    reduction = products.net(regular - price)
    usual = np.fmax(share, _funded_share(split, products)) * reduction
    fell = _own_cost_fall(split)
    paid = np.where(fell > 0, np.minimum(fell * products.unit_cost, reduction), usual)
    rows = tables.promotions
    if rows is not None and "funding" in rows:
        first = rows["start_date"]
        last = rows.get("end_date", pd.Series(pd.NaT, rows.index)).fillna(first + pd.Timedelta(days=6))
        for ago in (YEAR_WEEKS * WEEK, 0 * WEEK):
            for t, week in enumerate(split.weeks - ago):
                here = rows[(first < week + split.period) & (last >= week)].groupby("product")["funding"].mean()
                paid[t] = here.reindex(ids).fillna(pd.Series(paid[t], ids)).to_numpy()
    return np.where(price < DEAL * regular, paid, 0.0)


def _own_cost_fall(split: Split) -> np.ndarray:
    """(T, N) the share by which a product's unit cost lay below its usual one in the same week a year ago, if it was on deal
    then, as the planned deals are mostly those of a year ago; 0 elsewhere.
    """
    shape = split.grid("price").shape
    first = -YEAR_WEEKS * split.per_week
    columns = ("price", "regular_price")
    ids = split.products["product"]
    if "unit_cost" not in split.past or len(grid_of(split.past, "price", ids)) < -first:
        return np.zeros(shape)
    price, regular = (grid_of(split.past, name, ids) for name in columns)
    cost = pd.DataFrame(grid_of(split.past, "unit_cost", ids))
    deal = price < DEAL * regular
    around = 2 * _AROUND_WEEKS * split.per_week + 1
    usual = cost.where(~deal).rolling(around, center=True, min_periods=1).median()
    fall = np.where(deal, 1 - cost / usual, 0.0)[first:][: shape[0]]
    found = np.zeros(shape)
    found[: len(fall)] = np.clip(np.nan_to_num(fall), 0.0, 1.0)
    return found


def _funded_share(split: Split, products: Products) -> np.ndarray:
    """(N,) the share of a reduction, without VAT, by which the unit costs of the sales fell with it; 0 where they did not."""
    if "unit_cost" not in split.past:
        return np.zeros(len(split.products))
    columns = ("price", "regular_price", "unit_cost")
    ids = split.products["product"]
    price, regular, cost = (grid_of(split.past, name, ids) for name in columns)
    deal = price < DEAL * regular
    fell = upper_envelope(cost, split.per_week) - cost
    depth = np.where(deal, products.net(regular - price), 0.0).sum(axis=0)
    known = ~deal & np.isfinite(fell)
    # A product may have been on deal in all weeks.
    usual = np.where(known, fell, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    on_deal = np.where(deal, fell - usual, 0.0).sum(axis=0)
    return np.clip(on_deal / np.where(depth > 0, depth, 1.0), 0.0, 1.0) * (depth > 0)


def _exposure(response: FittedDemand, regression: PriceResponse) -> dict[str, Any]:
    """The effect of displays and mailers: utility by likelihood, log units by regression; of several kinds, the former of each."""
    if len(response.kinds) > 1:
        return {"promotion_effects": [_kind_effect(response, kind) for kind in response.kinds]}
    effect = response.usual_display
    check = regression.control_effects_.get(PROMOTION)
    if effect is None or check is None:
        return {}
    mean = effect.mean(axis=1)
    return {"exposure_effect": asdict(check) | {"utility": float(mean.mean()), "utility_se": float(mean.std())}}


def _effect(response: FittedDemand, kind: str) -> np.ndarray:
    """(M, C) the utility of a kind that the demand has."""
    found = response.effect(kind)
    assert found is not None, "it is one of its kinds"
    return found


def _kind_effect(response: FittedDemand, kind: str) -> dict[str, Any]:
    """The utility of a kind of display or mailer in all stores, the mean of the categories, with its 90% interval."""
    mean = _effect(response, kind).mean(axis=1)
    low, high = np.quantile(mean, [0.05, 0.95])
    return {"kind": kind, "utility": float(mean.mean()), "utility_interval90": [float(low), float(high)]}


def _category_response(response: FittedDemand) -> list[dict[str, Any]]:
    """By category: mean elasticity and outside share."""
    elasticity = pd.DataFrame(response.elasticity).T.groupby(response.category).mean()
    table = pd.DataFrame(
        {
            "category": response.names,
            "elasticity": elasticity.mean(axis=1),
            "se": elasticity.std(axis=1, ddof=0),
            "outside_share": response.outside.mean(axis=0),
            "outside_share_se": response.outside.std(axis=0),
            "shock": [posterior.shock_spread for posterior in response.posteriors],
            "first_stage_f": response.first_stage_f,
            "stores": [posterior.model.data.sizes[0] for posterior in response.posteriors],
            "converged": [posterior.converged for posterior in response.posteriors],
        }
    )
    return records(table)


def _deals(response: FittedDemand) -> dict[str, Any] | None:
    """What a deal adds to the answer to a regular price, per log point; None where there was none."""
    if response.remembered is None:
        return None
    mean = response.deals.mean(axis=(0, 2))
    spread = response.deals.mean(axis=2).std(axis=0)
    named = zip(("utility", "units", "dip"), mean, spread, strict=True)
    return {"memory": response.remembered.memory, "probability": response.chance("regular prices and deals")[1]} | {
        name: {"mean": float(value), "se": float(error)} for name, value, error in named
    }


def regular_prices(response: FittedDemand, priors: Priors) -> list[dict[str, Any]]:
    """By category: what the stores tell of the response to regular prices, and how much of it is the prior's.

    `prior_share` is the precision of the prior over that of the posterior, of the logarithm of each elasticity. Beside
    price experiments, `experiment` holds the cells that were read, those broken by store, and both elasticities before and
    after.

    Args:
        response: The fitted demand.
        priors: Its priors.

    Example:
        >>> regular_prices(market.response, market.priors)[0]["moves"]  # doctest: +SKIP
        12
    """
    rows = []
    for name, lasting in zip(response.names, response.lasting, strict=True):
        own = priors.of(name)
        drawn = lasting.draws(own, _PRIOR_DRAWS, seed=0)
        spreads = (own.lasting_spread, own.category_response_spread)
        row: dict[str, Any] = {"category": name, "moves": lasting.moves, "stores": lasting.stores}
        for key, draws, spread in zip(("relative", "total"), drawn, spreads, strict=True):
            low, high = np.quantile(draws, [0.05, 0.95])
            row |= {key: -float(draws.mean()), f"{key}_interval90": [-float(high), -float(low)]}
            row[f"{key}_prior_share"] = float(min(np.log(draws).var() / spread**2, 1.0))
        if (tested := lasting.experiment) is not None:
            row["experiment"] = {"cells": tested.cells, "broken": tested.broken}
            row["experiment"] |= {"before": _quantiles(tested.before, own), "after": _quantiles(lasting, own)}
        rows.append(row)
    return rows


def _quantiles(lasting: LastingResponse, priors: Priors) -> dict[str, list[float]]:
    """Low end of the 90% interval, median and high end of both elasticities, negative."""
    drawn = zip(("relative", "total"), lasting.draws(priors, _PRIOR_DRAWS, seed=0), strict=True)
    return {name: np.quantile(-draws, [0.05, 0.5, 0.95]).tolist() for name, draws in drawn}


def sales_by_week(split: Split, forecast: pd.DataFrame) -> dict[str, Any]:
    """Units sold in the last weeks, the held-out ones too, and the forecast of these.

    Args:
        split: The split with held-out weeks.
        forecast: `week`, `units` and `mean`, as `forecasts_from` returns them.

    Example:
        >>> sales_by_week(split, rows)["forecast"]  # doctest: +SKIP
        [812.4, 790.1]
    """
    past = split.past[split.past["traffic"] > 0]
    ahead = forecast.groupby("week")[["units", "mean"]].sum()
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
    order = list(split.products["product"])
    year = YEAR_WEEKS * WEEK
    sold = split.past[split.past["week"] > split.past["week"].max() - year].groupby("product")["units"].sum()[order]
    paid = split.past.pivot(index="week", columns="product", values="price")[order]
    tables = {
        "planned": pd.DataFrame(split.grid("price"), split.weeks, order),
        "year_ago": paid.reindex(split.weeks - year),
        "recent": paid.tail(len(split.weeks)),
    }
    means = {name: (table * sold).sum(axis=1) / (table.notna() * sold).sum(axis=1) for name, table in tables.items()}
    averages = {name: mean.astype(object).where(mean.notna(), None).tolist() for name, mean in means.items()}
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
    past = split.past.groupby("week")["traffic"].first()
    ahead = paths.bands()
    shock = paths.shock()
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

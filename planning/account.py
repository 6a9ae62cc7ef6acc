"""What was predicted for weeks that have passed since, against what was sold in them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student_t

from ..data import Tables, product_weeks
from ..data.weeks import PERIODS
from ..evaluation.uncertainty.by_product import simulated_products
from ..evaluation.uncertainty.draws import Z90, Floats, quantiles
from ..pricing.policies import EmptySlots, PricePath
from ..scenarios import MarketSpec
from ..scenarios.fields import listed
from ..scenarios.periods import simulated_prices

HELD = "fallback"
"""The arm of a decision at the prices of the holdout."""
_ACCOUNT_LEVEL = 0.9
_BEFORE_WEEKS = 12
_LEAST_STORES = 2


def account(
    spec: MarketSpec,
    price: Floats,
    units: Floats,
    promotion: Floats | None = None,
    *,
    draws: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare the predictions of a fitted market with the sales of its first weeks, at the prices really charged.

    Args:
        spec: The market that prices were recommended in; it has a posterior and a calendar.
        price: (W, N) prices charged in its first W weeks, currency per unit.
        units: (W, N) units sold in them; NaN while the shop was closed.
        promotion: (W, N) shares of stores with a display or mailer in them, which count where these are a decision.
        draws: Number of posterior draws; 200 by default, or all of fewer.
        seed: Selects the test seeds.

    Returns:
        Plain data for JSON: `weeks` (first days), `closed` (those in which the shop was closed, which are left out),
        `unit` (weeks or days), `wape` of the units by product and week, `unsold` (the products of which nothing was sold) and `rows`: `category` ("all categories" first), `units` and
        `revenue`, each with `predicted`, `interval90`, `realised` and `inside`.

    Raises:
        ValueError: The market has fewer weeks than were sold, or another number of products, or the arrays differ in shape.

    Example:
        >>> from dataclasses import replace
        >>> from repricer import load_scenario
        >>> from repricer.scenarios.sections import Posterior
        >>> spec = load_scenario("stationary-logit").with_changes(market={"first_day": "2018-01-01", "period_days": 7})
        >>> spec = replace(spec, posterior=Posterior(draws=2, arrivals=[[[0.9]], [[1.1]]]))
        >>> account(spec, np.array([[11.0]]), np.array([[6.0]]))["weeks"]
        ['2018-01-01']
    """
    calendar = spec.calendar
    horizon = spec.market.horizon_periods
    if calendar is None or not spec.num_draws:
        raise ValueError(f"an account needs a market fitted on data, with dates; got {spec.name}; fit again")
    shapes = {part.shape for part in (price, units, promotion) if part is not None}
    if len(shapes) > 1 or len(price) > horizon or price.shape[1] != len(spec.products.names):
        must = f"those of at most {horizon} weeks and {len(spec.products.names)} products"
        got = f"got {' and '.join(map(str, sorted(shapes)))}; leave later weeks out"
        raise ValueError(f"prices, units and promotions must be {must}; {got}")
    weeks = len(price)

    def whole(part: Floats) -> Floats:
        return np.concatenate([part, np.repeat(part[-1:], horizon - weeks, axis=0)])

    shown = None if spec.promotion is None or promotion is None else whole(promotion).astype(np.float32)
    path = simulated_prices(spec, whole(price)).astype(np.float32)
    charged = EmptySlots(PricePath(path, shown, name="charged", as_charged=True))
    simulated, *_ = simulated_products(spec, charged, draws=draws, seed=seed)
    kept: list[int] = np.flatnonzero(np.isfinite(units).all(axis=1)).tolist()
    sold = simulated[0, :, :, :weeks].reshape(-1, weeks, price.shape[1])[:, kept].astype(np.float64)
    price = spec.products.net(price[kept])
    units = units[kept]
    parts = {"all categories": np.ones(price.shape[1], dtype=bool)}
    parts |= {name: spec.category_index == c for c, name in enumerate(spec.category_names)}
    amounts = {"units": (sold, units), "revenue": (sold * price, units * price)}
    found = {name: {key: _compared(*both, part) for key, both in amounts.items()} for name, part in parts.items()}
    rows = [{"category": name, **compared} for name, compared in found.items()]
    closed = [calendar.label(t) for t in range(weeks) if t not in kept]
    facts = {"weeks": [calendar.label(t) for t in kept], "closed": closed, "unit": calendar.unit, "rows": rows}
    wape = float(np.abs(sold.mean(axis=0) - units).sum() / max(units.sum(), 1e-12))
    unsold = [name for name, of in zip(spec.products.names, units.T, strict=True) if not of.any()]
    return facts | {"wape": wape, "unsold": unsold}


def account_fields(found: dict[str, Any]) -> dict[str, float]:
    """What the section `evidence` of the next market says of an account: the error of its revenue, and what was expected of it.

    Args:
        found: As `account` gives it.

    Example:
        >>> revenue = {"predicted": 150.0, "interval90": [118.0, 190.0], "realised": 237.0}
        >>> {key: round(value, 2) for key, value in account_fields({"rows": [{"revenue": revenue}]}).items()}
        {'account_error': 0.46, 'account_spread': 0.14}
    """
    return dict(zip(("account_error", "account_spread"), _error(found["rows"][0]["revenue"]), strict=True))


def proof_spread(proof: MarketSpec, seed: int = 0) -> float:
    """Standard error, in logs, of the units that the market of held-out weeks predicts for them.

    Args:
        proof: A market that knows the prices and the sales of its weeks.
        seed: Selects the test seeds.

    Example:
        >>> proof_spread(load_scenario("shop/proof"))  # doctest: +SKIP
        0.08
    """
    plan = proof.plan
    if plan is None or plan.units is None or proof.calendar is None or not proof.num_draws:
        return 0.0
    sold = np.where(plan.units.any(axis=1, keepdims=True), plan.units, np.nan)
    return _error(account(proof, plan.price, sold, plan.promotion, seed=seed)["rows"][0]["units"])[1]


def _error(compared: dict[str, Any]) -> tuple[float, float]:
    """Logarithm of what came over what was predicted, and the standard error of the prediction on that side."""
    amounts = (*compared["interval90"], compared["predicted"], compared["realised"])
    low, high, predicted, realised = (max(float(amount), 1e-9) for amount in amounts)
    end = high if realised > predicted else low
    return float(np.log(realised / predicted)), float(abs(np.log(end / predicted)) / Z90)


def sales_since(spec: MarketSpec, tables: Tables) -> tuple[Floats, Floats, Floats]:
    """(W, N) prices charged, units sold and shares of stores with a display or mailer, in the first weeks of a market,
    as far as newer tables know them.

    A product that was not sold in a week counts at its last price. A week without any sale is one in which the shop was
    closed: its units are NaN.

    Args:
        spec: A market with a calendar of weeks or days.
        tables: The shop's tables, up to date.

    Raises:
        ValueError: The market has no calendar of weeks or days.

    Example:
        >>> price, units, promotion = sales_since(spec, load_tables("shop"))  # doctest: +SKIP
    """
    calendar = spec.calendar
    ids = spec.products.ids or spec.products.names
    if calendar is None or calendar.period_days not in {period.days for period in PERIODS.values()}:
        raise ValueError(f"sales are compared by week or day; got {spec.name}, whose periods are neither; fit again")
    priced = pd.DataFrame({"product": ids, "category": ""})
    panel = product_weeks(tables, products=priced, days=calendar.period_days, first=calendar.first_day)
    panel = panel[panel["week"].between(pd.Timestamp(calendar.first_day), pd.Timestamp(calendar.last_day))]

    def grid(column: str) -> Floats:
        return panel.pivot(index="week", columns="product", values=column).reindex(columns=list(ids)).to_numpy(float)

    price = np.where(np.isfinite(grid("price")), grid("price"), spec.products.regular_price)
    closed = ~np.nan_to_num(grid("traffic")).any(axis=1, keepdims=True)
    shown = np.nan_to_num(grid("promotion")) if "promotion" in panel else np.zeros_like(price)
    return price, np.where(closed, np.nan, np.nan_to_num(grid("units"))), shown


def account_lines(found: dict[str, Any], currency: str) -> list[str]:
    """An account in words: revenue by category, and the error by product and week.

    Args:
        found: As `account` gives it.
        currency: Unit of money.

    Example:
        >>> account_lines({"weeks": ["2018-01-01"], "closed": [], "unit": "weeks", "wape": 0.1, "rows": [], "unsold": []}, "")
        ['weeks of 2018-01-01, at the prices really charged: units by product and week 10.0% off (WAPE)']
    """
    weeks = found["weeks"]
    unit = found["unit"]
    closed = found["closed"]
    none = found["unsold"]
    span = weeks[0] if len(weeks) == 1 else f"{weeks[0]} to {weeks[-1]}"
    error = f"units by product and {unit[:-1]} {found['wape']:.1%} off (WAPE)"
    lines = [f"{unit} of {span}, at the prices really charged: {error}"]
    if closed:
        lines.append(f"  nothing at all was sold in {', '.join(closed)}: taken as closed, and left out")
    for row in found["rows"]:
        revenue, (low, high) = row["revenue"], row["revenue"]["interval90"]
        outside = "" if revenue["inside"] else ", outside the interval"
        predicted = f"predicted {revenue['predicted']:,.0f} ({low:,.0f} to {high:,.0f}){outside}"
        lines.append(f"  {row['category']}: revenue {revenue['realised']:,.0f} {currency}, {predicted}")
    if none:
        lines.append(f"  sold nothing: {listed(none)}; the last known price counts")
    return lines


def _compared(simulated: Floats, actual: Floats, part: NDArray[np.bool_]) -> dict[str, Any]:
    """The amounts of some products over all weeks: (S, T, N) simulated ones, and (T, N) those that came."""
    drawn = simulated[..., part].sum(axis=(1, 2))
    realised = float(actual[:, part].sum())
    low, high = quantiles(drawn)
    mean = float(drawn.mean())
    return {"predicted": mean, "interval90": [low, high], "realised": realised, "inside": low <= realised <= high}


# What recommended prices earned beside a holdout arm: stores that kept their prices in the same weeks.


def holdout_stores(arms: pd.DataFrame) -> tuple[set[str], set[str]]:
    """The stores that were held out of the recommended prices, and those that had them throughout.

    Args:
        arms: `store` and `arm` of decisions or sale lines; a store of both arms, or a line without either, belongs to
            neither.

    Example:
        >>> holdout_stores(pd.DataFrame({"store": list("abb"), "arm": ["fallback", "policy", "policy"]}))
        ({'a'}, {'b'})
    """
    held = (arms.dropna(subset=["store", "arm"])["arm"] == HELD).groupby(arms["store"]).mean()
    return set(held.index[held == 1]), set(held.index[held == 0])


def against_holdout(
    spec: MarketSpec,
    sales: pd.DataFrame,
    held: Collection[str],
    others: Collection[str],
    *,
    weeks: int,
    since: pd.Timestamp | None = None,
) -> dict[str, Any] | None:
    """The gain of the stores with recommended prices over those that were held out, with a 90% interval.

    Each arm's money in the account's weeks is divided by its own money in up to twelve weeks before any
    price was recommended, so that neither the size of stores nor the season counts. The interval is that of the ratio of two
    ratio estimates (Cochran 1977, Sampling Techniques, chapter 6), with stores as the units that were drawn.

    Args:
        spec: The market that prices were recommended in; it has a calendar.
        sales: Canonical sales that name the store.
        held: Stores that kept their prices.
        others: Stores with the recommended prices.
        weeks: Number of weeks, or days, of the account, from the market's first.
        since: First day on which a store had recommended prices; by default the market's first.

    Returns:
        `money` (revenue or profit), `gain` (a fraction), `interval90` (None with fewer than two stores in an arm),
        and the numbers of stores, `held_out` and `others`; None where an arm sold nothing in either span.

    Example:
        >>> against_holdout(spec, tables.sales, {"a", "b"}, {"c", "d"}, weeks=4)  # doctest: +SKIP
    """
    calendar = spec.calendar
    week = pd.Timedelta(weeks=1)
    assert calendar is not None, "an account has a calendar"
    start = pd.Timestamp(calendar.first_day)
    first = start if since is None else since
    after = _money(spec, sales, start, start + weeks * pd.Timedelta(days=calendar.period_days))
    before = _money(spec, sales, first - _BEFORE_WEEKS * week, first)
    found = [_ratio(before.reindex(sorted(stores)), after.reindex(sorted(stores))) for stores in (others, held)]
    (ratio, error, count), (base, base_error, held_count) = found
    if not (ratio > 0 and base > 0):
        return None
    gain = ratio / base - 1
    interval = None
    if min(count, held_count) >= _LEAST_STORES:
        reach = student_t.ppf((1 + _ACCOUNT_LEVEL) / 2, min(count, held_count) - 1) * np.hypot(
            error / ratio, base_error / base
        )
        interval = [float((1 + gain) * np.exp(sign * reach) - 1) for sign in (-1, 1)]
    facts = {"money": spec.market.objective, "gain": float(gain), "interval90": interval}
    return facts | {"held_out": held_count, "others": count}


def holdout_line(found: dict[str, Any] | None) -> str:
    """The comparison with the holdout arm in words.

    Example:
        >>> holdout_line({"money": "revenue", "gain": 0.021, "interval90": [-0.01, 0.05], "held_out": 3, "others": 9})
        'against the holdout arm (3 stores, 9 with the recommended prices): revenue +2.1% (-1.0% to +5.0%)'
    """
    if found is None:
        return "no comparison with the holdout arm: one of the arms sold nothing in these weeks or before them"
    ends = found["interval90"]
    reach = " to ".join(f"{end:+.1%}" for end in ends) if ends else "no interval: an arm has a single store"
    stores = f"({found['held_out']} stores, {found['others']} with the recommended prices)"
    return f"against the holdout arm {stores}: {found['money']} {found['gain']:+.1%} ({reach})"


def _money(spec: MarketSpec, sales: pd.DataFrame, first: pd.Timestamp, end: pd.Timestamp) -> pd.Series:
    """Money of the priced products by store from a first day to before an end, currency per week."""
    cost = spec.products.unit_cost if spec.market.objective == "profit" else np.zeros(len(spec.products.names))
    costs = pd.Series(cost, index=list(spec.products.ids or spec.products.names))
    lines = sales[sales["date"].between(first, end, inclusive="left") & sales["product"].isin(costs.index)]
    vat = lines["product"].map(pd.Series(spec.products.vat, index=costs.index)).astype(float)
    margin = lines["price_paid"] / (1 + vat) - lines["product"].map(costs).astype(float)
    return (lines["units"] * margin).groupby(lines["store"]).sum()


def _ratio(before: pd.Series, after: pd.Series) -> tuple[float, float, int]:
    """Money after over money before in an arm, its standard error, and the number of stores that sold in both spans."""
    x, y = (part[before.notna() & after.notna()].to_numpy(dtype=np.float64) for part in (before, after))
    if x.sum() <= 0:
        return 0.0, 0.0, len(x)
    ratio = float(y.sum() / x.sum())
    rest: Floats = (y - ratio * x) / x.sum()
    return ratio, float(np.sqrt(len(x) / max(len(x) - 1, 1) * (rest**2).sum())), len(x)

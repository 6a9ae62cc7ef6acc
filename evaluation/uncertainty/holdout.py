"""What recommended prices earned beside a holdout arm: stores that kept their prices in the same weeks."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student_t

from ...scenarios import MarketSpec
from .gain import Floats

HELD = "fallback"
"""The arm of a decision at the prices of the holdout."""
_LEVEL = 0.9
_BEFORE_WEEKS = 12
_LEAST_STORES = 2


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
    calendar, week = spec.calendar, pd.Timedelta(weeks=1)
    assert calendar is not None, "an account has a calendar"
    start = pd.Timestamp(calendar.first_day)
    first = start if since is None else since
    after = _money(spec, sales, start, start + weeks * pd.Timedelta(days=calendar.period_days))
    before = _money(spec, sales, first - _BEFORE_WEEKS * week, first)
    found = [_ratio(before.reindex(sorted(stores)), after.reindex(sorted(stores))) for stores in (others, held)]
    (ratio, error, count), (base, base_error, held_count) = found
    if not (ratio > 0 and base > 0):
        return None
    gain, interval = ratio / base - 1, None
    if min(count, held_count) >= _LEAST_STORES:
        reach = student_t.ppf((1 + _LEVEL) / 2, min(count, held_count) - 1) * np.hypot(error / ratio, base_error / base)
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
    interval = found["interval90"]
    reach = (
        "no interval: an arm has a single store" if interval is None else " to ".join(f"{end:+.1%}" for end in interval)
    )
    return (
        f"against the holdout arm ({found['held_out']} stores, {found['others']} with the recommended prices): "
        f"{found['money']} {found['gain']:+.1%} ({reach})"
    )


def _money(spec: MarketSpec, sales: pd.DataFrame, first: pd.Timestamp, end: pd.Timestamp) -> pd.Series:
    """Money of the priced products by store from a first day to before an end, currency per week."""
    cost = spec.products.unit_cost if spec.market.objective == "profit" else np.zeros(len(spec.products.names))
    costs = pd.Series(cost, index=list(spec.products.ids or spec.products.names))
    lines = sales[sales["date"].between(first, end, inclusive="left") & sales["product"].isin(costs.index)]
    margin = lines["price_paid"] - lines["product"].map(costs).astype(float)
    return (lines["units"] * margin).groupby(lines["store"]).sum()


def _ratio(before: pd.Series, after: pd.Series) -> tuple[float, float, int]:
    """Money after over money before in an arm, its standard error, and the number of stores that sold in both spans."""
    x, y = (part[before.notna() & after.notna()].to_numpy(dtype=np.float64) for part in (before, after))
    if x.sum() <= 0:
        return 0.0, 0.0, len(x)
    ratio = float(y.sum() / x.sum())
    rest: Floats = (y - ratio * x) / x.sum()
    return ratio, float(np.sqrt(len(x) / max(len(x) - 1, 1) * (rest**2).sum())), len(x)

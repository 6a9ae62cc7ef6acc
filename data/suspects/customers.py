"""Customers whose purchases, returns or looks at prices are no demand: flagged before they teach the market."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import polars as pl

from ..tables import ImportReport, Tables
from ..weeks import to_polars

FLAGGED = "customer: flagged, see the report"
"""Why the rows of a flagged customer are left out."""
_FAR = 6.0
"""Robust standard deviations, on the log scale, above the median customer."""
_LEAST_SPREAD, _FEWEST = 0.3, 30
"""Least such deviation: a factor of six above the median at least. Customers that tell what is usual."""
_RETURNED, _MANY = 0.5, 10.0
"""Share of the units bought that came back, and their least number."""


def flagged_customers(
    sales: pd.DataFrame, behaviour: pd.DataFrame | None = None, returns: pl.DataFrame | None = None
) -> dict[str, str]:
    """Customers whose rows may be fraud or a machine's, with the reasons; they may also be resellers or other firms.

    Three figures of each customer are compared with those of the median customer, by median and median absolute
    deviation of their logarithms: most units bought in a day, most views and carts in a day, and units returned,
    which must also be half of those bought.

    Args:
        sales: Canonical sales; without the column `customer`, nobody is flagged.
        behaviour: Canonical behaviour.
        returns: Lines with negative `units`, by `customer`.

    Returns:
        Reasons in words by pseudonym, the most unusual customer first; none among fewer than 30 customers.

    Example:
        >>> days = pd.date_range("2024-03-04", periods=40)
        >>> rows = pd.DataFrame({"date": days, "customer": [str(n) for n in range(40)], "units": [1.0] * 39 + [80.0]})
        >>> flagged_customers(rows)
        {'39': 'bought 80 units in a day (usual 1)'}
    """
    if "customer" not in sales:
        return {}
    habits = Habits()
    habits.see("sales", to_polars(sales, ["customer", "date", "units"]))
    if behaviour is not None and "customer" in behaviour:
        habits.see("behaviour", to_polars(behaviour, ["customer", "date", "event", "value"]))
    return habits.flagged(returns)


class Habits:
    """What is known of each customer from rows that come some at a time: units bought, and the busiest days."""

    def __init__(self) -> None:
        self._most, self._bought = dict[str, pl.DataFrame](), pl.DataFrame()

    def see(self, name: str, rows: pl.DataFrame) -> None:
        """Take account of rows of a table, which are all of their days."""
        if name not in ("sales", "behaviour") or "customer" not in rows:
            return
        if name == "behaviour":
            count = pl.col("value").fill_null(1.0) if "value" in rows else pl.lit(1.0)
            rows = rows.filter(pl.col("event").cast(pl.String).is_in(["view", "cart"])).with_columns(units=count)
        days = rows.drop_nulls("customer").group_by("customer", "date").agg(pl.col("units").sum())
        # As texts, a few customers would keep those of all rows in memory.
        days = days.with_columns(pl.col("customer").cast(pl.Categorical))
        most = days.group_by("customer").agg(most=pl.col("units").max())
        both = pl.concat([self._most[name], most]) if name in self._most else most
        self._most[name] = both.group_by("customer").agg(pl.col("most").max())
        if name == "sales":
            bought = days.group_by("customer").agg(bought=pl.col("units").sum())
            both = pl.concat([self._bought, bought]) if len(self._bought) else bought
            self._bought = both.group_by("customer").agg(pl.col("bought").sum())

    def flagged(self, returns: pl.DataFrame | None) -> dict[str, str]:
        """The customers flagged, as `flagged_customers` returns them."""
        if "sales" not in self._most:
            return {}
        words = {"sales": "bought {} units in a day", "behaviour": "looked at prices {} times in a day"}
        found = [_unusual(most, words[name]) for name, most in self._most.items()]
        if returns is not None and "customer" in returns:
            found.append(_returned(self._bought, returns))
        return _told(found)


def _told(found: list[pl.DataFrame]) -> dict[str, str]:
    """The reasons by customer, the most unusual one first."""
    joined = pl.concat(found).group_by("customer").agg(pl.col("reason").str.join("; "), pl.col("far").max())
    rows = joined.sort("far", "customer", descending=[True, False]).select("customer", "reason").rows()
    return {str(customer): str(reason) for customer, reason in rows}


def without_flagged(tables: Tables, report: ImportReport) -> tuple[Tables, ImportReport]:
    """The tables without the sales and the behaviour of flagged customers, and the report that counts them.

    Args:
        tables: The imported tables.
        report: Their report.

    Example:
        >>> sales = pd.DataFrame({"customer": ["ann", "bot"], "units": [1.0, 99.0]})
        >>> report = ImportReport({"sales": 2}, {"sales": 2}, {"sales": {}}, flagged={"bot": "bought 99 units in a day"})
        >>> without_flagged(Tables(sales), report)[1].lines()[:2]
        ['sales: 2 rows read, 1 kept', '  1 left out: customer: flagged, see the report']
    """
    kept, dropped, rest = dict(report.kept), {name: dict(by) for name, by in report.dropped.items()}, {}
    for name in ("sales", "behaviour"):
        table = getattr(tables, name)
        if table is not None and "customer" in table:
            own = table["customer"].isin(list(report.flagged))
            rest[name], kept[name] = table[~own].reset_index(drop=True), kept[name] - int(own.sum())
            dropped[name] |= {FLAGGED: int(own.sum())} if own.any() else {}
    return replace(tables, **rest), replace(report, kept=kept, dropped=dropped)


def _returned(bought: pl.DataFrame, returns: pl.DataFrame) -> pl.DataFrame:
    sums = bought.with_columns(pl.col("customer").cast(pl.String))
    back = returns.with_columns(pl.col("customer").cast(pl.String)).drop_nulls("customer")
    back = back.group_by("customer").agg(most=-pl.col("units").sum())
    # Who returned nothing counts among the usual ones; a purchase that its own receipt cancels is no sale any more.
    every = sums.join(back, on="customer", how="full", coalesce=True).fill_null(0.0)
    much = every.filter((pl.col("most") >= _MANY) & (pl.col("most") >= _RETURNED * pl.col("bought")))
    return _unusual(every, "returned {} units").join(much.select("customer"), on="customer", how="semi")


def _unusual(figures: pl.DataFrame, words: str) -> pl.DataFrame:
    """`customer`, `reason` and `far`, in robust standard deviations, of those far above the median `most`."""
    size = (pl.col("most") + 1).log()
    median = figures["most"].median()
    spread = pl.max_horizontal(1.4826 * (size - size.median()).abs().median(), _LEAST_SPREAD)
    before, _, after = words.partition("{}")
    said = pl.format(f"{before}{{}}{after} (usual {median or 0.0:,.4g})", pl.col("most").round().cast(pl.Int64))
    rows = figures.with_columns(far=(size - size.median()) / spread, reason=said)
    rows = rows if len(figures) >= _FEWEST else rows.clear()
    return rows.filter(pl.col("far") > _FAR).select(pl.col("customer").cast(pl.String), "reason", "far")

"""Rows and customers that may stand for no demand: they are flagged, and named in the report of an import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import pandas as pd
import polars as pl

from .stray_dates import stray_dates
from .tables import ImportReport, Tables
from .weeks import to_polars

FLAGGED = "customer: flagged, see the report"
"""Why the rows of a flagged customer are left out."""
_FAR = 6.0
"""Robust standard deviations, on the log scale, above the median customer."""
_LEAST_SPREAD = 0.3
"""Least such deviation: a factor of six above the median at least."""
_FEWEST = 30
"""With fewer customers than these, nothing is called unusual."""
_RETURNED = 0.5
"""Share of the units bought that came back."""
_MANY_UNITS = 10.0
"""The least number of units that came back."""
# A price this many times a product's usual one, or less than one over it, is hardly meant.
_PRICE_FACTOR = 20.0
# The same for units of a line, where the usual number of products is sold singly.
_UNITS_FACTOR = 500.0
_SUSPECT_UNITS = 1000.0
# A line total is this close to the units times the price of one.
_SAME_TOTAL = 0.02
# Rows of one unit that tell a product's price, and share of the lines of several units that makes a
# pattern.
_SINGLES = 3
_PATTERN = 0.005
_MANY_ROWS = 100
# A day with less than this share of the lines that are usual is hardly whole, where so many lines are usual at least.
_THIN = 0.2
_MANY_LINES = 50
# The usual number is the median of so many days with the same weekday around it.
_AROUND = 9
_LEAST_DAYS_AROUND = 4
_NAMED_DAYS = 7
_EVENTS = ["date", "event", "value"]
_NAMED_STORES = 5


# Customers whose purchases, returns or looks at prices are no demand: flagged before they teach the market.


def flagged_customers(
    sales: pd.DataFrame, behaviour: pd.DataFrame | None = None, returns: pl.DataFrame | None = None
) -> dict[str, str]:
    """Customers whose rows may be fraud or a machine's, with the reasons; they may also be resellers or other firms.

    Three figures of each customer are compared with those of the median customer, by median and median absolute
    deviation of their logarithms: most units bought in a day, most views and carts in a day, and units returned,
    which must also be half of those bought.

    Args:
        sales: Canonical sales; without the column `customer`, no customer is flagged.
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
    given = {"sales": (sales, ["customer", "date", "units"]), "behaviour": (behaviour, ["customer", *_EVENTS])}
    tables = {name: to_polars(table, columns).lazy() for name, (table, columns) in given.items() if table is not None}
    return unusual_customers(tables, returns)


def unusual_customers(tables: Mapping[str, pl.LazyFrame], returns: pl.DataFrame | None) -> dict[str, str]:
    """What `flagged_customers` returns, of rows that may be on the disk."""
    habits = dict[str, pl.DataFrame]()
    for name in ("sales", "behaviour"):
        columns = tables[name].collect_schema().names() if name in tables else []
        if "customer" not in columns:
            continue
        rows = tables[name].drop_nulls("customer")
        if name == "behaviour":
            count = pl.col("value").fill_null(1.0) if "value" in columns else pl.lit(1.0)
            rows = rows.filter(pl.col("event").is_in(["view", "cart"])).with_columns(units=count)
        days = rows.group_by("customer", "date").agg(pl.col("units").sum())
        figures = days.group_by("customer").agg(most=pl.col("units").max(), bought=pl.col("units").sum())
        habits[name] = figures.collect(engine="streaming")
    if "sales" not in habits:
        return {}
    words = {"sales": "bought {} units in a day", "behaviour": "looked at prices {} times in a day"}
    unusual = [_unusual(figures, words[name]) for name, figures in habits.items()]
    if returns is not None and "customer" in returns:
        unusual.append(_returned(habits["sales"].drop("most"), returns))
    # The most unusual one first.
    joined = pl.concat(unusual).group_by("customer").agg(pl.col("reason").str.join("; "), pl.col("far").max())
    return dict(joined.sort("far", "customer", descending=[True, False]).select("customer", "reason").rows())


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
    named = {name: table for name in ("sales", "behaviour") if (table := getattr(tables, name)) is not None}
    rest = {
        name: table[~table["customer"].isin(list(report.flagged))].reset_index(drop=True)
        for name, table in named.items()
        if "customer" in table
    }
    return replace(tables, **rest), report.leaving({name: len(table) for name, table in rest.items()}, FLAGGED)


def _returned(bought: pl.DataFrame, returns: pl.DataFrame) -> pl.DataFrame:
    sums = bought.with_columns(pl.col("customer").cast(pl.String))
    back = returns.with_columns(pl.col("customer").cast(pl.String)).drop_nulls("customer")
    back = back.group_by("customer").agg(most=-pl.col("units").sum())
    # Who returned nothing counts among the usual ones; a purchase that its own receipt cancels is no sale any more.
    every = sums.join(back, on="customer", how="full", coalesce=True).fill_null(0.0)
    much = every.filter((pl.col("most") >= _MANY_UNITS) & (pl.col("most") >= _RETURNED * pl.col("bought")))
    return _unusual(every, "returned {} units").join(much.select("customer"), on="customer", how="semi")


def _unusual(figures: pl.DataFrame, words: str) -> pl.DataFrame:
    """The customers whose figure `most` lies far above the median customer's.

    Args:
        figures: `customer` and `most`.
        words: The reason, with {} for the figure.

    Returns:
        `customer`, `reason` and `far`, the distance in robust standard deviations of the logarithm.
    """
    size = (pl.col("most") + 1).log()
    median = figures["most"].median()
    # Of normal values, 1.4826 times the median absolute deviation is the standard deviation.
    spread = pl.max_horizontal(1.4826 * (size - size.median()).abs().median(), _LEAST_SPREAD)
    sentence = pl.format(f"{words} (usual {median or 0.0:,.4g})", pl.col("most").round().cast(pl.Int64))
    rows = figures.with_columns(far=(size - size.median()) / spread, reason=sentence)
    rows = rows if len(figures) >= _FEWEST else rows.clear()
    return rows.filter(pl.col("far") > _FAR).select(pl.col("customer").cast(pl.String), "reason", "far")


# Sale lines that can be read but are hardly meant so: they are kept and reported.


def suspects(sales: pl.DataFrame) -> list[str]:
    """Notes on prices, units and line totals that look wrong.

    Args:
        sales: Good rows, in canonical columns.

    Example:
        >>> rows = {"product": ["milk"] * 5, "units": [1.0] * 5, "price_paid": [3.87, 3.87, 3.79, 3.87, 387.0]}
        >>> suspects(pl.DataFrame(rows))[0].split(";")[0]
        "prices far from the product's usual one: 1 row (387 for 'milk', usually 3.87)"
    """
    usual = {"price": pl.col("price_paid").median().over("product"), "usual": pl.col("units").median().over("product")}
    rows = sales.select("product", "units", "price_paid").with_columns(**usual)
    total = _line_totals(rows)
    ratio = pl.col("price_paid") / pl.col("price")
    far = rows.filter(
        ~total & (pl.col("price_paid") > 0) & ((ratio > _PRICE_FACTOR) | (ratio < 1 / _PRICE_FACTOR))
    ).sort(ratio.log().abs(), descending=True)
    many = rows.filter((pl.col("units") >= _SUSPECT_UNITS) & (pl.col("units") > _UNITS_FACTOR * pl.col("usual")))
    notes = []
    # So many lines of several products at one price are no accident.
    if len(rows) >= _MANY_ROWS and rows["product"].n_unique() > 1 and rows["price_paid"].n_unique() == 1:
        notes.append(
            f"all {len(rows):,} lines have the price {rows['price_paid'][0]:g}, whatever the product; is another column the "
            "units, and this one their turnover?"
        )
    if len(far):
        row = far.row(0, named=True)
        notes.append(
            f"prices far from the product's usual one: {_count(far)} ({row['price_paid']:g} for '{row['product']}', "
            f"usually {row['price']:g}); check the decimals of these lines"
        )
    if len(many):
        row = many.sort("units", descending=True).row(0, named=True)
        notes.append(
            f"far more units than a line of the product usually has: {_count(many)} ({row['units']:,.0f} of "
            f"'{row['product']}', usually {row['usual']:g}); check these lines"
        )
    if total.any():
        found = rows.filter(total)
        row = found.row(0, named=True)
        notes.append(
            f"lines of several units that cost as many times the price of one: {_count(found)} ({row['price_paid']:g} for "
            f"{row['units']:g} of '{row['product']}'); if price_paid holds line totals there, make them prices per unit, or "
            "declare price_paid a total in a mapping file"
        )
    return notes


def _line_totals(rows: pl.DataFrame) -> pl.Series:
    """(rows,) whether a line of several units costs as many times what the product costs singly,
    where that is a pattern.
    """
    single = pl.when(pl.col("units") == 1).then(pl.col("price_paid"))
    marked = rows.with_columns(one=single.median().over("product"), singles=single.count().over("product"))
    several = (pl.col("units") > 1) & (pl.col("singles") >= _SINGLES) & (pl.col("one") > 0)
    total = several & ((pl.col("price_paid") / (pl.col("units") * pl.col("one")) - 1).abs() <= _SAME_TOTAL)
    found, among = marked.select(total=total.fill_null(False), several=several.fill_null(False)).get_columns()
    return found & (int(found.sum()) > _PATTERN * int(among.sum()))


def _count(rows: pl.DataFrame) -> str:
    return f"{len(rows):,} row{'s' if len(rows) > 1 else ''}"


# Dates of sale lines that can be read but are hardly meant so: they are kept and reported.


def odd_dates(days: pl.DataFrame, today: date | None = None) -> list[str]:
    """Notes on sale lines far before or after all others, and after today, and on days with far fewer lines than usual.

    Args:
        days: `date` and `lines`, the number of sale lines, one row per day with sales.
        today: The day of the import; by default this one.

    Example:
        >>> days = pl.DataFrame({"date": [date(2024, 3, 4), date(2024, 3, 5)], "lines": [7, 9]})
        >>> odd_dates(days, date(2024, 3, 4))
        ['dates after today, 2024-03-04: 9 lines, the first on 2024-03-05; correct or delete them']
    """
    notes = [f"{found}; models leave that out; {_them(found.lines)}" for found in stray_dates(days)]
    today = today or date.today()
    day = pl.col("date").cast(pl.Date)
    count, first = days.filter(day > today).select(pl.col("lines").sum(), day.min().alias("first")).row(0)
    if count:
        lines = f"{count:,} line{'s' * (count > 1)}"
        notes.append(f"dates after today, {today}: {lines}, the first on {first}; {_them(count)}")
    return notes + _thin_days(days)


def _thin_days(days: pl.DataFrame) -> list[str]:
    """A note on days of which most lines seem to be missing."""
    lines = pl.col("lines")
    weekday = pl.col("date").dt.weekday()
    usual = lines.rolling_median(_AROUND, min_samples=_LEAST_DAYS_AROUND, center=True).over(weekday)
    is_thin = (pl.col("usual") >= _MANY_LINES) & (lines < _THIN * pl.col("usual"))
    thin = days.sort("date").with_columns(usual=usual).filter(is_thin)
    if thin.is_empty():
        return []
    named = [f"{day:%Y-%m-%d} ({few:,}, usually {many:,.0f})" for day, few, many in thin.head(_NAMED_DAYS).iter_rows()]
    more = f" and {len(thin) - _NAMED_DAYS:,} more" if len(thin) > _NAMED_DAYS else ""
    return [
        f"days with less than a fifth of the lines that are usual on their weekday: {', '.join(named)}{more}; models take "
        "what is missing for low demand: complete them, or leave these days out"
    ]


def _them(lines: int) -> str:
    return "correct or delete it" if lines == 1 else "correct or delete them"


# Stores of further tables that no sale names, as another spelling makes them.


def strange_stores(tables: Mapping[str, pl.LazyFrame]) -> list[str]:
    """A sentence on each table that names stores which the sales do not; none where these name no stores.

    Example:
        >>> tables = {"sales": ["N1", "S1"], "stock": ["N1", "n1", "n1"]}
        >>> strange_stores({name: pl.LazyFrame({"store": stores}) for name, stores in tables.items()})
        ['stock: 2 rows of stores that no sale names, n1; if they sell, name them as the sales do']
    """
    rows = {
        name: dict(lines.drop_nulls("store").group_by("store").len().collect(engine="streaming").iter_rows())
        for name, lines in tables.items()
        if "store" in lines.collect_schema()
    }
    known = rows.get("sales")
    found = []
    for table, counts in rows.items() if known else ():
        strange = sorted(set(counts) - set(known or ()))
        if strange:
            more = f" and {len(strange) - _NAMED_STORES} more" * (len(strange) > _NAMED_STORES)
            words = ", ".join(strange[:_NAMED_STORES]) + more
            count = sum(counts[name] for name in strange)
            found.append(
                f"{table}: {count:,} row{'s' * (count > 1)} of stores that no sale names, {words}; if they sell, name them "
                "as the sales do"
            )
    return found
